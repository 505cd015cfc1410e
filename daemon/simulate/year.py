"""A year of machines: slow drift, maintenance, sensors that die, clocks and units that are wrong, and real anomalies.

What the monitor is measured on (`aez bench monitor year`). The first weeks show nothing but drift, so that they can be
learned from; what happens later is labelled. There are no seasons but those of `rhythm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument
from aez.daemon.simulate.happenings import KINDS, SPREAD, Happening, apply, schedule
from aez.daemon.simulate.satellites import BLOCK, CHANNELS, NOISE, SimulatedRows, orbiting

__all__ = ["DAYS", "QUIET_DAYS", "START", "Label", "Year"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DAYS, QUIET_DAYS = 365, 56
#: A year that has passed: a monitor drops what lies ahead of its clock.
START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
ORBIT = 300
_SECOND = 1_000_000_000
#: Standard deviation of a channel's drift, in that of its noise, and the days in which it turns, shortest and longest.
_DRIFT, _TURNS = 4.0, (40.0, 200.0)
_WAVES = 4
#: How much machines differ: in the level of a channel, in standard deviations of its noise.
_OFFSET = 3.0
#: What a day's work adds to each channel at most, in the standard deviation of its orbit.
_WORK = np.array([-4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, -4.0])


@dataclass(frozen=True)
class Label:
    """What happened to a stream in rows `start` up to, not including, `end`.

    group: one of maintenance, anomaly, sensor, unit, clock. Times are ns since 1970 UTC by a right clock.
    """

    stream: str
    kind: str
    group: str
    start: int
    end: int
    start_time: int
    end_time: int
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Year:
    """A year of `streams` machines, a row every `period` seconds. Raises InvalidArgument for values that make no sense.

    seed: of everything that is drawn; machines are the same whatever it is. start: ns since 1970 UTC of the first row.
    rhythm: the machines work by day, and less on weekends, in UTC, each channel with a strength of its own.
    A machine's year takes about 80 bytes of memory a row while it is made and read.
    """

    streams: int = 4
    seed: int = 0
    period: float = 60.0
    start: int = START
    prefix: str = "sat"
    rhythm: bool = False

    def __post_init__(self) -> None:
        if self.streams < 1 or self.seed < 0:
            raise InvalidArgument(f"a year is of 1 machine or more, not {self.streams}, and its seed is 0 or more")
        if not 1 <= self.period <= 3600:
            raise InvalidArgument(f"the period of a year is 1 to 3600 seconds, not {self.period:g}")

    @property
    def rows(self) -> int:
        """Of each machine."""
        return round(DAYS * 86_400 / self.period)

    @property
    def quiet(self) -> int:
        """The first rows of each machine, to which nothing happens."""
        return round(QUIET_DAYS * 86_400 / self.period)

    def name(self, stream: int) -> str:
        """The name of a stream by its number."""
        return f"{self.prefix}-{stream + 1:0{max(2, len(str(self.streams)))}d}"

    def blocks(self, rows: int | None = None, first: int = 0) -> Iterator[SimulatedRows]:
        """Rows `first` and on of every stream, `rows` of each or to the year's end; the streams take turns."""
        end = self.rows if rows is None else min(self.rows, first + rows)
        made = [_machine(self, stream) for stream in range(self.streams)]
        for at in range(first, end, BLOCK):
            part = slice(at, min(end, at + BLOCK))
            for stream, (time, values) in enumerate(made):
                yield SimulatedRows(self.name(stream), at, time[part], values[part])

    def labels(self) -> list[Label]:
        """All that happens, by stream and time."""
        names = tuple(CHANNELS)
        return [
            Label(
                self.name(stream),
                one.kind,
                KINDS[one.kind].group,
                one.start,
                one.end,
                self._moment(one.start),
                self._moment(one.end),
                tuple(names[channel] for channel in one.channels),
            )
            for stream in range(self.streams)
            for one in self._happenings(stream)
        ]

    def _moment(self, row: int) -> int:
        return self.start + round(row * self.period * _SECOND)

    def _happenings(self, stream: int) -> list[Happening]:
        return schedule(np.random.default_rng([self.seed, stream, 1]), self.quiet, self.rows, self.period)


def _machine(year: Year, stream: int) -> tuple[Ints, Floats]:
    """Times and values of a machine's whole year, as it sends them."""
    own = np.random.default_rng(stream)  # as of `Simulation`: a machine is the same whatever the seed
    phase = own.uniform(0, 2 * np.pi)
    offset = NOISE * _OFFSET * own.normal(size=len(NOISE))
    rng = np.random.default_rng([year.seed, stream, 2])
    row = np.arange(year.rows, dtype=np.int64)
    values = orbiting(row, ORBIT, phase) + offset
    days = row.astype(np.float64) * (year.period / 86_400)
    if year.rhythm:
        values += _working(days) * _WORK * SPREAD
    values += NOISE * (rng.normal(size=values.shape) + _drift(rng, days))
    time = year.start + np.round(row * (year.period * _SECOND)).astype(np.int64)
    for one in year._happenings(stream):
        apply(one, time, values, rng, ORBIT, phase)
    return time, values


def _working(days: Floats) -> Floats:
    """How much machines work so many days after the year began, a Wednesday: [n, 1], from 0 at night to 1."""
    hour = days % 1 * 24
    weekend = (days.astype(np.int64) + 2) % 7 >= 5
    by_day = np.exp(-(((hour - 10) / 3) ** 2)) + 0.8 * np.exp(-(((hour - 16) / 3) ** 2))
    found: Floats = (by_day * np.where(weekend, 0.3, 1.0))[:, None]
    return found


def _drift(rng: np.random.Generator, days: Floats) -> Floats:
    """A smooth curve for each channel [n, 8], 0 at the start and of standard deviation `_DRIFT` about."""
    found = np.zeros((len(days), len(NOISE)))
    for channel in range(len(NOISE)):
        for _ in range(_WAVES):
            angle = 2 * np.pi * (days / rng.uniform(*_TURNS) + rng.random())
            found[:, channel] += np.sin(angle) * (_DRIFT * np.sqrt(2 / _WAVES))
    return found - found[:1]
