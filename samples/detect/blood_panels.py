"""Judge blood panels: learn from healthy people, then look for a rare disease that moves each value by little.

Panels are rows that are no series: each is judged by itself. The limit is the 99th percentile of healthy people who did
not train the detector, so that one healthy person in a hundred is called unusual. Measurements that scatter by a factor
enter as logarithms. PCA, an isolation forest, PyOD's AutoEncoder and the mean of squared deviations get their limits in
the same way; the rule of thumb, that no value may lie outside the range of the middle 95 % of healthy people, stands
beside them. Nothing here is medical data or advice.

What it shows: twenty ranges of 95 % call most healthy people ill; one score for the whole panel keeps its promise.
Where it is weak: at two ill people in a thousand, nearly everybody who is flagged has something else or nothing. A
detector says that a panel is unusual, not what the person has; where cases of the disease are known, a classifier
should be trained. Which measurements are to blame is told roughly: the distance of a panel belongs to no measurement,
and is shared out by how far each value is from what all the others say.

Usage: python samples/detect/blood_panels.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from blood_panels_data import KINDS, MEASUREMENTS, make
from matplotlib.figure import Figure
from recipe import BLUE, GREY, RED, Floats, leave, percent, plain_numbers, read_options, table
from rows import judge_rows
from sklearn.metrics import average_precision_score, roc_auc_score

PERCENTILE = 99.0
#: What is measured on a scale where differences count; the rest enters as logarithms.
_LINEAR = {"haemoglobin", "haematocrit", "red_cells", "cell_volume", "sodium", "potassium", "albumin"}
RULE = "any value outside its range"


def prepared(values: Floats) -> Floats:
    """Panels as the detectors get them."""
    linear = np.array([name in _LINEAR for name in MEASUREMENTS])
    return np.where(linear, values, np.log(values))


def outside_ranges(healthy: Floats, judged: Floats) -> Floats:
    """How many values lie outside the middle 95 % of healthy people, per panel; what is missing lies inside."""
    low, high = np.nanpercentile(healthy, [2.5, 97.5], axis=0)
    return ((judged < low) | (judged > high)).sum(axis=1).astype(np.float64)


def measure(score: Floats, flags: npt.NDArray[np.bool_], kinds: npt.NDArray[np.str_]) -> dict[str, object]:
    """Shares of each kind that are flagged, what share of the flagged has the rare disease, and the ranking's areas."""
    ranked = np.isin(kinds, ["healthy", "rare"])
    rare = kinds[ranked] == "rare"
    return {
        "flagged": {kind: float(flags[kinds == kind].mean()) for kind in KINDS},
        "rare_among_flagged": float((kinds[flags] == "rare").mean()),
        "auroc": roc_auc_score(rare, score[ranked]),
        "auc_pr": average_precision_score(rare, score[ranked]),
    }


def draw(scores: Mapping[str, Floats], kinds: npt.NDArray[np.str_], blame: Mapping[str, Floats]) -> Figure:
    """aez's scores by kind, and which measurements are to blame for those of the ill."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    colours = dict(zip(KINDS, (GREY, "#d9822b", "#2e7d32", BLUE), strict=True))
    for kind in KINDS:
        score = np.sort(scores["aez"][kinds == kind])
        left.step(score, 1 - np.arange(len(score)) / len(score), where="post", color=colours[kind], lw=1.6, label=kind)
    left.axvline(1, color=RED, ls="--", lw=1)
    left.set(xscale="log", xlabel="score of a panel (limit 1)", ylabel="share of the people above it", xlim=(0.05, 10))
    plain_numbers(left.xaxis)
    left.legend(frameon=False)
    order = np.argsort(blame["rare"])
    place = np.arange(len(order))
    right.barh(place, blame["rare"][order], color=BLUE, height=0.7, label="rare disease")
    right.plot(blame["healthy"][order], place, "|", color="black", ms=9, label="healthy people")
    right.set_yticks(place, [MEASUREMENTS[at].replace("_", " ") for at in order], fontsize=8)
    right.set_xlabel("mean score of the measurement")
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the panels, learn, and show who was flagged."""
    options = read_options(str(__doc__), arguments)
    healthy, people = make(3_000, 10_000) if options.quick else make()
    learned, judged = prepared(healthy.values), prepared(people.values)
    scores, detector = judge_rows(learned, judged, PERCENTILE)
    flags = {name: score > 1 for name, score in scores.items()}
    scores[RULE] = outside_ranges(learned, judged)
    flags[RULE] = scores[RULE] > 0
    figures = {name: measure(scores[name], flags[name], people.kinds) for name in scores}

    ill = np.sum(people.kinds == "rare")
    print(f"{len(learned):,} healthy people to learn from, {len(judged):,} to judge, {ill} with the rare disease\n")
    rows: list[list[object]] = [["share flagged", *KINDS, "rare among flagged", "AUROC", "AUC-PR"]]
    for name, one in figures.items():
        shares = [percent(one["flagged"][kind]) for kind in KINDS]  # type: ignore[index]
        rows.append([name, *shares, percent(one["rare_among_flagged"]), f"{one['auroc']:.3f}", f"{one['auc_pr']:.3f}"])  # type: ignore[arg-type]
    print(table(rows))
    print("\n(AUROC and AUC-PR rank the ill among the healthy)")
    blame = detector.channel_scores(judged)
    means = {kind: np.mean(blame[people.kinds == kind], axis=0) for kind in KINDS}
    for kind in KINDS[1:]:
        print(f"to blame most for {kind}: {', '.join(MEASUREMENTS[at] for at in np.argsort(-means[kind])[:4])}")
    leave(options, "blood_panels", draw(scores, people.kinds, means), {"detectors": figures})


if __name__ == "__main__":
    main()
