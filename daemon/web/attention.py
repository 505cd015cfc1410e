"""Streams that are not wholly watched: samples that are not scored, and channels that are missing or stuck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aez.daemon.engine.stream_table import StreamTable

__all__ = ["SHOWN", "attention"]

#: Streams of each kind that are given at most.
SHOWN = 200


def attention(tables: Sequence[StreamTable]) -> dict[str, Any]:
    """`losing` and `stopped`: each with `count`, how many streams they are, and `streams`, at most `SHOWN` entries.

    Those that lost the most samples come first. Of losing streams `reasons` counts all, by reason.
    """
    losing: list[tuple[int, StreamTable, int]] = []
    stopped: list[tuple[StreamTable, int]] = []
    for table in tables:
        if table.lost is not None:
            sums = table.lost.count.sum(axis=1)
            losing += [(-int(sums[number]), table, number) for number in np.flatnonzero(table.lost.losing).tolist()]
        stopped += [(table, number) for number in table.stopped if number < len(table)]
    losing.sort(key=lambda one: (one[0], one[1].names[one[2]]))
    reasons: dict[str, int] = {}
    for reason in (table.reason(number) for _, table, number in losing):
        if reason is not None:
            reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "losing": {
            "count": len(losing),
            "reasons": reasons,
            "streams": [table.entry(number) for _, table, number in losing[:SHOWN]],
        },
        "stopped": {"count": len(stopped), "streams": [table.entry(number) for table, number in stopped[:SHOWN]]},
    }
