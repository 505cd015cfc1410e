"""Between Pillow's pictures and the codec's 8-bit RGB: modes, alpha, metadata, and a notice for whatever is lost."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from aez.codec.container import ALPHA, EXIF, ICC, METADATA_MAX, XMP
from aez.codec.errors import CorruptFile, InvalidArgument, UnsupportedInput

Pixels = NDArray[np.uint8]
_METADATA_KEYS = {EXIF: "exif", ICC: "icc_profile", XMP: "xmp"}


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


def read_image(source: io.BufferedIOBase | str, name: str = "the input") -> Image.Image:
    """Open and fully load a picture. Raises UnsupportedInput for anything that Pillow cannot read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata and large pictures are handled below
            image = Image.open(source)
            image.load()
    except UnidentifiedImageError:
        raise UnsupportedInput(f"{name} is not a picture that can be read here") from None
    except Image.DecompressionBombError as error:
        raise UnsupportedInput(f"{name} is too large: {error}") from error
    except FileNotFoundError:
        raise UnsupportedInput(f"{name} does not exist") from None
    except OSError as error:
        raise UnsupportedInput(f"{name} cannot be read: {error}") from error
    except (ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise UnsupportedInput(f"{name} is damaged: {error}") from error  # Pillow's readers raise all of these
    return image


def take_apart(image: Image.Image | Pixels, keep_metadata: bool = True) -> Picture:
    """A Pillow picture or a uint8 array [H, W], [H, W, 1..4] as a `Picture`.

    Raises UnsupportedInput for pictures without pixels, InvalidArgument for arrays of other shapes or types.
    """
    if not isinstance(image, Image.Image):
        image = _from_array(image)
    if image.width < 1 or image.height < 1:
        raise UnsupportedInput(f"a picture of {image.width}x{image.height} pixels holds nothing to encode")
    notices: list[str] = []
    if getattr(image, "n_frames", 1) > 1:
        notices.append(f"only the first of {getattr(image, 'n_frames', 1)} frames is kept")
    metadata = _metadata(image, notices) if keep_metadata else {}
    plain = _to_plain_mode(image, metadata, notices)
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
    if mode in ("L", "LA"):
        image = Image.fromarray(_grey(pixels))
    else:
        image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    for letter, content in metadata.items():
        if letter in _METADATA_KEYS:
            image.info[_METADATA_KEYS[letter]] = content
    return image


def encode_alpha(alpha: Pixels) -> bytes:
    """Lossless alpha plane: a grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(alpha).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_alpha(data: bytes, width: int, height: int) -> Pixels:
    """uint8 [height, width]. Raises CorruptFile when it is no grey PNG of that size."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
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
    return ((total + 1) // 3).astype(np.uint8)


def _metadata(image: Image.Image, notices: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for letter, key in _METADATA_KEYS.items():
        content = image.info.get(key)
        if letter == EXIF and not content:
            content = _exif(image)
        if isinstance(content, str):
            content = content.encode()
        if not content:
            continue
        if len(content) > METADATA_MAX:
            notices.append(f"{key} of {len(content)} bytes is too large and left out")
            continue
        found[letter] = bytes(content)
    return found


def _exif(image: Image.Image) -> bytes:
    """EXIF that Pillow holds outside `info` (TIFF tags, PNG text chunks), as far as it can be written."""
    try:
        exif = image.getexif()
        return exif.tobytes() if len(exif) and image.format != "TIFF" else b""
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return b""


def _to_plain_mode(image: Image.Image, metadata: dict[str, bytes], notices: list[str]) -> Image.Image:
    """One of L, LA, RGB, RGBA."""
    mode = image.mode
    transparent = "transparency" in image.info
    if mode in ("L", "RGB") and not transparent:
        if _is_deep(image):
            notices.append("16-bit colour is kept as 8 bits a channel")
        return image
    if mode in ("LA", "RGBA"):
        return image
    if mode in ("1", "L"):
        return image.convert("LA") if transparent else image.convert("L")
    if mode == "RGB":
        return image.convert("RGBA")
    if mode in ("P", "PA"):
        return image.convert("RGBA") if transparent or mode == "PA" else image.convert("RGB")
    if mode in ("La", "RGBa"):
        return image.convert(mode.upper())
    if mode.startswith("I") or mode == "F":
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
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise UnsupportedInput("a floating-point picture with NaN or infinite pixels cannot be encoded")
    if image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        notices.append("floating-point grey in 0..1 is kept as 8 bits")
        values = values * 255
    elif image.mode.startswith("I;16") or values.max() > 255 or values.min() < 0:
        notices.append("16-bit grey is kept as 8 bits: the upper half of every value")
        values = values / 257
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _is_deep(image: Image.Image) -> bool:
    """Whether a file held 16 bits a channel, of which Pillow kept eight."""
    return any("16" in str(argument) for entry in getattr(image, "tile", []) for argument in entry[3:])
