"""What a simulation put in, as JSON Lines."""

from __future__ import annotations

import json
from typing import Any

from aez.daemon.simulate.satellites import Simulation, faults_until
from aez.daemon.simulate.year import Year

__all__ = ["label_lines"]

_SECOND = 1_000_000_000


def label_lines(simulation: Simulation | Year, rows: int | None) -> str:
    """A line for each fault that begins in the first `rows` rows; of a year all of them by default.

    `start` and `end` (exclusive) are rows, `start_time` and `end_time` ns since 1970 UTC. Of a simulation `fault` says
    what it is, of a year `kind`, `group` and `channels`.
    """
    if isinstance(simulation, Year):
        most = simulation.rows if rows is None else rows
        return _lines([vars(label) for label in simulation.labels() if label.start < most])
    return _lines(
        [
            {
                "stream": name,
                "fault": fault.kind,
                "start": fault.start,
                "end": fault.end,
                "start_time": simulation.start + int(fault.start * simulation.period * _SECOND),
                "end_time": simulation.start + int(fault.end * simulation.period * _SECOND),
            }
            for name, fault in faults_until(simulation, rows or 0)
        ]
    )


def _lines(labels: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(label)}\n" for label in labels)
