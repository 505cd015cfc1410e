"""A simulated year: what is labelled happens, and nothing else; first weeks are quiet; lines say what is missing."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.simulate import year
from aez.daemon.simulate.happenings import KINDS, SENTINEL
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS, NOISE, SimulatedRows
from aez.daemon.simulate.year import QUIET_DAYS, Label, Year
from tests.kit.commands import run

PERIOD = 1200.0
SMALL = Year(streams=2, seed=1, period=PERIOD)
NAMES = list(CHANNELS)


def made(one: Year) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    parts: dict[str, list[SimulatedRows]] = {}
    for block in one.blocks():
        parts.setdefault(block.stream, []).append(block)
    return {
        name: (np.concatenate([part.time for part in found]), np.concatenate([part.values for part in found]))
        for name, found in parts.items()
    }


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return made(SMALL)


@pytest.fixture(scope="module")
def nothing() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same machines, to which nothing happens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(year, "schedule", lambda *_: [])
        return made(SMALL)


def of(kind: str) -> list[Label]:
    found = [label for label in SMALL.labels() if label.kind == kind]
    assert found
    return found


def test_only_labelled_rows_and_channels_differ_from_a_quiet_year(rows: dict, nothing: dict) -> None:
    for name, (time, values) in rows.items():
        quiet_time, quiet = nothing[name]
        marked, clock = np.zeros(values.shape, bool), np.zeros(len(time), bool)
        for label in SMALL.labels():
            if label.stream == name:
                where = [NAMES.index(channel) for channel in label.channels]
                marked[label.start : label.end, where] = True
                clock[label.start : label.end] |= label.group == "clock"
        differ = (values != quiet) & ~(np.isnan(values) & np.isnan(quiet))
        assert not (differ & ~marked).any()
        assert (differ & marked).sum() > 0.98 * marked.sum()  # the first row of a flat line is as it was
        assert not ((time != quiet_time) & ~clock).any()


def test_everything_happens_as_often_as_it_says_and_not_in_the_first_weeks() -> None:
    labels = SMALL.labels()
    for name in ("sat-01", "sat-02"):
        mine = [label for label in labels if label.stream == name]
        assert {kind: sum(label.kind == kind for label in mine) for kind in KINDS} == {
            kind: one.count for kind, one in KINDS.items()
        }
        assert all(before.end < after.start for before, after in itertools.pairwise(mine))
        assert mine[0].start >= SMALL.quiet == QUIET_DAYS * 72
        assert mine[-1].end <= SMALL.rows == 365 * 72


def test_each_kind_does_what_its_name_says(rows: dict, nothing: dict) -> None:
    def part(label: Label) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        which = slice(label.start, label.end)
        where = [NAMES.index(channel) for channel in label.channels]
        time, values = rows[label.stream]
        return time[which], values[which][:, where], nothing[label.stream][1][which][:, where]

    assert all(len(np.unique(part(label)[1])) == 1 for label in of("flat"))
    assert all(np.isnan(part(label)[1]).all() for label in of("missing"))
    assert all((part(label)[1] == SENTINEL).all() for label in of("sentinel"))
    for label in of("fahrenheit"):
        _, after, before = part(label)
        assert after == pytest.approx(before * 1.8 + 32)
        assert "temperature" in label.channels[0]
    for label in of("level shift"):
        _, after, before = part(label)
        assert np.ptp(after - before, axis=0) == pytest.approx(np.zeros(after.shape[1]), abs=1e-9)
    for label in of("ramp"):
        _, after, before = part(label)
        assert (np.diff(np.abs(after - before)[:, 0]) > 0).all()
    for label in of("clock ahead"):
        assert part(label)[0].tolist() == [label.start_time + 7200 * 10**9]
    assert {int(part(label)[0][0] - label.start_time) for label in of("clock off")} <= {-3600 * 10**9, 3600 * 10**9}
    assert all(len(np.unique(part(label)[0])) == 1 for label in of("clock repeated"))
    assert all(len(label.channels) == len(NAMES) for label in of("maintenance"))


def test_drift_is_slow_and_small(nothing: dict) -> None:
    rows_of_orbit = round(year.ORBIT)
    (_, values), (_, other) = nothing.values()
    whole = len(values) // rows_of_orbit * rows_of_orbit
    levels = values[:whole].reshape(-1, rows_of_orbit, len(NAMES)).mean(axis=1) / (NOISE * year._DRIFT)
    assert 0.2 < np.std(levels, axis=0).mean() < 2
    assert np.abs(np.diff(levels, axis=0)).mean() < 0.6
    assert not np.allclose(values[:10], other[:10])  # machines are not the same


def test_a_seed_says_it_all_and_a_part_is_a_part(rows: dict) -> None:
    again = Year(streams=2, seed=1, period=PERIOD)
    assert again.labels() == SMALL.labels() != Year(streams=2, seed=2, period=PERIOD).labels()
    some = [block for block in again.blocks(700, 1000) if block.stream == "sat-02"]
    assert np.array_equal(np.concatenate([one.values for one in some]), rows["sat-02"][1][1000:1700], equal_nan=True)
    assert np.array_equal(np.concatenate([one.time for one in some]), rows["sat-02"][0][1000:1700])


def test_lines_say_what_is_missing() -> None:
    values = np.array([[1.5, np.nan, *[SENTINEL] * 6], [np.nan] * 8])
    block = SimulatedRows("a", 0, np.array([0, 10**9]), values)
    first, second = (json.loads(line) for line in encode(block, "json").splitlines())
    assert (first["bus_voltage"], first["bus_current"], first["gyro_rate"]) == (1.5, None, 9.9e37)
    assert list(second.values())[2:] == [None] * 8
    cells = list(csv.DictReader(io.StringIO(encode(block, "csv", header=True).decode())))
    assert (cells[0]["bus_voltage"], cells[0]["bus_current"]) == ("1.5", "")
    (line,) = encode(block, "line").decode().splitlines()
    assert "bus_current" not in line
    assert line.endswith(" 0")


def test_the_command_writes_rows_and_labels(tmp_path: Path) -> None:
    data, labels = tmp_path / "year.csv", tmp_path / "labels.jsonl"
    done = run("monitor", "simulate", "--year", "--period", "3600", "--seed", "1", "--rows", "2000", "-o", data)
    assert done.exit_code == 0, done.output
    assert len(data.read_text().splitlines()) == 1 + 4 * 2000
    done = run("monitor", "simulate", "--year", "--period", 3600, "--skip", 8759, "--labels", labels, "-f", "-o", data)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in labels.read_text().splitlines()]
    assert len(found) == 4 * sum(kind.count for kind in KINDS.values())
    assert list(found[0]) == ["stream", "kind", "group", "start", "end", "start_time", "end_time", "channels"]
    done = run("monitor", "simulate", "--year", "--faults", "100", "-o", data)
    assert (done.exit_code, "--year has faults of its own" in done.output) == (2, True)


@pytest.mark.parametrize("options", [{"streams": 0}, {"seed": -1}, {"period": 0.5}, {"period": 1e5}])
def test_what_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="a year"):
        Year(**options)  # type: ignore[arg-type]
