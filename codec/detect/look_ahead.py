"""Covering scores of a series that comes in pieces, and where its events begin and end.

The mean over the windows that cover a row is high up to a window before something loud begins, and after it has ended.
An event of such scores is therefore cut to the rows of which every window that covers them says that they are
anomalous; where there is no such row, nothing in it is that loud, and it stays as it is. A fault that the causal score
sees at once so begins at the same row, under the same id, as in a monitor.

Guarantee: no more than a piece, a window, and the runs of loud rows of an event are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.covering import CoveringMean, apart, beside
from aez.codec.detect.detector import SeriesScores
from aez.codec.detect.events import Event, event_id
from aez.codec.series.core import Series, joined, part_of

__all__ = ["Covered", "EventBounds", "covering_pieces"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Covered:
    """Consecutive rows, their covering scores, and the lowest causal score [time] of the windows that cover each."""

    series: Series
    scores: SeriesScores
    lowest: Floats


def covering_pieces(found: Iterable[tuple[Series, SeriesScores]], window: int, limit: float) -> Iterator[Covered]:
    """From pieces with causal scores to pieces with covering ones, divided by `limit`.

    A row waits until all windows that cover it are scored. Rows of a series shorter than a window have no score.
    """
    means, lowest = CoveringMean(window), _Lowest(window)
    waiting: list[Series] = []
    rows = 0
    for series, scores in found:
        first = min(max(window - 1 - rows, 0), len(series))  # rows at which no window ends yet
        rows += len(series)
        waiting.append(series)
        if first == len(series):
            continue
        ready = means.add(beside(scores.score[first:], scores.channel_score[first:]))
        whole = joined(waiting)
        yield Covered(
            part_of(whole, 0, len(ready)), SeriesScores(*apart(ready, limit)), lowest.add(scores.score[first:])
        )
        waiting = [part_of(whole, len(ready), len(whole))]
    if rows >= window > 1:
        yield Covered(joined(waiting), SeriesScores(*apart(means.finish(), limit)), lowest.finish())
    elif 0 < rows < window:
        whole = joined(waiting)
        nothing = SeriesScores(np.full(rows, np.nan, np.float32), np.full(whole.values.shape, np.nan, np.float32))
        yield Covered(whole, nothing, np.full(rows, np.nan))


class _Lowest:
    """The lowest score of the windows that cover each row, as `CoveringMean`."""

    def __init__(self, window: int) -> None:
        self._before = np.full(window - 1, np.inf)

    def add(self, scores: NDArray[np.floating]) -> Floats:
        known = np.concatenate([self._before, scores])
        size = len(self._before) + 1
        self._before = known[len(scores) :]
        found: Floats = np.lib.stride_tricks.sliding_window_view(known, size).min(axis=1)
        return found

    def finish(self) -> Floats:
        return self.add(np.full(len(self._before), np.inf))


class EventBounds:
    """Cuts events of covering scores to their rows of which every window says that they are anomalous."""

    def __init__(self, model_id: str = "") -> None:
        self._model_id = model_id
        #: Runs of such rows since the last event: (first, last) row, and their times.
        self._runs: list[tuple[int, int, int | None, int | None]] = []

    def add(self, first: int, piece: Covered) -> None:
        """Take the next rows, of which the first has this number."""
        loud = np.concatenate([[False], piece.lowest > 1, [False]])
        time = piece.series.time
        for start, end in np.flatnonzero(loud[1:] != loud[:-1]).reshape(-1, 2).tolist():
            times = (None, None) if time is None else (int(time[start]), int(time[end - 1]))
            self._runs.append((first + start, first + end - 1, *times))

    def cut(self, event: Event) -> Event:
        """The event, closed, as it is told; events come in order."""
        inside = [run for run in self._runs if run[0] >= event.start and run[1] < event.end]
        self._runs = [run for run in self._runs if run[0] >= event.end]
        if not inside:
            return event
        (start, _, start_time, _), (_, last, _, end_time) = inside[0], inside[-1]
        made = event_id(self._model_id, event.stream, start, start_time)
        found = replace(event, id=made, start=start, start_time=start_time, opened=max(event.opened, start))
        if not event.ongoing:
            found = replace(found, end=last + 1, end_time=end_time)
        return replace(found, peak_row=min(max(found.peak_row, start), found.end - 1))
