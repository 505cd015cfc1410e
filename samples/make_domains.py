"""Write two kinds of pictures that are no photographs as folders to train on and to measure on.

Usage: python samples/make_domains.py garments FOLDER OUT   FOLDER holds the four files of Fashion-MNIST
       python samples/make_domains.py bands CUBE.npz OUT    an array `cube` [rows, columns, bands]

Garments are grey pictures of 28 x 28 pixels. Bands are grey pictures, one for each band: the left 60 % of the scene to
train on, the right 40 % to measure on, so that no pixel is in both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from aez.bench.images.classes import load_picture_classes

GARMENTS_TRAIN, GARMENTS_TEST, BANDS_TEST_EVERY = 20_000, 100, 10
TRAIN_SHARE = 0.6


def garments(source: Path, out: Path) -> None:
    """The first 20,000 training pictures, and 100 of the test pictures."""
    pictures = load_picture_classes(source)
    spread = len(pictures.test) // GARMENTS_TEST
    _write(out / "train", pictures.train[:GARMENTS_TRAIN, :, :, 0])
    _write(out / "test", pictures.test[::spread, :, :, 0])


def bands(source: Path, out: Path) -> None:
    """Every band on the left, every tenth on the right; each stretched from its own darkest to its brightest."""
    with np.load(source, allow_pickle=False) as arrays:
        cube = arrays["cube"].astype(np.float64).transpose(2, 0, 1)
    low, high = (np.quantile(cube, share, axis=(1, 2), keepdims=True) for share in (0.001, 0.999))
    pixels = np.rint(np.clip((cube - low) / np.maximum(high - low, 1), 0, 1) * 255).astype(np.uint8)
    border = round(pixels.shape[2] * TRAIN_SHARE)
    _write(out / "train", pixels[:, :, :border])
    _write(out / "test", pixels[::BANDS_TEST_EVERY, :, border:])


def _write(folder: Path, pictures: npt.NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{number:05}.png")
    print(f"{folder}: {len(pictures)} pictures of {pictures.shape[2]} x {pictures.shape[1]} pixels")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["garments", "bands"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    {"garments": garments, "bands": bands}[arguments.kind](arguments.source, arguments.out)


if __name__ == "__main__":
    main()
