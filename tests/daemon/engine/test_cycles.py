"""A model of a cycle in the monitor: the scores of `aez score`, whatever the cuts, restarts and other streams."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aez.codec.detect.detector import Detector
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Samples
from aez.daemon.engine.beside.cycle_levels import CycleLevels
from aez.daemon.engine.engine import Engine
from aez.export.series.train import make_bundle
from tests.kit.cycles import BINS, cycling, fitted_cycle, without_knock
from tests.kit.listened import Listened, state_after_cuts

MINUTE = 60 * 10**9
TEST = without_knock(cycling(10 * BINS, 0.3, seed=3), 6 * BINS)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector(make_bundle(fitted_cycle(tmp_path_factory.mktemp("cycle")), "press", "periods"), "cpu", 1)


def feed(engine: Engine, low: int, high: int, stream: str = "press") -> list[str]:
    time = 17 * 10**17 + np.arange(low, high) * MINUTE
    given = Samples([stream], np.zeros(high - low, np.int32), time, TEST.channels, TEST.values[low:high])
    return [record.action for record in engine.process([given])]


def test_the_scores_are_those_of_a_file_and_the_wrong_period_is_told(detector: Detector) -> None:
    monitor = Listened(detector)
    actions = feed(monitor.engine, 0, len(TEST))
    monitor.engine.flush(0)
    np.testing.assert_allclose(monitor.scores["press"], detector.score(TEST).score, rtol=1e-4)
    assert "open" in actions


def test_cuts_restarts_and_other_streams_change_nothing(detector: Detector) -> None:
    assert state_after_cuts(detector, feed, "press", len(TEST))


def test_a_saved_phase_that_is_none_is_refused(detector: Detector) -> None:
    assert detector.seasons is not None
    table = CycleLevels(detector.seasons, detector.window)
    table.grow(2)
    table.begin(0, "press")
    table.begin(1, "other")
    state = table.state(0)
    json.dumps(state)
    table.restore(1, state)
    assert table.state(1) == state
    for broken in ({**state, "odds": [1.0]}, {**state, "place": None}, {"odds": state["odds"]}):
        with pytest.raises(InvalidArgument, match="phase"):
            table.restore(0, broken)
