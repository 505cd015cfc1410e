"""Garments that nobody made: drawn from a variational autoencoder's prior, and looked at by a small classifier.

A drawn picture is recognised where the classifier gives one class 90 % or more. The share of each class among them says
whether the prior holds all of them; the last column is what is recognised of real pictures of the class.

python samples/autoencoders/drawn.py [FOLDER] [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import MNIST_LIKE, flat, learn, leave, read_options, sheet, small_pictures
from sklearn.neural_network import MLPClassifier

COUNT, SURE = 2000, 0.9


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, draw, and count what the classifier recognises."""
    options = read_options(str(__doc__), arguments, MNIST_LIKE)
    learned, tested = small_pictures(options.data)
    model = learn(learned, "variational", options.quick, latent=16, layers=(512, 256), likelihood="bernoulli")
    pictures = {name: model.unit(model.values(items)) for name, items in (("train", learned), ("test", tested))}
    judge = MLPClassifier((128,), max_iter=40, early_stopping=True, random_state=0)
    judge.fit(flat(pictures["train"]), learned.labels)
    drawn = model.unit(model.decode(model.draw(COUNT, seed=1)))
    chances, real = judge.predict_proba(flat(drawn)), judge.predict_proba(flat(pictures["test"]))
    sure, classes = chances.max(1) >= SURE, chances.argmax(1)
    labels = np.array(tested.labels)
    rows: list[list[object]] = [["class", "of those drawn", "of real ones"]]
    shown = {}
    for number, name in enumerate(judge.classes_):
        recognised = sure & (classes == number)
        truly = real[labels == name]
        right = (truly.argmax(1) == number) & (truly.max(1) >= SURE)
        rows.append([str(name), f"{recognised.mean():.1%}", f"{right.mean():.1%}"])
        most = np.argsort(-chances[:, number] * (classes == number))[:10]
        shown[f"class {name}: drawn, {recognised.mean():.1%} of all"] = drawn[most[classes[most] == number]]
    rows.append(["all", f"{sure.mean():.1%}", f"{(real.max(1) >= SURE).mean():.1%}"])
    leave(options, "drawn", sheet({"as they come": drawn[:12], **{k: v for k, v in shown.items() if len(v)}}), rows)


if __name__ == "__main__":
    main()
