"""Seasons of streams with scales of their own in the monitor: the scores of `aez score`, over cuts and restarts."""

from __future__ import annotations

import numpy as np
import pytest

from aez.codec.detect.detector import Detector
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Samples
from aez.daemon.engine.beside.table import beside_table
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.stream_state import unpack
from aez.export.series.train import make_bundle
from tests.kit.listened import Listened, state_after_cuts
from tests.kit.rhythm import as_saturday
from tests.kit.shops import fitted_shops, shop

TEST = as_saturday(shop("middle", 14, first=42), 9)
NEW = as_saturday(shop("harbour", 35, first=42, size=20.0), 30)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector(make_bundle(fitted_shops(tmp_path_factory.mktemp("shops")), "shops", "three"), "cpu", 1)


def feed(engine: Engine, low: int, high: int, stream: str = "middle") -> list[str]:
    test = NEW if stream == NEW.name else TEST
    assert test.time is not None
    none = np.zeros(high - low, np.int32)
    given = Samples([stream], none, test.time[low:high], test.channels, test.values[low:high])
    return [record.action for record in engine.process([given])]


def test_the_scores_of_a_known_shop_are_those_of_a_file(detector: Detector) -> None:
    monitor = Listened(detector)
    actions = feed(monitor.engine, 0, len(TEST))
    monitor.engine.flush(0)
    np.testing.assert_allclose(monitor.scores["middle"], detector.score(TEST).score, rtol=1e-3, atol=1e-4)
    assert actions.count("open") == 1


def test_a_new_shop_learns_its_scale_and_level_and_then_its_wrong_weekday_is_told(detector: Detector) -> None:
    monitor = Listened(detector)
    assert "open" not in feed(monitor.engine, 0, 24 * 30, "harbour")
    assert "open" in feed(monitor.engine, 24 * 30, len(NEW), "harbour")


def test_cuts_restarts_and_other_streams_change_nothing(detector: Detector) -> None:
    state = state_after_cuts(detector, feed, "middle", len(TEST))
    assert set(unpack(state).details["scale"]) == {"scale", "season"}


def test_a_level_is_not_taken_and_what_is_advised_in_its_place_works(detector: Detector) -> None:
    """A stream that moved for good: one of training is renamed, for forgotten it would have its old scale again."""
    monitor = Listened(detector)
    feed(monitor.engine, 0, 48)
    with pytest.raises(InvalidArgument, match="train it anew, or rename"):
        monitor.engine.adopt("middle")
    feed(monitor.engine, 0, 24 * 8, "harbour")
    with pytest.raises(InvalidArgument, match="forget the stream, and it learns anew"):
        monitor.engine.adopt("harbour")
    monitor.engine.forget_stream("harbour")
    assert "open" not in feed(monitor.engine, 24 * 8, 24 * 30, "harbour")
    monitor.engine.forget_stream("middle")
    feed(monitor.engine, 48, 72)
    with pytest.raises(InvalidArgument, match="train it anew, or rename"):
        monitor.engine.adopt("middle")


def test_a_saved_scale_without_a_season_is_refused(detector: Detector) -> None:
    table = beside_table(detector, 3600 * 10**9, 0)
    assert table is not None
    table.grow(1)
    table.begin(0, "middle")
    table.restore(0, table.state(0))
    for broken in ({}, {"scale": table.state(0)["scale"]}, {"scale": 3, "season": {}}):
        with pytest.raises(InvalidArgument, match="scale"):
            table.restore(0, broken)
