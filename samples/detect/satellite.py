"""Watch a satellite: learn four weeks of its telemetry, then find six kinds of faults in the four weeks after.

`SeriesDetector` without settings, but for the time between rows: its window becomes an orbit, and its limit is set for
at most one false alarm a day. Beside it: the same with a limit for four (`alarms=4`), and one whose score looks at the
last three rows of the window only (`tail=3`). PCA and an isolation forest see windows of the same length and get limits
for one false alarm a day.

What it shows: faults found by how channels go together, with the channel to blame named first, and hardly a false alarm
though eclipses change their length from week to week and rows are lost.
Where it is weak: the budget is kept with much room, at the price of faults that stay just below the limit; ask for more
alarms than you fear. A fault becomes visible as it fills the window, so that an alarm comes an hour or more after the
fault and stays for an orbit. One wrong sample drowns among the many of a long window, which a short tail helps against;
noise on a channel that swings widely stays near the limit.

Usage: python samples/detect/satellite.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from recipe import BLUE, GREY, PEERS, RED, Floats, leave, plain_numbers, read_options, relative_scores, table
from satellite_data import CHANNELS, DAY, KINDS, PERIOD, Fault, Telemetry, make

from aez.bench.detect.metrics import EventMetrics, event_metrics
from aez.bench.detect.peers import IsolationForest, PrincipalComponents
from aez.codec.detect.events import DEFAULT_RULE, Event, find_events
from aez.codec.detect.thresholds import alarm_budget
from aez.export import SeriesDetector

COLOURS = dict(zip(KINDS, ("#c4212f", "#d9822b", "#8a6d00", "#2e7d32", "#6a3fa0", "#00788a"), strict=True))
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "aez": {},
    "aez, alarms=4": {"alarms": 4},
    "aez, alarms=4, tail=3": {"alarms": 4, "tail": 3},
}


def judge(score: Floats, blame: Floats | None, data: Telemetry, window: int) -> dict[str, EventMetrics]:
    """What a detector found, by kind of fault and under "all"; `score` [time] has its limit at 1."""
    events = find_events(score, blame, channels=CHANNELS)
    judged = {}
    for kind in ("all", *KINDS):
        faults = [fault for fault in data.faults if kind in ("all", fault.kind)]
        labels = np.zeros(len(data.test), np.int64)
        for fault in faults:
            labels[fault.start : fault.end] = 1
        causes = [(fault.start, fault.end, (fault.channel,)) for fault in faults]
        judged[kind] = event_metrics(
            labels, events, period_seconds=PERIOD, causes=causes, channels=CHANNELS, tolerance=window
        )
    return judged


def contestants(data: Telemetry, steps: int | None) -> dict[str, tuple[Floats, Floats | None, int]]:
    """(score, blame of the channels, window) of each detector on the test rows; a score of 1 is its limit."""
    found: dict[str, tuple[Floats, Floats | None, int]] = {}
    window = None  # as the first detector suggests
    for name, settings in SETTINGS.items():
        detector = SeriesDetector(window=window, period=PERIOD, steps=steps, **settings).fit(data.train)
        window = detector.window_
        found[name] = (*detector.explain(data.test), window)
    budget = partial(alarm_budget, alarms=1.0, rows=DAY, rule=DEFAULT_RULE)
    assert window is not None
    peers = {
        "PCA": PrincipalComponents(window=window),
        "isolation forest": IsolationForest(window=window),
        "random": PEERS["random"](),
    }
    for name, peer in peers.items():
        found[name] = (relative_scores(peer, data.train, data.test, budget), None, window)
    return found


def report(judged: dict[str, dict[str, EventMetrics]]) -> str:
    """Both tables: all detectors, and the first of them by kind of fault."""
    rows: list[list[object]] = [["faults found", *KINDS, "all", "false alarms/day"]]
    for name, by_kind in judged.items():
        counts = [f"{by_kind[kind].found}/{by_kind[kind].labelled}" for kind in (*KINDS, "all")]
        rows.append([name, *counts, f"{by_kind['all'].false_alarms_per_day:.2f}"])
    ours = judged["aez"]
    details: list[list[object]] = [["aez", "found", "median delay (min)", "right channel first"]]
    for kind in (*KINDS, "all"):
        one = ours[kind]
        delay = "-" if not one.found else f"{one.median_delay_seconds / 60:.0f}"
        details.append([kind, f"{one.found}/{one.labelled}", delay, f"{one.explained}/{one.explainable}"])
    return f"{table(rows)}\n\n{table(details)}"


def draw(data: Telemetry, score: Floats, events: Sequence[Event]) -> Figure:
    """The score over all days with the faults behind it, and a fault of each kind from near."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.7])
    panel = top.subplots()
    days = np.arange(len(score)) / DAY
    for fault in data.faults:
        # A fault of one row would not be seen.
        panel.axvspan(
            fault.start / DAY,
            max(fault.end / DAY, fault.start / DAY + 0.06),
            color=COLOURS[fault.kind],
            alpha=0.35,
            lw=0,
        )
    panel.semilogy(days, np.maximum(score, 0.02), color=BLUE, lw=0.7)
    panel.axhline(1, color=RED, lw=1, ls="--")
    for event in events:
        panel.plot([event.start / DAY, event.end / DAY], [0.03, 0.03], color="black", lw=4, solid_capstyle="butt")
    plain_numbers(panel.yaxis)
    handles = [panel.fill_between([], [], color=COLOURS[kind], alpha=0.35, label=kind) for kind in KINDS]
    handles += panel.plot([], [], color="black", lw=4, label="alarm")
    panel.legend(handles=handles, ncols=7, loc="upper center", bbox_to_anchor=(0.5, 1.17), frameon=False, fontsize=9)
    panel.set(xlabel="days after training", ylabel="score (limit 1)", xlim=(0, days[-1]), ylim=(0.02, None))
    for axes, kind in zip(bottom.subplots(2, 3).flat, KINDS, strict=True):
        _draw_fault(axes, data, next(fault for fault in data.faults if fault.kind == kind), events)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_fault(axes: Any, data: Telemetry, fault: Fault, events: Sequence[Event]) -> None:
    """The channel around a fault, the faulty rows in colour, alarms as a bar at the bottom."""
    first, last = max(fault.start - 200, 0), min(fault.end + 200, len(data.test))
    hours = (np.arange(first, last) - fault.start) / 60
    values = data.test[first:last, fault.channel]
    inside = np.zeros(last - first, bool)
    inside[fault.start - first : fault.end - first] = True
    axes.plot(hours, values, color=GREY, lw=0.9)
    axes.plot(
        hours,
        np.where(inside, values, np.nan),
        color=COLOURS[fault.kind],
        lw=1.4,
        marker="." if fault.kind == "spike" else "",
    )
    low, high = np.nanmin(values), np.nanmax(values)
    level = low - 0.08 * (high - low)
    overlapping = [event for event in events if event.start < last and event.end > first]
    for event in overlapping:
        span = (np.array([max(event.start, first), min(event.end, last)]) - fault.start) / 60
        axes.plot(span, [level, level], color="black", lw=4, solid_capstyle="butt")
    axes.set_title(
        f"{fault.kind}: {CHANNELS[fault.channel].replace('_', ' ')}{'' if overlapping else ' (missed)'}", fontsize=10
    )
    axes.set_xlabel("hours", fontsize=8)
    axes.tick_params(labelsize=8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the telemetry, learn, and show what was found."""
    options = read_options(str(__doc__), arguments)
    data = make(4, 6, 2) if options.quick else make()
    print(
        f"{len(data.train) // DAY} days to learn from, {len(data.test) // DAY} days with {len(data.faults)} faults; "
        f"{len(CHANNELS)} channels, a row a minute\n"
    )
    scored = contestants(data, 150 if options.quick else None)
    judged = {name: judge(score, blame, data, window) for name, (score, blame, window) in scored.items()}
    print(report(judged))
    score, blame, window = scored["aez"]
    events = find_events(score, blame, channels=CHANNELS)
    missed = [
        f"{fault.kind} of {CHANNELS[fault.channel]}"
        for fault in data.faults
        if not any(event.start < fault.end + window and event.end > fault.start for event in events)
    ]
    print(f"\naez missed: {', '.join(missed) or 'none'}")
    figures = {
        name: {
            kind: {"found": one.found, "labelled": one.labelled, "delays": one.delays, "right_channel": one.explained}
            for kind, one in by_kind.items()
        }
        | {"false_alarms_per_day": by_kind["all"].false_alarms_per_day}
        for name, by_kind in judged.items()
    }
    leave(options, "satellite", draw(data, score, events), {"window": window, "detectors": figures})


if __name__ == "__main__":
    main()
