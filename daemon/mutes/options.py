"""`[[mute]]`: maintenance windows that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from aez.codec.errors import InvalidArgument
from aez.codec.series.zones import zone
from aez.daemon.common.options import Options, about
from aez.daemon.mutes.window import MuteWindow, day_time, moment_of, weekdays_of

__all__ = ["MuteOptions"]


@dataclass(frozen=True, kw_only=True)
class MuteOptions(Options):
    """What one window may say. Raises InvalidArgument for what does not go together, naming the option."""

    streams: Sequence[str] = field(metadata=about("patterns of the streams whose events are recorded and not sent"))
    reason: str = field(metadata=about("why, which stands with each event"))
    begins: str | None = field(
        default=None, metadata=about("from when on, such as 2026-12-01T06:00; at once by default")
    )
    until: str | None = field(default=None, metadata=about("until when; needed unless it is daily"))
    daily_from: str | None = field(default=None, metadata=about("on each day from such a time on, such as 22:00"))
    daily_to: str | None = field(
        default=None, metadata=about("until such a time, of the next day where it is no later")
    )
    weekdays: Sequence[str] = field(
        default=(),
        metadata=about("days on which a daily window begins: mon, tue, wed, thu, fri, sat, sun; all by default"),
    )
    timezone: str = field(default="UTC", metadata=about("of the times that name none, such as Europe/Berlin"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.window()

    def window(self) -> MuteWindow:
        """The window. Raises InvalidArgument."""
        _named("timezone", lambda: zone(self.timezone))
        begins, ends = (
            None if text is None else _named(name, partial(moment_of, text, self.timezone))
            for name, text in (("begins", self.begins), ("until", self.until))
        )
        if (self.daily_from is None) != (self.daily_to is None):
            missing = "daily_to" if self.daily_to is None else "daily_from"
            raise InvalidArgument(f"{missing}: it is missing; a daily window has both")
        daily = None
        if self.daily_from is not None and self.daily_to is not None:
            start, end = self.daily_from, self.daily_to
            daily = _named("daily_from", lambda: day_time(start)), _named("daily_to", lambda: day_time(end))
        elif self.weekdays:
            raise InvalidArgument("weekdays: they are of a daily window; give daily_from and daily_to")
        if ends is None and daily is None:
            raise InvalidArgument("until: it is missing; a mute has an end")
        if begins is not None and ends is not None and ends <= begins:
            raise InvalidArgument("until: it is no later than begins")
        if not all(self.streams):
            raise InvalidArgument("streams: a pattern is empty; * stands for all streams")
        days = _named("weekdays", lambda: weekdays_of(self.weekdays))
        return MuteWindow(tuple(self.streams), self.reason, begins, ends, daily, days, self.timezone)


Made = TypeVar("Made")


def _named(name: str, make: Callable[[], Made]) -> Made:
    """What it makes; what it raises names the option."""
    try:
        return make()
    except InvalidArgument as error:
        raise InvalidArgument(f"{name}: {error}") from error
