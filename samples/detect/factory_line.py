"""Watch a factory line from the command line: `aez train series` and `aez score` on files of 50 sensors.

40,000 readings to learn from and 60,000 to watch, in which one reading of a thousand of all is faulty. Faults last
seconds, so that each reading is judged by itself (`--window 1`: they would drown in a window of minutes, which aez
chooses by the line's cycle), and by a network (`--family dense`), since what sensors say of each other here is no
straight line; all else is left to aez. PCA and an isolation forest stand beside it, with limits for the
same number of alarms.

What it shows: how a detector is made and used without a line of Python, and faults of some seconds found in hours of
readings. The page `line-report.html` is what one would send to a colleague.
Where it is weak: what touches few of fifty sensors is thinned out where the score is a mean over all of them; from
Python, `rule="largest"` looks at the three worst. A slide that lags (slip) is found by neither, as it stays within what
all other sensors leave open, and a loose contact of a sensor that reads nought anyway by nothing. And faults among the
rows to learn from that nobody has marked raise the limit above those that one looks for: a line of the table shows
what is left with as many faults there as in production.

Usage: python samples/detect/factory_line.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from factory_line_data import CHANNELS, KINDS, PERIOD, STATIONS, Line, make, write_parquet
from matplotlib.figure import Figure
from recipe import BLUE, GREY, PEERS, RED, Floats, leave, plain_numbers, read_options, relative_scores, table

from aez.bench.detect.metrics import EventMetrics, event_metrics
from aez.codec.detect.events import DEFAULT_RULE, find_events
from aez.codec.detect.thresholds import alarm_budget
from aez.export import SeriesDetector

DAY = 86_400  # readings
WINDOW, FAMILY = 1, "dense"


def aez(*arguments: object) -> float:
    """Run `aez`, shown as one would type it; the seconds it took."""
    texts = [str(argument) for argument in arguments]
    print("$ aez " + " ".join(texts), flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "aez", *texts], check=False)
    if done.returncode:  # aez has said why
        sys.exit(done.returncode)
    return time.perf_counter() - start


def judge(score: Floats, line: Line) -> dict[str, EventMetrics]:
    """What a detector found, by kind of fault and under "all"; `score` [time] has its limit at 1."""
    events = find_events(score)
    judged = {}
    for kind in ("all", *KINDS):
        labels = np.zeros(len(score), np.int64)
        for fault in line.faults:
            if kind in ("all", fault.kind):
                labels[fault.start : fault.end] = 1
        judged[kind] = event_metrics(labels, events, period_seconds=PERIOD, tolerance=WINDOW)
    return judged


def report(judged: Mapping[str, Mapping[str, EventMetrics]]) -> str:
    """All detectors side by side."""
    rows: list[list[object]] = [["faults found", *KINDS, "all", "median delay (s)", "false alarms"]]
    for name, by_kind in judged.items():
        counts = [f"{by_kind[kind].found}/{by_kind[kind].labelled}" for kind in (*KINDS, "all")]
        whole = by_kind["all"]
        delay = f"{whole.median_delay:.0f}" if whole.found else "-"
        rows.append([name, *counts, delay, whole.false_alarms])
    return table(rows)


def draw(line: Line, score: Floats) -> Figure:
    """The score of all readings with the faults, and one fault from near with the channels of its station."""
    figure = Figure(figsize=(13, 8), layout="constrained")
    top, left, right = figure.subplot_mosaic([["all", "all"], ["score", "station"]]).values()
    hours = np.arange(len(score)) / 3600
    top.semilogy(hours, np.maximum(score, 0.02), color=GREY, lw=0.5)
    for fault in line.faults:
        near = slice(fault.start, fault.end + 5)
        peak = float(np.nanmax(score[near]))
        top.plot(hours[near], np.maximum(score[near], 0.02), color=BLUE, lw=1.5)
        style = {"ha": "center", "fontsize": 8, "rotation": 90, "va": "bottom"}
        top.text(hours[fault.start], peak * 1.25, f"{fault.kind}, {STATIONS[fault.station]}", **style)
    top.axhline(1, color=RED, ls="--", lw=1)
    top.set(xlabel="hours", ylabel="score (limit 1)", xlim=(0, hours[-1]), ylim=(None, 8 * np.nanmax(score)))
    plain_numbers(top.yaxis)
    fault = max(line.faults, key=lambda one: one.kind == "jam")
    first, last = max(fault.start - 100, 0), min(fault.end + 100, len(score))
    seconds = np.arange(first, last) - fault.start
    left.plot(seconds, score[first:last], color=BLUE)
    left.axhline(1, color=RED, ls="--", lw=1)
    left.set(xlabel=f"seconds after a {fault.kind} at station {STATIONS[fault.station]}", ylabel="score")
    for offset, name in enumerate(("motor_current", "motor_torque", "position")):
        values = line.production[first:last, CHANNELS.index(f"{STATIONS[fault.station]}_{name}")]
        right.plot(seconds, values / np.ptp(values) - 1.3 * offset, lw=1, label=name.replace("_", " "))
    right.set(xlabel="seconds after the same", yticks=[])
    right.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    for axes in (left, right):
        axes.axvspan(0, fault.end - fault.start, color=RED, alpha=0.2, lw=0)
    for axes in (top, left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def scored_by_aez(line: Line, folder: Path, quick: bool) -> tuple[Floats, dict[str, float]]:
    """(Score of each production row, seconds of both commands), by way of files and commands."""
    training, production = folder / "line-training.parquet", folder / "line-production.parquet"
    model, scores = folder / "line.aezm", folder / "line-scores.parquet"
    write_parquet(training, line.training)
    write_parquet(production, line.production, len(line.training))
    fewer = ("--steps", 200) if quick else ()
    seconds = {
        "train": aez(
            "train", "series", training, "-o", model, "--window", WINDOW, "--family", FAMILY, "--force", *fewer
        )
    }
    outputs = ("-o", scores, "--events", folder / "line-events.csv", "--report", folder / "line-report.html")
    seconds["score"] = aez("score", model, production, *outputs, "--force")
    found = pq.read_table(scores, columns=["score"])["score"].to_numpy().astype(np.float64)
    return found, seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the readings, learn, and show what was found."""
    options = read_options(str(__doc__), arguments)
    line = make(40_000 if options.quick else 100_000)
    print(
        f"{len(line.training):,} readings to learn from and {len(line.production):,} to watch, with "
        f"{len(line.faults)} faults in them; {len(CHANNELS)} sensors\n"
    )
    score, seconds = scored_by_aez(line, options.out, options.quick)
    judged = {"aez": judge(score, line)}
    steps = 200 if options.quick else None
    network = {"family": FAMILY, "steps": steps}
    for name, training, settings in (
        ('aez, rule="largest"', line.training, {"rule": "largest", **network}),
        ("aez, faults in training", line.spoilt, network),
        ("aez, default family", line.training, {}),
    ):
        detector = SeriesDetector(window=WINDOW, period=PERIOD, **settings).fit(training)
        judged[name] = judge(detector.anomaly_score(line.production), line)
    budget = partial(alarm_budget, alarms=1.0, rows=DAY, rule=DEFAULT_RULE)
    for name, make_peer in PEERS.items():
        judged[name] = judge(relative_scores(make_peer(), line.training, line.production, budget), line)
    print(f"\n{report(judged)}")
    print(f"\ntraining took {seconds['train']:.0f} s, scoring {seconds['score']:.0f} s")
    figures = {
        name: {kind: {"found": one.found, "labelled": one.labelled} for kind, one in by_kind.items()}
        | {"false_alarms": by_kind["all"].false_alarms, "delays": by_kind["all"].delays}
        for name, by_kind in judged.items()
    }
    leave(options, "factory_line", draw(line, score), {"seconds": seconds, "detectors": figures})


if __name__ == "__main__":
    main()
