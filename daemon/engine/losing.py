"""What people are told of samples that are not scored: lines of the log, streams by reason, dead letters."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from aez.daemon.common.records import Malformed, Samples, few
from aez.daemon.engine.model_streams import ModelStreams
from aez.daemon.rows.columns import Ints
from aez.daemon.rows.losses import REASONS, advice

__all__ = ["letters", "losers", "lost", "note_sources", "tell_clocks", "warn"]

_log = logging.getLogger("aez.daemon.engine")
#: Samples of a stream that tell by which source it comes, of those that came at once.
_NOTED = 8


def warn(group: ModelStreams, moment: int, ahead: int, steady: int) -> None:
    """Name streams that lose samples or channels, once for each reason, and those whose time is ahead of the clock.

    moment: the clock's time, and ahead: how far a stream may be ahead of it, ns. steady: of a clock that nobody sets.
    """
    names, losses = group.names, group.rows.losses
    for reason, numbers in losses.news():
        why = advice(reason, float(losses.interval[numbers[0]]), group.period)
        _log.warning("%s: samples are not scored (%s): %s", few([names[one] for one in numbers]), reason, why)
    for stopped, text in () if group.signals is None else group.signals.news():
        _log.warning("%s: %s", few(stopped), text)
    tell_clocks(group, moment, steady)
    count = len(names)
    misbegun = np.flatnonzero(group.rows.misbegun[:count])
    group.rows.misbegun[misbegun] = False
    if misbegun.size:
        text = "%s: what came first lay far from what followed it; the clock begins with that, and the first rows go"
        _log.warning(text, few([names[one] for one in misbegun.tolist()]))
    found = np.flatnonzero((group.rows.newest[:count] > moment + ahead) & ~group.told_ahead[:count])
    group.told_ahead[found] = True
    if found.size:
        text = "%s: its time is more than %g h ahead of this machine's clock"
        _log.warning(text, few([names[one] for one in found.tolist()]), ahead / 3600e9)


def tell_clocks(group: ModelStreams, moment: int, steady: int) -> None:
    """Name streams whose clocks are apart, once for each kind."""
    group.rows.clocks.look(moment, steady, group.watched.detector.channels)
    for said, numbers in group.rows.clocks.news():
        _log.warning("%s: %s", few([group.names[one] for one in numbers]), said)


def note_sources(groups: Sequence[ModelStreams], one: Samples, part: slice, places: Ints) -> None:
    """By which sources samples of streams came whose clocks may be apart; places: model and number of each stream."""
    for at, group in enumerate(groups):
        suspects = group.rows.clocks.suspects
        if not (suspects and one.source):
            continue
        mine = [place for place in np.flatnonzero(places[:, 0] == at).tolist() if int(places[place, 1]) in suspects]
        for place in mine:
            for time in one.time[part][one.stream[part] == place][-_NOTED:].tolist():
                group.rows.clocks.note_source(int(places[place, 1]), one.source, time)


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
