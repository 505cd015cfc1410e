"""A classifier from 100 labels: logistic regression on 32 learned numbers, on 32 principal components, on all pixels.

All pictures are learned from without labels; ten of each class have one. Means and deviations over ten draws.

python samples/autoencoders/few_labels.py [FOLDER] [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import BLUE, GREY, MNIST_LIKE, Float, flat, learn, leave, read_options, small_pictures
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OF_EACH, DRAWS = 10, 10


def accuracies(known: Float, labels: np.ndarray, asked: Float, wanted: np.ndarray) -> list[float]:
    """Of classifiers that saw ten labels of each class, drawn anew for each."""
    found = []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(labels))
        few = np.concatenate([order[labels[order] == name][:OF_EACH] for name in np.unique(labels)])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        found.append(float(model.fit(known[few], labels[few]).score(asked, wanted)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn from all pictures, label a hundred, and say how many of the test are told right."""
    options = read_options(str(__doc__), arguments, MNIST_LIKE)
    learned, tested = small_pictures(options.data)
    labels, wanted = np.array(learned.labels), np.array(tested.labels)
    families = {"32 numbers, variational": ("variational", {"layers": (512, 256)}), "32 components": ("pca", {})}
    rows: list[list[object]] = [["", "right", "deviation"]]
    scores = {}
    for name, (family, own) in families.items():
        model = learn(learned, family, options.quick, 10, latent=32, **own)
        known, asked = (model.encode(model.values(items)).mean for items in (learned, tested))
        scores[name] = accuracies(known, labels, asked, wanted)
    scores["784 pixels"] = accuracies(flat(learned.values), labels, flat(tested.values), wanted)
    rows += [[name, f"{np.mean(found):.1%}", f"{np.std(found):.1%}"] for name, found in scores.items()]
    figure = Figure(figsize=(6, 2.2), layout="constrained")
    axes = figure.subplots()
    for place, found in enumerate(scores.values()):
        axes.scatter(found, [place] * len(found), color=GREY, s=14)
        axes.plot(np.mean(found), place, "|", color=BLUE, ms=22, mew=3)
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set_xlabel("share told right, of ten draws and their mean")
    axes.spines[["top", "right"]].set_visible(False)
    leave(options, "few_labels", figure, rows)


if __name__ == "__main__":
    main()
