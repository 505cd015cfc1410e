"""Streams that moved for good, and whose level was taken: what is taken from their values before they are scored."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.adoption import level_shift
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.follower import Follower
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, Ints, StreamColumns, entries

__all__ = ["Levels"]

_log = logging.getLogger(__name__)
#: Events whose level could not be taken that are remembered.
_REMEMBERED = 10_000


class Levels(StreamColumns):
    """The shifts of one model's streams. most: of one channel, in ranges that training saw."""

    shifts: dict[int, Float] = entries()  # float32 [channels]

    def __init__(self, model: Any, window: int, most: float) -> None:
        super().__init__()
        self._model, self._window, self._most = model, window, most
        self._refused: set[str] = set()

    def apply(self, joined: Float, starts: Ints, rows: Aligned, first: Ints) -> None:
        """Take the shifts from what the model is to see, see `Rings.extend`."""
        if not self.shifts:
            return
        ends = np.append(first[1:], len(rows)) - 1
        for start, end in zip(first.tolist(), ends.tolist(), strict=True):
            shift = self.shifts.get(int(rows.stream[start]))
            if shift is not None:
                joined[starts[start] : starts[end] + self._window] -= shift

    def find(self, number: int, ring: Float, limit: float) -> Float:
        """The shift with which a stream's last rows [at most window - 1, channels] are normal.

        Raises InvalidArgument where there is none.
        """
        if not len(ring) or len(ring) < self._window - 1:
            raise InvalidArgument("it has not had a whole window of rows yet")
        before = self.shifts.get(number, np.zeros(ring.shape[1], np.float32))
        window = np.concatenate([ring, ring[-1:]]) - before
        shift: Float = before + level_shift(self._model, window, limit, self._most)
        return shift

    def take(self, number: int, shift: Float | None) -> None:
        """Score the stream with this shift from now on, or with none."""
        self.shifts.pop(number, None)
        if shift is not None and shift.any():
            self.shifts[number] = shift.astype(np.float32)

    def named(self, number: int) -> dict[str, float]:
        """What is taken from the values of a stream, by channel; nothing where it is not shifted."""
        shift = self.shifts.get(number)
        pairs = () if shift is None else zip(self._model.channels, shift.tolist(), strict=True)
        return {name: value for name, value in pairs if value}

    def told(self, number: int, records: Iterable[EventRecord]) -> list[EventRecord]:
        """Records of events that close because the level was taken, or given up."""
        return [replace(one, event={**one.event, "adopted": self.named(number)}) for one in records]

    def waiting(self, followers: Mapping[int, Follower]) -> list[int]:
        """Streams with a lasting change whose level was not refused before."""
        return [
            number
            for number, follower in followers.items()
            if follower.changed and follower.event_id not in self._refused
        ]

    def refuse(self, event: str, stream: str, why: InvalidArgument) -> None:
        """Remember that it cannot be taken, and say so."""
        if len(self._refused) >= _REMEMBERED:
            self._refused.clear()
        self._refused.add(event)
        _log.warning("stream %s moved for good, and its level is not taken: %s", stream, why)

    def state(self, number: int) -> list[float] | None:
        """As plain data for JSON."""
        shift = self.shifts.get(number)
        return None if shift is None else shift.tolist()

    def restore(self, number: int, state: Sequence[float] | None) -> None:
        """Go on from what `state` gave; one of another model is left out."""
        shift = np.array(() if state is None else state, np.float32)
        if shift.shape == (len(self._model.channels),) and np.isfinite(shift).all():
            self.take(number, shift)
