"""What is kept of the pictures that people have, and what is said about the rest."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from aez.codec.container.deflate import METADATA_MAX
from aez.codec.container.image_header import EXIF, ICC, XMP, ImageHeader
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.decoded import Decoded, as_shown
from aez.codec.image.pillow import Choices, Picture, read_image, take_apart, take_plain
from aez.codec.pixels.colour import of_profile
from aez.codec.pixels.exif import PREFIX
from aez.codec.pixels.strip import parse_strip
from tests.kit.tiny_pictures import photo

RGB = photo(20, 30)
ID = bytes(8)
GREY = RGB[:, :, 1]
ALPHA_PLANE = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
RGB_IMAGE = Image.fromarray(RGB)
ICC_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP_PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa4</a></x:xmpmeta>'


def exif_bytes(orientation: int | None = 6) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    if orientation is not None:
        exif[0x0112] = orientation
    return exif.tobytes()


def restored(picture: Picture) -> Image.Image:
    """What is put together of a picture that was taken apart."""
    return Decoded(picture.header(0, ID, 64), picture.pixels, picture.alpha, picture.metadata).image


def saved(image: Image.Image, picture_format: str, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    buffer.seek(0)
    return buffer


def apart(image: Image.Image, picture_format: str, **options: Any) -> Picture:
    """What is taken out of a file of the picture, whether it was loaded before or not."""
    file = saved(image, picture_format, **options)
    read, opened = take_apart(read_image(file)), take_apart(Image.open(io.BytesIO(file.getvalue())))
    assert read.notices == opened.notices
    assert read.metadata == opened.metadata
    np.testing.assert_array_equal(read.pixels, opened.pixels)
    return read


def png(width: int, height: int, colour: int, depth: int, rows: NDArray[Any], **chunks: bytes) -> io.BytesIO:
    """A PNG of a colour type and depth that Pillow does not write; `chunks` stand before the pixels."""

    def chunk(letters: str, data: bytes) -> bytes:
        body = letters.encode() + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    head = chunk("IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    extra = b"".join(chunk(letters, data) for letters, data in chunks.items())
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + head + extra + chunk("IDAT", zlib.compress(lines)) + chunk("IEND", b""))


# -- modes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [RGB, GREY, GREY[:, :, None], np.dstack((RGB, ALPHA_PLANE))[:, :, :4]])
def test_arrays(array: NDArray[np.uint8]) -> None:
    picture = take_apart(array, Choices(keep_hidden=True))
    channels = 1 if array.ndim == 2 else array.shape[2]
    assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    expected = np.repeat(GREY[:, :, None], 3, axis=2) if channels == 1 else RGB
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.notices == []


def test_an_array_of_grey_and_alpha() -> None:
    picture = take_apart(np.dstack((GREY, ALPHA_PLANE)))
    assert picture.mode == "LA"
    np.testing.assert_array_equal(picture.alpha, ALPHA_PLANE)


def test_arrays_that_are_views() -> None:
    np.testing.assert_array_equal(take_apart(RGB[::-1, ::2]).pixels, RGB[::-1, ::2])


@pytest.mark.parametrize(
    "array",
    [
        RGB.astype(np.int64),
        np.dstack((RGB, ALPHA_PLANE)).astype(np.float32),
        RGB.astype(bool),
        RGB[:, :, None],
        RGB[0, 0],
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 0), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures(array: NDArray[Any]) -> None:
    with pytest.raises(InvalidArgument, match="pixels"):
        take_apart(array)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_modes_that_are_kept_as_they_are(mode: str) -> None:
    image = Image.merge("RGBA", (*RGB_IMAGE.split(), Image.fromarray(ALPHA_PLANE))).convert(mode)
    picture = take_apart(image, Choices(keep_hidden=True))
    assert picture.mode == mode
    assert picture.notices == []
    again = restored(picture)
    assert again.mode == mode
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))


def test_black_and_white() -> None:
    image = Image.fromarray(GREY > 100)
    assert image.mode == "1"
    picture = take_apart(image)
    assert picture.mode == "L"
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.where(GREY > 100, 255, 0))


def test_a_palette() -> None:
    image = RGB_IMAGE.quantize(16)
    picture = apart(image, "PNG")
    assert (picture.mode, picture.alpha, picture.notices) == ("RGB", None, [])
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("transparency", [3, bytes([0, 128, 255, 7])])
def test_a_palette_with_transparency(transparency: int | bytes) -> None:
    image = RGB_IMAGE.quantize(16)
    picture = apart(image, "PNG", transparency=transparency)
    levels = np.full(256, 255, np.uint8)
    if isinstance(transparency, int):
        levels[transparency] = 0
    else:
        levels[:4] = list(transparency)
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(picture.alpha, levels[np.asarray(image)])


def test_a_palette_of_colours_with_alpha() -> None:
    image = Image.fromarray(np.dstack((RGB, ALPHA_PLANE))).quantize(16)
    assert image.mode == "P"
    picture = take_apart(image)
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(picture.alpha, np.asarray(image.convert("RGBA"))[:, :, 3])


@pytest.mark.parametrize(("mode", "transparent"), [("L", 0), ("RGB", (0, 0, 0)), ("1", 0)])
def test_one_transparent_colour(mode: str, transparent: Any) -> None:
    image = Image.fromarray(np.where(RGB > 90, RGB, 0)).convert(mode)
    picture = apart(image, "PNG", transparency=transparent)
    hidden = np.asarray(image.convert("RGB")).max(axis=2) == 0
    assert hidden.any()
    assert picture.mode == ("RGBA" if mode == "RGB" else "LA")
    np.testing.assert_array_equal(picture.alpha, np.where(hidden, 0, 255))


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha(mode: str) -> None:
    plain = Image.fromarray(np.dstack((RGB, ALPHA_PLANE))).convert(mode.upper())
    picture = take_apart(plain.convert(mode))
    assert picture.mode == mode.upper()
    np.testing.assert_array_equal(picture.alpha, ALPHA_PLANE)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bit_grey(mode: str) -> None:
    values = np.array([[0, 127, 128, 129, 257, 65535, 65406]], np.uint16)
    image = Image.frombytes(mode, (7, 1), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    deep = take_apart(image)
    assert (deep.mode, deep.bits, deep.notices) == ("L", 16, [])
    np.testing.assert_array_equal(deep.pixels[:, :, 0], values)
    picture = take_plain(image)
    assert picture.mode == "L"
    assert picture.pixels[0, :, 0].tolist() == [0, 0, 0, 1, 1, 255, 254]
    assert picture.notices == ["16-bit grey is kept as 8 bits: the upper half of every value"]


@pytest.mark.parametrize(
    ("mode", "values", "expected", "notice"),
    [
        ("I", [0, 5, 255], [0, 5, 255], None),
        ("I", [0, 257, 65535], [0, 1, 255], "16-bit grey"),
        ("I", [-5, 100, 70000], [0, 0, 255], "values outside 0..65535 are cut off"),
        ("F", [0, 0.5, 1], [0, 128, 255], "floating-point grey in 0..1"),
        ("F", [0, 5.4, 255], [0, 5, 255], "floating-point grey in 0..255"),
        ("F", [0, 25700, 65535], [0, 100, 255], "16-bit grey"),
    ],
)
def test_deep_grey(mode: str, values: list[float], expected: list[int], notice: str | None) -> None:
    picture = take_plain(Image.fromarray(np.array([values], np.int32 if mode == "I" else np.float32)))
    assert picture.mode == "L"
    assert picture.pixels[0, :, 0].tolist() == expected
    assert len(picture.notices) == (notice is not None)
    assert notice is None or notice in picture.notices[0]


def test_a_dark_16_bit_pgm_stays_dark() -> None:
    picture = take_plain(read_image(io.BytesIO(b"P5 2 1 65535\n" + struct.pack(">HH", 200, 100))))
    assert picture.pixels.max() == 1
    assert "16-bit grey" in picture.notices[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floating_point_pixels_that_are_no_numbers(value: float) -> None:
    with pytest.raises(UnsupportedInput, match="NaN or infinite"):
        take_apart(Image.fromarray(np.array([[0, value]], np.float32)))
    with pytest.raises(UnsupportedInput, match="NaN or infinite"):
        take_plain(Image.fromarray(np.array([[0, value]], np.float32)))


@pytest.mark.parametrize(("colour", "channels", "mode"), [(2, 3, "RGB"), (4, 2, "RGBA"), (6, 4, "RGBA")])
@pytest.mark.parametrize("load_first", [True, False])
def test_16_bit_colour_is_noticed(colour: int, channels: int, mode: str, load_first: bool) -> None:
    file = png(5, 4, colour, 16, np.full((4, 5 * channels), 0x7235, ">u2"))
    picture = take_plain(read_image(file) if load_first else Image.open(file))
    assert picture.mode == mode
    assert picture.notices == ["16-bit colour is kept as 8 bits a channel"]
    file.seek(0)
    deep = take_apart(read_image(file) if load_first else Image.open(file))
    assert (deep.mode, deep.bits, deep.notices) == ({4: "LA"}.get(colour, mode), 16, [])
    assert (deep.pixels == 0x7235).all()
    assert deep.alpha is None or (deep.alpha == 0x7235).all()


def test_16_bit_colour_with_a_transparent_one() -> None:
    rows = np.full((4, 15), 0x7213, ">u2")
    rows[1, 3:6] = 0
    rows[2, 3:6] = 3  # of which Pillow sees no difference to 0
    picture = take_apart(read_image(png(5, 4, 2, 16, rows, tRNS=bytes(6))))
    assert (picture.mode, picture.bits, picture.notices) == ("RGBA", 16, [])
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[1, 1]]


@pytest.mark.parametrize("maxval", [255, 1023, 65535])
def test_colour_of_a_deep_ppm_is_noticed(maxval: int) -> None:
    size = 1 if maxval == 255 else 2
    file = io.BytesIO(b"P6 2 1 %d\n" % maxval + bytes(6 * size))
    assert take_apart(read_image(file)).bits == {255: 8, 1023: 10, 65535: 8}[maxval]  # black has 8 of 16
    file.seek(0)
    picture = take_plain(read_image(file))
    assert picture.notices == ([] if maxval == 255 else ["16-bit colour is kept as 8 bits a channel"])


def test_16_bit_grey_with_a_transparent_value() -> None:
    file = png(2, 1, 0, 16, np.array([[0, 0x7235]], ">u2"), tRNS=bytes(2))
    deep = take_apart(read_image(file))
    assert (deep.mode, deep.bits, deep.notices) == ("LA", 16, [])
    np.testing.assert_array_equal(deep.alpha, [[0, 255]])
    file.seek(0)
    picture = take_plain(read_image(file))
    assert picture.mode == "L"
    assert any("transparent value" in notice for notice in picture.notices)


def test_8_bit_files_raise_no_alarm() -> None:
    # A bitmap's line of 1600 bytes and a TIFF's tile arguments are no sign of 16 bits.
    wide = Image.fromarray(photo(4, 400))
    for picture_format in ("BMP", "TIFF", "PNG", "JPEG", "PPM", "TGA"):
        assert apart(wide.crop((0, 0, 400, 4)), picture_format).notices == []


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "RGBX"])
def test_other_colour_spaces_are_converted(mode: str) -> None:
    source = RGB_IMAGE if mode != "LAB" else Image.merge("LAB", RGB_IMAGE.split())
    image = source if mode == "LAB" else source.convert(mode)
    picture = take_apart(image)
    assert picture.mode == "RGB"
    assert picture.notices == [f"{mode} is converted to RGB"]
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_the_profile_of_another_colour_space_is_left_out() -> None:
    image = RGB_IMAGE.convert("CMYK")
    picture = apart(image, "JPEG", icc_profile=b"a profile for ink", exif=exif_bytes())
    assert set(picture.metadata) == {EXIF}
    assert picture.notices == ["CMYK is converted to RGB, and its colour profile is left out"]


def test_a_picture_of_nothing() -> None:
    with pytest.raises(UnsupportedInput, match="0x3"):
        take_apart(Image.new("RGB", (0, 3)))


# -- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_metadata_travels_unchanged(picture_format: str) -> None:
    options: dict[str, Any] = {"exif": exif_bytes(), "icc_profile": ICC_PROFILE}
    if picture_format == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP_PACKET.decode())
    else:
        options["xmp"] = XMP_PACKET
    if picture_format == "AVIF":
        options["exif"] = exif_bytes(orientation=None)  # an AVIF is turned by a property of its own
    picture = apart(RGB_IMAGE, picture_format, **options)
    assert ICC not in picture.metadata  # it is sRGB, which three bytes of the header say
    assert picture.meta.colour.cicp == (1, 13, 1)
    assert picture.metadata[XMP] == XMP_PACKET
    given, found = Image.Exif(), Image.Exif()
    given.load(options["exif"])
    found.load(picture.metadata[EXIF])
    assert picture.meta.orientation == given.get(0x0112, 1)
    assert {**found, 0x0112: given.get(0x0112, 1)} == {0x0112: 1, **given}
    assert picture.notices == []

    again = restored(picture)
    assert of_profile(again.info["icc_profile"]).cicp == (1, 13, 1)
    assert again.info["xmp"] == XMP_PACKET
    assert again.getexif().get(0x0112, 1) == given.get(0x0112, 1)
    assert again.getexif()[0x010E] == "a picture"


def test_the_bytes_of_a_jpeg_are_those_of_its_segments() -> None:
    picture = apart(RGB_IMAGE, "JPEG", exif=exif_bytes(), xmp=XMP_PACKET)
    assert picture.metadata == {EXIF: exif_bytes(1).removeprefix(PREFIX), XMP: XMP_PACKET}
    assert restored(picture).info["exif"] == exif_bytes()


def test_an_orientation_is_kept_and_not_applied() -> None:
    picture = apart(RGB_IMAGE, "JPEG", exif=exif_bytes(6))
    assert picture.pixels.shape == RGB.shape
    assert picture.meta.orientation == 6


def test_metadata_can_be_left_out() -> None:
    image = Image.open(saved(RGB_IMAGE, "JPEG", exif=exif_bytes(), icc_profile=ICC_PROFILE, xmp=XMP_PACKET))
    stripped = take_apart(image, Choices(strip=parse_strip("all")))
    assert (stripped.metadata, stripped.meta.orientation, stripped.meta.colour.cicp) == ({}, 6, None)


def test_exif_that_was_set_on_the_picture() -> None:
    image = RGB_IMAGE.copy()
    image.getexif()[0x0112] = 3
    assert take_apart(image).meta.orientation == 3


@pytest.mark.parametrize("content", ["<x/>", bytearray(b"<x/>"), b"<x/>"])
def test_kinds_of_metadata_that_programs_set(content: Any) -> None:
    image = RGB_IMAGE.copy()
    image.info["xmp"] = content
    exif = Image.Exif()
    exif[0x0112] = 8
    image.info["exif"] = exif
    assert take_apart(image).metadata == {XMP: b"<x/>"}
    assert take_apart(image).meta.orientation == 8


def test_metadata_that_is_too_large() -> None:
    image = RGB_IMAGE.copy()
    image.info["icc_profile"] = image.info["xmp"] = bytes(METADATA_MAX + 1)
    picture = take_apart(image)
    assert picture.metadata == {}
    assert picture.notices == [
        f"{name} of {METADATA_MAX + 1} bytes is too large and left out" for name in ("XMP", "ICC profile")
    ]


def test_a_tiff_is_turned_and_keeps_its_exif() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = 6
    turned = apart(RGB_IMAGE, "TIFF", tiffinfo=tags, icc_profile=ICC_PROFILE)
    assert turned.pixels.shape == (30, 20, 3)
    assert (turned.metadata, turned.meta.orientation, turned.meta.colour.cicp) == ({}, 1, (1, 13, 1))
    assert turned.notices == []
    tags[0x8769] = {0x829A: 0.5}  # exposure time, in the EXIF directory
    tags[0x010F] = "maker"
    picture = apart(RGB_IMAGE, "TIFF", tiffinfo=tags)
    assert picture.notices == []
    exif = restored(picture).getexif()
    assert dict(exif.get_ifd(0x8769)) == {0x829A: 0.5}
    assert (exif[0x010F], exif.get(0x0112, 1)) == ("maker", 1)


def test_damaged_exif_does_not_stop_a_picture() -> None:
    picture = take_apart(read_image(saved(RGB_IMAGE, "JPEG", exif=b"Exif\0\0II*\0 nonsense")))
    assert picture.metadata[EXIF] == b"II*\0 nonsense"
    picture = take_apart(read_image(saved(RGB_IMAGE, "JPEG", exif=b"Exif\0\0nonsense")))
    assert (picture.metadata, picture.notices) == ({}, ["its EXIF is damaged and left out"])


# -- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_frames(picture_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    options: dict[str, Any] = {"lossless": True} if picture_format == "WEBP" else {}
    picture = apart(frames[0], picture_format, save_all=True, append_images=frames[1:], **options)
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    assert picture.notices == ["only the first of 3 frames is kept"]


def test_a_later_frame_that_the_caller_chose() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    image = Image.open(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    image.seek(1)
    picture = take_apart(image)
    assert picture.pixels[0, 0].tolist() == [0, 255, 0]
    assert picture.notices == ["only number 2 of 3 frames is kept"]


# -- files that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n", b"GIF89a", bytes(1000)])
def test_input_that_is_no_picture(data: bytes) -> None:
    with pytest.raises(UnsupportedInput, match="holiday") as caught:
        read_image(io.BytesIO(data), "holiday")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("picture_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "PPM", "JPEG2000"])
def test_pictures_that_are_cut_off_or_flipped_end_in_one_error(picture_format: str) -> None:
    whole = saved(RGB_IMAGE, picture_format).getvalue()
    rng = np.random.default_rng(3)
    for _ in range(60):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.5 else whole)
        if data:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            picture = take_apart(read_image(io.BytesIO(bytes(data))))
        except UnsupportedInput:
            continue
        assert picture.pixels.ndim == 3


def test_a_picture_that_turns_out_damaged_when_it_is_loaded() -> None:
    image = Image.open(io.BytesIO(saved(RGB_IMAGE, "PNG").getvalue()[:300]))
    with pytest.raises(UnsupportedInput, match="the picture"):
        take_apart(image)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="does not exist"):
        read_image(str(tmp_path / "none.png"), "none.png")
    with pytest.raises(UnsupportedInput, match="cannot be read"):
        read_image(str(tmp_path), "a folder")


def test_a_picture_above_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnsupportedInput, match="too large"):
        read_image(saved(RGB_IMAGE, "PNG"))


# -- grey and alpha ---------------------------------------------------------------------------------------------------


def test_grey_is_the_rounded_mean() -> None:
    pixels = np.array([[[0, 0, 1], [0, 1, 1], [255, 255, 255], [10, 11, 13]]], np.uint8)
    assert Decoded(ImageHeader(4, 1, "L", 0, ID), pixels).values.tolist() == [[0, 1, 255, 11]]
    assert as_shown(pixels, "L").tolist() == [[[0] * 3, [1] * 3, [255] * 3, [11] * 3]]
    np.testing.assert_array_equal(as_shown(pixels, "RGBA"), pixels)
