"""The pictures that benches measure on: those of a folder that are stored without loss, with 8 bits and no alpha."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from aez.codec.errors import UnsupportedInput
from aez.codec.image.pillow import read_image

__all__ = ["LOSSLESS_SUFFIXES", "QUICK_PICTURES", "Picture", "find_pictures", "load_picture", "spread"]

Picture = npt.NDArray[np.uint8]
Item = TypeVar("Item")

LOSSLESS_SUFFIXES = frozenset({".png", ".bmp", ".ppm", ".tif", ".tiff"})
#: What a quick run takes of a folder at most.
QUICK_PICTURES = 3

_EIGHT_BIT_MODES = frozenset({"RGB", "P", "L"})


def find_pictures(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The pictures that can be measured, sorted by name, and why the others cannot."""
    if not folder.is_dir():
        raise UnsupportedInput(f"{folder} is not a folder; name one that holds lossless pictures")
    found: list[Path] = []
    skipped: dict[str, str] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in LOSSLESS_SUFFIXES):
        if reason := _unfit(path):
            skipped[path.name] = reason
        else:
            found.append(path)
    if not found:
        raise UnsupportedInput(f"{folder} holds no 8-bit lossless picture (png, bmp, ppm or tiff); name another folder")
    return found, skipped


def _unfit(path: Path) -> str | None:
    """Why a picture cannot be measured, None when it can."""
    try:
        with Image.open(path) as image:
            image.load()
            if image.has_transparency_data:
                return "it has transparency"
            return None if image.mode in _EIGHT_BIT_MODES else f"its mode {image.mode} is not 8-bit RGB or grey"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"it cannot be read: {error}"


def load_picture(path: Path) -> Picture:
    """The first frame of a picture file as RGB, uint8 [height, width, 3]. Raises UnsupportedInput."""
    return np.asarray(read_image(str(path), str(path)).convert("RGB"))


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` (two or more) items, evenly spread from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
