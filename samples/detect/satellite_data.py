"""Telemetry of a small satellite in a low orbit, computed from its balance of power, heat and momentum.

One row a minute of eight channels. The satellite circles the Earth in 94.6 minutes and spends a quarter to a third of
that in its shadow. There the array gives no current, the battery feeds the loads and panels cool down; outside, the
array charges the battery until that takes no more. Imaging and ground contacts come at times of their own, a thermostat
heats the battery, and the wheels gather momentum until magnets unload them. The plane of the orbit turns, so that
eclipses get shorter and longer over weeks. One row in a hundred is lost on the way down.

Faults come in six kinds, each on one channel, and touch what is reported, not the satellite:

spike      one sample is off, as by a flipped bit
offset     the channel is shifted, for one to three hours
drift      it wanders off, over four to eight hours
stuck      it repeats one value, for two to five hours
noise      it rattles, for one to three hours
decoupled  it shows values of a day before, a third of an orbit off: plausible alone, not with the other channels

Usage: python satellite_data.py FOLDER writes train.csv, test.csv and faults.csv.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from recipe import Floats, write_csv

CHANNELS = (
    "bus_voltage",  # V
    "battery_charge",  # %
    "array_current",  # A
    "transmitter_current",  # A
    "panel_temperature",  # degrees C
    "battery_temperature",  # degrees C
    "payload_temperature",  # degrees C
    "wheel_speed",  # rpm
)
KINDS = ("spike", "offset", "drift", "stuck", "noise", "decoupled")
PERIOD = 60.0  # s between rows
DAY = 1440  # rows
ORBIT = 94.6  # min, at a height of 550 km
LOST = 0.01
#: Standard deviations of the sensors, in the channels' units.
NOISE = (0.02, 0.1, 0.02, 0.01, 0.4, 0.1, 0.15, 4.0)
#: Channels that move in every orbit: a transmitter that is off would show the same, stuck or not.
_MOVING = [number for number, name in enumerate(CHANNELS) if name != "transmitter_current"]
_EARTH, _HEIGHT = 6371.0, 550.0  # km
_TURN = 56.0  # days in which the angle between the Sun and the plane of the orbit comes back
_CAPACITY = 8.0  # Ah
_START = np.datetime64("2031-03-01T00:00:00", "s")


@dataclass(frozen=True)
class Fault:
    """A fault of one channel (its number) in rows start..end, exclusive."""

    kind: str
    channel: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Telemetry:
    """Values [time, channels] with NaN where a row was lost; `faults` in order of time."""

    train: Floats
    test: Floats
    faults: tuple[Fault, ...]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """1 in rows of the test that have a fault, [time]."""
        marks = np.zeros(len(self.test), np.int64)
        for fault in self.faults:
            marks[fault.start : fault.end] = 1
        return marks


def make(train_days: int = 28, test_days: int = 28, faults_per_kind: int = 6, seed: int = 0) -> Telemetry:
    """Normal days to learn from, and the days after them with faults in them.

    In 28 days the eclipses go through all their lengths once.
    """
    rng = np.random.default_rng(seed)
    rows = DAY * (train_days + test_days)
    values = _fly(rows, rng) + rng.normal(size=(rows, len(CHANNELS))) * NOISE
    train, test = values[: DAY * train_days], values[DAY * train_days :]
    faults = _inject(test, train.std(axis=0), faults_per_kind, rng)
    return Telemetry(_lose(train, rng), _lose(test, rng), tuple(faults))


def _fly(rows: int, rng: np.random.Generator) -> Floats:
    """The true state, minute by minute: [time, channels]."""
    minute = np.arange(rows)
    sun = _sunlight(minute)
    imaging = _imaging(rows, sun, rng)
    sending = _contacts(rows, rng)
    pointing = 1 - 0.04 * (1 + np.sin(2 * np.pi * minute / (3.1 * DAY)))  # of the array; it follows the Sun loosely
    wobble = np.sin(4 * np.pi * minute / ORBIT)
    state = np.empty((rows, len(CHANNELS)))
    charge, panel, battery, payload, wheel = 92.0, 20.0, 12.0, 15.0, 800.0
    heating = unloading = False
    for row in range(rows):
        heating = battery < (11.0 if heating else 8.0)
        unloading = abs(wheel) > (300.0 if unloading else 4200.0)
        load = 1.6 + 1.2 * imaging[row] + 1.8 * sending[row] + 0.8 * heating
        # Cold cells give a little less current; a battery that is nearly full takes little, and the rest is shunted.
        offered = 6.0 * sun[row] * pointing[row] * (1 + 4e-4 * (panel - 25.0))
        accepted = min(4.0, 0.35 * (100.0 - charge))
        array = min(offered, load + accepted)
        net = array - load
        charge = min(charge + 100.0 * net / 60.0 / _CAPACITY, 100.0)
        voltage = 25.0 + 0.07 * charge - 1.2 * np.exp(-charge / 15.0) + 0.12 * net
        panel += (150.0 * sun[row] * pointing[row] - 85.0 - panel) / 14.0
        battery += (6.0 + 0.05 * panel + 9.0 * heating + 0.5 * net * net - battery) / 170.0
        payload += (8.0 + 0.12 * panel + 30.0 * imaging[row] - payload) / 25.0
        wheel += 55.0 * wobble[row] + 6.0 + (-60.0 * np.sign(wheel) if unloading else 0.0)
        shown = wheel + 350.0 * imaging[row]  # turning the camera to its target
        state[row] = voltage, charge, array, 0.05 + 1.8 * sending[row], panel, battery, payload, shown
    return state


def _sunlight(minute: npt.NDArray[np.int64]) -> Floats:
    """Share of the Sun that is seen, 0..1 [time], averaged over each minute."""
    fine = (minute[:, None] + np.linspace(0, 1, 8, endpoint=False)).ravel()
    angle = np.radians(45) * np.sin(2 * np.pi * fine / (_TURN * DAY))
    # Half the angle of the orbit that lies in the cylinder of the shadow.
    edge = np.sqrt(_HEIGHT**2 + 2 * _EARTH * _HEIGHT) / ((_EARTH + _HEIGHT) * np.cos(angle))
    half = np.arccos(np.clip(edge, -1, 1)) / (2 * np.pi)
    from_middle = np.abs((fine / ORBIT) % 1.0 - 0.5)
    return np.asarray((from_middle > half).reshape(-1, 8).mean(axis=1))


def _imaging(rows: int, sun: Floats, rng: np.random.Generator) -> Floats:
    """1 while the camera works: in half of the orbits, for 6 to 14 minutes of sunlight."""
    on = np.zeros(rows)
    for orbit in np.arange(0, rows - ORBIT, ORBIT):
        if rng.random() < 0.5:
            start = int(orbit + rng.uniform(0, 0.2) * ORBIT)
            on[start : start + int(rng.integers(6, 15))] = 1
    return on * (sun > 0.99)


def _contacts(rows: int, rng: np.random.Generator) -> Floats:
    """1 while the transmitter sends: two groups of three passes a day, 7 to 11 minutes each, an orbit apart."""
    on = np.zeros(rows)
    for day in range(0, rows, DAY):
        for group in (0.3, 0.8):
            first = day + DAY * group + rng.uniform(-40, 40)
            for contact in range(3):
                start = int(first + contact * ORBIT)
                on[start : start + int(rng.integers(7, 12))] = 1
    return on


def _inject(values: Floats, spread: Floats, per_kind: int, rng: np.random.Generator) -> list[Fault]:
    """Put faults into values [time, channels], in place; `spread` [channels] is how much a channel moves normally.

    The first two days stay free, because a decoupled channel replays the past.
    """
    kinds = rng.permutation(np.repeat(KINDS, per_kind))
    places = np.linspace(2 * DAY, len(values), len(kinds) + 1).astype(int)
    faults = []
    for kind, place, following in zip(kinds.tolist(), places, places[1:], strict=False):
        channel = int(rng.choice(_MOVING if kind in ("stuck", "decoupled") else len(CHANNELS)))
        length = _length(kind, rng)
        # Two orbits between faults, so that an alarm belongs to one of them.
        start = int(place + rng.integers(max(1, following - place - length - round(2 * ORBIT))))
        sign = rng.choice([-1.0, 1.0])
        end = min(start + length, len(values))
        part, size = values[start:end, channel], spread[channel]
        if kind == "spike":
            part += sign * size * rng.uniform(3, 6)
        elif kind == "offset":
            part += sign * size * rng.uniform(0.7, 1.5)
        elif kind == "drift":
            part += sign * size * rng.uniform(1.5, 3) * np.linspace(0, 1, len(part))
        elif kind == "stuck":
            part[:] = part[0]
        elif kind == "noise":
            part += size * rng.uniform(0.5, 1) * rng.normal(size=len(part))
        else:
            earlier = start - DAY - round(ORBIT / 3)
            part[:] = values[earlier : earlier + len(part), channel]
        faults.append(Fault(kind, channel, start, end))
    return faults


def _length(kind: str, rng: np.random.Generator) -> int:
    """Rows of a fault."""
    least, most = {"spike": (1, 2), "drift": (240, 480), "stuck": (120, 300), "decoupled": (190, 380)}.get(
        kind, (60, 180)
    )
    return int(rng.integers(least, most))


def _lose(values: Floats, rng: np.random.Generator) -> Floats:
    """Values without the rows that were lost, in runs of one to ten."""
    values = values.copy()
    for start in rng.integers(len(values), size=round(LOST * len(values) / 5.5)):
        values[start : start + int(rng.integers(1, 11))] = np.nan
    return values


def clock(rows: int, first: int = 0) -> npt.NDArray[np.str_]:
    """Times of rows as ISO 8601 text in UTC."""
    return np.char.add((_START + np.arange(first, first + rows) * np.timedelta64(60, "s")).astype(str), "Z")


def main() -> None:
    """Write the telemetry into a folder."""
    parser = argparse.ArgumentParser(description="Make telemetry of a satellite, and faults in it.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    made = make()
    for name, values, first in (("train", made.train, 0), ("test", made.test, len(made.train))):
        columns = dict(zip(CHANNELS, values.round(4).T, strict=True))
        write_csv(folder / f"{name}.csv", {"time": clock(len(values), first), **columns})
    faults = {
        "kind": np.array([fault.kind for fault in made.faults]),
        "channel": np.array([CHANNELS[fault.channel] for fault in made.faults]),
        "start": np.array([fault.start for fault in made.faults]),
        "end": np.array([fault.end for fault in made.faults]),
    }
    write_csv(folder / "faults.csv", faults)


if __name__ == "__main__":
    main()
