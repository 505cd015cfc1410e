"""Streams that moved for good, and whose level was taken: what is taken from their values before they are scored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.seasons import SeasonInputs
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.adoption import level_shift
from aez.daemon.alarms.season_jump import amounts, level_jump
from aez.daemon.common.records import EventRecord
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, Ints, StreamColumns, entries

__all__ = ["Levels", "Shifts"]

Floats = NDArray[np.float64]
_log = logging.getLogger(__name__)
#: Why events close: the stream did not calm down.
ADOPTED, GIVEN_UP = "its level is taken as normal", "its level is no longer taken as normal"
#: Events whose level could not be taken that are remembered.
_REMEMBERED = 10_000


class Changing(Protocol):
    """The events of a stream; see `aez.daemon.engine.follower`."""

    @property
    def changed(self) -> bool: ...
    @property
    def event_id(self) -> str: ...


class Trailing(Protocol):
    """The trailing levels of streams; see `aez.daemon.engine.beside.season_levels`."""

    def of_next(self, number: int) -> SeasonInputs | None: ...
    def jump(self, number: int, by: Floats) -> Floats: ...


class Streams(Protocol):
    """What it needs of the streams of a model, by their numbers; see `aez.daemon.engine.model_streams`."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def followers(self) -> Mapping[int, Changing]: ...
    @property
    def trailing(self) -> Trailing | None: ...

    def limit_of(self, number: int) -> float:
        """A stream's limit, in thresholds of the model."""

    def last_rows(self, number: int) -> Float:
        """Its last rows, [at most window - 1, channels]."""

    def let_go(self, number: int, reason: str) -> list[EventRecord]:
        """What closes where a stream's event is followed no more."""


class Shifts(StreamColumns):
    """What is taken from the values of one model's streams before windows of `window` rows are scored."""

    shifts: dict[int, Float] = entries()  # float32 [channels]

    def __init__(self, window: int) -> None:
        super().__init__()
        self._window = window

    def apply(self, joined: Float, starts: Ints, rows: Aligned, first: Ints) -> None:
        """Take the shifts from what the model is to see, see `Rings.extend`."""
        if not self.shifts:
            return
        ends = np.append(first[1:], len(rows)) - 1
        for start, end in zip(first.tolist(), ends.tolist(), strict=True):
            shift = self.shifts.get(int(rows.stream[start]))
            if shift is not None:
                joined[starts[start] : starts[end] + self._window] -= shift


class Levels(Shifts):
    """The shifts of one model's streams, as they are taken. most: of one channel, in ranges that training saw.

    Where a model has seasons, the trailing levels of its streams jump instead.
    """

    jumps: dict[int, Floats] = entries()  # of the trailing level, float64 [channels]

    def __init__(self, streams: Streams, model: Any, most: float) -> None:
        super().__init__(model.window)
        self._streams, self._model, self._most = streams, model, most
        self._refused: set[str] = set()

    @property
    def count(self) -> int:
        """Streams whose level was taken."""
        return len(self.shifts) + len(self.jumps)

    def adopt(self, number: int) -> list[EventRecord]:
        """Take a stream's level as its normal one from now on; what closes. Raises InvalidArgument."""
        streams = self._streams
        ring, limit = streams.last_rows(number), streams.limit_of(number)
        if (trailing := streams.trailing) is None:
            return self.take(number, self._find(number, ring, limit))
        self._jump(trailing, number, self._window_of(ring), limit)
        return self._closed(number, ADOPTED)

    def take(self, number: int, shift: Float | None) -> list[EventRecord]:
        """Score a stream with this shift from now on, or with none; what closes."""
        self._set(number, shift)
        jumped = self.jumps.pop(number, None)
        if jumped is not None and (trailing := self._streams.trailing) is not None:
            trailing.jump(number, -jumped)
        return self._closed(number, GIVEN_UP if shift is None else ADOPTED)

    def _closed(self, number: int, reason: str) -> list[EventRecord]:
        records = self._streams.let_go(number, reason)
        return [replace(one, event={**one.event, "adopted": self.named(number)}) for one in records]

    def adopt_changed(self) -> list[EventRecord]:
        """By policy: take the level of streams that moved for good; one that cannot be taken is named in the log."""
        followers = self._streams.followers
        records: list[EventRecord] = []
        for number in [number for number, follower in followers.items() if follower.changed]:
            event = followers[number].event_id
            if event in self._refused:
                continue
            try:
                records += self.adopt(number)
            except InvalidArgument as error:
                self._refuse(event)
                name = self._streams.names[number]
                _log.warning("stream %s moved for good, and its level is not taken: %s", name, error)
        return records

    def _find(self, number: int, ring: Float, limit: float) -> Float:
        """The shift with which a stream's last rows [at most window - 1, channels] are normal.

        Raises InvalidArgument where there is none.
        """
        if (scales := getattr(self._model, "scales", None)) is not None:
            if self._streams.names[number] in scales.known:
                raise InvalidArgument(
                    "its model has this stream's own centre from training; train it anew, or rename the stream, and it "
                    "learns its own"
                )
            raise InvalidArgument("its model learns each stream's own centre; forget the stream, and it learns anew")
        window = self._window_of(ring)
        before = self.shifts.get(number, np.zeros(ring.shape[1], np.float32))
        shift: Float = before + level_shift(self._model, window - before, limit, self._most)
        return shift

    def _window_of(self, ring: Float) -> Float:
        """A stream's last rows, and the last of them once more. Raises InvalidArgument where they are too few."""
        if not len(ring) or len(ring) < self._window - 1:
            raise InvalidArgument("it has not had a whole window of rows yet")
        return np.concatenate([ring, ring[-1:]])

    def _jump(self, trailing: Trailing, number: int, window: Float, limit: float) -> None:
        """The trailing level jumps to where a stream's last rows are normal. Raises InvalidArgument."""
        if (given := trailing.of_next(number)) is None:
            raise InvalidArgument("its level is still being learned")
        by = trailing.jump(number, level_jump(self._model, window, given, limit, self._most))
        self._set_jump(number, self.jumps.get(number, 0.0) + by)

    def _set(self, number: int, shift: Float | None) -> None:
        self.shifts.pop(number, None)
        if shift is not None and shift.any():
            self.shifts[number] = shift.astype(np.float32)

    def _set_jump(self, number: int, jump: Floats) -> None:
        self.jumps.pop(number, None)
        if jump.any():
            self.jumps[number] = jump

    def named(self, number: int) -> dict[str, float]:
        """What is taken from the values of a stream, or by what its level jumped, by channel; nothing where neither."""
        shift: Float | Floats | None = self.shifts.get(number)
        if (jump := self.jumps.get(number)) is not None:
            shift = amounts(self._model.seasons, jump)
        pairs = () if shift is None else zip(self._model.channels, shift.tolist(), strict=True)
        return {name: value for name, value in pairs if value}

    def _refuse(self, event: str) -> None:
        if len(self._refused) >= _REMEMBERED:
            self._refused.clear()
        self._refused.add(event)

    def state(self, number: int) -> list[float] | None:
        """As plain data for JSON."""
        taken = self.jumps.get(number, self.shifts.get(number))
        return None if taken is None else taken.tolist()

    def restore(self, number: int, state: Sequence[float] | None) -> None:
        """Go on from what `state` gave; one of another model is left out."""
        taken = np.array(() if state is None else state, np.float64)
        if taken.shape != (len(self._model.channels),) or not np.isfinite(taken).all():
            return
        if self._streams.trailing is None:
            self._set(number, taken.astype(np.float32))
        else:  # the level itself is kept with the stream's phases
            self._set_jump(number, taken)
