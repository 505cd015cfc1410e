"""When the streams of some patterns are muted: once, or again and again on weekdays, in a time zone."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.codec.series.zones import zone

__all__ = ["WEEKDAYS", "MuteWindow", "day_time", "moment_of", "weekdays_of"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


@dataclass(frozen=True)
class MuteWindow:
    """Streams of `patterns` are muted, for a reason.

    begins, ends: ns since 1970 UTC, of the whole; None for no bound. daily: from and to which time of the day, as local
    time of `timezone`; one that ends no later than it begins ends on the next day. None: all the time. weekdays: on
    which a daily one begins, 0 for Monday; all where none is named.
    """

    patterns: tuple[str, ...]
    reason: str
    begins: int | None = None
    ends: int | None = None
    daily: tuple[time, time] | None = None
    weekdays: tuple[int, ...] = ()
    timezone: str = "UTC"

    def fits(self, stream: str) -> bool:
        """Whether a stream is among those that are meant."""
        return any(fnmatch.fnmatchcase(stream, pattern) for pattern in self.patterns)

    def until(self, moment: int) -> int | None:
        """The end of the window that a time lies in, ns since 1970 UTC; None where it lies in none."""
        if (self.begins is not None and moment < self.begins) or (self.ends is not None and moment >= self.ends):
            return None
        bound = _FURTHEST if self.ends is None else self.ends
        if self.daily is None:
            return bound
        where = zone(self.timezone)
        try:
            local = (_EPOCH + timedelta(microseconds=moment // 1000)).astimezone(where).replace(tzinfo=None)
            for back in (0, 1):
                day = local.date() - timedelta(days=back)
                if self.weekdays and day.weekday() not in self.weekdays:
                    continue
                start, end = self._span(day)
                if start <= local < end:
                    return min(bound, _ns(end, where))
        except (OverflowError, ValueError, OSError):  # beyond the years of the calendar
            pass
        return None

    def _span(self, day: Any) -> tuple[datetime, datetime]:
        assert self.daily is not None
        begin, end = self.daily
        last = day if end > begin else day + timedelta(days=1)
        return datetime.combine(day, begin), datetime.combine(last, end)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        daily = None if self.daily is None else [one.isoformat(timespec="minutes") for one in self.daily]
        return {
            "patterns": list(self.patterns),
            "reason": self.reason,
            "begins": self.begins,
            "ends": self.ends,
            "daily": daily,
            "weekdays": [WEEKDAYS[one] for one in self.weekdays],
            "timezone": self.timezone,
        }


#: Stands for no end.
_FURTHEST = (1 << 62) - 1


def moment_of(text: str, timezone: str = "UTC") -> int:
    """Ns since 1970 UTC of an ISO 8601 time, which is one of `timezone` where it names none. Raises InvalidArgument."""
    try:
        found = datetime.fromisoformat(text)
        return _ns(found, found.tzinfo or zone(timezone))
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{text[:60]!r} is no time; write 2026-12-01T06:00 or 2026-12-01T06:00Z") from error


def day_time(text: str) -> time:
    """A time of the day such as 22:00. Raises InvalidArgument."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"{text[:60]!r} is no time of the day; write 22:00")
    hour, minute, second = (int(part or 0) for part in found.groups())
    return time(hour, minute, second)


def weekdays_of(texts: Sequence[str]) -> tuple[int, ...]:
    """Numbers of weekdays by their first three letters. Raises InvalidArgument."""
    found = []
    for text in texts:
        name = text.lower()
        if len(name) < 3 or name[:3] not in WEEKDAYS:
            raise InvalidArgument(f"{text[:60]!r} is no weekday; write one of {', '.join(WEEKDAYS)}")
        found.append(WEEKDAYS.index(name[:3]))
    return tuple(sorted(set(found)))


def _ns(moment: datetime, where: tzinfo) -> int:
    seconds = moment.replace(tzinfo=where if moment.tzinfo is None else moment.tzinfo).astimezone(UTC).timestamp()
    return round(seconds * 1e6) * 1000
