"""A model with seasons in the monitor: the scores of `aez score`, whatever the cuts, restarts and other streams."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aez.codec.detect.detector import Detector
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Samples
from aez.daemon.engine.beside.season_levels import SeasonLevels
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.stream_state import unpack
from aez.export.series.train import make_bundle
from tests.kit.listened import Listened, state_after_cuts
from tests.kit.rhythm import HOUR, as_saturday, fitted_rhythm, rhythmic


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector(make_bundle(fitted_rhythm(tmp_path_factory.mktemp("rhythm")), "rhythm", "hours"), "cpu", 1)


TEST = as_saturday(rhythmic(14, first=42, channels=2), 9)


def feed(engine: Engine, low: int, high: int, stream: str = "shop") -> list[str]:
    assert TEST.time is not None
    none = np.zeros(high - low, np.int32)
    given = Samples([stream], none, TEST.time[low:high], TEST.channels, TEST.values[low:high])
    return [record.action for record in engine.process([given])]


def test_the_scores_are_those_of_a_file_and_the_wrong_weekday_is_told(detector: Detector) -> None:
    monitor = Listened(detector)
    actions = feed(monitor.engine, 0, len(TEST))
    monitor.engine.flush(0)
    np.testing.assert_allclose(monitor.scores["shop"], detector.score(TEST).score, rtol=1e-4)
    assert actions.count("open") == 1


def test_cuts_restarts_and_other_streams_change_nothing(detector: Detector) -> None:
    state = state_after_cuts(detector, feed, "shop", len(TEST))
    assert "steps" in unpack(state).details["scale"]


def test_a_saved_level_that_is_none_is_refused(detector: Detector) -> None:
    assert detector.seasons is not None
    table = SeasonLevels(detector.seasons, detector.window, 3600 * 10**9)
    table.grow(2)
    table.begin(0, "shop")
    state = table.state(0)
    json.dumps(state)
    table.restore(1, state)
    assert table.state(1) == state
    for broken in ({**state, "level": [1.0]}, {**state, "level": None}, {"level": state["level"]}):
        with pytest.raises(InvalidArgument, match="level"):
            table.restore(0, broken)


def raised(detector: Detector, days: int, from_row: int, by: float) -> np.ndarray:
    """Rows of the first channel stand at another level from a row on: by a share, or by as much of 50."""
    assert detector.seasons is not None
    values = rhythmic(days, first=42, channels=2).values.copy()
    values[from_row:, 0] += by * np.where(detector.seasons.multiplies[0], values[from_row:, 0], 50.0)
    return values


def fed(engine: Engine, values: np.ndarray, low: int, high: int) -> list[str]:
    assert TEST.time is not None
    time = TEST.time[0] + np.arange(low, high) * HOUR
    given = Samples(["shop"], np.zeros(high - low, np.int32), time, TEST.channels, values[low:high])
    return [record.action for record in engine.process([given])]


def test_a_level_that_was_taken_jumps_outlives_a_restart_and_can_be_taken_back(detector: Detector) -> None:
    values = raised(detector, 12, 60, 0.6)
    one = Listened(detector)
    actions = fed(one.engine, values, 0, 7 * 24 + 13)
    assert actions[-1] != "close"
    assert "open" in actions
    before = one.engine.adopt("shop")
    assert set(before) == {"load0"}
    assert before["load0"] > 5
    assert [record.action for record in one.engine.process([])] == ["close"]
    assert one.engine.stats()["adopted"] == 1
    (state,) = one.engine.touched().values()
    for undo in (False, True):
        again = Listened(detector)
        assert again.engine.restore("shop", state) == ""
        assert again.engine.stats()["adopted"] == 1
        if undo:
            assert again.engine.adopt("shop", undo=True) == {}
            assert again.engine.stats()["adopted"] == 0
        later = fed(again.engine, values, 7 * 24 + 13, 12 * 24)
        assert ("open" in later) == undo


def test_a_jump_that_is_too_large_or_cannot_be_told_is_refused_in_a_sentence(detector: Detector) -> None:
    one = Listened(detector)
    with pytest.raises(InvalidArgument, match="there is no stream"):
        one.engine.adopt("shop")
    fed(one.engine, raised(detector, 12, 60, 9.0), 0, 7 * 24 + 13)
    with pytest.raises(InvalidArgument, match=r"level of channel load0 would have to jump by .*more than 1 times"):
        one.engine.adopt("shop")
    assert one.engine.stats()["adopted"] == 0
