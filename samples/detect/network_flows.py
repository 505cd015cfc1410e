"""Judge network flows one by one: learn an office's normal ones, then find floods and scans among those of another day.

Flows are rows that are no series, each judged by itself, and the limit is a share of held-out rows. Counts and sizes
span six powers of ten, so that the detectors get their logarithms, which is what one does with such numbers. PCA, an
isolation forest, PyOD's AutoEncoder and the mean of squared deviations see the same rows and get their limits in the
same way.

What it shows: the share of each attack's flows that is flagged, and the share of normal flows that is, which should be
the 0.1 % that the percentile asks for.
Where it is weak: a detector of what is unusual does not know what is bad. A new program of one's own is flagged like an
attack by some of the detectors, and so are normal flows to a server while it is flooded. An attack made of ordinary
flows (`http_flood`) is only seen by what the exporter counts over neighbouring flows. On these flows a plain PCA does
as well: attacks break the proportions of counts, which are straight lines in logarithms.

Usage: python samples/detect/network_flows.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from network_flows_data import ATTACKS, FEATURES, NEW, NORMAL, Flows, make
from recipe import BLUE, COLOURS, GREY, RED, Floats, leave, percent, plain_numbers, read_options, table
from rows import judge_rows
from sklearn.metrics import average_precision_score, roc_auc_score

from aez.export import SeriesDetector

PERCENTILE = 99.9
SHOWN = (*ATTACKS, NEW, NORMAL)


def flagged(score: Floats, kinds: npt.NDArray[np.str_]) -> dict[str, float]:
    """Share of the flows of each kind above the limit."""
    return {kind: float((score[kinds == kind] > 1).mean()) for kind in SHOWN}


def blamed(detector: SeriesDetector, rows: Floats, kinds: npt.NDArray[np.str_]) -> dict[str, list[str]]:
    """The three features that count most in the scores of each kind."""
    blame = detector.channel_scores(rows)
    return {
        kind: [FEATURES[i] for i in np.argsort(-np.median(blame[kinds == kind], axis=0))[:3]] for kind in SHOWN[:-1]
    }


def draw(scores: Mapping[str, Floats], flows: Flows) -> Figure:
    """Scores of all flows by kind, and how much of the attacks each detector finds at how many false alarms."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    rng = np.random.default_rng(0)
    for place, kind in enumerate(reversed(SHOWN)):
        found = np.clip(scores["aez"][flows.kinds == kind], 1e-2, 1e4)
        found = rng.permutation(found)[:1500]
        colour = {NORMAL: GREY, NEW: "#d9822b"}.get(kind, BLUE)
        left.scatter(found, place + rng.uniform(-0.32, 0.32, len(found)), s=3, color=colour, alpha=0.35, lw=0)
    left.axvline(1, color=RED, ls="--", lw=1)
    left.set(xscale="log", xlabel="score of a flow (limit 1)", yticks=range(len(SHOWN)))
    plain_numbers(left.xaxis)
    left.set_yticklabels([kind.replace("_", " ") for kind in reversed(SHOWN)])
    normal, attack = flows.kinds == NORMAL, np.isin(flows.kinds, ATTACKS)
    for name, colour in COLOURS.items():
        limits = np.quantile(scores[name][normal], 1 - np.geomspace(1e-4, 1, 200))
        found = [(scores[name][attack] > limit).mean() for limit in limits]
        right.plot(np.geomspace(1e-4, 1, 200), found, color=colour, label=name)
    right.set(
        xscale="log", xlabel="share of normal flows flagged", ylabel="share of attack flows flagged", ylim=(0, 1.02)
    )
    right.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the flows, learn, and show what was flagged."""
    options = read_options(str(__doc__), arguments)
    train, test = make(6_000, 6_000) if options.quick else make()
    learned, judged = np.log1p(train.values), np.log1p(test.values)
    scores, detector = judge_rows(learned, judged, PERCENTILE)

    known = np.isin(test.kinds, [NORMAL, *ATTACKS])
    attacks = np.isin(test.kinds[known], ATTACKS)
    figures = {
        name: {
            "flagged": flagged(score, test.kinds),
            "auroc": roc_auc_score(attacks, score[known]),
            "auc_pr": average_precision_score(attacks, score[known]),
        }
        for name, score in scores.items()
    }
    print(
        f"{len(train.values):,} normal flows to learn from, {len(test.values):,} to judge, {len(FEATURES)} features\n"
    )
    header = ["share of flows flagged", *figures]
    rows = [[kind, *(percent(one["flagged"][kind]) for one in figures.values())] for kind in (*ATTACKS, NEW)]
    rows.append(["normal", *(percent(one["flagged"][NORMAL], 2) for one in figures.values())])
    rows.append(["AUROC of the attacks", *(f"{one['auroc']:.4f}" for one in figures.values())])
    rows.append(["AUC-PR of the attacks", *(f"{one['auc_pr']:.3f}" for one in figures.values())])
    print(table([header, *rows]))
    causes = blamed(detector, judged, test.kinds)
    print(
        "\nfeatures to blame most:\n"
        + table([["kind", "1", "2", "3"], *([kind, *names] for kind, names in causes.items())])
    )
    leave(options, "network_flows", draw(scores, test), {"blamed": causes, "detectors": figures})


if __name__ == "__main__":
    main()
