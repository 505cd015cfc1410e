"""What a file holds beside the picture that is read of it, or that the picture only stands for.

A camera's raw file is a TIFF whose first picture is a preview; taken for the whole, the photograph would be lost. A
phone puts a film or a gain map into a JPEG, a survey the place on the map into a TIFF: readers pass over them.
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
_JPEG_END = b"\xff\xd9"
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
    return tuple(_beside_jpeg(image, file)) if image.format in ("JPEG", "MPO") else ()


def _beside_jpeg(image: Image.Image, file: IO[bytes]) -> Iterator[str]:
    # Of several pictures in a file Pillow tells the number, but not where the second is a gain map.
    if image.format == "JPEG" and any(_GAIN_MAP in content for _, content in getattr(image, "applist", [])):
        yield "its gain map (Ultra HDR)"
    file.seek(0)
    data = file.read()
    end = data.find(_JPEG_END)
    if end >= 0 and _FILM.search(data, end):
        yield "the film behind it (motion photo)"
