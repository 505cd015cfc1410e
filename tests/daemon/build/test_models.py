"""Models and the sources that are to bring what they score."""

from __future__ import annotations

from pathlib import Path

import pytest

from aez.daemon.build.models import models, watched
from aez.daemon.config.reader import ConfigError, load
from tests.kit.frame_models import save_washer_model
from tests.kit.satellite_model import save_satellite_model

FOLDER = 'kind = "frames"\npaths = ["*.png"]'
LINES = 'kind = "stdin"'
MQTT = 'kind = "mqtt"\nformat = "{}"\ntopics = ["a"]\nclient_id = "m"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_washer_model(tmp_path / "frames.aezm")
    save_satellite_model(tmp_path / "telemetry.aezm")
    return tmp_path


def opened(folder: Path, model: str, *sources: str) -> int:
    tables = "".join(f'[[sources]]\nname = "{number}"\n{one}\n' for number, one in enumerate(sources))
    path = folder / "monitor.toml"
    path.write_text(f'[[models]]\npath = "{model}.aezm"\n{tables}')
    return len(models(load(path)))


@pytest.mark.parametrize(
    ("model", "sources"),
    [("frames", [LINES]), ("frames", [LINES, MQTT.format("csv")]), ("telemetry", [FOLDER, MQTT.format("image")])],
)
def test_a_model_that_no_source_can_feed_is_refused(folder: Path, model: str, sources: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.toml:1: model .*, and no source brings ") as caught:
        opened(folder, model, *sources)
    assert "0 (" in str(caught.value)


@pytest.mark.parametrize(
    ("model", "sources"),
    [
        ("frames", [LINES, FOLDER]),
        ("frames", ['kind = "http"']),
        ("telemetry", [FOLDER, LINES]),
        ("telemetry", [LINES]),
    ],
)
def test_a_model_that_one_source_may_feed_is_taken(folder: Path, model: str, sources: list[str]) -> None:
    assert opened(folder, model, *sources) == 1


def test_hold_says_for_how_long_and_of_which_channels(tmp_path: Path) -> None:
    save_satellite_model(tmp_path / "telemetry.aezm")
    path = tmp_path / "monitor.toml"

    def held(told: str) -> int:
        path.write_text(f'[[models]]\npath = "telemetry.aezm"\n{told}\n[[sources]]\n{LINES}\n')
        config = load(path)
        (one,) = watched(config, models(config))
        return one.held

    assert held("") == held("hold = false") == 0
    assert held('hold = "2 min"') == 120
    assert held('hold = { "bus_*" = 5, battery_temperature = false }') == 5
    for told, said in (("hold = true", "as long as a sensor is silent"), ("hold = { cold = 5 }", "channel 'cold'")):
        with pytest.raises(ConfigError, match=r"monitor\.toml:1: model .*" + said):
            held(told)
