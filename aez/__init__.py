"""aez: a learned codec for pictures. `encode`, `decode`, `open`, `info` and `load` are all that most programs need.

>>> import aez
>>> data = aez.encode(image, quality=50)   # PIL image or uint8 array -> bytes
>>> image = aez.decode(data)               # bytes -> PIL image
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aez.codec.errors import (
    AezError,
    CorruptFile,
    InvalidArgument,
    ModelError,
    OutputError,
    TruncatedFile,
    UnsupportedInput,
    VersionError,
)

if TYPE_CHECKING:
    from PIL import Image

    from aez.codec.api import ImageLike, ModelLike
    from aez.codec.bundle import Bundle

__all__ = [
    "AezError",
    "CorruptFile",
    "InvalidArgument",
    "ModelError",
    "OutputError",
    "TruncatedFile",
    "UnsupportedInput",
    "VersionError",
    "decode",
    "encode",
    "info",
    "load",
    "open",
]


def encode(image: ImageLike, quality: float | None = None, model: ModelLike = None, **options: Any) -> bytes:
    """Encode a picture to `.aez` bytes.

    `image` is a Pillow picture or a uint8 array [H, W] or [H, W, 1..4]; `quality` 1..100 (default 50); `model` a path,
    a name or a `Bundle`. Options: `bpp`, `psnr` or `max_bytes` in place of the quality; `tile`, `keep_metadata`,
    `embed_model`, `device`, `threads`, `progress` as `aez.codec.api.encode_picture` describes them.
    Raises InvalidArgument, UnsupportedInput, ModelError.
    """
    from aez.codec.api import encode_picture

    return encode_picture(image, quality, model, **options).data


def decode(
    data: bytes, region: tuple[int, int, int, int] | None = None, partial: bool = False, **options: Any
) -> Image.Image:
    """Decode `.aez` bytes to a Pillow picture, or only `region` (x, y, width, height) of it.

    Raises CorruptFile (TruncatedFile) for a damaged file; with `partial`, whole tiles are given back and the rest is
    grey. Options: `model`, `device`, `threads`, `max_pixels`, `progress`.
    """
    from aez.codec.api import decode_picture

    return decode_picture(data, region, partial, **options).image


def open(path: str | os.PathLike[str], **options: Any) -> Image.Image:
    """Decode the `.aez` file at `path`; options as for `decode`. Raises OSError when it cannot be read."""
    import pathlib

    return decode(pathlib.Path(path).read_bytes(), **options)


def info(data: bytes) -> dict[str, Any]:
    """What an `.aez` file holds: size, mode, quality, model, bits per pixel, chunks. Plain JSON values."""
    from aez.codec.api import describe

    return describe(data)


def load(path_or_name: ModelLike = None) -> Bundle:
    """A model bundle by path, name or id; without one, the default model. Raises ModelError."""
    from aez.codec.api import load as load_bundle

    return load_bundle(path_or_name)
