"""Data too large to learn from all of: even stretches of rows, which windows are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aez.codec.series.core import Series
from aez.codec.series.sampled import VALUES_MOST, Stretches, stitched


def few_enough(series: Sequence[Series], most: int | None = None) -> tuple[list[Series], list[str]]:
    """The series, or stretches of each where all have more than `most` values, by default VALUES_MOST; and a word.

    `values` may be memory maps: what is left out is not read.
    """
    most = VALUES_MOST if most is None else most
    total = sum(one.values.size for one in series)
    if total <= most:
        return list(series), []
    kept = [_stretches(one, total, most) for one in series]
    rows, left = sum(map(len, series)), sum(map(len, kept))
    notice = (
        f"{rows:,} rows of {len(series[0].channels)} channels are more than are learned from; even stretches were "
        f"taken, {left:,} rows in all"
    )
    return kept, [notice]


def _stretches(series: Series, total: int, most: int) -> Series:
    """Of one series its share of the values."""
    channels = max(1, series.values.shape[1])
    own = max(1, most * series.values.size // total)
    spans = list(Stretches.of(len(series), channels, own).spans(len(series)))
    if len(spans) == 1 and spans[0] == (0, len(series)):
        return series
    times = [None if series.time is None else series.time[start:end] for start, end in spans]
    whole = stitched(
        [
            replace(series, values=series.values[start:end], time=time, cuts=None)
            for (start, end), time in zip(spans, times, strict=True)
        ]
    )
    if series.cuts is None or whole.time is not None:
        return whole
    begins = np.cumsum([0, *(end - start for start, end in spans)])
    inner = [
        series.cuts[(series.cuts > start) & (series.cuts < end)] - start + begin
        for (start, end), begin in zip(spans, begins, strict=False)
    ]
    new = whole.cuts if whole.cuts is not None else np.empty(0, np.int64)
    return replace(whole, cuts=np.unique(np.concatenate([new, *inner])))
