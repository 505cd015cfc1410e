"""Parsers of all sources: whose options they take, which model measures a frame, and whom it tells that it goes on."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from aez.daemon.build.models import LoadedModel, report_progress
from aez.daemon.build.parsers import parsers
from aez.daemon.common.records import Chunk
from aez.daemon.config.reader import ConfigError, Configuration, load
from aez.daemon.frames.models import COLUMNS, FrameModel, MeasuredFrame, Prepared

CONFIG = """\
[[models]]
name = "series"
path = "a.aezm"
streams = ["pump-*"]
[[models]]
name = "frames"
path = "b.aezm"
[[sources]]
name = "numbers"
kind = "stdin"
stream = "stream"
[[sources]]
name = "camera"
kind = "http"
format = "image"
"""


class Grey(FrameModel):
    """Scores 0."""

    def prepare(self, pixels: Any) -> Prepared:  # noqa: ARG002 - the shape of a model
        return MeasuredFrame(np.zeros(len(COLUMNS)), np.zeros((1, 1), np.float32))

    def measure(self, prepared: Sequence[Prepared]) -> list[MeasuredFrame]:
        return [one for one in prepared if isinstance(one, MeasuredFrame)]

    def blame(self, regions: Any) -> Any:
        return regions


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    (tmp_path / "a.aezm").touch()
    (tmp_path / "b.aezm").touch()
    (tmp_path / "monitor.toml").write_text(CONFIG)
    return load(tmp_path / "monitor.toml")


def loaded(config: Configuration) -> list[LoadedModel]:
    series, frames = config.models
    return [LoadedModel(series, cast("Any", SimpleNamespace())), LoadedModel(frames, Grey())]


def picture(stream: str) -> Chunk:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "png")
    return Chunk("camera", file.getvalue(), "image", {}, time.monotonic(), stream, time=1)


def test_each_source_is_parsed_by_its_own_options(config: Configuration) -> None:
    made = parsers(config)
    text = b'{"stream": "a", "x": 1}\n'
    (found,), malformed = made.parse_many([Chunk("numbers", text, "json", {}, time.monotonic())])
    assert (found.streams, found.columns, malformed) == (["a"], ("x",), [])
    assert made.parse_many([Chunk("gone", text, "json", {}, time.monotonic())]) == ([], [])


def test_the_first_model_that_takes_a_stream_measures_its_frames_if_it_can(config: Configuration) -> None:
    made = parsers(config, models=loaded(config))
    samples, malformed = made.parse_many([picture("north"), picture("pump-1")])
    assert [one.streams for one in samples] == [["north"]]
    assert [one.reason for one in malformed] == ["no_model"]


def test_models_tell_whom_they_were_told_to_tell_whoever_else_parses(config: Configuration) -> None:
    told: list[int] = []
    models = loaded(config)
    report_progress(models, lambda: told.append(1))
    made = parsers(config, models=models)
    parsers(config, models=models).parse_many([picture("beside")])  # as a look at recorded times does
    assert len(told) == 1
    made.parse_many([picture("north"), picture("north")])
    assert len(told) == 3


@pytest.mark.usefixtures("config")
def test_options_that_a_format_does_not_take_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_text(CONFIG.replace('stream = "stream"', 'stream = "{a"'))
    with pytest.raises(ConfigError) as caught:
        parsers(load(tmp_path / "monitor.toml"))
    (fault,) = caught.value.faults
    assert (fault.line, fault.key) == (8, "source numbers")
