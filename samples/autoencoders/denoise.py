"""Garments without noise: a denoising network beside a median filter and non-local means.

The noise is Gaussian of a deviation of 0.4, salt and pepper on 0.4 of the pixels, or speckle of 0.4 times each pixel,
clipped to 0..1. Both filters get what serves them best: the median's side, and non-local means' strength, are chosen on
the training pictures, and non-local means are told the noise's deviation.

python samples/autoencoders/denoise.py [FOLDER] [--noise KIND] [--epochs N] [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from helper import MNIST_LIKE, Float, learn, leave, psnr, read_options, sheet, small_pictures
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

LEVEL, CHOSEN, FILTERED = 0.4, 50, 1000
NOISES = ("gaussian", "salt-and-pepper", "speckle")


def spoilt(clean: Float, noise: str, seed: int) -> Float:
    """Pictures with noise."""
    rng = np.random.default_rng(seed)
    if noise == "salt-and-pepper":
        drawn = rng.random(clean.shape, np.float32)
        return np.where(drawn < LEVEL, (drawn < LEVEL / 2).astype(np.float32), clean)
    normal = LEVEL * rng.standard_normal(clean.shape, np.float32)
    return (clean + (normal if noise == "gaussian" else clean * normal)).clip(0, 1)


def filters(sigma: float) -> dict[str, list[Callable[[Float], Float]]]:
    """Kind -> the filter by several settings, for noise of a deviation `sigma`."""
    medians = [lambda one, side=side: median_filter(one, side) for side in (3, 5, 7)]
    means = [
        lambda one, h=h: denoise_nl_means(one, patch_size=5, patch_distance=9, h=h * sigma, sigma=sigma)
        for h in (0.4, 0.6, 0.8, 1.0)
    ]
    return {"median filter": medians, "non-local means": means}


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, clean the test pictures, and say how many decibels are gained."""
    options = read_options(str(__doc__), arguments, MNIST_LIKE, NOISES, 6)
    learned, tested = small_pictures(options.data)
    model = learn(learned, "denoising", options.quick, options.epochs, noise=options.noise, level=LEVEL)
    clean, some = model.unit(model.values(tested)), model.unit(model.values(learned))[:CHOSEN]
    noisy, some_noisy = (spoilt(one, options.noise, seed) for one, seed in ((clean, 1), (some, 2)))
    made = {"network": model.unit(model.denoise(noisy * (1 if model.range is None else model.range[1])))}
    for name, settings in filters(float(np.sqrt(np.square(some_noisy - some).mean()))).items():
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
