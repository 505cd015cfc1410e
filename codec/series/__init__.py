"""Series from files: readers, clocks, columns, windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.codec.series.core import Reordering, Series, in_order, median_step, resample, select_channels
    from aez.codec.series.reader import SeriesReader, read_batches, read_series, read_streams
    from aez.codec.series.summary import SeriesSummarizer, SeriesSummary
    from aez.codec.series.windows import WindowBatch, sliding_windows, window_batches

__all__ = [
    "Reordering",
    "Series",
    "SeriesReader",
    "SeriesSummarizer",
    "SeriesSummary",
    "WindowBatch",
    "in_order",
    "median_step",
    "read_batches",
    "read_series",
    "read_streams",
    "resample",
    "select_channels",
    "sliding_windows",
    "window_batches",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.series.core": "Reordering Series in_order median_step resample select_channels",
        "aez.codec.series.reader": "SeriesReader read_batches read_series read_streams",
        "aez.codec.series.summary": "SeriesSummarizer SeriesSummary",
        "aez.codec.series.windows": "WindowBatch sliding_windows window_batches",
    },
)
