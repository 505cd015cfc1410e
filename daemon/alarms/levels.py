"""Streams that moved for good, and whose level was taken: what is taken from their values before they are scored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.adoption import level_shift
from aez.daemon.common.records import EventRecord
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, Ints, StreamColumns, entries

__all__ = ["Levels", "Shifts"]

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


class Streams(Protocol):
    """What it needs of the streams of a model, by their numbers; see `aez.daemon.engine.model_streams`."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def followers(self) -> Mapping[int, Changing]: ...

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
    """The shifts of one model's streams, as they are taken. most: of one channel, in ranges that training saw."""

    def __init__(self, streams: Streams, model: Any, most: float) -> None:
        super().__init__(model.window)
        self._streams, self._model, self._most = streams, model, most
        self._refused: set[str] = set()

    def adopt(self, number: int) -> list[EventRecord]:
        """Take a stream's level as its normal one from now on; what closes. Raises InvalidArgument."""
        streams = self._streams
        return self.take(number, self._find(number, streams.last_rows(number), streams.limit_of(number)))

    def take(self, number: int, shift: Float | None) -> list[EventRecord]:
        """Score a stream with this shift from now on, or with none; what closes."""
        self._set(number, shift)
        records = self._streams.let_go(number, GIVEN_UP if shift is None else ADOPTED)
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
        if getattr(self._model, "scales", None) is not None:
            raise InvalidArgument("its model learns each stream's own centre; forget the stream, and it learns anew")
        if getattr(self._model, "seasons", None) is not None:
            raise InvalidArgument("its model has seasons and follows each stream's level by itself, within weeks")
        if not len(ring) or len(ring) < self._window - 1:
            raise InvalidArgument("it has not had a whole window of rows yet")
        before = self.shifts.get(number, np.zeros(ring.shape[1], np.float32))
        window = np.concatenate([ring, ring[-1:]]) - before
        shift: Float = before + level_shift(self._model, window, limit, self._most)
        return shift

    def _set(self, number: int, shift: Float | None) -> None:
        self.shifts.pop(number, None)
        if shift is not None and shift.any():
            self.shifts[number] = shift.astype(np.float32)

    def named(self, number: int) -> dict[str, float]:
        """What is taken from the values of a stream, by channel; nothing where it is not shifted."""
        shift = self.shifts.get(number)
        pairs = () if shift is None else zip(self._model.channels, shift.tolist(), strict=True)
        return {name: value for name, value in pairs if value}

    def _refuse(self, event: str) -> None:
        if len(self._refused) >= _REMEMBERED:
            self._refused.clear()
        self._refused.add(event)

    def state(self, number: int) -> list[float] | None:
        """As plain data for JSON."""
        shift = self.shifts.get(number)
        return None if shift is None else shift.tolist()

    def restore(self, number: int, state: Sequence[float] | None) -> None:
        """Go on from what `state` gave; one of another model is left out."""
        shift = np.array(() if state is None else state, np.float32)
        if shift.shape == (len(self._model.channels),) and np.isfinite(shift).all():
            self._set(number, shift)
