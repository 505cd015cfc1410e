"""Training pictures: any folder of files that Pillow reads, as random crops that depend on (seed, index) alone.

Because item `index` is a pure function of the seed, a training run that stops and resumes at step k draws exactly the
crops it would have drawn without the stop.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from aez.codec.errors import UnsupportedInput
from aez.codec.image.files import list_pictures

__all__ = ["CROP_UNIT", "PictureFolder", "RandomCrops", "centre_crops", "is_validation", "list_pictures"]

#: Sides of crops are multiples of it, which every network's alignment divides.
CROP_UNIT = 32
#: Share of the pictures held out for validation, chosen by a hash of the name so that every run agrees.
VALIDATION_SHARE = 0.03
CACHE_BYTES = 2 * 2**30
#: Lowest and highest scale of crops, and the share of those that keep their pixels. Small pictures, which were scaled
#: down before, are busier than those that people take, and enlarged ones have no fine detail.
SCALES, NATIVE = (0.75, 1.6), 0.4
#: What Pillow's readers raise on damaged files.
_READ_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
    Image.DecompressionBombError,
)

logger = logging.getLogger(__name__)


def is_validation(name: str) -> bool:
    """Whether a file name belongs to the held-out part."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:4], "big") < VALIDATION_SHARE * 2**32


@dataclass
class PictureFolder:
    """Decoded pictures, uint8 [height, width, 3], cached up to `cache_bytes`.

    Unreadable ones are named once, in `skipped` and as a warning of this module's logger: a loader's worker holds a
    copy of the folder, and its `skipped` stays there.
    """

    paths: Sequence[Path]
    cache_bytes: int = CACHE_BYTES
    skipped: list[str] = field(default_factory=list)
    _cache: dict[Path, npt.NDArray[np.uint8] | None] = field(default_factory=dict, repr=False)
    _cached: int = 0

    def load(self, path: Path) -> npt.NDArray[np.uint8] | None:
        """The picture in RGB, or None when it cannot be read."""
        if path in self._cache:
            return self._cache[path]
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except _READ_ERRORS as error:
            self._cache[path] = None
            self.skipped.append(f"{path}: {error}")
            logger.warning("aez: note: skipped %s: %s", path, error)
            return None
        if self._cached + pixels.nbytes <= self.cache_bytes:
            self._cache[path] = pixels
            self._cached += pixels.nbytes
        return pixels


class RandomCrops(Dataset[Tensor]):
    """Item i: float32 [3, crop, crop] in 0..1: a random picture, scale, place and flip, drawn from (seed, i).

    Scales lie in `scales` (lowest, highest), and where these enclose 1, a share of `NATIVE` keeps its pixels. A picture
    smaller than the crop is enlarged. With scales of 1 and 1 pixels stay as they are, and smaller pictures get their
    last row and column repeated, as the codec does.
    """

    def __init__(self, folder: PictureFolder, crop: int, seed: int, scales: tuple[float, float] = SCALES) -> None:
        self.folder, self.crop, self.seed, self.scales = folder, crop, seed, scales

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng([self.seed, index])
        for _ in range(100):
            pixels = self.folder.load(self.folder.paths[int(rng.integers(len(self.folder.paths)))])
            if pixels is not None:
                return self._crop(pixels, rng)
        raise UnsupportedInput("a hundred training pictures in a row could not be read; is this a folder of pictures?")

    def _crop(self, pixels: npt.NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
        low, high = self.scales
        if low == high == 1:
            below, beside = (max(self.crop - side, 0) for side in pixels.shape[:2])
            if below or beside:
                pixels = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
        height, width = pixels.shape[:2]
        native = low <= 1 <= high and float(rng.random()) < NATIVE
        drawn = 1.0 if native else math.exp(rng.uniform(math.log(low), math.log(high)))
        scale = max(drawn, self.crop / min(height, width))
        side = self.crop / scale
        left, top = rng.uniform(0, max(width - side, 0)), rng.uniform(0, max(height - side, 0))
        if scale == 1:
            x, y = min(int(left), width - self.crop), min(int(top), height - self.crop)
            patch = pixels[y : y + self.crop, x : x + self.crop]
        else:
            x0, y0 = int(left), int(top)
            x1, y1 = min(int(left + side) + 2, width), min(int(top + side) + 2, height)
            box = (left - x0, top - y0, min(left - x0 + side, x1 - x0), min(top - y0 + side, y1 - y0))
            region = Image.fromarray(pixels[y0:y1, x0:x1])
            patch = np.asarray(region.resize((self.crop, self.crop), Image.Resampling.LANCZOS, box=box))
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        return torch.from_numpy(np.array(patch, order="C")).permute(2, 0, 1).float() / 255


def centre_crops(folder: PictureFolder, crop: int, limit: int) -> Tensor:
    """Centre crops [N, 3, crop, crop] of up to `limit` pictures that are large enough (validation and calibration)."""
    crops = []
    for path in folder.paths:
        pixels = folder.load(path)
        if pixels is None or min(pixels.shape[:2]) < crop:
            continue
        y, x = (pixels.shape[0] - crop) // 2, (pixels.shape[1] - crop) // 2
        crops.append(torch.from_numpy(pixels[y : y + crop, x : x + crop].copy()).permute(2, 0, 1).float() / 255)
        if len(crops) == limit:
            break
    if not crops:
        raise UnsupportedInput(f"no readable picture has at least {crop} x {crop} pixels; give larger ones")
    return torch.stack(crops)


def whole_pictures(folder: PictureFolder, limit: int) -> Iterator[Tensor]:
    """Up to `limit` pictures spread over the folder, each [1, 3, H, W], sides cut to multiples of 32."""
    for path in folder.paths[:: max(1, len(folder.paths) // limit)]:
        pixels = folder.load(path)
        if pixels is None or min(pixels.shape[:2]) < CROP_UNIT:
            continue
        height, width = (side // CROP_UNIT * CROP_UNIT for side in pixels.shape[:2])
        yield torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255


def training_and_validation(paths: Sequence[Path]) -> tuple[PictureFolder, PictureFolder]:
    """(training, validation); where the names of a handful of pictures leave one side empty, both hold all of them."""
    held_out = [path for path in paths if is_validation(path.name)]
    kept = [path for path in paths if not is_validation(path.name)]
    if not held_out or not kept:
        held_out = kept = list(paths)
    return PictureFolder(kept), PictureFolder(held_out)


def held_out_crops(training: PictureFolder, validation: PictureFolder, crop: int, limit: int) -> Tensor:
    """Centre crops of the validation pictures, or of the training ones where the few held-out ones are damaged or tiny.

    Raises UnsupportedInput where neither folder has a readable picture of 32 x 32 pixels.
    """
    try:
        return largest_crops(validation, crop, limit)
    except UnsupportedInput:
        return largest_crops(PictureFolder(training.paths), crop, limit)


def largest_crops(folder: PictureFolder, crop: int, limit: int) -> Tensor:
    """Centre crops as large as at least half of the readable pictures allow, at most `crop`, a multiple of 32."""
    loaded = [folder.load(path) for path in folder.paths[:limit]]
    sides = sorted(min(pixels.shape[:2]) for pixels in loaded if pixels is not None)
    usable = [side for side in sides if side >= CROP_UNIT]
    side = min(crop, usable[len(usable) // 2] if usable else CROP_UNIT)
    return centre_crops(folder, side // CROP_UNIT * CROP_UNIT, limit)
