"""Models of pictures for tests of frames: one trained on small washers, and pictures for it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aez.codec.bundle.bundle import Bundle, save_bundle

Array = np.ndarray[Any, np.dtype[Any]]
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
#: Where `washers` puts a scratch, as regions of a frame.
SCRATCHED = ("row 3 column 3", "row 3 column 4")


def washers(n: int, seed: int = 0, scratch: bool = False) -> Array:
    """Grey rings on a dark ground, uint8 [n, 32, 32]; a scratch runs from (18, 20) to (23, 25)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre = rng.normal(15.5, 0.5, (n, 2))
    distance = np.hypot(y - centre[:, :1, None], x - centre[:, 1:, None])
    ring = 30 + 140 / (1 + np.exp(2 * (distance - 12))) - 140 / (1 + np.exp(2 * (distance - 4)))
    ring += rng.normal(0, 4, ring.shape)
    if scratch:
        for step in range(6):
            ring[:, 18 + step, 19 + step] = ring[:, 18 + step, 20 + step] = 20
    return np.clip(ring, 0, 255).astype(np.uint8)


@cache
def washer_model() -> Bundle:
    import torch

    from aez.export import PictureConfig, learn_pictures

    torch.set_num_threads(1)
    return learn_pictures(washers(150), PictureConfig("pca"), name="washer")


def save_washer_model(path: Path) -> None:
    save_bundle(washer_model(), path)


def write_frame(path: Path, pixels: Array, number: int) -> None:
    """A whole picture under that name, as old as its number says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name("new")
    Image.fromarray(pixels).save(new, path.suffix.removeprefix(".").replace("jpg", "jpeg"))
    os.utime(new, ns=(START, START + number * SECOND))
    new.rename(path)
