"""Simulated telemetry: the same rows however they are asked for, faults where they are announced, lines that parse."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS, FAULTS, Simulation, faults_until


def rows(simulation: Simulation, count: int, first: int = 0, stream: int = 0) -> np.ndarray:
    name = simulation.name(stream)
    return np.concatenate([block.values for block in simulation.blocks(count, first) if block.stream == name])


@given(st.integers(0, 1500), st.integers(1, 1500), st.integers(0, 3))
def test_rows_are_the_same_wherever_one_begins(first: int, count: int, seed: int) -> None:
    simulation = Simulation(streams=2, seed=seed, every=300, first=100)
    whole = rows(simulation, first + count, stream=1)
    assert np.array_equal(rows(simulation, count, first, stream=1), whole[first:])


def test_times_rise_by_the_period_for_every_stream() -> None:
    simulation = Simulation(streams=3, period=0.1, start=10**18)
    for name in map(simulation.name, range(3)):
        time = np.concatenate([block.time for block in simulation.blocks(1200) if block.stream == name])
        assert time[0] == 10**18
        assert set(np.diff(time)) == {100_000_000}


def test_only_announced_rows_differ_from_normal_ones() -> None:
    normal, faulty = Simulation(streams=2), Simulation(streams=2, every=200, first=150, length=30)
    announced = faults_until(faulty, 2000)
    assert {fault.kind for _, fault in announced} == set(FAULTS)
    for stream in range(2):
        differ = (rows(normal, 2000, stream=stream) != rows(faulty, 2000, stream=stream)).any(axis=1)
        expected = np.zeros(2000, bool)
        for name, fault in announced:
            if name == faulty.name(stream):
                expected[fault.start : fault.end] = True
        assert np.array_equal(differ, expected)


def test_another_seed_is_another_noise_on_the_same_satellite() -> None:
    first, second = rows(Simulation(seed=0), 600), rows(Simulation(seed=1), 600)
    assert (first != second).any()
    assert np.abs(first - second).max(axis=0) == pytest.approx(np.zeros(8), abs=30)
    assert np.corrcoef(first[:, 3], second[:, 3])[0, 1] > 0.99


def test_all_formats_say_the_same() -> None:
    (block,) = Simulation().blocks(3)
    as_json = [json.loads(line) for line in encode(block, "json").splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(encode(block, "csv", header=True).decode())))
    assert list(as_json[0]) == list(as_csv[0]) == ["time", "stream", *CHANNELS]
    for one, other, line in zip(as_json, as_csv, encode(block, "line").decode().splitlines(), strict=True):
        head, fields, time = line.split(" ")
        assert head == "telemetry,stream=sat-01"
        values = {name: float(value) for name, value in (pair.split("=") for pair in fields.split(","))}
        assert values == {name: one[name] for name in CHANNELS} == {name: float(other[name]) for name in CHANNELS}
        assert np.datetime64(one["time"].rstrip("Z"), "ns") == np.datetime64(int(time), "ns")


@pytest.mark.parametrize(
    ("options", "named"),
    [({"streams": 0}, "streams"), ({"period": 0.0}, "period"), ({"every": 30, "length": 40}, "faults of 40 rows")],
)
def test_what_makes_no_sense_is_refused(options: dict[str, float], named: str) -> None:
    with pytest.raises(InvalidArgument, match=named):
        Simulation(**options)  # type: ignore[arg-type]
