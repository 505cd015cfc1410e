"""Streams that are not wholly watched: samples that are not scored, and channels that are missing or stuck.

What of a stream is refused before it is a sample, the engine does not know of: it is told beside its tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aez.daemon.engine.stream_table import StreamTable

__all__ = ["SHOWN", "attention", "with_refused"]

#: Streams of each kind that are given at most.
SHOWN = 200
#: What a stream of which messages are refused may be said to lose, too, because of that.
_BEHIND = (None, "gaps")


def with_refused(entry: Mapping[str, Any], refused: Mapping[str, Any]) -> dict[str, Any]:
    """A stream's entry with what was refused of it: `lost`, `losing`, `losing_since` and `advice` of `RefusedStreams`.

    Where it also loses samples that did come in, that stays what it loses; rows that had to be made up follow from it.
    """
    counts: dict[str, int] = dict(entry.get("lost", {}))
    for reason, count in refused["lost"].items():
        counts[reason] = counts.get(reason, 0) + count
    mine = bool(refused["losing"]) and entry.get("losing") in _BEHIND
    why = {name: refused[name] for name in ("losing", "losing_since", "advice")} if mine else {}
    return {**entry, **why, "lost": counts}


def attention(tables: Sequence[StreamTable], refused: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """`losing`, `stopped`, `clocks`: each with `count`, of streams, and `streams`, at most `SHOWN` entries.

    Those that lost the most samples come first. Of losing streams `reasons` counts all, by reason. refused: streams
    that lose messages, as `RefusedStreams.losing` gives them; of those that no table has, `rows` is None.
    """
    beside = {one["stream"]: one for one in refused}
    by_message = _known(tables, beside)
    known = {one["stream"] for one in by_message}
    losing: list[tuple[int, StreamTable, int]] = []
    stopped: list[tuple[StreamTable, int]] = []
    for table in tables:
        if table.lost is not None:
            sums = table.lost.count.sum(axis=1)
            found = [one for one in np.flatnonzero(table.lost.losing).tolist() if table.names[one] not in known]
            losing += [(-int(sums[number]), table, number) for number in found]
        stopped += [(table, number) for number in table.stopped if number < len(table)]
    known |= {table.names[number] for _, table, number in losing}
    by_message += [{**one, "rows": None} for name, one in beside.items() if name not in known]
    losing.sort(key=lambda one: (one[0], one[1].names[one[2]]))
    reasons = Counter(table.reason(number) for _, table, number in losing)
    reasons.update(one["losing"] for one in by_message)
    shown = [table.entry(number) for _, table, number in losing[:SHOWN]]
    shown = [with_refused(one, beside[one["stream"]]) if one["stream"] in beside else one for one in shown]
    shown = sorted([*shown, *by_message], key=lambda one: (-sum(one["lost"].values()), one["stream"]))
    off = [(table, number) for table in tables for number in table.clocks if number < len(table)]
    return {
        "clocks": {"count": len(off), "streams": [table.entry(number) for table, number in off[:SHOWN]]},
        "losing": {"count": len(losing) + len(by_message), "reasons": dict(reasons), "streams": shown[:SHOWN]},
        "stopped": {"count": len(stopped), "streams": [table.entry(number) for table, number in stopped[:SHOWN]]},
    }


def _known(tables: Sequence[StreamTable], refused: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries of the streams that have rows, too, and lose nothing else, or only what follows from it."""
    return [
        with_refused(table.entry(number), refused[name])
        for table in (tables if refused else ())
        for number, name in enumerate(table.names[: len(table)])
        if name in refused and table.reason(number) in _BEHIND
    ]
