"""What happens to the machines of a simulated year: when, for how long and to which channels, and what it does to rows.

Anomalies of the machine (spike, level shift, ramp, noise, correlation break), deaths of sensors (flat, missing, a
sentinel value), clocks (ahead, off, repeated), units (degrees Fahrenheit for a while) and maintenance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from aez.daemon.simulate.satellites import CHANNELS, NOISE, orbiting

__all__ = ["KINDS", "SPREAD", "Happening", "Kind", "apply", "schedule"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Group = Literal["anomaly", "sensor", "unit", "clock", "maintenance"]
SECOND = 1_000_000_000
#: What loggers write where they have no reading.
SENTINEL = 9.9e37
_JUMP, _OFF = 7200 * SECOND, 3600 * SECOND
_REPEATED = 10


@dataclass(frozen=True)
class Kind:
    """What happens in one way.

    group: what is at fault. count: how often in a year. hours: how long it takes, shortest and longest; a clock ahead
    takes one row. channels: how many at most; 0: all, or none of them.
    """

    group: Group
    count: int
    hours: tuple[float, float]
    channels: int = 0


KINDS = {
    "maintenance": Kind("maintenance", 8, (2, 8)),
    "flat": Kind("sensor", 4, (6, 72), 1),
    "missing": Kind("sensor", 4, (6, 72), 2),
    "sentinel": Kind("sensor", 4, (6, 72), 1),
    "clock ahead": Kind("clock", 6, (0, 0)),
    "clock off": Kind("clock", 3, (1, 4)),
    "clock repeated": Kind("clock", 3, (0.5, 1)),
    "fahrenheit": Kind("unit", 4, (2, 12), 1),
    "spike": Kind("anomaly", 5, (5 / 60, 10 / 60), 2),
    "level shift": Kind("anomaly", 5, (3, 24), 2),
    "ramp": Kind("anomaly", 5, (6, 24), 1),
    "noise": Kind("anomaly", 5, (3, 12), 2),
    "correlation break": Kind("anomaly", 5, (3, 12), 1),
}
_TEMPERATURES = [place for place, unit in enumerate(CHANNELS.values()) if unit == "degC"]


@dataclass(frozen=True)
class Happening:
    """Rows `start` up to, not including, `end` of a stream; `channels` are those it concerns, by number.

    size: of an anomaly, in standard deviations of the channel, with its sign; of a clock, in hours.
    """

    kind: str
    start: int
    end: int
    channels: tuple[int, ...]
    size: float


def schedule(rng: np.random.Generator, first: int, rows: int, period: float) -> list[Happening]:
    """All that happens to a machine between two rows, in order of time; each has a stretch of its own."""
    kinds = [name for name, kind in KINDS.items() for _ in range(kind.count)]
    room = (rows - first) / len(kinds)
    found = []
    for place, number in enumerate(rng.permutation(len(kinds)).tolist()):
        name = kinds[number]
        kind = KINDS[name]
        length = 1 if name == "clock ahead" else max(5, round(rng.uniform(*kind.hours) * 3600 / period))
        length = min(length, int(0.6 * room))  # a quiet while lies behind each
        begin = first + int(room * place + rng.uniform(0, 0.9 * room - length))
        found.append(Happening(name, begin, begin + max(1, length), _channels(rng, name), _size(rng, name)))
    return found


def _channels(rng: np.random.Generator, name: str) -> tuple[int, ...]:
    kind = KINDS[name]
    if kind.group in ("clock", "maintenance"):
        return tuple(range(len(CHANNELS))) if name == "maintenance" else ()
    among = _TEMPERATURES if kind.group == "unit" else range(len(CHANNELS))
    count = int(rng.integers(1, kind.channels + 1))
    return tuple(sorted(rng.choice(list(among), count, replace=False).tolist()))


def _size(rng: np.random.Generator, name: str) -> float:
    sign = 1.0 if rng.random() < 0.5 else -1.0
    low, high = {"spike": (4, 8), "level shift": (1.5, 3), "ramp": (2, 4), "noise": (0.7, 1.5)}.get(name, (1, 1))
    return sign * float(rng.uniform(low, high))


def apply(one: Happening, time: Ints, values: Floats, rng: np.random.Generator, orbit: int, phase: float) -> None:
    """Let it happen to all rows of its machine, in place: time int64 [n] in ns, values float64 [n, 8]."""
    rows = slice(one.start, one.end)
    if KINDS[one.kind].group == "clock":
        _set_clock(one, time[rows])
        return
    done = (np.arange(one.end - one.start) + 1) / (one.end - one.start)  # 0..1 through it
    if one.kind == "maintenance":  # switched off, but for a heater
        values[rows] = _IDLE + NOISE * rng.normal(size=values[rows].shape)
        return
    for channel in one.channels:
        part = values[rows, channel]
        spread = SPREAD[channel]
        match one.kind:
            case "flat":
                part[:] = part[0]
            case "missing":
                part[:] = np.nan
            case "sentinel":
                part[:] = SENTINEL
            case "fahrenheit":
                part[:] = part * 9 / 5 + 32
            case "spike" | "level shift":
                part += one.size * spread
            case "ramp":
                part += one.size * spread * done
            case "noise":
                part += one.size * spread * rng.normal(size=part.shape)
            case _:  # the channel goes its own way, within its usual range
                elsewhere = np.arange(one.start, one.end) + round(0.37 * orbit)
                part[:] = orbiting(elsewhere, orbit, phase)[:, channel] + NOISE[channel] * rng.normal(size=part.shape)


def _set_clock(one: Happening, time: Ints) -> None:
    """Views of the rows' times."""
    match one.kind:
        case "clock ahead":
            time += _JUMP
        case "clock off":
            time += int(one.size) * _OFF
        case _:
            time[:] = time[np.arange(len(time)) // _REPEATED * _REPEATED]


_ORBIT = orbiting(np.arange(3000), 3000, 0.0)
SPREAD = _ORBIT.std(axis=0)
_IDLE = np.array([24.0, 0.4, 8.0, -20.0, 0.0, 0.02, 0.0, -110.0])
