"""`aez train series`: from rows of normal data to a detector bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.common.words import listed
from aez.codec.detect.events import DEFAULT_RULE, EventRule, find_events
from aez.codec.detect.rhythm.calendar import days_of
from aez.codec.detect.scaling import StreamScales
from aez.codec.detect.thresholds import alarm_budget, peaks_over_threshold, percentile
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series, holes, select_channels
from aez.export.channels.inputs import learned_rows
from aez.export.channels.kinds import Kinds
from aez.export.channels.words import shared_words
from aez.export.common.batches import Batches, spread, spread_lazily
from aez.export.common.run_files import check_output, run_folder
from aez.export.common.trainer import Result, TrainOptions
from aez.export.families.base import within
from aez.export.families.registry import build
from aez.export.families.training import best_validation, effort, is_finished, learn, short_run
from aez.export.series.bundle import CHECKED_WINDOWS, Described, Learned
from aez.export.series.channels import kinds_and_window, make_inputs, scale_learned, still_notices, teach_voices
from aez.export.series.covering import covering_limit
from aez.export.series.data.faults import noted_faults
from aez.export.series.data.rows import (
    ROWS_PERCENTILE,
    ROWS_RULE,
    as_rows,
    family_of_rows,
    few_rows,
    row_limit,
    split_dealt,
)
from aez.export.series.data.sampling import few_enough
from aez.export.series.data.signals import SignalFigures, signal_figures, without_sentinels
from aez.export.series.data.sufficiency import margin_of, rare_alarms, refuse_constant, too_few_windows, without_empty
from aez.export.series.data.suspects import find_suspects, told
from aez.export.series.graph import DetectorGraph, ScoreOptions
from aez.export.series.loss import DetectorLoss
from aez.export.series.seasons.finding import FittedSeasons, find_seasons, of_cycles
from aez.export.series.seasons.graph import SeasonParts, calibrated_parts, with_neutral
from aez.export.series.streams import own_scales, same_period
from aez.export.series.windows import (
    Rows,
    Spans,
    Split,
    Windows,
    finite_rows,
    runs_of,
    split_rows,
    suggest_window,
)

logger = logging.getLogger(__name__)

DEFAULT_FAMILY = "pca"
VALIDATION_WINDOWS = 2_000
#: Windows that say how codes are distributed.
CODE_WINDOWS = 8_000
#: Share of the fitted part that tells when to stop.
VALIDATION = 0.15
#: Rows that a closed form has learned from score like any others where they are so many times its columns.
_ROWS_PER_COLUMN = 20
_BATCH = 1024
DAY = 86_400.0
#: The limit of a budget over what the held-out part says. A PCA on SMD gave 1.23 false alarms a day with 1, 0.91 with
#: 1.3 and 0.83 with 1.5; on SKAB, with 120 rows held out, it flagged 36 % of the normal rows with 1.2, 22 % with 1.5.
MARGIN = 1.5
#: No budget puts the limit of a model with seasons below the margin times this percentile of held-out scores: where a
#: day has 24 rows, three in a row above it once a day are an eighth of them.
SEASON_PERCENTILE = 99.9

Method = Literal["percentile", "pot", "budget"]
METHODS: tuple[Method, ...] = ("percentile", "pot", "budget")


@dataclass(frozen=True)
class LimitOptions:
    """How the threshold is chosen on the held-out scores.

    `percentile` of them; `pot`: exceeded by a normal row with probability `risk` (peaks over threshold); `budget`: at
    most `alarms` events a day, or in 1440 rows where there is no clock, and `margin` times that limit, since a held-out
    part never shows all that is normal. Raises InvalidArgument.
    """

    method: Method = "budget"
    percentile: float = 99.9
    risk: float = 1e-4
    alarms: float = 1.0
    margin: float = MARGIN

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidArgument(f"threshold {self.method!r} is unknown; use {', '.join(METHODS)}")
        within("percentile", self.percentile, 50, 100)
        within("risk", self.risk, 1e-9, 0.02)
        within("alarms", self.alarms, 0, 1e6)
        within("margin", self.margin, 1, 1e3)


@dataclass(frozen=True)
class DetectorConfig:
    """What to learn and how to judge.

    `family` None: that of the data's kind; `window` None: suggested from the data; `options` are the family's own;
    `held_out` is the share of the rows, the latest, that calibrates; `robust` leaves out rows that look like faults;
    `gaps` is the share of the windows into which training makes holes; `per_stream_scale` makes a graph that takes each
    stream's centre and width as inputs; `rows`: that rows are no series, None: where they have no order. `seasons`:
    whether days and weeks are looked for, in the `timezone` (by default the source's, or UTC), of which `holidays`,
    dates such as 2025-12-25, are as Sundays. `kinds` says of channels by name what they are, of
    `aez.export.channels.kinds.CHOICES`, where it is not to be found.
    """

    family: str | None = None
    window: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    score: ScoreOptions = field(default_factory=ScoreOptions)
    limit: LimitOptions = field(default_factory=LimitOptions)
    rule: EventRule = DEFAULT_RULE
    held_out: float = 0.3
    robust: bool = True
    gaps: float = 0.2
    per_stream_scale: bool = False
    rows: bool | None = None
    seasons: Literal["auto", "none"] = "auto"
    timezone: str | None = None
    holidays: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def named_family(self) -> str:
        """`family`, or that of series."""
        return self.family or DEFAULT_FAMILY

    def __post_init__(self) -> None:
        if self.kinds and self.per_stream_scale:
            raise InvalidArgument("channels of streams with scales of their own are all measured; give no kinds")
        within("held_out", self.held_out, 0.05, 0.9)
        within("gaps", self.gaps, 0, 1)
        if self.window is not None:
            within("window", self.window, 1, 4096)


@dataclass
class Fitted:
    """A calibrated detector, and what it was made from.

    `scores` are the held-out ones before the division by the threshold; `result` None: nothing was trained; `notices`
    say what the user should know of the data, one sentence each; `words` are those of channels of text. With `scales`
    the graph is one for rows in widths from their stream's centre, and so are the windows of `split`. `signals` None:
    it was made before they were noted. `covering_threshold`: see `covering_limit`; None as `signals`. With `seasons`
    the graph is one for rows in widths from what is usual, and so are the windows.
    """

    graph: DetectorGraph
    config: DetectorConfig
    channels: tuple[str, ...]
    period: float | None
    split: Split
    scores: NDArray[np.float32]
    result: Result | None
    notices: list[str]
    scales: StreamScales | None = None
    signals: SignalFigures | None = None
    covering_threshold: float | None = None
    seasons: SeasonParts | None = None
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def default_options(windows: int, **changes: Any) -> TrainOptions:
    """How to train on so many windows; `changes` replace what is given."""
    return short_run(windows, 4, (300, 3000), {"batch": 128, "learning_rate": 1e-3, "patience": 4}, changes)


def prepare_rows(series: Sequence[Series], channels: Sequence[str] | None = None) -> tuple[list[Rows], tuple[str, ...]]:
    """(float32 rows of each series with NaN for what is missing or infinite, names of their columns).

    Raises UnsupportedInput where a series lacks a channel of the first, InvalidArgument without series.
    """
    if not series:
        raise InvalidArgument("there is no series to learn from; give one or more")
    names = tuple(channels or series[0].channels)
    if not names:
        raise UnsupportedInput(f"{series[0].name or 'the series'} has no channel to learn from")
    rows = []
    for one in series:
        values = (one if one.channels == names else select_channels(one, names)).values
        rows.append(finite_rows(values))
    return rows, names


def fit_detector(
    series: Sequence[Series],
    config: DetectorConfig,
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Fitted:
    """Learn from series of normal data, which share their channels, and calibrate.

    The first part of each series fits the network, the last (`config.held_out`) sets channel errors and threshold. No
    window crosses from one series into another, or a hole in a clock. `changes` are those to `default_options`; the
    checkpoint lies in `folder`. Raises InvalidArgument and UnsupportedInput for data that cannot be learned from.
    """
    series, are_rows, said = as_rows(series, config.rows, config.window)
    config = _for_rows(config, family_of_rows(series)) if are_rows else replace(config, rows=False)
    series, period, notices = same_period(series)
    series, sampled = few_enough(series)
    notices += [*said, *sampled]
    series, words, config = _with_words(series, config)
    rows, channels = prepare_rows(series)
    refuse_constant(rows, [one.name or "the training data" for one in series])
    rows, sentinels, unread = without_sentinels(rows, channels)
    kinds, window, found = kinds_and_window(
        series, rows, channels, config.kinds, config.window, config.per_stream_scale
    )
    notices += [*unread, *found]
    scales, own = None, rows
    if config.per_stream_scale:
        scales, own = own_scales(series, rows, channels, window, config.held_out, VALIDATION)
    season = _seasons(series, own, period, kinds, config)
    if season is not None and config.window is None:
        window = suggest_window(learned_rows(max(season.left, key=len), kinds), season.window)
    scales = of_cycles(scales, season)
    with torch.random.fork_rng():
        trained = build(config.named_family, window, len(kinds.learned), **config.options).trained
    left = own if season is None else season.left
    split, left_out = _split(series, left, kinds, config, window, VALIDATION * trained, notices)
    raw = None if scales is None and season is None else rows
    kinds, scaling = scale_learned(split, kinds, channels, raw, bool(config.rows))
    notices += still_notices(kinds, scaling, channels)
    learned, effect = make_inputs(split, scaling, kinds, window)
    options = default_options(len(split.fit), **(changes or {}))
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = build(config.named_family, window, len(kinds.learned), **config.options)
        model = DetectorLoss(network, scaling, config.gaps, learned, effect)
        network, result = learn(model, split.fit, split.validation, VALIDATION_WINDOWS, options, folder, resume)
    graph = DetectorGraph(network, scaling, config.score, kinds)
    graph.learned.load_state_dict(learned.state_dict())
    graph.effect.load_state_dict(effect.state_dict())
    scores, judged, covering, parts = _calibrated(graph, split, season, config, period)
    parts = parts and with_neutral(parts, runs_of(own, left_out, window), float(graph.threshold), config.limit.margin)
    teach_voices(graph, split)
    signals = None if config.rows else signal_figures(rows, sentinels, left_out)
    notices += _limit_notices(config, judged, period)
    notices += [said for said in (too_few_windows(split),) if said is not None]
    return Fitted(
        graph, config, channels, period, split, scores, result, notices, scales, signals, covering, parts, words
    )


def _with_words(
    series: Sequence[Series], config: DetectorConfig
) -> tuple[list[Series], dict[str, tuple[str, ...]], DetectorConfig]:
    """The series with one table of words for each channel of text, the tables, and the config: such are states.

    Raises InvalidArgument where each stream has its scale.
    """
    series, words = shared_words(series)
    if words and config.per_stream_scale:
        raise InvalidArgument(f"{listed(list(words))} hold text, which has no scale; leave them out with --ignore")
    return series, words, replace(config, kinds={**dict.fromkeys(words, "state"), **config.kinds}) if words else config


def _calibrated(
    graph: DetectorGraph, split: Split, season: FittedSeasons | None, config: DetectorConfig, period: float | None
) -> tuple[NDArray[np.float32], int, float | None, SeasonParts | None]:
    """Calibrate the graph and set its threshold.

    Gives the held-out scores, how many scores set the threshold, that of covering scores, and what seasons add.
    """
    scores = graph.calibrate(Batches(split.held_out, _BATCH), Batches(spread_lazily(split.fit, CODE_WINDOWS), _BATCH))
    parts = None
    if season is not None:
        parts, scores = _with_seasons(season, split.held_out, scores)
    judged = _limit_scores(graph, scores, split, config)

    def limit_of(some: NDArray[np.float32]) -> float:
        found = choose_limit(some, split.held_out, config, period)
        return found if parts is None else max(found, season_floor(some, config))

    graph.threshold.fill_(limit_of(judged))
    covering = None if config.rows else covering_limit(scores, split.held_out, float(graph.threshold), limit_of)
    return scores, len(judged), covering, parts


def _for_rows(config: DetectorConfig, family: str | None) -> DetectorConfig:
    """The config with what rows that are no series take where nothing was asked for."""
    limit = config.limit
    if limit.method == "budget":  # it counts events of several rows a day
        limit = replace(limit, method="percentile", percentile=ROWS_PERCENTILE)
    rule = ROWS_RULE if config.rule == DEFAULT_RULE else config.rule
    return replace(config, rows=True, window=1, family=config.family or family, limit=limit, rule=rule)


@torch.no_grad()
def _limit_scores(
    graph: DetectorGraph, scores: NDArray[np.float32], split: Split, config: DetectorConfig
) -> NDArray[np.float32]:
    """The scores that set the limit: the held-out ones, and the fitted rows' where few rows have few numbers to fit."""
    few = config.rows and config.limit.method == "percentile" and few_rows(len(scores), config.limit.percentile)
    if not few or graph.network.trained or len(split.fit) < _ROWS_PER_COLUMN * graph.width:
        return scores
    return np.concatenate([scores, *(graph.network_score(batch).numpy() for batch in Batches(split.fit, _BATCH))])


def _limit_notices(config: DetectorConfig, held_out: int, period: float | None) -> list[str]:
    """What a limit asks for that so many held-out windows are too few to show."""
    if config.rows:
        return few_rows(held_out, config.limit.percentile) if config.limit.method == "percentile" else []
    return _budget_notices(config.limit, held_out, period)


def _budget_notices(limit: LimitOptions, held_out: int, period: float | None) -> list[str]:
    """What a budget asks for that so many held-out rows are too few to show; a day where there is no clock."""
    if limit.method != "budget" or limit.alarms >= 1:  # the usual one is as good as its margin
        return []
    return rare_alarms(limit.alarms, held_out * (period or DAY / 1440) / DAY, limit.margin)


def _seasons(
    series: Sequence[Series], rows: Sequence[Rows], period: float | None, kinds: Kinds, config: DetectorConfig
) -> FittedSeasons | None:
    """The seasons of what is measured, of rows in widths where each stream has its scale; of rows with an order."""
    if config.seasons == "none" or config.rows:
        return None
    kept = np.array([kind == "measured" for kind in kinds.names])
    return find_seasons(series, rows, period, config.timezone, days_of(config.holidays), kept)


def _with_seasons(
    season: FittedSeasons, held_out: Windows, scores: NDArray[np.float32]
) -> tuple[SeasonParts, NDArray[np.float32]]:
    """What the graph has for its seasons, and the scores [n] of held-out windows with it."""
    tail = min(season.tail, held_out.window)
    parts = calibrated_parts(season.seasons, tail, Batches(held_out, _BATCH), scores)
    away = np.concatenate([parts.scores(batch).amax(1).numpy() for batch in Batches(held_out, _BATCH)])
    return parts, np.maximum(scores, away)


def season_floor(scores: NDArray[np.float32], config: DetectorConfig) -> float:
    """The least limit of a model with seasons: a day of few rows has room for few that are above it."""
    return config.limit.margin * percentile(scores, SEASON_PERCENTILE) if config.limit.method == "budget" else 0.0


def _split(
    series: Sequence[Series],
    rows: Sequence[Rows],
    kinds: Kinds,
    config: DetectorConfig,
    window: int,
    validation: float,
    notices: list[str],
) -> tuple[Split, list[Spans]]:
    """Windows without rows that look like faults and across no hole; and what was left out of each series, noted."""
    names = [one.name for one in series]
    cuts = [holes(one) for one in series]
    faults: list[Spans] = [() for _ in rows]
    seen = [learned_rows(one, kinds) for one in rows]
    if config.robust:
        faults, found = noted_faults(seen, names, cuts, 1 if config.rows else None)
        notices += found
    if short := [name or "a series without a name" for name, one in zip(names, rows, strict=True) if len(one) < window]:
        notices.append(f"{listed(short)}: fewer rows than a window of {window}, and nothing to learn from")
    if config.rows:
        return split_dealt(rows, config.held_out, validation, faults), faults
    spans = [[*some, *((row, row) for row in own.tolist())] for some, own in zip(faults, cuts, strict=True)]
    if config.robust:
        suspects = find_suspects(seen, window, spans)
        notices += told(suspects, names, sum(map(len, rows)))
        spans = [[*some, *own] for some, own in zip(spans, suspects, strict=True)]
    return split_rows(rows, window, config.held_out, validation, spans), list(spans)


def choose_limit(scores: NDArray[np.float32], windows: Windows, config: DetectorConfig, period: float | None) -> float:
    """The threshold on held-out scores, positive."""
    limit = config.limit
    if limit.method == "pot":
        found = peaks_over_threshold(scores, limit.risk)
    elif limit.method == "percentile" and config.rows:
        found = row_limit(scores, limit.percentile)
    elif limit.method == "percentile":
        found = percentile(scores, limit.percentile)
    else:
        rows = DAY / period if period else 1440.0
        smallest = alarm_budget(_joined(scores, windows, config.rule), limit.alarms, rows, config.rule)
        found = margin_of(limit.alarms, len(scores) / rows, limit.margin) * smallest
    return max(found, 1e-6)


def _joined(scores: NDArray[np.float32], windows: Windows, rule: EventRule) -> NDArray[np.float64]:
    """Scores of all runs in one row, with quiet rows between them so that no event spans two."""
    ends = np.cumsum([len(run) - windows.window + 1 for run in windows.runs])[:-1]
    quiet = np.zeros(rule.close_after + rule.merge_within + 1)
    return np.concatenate([part for run in np.split(scores.astype(np.float64), ends) for part in (run, quiet)])


def describe(fitted: Fitted, name: str, data: str, units: Sequence[str] = ()) -> Described:
    """What the bundle of a fitted detector says beside its graph; `data` describes what it learned from."""
    config, result = fitted.config, fitted.result
    provenance = {
        "data": data,
        "network": {"family": config.named_family, "window": fitted.graph.window, "options": dict(config.options)},
        "held_out": config.held_out,
        "threshold": {key: getattr(config.limit, key) for key in ("method", *_LIMIT_KEYS[config.limit.method])},
        **effort(result),
    }
    relative = fitted.scores / float(fitted.graph.threshold)
    figures: dict[str, Any] = {
        "held_out": {
            "windows": len(relative),
            "median_score": round(float(np.median(relative)), 4),
            "p99_score": round(float(np.quantile(relative, 0.99)), 4),
            "share_above_1": round(float(np.mean(relative > 1)), 6),
            "events": len(find_events(_joined(relative, fitted.split.held_out, config.rule), rule=config.rule)),
        },
        **best_validation(result),
    }
    given = tuple(units) or ("",) * len(fitted.channels)
    return Described(
        name,
        fitted.channels,
        given,
        fitted.period,
        config.rule,
        provenance,
        figures,
        fitted.signals,
        fitted.covering_threshold,
        bool(config.rows),
        fitted.words,
    )


_LIMIT_KEYS: dict[Method, tuple[str, ...]] = {
    "percentile": ("percentile",),
    "pot": ("risk",),
    "budget": ("alarms", "margin"),
}


def without_rows(fitted: Fitted, data: str, units: Sequence[str] = ()) -> Learned:
    """What of a fitted detector its bundle is made from; `data` describes what it learned from."""
    windows = spread(fitted.split.held_out, CHECKED_WINDOWS).numpy()
    return Learned(fitted.graph, describe(fitted, "", data, units), windows, fitted.scales, fitted.seasons)


def make_bundle(fitted: Fitted, name: str, data: str, units: Sequence[str] = ()) -> Bundle:
    """The bundle of a fitted detector, in memory. Raises ModelError where the export does not compute the same."""
    return without_rows(fitted, data, units).pack(name)


def main(
    series: Sequence[Series],
    output: Path,
    *,
    name: str | None = None,
    config: DetectorConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
    units: Sequence[str] = (),
) -> Bundle | None:
    """Learn from series of normal data and write the bundle `output`; None when a signal stopped the run early.

    Checkpoint, metrics and loss curve lie in `<output>.run/`; `resume` goes on from the checkpoint. `changes` are
    TrainOptions by name (steps, minutes, seed, device ...). What the user should know of the data is logged as
    warnings. Raises AezError subclasses.
    """
    check_output(output)
    series, said = without_empty(series)
    if units and len(units) != len(series[0].channels):
        raise InvalidArgument(f"{len(units)} units cannot belong to {len(series[0].channels)} channels")
    fitted = fit_detector(series, config or DetectorConfig(), run_folder(output), changes, resume)
    if few := too_few_windows(fitted.split):
        raise UnsupportedInput(few)
    for notice in [*said, *fitted.notices]:
        logger.warning("aez: %s", notice)
    if not is_finished(fitted.result, output):
        return None
    rows = sum(len(one) for one in series)
    data = f"{rows:,} rows of {len(fitted.channels)} channels: {listed([one.name or 'unnamed' for one in series])}"
    bundle = make_bundle(fitted, name or output.stem, data, units)
    save_bundle(bundle, output)
    return bundle
