"""Other online detectors on the same rows, one row at a time on one core: river's HalfSpaceTrees, and PyOD.

They get the rows as arrays or dictionaries that are there already, and only score and learn: no parsing, no streams,
no state on disk, no events. The monitor does all of that, on the same machine, in `throughput`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from aez.bench.load.rows import FEATURES, Rows, matrix
from aez.bench.monitor.report import Figure, Measured
from aez.bench.monitor.throughput import MODEL, file_run
from aez.codec.common.extras import library

__all__ = ["measure"]

_FIT_ROWS, _ROWS = 5000, 100_000
_SECONDS = 5.0  # of each peer, at most


def measure(folder: Path, *, rows: int, seed: int = 0, model: Path | None = None) -> Measured:
    """The peers, and the monitor on a JSON Lines file of the rows. Raises AezError where a peer is not installed."""
    trees = library("river.anomaly", "bench").HalfSpaceTrees
    preprocessing = library("river.preprocessing", "bench")
    forest = library("pyod.models.iforest", "bench").IForest
    ecod = library("pyod.models.ecod", "bench").ECOD
    pca = library("pyod.models.pca", "bench").PCA
    given = Rows(rows, seed=seed)
    values = matrix(Rows(min(rows, _ROWS), seed=seed))
    ours = file_run(folder, given, "json", model or MODEL).rate
    fit = min(_FIT_ROWS, len(values) // 2)

    river = preprocessing.MinMaxScaler() | trees(seed=seed)
    records = [dict(zip(FEATURES, row, strict=True)) for row in values.tolist()]

    def learn(record: dict[str, float]) -> None:
        river.score_one(record)
        river.learn_one(record)

    figures = [Figure("aez monitor, everything included, JSON Lines", ours, "rows/s")]
    for record in records[:fit]:
        river.learn_one(record)
    rate = _rate(learn, iter(records[fit:]))
    figures += _beside("river HalfSpaceTrees, score and learn", rate, ours)
    for name, detector in (
        ("PyOD IForest", forest(random_state=seed)),
        ("PyOD ECOD", ecod()),
        ("PyOD PCA", pca(random_state=seed)),
    ):
        detector.fit(values[:fit])
        rate = _rate(detector.decision_function, (values[at : at + 1] for at in range(fit, len(values))))
        figures += _beside(f"{name}, row by row", rate, ours)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("river", "pyod"))
    conditions = (
        f"{rows:,} rows of 20 features; peers fitted on the first {fit:,}, then timed for at most {_SECONDS:.0f} s on "
        f"those that follow; {versions}"
    )
    return Measured("peers", conditions, figures)


def _rate(work: Callable[[Any], object], given: Iterator[Any]) -> float:
    """Calls a second."""
    begun = time.perf_counter()
    done = 0
    for one in given:
        work(one)
        done += 1
        if time.perf_counter() - begun > _SECONDS:
            break
    return done / (time.perf_counter() - begun)


def _beside(name: str, rate: float, ours: float) -> list[Figure]:
    return [Figure(name, rate, "rows/s"), Figure(f"the monitor over {name}", ours / rate, "times")]
