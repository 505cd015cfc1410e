"""What is missing or stuck, against the definition row by row, however rows are cut into calls."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligned import Aligned
from aez.daemon.signals.notes import Note
from aez.daemon.signals.rules import Figures, SignalRules
from aez.daemon.signals.watch import SignalWatch

CHANNELS = ("flow", "heat", "valve")
FIGURES = Figures(rest=(1, 4, math.inf), absence=(0, 0, 2), ranges=((-3, 3), (-3, 3), (0, 1)))


def rules(**changes: Any) -> SignalRules:
    return SignalRules(**{"channels": CHANNELS, "figures": FIGURES} | changes)


def found(watch: SignalWatch, rows: Aligned, cuts: list[int]) -> tuple[list[tuple[int, int, Note]], np.ndarray]:
    """(Stream, row, note) of all that changed, and what is left out of the score, of rows cut at these places."""
    notes, blanks = [], []
    for start, end in pairwise([0, *cuts, len(rows)]):
        if start == end:
            continue
        part = rows.part(start, end)
        order = np.argsort(part.stream, kind="stable")
        part = part.at(order)
        one = watch.take(part)
        notes += [(int(part.stream[at]), int(part.row[at]), note) for at, all_ in one.notes.items() for note in all_]
        blank = np.zeros(part.values.shape, bool) if one.out is None else one.out
        back = np.empty_like(blank)
        back[order] = blank
        blanks.append(back)
    return sorted(notes, key=lambda one: (*one[:2], *one[2].key)), np.concatenate(blanks)


def of(values: list[list[float]] | np.ndarray, streams: np.ndarray | None = None) -> Aligned:
    array = np.array(values, np.float32)
    stream = np.zeros(len(array), np.int64) if streams is None else streams
    row = np.zeros(len(array), np.int64)
    for number in np.unique(stream):
        row[stream == number] = np.arange((stream == number).sum())
    return Aligned(stream, row, row * 10, array)


def moving(count: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    values[:, 2] = 1
    return values


def watching(streams: int = 1, window: int = 1, **changes: Any) -> SignalWatch:
    watch = SignalWatch(rules(**changes), window)
    watch.grow(streams)
    return watch


def said(notes: list[tuple[int, int, Note]]) -> list[tuple[int, str, tuple[int, ...], bool]]:
    return [(row, note.kind, note.channels, note.ended) for _, row, note in notes]


def test_a_channel_that_is_absent_is_missing_within_ten_rows_and_until_it_comes_again() -> None:
    values = moving(40)
    values[10:30, 0] = np.nan
    notes, out = found(watching(), of(values), [])
    assert said(notes) == [(15, "missing", (0,), False), (30, "missing", (0,), True)]
    assert notes[0][2].since == 100
    assert notes[0][2].rows == 6
    assert out[15:30, 0].all()
    assert out.sum() == 15


def test_a_row_that_was_made_up_is_nobodys_absence() -> None:
    values = moving(60)
    values[10:50] = np.nan
    rows = of(values)
    made = np.zeros(60, bool)
    made[10:50] = True
    assert found(watching(), replace(rows, made_up=made), [])[0] == []
    # The same rows from the outside, with nothing but nulls, are everybody's.
    assert [(note.kind, note.channels) for _, row, note in found(watching(), rows, [])[0] if row == 15] == [
        ("missing", (0,)),
        ("missing", (1,)),
    ]


def test_a_channel_that_never_came_is_missing() -> None:
    values = moving(20)
    values[:, 1] = np.nan
    assert said(found(watching(), of(values), [])[0]) == [(5, "missing", (1,), False)]


def test_a_channel_that_stands_still_is_stuck_and_left_out_until_it_moves() -> None:
    values = moving(40)
    values[10:30, 0] = 0.5
    notes, blank = found(watching(), of(values), [])
    assert said(notes) == [(16, "stuck", (0,), False), (30, "stuck", (0,), True)]
    assert notes[0][2].since == 100
    assert notes[0][2].value == 0.5
    assert blank[16:30, 0].all()
    assert blank.sum() == 14


@pytest.mark.parametrize("cuts", [[], list(range(1, 60)), [12, 31, 34, 41]])
@pytest.mark.parametrize("value", [np.nan, 0.5])
def test_a_channel_that_comes_back_is_left_out_until_its_window_is_whole(cuts: list[int], value: float) -> None:
    values = moving(60)
    values[10:30, 0] = value
    notes, out = found(watching(window=8), of(values), cuts)
    begun = 15 if np.isnan(value) else 16
    assert [row for row, *_ in said(notes)] == [begun, 30]
    assert np.flatnonzero(out[:, 0]).tolist() == list(range(begun, 37))  # row 37 is the eighth of its own
    assert not out[:, 1:].any()


def test_behind_a_frozen_gateway_all_channels_need_a_whole_window() -> None:
    values = moving(60)
    values[10:30] = values[9]
    _, out = found(watching(window=8), of(values), [])
    assert np.flatnonzero(out.all(axis=1)).tolist() == list(range(15, 37))
    assert out.any(axis=1).sum() == 22


def test_a_streams_own_warm_up_shows_how_long_a_channel_may_be_without_a_value() -> None:
    values = moving(400)
    values[:, 0][np.arange(400) % 30 > 0] = np.nan
    values[335:, 0] = np.nan
    often = said(found(watching(), of(values), [])[0])
    assert len(often) > 20
    for cuts in ([], list(range(1, 400)), [55, 99, 101]):
        told = [one for one in said(found(watching(warm_up=100), of(values), cuts)[0]) if one[0] >= 100]
        # In the warm-up 29 rows without a value ended; 29 and 7 more may be, and one more is too many.
        assert told == [(100, "missing", (0,), True), (367, "missing", (0,), False)], cuts
    given = watching(warm_up=100, missing={"flow": 5.0})
    assert len(said(found(given, of(values), [])[0])) == len(often)


def test_all_that_stand_still_at_once_are_one_and_what_stays_is_told_when_the_rest_moves() -> None:
    values = moving(60)
    values[10:50] = values[9]
    values[50:58, 1] = values[9, 1]
    notes, blank = found(watching(), of(values), [])
    assert sorted(said(notes)) == [
        (15, "stuck", (0, 1), False),
        (50, "stuck", (0, 1), True),
        (50, "stuck", (1,), False),
        (58, "stuck", (1,), True),
    ]
    assert blank[15:50].all()
    assert blank[50:58, 1].all()
    assert not blank[58:].any()
    assert not blank[:15].any()


def test_values_that_are_no_readings_are_missing_where_they_lie_far_outside_what_training_showed() -> None:
    values = moving(40)
    values[10:30, 0], values[10:30, 1] = -999, 9.9e37
    notes, _ = found(watching(), of(values), [])
    assert said(notes)[:2] == [(15, "missing", (0,), False), (15, "missing", (1,), False)]
    assert {note.cause for _, _, note in notes[:2]} == {"no reading comes"}
    wide = Figures(rest=(1, 4, math.inf), absence=(0, 0, 2), ranges=((-2000, 3), (-3, 3), (0, 1)))
    values[10:30, 1] = moving(40)[10:30, 1]
    assert said(found(watching(figures=wide), of(values), [])[0])[0] == (16, "stuck", (0,), False)


def test_what_is_said_of_a_channel_holds_in_place_of_its_figure() -> None:
    values = moving(60)
    values[10:50, 0] = 0.5
    values[10:50, 1] = np.nan
    watch = watching(stuck={"flow": math.inf}, missing={"h*": 20.0})
    assert said(found(watch, of(values), [])[0]) == [(30, "missing", (1,), False), (50, "missing", (1,), True)]
    assert found(watching(stuck={"*": math.inf}, missing={"*": math.inf}), of(values), [])[0] == []
    with pytest.raises(InvalidArgument, match="'pump'; the model has flow, heat, valve"):
        rules(stuck={"pump": 3.0})


def test_without_figures_a_stream_shows_them_in_its_first_rows() -> None:
    values = moving(400)
    values[::2, 1] = values[1::2, 1]  # heat stands still for two rows, valve for ever
    values[:200, 0][np.arange(200) % 4 > 0] = np.nan  # flow comes every fourth row
    values[300:340, 0] = 7
    values[320:360, 1] = -7
    values[250:300, 2] = np.nan
    watch = watching(figures=Figures(), learn=200)
    assert said(found(watch, of(values), [])[0]) == [
        (255, "missing", (2,), False),
        (300, "missing", (2,), True),
        (306, "stuck", (0,), False),
        (327, "stuck", (1,), False),
        (340, "stuck", (0,), True),
        (360, "stuck", (1,), True),
    ]


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("learn", [0, 40])
def test_cuts_change_nothing_nor_does_a_restart(seed: int, learn: int) -> None:
    dice = np.random.default_rng(seed)
    count, streams = int(dice.integers(50, 500)), int(dice.integers(1, 4))
    values = dice.integers(0, dice.choice([2, 5, 100]), (count, 3)).astype(np.float32)
    if dice.random() < 0.7:
        values[dice.random((count, 3)) < dice.choice([0.02, 0.4])] = np.nan
    for _ in range(4):
        start, channel = int(dice.integers(count)), dice.choice([0, 1, 2])
        values[start : start + int(dice.integers(40)), channel if dice.random() < 0.6 else slice(None)] = dice.choice(
            [np.nan, 3, -999]
        )
    rows = of(values, dice.integers(0, streams, count))
    rows = replace(rows, made_up=np.isnan(values).all(axis=1) & (dice.random(count) < 0.7))
    changes: dict[str, Any] = {"figures": Figures(ranges=FIGURES.ranges), "learn": learn} if learn else {}
    changes |= {"window": int(dice.choice([1, 7])), "warm_up": int(dice.choice([0, 30]))}
    whole = found(watching(streams, **changes), rows, [])
    cuts = sorted(dice.integers(0, count, int(dice.integers(1, 60))).tolist())
    cut = found(watching(streams, **changes), rows, cuts)
    assert whole[0] == cut[0]
    assert (whole[1] == cut[1]).all()
    assert whole[0] == found(watching(streams, **changes), rows, list(range(1, count)))[0]

    middle = cuts[len(cuts) // 2]
    first = watching(streams, **changes)
    before = found(first, rows.part(0, middle), []) if middle else ([], whole[1][:0])
    again = watching(streams, **changes)
    for number in range(streams):
        again.restore(number, first.states(np.array([number]))[0], first.left[number].tolist())
    rest = rows.part(middle, count)
    after = found(again, rest, [])
    assert sorted([*before[0], *after[0]], key=lambda one: (*one[:2], *one[2].key)) == whole[0]
    assert (np.concatenate([before[1], after[1]]) == whole[1]).all()


def test_a_state_that_is_none_is_refused() -> None:
    for state in (None, 3, "?", "AAAA", [1]):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            watching().restore(0, state)


def test_rows_of_which_every_value_is_no_reading_did_come() -> None:
    values = moving(40)
    values[10:30] = -999
    notes, _ = found(watching(), of(values), [])
    begun = [note for _, _, note in notes if not note.ended]
    assert {(note.kind, note.cause) for note in begun} == {("missing", "no reading comes")}
    assert {note.channels for note in begun} == {(0,), (1,), (2,)}
    assert {row for _, row, note in notes if note.ended} == {30}


@pytest.mark.parametrize("cuts", [[], [7], list(range(1, 90)), [29, 30, 31, 60]])
def test_streams_whose_channels_all_move_teach_what_a_closer_look_finds(
    cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(3).normal(size=(90, 3))
    values[45:48, 1] = values[44, 1]  # the second stream rests once it has learned, and the third while it does
    values[5:8, 2] = values[4, 2]
    rows = of(np.concatenate([values[::1], values[::-1], values]), np.repeat([0, 1, 2], 90))
    rows = rows.at(np.argsort(rows.row, kind="stable"))
    quick, careful = (watching(3, figures=Figures(), learn=30) for _ in range(2))
    wanted_cuts = [3 * cut for cut in cuts]
    looked: list[int] = []
    follow = SignalWatch._follow_all
    monkeypatch.setattr(SignalWatch, "_follow_all", lambda self, *a: (looked.append(1), follow(self, *a)))
    one = found(quick, rows, wanted_cuts)
    few = len(looked)
    monkeypatch.setattr(SignalWatch, "_affected", lambda self, rows, first, heads: np.ones(len(heads), bool))  # noqa: ARG005
    other = found(careful, rows, wanted_cuts)
    assert one[0] == other[0]
    assert (one[1] == other[1]).all()
    numbers = np.arange(3)
    assert quick.states(numbers) == careful.states(numbers)
    if len(cuts) > 50:
        assert few < len(looked) - few
