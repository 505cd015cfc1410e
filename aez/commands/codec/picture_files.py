"""Decoded pictures as files: which format, with which options, and the metadata that it can hold."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aez.codec.errors import InvalidArgument
from aez.inputs import LeftOut

if TYPE_CHECKING:
    from PIL import Image

METADATA = ("exif", "icc_profile", "xmp")


#: Formats whose writers in Pillow take all of the metadata; the others take none of it.
TAKE_METADATA = frozenset({"AVIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP"})


#: Lossy formats are written finely: what they lose comes on top of what the codec lost.
LOSSY_QUALITY = 95
_TIFF_XMP = 700  # tag


#: EXIF tags that describe a picture. The others in a TIFF's directory say how its pixels are stored, and a camera's
#: EXIF may hold them for the file that it wrote: description, make, model, orientation, resolution, software, date,
#: artist, IPTC, copyright, the EXIF and GPS directories, and the title to the subject as Windows stores them.
_TIFF_DESCRIPTIVE = frozenset(
    {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, 33723, 34665, 34853, 40091, 40092, 40093, 40094, 40095}
)


def find_format(suffix: str) -> str:
    """Pillow's name of the format with a suffix such as `.png`. Raises InvalidArgument."""
    from PIL import Image

    Image.init()
    name = Image.registered_extensions().get(suffix.lower())
    if name is None or name not in Image.SAVE:
        shown = suffix or "a file without suffix"
        raise InvalidArgument(f"pictures cannot be written as {shown}; use .png, .webp, .tiff or .jpg, or --format")
    return name


def picture_bytes(image: Image.Image, picture_format: str) -> bytes:
    """A picture file with the metadata of `image.info`, as far as the format takes it. Raises InvalidArgument."""
    buffer = io.BytesIO()
    try:
        image.save(buffer, picture_format, **_save_options(image, picture_format))
    except (OSError, ValueError, KeyError) as error:  # what Pillow's writers raise for modes and sizes they do not take
        raise InvalidArgument(
            f"{picture_format} cannot hold this picture of mode {image.mode} ({error}); use png or tiff"
        ) from error
    return buffer.getvalue()


def _save_options(image: Image.Image, picture_format: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if picture_format in TAKE_METADATA:
        settings = {key: image.info[key] for key in METADATA if image.info.get(key)}
    if picture_format in ("JPEG", "WEBP", "AVIF"):
        settings["quality"] = LOSSY_QUALITY
    if picture_format == "PNG" and "xmp" in settings:
        from PIL.PngImagePlugin import PngInfo

        settings["pnginfo"] = PngInfo()
        settings["pnginfo"].add_itxt("XML:com.adobe.xmp", settings.pop("xmp").decode("utf-8", "replace"))
    if picture_format == "TIFF":
        settings["exif"] = _tiff_tags(settings.pop("exif", b""), settings.pop("xmp", b""))
    return settings


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

    from aez.codec.image.plugins import load_plugins, unread_format

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
    except Exception:  # noqa: BLE001 - whatever a reader stumbles over, it is judged by its suffix below
        pass
    with path.open("rb") as file:
        wanted = unread_format(file.read(16))
    if wanted:
        return LeftOut(str(path), f"a picture in {wanted}", failed=True)
    Image.init()
    if path.suffix.lower() in _OTHER_PICTURES or Image.registered_extensions().get(path.suffix.lower()) in Image.OPEN:
        return LeftOut(str(path), "it is called a picture, and cannot be read as one", failed=True)
    return LeftOut(str(path), "no pictures")
