"""Bytes of pictures without loss: `aez` beside PNG, lossless WebP and lossless JPEG XL, deep ones beside PNG."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from aez.bench.pictures.files import load_picture
from aez.bench.pictures.value_noise import value_noise
from aez.bench.table_text import aligned
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import describe
from aez.codec.image.pillow import read_image
from aez.codec.pixels.deep_files import png_bytes

__all__ = ["LosslessReport", "LosslessResult", "deep_pictures", "measure_deep", "measure_lossless"]

Deep = npt.NDArray[np.uint16]

#: Format -> how Pillow writes it without loss, of 8 bits.
_RIVALS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {"optimize": True}),
    "WebP": ("WEBP", {"lossless": True, "exact": True, "method": 6, "quality": 100}),
    "JPEG XL": ("JXL", {"lossless": True, "effort": 7}),
}
#: Of a cube one band of so many is taken.
_EVERY_BAND = 20
_GAMMA = 2.2


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

    def total(self, name: str) -> int | None:
        """Bytes of all pictures in a format; None where one of them has none."""
        sizes = [one.bytes[name] for one in self.pictures]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def to_json(self) -> str:
        """Everything as one JSON object."""
        totals = {name: self.total(name) for name in ("aez", *_RIVALS)}
        summed = {"totals": totals, "times": {rival: self.times(rival) for rival in _RIVALS}}
        return json.dumps({**dataclasses.asdict(self), **summed}, indent=1, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        names = ["aez", *_RIVALS]
        rows = [["bytes without loss", "bits", *names]]
        lines = [(one.picture, str(one.bits), [one.bytes[name] for name in names]) for one in self.pictures]
        if len(lines) > 1:
            lines.append(("all", "", [self.total(name) for name in names]))
        rows += [[name, bits, *("-" if size is None else f"{size:,}" for size in sizes)] for name, bits, sizes in lines]
        quotients = [self.times(rival) for rival in _RIVALS]
        rows.append(["aez over it", "", "", *("-" if one is None else f"{one:.3f}" for one in quotients)])
        missing = [f"{name} is not measured: it needs {reason}" for name, reason in self.unavailable.items()]
        return "\n".join([*aligned(rows), *missing])


def measure_lossless(paths: Sequence[Path]) -> LosslessReport:
    """Pictures that are stored without loss, each by every format; deep ones beside the PNG that they are.

    Raises InvalidArgument, UnsupportedInput.
    """
    _check_given(paths)
    unavailable = {} if importlib.util.find_spec("pillow_jxl") else {"JPEG XL": "pip install pillow-jxl-plugin"}
    return LosslessReport(tuple(_measure(path, unavailable) for path in paths), unavailable)


def measure_deep(paths: Sequence[Path]) -> LosslessReport:
    """The deep pictures that `deep_pictures` makes of each file, beside the smaller of two PNGs of 16 bits.

    Raises InvalidArgument, UnsupportedInput.
    """
    _check_given(paths)
    made = [_measure_deep(name, values) for path in paths for name, values in deep_pictures(path)]
    return LosslessReport(tuple(made), {})


def _check_given(paths: Sequence[Path]) -> None:
    if not paths:
        raise InvalidArgument("name one picture or more, such as those of the Kodak set")


def _measure_deep(name: str, values: Deep) -> LosslessResult:
    data = encode_picture(values, lossless=True).data
    # By the filter with the least differences, and in grey by Pillow, too.
    png = [len(png_bytes(values, [], 9))] + ([_size(values, *_RIVALS["PNG"])] if values.ndim == 2 else [])
    sizes: dict[str, int | None] = {"aez": len(data), **dict.fromkeys(_RIVALS), "PNG": min(png)}
    return LosslessResult(name, int(describe(data)["bits"]), sizes)


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


def _size(image: Image.Image | Deep, image_format: str, options: dict[str, Any]) -> int:
    if image_format == "JXL":
        importlib.import_module("pillow_jxl")  # registers the format with Pillow
    buffer = io.BytesIO()
    # A copy without what surrounds the samples, which not every format has.
    Image.fromarray(np.asarray(image)).save(buffer, image_format, **options)
    return len(buffer.getvalue())


def deep_pictures(path: Path) -> Iterator[tuple[str, Deep]]:
    """(kind, values [height, width] or [height, width, 3]) of a picture, or of an `.npz` with an array `cube`.

    *in light*: means of 2 x 2 pixels in linear light, 16 bits; *enlarged*: twice as large by a bicubic filter, cut to
    the size, 16 bits; *sums*: of 4 x 4 pixels of grey, which are 12 bits, from the highest bit on; *depth*: a surface
    as far away as the picture is dark, 12 bits in millimetres. Of a cube [height, width, bands]: every twentieth band.
    Raises UnsupportedInput.
    """
    if path.suffix == ".npz":
        yield from _bands(path)
        return
    pixels = load_picture(path).astype(np.float64)
    height, width = (side // 4 * 4 for side in pixels.shape[:2])
    if not height or not width:
        raise UnsupportedInput(f"{path} is too small: at least 4 pixels a side are needed")
    pixels = pixels[:height, :width]
    light = (pixels / 255) ** _GAMMA
    yield f"{path.stem} in light", _rounded(65535 * _means(light, 2))
    large = [Image.fromarray(pixels[:, :, at].astype(np.float32)) for at in range(3)]
    planes = [np.asarray(one.resize((2 * width, 2 * height), Image.Resampling.BICUBIC)) for one in large]
    yield f"{path.stem} enlarged", _rounded(257.0 * np.stack(planes, axis=2)[:height, :width])
    grey = np.rint(pixels.mean(axis=2))
    yield f"{path.stem} sums", _rounded(16 * 16 * _means(grey, 4))
    relief = value_noise(height // 2, width // 2, 64, len(path.stem))
    yield f"{path.stem} depth", _rounded(800 + 1500 * relief + 1500 * (1 - _means(grey, 2) / 255))


def _means(values: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    height, width = values.shape[:2]
    blocks = values.reshape(height // side, side, width // side, side, *values.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)))


def _rounded(values: npt.NDArray[np.float64]) -> Deep:
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)


def _bands(path: Path) -> Iterator[tuple[str, Deep]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            cube = arrays["cube"]
    except (OSError, ValueError, KeyError) as error:
        raise UnsupportedInput(f"{path} holds no array cube: {error}") from error
    if cube.ndim != 3 or cube.dtype != np.uint16:
        raise UnsupportedInput(f"the cube of {path} is {cube.dtype} {list(cube.shape)}, not uint16 [y, x, bands]")
    for band in range(0, cube.shape[2], _EVERY_BAND):
        yield f"{path.stem} band {band}", np.ascontiguousarray(cube[:, :, band])
