"""Days, weeks and years by the calendar and the clock on the wall, cut into bins; and cycles without a clock.

A cycle is as a day of a clock that goes by the rows, see `aez.codec.detect.rhythm.cycle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.codec.series.zones import to_local

__all__ = ["KINDS", "Calendar", "Kind", "Season", "cycle_clock", "days_of"]

Float = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Kind = Literal["day", "week", "year", "cycle"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_DAY = 86_400 * 1_000_000_000
#: 1970-01-01 was a Thursday; weeks begin on Mondays.
_THURSDAY, _SUNDAY = 3, 6


@dataclass(frozen=True)
class Season:
    """One season, cut into `bins` of equal length, numbered from 1."""

    kind: Kind
    bins: int

    def phases(self, local: Ints, resting: Flags) -> Ints:
        """Bins, 1 to `bins`, of local times, ns; days that are `resting` count as Sundays."""
        day, within = local // _DAY, local % _DAY
        if self.kind in ("day", "cycle"):
            return within * self.bins // _DAY + 1
        if self.kind == "week":
            weekday = np.where(resting, _SUNDAY, (day + _THURSDAY) % 7)
            each = self.bins // 7
            return weekday * each + within * each // _DAY + 1
        dates = day.astype("datetime64[D]")
        first = dates.astype("datetime64[Y]")
        length = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
        passed = (dates - first.astype("datetime64[D]")).astype(np.int64)
        found: Ints = passed * self.bins // length + 1
        return found


@dataclass(frozen=True)
class Calendar:
    """The seasons of a model by the clocks of a zone. holidays: days since 1970 that are as Sundays.

    Raises InvalidArgument where there is no such zone, at the first use.
    """

    seasons: tuple[Season, ...]
    timezone: str = "UTC"
    holidays: tuple[int, ...] = ()

    def wall(self, time: Ints, local: bool = False) -> Ints:
        """What the clock on the wall shows at times, ns since 1970 UTC; `local` times are that already."""
        return time if local else to_local(time, self.timezone)

    def phases(self, time: Ints, local: bool = False) -> Float:
        """Phases float32 [n, seasons], 1 and up, of times as for `wall`."""
        wall = self.wall(time, local)
        resting = np.isin(wall // _DAY, np.array(self.holidays, np.int64))
        return np.stack([season.phases(wall, resting) for season in self.seasons], axis=1).astype(np.float32)


def cycle_clock(place: Ints, bins: int) -> Ints:
    """The time, ns, of the clock that goes by the rows: `bins` of them are a day."""
    cycle, within = np.divmod(place, bins)
    found: Ints = cycle * _DAY - (-within * _DAY // bins)
    return found


def days_of(holidays: Sequence[str]) -> tuple[int, ...]:
    """Days since 1970 of dates such as 2025-12-25, ascending. Raises InvalidArgument."""
    found = []
    for text in holidays:
        try:
            found.append((date.fromisoformat(text.strip()) - date(1970, 1, 1)).days)
        except ValueError as error:
            raise InvalidArgument(f"holiday {text!r} is no date such as 2025-12-25") from error
    return tuple(sorted(set(found)))
