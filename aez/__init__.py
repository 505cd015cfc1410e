"""aez: a learned codec for pictures. `encode`, `decode`, `open`, `info` and `load` are all that most programs need.

`embed` gives the latent of a picture, `reconstruct` what a model makes of it.

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
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from aez.codec.bundle.bundle import Bundle
    from aez.codec.image.api import ImageLike, ModelLike

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
    "embed",
    "encode",
    "info",
    "load",
    "open",
    "reconstruct",
]


def encode(image: ImageLike, quality: float | None = None, model: ModelLike = None, **options: Any) -> bytes:
    """Encode a picture to `.aez` bytes.

    `image` is a Pillow picture or a uint8 array [H, W] or [H, W, 1..4]; `quality` 1..100 (default 50); `model` a path,
    a name or a `Bundle`. Options: `bpp`, `psnr` or `max_bytes` in place of the quality; `tile`, `keep_metadata`,
    `embed_model`, `device`, `threads`, `progress` as `aez.codec.image.encode_picture` describes them.
    Raises InvalidArgument, UnsupportedInput, ModelError.
    """
    from aez.codec.image.api import encode_picture

    return encode_picture(image, quality, model, **options).data


def decode(
    data: bytes, region: tuple[int, int, int, int] | None = None, partial: bool = False, **options: Any
) -> Image.Image:
    """Decode `.aez` bytes to a Pillow picture, or only `region` (x, y, width, height) of it.

    Raises CorruptFile (TruncatedFile) for a damaged file; with `partial`, whole tiles are given back and the rest is
    grey. Options: `model`, `device`, `threads`, `max_pixels`, `progress`.
    """
    from aez.codec.image.api import decode_picture

    return decode_picture(data, region, partial, **options).image


def open(path: str | os.PathLike[str], **options: Any) -> Image.Image:
    """Decode the `.aez` file at `path`; options as for `decode`. Raises OSError when it cannot be read."""
    import pathlib

    return decode(pathlib.Path(path).read_bytes(), **options)


def info(data: bytes) -> dict[str, Any]:
    """What an `.aez` file holds: size, mode, quality, model, bits per pixel, chunks. Plain JSON values."""
    from aez.codec.image.api import describe

    return describe(data)


def load(path_or_name: ModelLike = None) -> Bundle:
    """A model bundle by path, name or id; without one, the default model. Raises ModelError."""
    from aez.codec.image.api import load as load_bundle

    return load_bundle(path_or_name)


def embed(image: ImageLike, model: ModelLike = "kl-f8", **options: Any) -> NDArray[np.float32]:
    """The latent of a picture, float32 [C, ceil(height / 8), ceil(width / 8)] for `kl-f8`: the mean, unscaled.

    `image` and `model` as for `encode`; the picture is turned as EXIF says, and transparency is left out. Options:
    `device`, `threads`, `progress`. Raises ModelError for a model without a latent, UnsupportedInput, InvalidArgument.
    """
    from aez.codec.latent.api import embed_picture

    return embed_picture(image, model, **options)[0].mean


def reconstruct(
    image: ImageLike, model: ModelLike = "kl-f8", quality: float | None = None, **options: Any
) -> Image.Image:
    """The picture that a model makes of a picture: RGB, turned as EXIF says.

    A model with a latent leaves it unquantized unless a `quality` 1..100 is given; every other one codes the picture,
    at quality 50 by default. Options and errors as for `embed`.
    """
    from PIL import Image

    from aez.codec.latent.api import reconstruct_picture

    return Image.fromarray(reconstruct_picture(image, model, quality, **options).result)
