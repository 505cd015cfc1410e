"""Products that look alike: the ten nearest by the cosine of 32 numbers, beside all pixels and principal components.

Labels are not learned from; they say how many of the ten are of the query's class. Square roots of the pixels weigh
faint ones more, as in a comparison of histograms (Hellinger 1909), which serves all of the methods.

python samples/autoencoders/similar.py [FOLDER] [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from helper import MNIST_LIKE, Float, flat, learn, leave, read_options, sheet, small_pictures

from aez.codec.vectors import Items, nearest, precision

NEAR = 10


def roots(items: Items) -> Items:
    """The square roots of pictures, in 0..1."""
    return replace(items, values=np.sqrt(items.values.astype(np.float32) / 255))


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, search, and show queries and their neighbours."""
    options = read_options(str(__doc__), arguments, MNIST_LIKE)
    learned, tested = small_pictures(options.data)
    assert learned.labels is not None
    assert tested.labels is not None
    rows: list[list[object]] = [["", "numbers", "precision at 10"]]
    near = {}

    def search(name: str, known: Float, asked: Float) -> None:
        centre = known.mean(0)
        near[name], _ = nearest(known - centre, asked - centre, NEAR, "cosine")
        rows.append([name, known.shape[1], precision(near[name], learned.labels, tested.labels)])

    search("pixels", flat(learned.values), flat(tested.values))
    for name, family, change, own in (
        ("variational", "variational", lambda items: items, {"layers": (512, 256)}),
        ("pca", "pca", lambda items: items, {}),
        ("pca, of roots", "pca", roots, {}),
    ):
        known, asked = change(learned), change(tested)
        model = learn(known, family, options.quick, 10, latent=32, **own)
        search(name, *(model.encode(model.values(items)).mean for items in (known, asked)))
    best = near["pca, of roots"]
    shown = {
        f"query of class {tested.labels[n]}, and its neighbours": np.concatenate(
            [tested.values[n : n + 1], learned.values[best[n]]]
        ).astype(np.float32)
        / 255
        for n in np.linspace(0, len(tested) - 1, 8).astype(int)
    }
    leave(options, "similar", sheet(shown, NEAR + 1), rows)


if __name__ == "__main__":
    main()
