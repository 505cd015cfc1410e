"""NAB's score: early alarms in labelled windows, by the rules of its own sweep over all limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from aez.bench.detect.metrics import label_events
from aez.codec.errors import InvalidArgument

__all__ = ["NAB_PROFILES", "NabScore", "nab_probation", "nab_score"]

Floats = npt.NDArray[np.float64]
Profile = Literal["standard", "low_fp", "low_fn"]


@dataclass(frozen=True)
class NabScore:
    """NAB's score of a corpus, and the one limit for all its files that gave it.

    score: 100 for the first row of each window and nothing else, 0 for no alarm at all; negative below that cannot
        be, because the limit is the best one. found: windows with an alarm, of `windows`; false_alarms: rows.
    """

    score: float
    threshold: float
    windows: int
    found: int
    false_alarms: int


#: NAB's profiles as the weights of (true positive, false negative, false positive).
NAB_PROFILES: dict[Profile, tuple[float, float, float]] = {
    "standard": (1.0, 1.0, 0.11),
    "low_fp": (1.0, 1.0, 0.22),
    "low_fn": (1.0, 2.0, 0.11),
}


def nab_probation(rows: int) -> int:
    """How many rows at the start of a file NAB does not score: 15 %, at most 750."""
    return min(math.floor(0.15 * rows), 750)


def nab_score(
    files: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
    profile: Profile = "standard",
    probation: Iterable[int] | None = None,
) -> NabScore:
    """NAB's score of a corpus (Lavin and Ahmad 2015), by the rules of its own sweep over all limits.

    Args:
        files: (scores [n], labels [n]) of each file; a run of labelled rows is one window. Rows score >= the limit are
            alarms; NaN never is one.
        profile: the weights, of `NAB_PROFILES`.
        probation: rows at the start of each file that are not scored; none by default, for files whose probationary
            rows have been cut off (`nab_probation` says how many NAB takes).

    The earliest alarm in a window earns 2 / (1 + exp(5 x)) - 1, where x = -(rows to the window's end + 1) / width,
    scaled so that the first row earns 1. An alarm outside loses up to `false positive`: the same curve at the distance
    from the end of the window before, in widths less a row, and the whole weight from 3 widths on or before any window.
    A window without an alarm loses `false negative`. One limit serves the whole corpus: the one with the highest sum,
    which is chosen on the labels, as NAB does for every detector of its table. NaN where no row is labelled.

    Raises InvalidArgument for an unknown profile and when lengths differ.
    """
    if profile not in NAB_PROFILES:
        raise InvalidArgument(f"NAB has the profiles {', '.join(NAB_PROFILES)}, not {profile!r}")
    hit, miss, false_positive = NAB_PROFILES[profile]
    corpus = [(np.asarray(scores, np.float64), np.asarray(labels)) for scores, labels in files]
    skips = [0] * len(corpus) if probation is None else list(probation)
    if len(skips) != len(corpus):
        raise InvalidArgument(f"{len(corpus)} files need as many probationary lengths, not {len(skips)}")
    parts = [
        _nab_rows(scores, labels, skip, hit, false_positive)
        for (scores, labels), skip in zip(corpus, skips, strict=True)
    ]
    # The window's number within the corpus, -1 outside: one after the other.
    windows = 0
    for part in parts:
        part.window[part.window >= 0] += windows
        windows += part.windows
    if not windows:
        return NabScore(math.nan, math.nan, 0, 0, 0)
    return _best_limit(parts, windows, hit, miss)


def _best_limit(parts: Sequence[_NabRows], windows: int, hit: float, miss: float) -> NabScore:
    """The score at the best limit for all files, whose windows are numbered through from 0."""
    values = np.concatenate([part.scores for part in parts])
    worth = np.concatenate([part.worth for part in parts])
    window = np.concatenate([part.window for part in parts])
    present = ~np.isnan(values)
    order = np.argsort(-values[present], kind="stable")
    values, worth, window = values[present][order], worth[present][order], window[present][order]
    gains = np.where(window < 0, worth, 0.0)
    first_hit = np.zeros(values.size, np.int64)
    best = np.full(windows, -miss)
    met = np.zeros(windows, bool)
    for at in np.flatnonzero(window >= 0).tolist():
        number = window[at]
        if not met[number] or worth[at] > best[number]:
            gains[at] = worth[at] - best[number]
            best[number] = worth[at]
            first_hit[at] = not met[number]
            met[number] = True
    last = np.append(np.flatnonzero(values[:-1] > values[1:]), values.size - 1) if values.size else np.empty(0, np.intp)
    totals = np.concatenate([[0.0], np.cumsum(gains)[last]])
    choice = int(np.argmax(totals))
    alarms = int(last[choice - 1]) + 1 if choice else 0
    return NabScore(
        score=float(100 * totals[choice] / (windows * (hit + miss))),
        threshold=float(values[alarms - 1]) if alarms else math.inf,
        windows=windows,
        found=int(first_hit[:alarms].sum()),
        false_alarms=int(np.count_nonzero(window[:alarms] < 0)),
    )


@dataclass(frozen=True)
class _NabRows:
    """The scored rows of a file: their scores, what an alarm at each is worth, and the number of their window or -1."""

    scores: Floats
    worth: Floats
    window: npt.NDArray[np.int64]
    windows: int


def _nab_rows(
    scores: Floats, labels: npt.NDArray[np.generic], skip: int, hit: float, false_positive: float
) -> _NabRows:
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise InvalidArgument(f"scores {scores.shape} and labels {labels.shape} must be two rows of one length")
    rows = np.arange(scores.size)
    worth = np.full(scores.size, -false_positive)
    window = np.full(scores.size, -1, np.int64)
    runs = label_events(labels)
    scored = [run for run in runs if run[1] > skip]
    for start, end in runs:
        width = end - start
        inside, after = rows[start:end], rows[end:]
        worth[start:end] = hit * _scaled_sigmoid(-(end - inside) / width) / _scaled_sigmoid(np.array([-1.0]))
        worth[end:] = false_positive * _scaled_sigmoid((after - (end - 1)) / max(width - 1, 1))
    for number, (start, end) in enumerate(scored):
        window[start:end] = number
    return _NabRows(scores[skip:], worth[skip:], window[skip:], len(scored))


def _scaled_sigmoid(x: Floats) -> Floats:
    return np.where(x >= 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(x, 3.0))) - 1)
