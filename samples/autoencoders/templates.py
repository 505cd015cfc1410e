"""Biometric templates, 512 numbers to 64: is a pair of the same person still told from a pair of two?

Templates are computed: a person is a point of 80 dimensions, a capture moves it a little, a bent map leads to 512
numbers, and a sensor adds noise. No person is in both parts. The equal error rate (EER) is where as many pairs of two
persons are accepted as pairs of one are refused; beside it what is refused where 1 in 1,000 is accepted.

python samples/autoencoders/templates.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import Float, learn, leave, read_options
from matplotlib.figure import Figure
from sklearn.cluster import KMeans

NUMBERS, CODE, DIMENSIONS, CAPTURES = 512, 64, 80, 6


def templates(persons: int, seed: int, moved: float = 0.6, noise: float = 0.5) -> Float:
    """Unit vectors [persons, captures, 512]; the map is the same for every seed."""
    fixed, rng = np.random.default_rng(99), np.random.default_rng(seed)
    weights = fixed.normal(size=(DIMENSIONS, 1024)) * (1.5 / np.sqrt(DIMENSIONS))
    turned, bias = fixed.normal(size=(1024, NUMBERS)) / 32, fixed.normal(size=1024)
    share = (1 + np.arange(DIMENSIONS)) ** -0.5
    place = rng.normal(size=(persons, 1, DIMENSIONS)) + moved * rng.normal(size=(persons, CAPTURES, DIMENSIONS))
    bent = np.tanh(2 * (place * share) @ weights + bias) @ turned
    made = bent - bent.mean((0, 1)) + noise * rng.normal(size=bent.shape) * bent.std()
    return (made / np.linalg.norm(made, axis=2, keepdims=True)).astype(np.float32)


def quantised(known: Float, asked: Float, parts: int, count: int = 256) -> Float:
    """Product quantisation (Jégou, Douze, Schmid 2011): each part by the nearest of 256 centres, a byte for each."""
    found = np.empty_like(asked)
    for columns in np.split(np.arange(known.shape[1]), parts):
        centres = KMeans(count, n_init=1, max_iter=20, random_state=0).fit(known[:8000, columns])
        found[:, columns] = centres.cluster_centers_[centres.predict(asked[:, columns])]
    return found


def scores(vectors: Float, persons: int) -> tuple[Float, Float]:
    """Cosines of pairs of (one person, two persons)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = unit @ unit.T
    who = np.repeat(np.arange(persons), CAPTURES)
    first, second = np.triu_indices(len(unit), 1)
    same = who[first] == who[second]
    pairs = cosines[first, second]
    return np.sort(pairs[same]), np.sort(pairs[~same])


def refused_at(own: Float, others: Float, accepted: float) -> float:
    """Share of pairs of one person that is refused where this share of pairs of two is accepted."""
    return float(np.searchsorted(own, np.quantile(others, 1 - accepted)) / len(own))


def equal_error(own: Float, others: Float) -> float:
    """Where the two errors are the same."""
    refused = np.arange(len(own)) / len(own)
    accepted = 1 - np.searchsorted(others, own) / len(others)
    at = int(np.argmin(np.abs(refused - accepted)))
    return float((refused[at] + accepted[at]) / 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, match, and say how many errors each way of storing leaves."""
    options = read_options(str(__doc__), arguments)
    persons = 60 if options.quick else 400
    known = templates(100 if options.quick else 8000, 1).reshape(-1, NUMBERS)
    asked = templates(persons, 2).reshape(-1, NUMBERS)
    ways = {"512 numbers": (4 * NUMBERS, asked)}
    for name, family, own in (
        ("64 numbers, network", "denoising", {"layers": (512,), "noise": "gaussian", "level": 0.3}),
        ("64 components", "pca", {}),
    ):
        model = learn(known, family, options.quick, 15, latent=CODE, **own)
        codes = model.encode(asked).mean
        centre, coder = model.encode(known[:5000]).mean.mean(0), model.coder(8)
        coded = coder.encode(codes)
        ways[f"{name}, 8 bits"] = round(len(coded) / len(codes)), coder.decode(coded, len(codes)) - centre
        ways[name] = 4 * CODE, codes - centre
    for parts in (CODE,) if options.quick else (CODE, 4 * CODE):
        ways[f"product quantisation, {parts}"] = parts, quantised(known, asked, parts, 32 if options.quick else 256)
    rows: list[list[object]] = [["", "bytes", "EER", "refused at 1 in 1,000", "at 1 in 10,000"]]
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, (size, vectors) in ways.items():
        own_pairs, others = scores(vectors, persons)
        at = np.geomspace(1e-4, 0.3, 60)
        rows.append(
            [
                name,
                size,
                f"{equal_error(own_pairs, others):.2%}",
                *(f"{refused_at(own_pairs, others, share):.1%}" for share in (1e-3, 1e-4)),
            ]
        )
        if name not in ("64 numbers, network", "64 components"):  # 8 bits a number change nothing that could be seen
            axes.plot(at, [refused_at(own_pairs, others, share) for share in at], label=f"{name} ({size} bytes)")
    axes.set(xscale="log", xlabel="pairs of two persons accepted", ylabel="pairs of one refused")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    leave(options, "templates", figure, rows)


if __name__ == "__main__":
    main()
