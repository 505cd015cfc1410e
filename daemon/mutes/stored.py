"""Mutes by hand: in the state's database, so that page and commands make them whether the monitor runs or not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import storable
from aez.daemon.mutes.window import MuteWindow

__all__ = ["LONGEST_DAYS", "StoredMute", "add", "end", "forget", "in_force"]

#: A mute by hand ends after so many days at the latest; what is to last goes into the configuration.
LONGEST_DAYS = 366
_REASON_MOST, _PATTERN_MOST = 1000, 1000
_COLUMNS = "number, pattern, made, until, reason, author"


@dataclass(frozen=True)
class StoredMute:
    """A mute by hand; made, until: ns since 1970 UTC, by this machine's clock."""

    number: int
    pattern: str
    made: int
    until: int
    reason: str
    author: str

    def window(self) -> MuteWindow:
        """What it mutes: all that comes before its end, also data of older times."""
        return MuteWindow((self.pattern,), self.reason, None, self.until)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(vars(self))


def add(connection: Any, pattern: str, until: int, reason: str, author: str, now: int | None = None) -> StoredMute:
    """Mute streams; in a transaction. Raises InvalidArgument for an end that is past or no reason."""
    moment = time.time_ns() if now is None else now
    pattern, reason = pattern.strip(), reason.strip()
    if not 1 <= len(pattern) <= _PATTERN_MOST:
        raise InvalidArgument("say which streams: a name, or a pattern such as sat-*")
    if not 1 <= len(reason) <= _REASON_MOST:
        raise InvalidArgument(f"a mute has a reason of 1 to {_REASON_MOST} characters")
    if until <= moment:
        raise InvalidArgument("the end of the mute is past; give one that is to come")
    if until > moment + LONGEST_DAYS * 86_400_000_000_000:
        raise InvalidArgument(f"a mute lasts {LONGEST_DAYS} days at most; what is to last longer is a [[mute]]")
    values = storable(pattern), moment, until, storable(reason), storable(author[:200])
    found = connection.execute(
        "INSERT INTO mutes (pattern, made, until, reason, author) VALUES (?, ?, ?, ?, ?)", values
    )
    return StoredMute(int(found.lastrowid), *values)


def end(connection: Any, number: int, now: int | None = None) -> StoredMute:
    """End a mute before its time; in a transaction. Raises InvalidArgument where none of that number is in force."""
    moment = time.time_ns() if now is None else now
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM mutes WHERE number = ? AND until > ?", (number, moment)
    ).fetchone()
    if row is None:
        raise InvalidArgument(f"there is no mute {number} in force; `aez monitor mutes` names those that are")
    connection.execute("UPDATE mutes SET until = ? WHERE number = ?", (moment, number))
    return StoredMute(*row)


def in_force(connection: Any, now: int) -> list[StoredMute]:
    """Those that hold, the earliest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM mutes WHERE until > ? ORDER BY number", (now,))
    return [StoredMute(*row) for row in rows]


def forget(connection: Any, before: int) -> None:
    """Delete those that ended before a time, ns since 1970 UTC."""
    connection.execute("DELETE FROM mutes WHERE until < ?", (before,))
