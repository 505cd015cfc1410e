"""What a monitor told of a year, held against what happened: false events, what was found, and how soon.

An event belongs to a label when it overlaps it in the same stream, with some slack behind it, since windows still hold
the rows of before; around wrong clocks the slack is two hours, as nobody knows when such a row was. An event that
belongs to no label is false. A label is found by an event, of any kind, that opened within it, or was told there to go
on. One that goes on outside of all labels is counted as such.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aez.daemon.simulate.year import Label

__all__ = ["Judged", "Told", "judge", "told"]

_DAY, _CLOCK = 86_400 * 10**9, 2 * 3600 * 10**9
#: What counts as the fault of a machine or a sensor.
FAULTS = ("anomaly", "sensor", "unit")
#: Labels that have a kind of event of their own, and words by which it is known.
OWN = {"missing": ("missing",), "flat": ("stuck", "flat")}


@dataclass(frozen=True)
class Told:
    """One event as a sink got it.

    kind: anomaly, silent, or another; times in ns since 1970 UTC. again: when it was told to go on, behind its end.
    """

    stream: str
    kind: str
    start: int
    opened: int
    end: int
    channels: tuple[str, ...]
    again: tuple[int, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What came of it.

    false: events that belong to no label. found: labels found and labels there are, by kind. most: events of one cause
    in a day at most, and that cause. delays: of the labels `OWN`, by kind, periods until they were told as what they
    are, None for those that never were. again: how often events were told to go on, and how often of these outside of
    all labels.
    """

    events: int
    false: Sequence[Told]
    found: Mapping[str, tuple[int, int]]
    groups: Mapping[str, str]
    most: tuple[int, str]
    delays: Mapping[str, Sequence[float | None]]
    again: tuple[int, int] = (0, 0)

    @property
    def share(self) -> float:
        """Of the faults of machines and sensors that were found, 0..1."""
        counts = [pair for kind, pair in self.found.items() if self.groups[kind] in FAULTS]
        return sum(found for found, _ in counts) / max(1, sum(there for _, there in counts))


def told(steps: Iterable[Mapping[str, Any]]) -> list[Told]:
    """The events behind the steps that a sink got, in the order in which they opened."""
    each: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for step in steps:
        each[step["id"]].append(step)
    found = []
    for own in each.values():
        own.sort(key=lambda step: step["sequence"])
        first, event = own[0], own[-1]["event"]
        kind = event.get("cause") if event.get("kind") == "incident" else event.get("kind")
        kind = kind or ("anomaly" if first["action"] == "open" else first["action"])
        start = event.get("start_time") or first["time"]
        end = max(event.get("end_time") or 0, own[-1]["time"] if kind != "anomaly" else 0, start)
        names = tuple(one["name"] for one in event.get("channels") or ())
        again = tuple(step["time"] for step in own[1:] if step["action"] in ("reopen", "missing", "stuck"))
        found.append(Told(first["stream"], kind, start, first["time"], end, names, again))
    return sorted(found, key=lambda one: one.opened)


def judge(events: Sequence[Told], labels: Sequence[Label], period: float, slack: int) -> Judged:
    """Hold events against labels; `slack` in rows of `period` seconds."""
    step = round(period * 1e9)
    by_stream: dict[str, list[tuple[int, int, Label]]] = defaultdict(list)
    for label in labels:
        before, after = (_CLOCK, _CLOCK) if label.group == "clock" else (2 * step, 0)
        by_stream[label.stream].append((label.start_time - before, label.end_time + after + slack * step, label))
    hits: dict[Label, list[Told]] = defaultdict(list)
    false, causes, beside = [], Counter[tuple[int, str]](), 0
    for one in events:
        over = [entry for entry in by_stream[one.stream] if one.start <= entry[1] and one.end >= entry[0]]
        for low, high, label in over:
            if any(low <= moment <= high for moment in (one.opened, *one.again)):
                hits[label].append(one)
        beside += sum(not any(low <= moment <= high for low, high, _ in by_stream[one.stream]) for moment in one.again)
        if not over:
            false.append(one)
        blamed = one.channels[0] if one.channels else ""
        cause = f"{over[0][2].kind} of {one.stream}" if over else f"{one.kind} {blamed} of {one.stream}"
        causes[one.opened // _DAY, cause] += 1
    found = {kind: [0, 0] for kind in sorted({label.kind for label in labels})}
    delays: dict[str, list[float | None]] = {kind: [] for kind in OWN}
    for label in labels:
        found[label.kind][0] += bool(hits[label])
        found[label.kind][1] += 1
        if label.kind in OWN:
            mine = [one.opened for one in hits[label] if any(word in one.kind for word in OWN[label.kind])]
            delays[label.kind].append((min(mine) - label.start_time) / step if mine else None)
    ((_, worst), most), *_ = causes.most_common(1) or [((0, "nothing"), 0)]
    groups = {label.kind: label.group for label in labels}
    pairs = {kind: (there[0], there[1]) for kind, there in found.items()}
    again = sum(len(one.again) for one in events), beside
    return Judged(len(events), false, pairs, groups, (most, worst), delays, again)
