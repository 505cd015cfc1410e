"""Magnitude pictures without noise, as magnetic resonance makes them: Rician noise, which is no Gaussian one.

A magnitude is the length of a complex number whose parts both have noise. Where there is no signal it is never 0, so
that a filter which only averages leaves a grey veil (Gudbjartsson, Patz 1995); a network that learned it does not.

python samples/autoencoders/mri.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import Float, learn, leave, psnr, read_options, sheet
from scans import heads
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

LEVEL = 0.15


def magnitudes(clean: Float, seed: int) -> Float:
    """Pictures with Rician noise, clipped to 0..1."""
    real, imaginary = LEVEL * np.random.default_rng(seed).standard_normal((2, *clean.shape), np.float32)
    return np.hypot(clean + real, imaginary).clip(0, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn by Rician and by Gaussian noise, and set both beside two filters."""
    options = read_options(str(__doc__), arguments)
    coarse = 2 if options.quick else 1
    learned = heads(40 if options.quick else 600, 1)[0][:, ::coarse, ::coarse]
    clean = heads(6 if options.quick else 100, 2)[0][:, ::coarse, ::coarse]
    noisy = magnitudes(clean, 3)
    made = {"noisy": noisy}
    for kind in ("rician", "gaussian"):
        model = learn(learned, "denoising", options.quick, 12, noise=kind, level=LEVEL)
        made[f"network that learned {kind} noise"] = model.denoise(noisy)
    made["median filter"] = np.stack([median_filter(one, 3) for one in noisy])
    made["non-local means"] = np.stack(
        [denoise_nl_means(one, patch_size=5, patch_distance=9, h=0.8 * LEVEL, sigma=LEVEL) for one in noisy]
    )
    # Where there is no signal, what remains is the veil.
    outside = clean < 0.01
    rows: list[list[object]] = [["", "PSNR, dB", "gained", "mean where nothing is"]]
    for name, pictures in made.items():
        rows.append(
            [name, psnr(clean, pictures), psnr(clean, pictures) - psnr(clean, noisy), float(pictures[outside].mean())]
        )
    leave(options, "mri", sheet({"clean": clean, **made}, 8, 64), rows)


if __name__ == "__main__":
    main()
