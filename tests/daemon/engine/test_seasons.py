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
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.stream_state import unpack
from aez.daemon.engine.watched import Watched
from aez.export.series.train import make_bundle
from tests.kit.rhythm import as_saturday, fitted_rhythm, rhythmic


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector(make_bundle(fitted_rhythm(tmp_path_factory.mktemp("rhythm")), "rhythm", "hours"), "cpu", 1)


class Listened:
    """An engine, and the scores that it gave, by stream."""

    def __init__(self, detector: Detector) -> None:
        self.scores: dict[str, list[float]] = {}
        self.engine = Engine([Watched("m", detector, jump=0)], listener=self._hear, clock=lambda: 10**19 // 5)

    def _hear(self, rows: ScoredRows) -> None:
        for number, score in zip(rows.rows.stream.tolist(), rows.score.tolist(), strict=True):
            self.scores.setdefault(rows.names[number], []).append(score)


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
    whole, cut = Listened(detector), Listened(detector)
    feed(whole.engine, 0, len(TEST))
    for low in range(0, 200, 40):
        feed(cut.engine, low, low + 40)
        feed(cut.engine, low, low + 20, "another")
    state = cut.engine.touched()["shop"]
    again = Listened(detector)
    assert again.engine.restore("shop", state) == ""
    feed(again.engine, 200, len(TEST))
    for monitor in (whole, cut, again):
        monitor.engine.flush(0)
    joined = cut.scores["shop"][: len(whole.scores["shop"]) - len(again.scores["shop"])] + again.scores["shop"]
    np.testing.assert_allclose(joined, whole.scores["shop"], rtol=1e-5)
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
