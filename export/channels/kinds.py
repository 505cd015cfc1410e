"""What each channel of training data is: a measurement, a state, a counter, one that never moves, or none to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.words import listed
from aez.codec.errors import InvalidArgument, UnsupportedInput

__all__ = ["CHOICES", "ChannelKind", "Kinds", "Rows", "all_measured", "find_kinds", "measured"]

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
ChannelKind = Literal["measured", "state", "counter", "constant", "left-out"]
#: Kinds that a user may give; whether a channel is constant is found.
CHOICES: tuple[ChannelKind, ...] = ("measured", "state", "counter", "left-out")

#: A few-valued channel of whole numbers has at most so many values; a state that a user names may have `STATES_MOST`.
FEW, STATES_MOST = 8, 64
#: Its changes skip values in between in at least this share; those of a coarse sensor hardly do.
_JUMPS = 0.2
#: Counts of what happens in a row (errors, retries) are no states: from 0 up, of so many values, the highest one rare
#: beside the most frequent, and neighbours equal at most so much more often than any two rows.
_COUNTS_FEWEST, _COUNTS_RARE, _COUNTS_ALIKE = 4, 0.1, 1.1
#: What counts as another peak of their shares, of the highest.
_COUNTS_PEAK = 0.02
#: Fewer values than this tell no kind but that nothing moves.
FEWEST = 50
#: Of a counter's steps, the share that may go down (it starts again) and the share that goes up at least.
_RESETS, _RISES = 0.005, 0.2
#: A counter whose steps vary by less than this, relatively, counts rows or seconds.
_STEADY = 0.02
#: Steps are seen where they are so many times what float32 resolves at the counter's size.
_RESOLVED = 8.0
#: An identifier is a whole number beyond what float32 holds, nearly always another one.
_WHOLE_MOST, _DISTINCT = 2.0**24, 0.9
#: 2000 to 2100, in seconds; clocks count these, or thousandths, millionths, billionths of them.
_CLOCK = (946_684_800.0, 4_102_444_800.0)
_CLOCK_UNITS = (1.0, 1e3, 1e6, 1e9)


@dataclass(frozen=True)
class Kinds:
    """The kind of each channel. values: those that a state took in training, the most frequent first, else ().

    low, high: the range that was seen, in the sensors' units.
    """

    names: tuple[ChannelKind, ...]
    values: tuple[tuple[float, ...], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def places(self, *kinds: ChannelKind) -> list[int]:
        """The numbers of the channels of these kinds, in order."""
        return [place for place, kind in enumerate(self.names) if kind in kinds]

    @property
    def learned(self) -> list[int]:
        """The channels that the network sees, in its order."""
        return [*self.places("measured"), *self.places("counter")]

    def seen_in(self, rows: Sequence[Rows]) -> Kinds:
        """These kinds with the ranges of rows [time, channels]; a channel without a value there keeps its own."""
        low, high = _ranges(rows)
        pairs = [(low, self.low), (high, self.high)]
        found = [np.where(np.isfinite(new), new, old).tolist() for new, old in pairs]
        return replace(self, low=tuple(found[0]), high=tuple(found[1]))

    @property
    def plain(self) -> bool:
        """Whether all channels are measured."""
        return set(self.names) == {"measured"}


def all_measured(rows: Sequence[Rows]) -> Kinds:
    """The kinds of rows [time, channels] each of which is taken as it comes."""
    low, high = _ranges(rows)
    return measured(low.tolist(), high.tolist())


def measured(low: Sequence[float], high: Sequence[float]) -> Kinds:
    """Channels that are taken as they come, of these ranges."""
    kind: ChannelKind = "measured"
    return Kinds((kind,) * len(low), ((),) * len(low), tuple(low), tuple(high))


def find_kinds(
    rows: Sequence[Rows],
    exact: Sequence[NDArray[np.floating]],
    channels: Sequence[str],
    given: Mapping[str, str],
    windowed: bool = True,
) -> tuple[Kinds, list[str]]:
    """The kinds of the channels of series [time, channels], and a sentence for each that is not measured.

    `rows` are as a graph takes them, NaN = missing; `exact` are the same as they came, in which counters keep their
    steps. `given` are kinds by the channel's name, as the user wants them. Not `windowed`: windows have one row, in
    which nothing can be counted, and states are what rows are described by. Raises InvalidArgument for a name or kind
    that does not exist, and for a state of too many values; UnsupportedInput where nothing is left to learn from.
    """
    _check_given(channels, given)
    plain = all_measured(rows)
    kinds, notices = list(plain.names), []
    for place, name in enumerate(channels):
        pairs = zip(rows, exact, strict=True)
        columns = [wide[np.isfinite(one[:, place]), place].astype(np.float64) for one, wide in pairs]
        found, why = _kind(columns, windowed)
        if name in given and found != "constant":
            found, why = cast(ChannelKind, given[name]), ""
            if found == "counter" and not windowed:
                raise InvalidArgument(f"{name} cannot be counted in windows of one row; give a longer window")
        kinds[place] = found
        if why:
            notices.append(f"{name} {why}")
    if not {"measured", "counter"} & set(kinds):
        if "state" not in kinds:
            raise UnsupportedInput(
                f"nothing is left to learn from: {'; '.join(notices) or 'all channels are left out'}"
            )
        kinds = ["measured" if kind == "state" else kind for kind in kinds]
    values = [_state_values(rows, place) if kind == "state" else () for place, kind in enumerate(kinds)]
    for name, taken in zip(channels, values, strict=True):
        if len(taken) > STATES_MOST:
            raise InvalidArgument(f"{name} has {len(taken)} values, and a state has at most {STATES_MOST}")
    if states := [name for name, kind in zip(channels, kinds, strict=True) if kind == "state" and name not in given]:
        notices.append(
            f"{listed(states)} {'is a state' if len(states) == 1 else 'are states'} of two or few values: what is "
            "usual for the others is learned by it, and combinations that are rare score by how rare they are"
        )
    return replace(plain, names=tuple(kinds), values=tuple(values)), notices


def _check_given(channels: Sequence[str], given: Mapping[str, str]) -> None:
    for name, kind in given.items():
        if name not in channels:
            raise InvalidArgument(f"there is no channel {name!r} to take as {kind}; it has {listed(list(channels))}")
        if kind not in CHOICES:
            raise InvalidArgument(f"kind {kind!r} of {name} is unknown; use {', '.join(CHOICES)}")


def _kind(columns: Sequence[Floats], windowed: bool) -> tuple[ChannelKind, str]:
    """The kind of a channel by its finite values in each series, and what to say of it."""
    values = np.concatenate(columns)
    if not len(values):
        return "measured", ""  # refused later, by its name
    small = values.astype(np.float32)
    if len(values) >= FEWEST:
        steps = np.concatenate([np.diff(one) for one in columns])
        if _rises(steps):
            return _counter(values, steps, windowed)
    if small.min() == small.max():
        return "constant", ""
    if len(values) < FEWEST:
        return "measured", ""
    distinct = np.unique(values)
    few = len(distinct) <= FEW and _jumps(columns, distinct) and not _counts(columns, distinct)
    if len(distinct) == 2 or few:
        return ("state" if windowed else "measured"), ""
    large = bool(np.median(np.abs(values)) > _WHOLE_MOST and np.all(values == np.rint(values)))
    if large and len(distinct) > _DISTINCT * len(values):
        return "left-out", "holds identifiers, a new one nearly every row, and is left out"
    return "measured", ""


def _counter(values: Floats, steps: Floats, windowed: bool) -> tuple[ChannelKind, str]:
    rises = steps[steps >= 0]
    low, high = float(values.min()), float(values.max())
    if any(_CLOCK[0] * unit <= low and high <= _CLOCK[1] * unit for unit in _CLOCK_UNITS):
        return "left-out", "holds times, as a clock counts them, and is left out"
    if _is_steady(rises):
        return "left-out", "counts on evenly, as row numbers do, and is left out"
    usual = float(np.median(rises[rises > 0]))
    if usual < _RESOLVED * float(np.spacing(np.float32(max(abs(low), abs(high))))):
        return "left-out", f"counts up to {high:.3g} in steps too small for 32 bits, and is left out; give its rate"
    if not windowed:
        return "left-out", "counts up, which says nothing of a row by itself, and is left out; give its rate"
    return "counter", "counts up, and its steps from row to row are learned instead"


def numbers_rows(values: Floats) -> bool:
    """Whether a column's values count on evenly from row to row, as row numbers and clocks do."""
    steps = np.diff(values)
    return len(values) >= FEWEST and _rises(steps) and _is_steady(steps[steps >= 0])


def _rises(steps: Floats) -> bool:
    return bool(np.mean(steps < 0) <= _RESETS and np.mean(steps > 0) >= _RISES)


def _is_steady(rises: Floats) -> bool:
    middle = float(np.median(rises))
    return bool(np.mean(np.abs(rises - middle) > _STEADY * middle) < _STEADY)


def _jumps(columns: Sequence[Floats], distinct: Floats) -> bool:
    """Whether whole numbers change as states do: past values in between."""
    if not np.array_equal(distinct, np.rint(distinct)):
        return False
    moves = np.concatenate([np.abs(np.diff(np.searchsorted(distinct, one))) for one in columns])
    moves = moves[moves > 0]
    return bool(len(moves) and np.mean(moves > 1) >= _JUMPS)


def _counts(columns: Sequence[Floats], distinct: Floats) -> bool:
    """Whether few whole numbers say how often something happened: fewer rows the more, and nothing of it stays."""
    if distinct[0] != 0 or len(distinct) < _COUNTS_FEWEST:
        return False
    places = [np.searchsorted(distinct, one) for one in columns]
    share = np.bincount(np.concatenate(places)) / sum(map(len, places))
    moves = np.diff(share)
    rises = (moves > _COUNTS_PEAK * share.max())[np.abs(moves) > _COUNTS_PEAK * share.max()]
    unimodal = not np.any(np.diff(rises.astype(int)) > 0)
    stays = np.mean(np.concatenate([np.diff(one) == 0 for one in places]))
    return bool(unimodal and share[-1] < _COUNTS_RARE * share.max() and stays <= _COUNTS_ALIKE * np.sum(share**2))


def _state_values(rows: Sequence[Rows], place: int) -> tuple[float, ...]:
    values = np.concatenate([one[np.isfinite(one[:, place]), place] for one in rows])
    distinct, counts = np.unique(values, return_counts=True)
    return tuple(float(value) for value in distinct[np.argsort(-counts, kind="stable")])


def _ranges(rows: Sequence[Rows]) -> tuple[Floats, Floats]:
    filled = [one for one in rows if len(one)]
    if not filled:
        count = rows[0].shape[1]
        return np.zeros(count), np.zeros(count)
    low = np.fmin.reduce([np.fmin.reduce(one, axis=0) for one in filled])
    high = np.fmax.reduce([np.fmax.reduce(one, axis=0) for one in filled])
    return low.astype(np.float64), high.astype(np.float64)
