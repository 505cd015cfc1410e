"""Find the wrong weekday: series with days and weeks, eight anomalies in each, and the detector without a setting.

Four settings (hourly or every five minutes, with and without a trend), each drawn with eight seeds. Beside aez stands
what anybody would write in twenty lines: how far a row is from the median of its slot of the week in training, with the
99.9th percentile of the same distances in training as its limit.

What it shows: how good a detector is that knows the hour, and what a trend does to one that does not follow it.
Where it is weak: the rhythm is the same every week, which is as good as it gets.

Usage: python samples/detect/rhythms.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from recipe import Floats, percent, read_options, table
from rhythms_data import SETTINGS, Rhythm, make

from aez.bench.detect.ranking import average_precision
from aez.codec.detect.rhythm.seasons import SeasonStream
from aez.codec.series.core import Series
from aez.codec.series.windows import sliding_windows
from aez.export.series.streams import score_windows
from aez.export.series.train import DetectorConfig, fit_detector

SEEDS = 8
WEEK = 7 * 86_400


def ours(rhythm: Rhythm) -> Floats:
    """Scores of the test [time], each of the window that ends there, by a detector as it is by default."""
    train = Series(rhythm.train[:, None], ("load",), rhythm.train_time, "UTC", "shop")
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_detector([train], DetectorConfig(), Path(folder))
    window, test = fitted.graph.window, rhythm.test[:, None].astype(np.float32)
    given = None
    if fitted.seasons is not None:
        stream = SeasonStream(fitted.seasons.seasons, window, "shop")
        given = stream.take(test, rhythm.test_time).at(np.arange(window - 1, len(test)))
    score, _ = score_windows(fitted.graph, sliding_windows(test, window), given, fitted.seasons)
    return np.append(np.zeros(window - 1), score)


def residual(rhythm: Rhythm) -> Floats:
    """Distances of the test from the median of the same slot of the week in training; 1 is their limit there."""
    slots = WEEK // rhythm.setting.period
    every = np.concatenate([rhythm.train, rhythm.test])
    slot = np.arange(len(every)) % slots
    usual = np.array([np.median(rhythm.train[number::slots]) for number in range(slots)])
    away = np.abs(every - usual[slot])
    return away[len(rhythm.train) :] / np.quantile(away[: len(rhythm.train)], 0.999)


CONTESTANTS: Mapping[str, Callable[[Rhythm], Floats]] = {"aez": ours, "seasonal median residual": residual}


def judge(rhythm: Rhythm, score: Floats) -> dict[str, float]:
    """AUC-PR of the rows, anomalies with a row above 1, of normal rows the share above 1."""
    found = sum(bool((score[one.start : one.end] > 1).any()) for one in rhythm.anomalies)
    return {
        "auc_pr": average_precision(rhythm.labels, score),
        "found": found / len(rhythm.anomalies),
        "false_rows": float(np.mean(score[rhythm.labels == 0] > 1)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both on all settings, print the table and leave the figures."""
    options = read_options(__doc__ or "", arguments)
    rows: list[list[object]] = [["setting", "detector", "AUC-PR", "found", "normal rows in alarm"]]
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for setting in SETTINGS:
        made = [make(setting, seed) for seed in range(1 if options.quick else SEEDS)]
        figures[setting.name] = {}
        for name, score in CONTESTANTS.items():
            judged = [judge(one, score(one)) for one in made]
            mean = {key: float(np.mean([each[key] for each in judged])) for key in judged[0]}
            figures[setting.name][name] = mean
            found = f"{16 * mean['found']:.1f} of 16"
            rows.append([setting.name, name, f"{mean['auc_pr']:.3f}", found, percent(mean["false_rows"], 2)])
    print(table(rows))
    path = options.out / "rhythms.json"
    path.write_text(json.dumps({"quick": options.quick, "settings": figures}, indent=1) + "\n", encoding="utf-8")
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
