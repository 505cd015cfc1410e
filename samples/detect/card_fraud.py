"""Rank card payments by how unusual they are, choose a limit where fraud is known, and see what it finds later.

Payments are rows that are no series: each is judged by itself. The first half of the time trains the detector, without
labels and with the fraud that lies in it; labels of the following quarter choose the limit with the best F1; the last
quarter is judged, by that limit and (PR-AUC) by the ranking alone.

What it shows: what a detector finds that has never been told what fraud is, and which kinds.
Where it is weak: unusual is not fraudulent. With one fraud in two hundred payments most alarms are honest people on a
journey, and a thief who behaves like the owner is not found. Whoever has labels should use them: a classifier that
learned from the fraud of the first half stands in the last line of the table, and it is far ahead. A detector is for
the time before there are labels, and for fraud of a kind that no label has shown yet.

Usage: python samples/detect/card_fraud.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from card_fraud_data import FEATURES, FRAUDS, NORMAL, make
from matplotlib.figure import Figure
from recipe import BLUE, COLOURS, GREY, Floats, leave, percent, plain_numbers, read_options, table
from rows import judge_rows
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from aez.bench.detect.metrics import point_metrics
from aez.codec.detect.thresholds import best_f1

CLASSIFIER = "classifier with labels"
#: Does not matter here: the limit is chosen anew, on labels.
PERCENTILE = 99.5


@dataclass(frozen=True)
class Figures:
    """Of one detector on the last quarter: areas, and what the limit of the quarter before gives; shares 0..1."""

    auc_pr: float
    auroc: float
    f1: float
    precision: float
    recall: float
    f1_where_chosen: float
    found: dict[str, float]


def measure(chosen: tuple[Floats, npt.NDArray[np.str_]], judged: tuple[Floats, npt.NDArray[np.str_]]) -> Figures:
    """From (scores, kinds) of the payments that choose the limit, and of those that are judged."""
    limit = best_f1(chosen[0], chosen[1] != NORMAL)
    score, kinds = judged
    flags = score > limit.threshold
    points = point_metrics([(kinds != NORMAL, flags)])
    found = {kind: float(flags[kinds == kind].mean()) for kind in FRAUDS if (kinds == kind).any()}
    areas = average_precision_score(kinds != NORMAL, score), roc_auc_score(kinds != NORMAL, score)
    return Figures(*areas, points.f1, points.precision, points.recall, limit.f1, found)


def scores_of(train: Floats, labels: npt.NDArray[np.bool_], later: Floats) -> dict[str, Floats]:
    """Scores of the later payments by each detector; only the last of them sees the labels."""
    found, _ = judge_rows(train, later, PERCENTILE)
    classifier = HistGradientBoostingClassifier(random_state=0).fit(train, labels)
    return found | {CLASSIFIER: classifier.predict_proba(later)[:, 1]}


def draw(scores: Mapping[str, Floats], kinds: npt.NDArray[np.str_]) -> Figure:
    """Precision against recall of all, and where each kind of fraud lies among aez's scores."""
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, score in scores.items():
        precision, recall, _ = precision_recall_curve(kinds != NORMAL, score)
        left.plot(recall, precision, color=COLOURS.get(name, "black"), label=name)
    left.set(xlabel="recall: share of the fraud that is found", ylabel="precision: share of the alarms that are fraud")
    left.set(xlim=(0, 1), ylim=(0, 1.02))
    left.legend(frameon=False)
    rank = np.argsort(np.argsort(-scores["aez"])) + 1
    right.set_xscale("log")
    for place, kind in enumerate((NORMAL, *reversed(FRAUDS))):
        right.boxplot(
            rank[kinds == kind],
            positions=[place],
            orientation="horizontal",
            widths=0.6,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": GREY if kind == NORMAL else BLUE, "alpha": 0.5},
            medianprops={"color": "black"},
        )
    plain_numbers(right.xaxis)
    right.set_yticks(range(len(FRAUDS) + 1), [NORMAL, *reversed(FRAUDS)])
    right.set_xlabel("rank among all payments by aez's score (1 is the most unusual)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the payments, learn, and show what was found."""
    options = read_options(str(__doc__), arguments)
    made = make(20_000 if options.quick else 80_000)
    half, last = len(made.values) // 2, len(made.values) * 3 // 4
    scores = scores_of(made.values[:half], made.kinds[:half] != NORMAL, made.values[half:])
    choosing, judging = made.kinds[half:last], made.kinds[last:]
    figures = {
        name: measure((score[: len(choosing)], choosing), (score[len(choosing) :], judging))
        for name, score in scores.items()
    }
    print(
        f"{half:,} payments to learn from, {len(choosing):,} to choose a limit, {len(judging):,} to judge, "
        f"of which {np.sum(judging != NORMAL)} are fraud; {len(FEATURES)} features\n"
    )
    rows: list[list[object]] = [["", "AUROC", "PR-AUC", "F1", "precision", "recall", *FRAUDS, "(F1 where chosen)"]]
    for name, one in figures.items():
        kinds = [percent(one.found.get(kind, float("nan")), 0) for kind in FRAUDS]
        shares = [percent(one.precision, 0), percent(one.recall, 0)]
        areas = [f"{one.auroc:.3f}", f"{one.auc_pr:.3f}"]
        rows.append([name, *areas, f"{one.f1:.3f}", *shares, *kinds, f"({one.f1_where_chosen:.3f})"])
    print(table(rows))
    judged = {name: score[len(choosing) :] for name, score in scores.items()}
    leave(
        options,
        "card_fraud",
        draw(judged, judging),
        {"detectors": {name: asdict(one) for name, one in figures.items()}},
    )


if __name__ == "__main__":
    main()
