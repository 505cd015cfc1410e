"""Training data of several streams: one sampling period, and a scale for each where one model is to serve them all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from aez.codec.common.words import format_duration, listed
from aez.codec.detect.detector import OTHER_PERIOD
from aez.codec.detect.rhythm.seasons import Beside, SeasonInputs
from aez.codec.detect.scaling import Scale, StreamScales, learned_scale, robust_centre, robust_scale
from aez.codec.errors import UnsupportedInput
from aez.codec.series.core import Series
from aez.export.series.graph import DetectorGraph
from aez.export.series.scaling import LIMIT, Scaling, columns_of
from aez.export.series.seasons.graph import SeasonGraph, SeasonParts
from aez.export.series.windows import Rows, fitted_rows

__all__ = ["fit_scales", "own_scales", "same_period", "scaled", "score_windows", "unit_scaling", "unscaled"]

#: A new stream learns its scale from so many windows' rows, and from so many rows at least.
_WINDOWS, _ROWS = 4, 256


def same_period(series: Sequence[Series]) -> tuple[list[Series], float | None, list[str]]:
    """The series whose rows come as often as most rows do, that period in seconds, and a sentence about the others."""
    periods = [one.period for one in series]
    known = [period for period in periods if period]
    if not known:
        return list(series), None, []

    def alike(period: float | None, other: float) -> bool:
        return period is None or abs(period / other - 1) <= OTHER_PERIOD

    def rows(other: float) -> int:
        return sum(len(one) for one, period in zip(series, periods, strict=True) if period and alike(period, other))

    usual = max(known, key=rows)
    kept = [one for one, period in zip(series, periods, strict=True) if alike(period, usual)]
    others: dict[float, list[str]] = {}
    for one, period in zip(series, periods, strict=True):
        if period is not None and not alike(period, usual):
            others.setdefault(period, []).append(one.name or "a series without a name")
    notices = [
        f"{listed(names)} {'has' if len(names) == 1 else 'have'} a row every {format_duration(period)} and the others "
        f"one every {format_duration(usual)}; left out: resample, or train a model of their own"
        for period, names in others.items()
    ]
    return kept, usual, notices


def fit_scales(names: Sequence[str], parts: Sequence[Rows], window: int, channels: Sequence[str]) -> StreamScales:
    """The scale of each stream by the rows that fit its model; several parts may have one name.

    A channel that a stream lacks gets the others' median. Raises UnsupportedInput for a channel that all lack.
    """
    together: dict[str, list[Rows]] = {}
    for name, part in zip(names, parts, strict=True):
        together.setdefault(name, []).append(part)
    own = {name: _own(np.concatenate(rows)) for name, rows in together.items()}
    with np.errstate(all="ignore"):
        found = np.array(list(own.values()))  # [streams, 2, channels]
        missing = np.isnan(found).all(axis=(0, 1))
        if missing.any():
            name = channels[int(np.argmax(missing))]
            raise UnsupportedInput(f"channel {name} has no value in the training rows; leave it out")
        usual = Scale(*np.nanmedian(found, axis=0).astype(np.float32))
    known = {name: learned_scale(np.concatenate(rows), usual) for name, rows in together.items()}
    return StreamScales(usual, known, max(_ROWS, _WINDOWS * window))


def _own(rows: Rows) -> tuple[list[float], list[float]]:
    columns = [column[np.isfinite(column)] for column in np.asarray(rows, np.float64).T]
    return (
        [robust_centre(column) if len(column) else np.nan for column in columns],
        [robust_scale(column) if len(column) else np.nan for column in columns],
    )


def own_scales(
    series: Sequence[Series],
    rows: Sequence[Rows],
    channels: Sequence[str],
    window: int,
    held_out: float,
    validation: float,
) -> tuple[StreamScales, list[Rows]]:
    """The scale of each stream by the rows that fit, and its rows in widths. Raises as `fit_scales`."""
    fits = [one[: fitted_rows(len(one), window, held_out, validation)] for one in rows]
    scales = fit_scales([one.name for one in series], fits, window, channels)
    return scales, [scaled(part, scales.known[one.name]) for part, one in zip(rows, series, strict=True)]


def scaled(rows: Rows, scale: Scale) -> Rows:
    """Rows [..., channels] in widths from the centre."""
    found: Rows = ((rows - scale.centre) / scale.width).astype(np.float32)
    return found


def unscaled(windows: Rows, scales: StreamScales) -> tuple[Rows, Scale]:
    """Windows [n, time, channels] in the units of the known streams, in turn, and the scale of each."""
    several = [*scales.known.values(), scales.usual]
    turn = [several[number % len(several)] for number in range(len(windows))]
    each = Scale(np.stack([one.centre for one in turn]), np.stack([one.width for one in turn]))
    return (windows * each.width[:, None] + each.centre[:, None]).astype(np.float32), each


def unit_scaling(fitted: Sequence[Rows], raw: Sequence[Rows]) -> Scaling:
    """The scaling of runs of rows [n, channels] that `scaled` made; `raw` rows say what range the sensors had."""
    zero, one = np.zeros(fitted[0].shape[1]), np.ones(fitted[0].shape[1])
    gain = 1 / np.maximum(1.0, [np.std(np.clip(column, -LIMIT, LIMIT)) for column in columns_of(fitted)])
    low = np.fmin.reduce([np.fmin.reduce(part, axis=0) for part in raw if len(part)])
    high = np.fmax.reduce([np.fmax.reduce(part, axis=0) for part in raw if len(part)])
    return Scaling(zero, one, gain, low.astype(np.float64), high.astype(np.float64))


def score_windows(
    graph: DetectorGraph, windows: Rows, scale: Beside | None, seasons: SeasonParts | None = None
) -> tuple[Rows, Rows]:
    """Scores and blame of windows [n, time, channels] of one stream; with its scale by a graph for rows in widths.

    With `seasons` by their phases and levels, as `scale`, which tell the stream's scale, too.
    """
    own = scale.scale if isinstance(scale, SeasonInputs) else scale
    with torch.no_grad():
        widths = windows if own is None else scaled(windows, own)
        if seasons is None:
            score, blame, _ = graph(torch.from_numpy(widths))
        else:
            given = scale if isinstance(scale, SeasonInputs) else seasons.seasons.neutral
            phase = np.broadcast_to(given.phase, (*windows.shape[:2], seasons.seasons.count))
            level = np.broadcast_to(given.level, (len(windows), windows.shape[2]))
            whole = SeasonGraph(graph, seasons, float(graph.threshold)).eval()
            score, blame, _ = whole(*(torch.from_numpy(np.array(one)) for one in (widths, phase, level)))
    return score.numpy(), blame.numpy()
