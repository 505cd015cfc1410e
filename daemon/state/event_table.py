"""Stored events as a table, for spreadsheets and data frames: one row each, times with their zone.

The channels to blame and the comments are JSON text, as they are of any number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aez.codec.common.extras import library
from aez.daemon.state.event_store import StoredEvent

__all__ = ["write_csv", "write_parquet"]


def write_csv(events: Sequence[StoredEvent], path: Path) -> None:
    """A line of names, then one for each event; times such as 2026-03-01 12:00:00.000000000Z."""
    library("pyarrow.csv", "monitor").write_csv(_table(events), path)


def write_parquet(events: Sequence[StoredEvent], path: Path) -> None:
    """Times are timestamps in ns, UTC."""
    library("pyarrow.parquet", "monitor").write_table(_table(events), path)


def _table(events: Sequence[StoredEvent]) -> Any:
    pa = library("pyarrow", "monitor")
    text, time = pa.string(), pa.timestamp("ns", "UTC")
    kinds = {
        "id": text,
        "stream": text,
        "model": text,
        "kind": text,
        "state": text,
        "severity": text,
        "start": time,
        "end": time,
        "peak": pa.float64(),
        "channels": text,
        "acknowledged": time,
        "acknowledged_by": text,
        "comments": text,
        "stored": time,
    }
    rows = [_row(event) for event in events]
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()})


def _row(event: StoredEvent) -> dict[str, Any]:
    data = event.as_dict()
    detail = data["event"]
    return {
        **data,
        "peak": detail.get("peak"),
        "channels": json.dumps(detail.get("channels") or [], ensure_ascii=False),
        "comments": json.dumps(data["comments"], ensure_ascii=False),
    }
