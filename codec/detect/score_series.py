"""A file of a series through a detector: read in pieces, checked, scored, turned into events.

Guarantees: the whole file has been read without an error before the first score is given out; memory does not grow
with the file, unless its rows must be put in order or resampled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aez.codec.common.words import NANOSECONDS, format_duration, format_time, iso_time, listed
from aez.codec.detect.covering import CAUSAL, COVERING
from aez.codec.detect.detector import OTHER_PERIOD, ROWS, Detector, SeriesScores
from aez.codec.detect.events import Event, EventRule, EventTracker
from aez.codec.detect.look_ahead import Covered, EventBounds, covering_pieces
from aez.codec.detect.overview import OverviewBuilder, SeriesOverview
from aez.codec.errors import UnsupportedInput
from aez.codec.series.core import Series, in_order, joined, pieces_of, resample
from aez.codec.series.reader import read_batches, read_streams
from aez.codec.series.summary import SeriesSummarizer, SeriesSummary

__all__ = ["Reading", "ScoredBatch", "ScoredSeries", "describe_event", "score_file", "score_streams"]

#: Rows of a piece; a file of at most `_KEPT` values is read once, a longer one twice.
_ROWS, _KEPT = 65_536, 2**24


@dataclass(frozen=True)
class Reading:
    """How a file is read: as in `read_batches`; `resample` to so many seconds between rows.

    `stream`: the column that names the streams of a file that holds several, for `score_streams`.
    """

    time_column: str | None = None
    time_unit: str | None = None
    separator: str | None = None
    array: str | None = None
    resample: float | None = None
    stream: str | None = None


@dataclass(frozen=True, eq=False)
class ScoredBatch:
    """Consecutive rows from row `first` of the series on, and their scores; `kind` is that of `ScoredSeries`."""

    first: int
    series: Series
    scores: SeriesScores
    kind: str = CAUSAL


@dataclass(frozen=True, eq=False)
class ScoredSeries:
    """What scoring a file found."""

    source: str
    stream: str
    summary: SeriesSummary  #: of the file, before rows were put in order or resampled
    period: float | None  #: seconds between the rows that were scored
    notices: tuple[str, ...]  #: what the reader of the scores should know of the data, one sentence each
    rule: EventRule
    events: tuple[Event, ...]
    rows: int
    scored: int  #: rows that have a score
    above: int  #: rows above the threshold
    highest: float  #: the highest score, NaN without one
    overview: SeriesOverview
    one_of_several: bool = False  #: streams of the file
    kind: str = CAUSAL  #: of scores: `causal`, of the window that ends at a row, or `covering`, looking ahead

    @property
    def label(self) -> str:
        """The file, and which of its streams."""
        return f"{self.source}, stream {self.stream}" if self.one_of_several else self.source

    @property
    def verdict(self) -> str:
        """One sentence."""
        return verdict(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: times as ISO 8601 text in UTC."""
        return {
            "file": self.source,
            "stream": self.stream,
            "verdict": self.verdict,
            "scores": self.kind,
            "rows": self.rows,
            "scored": self.scored,
            "above_threshold": self.above,
            "highest": None if np.isnan(self.highest) else round(self.highest, 6),
            "notices": list(self.notices),
            "events": [describe_event(event, self.period) for event in self.events],
            "summary": self.summary.as_dict(),
        }


def describe_event(event: Event, period: float | None) -> dict[str, Any]:
    """`Event.as_dict` with times as ISO 8601 text in UTC, and the duration."""
    found = event.as_dict()
    for name in ("start_time", "end_time"):
        found[name] = None if found[name] is None else iso_time(found[name])
    return found | {"duration_seconds": duration_of(event, period)}


def score_file(
    detector: Detector,
    path: str | Path,
    *,
    rule: EventRule | None = None,
    reading: Reading | None = None,
    each: Callable[[ScoredBatch], None] | None = None,
    causal: bool = False,
) -> ScoredSeries:
    """Score a file; `each` gets the scored rows piece by piece, `rule` replaces the model's.

    A row gets the mean over the windows that cover it, which looks ahead; with `causal`, and of a model that has no
    threshold for such scores, that of the window that ends there, as the monitor gives it. `kind` of what is returned
    says which.
    Channels are found by name, whatever their order. Rows whose clock goes backwards are put in order, and of those
    that repeat a time the last stays; both become notices. Raises UnsupportedInput and InvalidArgument as
    `read_batches`, and UnsupportedInput for fewer rows than a window.
    """
    return _score(_SeriesFile(detector, path, reading or Reading()), rule, each, causal)


def score_streams(
    detector: Detector,
    path: str | Path,
    reading: Reading,
    *,
    rule: EventRule | None = None,
    each: Callable[[ScoredBatch], None] | None = None,
    causal: bool = False,
) -> list[ScoredSeries]:
    """Score each stream of a file that holds several, as `reading.stream` names them, one after the other.

    As `score_file`, but that the file is held in memory, and a stream shorter than a window has no scores.
    """
    assert reading.stream is not None
    streams, whole = read_streams(
        path,
        reading.stream,
        time_column=reading.time_column,
        time_unit=reading.time_unit,
        channels=detector.channels,
        separator=reading.separator,
        array=reading.array,
        words=detector.words,
    )
    return [_score(_SeriesFile(detector, path, reading, (one, whole)), rule, each, causal) for one in streams]


def _score(
    source: _SeriesFile, rule: EventRule | None, each: Callable[[ScoredBatch], None] | None, causal: bool
) -> ScoredSeries:
    detector, reading = source.detector, source.reading
    batches, rows = source.open()
    if rows < detector.window and not source.several:
        raise UnsupportedInput(
            f"{source.path} has {rows} rows, and a window of model {detector.bundle.name} takes {detector.window}; "
            "give more rows"
        )
    period = reading.resample or source.summary.period_seconds
    rule = rule or detector.event_rule
    tracker = EventTracker(rule, detector.channels, source.stream, detector.bundle.id)
    bounds = EventBounds(detector.bundle.id)
    overview = OverviewBuilder(rows, len(detector.channels))
    events: list[Event] = []
    limit = None if causal else detector.covering_threshold
    kind = CAUSAL if limit is None else COVERING
    first, scored, above, highest = 0, 0, 0, -np.inf
    pieces = _scored(detector, batches)
    for series, scores in pieces if limit is None else _noted(covering_pieces(pieces, detector.window, limit), bounds):
        found = scores.score[~np.isnan(scores.score)]
        scored, above = scored + len(found), above + int(np.count_nonzero(found > 1))
        highest = max(highest, float(found.max())) if len(found) else highest
        updates = tracker.update_batch(first, scores.score, scores.channel_score, series.time)
        events += [bounds.cut(update.event) for update in updates if update.kind == "closed"]
        overview.add(series, scores)
        if each is not None:
            each(ScoredBatch(first, series, scores, kind))
        first += len(series)
    events += [bounds.cut(update.event) for update in tracker.finish()]
    return ScoredSeries(
        source=str(source.path),
        stream=source.stream,
        summary=source.summary,
        period=period,
        notices=(*source.notices, *_period_notices(detector, period)),
        rule=rule,
        events=tuple(events),
        rows=rows,
        scored=scored,
        above=above,
        highest=highest if scored else float("nan"),
        overview=overview.overview(),
        one_of_several=source.several,
        kind=kind,
    )


class _SeriesFile:
    """The rows of a file, or of one of its streams, after a first look at all of them.

    stream: its rows, and what the file is like.
    """

    def __init__(
        self,
        detector: Detector,
        path: str | Path,
        reading: Reading,
        stream: tuple[Series, SeriesSummary] | None = None,
    ) -> None:
        self.detector, self.path, self.reading, self._stream = detector, path, reading, stream
        self.several = stream is not None
        self._low = np.full(len(detector.channels), np.inf)
        self._high = -self._low
        self.notices: list[str] = []
        self.stream = ""

    def open(self) -> tuple[Iterable[Series], int]:
        """The pieces to score, and how many rows they have."""
        reader = self._read()
        kept: list[Series] = []
        rows = 0
        units: list[str] = []
        for batch in reader:
            rows += len(batch)
            self._low = np.fmin(self._low, np.fmin.reduce(batch.values, axis=0))
            self._high = np.fmax(self._high, np.fmax.reduce(batch.values, axis=0))
            units = units or self.detector.notices(replace(batch, time=None))
            if rows * len(batch.channels) <= _KEPT:
                kept.append(batch)
        self.stream, self.summary = reader.name, reader.summary()
        rows_alone = self.detector.mode == ROWS  # whose times may repeat, and mean nothing
        mixed = () if rows_alone else _mixed_notices(self.summary)
        self.notices = [*units, *self._still_notices(), *mixed, *self._clock_notices()]
        self.notices += _word_notices(reader.unknown)
        in_time = rows_alone or not (self.summary.backwards or self.summary.duplicates)
        if self.reading.resample is None and in_time:
            return kept if sum(map(len, kept)) == rows else self._read(), rows
        whole = joined(kept if sum(map(len, kept)) == rows else list(self._read()))
        if not in_time:
            whole, done = in_order(whole)
            self.notices.append(
                f"the clock goes backwards or repeats: {done.moved:,} rows were put in order of time, and "
                f"{done.duplicates:,} that share a time with another were left out"
            )
        if self.reading.resample is not None:
            whole = resample(whole, self.reading.resample)
        return pieces_of(whole, _ROWS), len(whole)

    def _read(self) -> Any:
        given = self.reading
        if self._stream is not None:
            return _InMemory(*self._stream)
        return read_batches(
            self.path,
            rows=_ROWS,
            time_column=given.time_column,
            time_unit=given.time_unit,
            channels=self.detector.channels,
            separator=given.separator,
            array=given.array,
            words=self.detector.words,
        )

    def _clock_notices(self) -> Iterator[str]:
        seasons = self.detector.seasons
        if seasons is not None and not seasons.cycle and self.summary.start is None:
            yield (
                f"model {self.detector.bundle.name} judges rows by the hour, and this file has no times; name its time "
                "column with --time-column, or expect wrong scores"
            )

    def _still_notices(self) -> Iterator[str]:
        detector = self.detector
        moved = np.array([low < high for low, high in detector.ranges])
        absent = [name for name in detector.channels if self.summary.missing.get(name) == 1]
        if absent:
            yield f"{listed(absent)} has no value in any row and is left out of the scores"
        flags = (self._low == self._high) & moved
        still = [name for name, flag in zip(detector.channels, flags, strict=True) if flag]
        if still and len(still) + len(absent) == len(detector.channels):
            yield "no channel moves in any row, as they did in training; check the source of the data"
        elif still:
            yield f"{listed(still)} never moves in this file, as it did in training"


class _InMemory:
    """The rows of a stream as a reader of a file gives them."""

    def __init__(self, series: Series, whole: SeriesSummary) -> None:
        self.name, self._series, self._whole, self._summarizer = series.name, series, whole, SeriesSummarizer()
        self.unknown = series.unknown

    def __iter__(self) -> Iterator[Series]:
        for piece in pieces_of(self._series, _ROWS):
            self._summarizer.add(piece)
            yield piece

    def summary(self) -> SeriesSummary:
        return self._summarizer.summary(time_column=self._whole.time_column, dropped=self._whole.dropped)


def _word_notices(unknown: Mapping[str, int]) -> Iterator[str]:
    for name, rows in unknown.items():
        yield f"channel {name} has words in {rows:,} rows that training never showed; they count as its rarest"


def _mixed_notices(summary: SeriesSummary) -> Iterator[str]:
    if summary.mixed is not None:
        yield (
            f"rows of several streams seem to be mixed; column {summary.mixed!r} looks like the stream's name: "
            f"give --stream {summary.mixed}"
        )


def _period_notices(detector: Detector, period: float | None) -> Iterator[str]:
    if detector.period and period and abs(period / detector.period - 1) > OTHER_PERIOD:
        # Rows that are too far apart cannot be put closer together.
        remedy = f"give --resample {detector.period:g}" if period < detector.period else "train a model on such rows"
        yield (
            f"rows come every {format_duration(period)}, and the model learned from one every "
            f"{format_duration(detector.period)}; {remedy}, or expect wrong scores"
        )


def _noted(pieces: Iterable[Covered], bounds: EventBounds) -> Iterator[tuple[Series, SeriesScores]]:
    """Rows and scores of the pieces, once the bounds of events know them."""
    first = 0
    for piece in pieces:
        bounds.add(first, piece)
        first += len(piece.series)
        yield piece.series, piece.scores


def _scored(detector: Detector, batches: Iterable[Series]) -> Iterator[tuple[Series, SeriesScores]]:
    """Each piece with its scores."""
    given: deque[Series] = deque()

    def noted() -> Iterator[Series]:
        for batch in batches:
            given.append(batch)
            yield batch

    for scores in detector.score_batches(noted()):
        yield given.popleft(), scores


_CHANNELS_SHOWN = 3


#: Channels to blame for less are not named.
LEAST_SHARE = 0.01


def duration_of(event: Event, period: float | None) -> float | None:
    """Seconds from the event's first row to the end of its last one; None without a clock."""
    if event.start_time is None or event.end_time is None:
        return None
    return (event.end_time - event.start_time) / NANOSECONDS + (period or 0.0)


def blamed(event: Event, shown: int = _CHANNELS_SHOWN) -> str:
    """The channels that caused an event most, with their shares; the first, and those of one percent and more."""
    named = [pair for rank, pair in enumerate(event.channels[:shown]) if rank == 0 or pair[1] >= LEAST_SHARE]
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in named)


def verdict(scored: ScoredSeries) -> str:
    """One sentence: whether anything happened, and the worst of it."""
    rows = f"{scored.rows:,} rows"
    if not scored.events:
        if not scored.scored:
            return f"No verdict: none of {rows} could be scored."
        above = f" ({scored.above:,} of them above it, too few in a row for an event)" if scored.above else ""
        return f"Nothing unusual in {rows}: the highest score is {scored.highest:.3g} times the threshold{above}."
    worst = max(scored.events, key=lambda event: event.peak)
    count = len(scored.events)
    what = "One event" if count == 1 else f"{count:,} events"
    which = "it" if count == 1 else "the worst"
    cause = f", mostly in {blamed(worst, 2)}" if worst.channels else ""
    still = "; one is still open at the end" if scored.events[-1].ongoing else ""
    return (
        f"{what} in {rows}: {which} is {worst.severity}, at {worst.peak:.3g} times the threshold, "
        f"{_span(worst, scored)}{cause}{still}."
    )


def _span(event: Event, scored: ScoredSeries) -> str:
    if event.start_time is None or event.end_time is None:
        return f"rows {event.start} to {event.end - 1}"
    lasted = duration_of(event, scored.period)
    began = format_time(event.start_time, scored.summary.timezone)
    return f"from {began} for {format_duration(lasted or 0.0)}"
