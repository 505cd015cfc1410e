"""Telemetry of satellites that do not exist: eight channels, an orbit's rhythm, and faults on a schedule.

The same simulation gives the same rows whatever is asked for at a time, so that a run can be repeated and the alarms
held against the faults that were put in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument

__all__ = ["CHANNELS", "FAULTS", "NOISE", "SimulatedFault", "SimulatedRows", "Simulation", "faults_until", "orbiting"]

Floats = npt.NDArray[np.float64]
#: Names and units.
CHANNELS = {
    "bus_voltage": "V",
    "bus_current": "A",
    "battery_temperature": "degC",
    "panel_temperature": "degC",
    "wheel_speed": "rpm",
    "wheel_current": "A",
    "gyro_rate": "mdeg/s",
    "signal_strength": "dBm",
}
#: What goes wrong, in turn.
FAULTS = ("heater stuck", "wheel friction", "gyro drift", "voltage drop", "signal loss", "sensor frozen")
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
BLOCK = 512
#: Standard deviation of the noise, in the channels' units.
NOISE = np.array([0.03, 0.02, 0.1, 0.4, 4.0, 0.004, 0.3, 0.3])


def orbiting(row: npt.NDArray[np.int64], orbit: int, phase: float) -> Floats:
    """Eight channels [n, 8] without noise that hang together, of rows counted from the start.

    Sunlight drives power and heat, the wheels hold against the torque; `phase` is the satellite's own, in radians.
    """
    angle = 2 * np.pi * row / orbit + phase
    sun = 0.5 + 0.5 * np.tanh(4 * (np.cos(angle) + 0.35))  # 0 in the earth's shadow
    lag = 0.5 + 0.5 * np.cos(angle - 0.6)
    wheel = np.sin(angle) + 0.3 * np.sin(3 * angle)
    return np.stack(
        [
            28 + 2.5 * sun - 0.4 * lag,
            3 + 2.2 * sun,
            18 + 6 * lag,
            -40 + 90 * sun + 8 * lag,
            2200 + 400 * wheel,
            0.35 + 0.1 * np.abs(wheel),
            12 * np.sin(2 * angle),
            -85 + 9 * np.cos(2 * angle),
        ],
        axis=1,
    )


@dataclass(frozen=True)
class SimulatedFault:
    """Rows `start` up to, not including, `end` of a stream are abnormal; `kind` is one of `FAULTS`."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class SimulatedRows:
    """Rows of one stream. time: int64 [n], ns since 1970 UTC. values: float64 [n, 8], in the order of `CHANNELS`."""

    stream: str
    first_row: int
    time: npt.NDArray[np.int64]
    values: Floats


@dataclass(frozen=True)
class Simulation:
    """What to simulate. Raises InvalidArgument for values that make no sense.

    streams: how many satellites. seed: of everything that is drawn. period: seconds between rows. start: ns since 1970
    UTC of the first row. orbit: rows of an orbit. every: rows from one fault to the next, 0 for none. first: the row
    of the first fault. length: rows that a fault lasts. prefix: what the streams' names begin with.
    """

    streams: int = 1
    seed: int = 0
    period: float = 1.0
    start: int = START
    orbit: int = 300
    every: int = 0
    first: int = 600
    length: int = 40
    prefix: str = "sat"

    def __post_init__(self) -> None:
        for name, value, least in (
            ("streams", self.streams, 1),
            ("orbit", self.orbit, 10),
            ("every", self.every, 0),
            ("first", self.first, 0),
            ("length", self.length, 1),
            ("seed", self.seed, 0),
        ):
            if value < least:
                raise InvalidArgument(f"{name} of a simulation is {least} or more, not {value}")
        if not 1e-6 <= self.period <= 1e6:
            raise InvalidArgument(f"the period of a simulation is 1e-6 to 1e6 seconds, not {self.period:g}")
        if self.every and self.every <= self.length:
            raise InvalidArgument(
                f"faults of {self.length} rows cannot come every {self.every} rows; make them shorter or rarer"
            )

    def name(self, stream: int) -> str:
        """The name of a stream by its number."""
        return f"{self.prefix}-{stream + 1:0{max(2, len(str(self.streams)))}d}"

    def blocks(self, rows: int | None = None, first: int = 0) -> Iterator[SimulatedRows]:
        """Rows `first` and on of every stream, `rows` of each or without end; the streams take turns."""
        at = first
        while rows is None or at < first + rows:
            number, offset = divmod(at, BLOCK)
            end = min(BLOCK, offset + (BLOCK if rows is None else first + rows - at))
            for stream in range(self.streams):
                whole = self._whole(stream, number)
                place = np.arange(at, at + end - offset, dtype=np.int64)
                time = self.start + np.round(place * (self.period * 1e9)).astype(np.int64)
                yield SimulatedRows(self.name(stream), at, time, whole[offset:end])
            at += end - offset

    def faults(self, stream: int, number: int) -> SimulatedFault:
        """Fault `number`, from 0, of a stream; streams have theirs at different times."""
        start = self.first + number * self.every + (stream * 37) % max(self.every - self.length, 1)
        return SimulatedFault(start, start + self.length, FAULTS[(number + stream) % len(FAULTS)])

    def _whole(self, stream: int, number: int) -> Floats:
        rng = np.random.default_rng([self.seed, stream, number])
        own = np.random.default_rng(stream)  # a satellite is the same whatever the seed, so that a model fits it
        row = np.arange(number * BLOCK, (number + 1) * BLOCK)
        values = orbiting(row, self.orbit, own.uniform(0, 2 * np.pi))
        values += NOISE * rng.normal(size=values.shape)
        if self.every:
            self._break(values, stream, row)
        return values

    def _break(self, values: Floats, stream: int, row: npt.NDArray[np.int64]) -> None:
        low, high = int(row[0]), int(row[-1]) + 1
        number = max(0, (low - self.first) // self.every - 1)
        while (fault := self.faults(stream, number)).start < high:
            number += 1
            begin, end = max(fault.start, low) - low, min(fault.end, high) - low
            if begin >= end:
                continue
            part = values[begin:end]
            done = (row[begin:end] - fault.start + 1)[:, None] / self.length  # 0..1 through the fault
            self._apply(fault.kind, part, done)

    @staticmethod
    def _apply(kind: str, part: Floats, done: Floats) -> None:
        match kind:
            case "heater stuck":
                part[:, 2:3] += 4 + 14 * done
                part[:, 1:2] += 1.2
            case "wheel friction":
                part[:, 5:6] += 0.15 + 0.4 * done
                part[:, 4:5] *= 0.85
            case "gyro drift":
                part[:, 6:7] += 8 + 40 * done
            case "voltage drop":
                part[:, 0:1] -= 3.5
            case "signal loss":
                part[:, 7:8] -= 25
            case _:  # a frozen sensor repeats a value that is no longer true
                part[:, 3:4] = 140.0


def faults_until(simulation: Simulation, rows: int) -> list[tuple[str, SimulatedFault]]:
    """(Stream, fault) of all faults that begin in the first `rows` rows, by stream."""
    found: list[tuple[str, SimulatedFault]] = []
    for stream in range(simulation.streams if simulation.every else 0):
        number = 0
        while (fault := simulation.faults(stream, number)).start < rows:
            found.append((simulation.name(stream), fault))
            number += 1
    return found
