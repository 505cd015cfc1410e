"""Local times: the zone that texts without one are in.

Twice a year a zone's clock is set. An hour that does not exist is read as if it had not been set yet. Of an hour that
comes twice each time has two meanings, `later` ns apart: which of them it is only the stream's own order tells (see
`settled`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["LocalTimes", "check_zone", "from_local", "settled", "to_local", "zone"]

Times = NDArray[np.int64]

#: Zones set their clocks at whole quarters of an hour.
_QUARTER = 900
_NS = 10**9
#: Streams whose newest time is remembered.
_STREAMS = 100_000
_EPOCH = datetime(1970, 1, 1)
_FIXED = re.compile(r"([+-])(\d\d):?(\d\d)?")


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of that name, such as Europe/Berlin. Raises InvalidArgument where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        text = f"there is no time zone {name!r} here; names are such as Europe/Berlin or UTC"
        raise InvalidArgument(text) from error


def from_local(local: Times, name: str) -> tuple[Times, Times]:
    """UTC of local times, both ns since 1970, and how much later each may be, 0 where it is not told twice."""
    quarters, place = np.unique(local // (_QUARTER * _NS), return_inverse=True)
    offsets = np.array([_offsets(name, quarter) for quarter in quarters.tolist()], np.int64).reshape(-1, 2)
    first, second = offsets[place.ravel()].T
    return local - first, np.maximum(0, first - second)


@cache
def _offsets(name: str, quarter: int) -> tuple[int, int]:
    """Of local times of a quarter of an hour what they are ahead of UTC, ns: before the clock is set, and behind."""
    where = zone(name)
    try:
        moment = _EPOCH + timedelta(seconds=quarter * _QUARTER + 1)
        first, second = (moment.replace(tzinfo=where, fold=fold).utcoffset() for fold in (0, 1))
    except OverflowError:  # beyond the years of the calendar
        first = second = None
    plain = timedelta(0)
    return _ns(first or plain), _ns(second or plain)


def _ns(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000


class LocalTimes:
    """The local times of one source's streams, in the order of arrival.

    newest: the newest time that is known of a stream from before, or None.
    """

    def __init__(self) -> None:
        self.newest: Callable[[str], int | None] = _unknown
        self._newest: dict[str, int] = {}

    def settle(self, stream: str, times: Times, later: Times) -> Times:
        """The next times of a stream, see `settled`."""
        known = [one for one in (self._newest.get(stream), self.newest(stream)) if one is not None]
        before = max(known, default=None)
        found = settled(times, later, before)
        if len(self._newest) >= _STREAMS:
            self._newest.clear()
        self._newest[stream] = max(int(found.max()), before if before is not None else int(found[0]))
        return found


def _unknown(stream: str) -> int | None:  # noqa: ARG001 - the shape of what knows
    return None


def settled(times: Times, later: Times, newest: int | None) -> Times:
    """Times of one stream, in the order of arrival, each with the meaning that lies nearer to the newest before.

    newest: before all of them, None for a stream that is new.
    """
    found = times.copy()
    twice = later > 0
    if not twice.any():
        return found
    for at in range(len(found)):
        moment = int(found[at])
        if later[at] and newest is not None and abs(moment + int(later[at]) - newest) < abs(moment - newest):
            moment += int(later[at])
            found[at] = moment
        newest = moment if newest is None else max(newest, moment)
    return found


def check_zone(name: str) -> None:
    """Raise InvalidArgument where there is no zone of that name, and it is no offset such as +02:00 either."""
    to_local(np.zeros(1, np.int64), name)


def to_local(times: Times, name: str) -> Times:
    """What the clock on the wall shows, as ns since 1970, at times UTC in a zone: Europe/Berlin, UTC, +02:00.

    Raises InvalidArgument where there is no such zone.
    """
    if name == "UTC":
        return times
    if (found := _FIXED.fullmatch(name)) is not None:
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        return times + (-minutes if found[1] == "-" else minutes) * 60 * _NS
    quarters, place = np.unique(times // (_QUARTER * _NS), return_inverse=True)
    return times + np.array([_ahead(name, quarter) for quarter in quarters.tolist()], np.int64)[place.ravel()]


@cache
def _ahead(name: str, quarter: int) -> int:
    """What local times are ahead of UTC in a quarter of an hour, ns."""
    where = zone(name)
    try:
        moment = datetime.fromtimestamp(quarter * _QUARTER, UTC).astimezone(where)
    except (OverflowError, OSError, ValueError):  # beyond the years of the calendar
        return 0
    return _ns(moment.utcoffset() or timedelta(0))
