"""Texts of messages reach the model of their stream as the places of its words; what it gives is what files get."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from aez.codec.bundle.bundle import save_bundle
from aez.codec.detect.detector import load_detector
from aez.codec.series.reader import read_series
from aez.daemon.build.models import models
from aez.daemon.build.parsers import parsers
from aez.daemon.common.records import Chunk, Samples
from aez.daemon.config.reader import Configuration, load
from aez.daemon.parse.by_source import SourceParsers
from aez.export.series.train import DetectorConfig, fit_detector, make_bundle
from tests.kit.listened import Listened
from tests.kit.modes import write_words

CONFIG = """\
[[models]]
name = "plant"
path = "plant.aezm"
streams = ["plant*"]
[models.columns]
mode = "state"
[[models]]
name = "others"
path = "other.aezm"
streams = ["other*"]
[models.columns]
mode = "state"
[[models]]
name = "numbers"
path = "numbers.aezm"
[[sources]]
name = "in"
kind = "stdin"
stream = "machine"
"""


def save_model(folder: Path, name: str, rename: dict[str, str]) -> None:
    """A model whose words are others than those of the file that `write_words` writes."""
    path = write_words(folder / "train.csv", 3000, 1)
    text = path.read_text()
    for old, new in rename.items():
        text = text.replace(old, new)
    path.write_text(text)
    series, _ = read_series(path, categories=True)
    # A cycle would tell the load as well as the words do, and these must tell something here.
    config = DetectorConfig(window=16, seasons="none")
    fitted = fit_detector([series], config, folder / "run", {"quiet": True})
    save_bundle(make_bundle(fitted, name, "modes"), folder / f"{name}.aezm")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    folder = tmp_path_factory.mktemp("words")
    save_model(folder, "plant", {})
    save_model(folder, "other", {"rinse": "dry", "idle": "away"})
    save_model(folder, "numbers", {"rinse": "2", "idle": "0", "run": "1", "mode": "state"})
    (folder / "monitor.toml").write_text(CONFIG)
    return load(folder / "monitor.toml")


@pytest.fixture(scope="module")
def made(config: Configuration) -> SourceParsers:
    return parsers(config, models=models(config))


def csv(rows: list[tuple[str, float, str]]) -> bytes:
    return "".join(["machine,load,state\n", *(f"{name},{load},{word}\n" for name, load, word in rows)]).encode()


def as_json(rows: list[tuple[str, float, str]]) -> bytes:
    return "".join(
        json.dumps({"machine": name, "load": load, "state": word or None}) + "\n" for name, load, word in rows
    ).encode()


def line(rows: list[tuple[str, float, str]]) -> bytes:
    return "".join(
        f"m,machine={name} load={load}" + (f',state="{word}"' if word else "") + "\n" for name, load, word in rows
    ).encode()


def arrow(rows: list[tuple[str, float, str]]) -> bytes:
    names, loads, words = zip(*rows, strict=True)
    table = pa.table({"machine": names, "load": loads, "state": [word or None for word in words]})
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def states(samples: list[Samples]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in samples:
        at = one.columns.index("state") if "state" in one.columns else None
        for stream, row in zip(one.stream.tolist(), one.values.tolist(), strict=True):
            found.setdefault(one.streams[stream], []).append(np.nan if at is None else row[at])
    return found


@pytest.mark.parametrize(("format", "write"), [("csv", csv), ("json", as_json), ("line", line), ("arrow", arrow)])
def test_a_word_is_its_place_in_the_table_of_the_stream_s_model(
    made: SourceParsers, format: str, write: Callable[[list[tuple[str, float, str]]], bytes]
) -> None:
    words = ["run", "idle", "rinse", "boil", "", "dry"]
    rows = [(name, 1.5, word) for name in ("plant-1", "other-1", "third") for word in words]
    samples, malformed = made.parse_many([Chunk("in", write(rows), format, {}, time.monotonic())])
    assert not malformed
    found = states(samples)
    # Line protocol has the row without a word in a set of its own.
    np.testing.assert_array_equal(np.sort(found["plant-1"]), [0, 1, 2, 2, 2, np.nan])
    np.testing.assert_array_equal(np.sort(found["other-1"]), [0, 2, 2, 2, 2, np.nan])  # run, away, dry
    np.testing.assert_array_equal(found["third"], [np.nan] * 6)  # of a model of numbers, where a text is no value


def test_numbers_are_places_as_before(made: SourceParsers) -> None:
    rows = [("plant-1", 1.5, "0"), ("plant-1", 1.5, "2"), ("third", 1.5, "2"), ("third", 1.5, "-0.25")]
    samples, malformed = made.parse_many([Chunk("in", csv(rows), "csv", {}, time.monotonic())])
    assert not malformed
    assert states(samples) == {"plant-1": [0, 2], "third": [2, -0.25]}


def test_the_monitor_gives_the_scores_of_a_file(config: Configuration, made: SourceParsers, tmp_path: Path) -> None:
    detector = load_detector(config.path.parent / "plant.aezm", "cpu", 1)
    path = write_words(tmp_path / "new.csv", 600, 5, strange=True)
    series, _ = read_series(path, categories=True, words=detector.words)
    monitor = Listened(detector)
    rows = [(float(load), word) for load, word in (text.split(",") for text in path.read_text().splitlines()[1:])]
    begin = 17 * 10**17
    for start in range(0, len(rows), 100):
        lines = [
            f"{begin + (start + row) * 10**9},plant,{load},{word}\n"
            for row, (load, word) in enumerate(rows[start : start + 100])
        ]
        chunk = Chunk("in", "".join(["time,machine,load,state\n", *lines]).encode(), "csv", {}, time.monotonic())
        samples, malformed = made.parse_many([chunk])
        assert not malformed
        monitor.engine.process([renamed(one) for one in samples])
    monitor.engine.flush(0)
    np.testing.assert_allclose(monitor.scores["plant"], detector.score(series).score, rtol=1e-4, atol=1e-5)
    silent = series.values.copy()
    silent[:, series.channels.index("mode")] = np.nan
    deaf = detector.score(replace(series, values=silent)).score
    assert not np.allclose(monitor.scores["plant"], deaf, rtol=1e-2, equal_nan=True)  # the words do tell something


def renamed(samples: Samples) -> Samples:
    """As the monitor names them for the model, of which `columns` of the configuration tell."""
    return replace(samples, columns=tuple("mode" if name == "state" else name for name in samples.columns))
