"""Decoded pictures as files: which format, with which options, and the metadata that it can hold."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aez.codec.errors import InvalidArgument
from aez.inputs import LeftOut

if TYPE_CHECKING:
    from PIL import Image

    from aez.codec.image.decoded import Decoded

METADATA = ("exif", "icc_profile", "xmp")
#: Formats whose writers in Pillow take all of the metadata; the others take none of it.
TAKE_METADATA = frozenset({"AVIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP"})
#: Formats without alpha, or whose writers in Pillow drop it.
_NO_ALPHA = frozenset({"JPEG", "MPO", "PPM"})
#: Formats of which Pillow writes 16-bit grey.
_DEEP_GREY = frozenset({"JPEG2000", "PPM"})
#: Lossy formats are written finely: what they lose comes on top of what the codec lost.
LOSSY_QUALITY = 95
_GIF_COLOURS = 256
#: Bytes of EXIF, or of XMP, in a JPEG file, where a segment must hold it.
_JPEG_SEGMENT = {"exif": 65533, "xmp": 65504}
_TIFF_XMP, _TIFF_ICC = 700, 34675  # tags
#: EXIF tags that describe a picture. The others in a TIFF's directory say how its pixels are stored, and a camera's
#: EXIF may hold them for the file that it wrote: description, make, model, orientation, resolution, software, date,
#: artist, IPTC, copyright, the EXIF and GPS directories, and the title to the subject as Windows stores them.
_TIFF_DESCRIPTIVE = frozenset(
    {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, 33723, 34665, 34853, 40091, 40092, 40093, 40094, 40095}
)
Background = tuple[int, int, int]


def find_format(suffix: str) -> str:
    """Pillow's name of the format with a suffix such as `.png`. Raises InvalidArgument."""
    from PIL import Image

    Image.preinit()  # the usual formats; all of them take much longer
    name = Image.EXTENSION.get(suffix.lower()) or Image.registered_extensions().get(suffix.lower())
    if name is None or name not in Image.SAVE:
        shown = suffix or "a file without suffix"
        raise InvalidArgument(f"pictures cannot be written as {shown}; use .png, .webp, .tiff or .jpg, or --format")
    return name


def picture_bytes(image: Image.Image, picture_format: str) -> bytes:
    """A picture file with the metadata of `image.info`, as far as the format takes it. Raises InvalidArgument."""
    return _written(image, picture_format, [], [])


def decoded_bytes(
    decoded: Decoded, picture_format: str, background: Background | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """A file of a decoded picture, and what the format does not hold of it, a sentence each.

    Metadata goes along as far as the format takes it; where it does not take the orientation, the pixels are turned.
    Raises InvalidArgument.
    """
    from PIL import ImageOps

    from aez.codec.pixels.alpha import over_background

    notices: list[str] = []
    image = decoded.image
    if background is None and picture_format in ("PNG", "TIFF") and decoded.values.dtype.itemsize > 1:
        return _deep_bytes(decoded, picture_format, notices), tuple(notices)
    if decoded.values.dtype.itemsize > 1 and not (image.mode == "I;16" and picture_format in _DEEP_GREY):
        notices.append(f"{picture_format} is written with 8 of its {decoded.header.bits} bits a channel")
        image = decoded.image_of_8_bits
    if image.mode in ("LA", "RGBA") and background is not None:
        image = over_background(image, background)
    elif image.mode in ("LA", "RGBA") and picture_format in _NO_ALPHA:
        raise InvalidArgument(
            f"{picture_format} cannot hold this picture of mode {image.mode}; give --background, or use png or tiff"
        )
    if picture_format not in TAKE_METADATA:
        image = ImageOps.exif_transpose(image)
        if not image.getexif():
            image.info.pop("exif", None)  # it said the orientation alone
        lost = [key for key in METADATA if image.info.get(key)]
        notices += [f"{picture_format} does not take {', '.join(lost)}"] if lost else []
    return _written(image, picture_format, _png_colour(decoded), notices), tuple(notices)


def _written(
    image: Image.Image, picture_format: str, png_chunks: list[tuple[bytes, bytes]], notices: list[str]
) -> bytes:
    buffer = io.BytesIO()
    try:
        image.save(buffer, picture_format, **_save_options(image, picture_format, png_chunks, notices))
    except (OSError, ValueError, KeyError) as error:  # what Pillow's writers raise for modes and sizes they do not take
        raise InvalidArgument(
            f"{picture_format} cannot hold this picture of mode {image.mode} ({error}); use png or tiff"
        ) from error
    _note_less(image, picture_format, buffer, notices)
    return buffer.getvalue()


def _note_less(image: Image.Image, picture_format: str, written: io.BytesIO, notices: list[str]) -> None:
    """Say where a writer takes fewer colours or pixels than there are: GIF has a palette, an icon its largest size."""
    if picture_format == "GIF" and image.mode != "P" and image.getcolors(_GIF_COLOURS) is None:
        notices.append(f"GIF is written with {_GIF_COLOURS} of its colours and without half-transparent pixels")
    if picture_format in ("ICO", "ICNS"):
        from PIL import Image

        with Image.open(written) as icon:
            sides = icon.size
        if sides != image.size:
            notices.append(
                "{} is written with {}x{} pixels in place of {}x{}".format(picture_format, *sides, *image.size)
            )


def _save_options(
    image: Image.Image, picture_format: str, png_chunks: list[tuple[bytes, bytes]], notices: list[str]
) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if picture_format in TAKE_METADATA:
        settings = {key: image.info[key] for key in METADATA if image.info.get(key)}
    if "dpi" in image.info:
        settings["dpi"] = image.info["dpi"]
    if picture_format in ("JPEG", "WEBP", "AVIF", "PDF"):
        settings["quality"] = LOSSY_QUALITY
    if picture_format in ("JPEG", "MPO"):
        _fit_segments(settings, picture_format, notices)
    if picture_format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        settings["pnginfo"] = PngInfo()
        for name, content in png_chunks:
            settings["pnginfo"].add(name, content)
        if "xmp" in settings:
            settings["pnginfo"].add_itxt("XML:com.adobe.xmp", settings.pop("xmp").decode("utf-8", "replace"))
    if picture_format == "TIFF":
        settings["exif"] = _tiff_tags(settings.pop("exif", b""), settings.pop("xmp", b""))
    return settings


def _fit_segments(settings: dict[str, Any], picture_format: str, notices: list[str]) -> None:
    """Leave out what a JPEG file has no room for, but not the orientation."""
    from aez.codec.pixels.exif import PREFIX, bare_block, orientation_of, with_orientation

    for key, most in _JPEG_SEGMENT.items():
        content = settings.get(key, b"")
        if len(content) <= most:
            continue
        notices.append(f"{picture_format} does not take {len(content)} bytes of {key}")
        alone = with_orientation(b"", orientation_of(bare_block(content) or b"")) if key == "exif" else b""
        if alone:
            settings[key] = PREFIX + alone
        else:
            del settings[key]


def _png_colour(decoded: Decoded) -> list[tuple[bytes, bytes]]:
    """Chunks that say the colours by code points, or by gamma and chromaticities."""
    from aez.codec.pixels.metadata import colour_of

    colour = colour_of(decoded.header, decoded.metadata)
    if colour.cicp is not None:
        primaries, transfer, full = colour.cicp
        return [(b"cICP", bytes([primaries, transfer, 0, full]))]
    numbers = colour.png_numbers()
    return [] if numbers is None else [(b"gAMA", _big(numbers[0])), (b"cHRM", _big(*numbers[1]))]


def _big(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _deep_bytes(decoded: Decoded, picture_format: str, notices: list[str]) -> bytes:
    """A PNG or TIFF with all bits."""
    import numpy as np

    from aez.codec.pixels.deep_files import png_bytes, tiff_bytes
    from aez.codec.pixels.exif import PREFIX

    info, values, bits = decoded.image.info, decoded.values, decoded.header.bits
    exif, icc, xmp = info.get("exif", b""), info.get("icc_profile", b""), info.get("xmp", b"")
    across, down = info.get("dpi", (0, 0))
    if picture_format == "TIFF":
        tags = {tag: value for tag, value in _tiff_tags(exif, xmp).items() if value is not None}
        if icc:
            tags[_TIFF_ICC] = icc
        if across:
            tags |= {282: across, 283: down, 296: 2}
        return tiff_bytes(values, tags)
    if values.dtype == np.float32:
        low, high = decoded.header.value_range or (0.0, 1.0)
        notices.append(f"PNG has no floating point: 0 and 65535 stand for {low:g} and {high:g}")
        values = decoded.scaled
    chunks = _png_colour(decoded)
    if bits < 16 and decoded.header.value_range is None:
        chunks.append((b"sBIT", bytes([bits] * (1 if values.ndim == 2 else values.shape[2]))))
    if icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if across:
        chunks.append((b"pHYs", _big(round(across / 0.0254), round(down / 0.0254)) + b"\1"))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(PREFIX)))
    if xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    return png_bytes(values, chunks)


def _tiff_tags(exif: bytes, xmp: bytes) -> Image.Exif:
    """What a TIFF's directory takes of the metadata."""
    from PIL import Image

    tags = Image.Exif()
    tags.load(exif)
    for tag in set(tags) - _TIFF_DESCRIPTIVE:
        del tags[tag]
    if xmp:
        tags[_TIFF_XMP] = xmp
    return tags


#: Suffixes of pictures that no reader here knows without a plugin, or at all.
_OTHER_PICTURES = frozenset({".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"})


def judge_picture(path: Path) -> LeftOut | None:
    """None for a picture, by its content; else why it is left out: no picture, or one that cannot be read."""
    from PIL import Image, ImageFile

    from aez.codec.pixels.plugins import load_plugins, unread_format

    if path.suffix.lower() == ".aez":
        return LeftOut(str(path), ".aez already")
    load_plugins()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if not isinstance(image, ImageFile.StubImageFile):
                    return None
    except Image.DecompressionBombError:
        return None  # a picture; that it is too large is said when it is read
    except OSError as error:
        if error.errno is not None:
            return LeftOut(str(path), f"it cannot be read: {error.strerror}", failed=True)
    except Exception as error:  # noqa: BLE001 - whatever a reader stumbles over, it is judged by its suffix below
        if "MAX_TEXT" in str(error):
            return None  # a picture with many words, which its reader names
    with path.open("rb") as file:
        wanted = unread_format(file.read(16))
    if wanted:
        return LeftOut(str(path), f"a picture in {wanted}", failed=True)
    Image.init()
    if path.suffix.lower() in _OTHER_PICTURES or Image.registered_extensions().get(path.suffix.lower()) in Image.OPEN:
        why = "it is called a picture, and cannot be read as one" if path.stat().st_size else "it is empty"
        return LeftOut(str(path), why, failed=True)
    return LeftOut(str(path), "no pictures")
