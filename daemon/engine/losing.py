"""What people are told of samples that are not scored: lines of the log, streams by reason, dead letters."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from aez.daemon.common.records import Malformed, few
from aez.daemon.engine.model_streams import ModelStreams
from aez.daemon.rows.losses import REASONS, advice

__all__ = ["letters", "losers", "lost", "warn"]

_log = logging.getLogger("aez.daemon.engine")


def warn(group: ModelStreams, moment: int, ahead: int) -> None:
    """Name streams that lose samples or channels, once for each reason, and those whose time is ahead of the clock.

    moment: the clock's time, and ahead: how far a stream may be ahead of it, ns.
    """
    names, losses = group.names, group.rows.losses
    for reason, numbers in losses.news():
        why = advice(reason, float(losses.interval[numbers[0]]), group.period)
        _log.warning("%s: samples are not scored (%s): %s", few([names[one] for one in numbers]), reason, why)
    for stopped, text in () if group.signals is None else group.signals.news():
        _log.warning("%s: %s", few(stopped), text)
    count = len(names)
    found = np.flatnonzero((group.rows.newest[:count] > moment + ahead) & ~group.told_ahead[:count])
    group.told_ahead[found] = True
    if found.size:
        text = "%s: its time is more than %g h ahead of this machine's clock"
        _log.warning(text, few([names[one] for one in found.tolist()]), ahead / 3600e9)


def losers(groups: Iterable[ModelStreams], without_model: Sequence[str]) -> list[Mapping[str, Any]]:
    """Streams that lose samples just now, by reason: how many, and the first of their names."""
    found: dict[str, list[str]] = {}
    for group in groups:
        for number in np.flatnonzero(group.rows.losses.losing).tolist():
            found.setdefault(REASONS[int(group.rows.losses.losing[number]) - 1], []).append(group.names[number])
    if without_model:
        found["no_model"] = list(without_model)
    return [{"reason": reason, "count": len(names), "streams": names[:3]} for reason, names in found.items()]


def lost(groups: Iterable[ModelStreams]) -> dict[str, dict[str, int]]:
    """Samples that were not scored, by stream and reason, since the streams are known; rows made up are none."""
    found = {}
    for group in groups:
        counts = group.rows.losses.count[: len(group.names)]
        for number in np.flatnonzero(counts.any(axis=1)).tolist():
            mine = {name: count for name, count in group.rows.losses.state(number).items() if name != "gaps"}
            if mine:
                found[group.names[number]] = mine
    return found


def letters(group: ModelStreams) -> list[Malformed]:
    """The first of the samples that were not scored since the last call."""
    taken, group.rows.letters = group.rows.letters, []
    found = []
    for reason, stream, time, values in taken:
        channels = zip(group.watched.detector.channels, values.tolist(), strict=True)
        given = {name: value for name, value in channels if not math.isnan(value)}
        data = json.dumps({"time": time, "stream": group.names[stream], **given}).encode()
        found.append(Malformed(reason, f"a sample of stream {group.names[stream]} was not scored", data))
    return found
