"""What files hold beside the picture that is read: never lost without a word."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from aez.codec.errors import UnsupportedInput
from aez.codec.image.pillow import read_image, take_apart

RGB = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40)


def tiff(tags: dict[int, tuple[int, Any]], *others: Image.Image) -> bytes:
    """A TIFF with these tags, of (type, value), in its first directory, and other pictures behind it."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, (kind, value) in tags.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    buffer = io.BytesIO()
    RGB.save(buffer, "TIFF", tiffinfo=directory, save_all=bool(others), append_images=others)
    return buffer.getvalue()


def jpeg(behind: bytes = b"", **options: Any) -> bytes:
    buffer = io.BytesIO()
    RGB.save(buffer, "JPEG", **options)
    return buffer.getvalue() + behind


def saved(image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    RGB.save(buffer, image_format, **options)
    return buffer.getvalue()


def psd(layers: int) -> bytes:
    """A picture of 2 x 1 grey pixels, of empty layers."""
    layer = struct.pack(">4iH", 0, 0, 0, 0, 0) + b"8BIMnorm" + bytes(4) + struct.pack(">I", 12) + bytes(12)
    info = struct.pack(">h", layers) + layer * layers
    section = struct.pack(">I", len(info)) + info
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 1, 2, 8, 1)
    return head + bytes(8) + struct.pack(">I", len(section)) + section + b"\0\0" + b"\x10\x20"


def notices(data: bytes) -> list[str]:
    return take_apart(read_image(io.BytesIO(data))).notices


PREVIEWS = {
    "DNG": (tiff({254: (4, 1), 50706: (1, b"\1\4\0\0")}), "a camera's raw picture"),
    "NEF": (tiff({254: (4, 1), 330: (4, (8, 8))}), "a camera's raw picture"),
    "pages behind a small one": (tiff({254: (4, 1)}, RGB.resize((80, 60))), "another picture in the file"),
}


@pytest.mark.parametrize("name", PREVIEWS)
def test_a_preview_is_not_taken_for_the_photograph(name: str) -> None:
    data, of = PREVIEWS[name]
    with pytest.raises(UnsupportedInput, match=f"a preview of {of}, 40x30 pixels"):
        take_apart(read_image(io.BytesIO(data)))
    with pytest.raises(UnsupportedInput, match="a preview of"):
        take_apart(Image.open(io.BytesIO(data)))


def test_canons_raw_files_by_their_begin() -> None:
    data = tiff({})
    # The directory where Pillow put it, with Canon's mark in front of it.
    first = struct.unpack_from("<I", data, 4)[0]
    assert first == 8
    moved = data[:4] + struct.pack("<I", len(data)) + b"CR\x02\0" + data[12:] + data[8:]
    with pytest.raises(UnsupportedInput, match="a camera's raw picture"):
        take_apart(read_image(io.BytesIO(moved)))


def test_one_picture_that_calls_itself_small_is_whole() -> None:
    assert notices(tiff({254: (4, 1)})) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tiff({33550: (12, (1.0, 1.0, 0.0)), 42113: (2, "-9999")}), "its place on the map (GeoTIFF), the value that"),
        (tiff({37724: (7, b"Adobe Photoshop Document Data Block\0")}), "its layers (Photoshop)"),
        (jpeg(FILM), "the film behind it (motion photo)"),
        (jpeg(xmp=b'<rdf:Description hdrgm:Version="1.0"/>'), "its gain map (Ultra HDR)"),
        (psd(3), "its 3 layers are kept as what they show together"),
        (jpeg(b"PK\3\4" + bytes(20), progressive=True), "not kept: the 24 bytes behind it"),
        (jpeg(b"x" * 5000 + b"SEFT"), "not kept: the 5,004 bytes behind it"),
        (saved("PNG") + b"PK\3\4", "not kept: the 4 bytes behind it"),
        (saved("ICO", sizes=[(16, 16), (24, 24), (30, 30)]), "not kept: its other "),
    ],
)
def test_what_is_left_is_said(data: bytes, expected: str) -> None:
    (said,) = notices(data)
    assert expected in said


#: EXIF with the end of a JPEG in it, as that of a thumbnail.
THUMBNAIL = Image.Exif()
THUMBNAIL[0x927C] = b"\xff\xd8\xff\xd9PK"


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg(b"\0" * 100),
        jpeg(b"time zone" + b"SEFT"),
        jpeg(exif=THUMBNAIL, progressive=True),
        tiff({270: (2, "a page")}),
        psd(1),
        saved("ICO", sizes=[(16, 16)]),
    ],
)
def test_plain_files_say_nothing(data: bytes) -> None:
    assert notices(data) == []
