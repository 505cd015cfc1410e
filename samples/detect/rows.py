"""What recipes for rows that are no series share: a detector that judges each row by itself, and peers beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from recipe import PEERS, Floats, relative_scores

from aez.bench.detect.peers import PeerDetector, PyodAutoEncoder, Scaler
from aez.codec.detect.thresholds import percentile
from aez.export import SeriesDetector


@dataclass
class MeanOfSquares:
    """The mean of a row's squared deviations, in standard deviations of the training rows: three lines of NumPy."""

    _scaler: Scaler | None = field(default=None, init=False)

    def fit(self, train: Floats) -> MeanOfSquares:
        self._scaler = Scaler.fit(train)
        return self

    def score(self, test: Floats) -> Floats:
        assert self._scaler is not None
        return np.asarray(np.square(self._scaler(test)).mean(axis=1), np.float64)


#: What stands beside aez in the recipes of rows.
ROWS_PEERS: Mapping[str, Callable[[], PeerDetector]] = {
    **PEERS,
    "PyOD AutoEncoder": PyodAutoEncoder,
    "mean of squares": MeanOfSquares,
}


def judge_rows(train: Floats, test: Floats, q: float) -> tuple[dict[str, Floats], SeriesDetector]:
    """(Scores [row] of the test rows by each detector, and ours, "aez").

    A score of 1 is the limit: the percentile `q` of training rows that the detector did not learn from.
    """
    detector = SeriesDetector(rows=True, threshold="percentile", percentile=q).fit(train)
    found = {"aez": detector.anomaly_score(test)}
    for name, make_peer in ROWS_PEERS.items():
        found[name] = relative_scores(make_peer(), train, test, partial(percentile, q=q))
    return found, detector
