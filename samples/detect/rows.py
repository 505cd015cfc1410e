"""What recipes for rows that are no series share: detectors that judge each row by itself, and peers beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from recipe import PEERS, Floats, relative_scores

from aez.codec.detect.thresholds import percentile
from aez.export import SeriesDetector

#: A row of 20 or 30 numbers nearly fits into the code, so that every row is reconstructed well, unusual ones too: how
#: far the code lies from usual ones tells more. What no settings give stands beside it.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "aez": {"family": "dense", "score_kind": "mahalanobis"},
    "aez, defaults": {},
}


def judge_rows(
    train: Floats, test: Floats, q: float, steps: int | None = None
) -> tuple[dict[str, Floats], SeriesDetector]:
    """(Scores [row] of the test rows by each detector, and the one called "aez").

    A score of 1 is the limit: the percentile `q` of training rows that the detector did not learn from. (The default
    limit, a budget of alarms, counts events of several rows, and these rows do not follow from each other.)
    """
    found, detectors = {}, {}
    for name, settings in SETTINGS.items():
        detectors[name] = SeriesDetector(window=1, threshold="percentile", percentile=q, steps=steps, **settings)
        found[name] = detectors[name].fit(train).anomaly_score(test)
    for name, make_peer in PEERS.items():
        found[name] = relative_scores(make_peer(), train, test, partial(percentile, q=q))
    return found, detectors["aez"]
