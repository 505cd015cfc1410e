"""Bytes of pictures without loss: `aez` beside PNG, lossless WebP and lossless JPEG XL."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aez.bench.table_text import aligned
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import describe
from aez.codec.image.pillow import read_image

__all__ = ["LosslessReport", "LosslessResult", "measure_lossless"]

#: Format -> how Pillow writes it without loss, of 8 bits.
_RIVALS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {"optimize": True}),
    "WebP": ("WEBP", {"lossless": True, "exact": True, "method": 6, "quality": 100}),
    "JPEG XL": ("JXL", {"lossless": True, "effort": 7}),
}


@dataclass(frozen=True)
class LosslessResult:
    """One picture: its bits of a sample, and format -> bytes, None where that cannot be measured."""

    picture: str
    bits: int
    bytes: dict[str, int | None]


@dataclass(frozen=True)
class LosslessReport:
    """All pictures, and what is missing here for a format."""

    pictures: tuple[LosslessResult, ...]
    unavailable: dict[str, str]

    def times(self, rival: str) -> float | None:
        """How many times the bytes of a rival `aez` takes, over the pictures that both have; None without any."""
        both = [(one.bytes["aez"], one.bytes[rival]) for one in self.pictures if one.bytes[rival] is not None]
        own, other = (sum(sizes[side] or 0 for sizes in both) for side in (0, 1))
        return own / other if other else None

    def to_json(self) -> str:
        """Everything as one JSON object."""
        times = {rival: self.times(rival) for rival in _RIVALS}
        return json.dumps({**dataclasses.asdict(self), "times": times}, indent=1, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        names = ["aez", *_RIVALS]
        rows = [["bytes without loss", "bits", *names]]
        for one in self.pictures:
            sizes = [one.bytes[name] for name in names]
            rows.append([one.picture, str(one.bits), *("-" if size is None else f"{size:,}" for size in sizes)])
        quotients = [self.times(rival) for rival in _RIVALS]
        rows.append(["aez over it", "", "", *("-" if one is None else f"{one:.3f}" for one in quotients)])
        missing = [f"{name} is not measured: it needs {reason}" for name, reason in self.unavailable.items()]
        return "\n".join([*aligned(rows), *missing])


def measure_lossless(paths: Sequence[Path]) -> LosslessReport:
    """Pictures that are stored without loss, each by every format; deep ones beside the PNG that they are.

    Raises InvalidArgument, UnsupportedInput.
    """
    if not paths:
        raise InvalidArgument("name one picture or more, such as those of the Kodak set")
    unavailable = {} if importlib.util.find_spec("pillow_jxl") else {"JPEG XL": "pip install pillow-jxl-plugin"}
    return LosslessReport(tuple(_measure(path, unavailable) for path in paths), unavailable)


def _measure(path: Path, unavailable: dict[str, str]) -> LosslessResult:
    image = read_image(str(path), str(path))
    data = encode_picture(image, lossless=True, strip="all").data
    bits = int(describe(data)["bits"])
    sizes: dict[str, int | None] = {"aez": len(data), **dict.fromkeys(_RIVALS)}
    if bits > 8:
        sizes["PNG"] = path.stat().st_size if path.suffix.lower() == ".png" else None
    else:
        plain = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
        sizes |= {name: _size(plain, *how) for name, how in _RIVALS.items() if name not in unavailable}
    return LosslessResult(path.stem, bits, sizes)


def _size(image: Image.Image, image_format: str, options: dict[str, Any]) -> int:
    if image_format == "JXL":
        importlib.import_module("pillow_jxl")  # registers the format with Pillow
    buffer = io.BytesIO()
    # A copy without what surrounds the samples, which not every format has.
    Image.fromarray(np.asarray(image)).save(buffer, image_format, **options)
    return len(buffer.getvalue())
