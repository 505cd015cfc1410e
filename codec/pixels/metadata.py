"""What Pillow's pictures hold besides samples: EXIF, XMP, orientation, colour, resolution; with a notice for losses."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from aez.codec.container.deflate import METADATA_MAX
from aez.codec.container.image_header import COLORIMETRY, EXIF, ICC, RESOLUTION_MAX, XMP, ImageHeader
from aez.codec.pixels.colour import SRGB, Colour, check_numbers, of_png_numbers, of_profile
from aez.codec.pixels.exif import PREFIX, bare_block, orientation_of, with_orientation, without_gps
from aez.codec.pixels.facts import Facts, is_as_stored
from aez.codec.pixels.icc import space_of
from aez.codec.pixels.strip import WORDS, xmp_without_gps

__all__ = ["PER_INCH", "Metadata", "check_profile", "colour_of", "read_metadata", "restore_info"]

_ORIENTATION, _PIXEL_WIDTH, _PIXEL_HEIGHT, _EXIF_DIRECTORY = 274, 0xA002, 0xA003, 0x8769
_DIRECTORIES = (_EXIF_DIRECTORY, 0x8825)  # EXIF, GPS
#: Orientations that exchange width and height.
_SIDEWAYS = (5, 6, 7, 8)
#: Keys of texts in PNG that are kept otherwise, or that programs write without being asked.
_TEXTS_OF_PROGRAMS = ("XML:com.adobe.xmp", "Raw profile type", "Software", "date:", "Creation Time", "exif:", "png:")
#: What programs set in `info`; what a file leaves there has more.
_SET_BY_HAND = {"exif", "icc_profile", "xmp"}
#: Sides whose ratio differs by less are those of one picture, reduced.
_RATIO_NEAR = 0.05
#: Pixels on 100 metres, of one dot per inch.
PER_INCH = 100 / 0.0254
#: Spaces of profiles by what the samples are.
_GREY_SPACE, _RGB_SPACE = "GRAY", "RGB "


@dataclass
class Metadata:
    """`chunks` by letter: EXIF without orientation, XMP, ICC profile or colorimetry; the rest goes in the header.

    `resolution` counts pixels on 100 metres, across and down. `profile` is the ICC profile as it came, valid or not.
    """

    chunks: dict[str, bytes] = field(default_factory=dict)
    orientation: int = 1
    colour: Colour = field(default_factory=Colour)
    resolution: tuple[int, int] | None = None
    profile: bytes | None = None

    def take_colour(self, colour: Colour) -> None:
        """Say in the file what the samples' colours are."""
        self.colour = colour
        for letter, content in ((ICC, colour.icc), (COLORIMETRY, colour.numbers)):
            self.chunks.pop(letter, None)
            if content is not None:
                self.chunks[letter] = content

    def drop_profile(self) -> None:
        """Forget the profile, of samples that are converted."""
        self.profile = None
        self.take_colour(Colour())


def read_metadata(
    image: Image.Image,
    facts: Facts,
    given: Mapping[str, Any],
    strip: Collection[str],
    orientation: int | None,
    notices: list[str],
) -> Metadata:
    """Metadata of a picture, to be called once it is loaded; colours are stripped by the caller, who converts them.

    `given` holds `exif`, `icc_profile` and `xmp` in place of what the picture's `info` has (empty: left out),
    `orientation` one in place of EXIF's.
    """
    info: dict[Any, Any] = dict(image.info) | dict(given)
    found = Metadata()
    block, said = _exif_block(image, facts, info, "exif" in given, orientation is not None, notices)
    found.orientation = said if orientation is None else orientation
    if "gps" in strip and block:
        cleaned = without_gps(block)
        if cleaned is None:
            notices.append("its damaged EXIF is left out whole, as nobody can tell where GPS is in it")
        block = cleaned or b""
    _add(found, EXIF, "EXIF", b"" if "exif" in strip else with_orientation(block, 1), notices)
    xmp = _as_bytes(info.get("xmp"))
    if "gps" in strip and xmp and b":GPS" in xmp:
        cleaned = xmp_without_gps(xmp)
        if cleaned is None:
            notices.append("its XMP is left out whole, as positions cannot be told apart in it")
        xmp = cleaned or b""
    _add(found, XMP, "XMP", b"" if "xmp" in strip else xmp, notices)
    found.profile = _as_bytes(info.get("icc_profile")) or None
    if found.profile is not None and len(found.profile) > METADATA_MAX:
        notices.append(f"ICC profile of {len(found.profile)} bytes is too large and left out")
        found.profile = None
    found.take_colour(_colour(info, facts, found.profile, "icc_profile" in given))
    if "dpi" not in strip:
        found.resolution = _resolution(info.get("dpi"))
    if not set(strip) >= set(WORDS):
        _note_texts(image, notices)
    return found


def _note_texts(image: Image.Image, notices: list[str]) -> None:
    """Say which words in the file have no place here; what programs write of themselves is none that anybody misses."""
    texts = [str(key) for key, value in image.info.items() if image.format == "PNG" and isinstance(value, str)]
    named = sorted(key for key in texts if not key.startswith(_TEXTS_OF_PROGRAMS))
    if image.info.get("comment"):
        named.append("comment")
    if image.info.get("photoshop"):
        named.append("IPTC")
    if named:
        notices.append(f"words beside the picture are left out: {', '.join(named)}")


def _add(found: Metadata, letter: str, name: str, content: bytes, notices: list[str]) -> None:
    if len(content) > METADATA_MAX:
        notices.append(f"{name} of {len(content)} bytes is too large and left out")
    elif content:
        found.chunks[letter] = content


def _as_bytes(content: Any) -> bytes:
    if isinstance(content, Image.Exif):
        return content.tobytes()
    return content.encode() if isinstance(content, str) else bytes(content or b"")


# -- EXIF and orientation ---------------------------------------------------------------------------------------------


def _exif_block(
    image: Image.Image, facts: Facts, info: Mapping[str, Any], is_given: bool, is_sure: bool, notices: list[str]
) -> tuple[bytes, int]:
    """(TIFF block, orientation of the stored pixels), which is taken as it stands where `is_sure`."""
    stored = info.get("exif")
    content = _as_bytes(stored)
    is_sure = is_sure or is_given or isinstance(stored, Image.Exif)
    if not is_given:
        edited = _edited(image, content)
        if edited is not None:
            is_sure = is_sure or orientation_of(bare_block(edited) or b"") != orientation_of(bare_block(content) or b"")
            content = edited
        elif not content:
            content = facts.exif or _outside_info(image, notices)
    if not content.removeprefix(PREFIX):
        return b"", 1
    block = bare_block(content)
    if block is None:
        notices.append("its EXIF is damaged and left out")
        return b"", 1
    said = orientation_of(block)
    return block, said if is_sure or said == 1 else _judged(image, block, said, notices)


def _judged(image: Image.Image, block: bytes, said: int, notices: list[str]) -> int:
    """The orientation of pixels that may have been turned since their EXIF was read.

    What was made of a file's picture keeps the EXIF, whether the pixels were turned or not; the size that a camera
    wrote there tells, where it does.
    """
    if is_as_stored(image) or not set(image.info) - _SET_BY_HAND:
        return said
    width, height = _camera_size(block)
    if said in _SIDEWAYS and width and height:
        as_stored = _is_near(image.width * height, image.height * width)
        as_shown = _is_near(image.width * width, image.height * height)
        if as_stored != as_shown:
            return said if as_stored else 1
    notices.append(
        f"orientation {said} in its EXIF is set to 1: the picture is not as its file had it any more, and its pixels "
        "count as they are (orientation= says otherwise)"
    )
    return 1


def _is_near(a: int, b: int) -> bool:
    return abs(a - b) <= _RATIO_NEAR * max(a, b)


def _camera_size(block: bytes) -> tuple[int, int]:
    try:
        exif = Image.Exif()
        exif.load(block)
        inner = exif.get_ifd(_EXIF_DIRECTORY)
        return int(inner.get(_PIXEL_WIDTH, 0)), int(inner.get(_PIXEL_HEIGHT, 0))
    except Exception:  # noqa: BLE001 - damaged EXIF tells nothing
        return 0, 0


def _edited(image: Image.Image, stored: bytes) -> bytes | None:
    """What was made of `getexif()` since it was read; None where nothing was, and the stored bytes hold."""
    loaded = getattr(image, "_exif", None)
    if loaded is None or not getattr(loaded, "_loaded", False) or image.format == "TIFF":
        return None
    try:
        fresh = Image.Exif()
        if stored:
            fresh.load(stored)
        tags = _tags(loaded)
        if _tags(fresh) == tags:
            return None
        return loaded.tobytes() if any(tags.values()) else b""
    except Exception:  # noqa: BLE001 - damaged EXIF is kept as it came
        return None


def _tags(exif: Image.Exif) -> dict[str, dict[int, object]]:
    inner = {str(tag): dict(exif.get_ifd(tag)) for tag in _DIRECTORIES}
    return {"0": {tag: value for tag, value in exif.items() if tag not in _DIRECTORIES}, **inner}


def _outside_info(image: Image.Image, notices: list[str]) -> bytes:
    """EXIF that Pillow holds outside `info` (PNG text chunks, XMP's orientation), as far as it can be written."""
    try:
        exif = image.getexif()
        if image.format != "TIFF":
            return exif.tobytes() if len(exif) else b""
    except Exception:  # noqa: BLE001 - damaged EXIF is no reason to refuse the picture
        return b""
    if set(_DIRECTORIES) & set(exif):
        notices.append("EXIF of a TIFF file that was loaded before is left out")
    return b""


# -- colour and resolution --------------------------------------------------------------------------------------------


def _colour(info: Mapping[str, Any], facts: Facts, profile: bytes | None, is_given: bool) -> Colour:
    """What the file says of colours, by the rank that PNG 3 gives it."""
    if facts.cicp is not None and not is_given:
        return Colour(facts.cicp)
    if profile:
        return of_profile(profile)
    if is_given:
        return Colour()
    if "srgb" in info:
        return SRGB
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if gamma or chromaticity:
        return of_png_numbers(float(gamma) if gamma else None, tuple(chromaticity) if chromaticity else None)
    return Colour()


def check_profile(found: Metadata, grey: bool, notices: list[str]) -> None:
    """Take back a profile of samples that the picture does not have; the notice says so."""
    if found.profile is None or not found.colour:
        return
    space = space_of(found.profile)
    wanted = _GREY_SPACE if grey else _RGB_SPACE
    if space in (wanted, None):  # what is none stays as it came
        return
    if grey and space == _RGB_SPACE and found.colour.icc is None:
        notices.append("its colour profile is for RGB and the picture is grey: its curve is kept")
    else:
        mode = "grey" if grey else "RGB"
        notices.append(f"its colour profile is for {space.strip()} and the picture is {mode}: it is left out")
        found.drop_profile()


def _resolution(dpi: Any) -> tuple[int, int] | None:
    try:
        across, down = (float(value) * PER_INCH for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if (across, down) == (PER_INCH, PER_INCH):  # what Pillow says of a TIFF without a resolution
        return None
    if not all(math.isfinite(value) and 1 <= round(value) <= RESOLUTION_MAX for value in (across, down)):
        return None
    return round(across), round(down)


def restore_info(info: dict[Any, Any], header: ImageHeader, chunks: Mapping[str, bytes]) -> None:
    """Metadata as Pillow has it in `info`: EXIF with its prefix and the orientation, a profile, XMP, dots per inch."""
    block = with_orientation(bare_block(chunks.get(EXIF, b"")) or b"", header.orientation)
    if block:
        info["exif"] = PREFIX + block
    profile = colour_of(header, chunks).profile(header.mode in ("L", "LA"))
    if profile is not None:
        info["icc_profile"] = profile
    if XMP in chunks:
        info["xmp"] = chunks[XMP]
    if header.resolution is not None:
        across, down = header.resolution
        info["dpi"] = (round(across / PER_INCH, 3), round(down / PER_INCH, 3))


def colour_of(header: ImageHeader, chunks: Mapping[str, bytes]) -> Colour:
    """What a file says of its colours."""
    if header.cicp is not None:
        return Colour(header.cicp)
    if ICC in chunks:
        return Colour(icc=chunks[ICC])
    numbers = chunks.get(COLORIMETRY, b"")
    return Colour(numbers=numbers) if check_numbers(numbers) else Colour()
