"""The codecs that `aez` is measured against, and `aez` itself, behind one small interface.

All of them work on RGB pictures, uint8 [height, width, 3], to bytes and back, without metadata. Settings are the
strongest that a photographer would wait for; threads are each codec's own default. A picture whose three channels are
equal is stored as grey by those formats that can (all but WebP).
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import encode_picture, load
from aez.codec.image.decoding import decode_picture

__all__ = ["Encoded", "PictureCodec", "aez_codec", "encode_to_size", "standard_peers"]

Picture = npt.NDArray[np.uint8]

AEZ_QUALITIES = (1.0, 7.0, 14.0, 22.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)


def _nothing_missing() -> str | None:
    return None


@dataclass(frozen=True)
class PictureCodec:
    """A codec whose bytes grow with `quality`.

    name: what tables and plots call it.
    encode: (picture uint8 [height, width, 3], quality) -> file; decode: file -> picture.
    qualities: the points of its rate-distortion curve, rising.
    lowest, highest, step: the grid of qualities that `encode_to_size` searches.
    missing: what has to be installed before the codec works, None when it works here.
    model: what reports say about the model behind it, as plain JSON values; empty where there is none.
    """

    name: str
    encode: Callable[[Picture, float], bytes]
    decode: Callable[[bytes], Picture]
    qualities: tuple[float, ...]
    lowest: float
    highest: float
    step: float = 1.0
    missing: Callable[[], str | None] = field(default=_nothing_missing)
    model: Mapping[str, Any] = field(default_factory=dict)

    def available(self) -> bool:
        """Whether the codec works in this installation."""
        return self.missing() is None


@dataclass(frozen=True)
class Encoded:
    """A file and the quality that gave it."""

    quality: float
    data: bytes


def encode_to_size(codec: PictureCodec, image: Picture, nbytes: int) -> Encoded | None:
    """The file of the largest quality that takes at most `nbytes`; None when the lowest quality takes more.

    Bisects the codec's grid of qualities. Where bytes fall now and then as quality grows, the answer still fits and
    the next step of quality does not.

    Raises InvalidArgument when `nbytes` is not positive.
    """
    if nbytes <= 0:
        raise InvalidArgument(f"a target size is a positive number of bytes, not {nbytes}")
    low, high = -1, math.floor((codec.highest - codec.lowest) / codec.step + 1e-9) + 1
    best: Encoded | None = None
    while high - low > 1:
        middle = (low + high) // 2
        quality = codec.lowest + middle * codec.step
        data = codec.encode(image, quality)
        if len(data) <= nbytes:
            low, best = middle, Encoded(quality, data)
        else:
            high = middle
    return best


def standard_peers() -> tuple[PictureCodec, ...]:
    """JPEG, WebP, AVIF 4:2:0 and 4:4:4, JPEG 2000 and JPEG XL, whether they are available here or not."""
    return (
        _pillow_codec("JPEG", "JPEG", (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 85, 90, 94), options={"optimize": True}),
        _pillow_codec("WebP", "WEBP", (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 87, 93), "webp", {"method": 6}),
        _avif_codec("4:2:0"),
        _avif_codec("4:4:4"),
        _jpeg2000_codec(),
        _pillow_codec("JPEG XL", "JXL", (5, 10, 20, 30, 40, 50, 60, 70, 80, 87, 92), "jxl", {"effort": 7}),
    )


def aez_codec(model: str | Path, name: str | None = None, qualities: tuple[float, ...] | None = None) -> PictureCodec:
    """The `aez` codec with one model, given as a path or a name.

    name: what reports call it, by default "aez" and the file's stem. qualities: as in PictureCodec, within 1..100.
    """
    bundle = load(model)

    def encode(image: Picture, quality: float) -> bytes:
        pixels = image[:, :, 0] if _is_grey(image) else image
        return encode_picture(pixels, quality, bundle).data

    def decode(data: bytes) -> Picture:
        return _rgb(decode_picture(data, model=bundle).image)

    label = name or f"aez {Path(model).stem}"
    return PictureCodec(
        label, encode, decode, qualities or AEZ_QUALITIES, lowest=1, highest=100, step=0.25, model=_described(bundle)
    )


def _described(bundle: Bundle) -> dict[str, Any]:
    """A model's identity, size in bytes, and how it was made."""
    summary = bundle.summary()
    facts = {name: summary[name] for name in ("name", "id", "family", "bytes", "figures")}
    return {**facts, "provenance": bundle.manifest["provenance"]}


def _pillow_codec(
    name: str,
    image_format: str,
    qualities: tuple[float, ...],
    feature: str | None = None,
    options: Mapping[str, object] | None = None,
) -> PictureCodec:
    def encode(image: Picture, quality: float) -> bytes:
        settings = {"quality": round(quality), **(options or {})}
        if image_format == "AVIF" and _is_grey(image):
            settings["subsampling"] = "4:0:0"
        elif image_format != "WEBP" and _is_grey(image):
            image = image[:, :, 0]
        return _save(image, image_format, settings)

    return PictureCodec(
        name,
        encode,
        lambda data: _open(data, image_format),
        qualities,
        lowest=0 if image_format in ("WEBP", "AVIF") else 1,
        # libjpeg and libwebp go up to 100; Pillow's JPEG XL turns lossless there.
        highest=99 if image_format == "JXL" else 100,
        missing=lambda: _missing_feature(feature),
    )


def _avif_codec(subsampling: str) -> PictureCodec:
    options = {"speed": 6, "subsampling": subsampling}
    return _pillow_codec(f"AVIF {subsampling}", "AVIF", (10, 20, 30, 40, 50, 60, 70, 80, 87, 92), "avif", options)


def _jpeg2000_codec() -> PictureCodec:
    """Its quality is the bits per pixel that OpenJPEG aims at; the lossy 9/7 wavelet over decorrelated colour.

    Aiming at a PSNR instead would spend most bytes on the hardest pictures and flatter whoever is compared with it.
    """

    def encode(image: Picture, quality: float) -> bytes:
        options = {"quality_mode": "rates", "irreversible": True}
        if _is_grey(image):
            return _save(image[:, :, 0], "JPEG2000", {**options, "quality_layers": [8 / quality]})
        return _save(image, "JPEG2000", {**options, "quality_layers": [24 / quality], "mct": 1})

    return PictureCodec(
        "JPEG 2000",
        encode,
        lambda data: _open(data, "JPEG2000"),
        qualities=(0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.35, 1.8, 2.4, 3.2),
        lowest=0.02,
        highest=8,
        step=0.005,
        missing=lambda: _missing_feature("jpg_2000"),
    )


def _is_grey(image: Picture) -> bool:
    return bool((image == image[:, :, :1]).all())


def _missing_feature(feature: str | None) -> str | None:
    if feature is None:
        return None
    if feature == "jxl":
        # find_spec instead of an import: whoever measures nothing should not load the plugin.
        return None if importlib.util.find_spec("pillow_jxl") else "pip install pillow-jxl-plugin"
    return None if features.check(feature) else f"a Pillow built with {feature}"


def _save(image: Picture, image_format: str, options: Mapping[str, Any]) -> bytes:
    _load_plugin(image_format)
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, image_format, **options)
    return buffer.getvalue()


def _open(data: bytes, image_format: str) -> Picture:
    _load_plugin(image_format)
    with Image.open(BytesIO(data), formats=[image_format]) as image:
        return _rgb(image)


def _load_plugin(image_format: str) -> None:
    if image_format == "JXL":
        importlib.import_module("pillow_jxl")  # registers the format with Pillow


def _rgb(image: Image.Image) -> Picture:
    return np.asarray(image.convert("RGB"))
