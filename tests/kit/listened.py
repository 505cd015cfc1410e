"""An engine whose scores are kept, and what must hold of them however rows arrive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aez.codec.detect.detector import Detector
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.watched import Watched


class Listened:
    """An engine, and the scores that it gave, by stream."""

    def __init__(self, detector: Detector) -> None:
        self.scores: dict[str, list[float]] = {}
        self.engine = Engine([Watched("m", detector, jump=0)], listener=self._hear, clock=lambda: 10**19 // 5)

    def _hear(self, rows: ScoredRows) -> None:
        for number, score in zip(rows.rows.stream.tolist(), rows.score.tolist(), strict=True):
            self.scores.setdefault(rows.names[number], []).append(score)


def state_after_cuts(detector: Detector, feed: Callable[..., object], stream: str, rows: int) -> bytes:
    """The state of a stream after 200 of so many rows, once cuts, a restart there and another stream changed no score.

    `feed(engine, low, high)` gives rows of the `stream`, with a further argument those of another one.
    """
    whole, cut = Listened(detector), Listened(detector)
    feed(whole.engine, 0, rows)
    for low in range(0, 200, 40):
        feed(cut.engine, low, low + 40)
        feed(cut.engine, low, low + 20, "another")
    state = cut.engine.touched()[stream]
    again = Listened(detector)
    assert again.engine.restore(stream, state) == ""
    feed(again.engine, 200, rows)
    for monitor in (whole, cut, again):
        monitor.engine.flush(0)
    joined = cut.scores[stream][: len(whole.scores[stream]) - len(again.scores[stream])] + again.scores[stream]
    np.testing.assert_allclose(joined, whole.scores[stream], rtol=1e-5)
    return state
