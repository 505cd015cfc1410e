"""Garments without noise: a denoising network beside a median filter and non-local means.

The noise is Gaussian of a deviation of 0.4, clipped to 0..1. Both filters get what serves them best: the median's side,
and non-local means' strength, are chosen on the training pictures.

python samples/autoencoders/denoise.py [FOLDER] [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from helper import MNIST_LIKE, Float, learn, leave, psnr, read_options, sheet, small_pictures
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

LEVEL, CHOSEN, FILTERED = 0.4, 50, 1000


def spoilt(clean: Float, seed: int) -> Float:
    """Pictures with noise."""
    noisy = clean + LEVEL * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
    return noisy.clip(0, 1)


def filters() -> dict[str, list[Callable[[Float], Float]]]:
    """Kind -> the filter by several settings."""
    medians = [lambda one, side=side: median_filter(one, side) for side in (3, 5, 7)]
    means = [
        lambda one, h=h: denoise_nl_means(one, patch_size=5, patch_distance=9, h=h * LEVEL, sigma=LEVEL)
        for h in (0.4, 0.6, 0.8, 1.0)
    ]
    return {"median filter": medians, "non-local means": means}


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, clean the test pictures, and say how many decibels are gained."""
    options = read_options(str(__doc__), arguments, MNIST_LIKE)
    learned, tested = small_pictures(options.data)
    model = learn(learned, "denoising", options.quick, 6, noise="gaussian", level=LEVEL)
    clean, some = model.unit(model.values(tested)), model.unit(model.values(learned))[:CHOSEN]
    noisy, some_noisy = spoilt(clean, 1), spoilt(some, 2)
    made = {"network": model.unit(model.denoise(noisy * (1 if model.range is None else model.range[1])))}
    for name, settings in filters().items():
        best = max(settings, key=lambda one: psnr(some, np.stack([one(picture) for picture in some_noisy])))
        made[name] = np.stack([best(picture) for picture in noisy[: 20 if options.quick else FILTERED]])
    before = psnr(clean, noisy)
    rows: list[list[object]] = [["", "pictures", "PSNR, dB", "gained"], ["noisy", len(noisy), before, 0.0]]
    for name, pictures in made.items():
        count = len(pictures)
        after = psnr(clean[:count], pictures)
        rows.append([name, count, after, after - psnr(clean[:count], noisy[:count])])
    leave(options, "denoise", sheet({"clean": clean, "noisy": noisy, **made}), rows)


if __name__ == "__main__":
    main()
