"""A day of a factory line: 100,000 readings, one a second, of 50 sensors, of which one in a thousand is faulty.

Five stations work one after the other on the pieces that pass, each a fifth of a cycle later than the one before. Two
products take turns; they differ in speed and force. The line stops for a few minutes now and then, motors and oil warm
up and cool down, and all stations draw on one supply of compressed air.

Faults last three to seven seconds, come at any time and are of four kinds:

jam     a station's motor labours: more current and torque, and the slide stays where it is
leak    hydraulic pressure falls and the flow rises
slip    the slide lags behind the motor
loose   one sensor reads zero: a loose contact

Usage: python factory_line_data.py FOLDER writes training.parquet, production.parquet and faults.csv.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from recipe import Floats, write_csv

STATIONS = ("feed", "press", "drill", "weld", "pack")
MEASURED = (
    "motor_current",  # A
    "motor_torque",  # Nm
    "motor_temperature",  # degrees C
    "vibration",  # mm/s
    "pressure",  # bar, hydraulic
    "flow",  # l/min
    "force",  # kN
    "position",  # mm, of the slide
    "oil_temperature",  # degrees C
    "air",  # bar
)
CHANNELS = tuple(f"{station}_{name}" for station in STATIONS for name in MEASURED)
KINDS = ("jam", "leak", "slip", "loose")
FAULT_SHARE = 0.001
PERIOD = 1.0  # s
#: Standard deviations of the sensors, in the order of MEASURED.
_NOISE = np.array([0.15, 0.4, 0.2, 0.08, 0.8, 0.15, 0.6, 0.8, 0.15, 0.02])
_TRAVEL = 300.0  # mm
_RAMP = 8  # s
_START = 2_000_000_000 * 10**9  # ns


@dataclass(frozen=True)
class Fault:
    """A fault of a station (its number) in rows start..end, exclusive."""

    kind: str
    station: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Line:
    """Readings [time, channels]: `training` without faults, `spoilt` the same with faults that nobody marked.

    `faults` are those of the production rows.
    """

    training: Floats
    spoilt: Floats
    production: Floats
    faults: tuple[Fault, ...]


def make(readings: int = 100_000, seed: int = 0) -> Line:
    """The first two fifths to learn from, and the rest; `FAULT_SHARE` of all readings are faulty in production."""
    rng = np.random.default_rng(seed)
    values, phase = _work(readings, rng)
    cut = readings * 2 // 5
    training, production = values[:cut], values[cut:]
    faults = _inject(production, phase[cut:], round(FAULT_SHARE * readings), rng)
    spoilt = training.copy()
    _inject(spoilt, phase[:cut], round(FAULT_SHARE * cut), rng)
    return Line(training, spoilt, production, tuple(faults))


def _work(rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(Readings [time, channels], phase [time, stations] of each station in its cycle, 0..1)."""
    running, product = _plan(rows, rng)
    # A cycle takes 40 s for one product and 48 s for the other, give or take a little.
    step = running / np.where(product == 0, 40.0, 48.0) * (1 + 0.01 * rng.normal(size=rows))
    phase = (np.cumsum(step)[:, None] - np.arange(len(STATIONS)) / len(STATIONS)) % 1.0
    strength = np.array([[0.6, 1.2, 0.9, 0.7, 0.5], [0.7, 1.6, 0.8, 0.9, 0.5]])[product]
    working = np.exp(-(((phase - 0.4) / 0.14) ** 2)) * strength * running[:, None]
    moving = np.abs(np.sin(2 * np.pi * phase)) * running[:, None]
    current = 1.5 + 2.0 * running[:, None] + 9.0 * working + 1.5 * moving
    warmth = _followed(current, 1 / 900.0, 4.0)
    oil = _followed(working, 1 / 2400.0, 0.2)
    readings = {
        "motor_current": current,
        "motor_torque": 4.2 * (current - 1.5),
        "motor_temperature": 24 + 5.5 * warmth,
        "vibration": 0.4 + 1.1 * moving + 1.4 * working,
        "pressure": 160.0 * (0.3 + 0.7 * running[:, None]) - 22.0 * working,
        "flow": 14.0 * working + 3.0 * running[:, None],
        "force": 85.0 * working**1.5,
        "position": _TRAVEL * _slide(phase),
        "oil_temperature": 30 + 45.0 * oil,
        "air": 6.2 - 0.18 * working.sum(axis=1, keepdims=True) - 0.1 * working,
    }
    values = np.stack([readings[name] for name in MEASURED], axis=2)
    values += rng.normal(size=values.shape) * _NOISE
    return values.reshape(rows, -1), phase


def _plan(rows: int, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(Speed of the line, 0..1 [time], number of the product [time])."""
    running, product = np.ones(rows), np.zeros(rows, np.int64)
    for start in range(0, rows, 7200):
        product[start : start + 7200] = (start // 7200) % 2
        stop = start + int(rng.integers(600, 6000))
        running[stop : stop + int(rng.integers(60, 400))] = 0
    # Drives run down and up again within seconds.
    return np.convolve(running, np.ones(_RAMP) / _RAMP)[:rows], product


def _slide(phase: Floats) -> Floats:
    """Where the slide is, 0..1: out, a while at the piece, and back."""
    return np.clip(np.minimum(phase / 0.25, (0.85 - phase) / 0.25), 0, 1)


def _followed(values: Floats, rate: float, start: float) -> Floats:
    """Values [time, n] as something slow follows them."""
    state, found = np.full(values.shape[1], start), np.empty_like(values)
    for row, value in enumerate(values):
        state = state + rate * (value - state)
        found[row] = state
    return found


def _inject(values: Floats, phase: Floats, faulty: int, rng: np.random.Generator) -> list[Fault]:
    """Put faults into readings, in place, until about so many of them are faulty."""
    stations = values.reshape(len(values), len(STATIONS), len(MEASURED))
    incidents = max(1, round(faulty / 5))
    places = np.linspace(0, len(values), incidents + 1).astype(int)
    kinds = rng.permutation(np.resize(KINDS, incidents)).tolist()
    faults = []
    for number, (kind, place, following) in enumerate(zip(kinds, places, places[1:], strict=False)):
        station, start = int(rng.integers(len(STATIONS))), int(rng.integers(place + 300, following - 300))
        end = start + 3 + number % 5
        rows = stations[start:end, station]
        column = {name: rows[:, at] for at, name in enumerate(MEASURED)}
        if kind == "jam":
            column["motor_current"] *= 1.5
            column["motor_torque"] *= 1.6
            column["position"][:] = column["position"][0]
        elif kind == "leak":
            column["pressure"] *= rng.uniform(0.65, 0.85)
            column["flow"] += rng.uniform(3, 8)
        elif kind == "slip":
            lag = rng.uniform(0.05, 0.1)
            column["position"][:] = _TRAVEL * _slide((phase[start:end, station] - lag) % 1.0)
        else:
            rows[:, int(rng.integers(len(MEASURED)))] = 0
        faults.append(Fault(kind, station, start, end))
    return faults


def write_parquet(path: Path, values: Floats, first: int = 0) -> None:
    """Readings as a table with a column `time` in UTC."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    time = _START + np.arange(first, first + len(values)) * round(PERIOD * 1e9)
    columns = {"time": pa.array(time).cast(pa.timestamp("ns", tz="UTC"))}
    columns |= {name: pa.array(column.astype(np.float32)) for name, column in zip(CHANNELS, values.T, strict=True)}
    pq.write_table(pa.table(columns), path)


def main() -> None:
    """Write the readings into a folder."""
    parser = argparse.ArgumentParser(description="Make readings of a factory line, and faults in them.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    made = make()
    write_parquet(folder / "training.parquet", made.training)
    write_parquet(folder / "production.parquet", made.production, len(made.training))
    faults = {
        "kind": np.array([fault.kind for fault in made.faults]),
        "station": np.array([STATIONS[fault.station] for fault in made.faults]),
        "start": np.array([fault.start for fault in made.faults]),
        "end": np.array([fault.end for fault in made.faults]),
    }
    write_csv(folder / "faults.csv", faults)


if __name__ == "__main__":
    main()
