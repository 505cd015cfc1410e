"""What a run left behind, and how two runs differ: events in the store, steps of events that sinks took.

The rule of comparison: two runs are equal where they stored the same events, each with the same start, end, channels
and last step, numbers of computed scores within a relative 1e-4, since the networks' sums depend on the batch in their
last bits; and where each step of an event (its `id` and `sequence`) reached every sink, with the same content. A sink
may get a step again, as the delivery is at least once: receivers take the first of each `id` and `sequence`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aez.daemon.state.store import Store

__all__ = ["Outcome", "compare", "file_steps", "same", "stored_events"]

Event = Mapping[str, Any]
_RELATIVE = 1e-4
#: What depends on the clock of the day or on people.
_PASSING = ("stored", "acknowledged", "acknowledged_by", "comments", "comment_count")


@dataclass(frozen=True)
class Outcome:
    """How a disturbed run compares with an undisturbed one.

    disturbances: how often it was killed, cut off, and so on. rows: that were fed. events: of the undisturbed run.
    missing, further: events that only one of them has. differing: with other content. untold: steps of events that did
    not reach a sink; wrong: that reached it with other content. repeated: steps that a sink got again.
    """

    disturbances: int
    rows: int
    events: int
    missing: int
    further: int
    differing: int
    untold: int
    wrong: int
    repeated: int

    @property
    def equal(self) -> bool:
        """Whether no event and no step was lost, invented, or changed."""
        return not (self.missing or self.further or self.differing or self.untold or self.wrong)


def stored_events(path: Path) -> dict[str, dict[str, Any]]:
    """All events of a store, by id, without what depends on the clock of the day."""
    found: dict[str, dict[str, Any]] = {}
    with Store(path, check=False) as store:
        after: str | None = None
        while page := store.events.list(limit=1000, after=after):
            after = page[-1].id
            for event in page:
                found[event.id] = {name: value for name, value in event.as_dict().items() if name not in _PASSING}
    return found


def file_steps(path: Path) -> list[dict[str, Any]]:
    """The steps that a `json_lines` sink has written."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def compare(
    expected: tuple[Mapping[str, Event], Sequence[Event]],
    found: tuple[Mapping[str, Event], Iterable[Sequence[Event]]],
    *,
    disturbances: int,
    rows: int,
) -> Outcome:
    """Compare (events, steps) of the undisturbed run with (events, steps at each sink) of the other."""
    events, steps = expected
    mine, sinks = found
    wanted = {_key(step): step for step in steps}
    untold = wrong = repeated = 0
    for sink in sinks:
        first: dict[tuple[str, int], Event] = {}
        counts = Counter(map(_key, sink))
        for step in sink:
            first.setdefault(_key(step), step)
        repeated += sum(counts.values()) - len(counts)
        untold += len(wanted.keys() - first.keys())
        wrong += len(first.keys() - wanted.keys())
        wrong += sum(not same(first[key], wanted[key]) for key in first.keys() & wanted.keys())
    return Outcome(
        disturbances=disturbances,
        rows=rows,
        events=len(events),
        missing=len(events.keys() - mine.keys()),
        further=len(mine.keys() - events.keys()),
        differing=sum(not same(events[key], mine[key]) for key in events.keys() & mine.keys()),
        untold=untold,
        wrong=wrong,
        repeated=repeated,
    )


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal, floats nearly."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=1e-9)
    return bool(one == other)


def _key(step: Event) -> tuple[str, int]:
    return str(step["id"]), int(step["sequence"])
