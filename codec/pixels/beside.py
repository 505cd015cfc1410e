"""What a file holds beside the picture that is read of it, or that the picture only stands for.

A camera's raw file is a TIFF whose first picture is a preview; taken for the whole, the photograph would be lost. A
phone puts a film or a gain map into a JPEG, a survey the place on the map into a TIFF, a program its layers into chunks
of a PNG, an icon has several sizes: readers pass over them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from PIL import Image

__all__ = ["left_beside", "stands_for"]

#: TIFF tags, and the bit of the first that says "a smaller one of another picture in this file".
_SUBFILE_TYPE, _REDUCED, _SUB_DIRECTORIES, _DNG_VERSION = 254, 1, 330, 50706
_CANON_RAW = b"CR\x02"
#: What TIFF tags hold that has no place here: scale, tie points, matrix, keys; GDAL's value; Photoshop's layers.
_TIFF_BESIDE = {
    "its place on the map (GeoTIFF)": (33550, 33922, 34264, 34735),
    "the value that stands for no data (GDAL)": (42113,),
    "its layers (Photoshop)": (37724,),
}
#: A box that begins an MP4 or QuickTime file.
_FILM = re.compile(rb"\0\0\0[\x08-\x40]ftyp(?:mp4|iso|avc|qt  |M4V|MSNV|3gp)")
#: A marker in coded data of a JPEG: neither a stuffed byte nor a restart nor a fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
#: What phones of Samsung put behind every photograph ends so; of so few bytes it is the time zone and the like.
_SAMSUNG_END, _SAMSUNG_SMALL = b"SEFT", 4096
#: PNG chunks that are read or described elsewhere, or say nothing that a viewer would show: the palette's use, the time
#: of the last change, what was behind it in a browser, where ImageMagick and macOS had it in a window or in memory.
_PNG_NAMES = """IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP tEXt zTXt iTXt pHYs eXIf acTL fcTL fdAT
bKGD hIST tIME iDOT CgBI vpAg caNv orNT"""
_PNG_KNOWN = frozenset(re.findall("[A-Za-z]+", _PNG_NAMES))
_GAIN_MAP = b"hdrgm:Version"


def stands_for(image: Image.Image, file: IO[bytes]) -> str:
    """What the opened picture is a preview of, as a sentence goes on behind "a preview of"; empty for a whole one."""
    if image.format != "TIFF" or image.tell():
        return ""
    file.seek(8)
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    if file.read(3) == _CANON_RAW:
        return "a camera's raw picture"
    if not int(tags.get(_SUBFILE_TYPE, 0)) & _REDUCED:
        return ""
    if _DNG_VERSION in tags or _SUB_DIRECTORIES in tags:
        return "a camera's raw picture"
    return "another picture in the file" if getattr(image, "n_frames", 1) > 1 else ""


def left_beside(image: Image.Image, file: IO[bytes]) -> tuple[str, ...]:
    """What is in the file of an opened picture and is not read, each as a sentence says it."""
    if image.format == "TIFF":
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        return tuple(name for name, those in _TIFF_BESIDE.items() if any(tag in tags for tag in those))
    if image.format in ("JPEG", "MPO"):
        return tuple(_beside_jpeg(image, file))
    if image.format == "PNG":
        return tuple(_beside_png(file))
    sizes = image.info.get("sizes", ()) if image.format in ("ICO", "ICNS") else ()
    return (f"its other {len(sizes) - 1} sizes" if len(sizes) > 2 else "its other size",) if len(sizes) > 1 else ()


def _beside_jpeg(image: Image.Image, file: IO[bytes]) -> Iterator[str]:
    # Of several pictures in a file Pillow tells the number, but not where the second is a gain map.
    has_gain_map = any(_GAIN_MAP in content for _, content in getattr(image, "applist", []))
    if image.format == "JPEG" and has_gain_map:
        yield "its gain map (Ultra HDR)"
    file.seek(0)
    data = file.read()
    end = _jpeg_end(data)
    if end is None:
        return
    if _FILM.search(data, end):
        yield "the film behind it (motion photo)"
    elif image.format == "JPEG" and not has_gain_map:
        is_small = len(data) - end < _SAMSUNG_SMALL and data.endswith(_SAMSUNG_END)
        yield from () if is_small else _behind(data[end:])


def _jpeg_end(data: bytes) -> int | None:
    """Where the bytes behind the first picture begin; None where no end is found."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _JPEG_END:
            return at + 2
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _JPEG_SCAN:
            found = _JPEG_MARKER.search(data, at)
            if found is None:
                return None
            at = found.start()
    return at + 2 if data[at : at + 2] == bytes((0xFF, _JPEG_END)) else None


def _beside_png(file: IO[bytes]) -> Iterator[str]:
    file.seek(8)
    others: dict[str, None] = {}
    while len(head := file.read(8)) == 8:
        name = head[4:].decode("latin-1")
        if name not in _PNG_KNOWN:
            others[name] = None
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
        if name == "IEND":
            break
    if others:
        yield f"the chunks {', '.join(others)}"
    yield from _behind(file.read())


def _behind(data: bytes) -> Iterator[str]:
    """What stands behind the end of a picture; zeros say nothing."""
    if data.strip(b"\0"):
        yield f"the {len(data):,} bytes behind it"
