"""Rows that are no series (payments, flows, panels): how they are recognised, and what they take by default.

Nothing is to be learned from a row's neighbours there: a window is one row, an event one row above the limit, the
limit a share of the rows, and the rows that set it are dealt out over the whole file instead of being its latest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.events import EventRule
from aez.codec.detect.thresholds import share_limit
from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series
from aez.export.series.windows import Rows, Spans, Split, shortest_series, split_rows

__all__ = [
    "ROWS_FAMILY",
    "ROWS_PERCENTILE",
    "ROWS_RULE",
    "are_rows",
    "as_rows",
    "family_of_rows",
    "few_rows",
    "row_limit",
    "split_dealt",
]

#: It says how far a row lies from all others in every direction at once; of so many columns at most.
ROWS_FAMILY, _COLUMNS = "gaussian", 512
#: Of fresh normal rows, in percent, where no percentile was asked for.
ROWS_PERCENTILE = 99.0
#: One loud row is an event.
ROWS_RULE = EventRule(open_after=1, close_after=1)
#: Neighbours are more alike than others when a sum of products lies so many of its deviations from what chance gives,
#: at distance 1 and at one of up to `_DISTANCES`; of noise one file in a thousand has such a one.
_NEXT, _FURTHER, _DISTANCES = 3.5, 4.5, 64
#: Rows that are looked at, and fewer than this show nothing.
_LOOKED_AT, _FEWEST = 50_000, 10
#: A file's rows are dealt out in at most so many blocks, of at least so many rows.
_BLOCKS, _BLOCK_ROWS = 50, 40


def are_rows(series: Sequence[Series]) -> bool:
    """Whether series without a clock hold rows in no order: neighbours are no more alike than any others.

    Of the ranks of each column, so that no outlier decides, the sum over columns and rows of products of rows at a
    distance; in any order of the rows its mean is about 0 and its variance the rows' number times the sum of the
    squared covariances of the columns.
    """
    if any(one.time is not None for one in series):
        return False
    ranked = [_ranks(one.values[:_LOOKED_AT]) for one in series if len(one) >= _FEWEST]
    if not ranked:
        return False
    most = min(_DISTANCES, max(len(rows) for rows in ranked) // 4)
    sums, variances = np.zeros(most), np.zeros(most)
    for rows in ranked:
        covariance = rows.T @ rows / len(rows)
        spread = float(np.square(covariance).sum())
        # The rows' sum is 0, so that two different ones are alike by a little less than 0.
        usual = -float(np.trace(covariance)) / (len(rows) - 1)
        for distance in range(1, min(most, len(rows) // 4) + 1):
            pairs = len(rows) - distance
            sums[distance - 1] += float(np.vdot(rows[:-distance], rows[distance:])) - pairs * usual
            variances[distance - 1] += pairs * spread
    if not variances.size or not variances[0]:
        return False
    away = np.abs(sums) / np.sqrt(np.maximum(variances, 1e-12))
    return bool(away[0] < _NEXT and away.max() < _FURTHER)


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks of each column [time, channels], of mean 0 and within -1..1; 0 for what is missing."""
    ranked = np.zeros(values.shape)
    for place, column in enumerate(values.T):
        there = np.isfinite(column)
        _, inverse, counts = np.unique(column[there], return_inverse=True, return_counts=True)
        if len(counts) > 1:
            middle = np.cumsum(counts) - (counts + 1) / 2  # ties share their mean
            ranked[there, place] = 2 * middle[inverse] / (there.sum() - 1) - 1
    return ranked


def as_rows(series: Sequence[Series], asked: bool | None, window: int | None) -> tuple[list[Series], bool, list[str]]:
    """(The series, without clocks where they are rows; whether they are; a sentence where nobody said so).

    `asked`: whether they are, None to find out; `window`: as it was given. Raises InvalidArgument for windows of
    several rows.
    """
    if asked and (window or 1) > 1:
        raise InvalidArgument(f"rows that are no series are judged one by one, and a window of {window} takes several")
    if asked is False or (asked is None and ((window or 1) > 1 or not are_rows(series))):
        return list(series), False, []
    notices = []
    if asked is None:
        notices.append(
            "the rows have no order (no times, and neighbours are no more alike than others), so that each is judged "
            "by itself; give a window of several rows where they are a series"
        )
    return [replace(one, time=None) for one in series], True, notices


def family_of_rows(series: Sequence[Series]) -> str | None:
    """What rows of so many columns take where no family was asked for; None: what series take."""
    columns = max((len(one.channels) for one in series), default=0)
    return ROWS_FAMILY if columns <= _COLUMNS else None


def split_dealt(rows: Sequence[Rows], held_out: float, validation: float, left_out: Sequence[Spans]) -> Split:
    """As `split_rows` for windows of one row, each series in up to 50 blocks that are split one by one.

    So a file that is sorted by something shows all of itself to every part, and rows that came in one go mostly stay
    in one part. Raises UnsupportedInput where there are too few rows.
    """
    blocks: list[Rows] = []
    spans: list[Spans] = []
    fewest = max(_BLOCK_ROWS, shortest_series(1, held_out, validation))
    for one, out in zip(rows, left_out, strict=True):
        ends = np.linspace(0, len(one), max(1, min(_BLOCKS, len(one) // fewest)) + 1).astype(int).tolist()
        for start, end in itertools.pairwise(ends):
            blocks.append(one[start:end])
            spans.append(list(_within(out, start, end)))
    return split_rows(blocks, 1, held_out, validation, spans)


def _within(spans: Spans, start: int, end: int) -> Iterator[tuple[int, int]]:
    """What of the spans lies in start..end, from there on."""
    for low, high in spans:
        if max(low, start) < min(high, end):
            yield max(low, start) - start, min(high, end) - start


def row_limit(scores: NDArray[np.float32], percentile: float) -> float:
    """The limit that the share of a percentile of fresh normal rows exceeds."""
    return share_limit(scores, 1 - percentile / 100)


def few_rows(held_out: int, percentile: float) -> list[str]:
    """A sentence where so many held-out rows are too few to have seen the limit that was asked for."""
    share = 1 - percentile / 100
    needed = math.ceil(1 / share) - 1 if share else 0
    if held_out >= needed:
        return []
    said = (
        f"{held_out:,} held-out rows are too few to see a limit that {100 * share:.3g} % of the rows exceed, which "
        f"takes {needed:,}; it is estimated from how the scores scatter"
    )
    return [said]
