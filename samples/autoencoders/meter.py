"""Days of smart meters: which of 3,000 days are unlike any kind of day, when nobody says what kinds there are.

A day is 48 half-hours of power. Households are early, late, at home, with a heat pump at night, or with panels on the
roof. Odd days: the meter repeats one value, heating runs through, everything is six hours late, a morning is missing.

python samples/autoencoders/meter.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import BLUE, GREY, RED, Float, learn, leave, read_options
from matplotlib.figure import Figure
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

ODD = ("one value", "runs through", "six hours late", "no morning")
_HOURS = np.arange(48) / 2


def _peak(at: float, wide: float) -> Float:
    distance = (_HOURS - at + 12) % 24 - 12
    return np.exp(-0.5 * (distance / wide) ** 2)


def day(rng: np.random.Generator) -> Float:
    """Kilowatts of 48 half-hours, of a kind of household that is drawn."""
    kind, late = rng.integers(5), rng.normal(0, 0.4)
    base, size = rng.uniform(0.1, 0.3), rng.gamma(8, 1 / 8)
    shape = {
        0: 1.2 * _peak(6.5 + late, 0.8) + 2.0 * _peak(18.5 + late, 1.5),
        1: 0.8 * _peak(9.0 + late, 1.0) + 2.4 * _peak(21.5 + late, 1.6),
        2: 0.9 * _peak(8.0 + late, 1.0) + 1.4 * _peak(12.5 + late, 1.4) + 1.6 * _peak(18.5 + late, 1.8),
        3: 0.8 * _peak(7.0 + late, 0.9) + 1.8 * _peak(19.0 + late, 1.5) + 2.6 * _peak(2.0 + late, 1.7),
        4: 1.0 * _peak(7.0 + late, 0.9) + 1.9 * _peak(19.5 + late, 1.5) - rng.uniform(0.3, 2.5) * _peak(13, 2.4),
    }[int(kind)]
    return base + size * shape * rng.lognormal(0, 0.08, 48) + 0.03 * rng.standard_normal(48)


def spoilt(one: Float, how: str) -> Float:
    """An odd day of a usual one."""
    if how == "one value":
        return np.where((_HOURS > 8) & (_HOURS < 20), one[16], one)
    if how == "runs through":
        return one + 1.2
    if how == "six hours late":
        return np.roll(one, 12)
    return np.where((_HOURS > 4) & (_HOURS < 11), one.min(), one)


def days(count: int, odd: int, seed: int) -> tuple[Float, list[str]]:
    """(Days [count, 48], of each what is odd, mostly nothing); `odd` of each kind, at places that are drawn."""
    rng = np.random.default_rng(seed)
    made = [day(rng) for _ in range(count)]
    what = [""] * count
    for number, how in zip(rng.permutation(count), [how for how in ODD for _ in range(odd)], strict=False):
        made[number], what[number] = spoilt(made[number], how), how
    return np.stack(made).astype(np.float32), what


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, list the oddest days, and say how many of them are odd."""
    options = read_options(str(__doc__), arguments)
    learned, _ = days(500 if options.quick else 12_000, 0, 1)
    asked, what = days(500 if options.quick else 3000, 5 if options.quick else 10, 2)
    odd, deviation = np.array([bool(one) for one in what]), learned.std(0)
    scores = {}
    for name, family in (("dense, 6 numbers", "dense"), ("PCA, 6 numbers", "pca")):
        model = learn(learned, family, options.quick, 60, latent=6)
        back = model.decode(model.encode(asked).mean)
        scores[name] = np.square((back - asked) / deviation).mean(1)
        if family == "dense":
            made = back
    scores["isolation forest"] = -IsolationForest(random_state=0).fit(learned).score_samples(asked)
    count = int(odd.sum())
    rows: list[list[object]] = [["", "AUROC", "average precision", f"odd among the first {count}"]]
    for name, score in scores.items():
        first = np.argsort(-score)[:count]
        rows.append(
            [name, float(roc_auc_score(odd, score)), float(average_precision_score(odd, score)), int(odd[first].sum())]
        )
    order = np.argsort(-scores["dense, 6 numbers"])[:8]
    print("the oddest days:", ", ".join(f"#{number} ({what[number] or 'usual'})" for number in order), "\n")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, number in zip(figure.subplots(2, 4, sharex=True).flat, order, strict=True):
        axes.plot(_HOURS, asked[number], color=RED if odd[number] else GREY, lw=1.2)
        axes.plot(_HOURS, made[number], color=BLUE, lw=1, ls="--")
        axes.set_title(f"#{number}: {what[number] or 'usual'}", fontsize=9)
        axes.tick_params(labelsize=7)
    figure.supxlabel("hour; the day, red where it is odd, and dashed what comes back", fontsize=9)
    figure.supylabel("kilowatts", fontsize=9)
    leave(options, "meter", figure, rows)


if __name__ == "__main__":
    main()
