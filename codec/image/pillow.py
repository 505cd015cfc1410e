"""Between Pillow's pictures and the codec's 8-bit RGB: modes, alpha, metadata, and a notice for whatever is lost."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from aez.codec.container.deflate import METADATA_MAX
from aez.codec.container.image_header import ALPHA, EXIF, ICC, XMP
from aez.codec.errors import AezError, CorruptFile, InvalidArgument, UnsupportedInput
from aez.codec.image.plugins import load_plugins, unread_format

Pixels = NDArray[np.uint8]
_METADATA_KEYS = {EXIF: "exif", ICC: "icc_profile", XMP: "xmp"}
#: Key of `info` by which `read_image` tells `take_apart` what the picture no longer shows once it is loaded.
_DEEP = "aez_deep"
_DEEP_RAW_MODE = re.compile(r"[A-Za-z]+;16[BLN]")
_EXIF_DIRECTORIES = (0x8769, 0x8825)  # EXIF, GPS
_TIFF_EXIF_TAGS = {0x8769, 0x8825}  # the EXIF and GPS directories


@dataclass
class Picture:
    """A picture taken apart: `pixels` uint8 [height, width, 3], `alpha` uint8 [height, width] or None.

    `mode` is L, LA, RGB or RGBA; `metadata` holds EXIF, ICC and XMP by chunk letter; `notices` says, a sentence each,
    what was not kept.
    """

    pixels: Pixels
    mode: str
    alpha: Pixels | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def read_image(source: IO[bytes] | str, name: str = "the input", max_pixels: int | None = None) -> Image.Image:
    """Open and fully load a picture, HEIC and JPEG XL too where Pillow's plugins for them are installed.

    Raises UnsupportedInput for anything that Pillow cannot read, and for more than `max_pixels`; without it Pillow's
    own bound holds (`Image.MAX_IMAGE_PIXELS`).
    """
    load_plugins()
    with _pillow_errors(name, source), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged metadata and large pictures are handled below
        image = Image.open(source)
        if max_pixels is not None and image.width * image.height > max_pixels:
            raise UnsupportedInput(
                f"{name} has {image.width}x{image.height} pixels, more than the {max_pixels:,} allowed"
            )
        deep = _is_deep(image)
        image.load()
    if deep:
        image.info[_DEEP] = True
    return image


@contextlib.contextmanager
def _pillow_errors(name: str, source: IO[bytes] | str | None = None) -> Iterator[None]:
    """Turns what Pillow's readers raise into UnsupportedInput; `source` is looked at for what a plugin would read."""
    try:
        yield
    except AezError:
        raise
    except UnidentifiedImageError:
        wanted = unread_format(_head(source))
        what = f"a picture in {wanted}" if wanted else "not a picture that can be read here"
        raise UnsupportedInput(f"{name} is {what}") from None
    except Image.DecompressionBombError as error:
        raise UnsupportedInput(f"{name} is too large: {error}") from error
    except FileNotFoundError:
        raise UnsupportedInput(f"{name} does not exist") from None
    except OSError as error:
        raise UnsupportedInput(f"{name} cannot be read: {error}") from error
    except Exception as error:  # ValueError, SyntaxError, struct.error and a dozen more for damaged files
        raise UnsupportedInput(f"{name} is damaged: {error}") from error


def _head(source: IO[bytes] | str | None) -> bytes:
    """The first bytes of a file or stream; none where it cannot be read again."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(source, str):
            with Path(source).open("rb") as file:
                return file.read(16)
        if source is not None:
            source.seek(0)
            return source.read(16)
    return b""


def take_apart(image: Image.Image | Pixels, keep_metadata: bool = True) -> Picture:
    """A Pillow picture or a uint8 array [H, W], [H, W, 1..4] as a `Picture`.

    Raises UnsupportedInput for pictures without pixels or with damaged ones, InvalidArgument for arrays of other shapes
    or types.
    """
    if not isinstance(image, Image.Image):
        image = _from_array(image)
    if image.width < 1 or image.height < 1:
        raise UnsupportedInput(f"a picture of {image.width}x{image.height} pixels holds nothing to encode")
    deep = _is_deep(image)  # loading makes Pillow forget it
    notices: list[str] = []
    with _pillow_errors("the picture"):
        image.load()
        _note_frames(image, notices)
        metadata = _metadata(image, notices) if keep_metadata else {}
        plain = _to_plain_mode(image, metadata, notices)
    if deep and image.mode[0] not in "IF":
        notices.append("16-bit colour is kept as 8 bits a channel")
    mode = plain.mode
    alpha = np.asarray(plain.getchannel("A")) if mode in ("LA", "RGBA") else None
    if mode in ("L", "LA"):
        grey = np.asarray(plain.getchannel("L") if mode == "LA" else plain)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
    else:
        pixels = np.asarray(plain if mode == "RGB" else plain.convert("RGB"))
    return Picture(pixels, mode, alpha, metadata, notices)


def put_together(pixels: Pixels, mode: str, alpha: Pixels | None, metadata: dict[str, bytes]) -> Image.Image:
    """The Pillow picture of decoded pixels; metadata goes to `info`, where Pillow's writers find it."""
    image = Image.fromarray(_grey(pixels) if mode in ("L", "LA") else pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    for letter, content in metadata.items():
        if letter in _METADATA_KEYS:
            image.info[_METADATA_KEYS[letter]] = content
    return image


def as_shown(pixels: Pixels, mode: str) -> Pixels:
    """Decoded pixels uint8 [height, width, 3] with the colours that a picture of this mode shows."""
    return np.repeat(_grey(pixels)[:, :, None], 3, axis=2) if mode in ("L", "LA") else pixels


def encode_alpha(alpha: Pixels) -> bytes:
    """Lossless alpha plane: a grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(alpha).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_alpha(data: bytes, width: int, height: int) -> Pixels:
    """uint8 [height, width]. Raises CorruptFile when it is no grey PNG of that size."""
    try:
        # The class itself, as `Image.open` refuses large pictures; this one has the size that the caller accepted.
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            if image.size != (width, height) or image.mode != "L":
                raise CorruptFile(f"the alpha plane is {image.mode} {image.size}, not L {(width, height)}", ALPHA)
            return np.asarray(image)
    except CorruptFile:
        raise
    except Exception as error:  # Pillow's PNG reader raises many kinds for damaged data
        raise CorruptFile(f"the alpha plane cannot be read: {error}", ALPHA) from error


def _from_array(array: Pixels) -> Image.Image:
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise InvalidArgument(f"pixels must be uint8, not {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (2, 3, 4)) or 0 in array.shape:
        raise InvalidArgument(f"pixels of shape {array.shape} are neither [H, W] nor [H, W, 1..4]")
    return Image.fromarray(np.ascontiguousarray(array))


def _grey(pixels: Pixels) -> Pixels:
    """Mean of the three channels, rounded: the synthesis leaves them nearly equal."""
    total = pixels.sum(axis=2, dtype=np.uint16)
    grey: Pixels = ((total + 1) // 3).astype(np.uint8)
    return grey


def _note_frames(image: Image.Image, notices: list[str]) -> None:
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:  # noqa: BLE001 - counting reads later frames; damage there is no reason to refuse this one
        frames = 1
    if frames > 1:
        which = "the first" if image.tell() == 0 else f"number {image.tell() + 1}"
        notices.append(f"only {which} of {frames} frames is kept")


def _metadata(image: Image.Image, notices: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for letter, key in _METADATA_KEYS.items():
        content = image.info.get(key)
        if letter == EXIF and (edited := _edited_exif(image, content)) is not None:
            content = edited
        elif letter == EXIF and not content:
            content = _exif(image, notices)
        if isinstance(content, Image.Exif):
            content = content.tobytes()
        if isinstance(content, str):
            content = content.encode()
        if not content:
            continue
        if len(content) > METADATA_MAX:
            notices.append(f"{key} of {len(content)} bytes is too large and left out")
            continue
        found[letter] = bytes(content)
    return found


def _edited_exif(image: Image.Image, stored: object) -> bytes | None:
    """What was made of `getexif()` since it was read; None where nothing was, and the stored bytes hold."""
    loaded = getattr(image, "_exif", None)
    if loaded is None or not getattr(loaded, "_loaded", False):
        return None
    try:
        fresh = Image.Exif()
        if isinstance(stored, bytes):
            fresh.load(stored)
        tags = _tags(loaded)
        if not stored or _tags(fresh) == tags:
            return None
        return loaded.tobytes() if any(tags.values()) else b""
    except Exception:  # noqa: BLE001 - damaged EXIF is kept as it came
        return None


def _tags(exif: Image.Exif) -> dict[str, dict[int, object]]:
    inner = {str(tag): dict(exif.get_ifd(tag)) for tag in _EXIF_DIRECTORIES}
    return {"0": {tag: value for tag, value in exif.items() if tag not in _EXIF_DIRECTORIES}, **inner}


def _exif(image: Image.Image, notices: list[str]) -> bytes:
    """EXIF that Pillow holds outside `info` (PNG text chunks), as far as it can be written."""
    try:
        exif = image.getexif()
        if image.format != "TIFF":
            return exif.tobytes() if len(exif) else b""
    except Exception:  # noqa: BLE001 - damaged EXIF is no reason to refuse the picture
        return b""
    # A TIFF keeps its EXIF among the tags that describe its own layout; Pillow has turned the pixels already.
    if _TIFF_EXIF_TAGS & set(exif):
        notices.append("EXIF of a TIFF file is left out")
    return b""


def _to_plain_mode(image: Image.Image, metadata: dict[str, bytes], notices: list[str]) -> Image.Image:
    """One of L, LA, RGB, RGBA."""
    mode = image.mode
    transparent = image.has_transparency_data
    if mode in ("LA", "RGBA") or (mode in ("L", "RGB") and not transparent):
        return image
    if mode in ("1", "L"):
        return image.convert("LA" if transparent else "L")
    if mode in ("P", "PA", "RGB"):
        return image.convert("RGBA" if transparent else "RGB")
    if mode in ("La", "RGBa"):
        return image.convert(mode.upper())
    if mode.startswith("I") or mode == "F":
        if transparent:
            notices.append("the transparent value of 16-bit grey is not kept")
        return _from_deep_grey(image, notices)
    if ICC in metadata:
        del metadata[ICC]
        notices.append(f"{mode} is converted to RGB, and its colour profile is left out")
    else:
        notices.append(f"{mode} is converted to RGB")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise UnsupportedInput(f"a picture of mode {mode} cannot be converted to RGB") from error


def _from_deep_grey(image: Image.Image, notices: list[str]) -> Image.Image:
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UnsupportedInput("a floating-point picture with NaN or infinite pixels cannot be encoded")
    # Pillow reads a 16-bit PGM as 32-bit integers; its values say nothing about its depth when it is dark.
    if image.mode == "F" and low >= 0 and high <= 1:
        notices.append("floating-point grey in 0..1 is kept as 8 bits")
        values *= 255
    elif image.mode.startswith("I;16") or image.format == "PPM" or low < 0 or high > 255:
        outside = ", and values outside 0..65535 are cut off" if low < 0 or high > 65535 else ""
        notices.append(f"16-bit grey is kept as 8 bits: the upper half of every value{outside}")
        values /= 257
    elif image.mode == "F":
        notices.append("floating-point grey in 0..255 is kept as 8 bits")
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _is_deep(image: Image.Image) -> bool:
    """Whether a file holds 16 bits a channel, of which Pillow keeps eight; to be asked before the pixels are loaded."""
    for codec, _, _, given in getattr(image, "tile", []):
        arguments = given if isinstance(given, tuple) else (given,)
        for argument in arguments:
            if isinstance(argument, str) and _DEEP_RAW_MODE.fullmatch(argument):
                return True
            if codec in ("ppm", "ppm_plain") and isinstance(argument, int) and argument > 255:
                return True
    return _DEEP in image.info
