"""Rows of streams: as they are scored, and the last ones of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aez.codec.detect.rhythm.seasons import Beside
from aez.daemon.engine.scorer import Scores
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints
from aez.daemon.signals.notes import Step

__all__ = ["Recent", "ScoredRows", "UnderWay"]


@dataclass(frozen=True)
class ScoredRows:
    """Rows that were scored, for whoever wants all of them; sorted by stream, then by row.

    names: the streams' names, by number; `rows.stream` indexes it. score: float32 [n], 1.0 is the model's threshold;
    channel_score: float32 [n, channels]. limit: float32 [n], the streams' own limits, on the same scale. shifts: what
    was taken from the values of a stream before they were scored, float32 [channels] by its number, where something
    was. scale: of models that take each stream's centre and width, those of the rows [n, channels]. Nobody changes any
    of it afterwards.
    """

    model: str
    names: Sequence[str]
    rows: Aligned
    score: Float
    channel_score: Float
    limit: Float
    channels: tuple[str, ...]
    shifts: Mapping[int, Float] = field(default_factory=dict)
    scale: Beside | None = None


@dataclass(frozen=True)
class Recent:
    """A stream's last rows: values float32 [at most window - 1, channels], in the sensors' units, NaN = missing.

    row, time: number and time (ns since 1970 UTC) of the last one. period: ns between rows; None without a clock.
    scale: the stream's centre and width [channels], where the model takes them.
    """

    model: str
    values: Float
    row: int
    time: int
    period: int | None
    scale: Beside | None = None


class UnderWay(NamedTuple):
    """Rows that are being scored, sorted by stream; `first` [streams] tells where each stream's begin.

    before: rows that their stream had before [n]. valid: whether there was a whole window [n]. joined, starts: what the
    model sees, see `Rings.extend`. ending: waits for the scores. scale: of their streams, where the model takes it;
    unscaled: whether it was not learned yet [n]. steps: (stream, the steps of its signals' events before these rows).
    """

    rows: Aligned
    first: Ints
    before: Ints
    valid: Flags
    joined: Float
    starts: Ints
    ending: Callable[[], Scores]
    scale: Beside | None
    unscaled: Flags
    steps: Sequence[tuple[int, list[Step]]] = ()
