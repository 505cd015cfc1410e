"""An opened detector: a bundle's graph, run on windows and on whole series.

Guarantees: the bundle's probe gave the score that it promises, so that thresholds mean here what they meant where the
model was made; a score of 1 is the threshold; batches have a few fixed shapes, so that memory does not grow with what
is scored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.bundle.session import Session, open_session
from aez.codec.detect.covering import apart, beside, covering_mean
from aez.codec.detect.events import EventRule
from aez.codec.detect.manifest_values import (
    channel_kinds,
    channel_words,
    check_outputs,
    check_probe,
    positive,
    signal_figures,
    texts,
    whole,
    wrong,
)
from aez.codec.detect.rhythm.seasons import Beside, SeasonInputs, SeasonStream, of_windows
from aez.codec.detect.rhythm.values import season_values
from aez.codec.detect.scaling import Scale, StreamScales, learned_scale
from aez.codec.errors import InvalidArgument, ModelError, UnsupportedInput
from aez.codec.series.core import Series, select_channels
from aez.codec.series.windows import window_batches

__all__ = [
    "GRAPH",
    "OTHER_PERIOD",
    "ROWS",
    "SCALE_CENTRE",
    "SCALE_WIDTH",
    "TASK",
    "WHOLE_GRAPH",
    "Detector",
    "SeriesScores",
    "WindowScores",
    "load_detector",
]

Float = NDArray[np.float32]
TASK = "detector"
#: The graph of any window, and that of windows from which nothing is missing, which a bundle need not have: the same
#: scores to a few parts in a million, no reconstruction, six of ten operators.
GRAPH, WHOLE_GRAPH = "detector", "detector_whole"
#: Members with the scales of the training streams, of models whose graph takes each stream's.
SCALE_CENTRE, SCALE_WIDTH = "stream_centre", "stream_width"
#: What a bundle is made for: rows that follow each other, or rows that are no series.
SERIES, ROWS = "series", "rows"
WINDOW_MAX, CHANNELS_MAX = 4096, 4096
#: The batch shapes that a session sees; windows of more values than `_LARGE` never come 256 at a time.
_BATCHES = (1, 32, 256)
_LARGE = 4096
#: A channel whose values lie this many ranges outside what training saw has other units, most likely.
_FAR_OUTSIDE = 10.0
#: Another sampling period than in training, relatively.
OTHER_PERIOD = 0.2


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores of n windows: `score` float32 [n], `channel_score` float32 [n, channels]; 1.0 is the threshold."""

    score: Float
    channel_score: Float


@dataclass(frozen=True, eq=False)
class SeriesScores:
    """Scores of a series' rows: `score` float32 [time], `channel_score` float32 [time, channels]; 1.0 is the threshold.

    The value at a row is that of the window that ends there; NaN in the rows before the first whole window. Of scores
    that look ahead it is the mean over the windows that cover the row.
    """

    score: Float
    channel_score: Float


class Detector:
    """Runs the graph of a detector bundle. One object serves many threads.

    window: rows of a window. channels: the names of its columns, in order. units: one for each, "" where unknown.
    period: seconds between rows in training, or None. threshold: the raw score that counts as 1. score_kind: what the
    score is made of. ranges: (lowest, highest) of each channel in training. event_rule: the rule that the threshold was
    chosen for. covering_threshold: what scores that look ahead are divided by once more, so that 1 is their threshold,
    too; None for bundles without one. scales: of models that take each stream's centre and width, those of the training
    streams; else None. seasons: of models that take phase and trailing level, what tells them; else None. rests,
    absences: the longest runs of equal values, and without a value, of each channel in training, in rows, infinity for
    one that hardly moved; sentinels: of each channel the values there that looked like "no reading". They are None for
    bundles that do not say. mode: "series", or "rows" where each row is judged by itself. kinds: what each channel is
    (measured, state, counter, constant, left-out). words: of channels that hold text, their words, the rarest last: a
    sample is the place of its word, and one that is not there counts as the rarest.

    Raises ModelError for a bundle that is no detector, contradicts itself, or whose probe scores differently here;
    InvalidArgument as `open_session`.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int | None = None) -> None:
        if bundle.task != TASK:
            raise ModelError(f"model {bundle.name} is made for {bundle.task}, not for scoring series")
        self.bundle = bundle
        coding = bundle.coding
        self.window = whole(coding, "window", WINDOW_MAX)
        self.channels = _names(coding, "channels")
        self.units = texts(coding, "units", len(self.channels))
        self.period = None if coding.get("period_seconds") is None else positive(coding, "period_seconds")
        self.threshold = positive(coding, "threshold")
        has_covering = coding.get("covering_threshold") is not None
        self.covering_threshold = positive(coding, "covering_threshold") if has_covering else None
        self.score_kind = str(coding.get("score", ""))
        self.ranges = _ranges(coding, len(self.channels))
        self.event_rule = _event_rule(coding)
        self.mode = coding.get("mode", SERIES)
        if self.mode not in (SERIES, ROWS):
            raise wrong("mode", self.mode, f"{SERIES} or {ROWS}")
        signals = signal_figures(coding, len(self.channels))
        self.rests, self.absences, self.sentinels = signals
        self.scales = _stream_scales(bundle, len(self.channels))
        self.kinds, self.words = channel_kinds(coding, self.channels), channel_words(coding, self.channels)
        self.seasons = season_values(bundle, len(self.channels))
        self._session = open_session(bundle.graph(GRAPH), device, threads)
        check_outputs(bundle, self._session.outputs, {"score", "channel_score", "reconstruction"})
        self._whole: Session | None = None
        if f"{WHOLE_GRAPH}.onnx" in bundle.members:
            self._whole = open_session(bundle.graph(WHOLE_GRAPH), device, threads)
            check_outputs(bundle, self._whole.outputs, {"score", "channel_score"})
        self._check_probe()

    @property
    def device(self) -> str:
        """Where the graph runs: `cpu` or `cuda`."""
        return self._session.device

    def scale_of(self, stream: str, rows: NDArray[np.floating]) -> Scale | None:
        """The scale of a stream that was in training, or learned from `rows` [n, channels], its first ones.

        None where the model takes none.
        """
        if self.scales is None:
            return None
        known = self.scales.known.get(stream)
        return known or learned_scale(rows[: self.scales.rows], self.scales.usual)

    def season_stream(self, name: str = "", scale: Scale | None = None) -> SeasonStream | None:
        """What tells phase and level of one stream's rows, from its first on; None where the model takes none.

        `scale` is that of `scale_of`, of models that take one.
        """
        if self.seasons is None:
            return None
        known = None if self.scales is None else self.scales.known.get(name, self.scales.usual)
        return SeasonStream(self.seasons, self.window, name, scale or known)

    def score_windows(self, windows: NDArray[np.floating], scale: Beside | None = None) -> WindowScores:
        """Scores of windows [n, window, channels] of one stream in the sensors' units, NaN = missing.

        `scale` is the stream's, of models that take one, by default the training streams' median; or each window's
        phases and level, of models with seasons, by default such as nobody knows. Raises InvalidArgument for another
        shape.
        """
        outputs = [self._scores(batch, count, own) for batch, count, own in self._split(windows, scale)]
        if not outputs:
            return WindowScores(np.empty(0, np.float32), np.empty((0, len(self.channels)), np.float32))
        score, channel_score = (np.concatenate([found[key] for found in outputs]) for key in ("score", "channel_score"))
        return WindowScores(score, channel_score)

    def score_batch(self, batch: Float, *, whole: bool = False, scale: Beside | None = None) -> WindowScores:
        """Scores of float32 windows [batch, window, channels], NaN = missing, no infinities; the graph gets them as is.

        `whole` says that nothing is missing, which many models score in half the time. `scale` [batch, channels] are
        those of the windows' streams, of models that take them, or phases and levels. For callers that keep to few
        batch sizes themselves: memory grows with each new one. Raises InvalidArgument.
        """
        if batch.ndim != 3 or batch.shape[1:] != (self.window, len(self.channels)) or batch.dtype != np.float32:
            raise InvalidArgument(
                f"a batch for model {self.bundle.name} is float32 [n, {self.window}, {len(self.channels)}], "
                f"not {batch.dtype} {list(batch.shape)}"
            )
        found = self._run(batch, len(batch), whole, scale)
        return WindowScores(found["score"], found["channel_score"])

    def reconstruct(self, windows: NDArray[np.floating], scale: Beside | None = None) -> Float:
        """What the network makes of windows [n, window, channels]: of the same shape, in the sensors' units.

        `scale` as for `score_windows`. Raises InvalidArgument for another shape.
        """
        parts = [
            self._run(batch, count, scale=own)["reconstruction"] for batch, count, own in self._split(windows, scale)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.window, len(self.channels)), np.float32)

    def score(self, series: Series, *, covering: bool = False) -> SeriesScores:
        """Scores of a series that has the model's channels, in any order and perhaps among others.

        With `covering` each row, the first ones too, gets the mean over the windows that cover it, which looks ahead.
        Raises UnsupportedInput that names the channels it lacks, or for fewer rows than a window; InvalidArgument for
        `covering` of a model without a threshold for it.
        """
        if covering and self.covering_threshold is None:
            raise InvalidArgument(f"model {self.bundle.name} has no threshold for covering scores; train it again")
        values = self._values(series)
        if len(values) < self.window:
            raise UnsupportedInput(
                f"{series.name or 'the series'} has {len(values)} rows, and a window of model {self.bundle.name} takes "
                f"{self.window}; give more rows"
            )
        scale = self.scale_of(series.name, values)
        stream = self.season_stream(series.name, scale)
        given = stream.take(values, series.time, series.timezone is None) if stream else None
        found = self._score_values(values, len(values), given or scale)
        if self.covering_threshold is None or not covering:
            return found
        windows = beside(found.score[self.window - 1 :], found.channel_score[self.window - 1 :])
        return SeriesScores(*apart(covering_mean(windows, self.window), self.covering_threshold))

    def score_batches(self, batches: Iterable[Series]) -> Iterator[SeriesScores]:
        """As `score`, for a series that comes in pieces: one result for each, as if they were one series.

        Only the last rows of the pieces before are kept; a model that takes each stream's scale learns one that it
        does not know from the first piece. Raises as `score`, but not for pieces that are short.
        """
        before = np.empty((0, len(self.channels)))
        scale: Scale | None = None
        stream: SeasonStream | None = None
        for batch in batches:
            own = self._values(batch)
            values = np.concatenate([before, own])
            scale = scale or self.scale_of(batch.name, values)
            stream = stream or self.season_stream(batch.name, scale)
            given = stream.take(own, batch.time, batch.timezone is None) if stream else None
            yield self._score_values(values, len(batch), given or scale)
            before = values[max(0, len(values) - self.window + 1) :]

    def notices(self, series: Series) -> list[str]:
        """What looks wrong with a series for this model, one sentence each: another sampling period, other units."""
        found = []
        if self.period and series.period and abs(series.period / self.period - 1) > OTHER_PERIOD:
            found.append(
                f"rows come every {series.period:g} s, and the model learned from one every {self.period:g} s; resample"
            )
        for name, (low, high), unit, column in zip(
            self.channels, self.ranges, self.units, self._values(series).T, strict=True
        ):
            if outside := _far_outside(column, low, high):
                found.append(
                    f"channel {name} has values from {outside[0]:g} to {outside[1]:g}, far outside the {low:g} to "
                    f"{high:g}{' ' + unit if unit else ''} of the training data; check its units"
                )
        return found

    def _values(self, series: Series) -> NDArray[np.float64]:
        given = series if series.channels == self.channels else select_channels(series, self.channels)
        return np.asarray(given.values, np.float64)

    def _score_values(self, values: NDArray[np.float64], last: int, scale: Beside | None) -> SeriesScores:
        """Scores of the last rows of values [time, channels]; phases and levels are those of the last rows."""
        score = np.full(len(values), np.nan, np.float32)
        channel_score = np.full(values.shape, np.nan, np.float32)
        if len(values) >= self.window:
            for row, windows, count in window_batches(values, self.window, self._batch):
                found = self._scores(windows, count, of_windows(scale, row - len(values) + last, count, len(windows)))
                score[row : row + count] = found["score"]
                channel_score[row : row + count] = found["channel_score"]
        return SeriesScores(score[len(values) - last :], channel_score[len(values) - last :])

    @property
    def _batch(self) -> int:
        """The largest batch that is used."""
        return _BATCHES[-1] if self.window * len(self.channels) <= _LARGE else _BATCHES[-2]

    def _split(
        self, windows: NDArray[np.floating], scale: Beside | None = None
    ) -> Iterator[tuple[Float, int, Beside | None]]:
        """(Batch of a fixed shape, windows in it that are real, what the graph takes beside them)."""
        if windows.ndim != 3 or windows.shape[1:] != (self.window, len(self.channels)):
            raise InvalidArgument(
                f"windows of model {self.bundle.name} have the shape [n, {self.window}, {len(self.channels)}], "
                f"not {list(windows.shape)}"
            )
        start = 0
        while start < len(windows):
            left = len(windows) - start
            size = next((size for size in _BATCHES if size >= left and size <= self._batch), self._batch)
            count = min(size, left)
            with np.errstate(over="ignore"):
                batch = np.empty((size, *windows.shape[1:]), np.float32)
                batch[:count] = windows[start : start + count]
            batch[:count][~np.isfinite(batch[:count])] = np.nan  # as in `window_batches`
            batch[count:] = batch[0]
            yield batch, count, of_windows(scale, start, count, size)
            start += count

    def _scores(self, batch: Float, count: int, scale: Beside | None = None) -> dict[str, Float]:
        """Scores of the first `count` windows of a batch, by the faster graph where nothing is missing."""
        return self._run(batch, count, self._whole is not None and not np.isnan(batch.min()), scale)

    def _run(self, batch: Float, count: int, whole: bool = False, scale: Beside | None = None) -> dict[str, Float]:
        """A graph's outputs for the first `count` windows of a batch. Raises ModelError for other shapes."""
        shapes: dict[str, tuple[int, ...]] = {"score": (len(batch),), "channel_score": (len(batch), len(self.channels))}
        given = {"window": batch, **self._beside(len(batch), scale)}
        if whole and self._whole is not None:
            found = self._whole.run(given)
            if self.seasons is not None and (unknown := given["phase"].min(axis=(1, 2)) < 1).any():
                # Rows without a phase are not whole.
                other = self._session.run(given)
                found = {
                    key: np.where(unknown.reshape(-1, *[1] * (part.ndim - 1)), other[key], part)
                    for key, part in found.items()
                }
        else:
            found = self._session.run(given)
            shapes["reconstruction"] = batch.shape
        for key, shape in shapes.items():
            if found[key].shape != shape:
                raise ModelError(f"model {self.bundle.name} gives {key} of the shape {found[key].shape}, not {shape}")
        return {key: found[key][:count] for key in shapes}

    def _beside(self, count: int, given: Beside | None) -> dict[str, Float]:
        """What the graph takes beside so many windows."""
        each = (count, len(self.channels))
        parts: dict[str, tuple[Float, tuple[int, ...]]] = {}
        if self.seasons is not None:
            phases = (count, self.window, self.seasons.count)
            own = given if isinstance(given, SeasonInputs) else self.seasons.neutral
            parts = {"phase": (own.phase, phases), "level": (own.level, each)}
        if self.scales is not None:
            scale = (given.scale if isinstance(given, SeasonInputs) else given) or self.scales.usual
            parts |= {"centre": (scale.centre, each), "width": (scale.width, each)}
        return {name: np.ascontiguousarray(np.broadcast_to(part, shape)) for name, (part, shape) in parts.items()}

    def _check_probe(self) -> None:
        windows, expected = self.bundle.array("probe_window"), self.bundle.array("probe_score")
        if windows.shape[1:] != (self.window, len(self.channels)) or expected.shape != windows.shape[:1]:
            raise ModelError(
                f"the probe of model {self.bundle.name} has the shape {windows.shape}, not that of its windows"
            )
        whole = ~np.isnan(windows).any((1, 2))
        scales = self._probe_beside(expected.shape[0])
        for kept, faster in ((np.ones_like(whole), False), (whole, True)):
            # One by one where each has a scale of its own.
            groups = (
                [(windows[kept], None)]
                if scales is None
                else [(windows[[number]], scales.at(number)) for number in np.flatnonzero(kept)]
            )
            parts = [
                self._run(batch, count, faster, scale)["score"]
                for some, scale in groups
                for batch, count, _ in self._split(some)
            ]
            if parts:
                check_probe(self.bundle, np.concatenate(parts), expected[kept])

    def _probe_beside(self, count: int) -> Beside | None:
        """What the model takes beside the probe's windows; None where it takes nothing. Raises ModelError."""
        scale = None
        if self.scales is not None:
            scale = Scale(self.bundle.array("probe_centre"), self.bundle.array("probe_width"))
            _check_scale(self.bundle, scale, (count, len(self.channels)))
        if self.seasons is None:
            return scale
        return SeasonInputs(self.bundle.array("probe_phase"), self.bundle.array("probe_level"), scale)


def load_detector(source: str | os.PathLike[str] | bytes, device: str = "auto", threads: int | None = None) -> Detector:
    """The detector of a bundle: a path, a name or an id as `find_bundle` takes them, or the bundle's bytes.

    Raises ModelError where there is none, or one of another kind.
    """
    return Detector(find_bundle(source), device, threads)


def _far_outside(column: NDArray[np.float64], low: float, high: float) -> tuple[float, float] | None:
    """(Lowest, highest) where most of the values lie many ranges outside low..high."""
    finite = column[np.isfinite(column)]
    if not finite.size:
        return None
    reach = _FAR_OUTSIDE * max(high - low, 1e-3 * max(abs(low), abs(high)))
    outside = (finite < low - reach) | (finite > high + reach)
    if reach == 0 or outside.mean() <= 0.5:
        return None
    return float(finite.min()), float(finite.max())


def _names(coding: dict[str, Any], name: str) -> tuple[str, ...]:
    value = coding.get(name)
    if not isinstance(value, list) or not 1 <= len(value) <= CHANNELS_MAX:
        raise wrong(name, value, "a list of names")
    names = texts(coding, name, len(value))
    if len(set(names)) < len(names):
        raise wrong(name, value, "a list of different names")
    return names


def _ranges(coding: dict[str, Any], count: int) -> tuple[tuple[float, float], ...]:
    value: Sequence[Any] = coding.get("ranges") or ()
    try:
        found = tuple((float(low), float(high)) for low, high in value)
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not all(low <= high for low, high in found):
        raise wrong("ranges", value, f"a list of {count} pairs (low, high)")
    return found


def _stream_scales(bundle: Bundle, channels: int) -> StreamScales | None:
    """What a model says of the scales that its graph takes. Raises ModelError."""
    about = bundle.coding.get("stream_scale")
    if about is None:
        return None
    if not isinstance(about, dict) or not isinstance(about.get("streams"), list):
        raise wrong("stream_scale", about, "an object with rows and streams")
    names = texts(about, "streams", len(about["streams"]))
    every = Scale(bundle.array(SCALE_CENTRE), bundle.array(SCALE_WIDTH))
    _check_scale(bundle, every, (len(names) + 1, channels))
    usual, *own = (Scale(centre, width) for centre, width in zip(*every, strict=True))
    return StreamScales(usual, dict(zip(names, own, strict=True)), whole(about, "rows", 1 << 20))


def _check_scale(bundle: Bundle, scale: Scale, shape: tuple[int, int]) -> None:
    for array in scale:
        if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
            raise ModelError(f"the scales of model {bundle.name} are no finite float32 {list(shape)}")
    if not (scale.width > 0).all():
        raise ModelError(f"a width in the scales of model {bundle.name} is not above 0")


def _event_rule(coding: dict[str, Any]) -> EventRule:
    value = coding.get("event_rule")
    try:
        return replace(EventRule(), **(value if isinstance(value, dict) else {"rule": value}))
    except (TypeError, InvalidArgument) as error:
        raise wrong("event_rule", value, "a rule for events") from error
