"""Tables that nobody would make on purpose and everybody has: what no detector may stumble over.

`python -m tests.kit.hostile 1000` learns from so many of them and says which broke it.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series
from aez.export.series.graph import HIGHEST
from aez.export.series.train import DetectorConfig, Fitted, fit_detector

Array = np.ndarray[Any, np.dtype[np.float64]]
Column = Callable[[np.random.Generator, int], Array]

COLUMNS: dict[str, Column] = {
    "noise": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-6, 7),
    "offset": lambda rng, n: 10.0 ** rng.integers(3, 12) + rng.normal(size=n),
    "wave": lambda rng, n: np.sin(2 * np.pi * np.arange(n) / rng.integers(5, 60)) + 0.05 * rng.normal(size=n),
    "walk": lambda rng, n: rng.normal(size=n).cumsum(),
    "constant": lambda rng, n: np.full(n, rng.choice([0.0, 1.0, -7.5, 1e15, 1e-30])),
    "tiny noise": lambda rng, n: rng.choice([0.0, 5.0]) + 1e-12 * rng.normal(size=n),
    "on/off": lambda rng, n: (rng.random(n) < rng.choice([0.5, 0.05, 0.002])).astype(float),
    "switch": lambda rng, n: (np.arange(n) // rng.integers(3, 80)) % 2 * rng.choice([1.0, 1e9]),
    "mode": lambda rng, n: rng.integers(0, 5, n).astype(float),
    "once": lambda rng, n: np.where(np.arange(n) == rng.integers(n), 1e6, 0.0),
    "late": lambda rng, n: np.where(np.arange(n) > 0.9 * n, rng.normal(size=n), 3.0),
    "counter": lambda rng, n: 10.0 ** rng.integers(0, 16) + rng.integers(0, 1000, n).cumsum(),
    "steps": lambda rng, n: rng.integers(0, 1 << 20, n).astype(float).cumsum() % 1e9,
    "rows": lambda rng, n: np.arange(n) + float(rng.integers(1000)),
    "clock": lambda rng, n: 1.7e9 * 10.0 ** rng.choice([0, 3, 6, 9]) + np.arange(n) * 60.0,
    "identifier": lambda rng, n: rng.integers(1 << 40, 1 << 52, n).astype(float),
    "heavy": lambda rng, n: rng.standard_cauchy(n),
    "bursts": lambda rng, n: np.where(rng.random(n) < 0.01, rng.exponential(1e6, n), 0.0),
    "huge": lambda rng, n: rng.normal(size=n) * 1e37,
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.01, np.inf, rng.normal(size=n)),
    "gaps": lambda rng, n: np.where(rng.random(n) < rng.choice([0.05, 0.5, 0.95]), np.nan, rng.normal(size=n)),
    "outage": lambda rng, n: np.where(np.arange(n) < n // 3, np.nan, rng.normal(size=n)),
}


def table(seed: int) -> Array:
    """float64 [14..1500, 1..40]; a few have 14 rows, one column, equal columns, 500 columns, or one kind alone."""
    rng = np.random.default_rng([7, seed])
    rows = int(rng.choice([14, 60, 200, 400, 800, 1500], p=[0.06, 0.1, 0.22, 0.3, 0.22, 0.1]))
    count = int(rng.choice([1, 2, 5, 12, 40], p=[0.2, 0.2, 0.3, 0.2, 0.1]))
    names = list(COLUMNS)
    if rng.random() < 0.3:
        names = [str(name) for name in rng.choice(names, 1 if rng.random() < 0.3 else 2)]
    if seed % 97 == 50:
        rows, count = 300, 500
    columns = [COLUMNS[str(rng.choice(names))](rng, rows) for _ in range(count)]
    if rng.random() < 0.2:
        columns = [columns[0]] * len(columns)
    return np.stack(columns, axis=1)


def learn(rows: Array, folder: Path, **config: Any) -> Fitted | None:
    """A detector of a table; None where it is refused, which takes a sentence."""
    series = Series(rows, tuple(f"c{place}" for place in range(rows.shape[1])), None, name="table")
    try:
        return fit_detector([series], DetectorConfig(**config), folder, {"quiet": True})
    except (UnsupportedInput, InvalidArgument) as error:
        if len(str(error)) < 20:
            raise AssertionError(f"a table was refused without a sentence: {error}") from error
        return None


def spoiled(fitted: Fitted, rows: Array, seed: int) -> torch.Tensor:
    """Windows of the table, as they are and in every way worse, float32 [n, window, channels]."""
    rng = np.random.default_rng(seed)
    window = fitted.graph.window
    with np.errstate(over="ignore"):
        small = rows.astype(np.float32)
    starts = rng.integers(0, len(rows) - window + 1, 24)
    windows = np.stack([small[start : start + window] for start in starts])
    place = int(rng.integers(rows.shape[1]))
    windows[4:8, :, place] = rng.choice([0.0, 1e30, -1e30, 3e38, np.inf, -np.inf])
    windows[8:12] = 0
    with np.errstate(over="ignore"):
        windows[12:16, window // 2 :, place] *= -1e6
    windows[16:20, :, place] = np.nan
    windows[20] = np.nan
    windows[21] = np.inf
    return torch.from_numpy(windows)


def check(seed: int, folder: Path) -> str:
    """What a table came to; AssertionError, or whatever else is raised, where it broke something."""
    rows = table(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = learn(rows, folder, window=1 if seed % 11 == 0 else None)
    if fitted is None:
        return "refused"
    graph = fitted.graph
    assert graph.gap_factor(torch.ones(3)).tolist() == [1.0, 1.0, 1.0]
    windows = spoiled(fitted, rows, seed)
    with torch.no_grad():
        score, blame, _ = graph(windows)
    for found in (score, blame):
        assert bool(torch.isfinite(found).all()), "a score is not finite"
        assert bool((found >= 0).all()), "a score is negative"
    assert bool((score <= HIGHEST).all())
    assert np.isfinite(fitted.scores).all()
    assert float(graph.threshold) > 0
    return "learned"


def main(count: int) -> int:
    """Check so many tables; the number of those that broke something."""
    broken = 0
    came: dict[str, int] = {}
    for seed in range(count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                what = check(seed, Path(folder))
            except Exception as error:  # noqa: BLE001 - that is what is counted
                what = "broke"
                sys.stdout.write(f"table {seed}: {type(error).__name__}: {str(error)[:200]}\n")
                broken += 1
        came[what] = came.get(what, 0) + 1
    sys.stdout.write(", ".join(f"{number} {what}" for what, number in sorted(came.items())) + "\n")
    return broken


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])) > 0)
