"""Streams that are not wholly watched: samples that are not scored, and channels that are missing or stuck.

What of a stream is refused before it is a sample, the engine does not know of: it is told beside its tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aez.daemon.engine.stream_table import StreamTable

__all__ = ["SHOWN", "attention", "with_refused"]

#: Streams of each kind that are given at most.
SHOWN = 200


def with_refused(entry: Mapping[str, Any], refused: Mapping[str, Any]) -> dict[str, Any]:
    """A stream's entry with what was refused of it: `lost`, `losing`, `losing_since` and `advice` of `RefusedStreams`.

    Where it also loses samples that did come in, that stays what it loses.
    """
    counts: dict[str, int] = dict(entry.get("lost", {}))
    for reason, count in refused["lost"].items():
        counts[reason] = counts.get(reason, 0) + count
    why = {} if entry.get("losing") else {name: refused[name] for name in ("losing", "losing_since", "advice")}
    return {**entry, **why, "lost": counts}


def attention(tables: Sequence[StreamTable], refused: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """`losing` and `stopped`: each with `count`, how many streams they are, and `streams`, at most `SHOWN` entries.

    Those that lost the most samples come first. Of losing streams `reasons` counts all, by reason. refused: streams
    that lose messages, as `RefusedStreams.losing` gives them; of those that no table has, `rows` is None.
    """
    beside = {one["stream"]: one for one in refused}
    losing: list[tuple[int, StreamTable, int]] = []
    stopped: list[tuple[StreamTable, int]] = []
    others: list[dict[str, Any]] = []
    for table in tables:
        if table.lost is not None:
            sums = table.lost.count.sum(axis=1)
            losing += [(-int(sums[number]), table, number) for number in np.flatnonzero(table.lost.losing).tolist()]
        stopped += [(table, number) for number in table.stopped if number < len(table)]
        for number, name in enumerate(table.names[: len(table)]) if beside else ():
            if name in beside and table.reason(number) is None:
                others.append(with_refused(table.entry(number), beside[name]))
    known = {one["stream"] for one in others} | {table.names[number] for _, table, number in losing}
    others += [{**one, "rows": None} for name, one in beside.items() if name not in known]
    losing.sort(key=lambda one: (one[0], one[1].names[one[2]]))
    reasons: dict[str, int] = {}
    for reason in [*(table.reason(number) for _, table, number in losing), *(one["losing"] for one in others)]:
        if reason is not None:
            reasons[reason] = reasons.get(reason, 0) + 1
    shown = [table.entry(number) for _, table, number in losing[:SHOWN]]
    shown = [with_refused(one, beside[one["stream"]]) if one["stream"] in beside else one for one in shown] + others
    shown.sort(key=lambda one: (-sum(one["lost"].values()), one["stream"]))
    return {
        "losing": {"count": len(losing) + len(others), "reasons": reasons, "streams": shown[:SHOWN]},
        "stopped": {"count": len(stopped), "streams": [table.entry(number) for table, number in stopped[:SHOWN]]},
    }
