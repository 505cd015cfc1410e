"""Faults among the rows to learn from: how many events a detector still finds, and what it raises for nothing.

People train on rows that they believe to be normal. Here 0, 1, 3, 5 and 10 % of them lie in events like those that are
looked for later: two of six sensors are shifted, restless, stuck, mirrored or drift away, for 20 to 60 rows. The test
has eight such events. Two kinds of rows: two rhythms with noise, and slow noise with bursts that are normal. Beside the
detector as it is by default stands the one that keeps every training row (`robust=False`), and what is left out.

Usage: python contamination.py [--seeds 3] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SENSORS, ROWS, EVENTS = 6, 6000, 8
SHARES = (0.0, 0.01, 0.03, 0.05, 0.1)
#: What an event may be; the number is the kind that `spoil` takes.
KINDS = ("shifted", "restless", "stuck", "mirrored", "drifting")
#: Rows that a window still sees of an event when it is over; an alarm there is none for nothing.
_WINDOW = 24


def plant(rows: int, seed: int) -> Floats:
    """Six sensors of two rhythms, and noise, [rows, 6]."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(rows)[:, None] / [24, 11] + [0, 1])
    found: Floats = waves @ np.random.default_rng(7).normal(size=(2, SENSORS)) + 0.15 * rng.normal(size=(rows, SENSORS))
    return found


def wandering(rows: int, seed: int) -> Floats:
    """Six sensors of three slow noises, with bursts of ten rows that are normal, [rows, 6]."""
    rng = np.random.default_rng(seed)
    slow = np.zeros((rows, 3))
    for row in range(1, rows):
        slow[row] = 0.95 * slow[row - 1] + rng.normal(size=3) * np.sqrt(1 - 0.95**2)
    found: Floats = slow @ np.random.default_rng(8).normal(size=(3, SENSORS)) + 0.15 * rng.normal(size=(rows, SENSORS))
    for start in rng.integers(0, rows - 10, rows // 300):
        found[start : start + 10] += rng.normal(size=(10, 1)) * found.std(axis=0) * 0.3
    return found


MAKERS: Mapping[str, Callable[[int, int], Floats]] = {"two rhythms": plant, "slow noise with bursts": wandering}


def spoil(rows: Floats, start: int, kind: int, rng: np.random.Generator) -> slice:
    """Make one event of 20 to 60 rows in two sensors, in place; returns its rows."""
    where = slice(start, start + int(rng.integers(20, 60)))
    some = rng.choice(SENSORS, 2, replace=False)
    part, width = rows[where, some], rows.std(axis=0)[some]
    rows[where, some] = (
        part + 2.5 * width,
        part + 1.5 * width * rng.normal(size=part.shape),
        np.broadcast_to(part[0] + 2 * width, part.shape),
        -1.5 * part,
        part + np.linspace(0, 4, len(part))[:, None] * width,
    )[kind]
    return where


def contaminated(share: float, seed: int = 0, make: Callable[[int, int], Floats] = plant) -> tuple[Floats, Flags]:
    """(Rows of which about a share lies in events, which do)."""
    rng = np.random.default_rng(seed)
    rows, bad = make(ROWS, seed), np.zeros(ROWS, bool)
    while bad.mean() < share:
        start = int(rng.integers(100, ROWS - 100))
        if not bad[start : start + 60].any():
            bad[spoil(rows, start, int(rng.integers(len(KINDS))), rng)] = True
    return rows, bad


def watched(seed: int = 5, make: Callable[[int, int], Floats] = plant) -> tuple[Floats, list[slice]]:
    """(Rows with eight events, where these are)."""
    rng, rows = np.random.default_rng(seed), make(ROWS, 94 + seed)
    return rows, [spoil(rows, 300 + 700 * number, number % len(KINDS), rng) for number in range(EVENTS)]


def judged(detector: Any, test: Floats, events: list[slice]) -> tuple[int, int]:
    """(Events that an alarm overlaps, alarms that begin and end where there is no event)."""
    from aez.codec.detect import find_events

    alarms = find_events(detector.anomaly_score(test))
    found = sum(any(one.start < event.stop and one.end > event.start for one in alarms) for event in events)
    near = np.zeros(len(test), bool)
    for event in events:
        near[event.start : event.stop + _WINDOW] = True
    return found, sum(not near[one.start : one.end].any() for one in alarms)


def compare(seeds: int) -> list[dict[str, Any]]:
    """A line for each kind of rows and share: means over the seeds, of every row kept and as it is by default."""
    from aez.export import SeriesDetector

    lines = []
    for kind, make in MAKERS.items():
        for share in SHARES:
            line: dict[str, Any] = {"rows": kind, "share": share}
            for name, robust in (("kept", False), ("default", True)):
                pairs, warned = [], 0
                for seed in range(seeds):
                    rows, _ = contaminated(share, seed, make)
                    with warnings.catch_warnings(record=True) as said:
                        warnings.simplefilter("always")
                        detector = SeriesDetector(window=_WINDOW, robust=robust).fit(rows)
                    warned += any("seem to hold faults" in str(one.message) for one in said)
                    pairs.append(judged(detector, *watched(5 + seed, make)))
                found, false = np.mean(pairs, axis=0).tolist()
                line[name] = {"found": found, "false_alarms": false, "warned": warned / seeds}
            lines.append(line)
    return lines


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Faults among the rows to learn from.")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each, 3 by default")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there, as JSON")
    given = parser.parse_args(arguments)
    lines = compare(given.seeds)
    print(f"events found of {EVENTS}, false alarms in {ROWS:,} rows; means over {given.seeds} draws")
    print(f"{'rows':24}{'faults in training':>20}{'all rows kept':>16}{'default':>16}{'warned':>9}")
    for line in lines:
        kept, default = (f"{line[name]['found']:.1f}, {line[name]['false_alarms']:.1f}" for name in ("kept", "default"))
        print(f"{line['rows']:24}{line['share']:>20.0%}{kept:>16}{default:>16}{line['default']['warned']:>9.0%}")
    if given.out is not None:
        given.out.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
