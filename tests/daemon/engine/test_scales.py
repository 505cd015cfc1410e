"""Scales of streams: a model that takes them scores alike machines alike, however their rows were cut and restored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from aez.codec.detect.detector import WindowScores
from aez.codec.detect.events import EventRule
from aez.codec.detect.scaling import Scale, StreamScales, learned_scale
from aez.codec.errors import InvalidArgument
from aez.daemon.engine.beside.scales import Scales
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.watched import Watched
from tests.kit.engine_models import CHANNELS, WINDOW, Magnitude, samples, take

Array = np.ndarray[Any, np.dtype[Any]]
USUAL = Scale(np.zeros(2, np.float32), np.ones(2, np.float32))
KNOWN = Scale(np.full(2, 50, np.float32), np.full(2, 5, np.float32))
ROWS = 300
RULE = EventRule(open_after=2, close_after=3)


@dataclass
class Scaled(Magnitude):
    """The mean distance from the centre in widths; above 3 an event."""

    event_rule: EventRule = RULE
    scales: StreamScales = field(default_factory=lambda: StreamScales(USUAL, {"known": KNOWN}, ROWS))

    def score_batch(self, batch: Array, *, whole: bool = False, scale: Scale | None = None) -> WindowScores:
        centre, width = scale or USUAL
        return super().score_batch((batch - centre[..., None, :]) / width[..., None, :] / 3, whole=whole)


def noise(rows: int, centre: float, width: float, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).uniform(-1, 1, (rows, len(CHANNELS)))
    return centre + width * values


def engine(warm_up: int = 0, **options: Any) -> Engine:
    return Engine([Watched("m", Scaled(), warm_up=warm_up)], **options)


def fault(values: Array, at: int) -> Array:
    values[at : at + 10] += 20 * (values.max() - values.min())
    return values


def test_a_stream_of_training_has_its_scale_from_the_first_row() -> None:
    records = engine().process([samples(fault(noise(60, 50, 5), 30), stream="known")])
    assert [one.action for one in records] == ["open", "close"]
    assert not engine().process([samples(noise(60, 50, 5), stream="known")])


def test_a_new_stream_raises_nothing_while_it_learns_and_is_scored_by_what_it_learned() -> None:
    # In the usual scale each row of it would be far above the limit.
    values = fault(fault(noise(600, -400, 30), 100), 500)
    records = engine().process([samples(values, stream="new")])
    assert [one.action for one in records] == ["open", "close"]
    assert records[0].event["start"] == pytest.approx(500, abs=WINDOW)  # type: ignore[index]


@pytest.mark.parametrize("sizes", [(1,), (7, 100, 3), (299, 2, 400)])
def test_what_is_learned_does_not_depend_on_how_rows_were_cut_or_restored(sizes: tuple[int, ...]) -> None:
    values = fault(noise(700, 7, 0.1), 500)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    whole = samples(values, stream="new")
    expected = engine().process([whole])
    assert expected
    one, found, at, turn = engine(), [], 0, 0
    while at < len(values):
        end = at + sizes[turn % len(sizes)]
        found += one.process([take(whole, at, end)])
        state = one.touched()
        if turn % 5 == 0:
            one = engine()
            for name, data in state.items():
                assert not one.restore(name, data)
        at, turn = end, turn + 1
    assert found == expected


def test_warm_up_says_how_many_rows_teach() -> None:
    values = fault(noise(1000, 1000, 2), 700)
    assert engine().process([samples(values, stream="new")])
    assert not engine(warm_up=800).process([samples(values, stream="new")])


def test_rows_without_a_value_teach_nothing() -> None:
    scales = Scales(StreamScales(USUAL, {}, ROWS), 0)
    scales.grow(1)
    scales.begin(0, "new")
    before = scales.state(0)
    scales._learn(0, np.full((1000, 2), np.nan, np.float32))
    assert scales.state(0) == before


def test_a_width_stays_near_that_of_the_training_streams() -> None:
    still = learned_scale(np.full((300, 2), 9.0), USUAL)
    assert still.centre.tolist() == [9, 9]
    assert still.width.tolist() == pytest.approx([0.1, 0.1])
    wild = learned_scale(noise(300, 0, 1e6), USUAL)
    assert wild.width.tolist() == [10, 10]
    assert learned_scale(np.full((300, 2), np.nan), USUAL).centre.tolist() == [0, 0]


@pytest.mark.parametrize(
    "state", [{}, {"centre": [1, 2]}, {"centre": [1, 2], "width": [0, 1]}, {"seen": 1, "rows": "x"}, {"rows": 3}]
)
def test_a_saved_scale_that_is_none_is_refused(state: dict[str, Any]) -> None:
    scales = Scales(StreamScales(USUAL, {}, ROWS), 0)
    scales.grow(1)
    scales.begin(0, "new")
    with pytest.raises(InvalidArgument, match="the saved scale"):
        scales.restore(0, state)
