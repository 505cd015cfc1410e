"""aez: a learned codec for pictures. `encode`, `decode`, `open`, `info` and `load` are all that most programs need.

`embed` gives the latent of a picture, `reconstruct` what a model makes of it.

>>> import aez
>>> data = aez.encode(image, quality=50)   # PIL image or uint8 array -> bytes
>>> image = aez.decode(data)               # bytes -> PIL image
>>> part = aez.open("photo.aez").region(0, 0, 64, 64)
"""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from aez.codec.common.face import lazily
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
    from aez.codec.image.arriving import Decoder
    from aez.codec.image.model import ModelLike
    from aez.codec.image.pillow import ImageLike
    from aez.codec.latent.api import PlainImage
    from aez.pillow import OpenedPicture

__all__ = [
    "AezError",
    "CorruptFile",
    "Decoder",
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

__getattr__ = lazily(__name__, {"aez.codec.image.arriving": "Decoder"})


def encode(
    image: ImageLike | str | os.PathLike[str], quality: float | None = None, model: ModelLike = None, **options: Any
) -> bytes:
    """Encode a picture to `.aez` bytes; what of it is not kept is a UserWarning.

    `image` is a Pillow picture, an array [H, W] or [H, W, 1..4] of uint8, uint16 or, without alpha, floating-point
    numbers, or the path of a picture's file; `quality` 1..100 (default 50); `model` a path, a name or a `Bundle`.
    Options: `bpp`, `psnr`, `ssimulacra2` or `max_bytes` in place of the quality; `tile`, `strip`, `keep_hidden`,
    `alpha_quality`, `value_range`, `orientation`, `exif`, `icc_profile`, `xmp`, `embed_model`, `device`, `threads`,
    `progress` as `aez.codec.image.encode_picture` describes them. Raises InvalidArgument, UnsupportedInput (also for a
    file that cannot be read), ModelError, TypeError for text where a number belongs.
    """
    from aez.codec.image.api import encode_picture

    with contextlib.ExitStack() as stack:
        if isinstance(image, str | os.PathLike):
            from aez.codec.image.pillow import read_image

            image = stack.enter_context(read_image(os.fspath(image), os.fspath(image)))
        encoded = encode_picture(image, quality, model, **options)
    for notice in encoded.notices:
        warnings.warn(notice, UserWarning, stacklevel=2)
    return encoded.data


@overload
def decode(
    data: bytes | str | os.PathLike[str],
    region: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    *,
    as_array: Literal[False] = False,
    **options: Any,
) -> Image.Image: ...


@overload
def decode(
    data: bytes | str | os.PathLike[str],
    region: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    *,
    as_array: Literal[True],
    **options: Any,
) -> NDArray[Any]: ...


def decode(
    data: bytes | str | os.PathLike[str],
    region: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    *,
    as_array: bool = False,
    **options: Any,
) -> Image.Image | NDArray[Any]:
    """Decode `.aez` bytes, or the file at a path, to a Pillow picture.

    With a `region` (x, y, width, height, in stored pixels) it is that part alone.
    The pixels are those stored, and the orientation stands in the EXIF of `info`. Deep grey has mode I;16 or F; deep
    colour, for which Pillow has no mode, is kept as 8 bits with a UserWarning. `as_array` gives all bits, turned as the
    picture is shown: [H, W] or [H, W, 2..4] of uint8, uint16 (0..65535, or values of the file's range) or float32.
    Raises CorruptFile (TruncatedFile) for a damaged file; with `partial`, whole tiles are given back and the rest is
    grey. Options: `model`, `device`, `threads`, `max_pixels`, `progress`, and `beside`, the path of the file that the
    bytes are from: its model is also looked for in its folder and in those above it. Raises OSError for a file that
    cannot be read, TypeError for text where a number belongs.
    """
    from aez.codec.image.decoding import decode_picture

    if isinstance(data, str | os.PathLike):
        options = {"beside": data, **options}
    data = _bytes_of(data)
    decoded = decode_picture(data, region, partial, **options)
    if as_array:
        return decoded.array
    for notice in decoded.notices:
        warnings.warn(notice, UserWarning, stacklevel=2)
    return decoded.image


def open(source: str | os.PathLike[str] | IO[bytes], **options: Any) -> OpenedPicture:
    """An `.aez` file as a Pillow picture: header and metadata now, pixels when they are first needed.

    `source` is a path, a URL (`https://`, and with fsspec's packages `s3://` and others; needs `aez[remote]`) or a
    binary file object that can seek and stays the caller's. Its `region(x, y, width, height)` decodes a rectangle of
    the stored pixels, of which only the tiles that it touches are read: of a URL in few ranges, the index and what a
    model sees around the region among them. `thumbnail` and `draft` decode at a half, a quarter or an eighth. Options
    as for `decode`, which are used when pixels are decoded: `partial`, `model`, `device`, `threads`, `max_pixels`. Use
    it in a `with` statement, or a path's file stays open until the pixels are there. Raises OSError when a path cannot
    be read, UnsupportedInput when a URL cannot, InvalidArgument for a file object that cannot seek, and as `decode`.
    """
    from aez.codec.common.arguments import check_numbers
    from aez.pillow import OpenedPicture

    if unknown := sorted(set(options) - {"partial", "model", "device", "threads", "max_pixels", "beside"}):
        raise TypeError(f"there is no argument {unknown[0]!r}")
    check_numbers(options)
    return OpenedPicture(source, options)


def info(data: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """What `.aez` bytes, or the file at a path or URL, hold: size, mode, quality, model, bits per pixel, chunks.

    Plain JSON values. Every checksum is checked; of a URL only the two ends are read, so that those of tiles are not,
    and `kinds` and `max_error`, which stand there, are None. Raises as `decode`, UnsupportedInput for a URL.
    """
    from aez.codec.image.decoding import describe, describe_ends
    from aez.codec.remote.address import is_url

    if is_url(data):
        from aez.codec.remote.file import open_url

        return describe_ends(open_url(data))
    return describe(_bytes_of(data), data if isinstance(data, str | os.PathLike) else None)


def _bytes_of(data: bytes | str | os.PathLike[str]) -> bytes:
    if not isinstance(data, str | os.PathLike):
        return data
    import pathlib

    return pathlib.Path(data).read_bytes()


def load(path_or_name: ModelLike = None) -> Bundle:
    """A model bundle by path, name or id; without one, the default model. Raises ModelError."""
    from aez.codec.image.api import load as load_bundle

    return load_bundle(path_or_name)


def embed(image: PlainImage, model: ModelLike = "kl-f8", **options: Any) -> NDArray[np.float32]:
    """The latent of a picture, float32 [C, ceil(height / 8), ceil(width / 8)] for `kl-f8`: the mean, unscaled.

    `image` is a Pillow picture or a uint8 array [H, W] or [H, W, 1..4], `model` as for `encode`; the picture is turned
    as EXIF says, and transparency is left out. Options: `device`, `threads`, `progress`. Raises ModelError for a model
    without a latent, UnsupportedInput, InvalidArgument.
    """
    from aez.codec.latent.api import embed_picture

    return embed_picture(image, model, **options)[0].mean


def reconstruct(
    image: PlainImage, model: ModelLike = "kl-f8", quality: float | None = None, **options: Any
) -> Image.Image:
    """The picture that a model makes of a picture: RGB, turned as EXIF says.

    A model with a latent leaves it unquantized unless a `quality` 1..100 is given; every other one codes the picture,
    at quality 50 by default. Options and errors as for `embed`.
    """
    from PIL import Image

    from aez.codec.latent.api import reconstruct_picture

    return Image.fromarray(reconstruct_picture(image, model, quality, **options).result)
