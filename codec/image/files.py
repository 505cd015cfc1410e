"""Files of pictures for detectors: found in folders, read as people see them, brought to a model's size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.pillow import read_image, take_plain

__all__ = ["PictureLike", "is_coloured", "list_pictures", "read_noticed", "read_picture", "seen", "to_planes"]

Pixels = NDArray[np.uint8]
PictureLike = Image.Image | Pixels
#: Grey pictures from colour cameras and JPEG differ by so many levels between their colours, at most.
_GREY_SPREAD = 6


def list_pictures(folder: Path) -> list[Path]:
    """Files below `folder`, sorted, whose suffix Pillow can open. Raises UnsupportedInput when there is none."""
    Image.init()
    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in readable and p.is_file())
    if not found:
        raise UnsupportedInput(f"{folder}: no pictures found; give a folder with JPEG, PNG, AVIF or like files")
    return found


def read_picture(path: str | os.PathLike[str]) -> Pixels:
    """A file as `seen`. Raises UnsupportedInput that says why it cannot be read, without naming it."""
    return read_noticed(path)[0]


def read_noticed(path: str | os.PathLike[str]) -> tuple[Pixels, list[str]]:
    """`read_picture`, and what is not kept of the picture, a few words each."""
    try:
        with Path(path).open("rb") as file:
            return _noticed(read_image(file, "it"))
    except FileNotFoundError:
        raise UnsupportedInput("it does not exist") from None
    except IsADirectoryError:
        raise UnsupportedInput("it is a folder, not a picture") from None
    except OSError as error:
        raise UnsupportedInput(f"it cannot be read: {error.strerror or error}") from error


def seen(picture: PictureLike) -> Pixels:
    """What a person sees, uint8 [height, width, 3]: turned as EXIF says, what is transparent over white, frame one.

    Arrays are uint8 [H, W] or [H, W, 1..4]. Raises UnsupportedInput and InvalidArgument as `take_plain`.
    """
    return _noticed(picture)[0]


def _noticed(picture: PictureLike) -> tuple[Pixels, list[str]]:
    if isinstance(picture, Image.Image):
        picture = _turned(picture)
    taken = take_plain(picture)
    if taken.alpha is None:
        return taken.pixels, taken.notices
    notices = taken.notices + ["what is transparent is shown over white"] * bool((taken.alpha < 255).any())
    alpha = taken.alpha[:, :, None].astype(np.uint16)
    over: Pixels = ((taken.pixels * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return over, notices


def to_planes(pixels: Pixels, height: int, width: int, colours: int) -> Pixels:
    """uint8 [colours, height, width] of a picture [h, w, 3], squeezed to that size; one colour is its brightness.

    The aspect is not kept: nothing is cut off or added, and a place in the result is one in the picture. Raises
    InvalidArgument for anything but one and three colours.
    """
    if colours not in (1, 3):
        raise InvalidArgument(f"a picture has 1 colour or 3, not {colours}")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if colours == 1:
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    planes = np.asarray(image)
    return planes[None] if colours == 1 else np.ascontiguousarray(planes.transpose(2, 0, 1))


def is_coloured(pixels: Pixels) -> bool:
    """Whether the colours of a picture [h, w, 3] or [3, h, w] differ visibly anywhere."""
    axis = 2 if pixels.shape[2] == 3 else 0
    spread = pixels.max(axis=axis).astype(np.int16) - pixels.min(axis=axis)
    return bool(spread.max() > _GREY_SPREAD)


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - damaged EXIF is no reason to refuse the picture
        return image
