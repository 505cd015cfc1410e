"""Files of pictures as people have them: every mode in every format that takes it, odd sizes, metadata, damage."""

from __future__ import annotations

import functools
import io
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from tests.kit.png_maker import chunk, make_png
from tests.kit.tiny_pictures import photo

MODES = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "I;16",
    "I;16B",
    "F",
    "RGBX",
    "La",
)
FORMATS = (
    *("PNG", "TIFF", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "PPM", "TGA", "ICO", "JPEG2000", "PCX", "SGI", "DDS"),
    *("QOI", "MSP", "SPIDER", "XBM", "ICNS", "MPO", "BLP"),
)
#: Formats that keep every sample of what they take.
LOSSLESS = frozenset({"PNG", "TIFF", "BMP", "DIB", "PPM", "TGA", "PCX", "SGI", "DDS", "QOI", "MSP", "XBM"})
HEIGHT, WIDTH = 24, 32


def in_mode(mode: str) -> Image.Image:
    rgb = Image.fromarray(photo(HEIGHT, WIDTH))
    grey = np.asarray(rgb.convert("L"))
    if mode in ("I;16", "I;16B"):
        values = grey.astype(np.uint16) * 250 + 1
        return Image.frombytes(mode, rgb.size, values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    if mode in ("I", "F"):
        return Image.fromarray(grey.astype(np.int32 if mode == "I" else np.float32) * 3)
    if mode in ("LA", "RGBA", "PA", "La"):
        rgb.putalpha(Image.linear_gradient("L").resize(rgb.size))
        return rgb.convert("LA").convert(mode) if mode in ("PA", "La") else rgb.convert(mode)
    if mode == "LAB":
        return Image.merge("LAB", rgb.split())
    return rgb.convert(mode)


def saved(image: Image.Image, picture_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


@functools.cache
def odd_pictures() -> dict[str, bytes]:
    """Name to bytes."""
    return {**_in_formats(), **_in_sizes(), **_with_options(), **_with_metadata(), **_animated(), **_damaged()}


def _in_formats() -> dict[str, bytes]:
    found = {}
    Image.init()
    for picture_format in FORMATS:
        for mode in MODES if picture_format in Image.SAVE else ():
            try:
                found[f"{mode} {picture_format}"] = saved(in_mode(mode), picture_format)
            except (OSError, ValueError, KeyError, SystemError):
                continue
    return found


def _in_sizes() -> dict[str, bytes]:
    sizes = [(1, 1), (2, 1), (1, 2), (1, 257), (300, 1), (15, 17), (16, 16), (17, 15), (63, 65), (3, 2049)]
    return {
        f"{width}x{height} {picture_format}": saved(Image.fromarray(photo(height, width)), picture_format)
        for width, height in sizes
        for picture_format in ("PNG", "JPEG")
    }


def _with_options() -> dict[str, bytes]:
    rgb, palette = in_mode("RGB"), in_mode("RGB").quantize(16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = photo(HEIGHT, WIDTH).astype(np.uint16) * 250 + 3
    found = {
        "palette, one clear": saved(palette, "PNG", transparency=3),
        "palette, some clear": saved(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "palette, 2 bits": saved(in_mode("RGB").quantize(4), "PNG", bits=2),
        "grey, one clear": saved(in_mode("L"), "PNG", transparency=0),
        "colour, one clear": saved(rgb, "PNG", transparency=(1, 2, 3)),
        "black and white, clear": saved(in_mode("1"), "PNG", transparency=0),
        "16 bits": make_png(deep, 16, 2),
        "16 bits, interlaced": make_png(deep, 16, 2, True),
        "12 bits in 16": make_png(deep[:, :, :1] >> 4, 16, 0),
        "profile of RGB on grey": saved(in_mode("L"), "PNG", icc_profile=profile),
        "profile of RGB on ink": saved(in_mode("CMYK"), "JPEG", icc_profile=profile),
        "profile of RGB on YCbCr": saved(in_mode("YCbCr"), "TIFF", icc_profile=profile),
        "profile on a palette": saved(palette, "PNG", icc_profile=profile),
        "no profile": saved(rgb, "PNG", icc_profile=b"nothing" * 30),
        "progressive": saved(rgb, "JPEG", progressive=True),
        "grey progressive": saved(in_mode("L"), "JPEG", progressive=True),
        "lossless WebP": saved(rgb, "WEBP", lossless=True),
        "big-endian TIFF": _tiff(">", deep[:, :, 0]),
        "little-endian TIFF": _tiff("<", deep[:, :, 0]),
        "deep colour TIFF": _tiff("<", deep),
        "deep big-endian colour TIFF": _tiff(">", deep),
        "plain PGM": b"P2 3 1 255 0 128 255",
        "plain PPM of 16 bits": b"P3 1 1 65535 1 2 3",
        "PGM of 12 bits": b"P5 2 1 4095\n" + struct.pack(">HH", 4095, 1),
        "PPM of 16 bits": b"P6 1 1 65535\n" + struct.pack(">HHH", 65535, 1, 777),
        "PFM": b"Pf 2 1 -1.0\n" + struct.pack("<2f", 0.25, 1e6),
        "PFM of no numbers": b"Pf 2 1 -1.0\n" + struct.pack("<2f", 0.25, float("nan")),
    }
    for compression in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd"):
        try:
            found[f"TIFF by {compression}"] = saved(rgb, "TIFF", compression=compression)
        except (OSError, ValueError, RuntimeError):
            continue
    for compression in ("group3", "group4", "tiff_ccitt"):
        found[f"TIFF by {compression}"] = saved(in_mode("1"), "TIFF", compression=compression)
    return found


def _tiff(order: str, values: Any) -> bytes:
    """Uncompressed, in one strip."""
    values = values.reshape(*values.shape[:2], -1)
    directory = TiffImagePlugin.ImageFileDirectory_v2((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    for tag, value in {256: values.shape[1], 257: values.shape[0], 258: (16,) * values.shape[2], 259: 1}.items():
        directory[tag] = value
    directory[262], directory[277], directory[278] = 2 if values.shape[2] == 3 else 1, values.shape[2], values.shape[0]
    directory[273], directory[279] = 0, values.nbytes
    buffer = io.BytesIO()
    directory.save(buffer)
    return buffer.getvalue() + values.astype(f"{order}u2").tobytes()


def _with_metadata() -> dict[str, bytes]:
    rgb = in_mode("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 5, "a title"
    exif.get_ifd(0x8769)[0x927C] = bytes(60_000)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "hello" * 1000)
    text.add_itxt("XML:com.adobe.xmp", "<x>" + "y" * 100_000 + "</x>")
    jpeg = saved(rgb, "JPEG")

    def app1(content: bytes) -> bytes:
        return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]

    found = {
        "EXIF of 60 kB": saved(rgb, "JPEG", exif=exif),
        "EXIF of 60 kB in PNG": saved(rgb, "PNG", exif=exif),
        "XMP of 100 kB": saved(rgb, "PNG", pnginfo=text),
        "EXIF of nothing": app1(b"Exif\0\0"),
        "EXIF of noise": app1(b"Exif\0\0" + np.random.default_rng(0).bytes(300)),
        "EXIF that is cut": app1(b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0"),
        "EXIF that is a loop": app1(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"),
        "orientation of a TIFF": saved(rgb, "TIFF", tiffinfo={274: 6, 271: "maker"}),
        "comment": saved(rgb, "JPEG", comment=b"hello" * 1000),
        "dots per inch": saved(rgb, "JPEG", dpi=(300, 150)),
    }
    for orientation in range(2, 9):
        turned = Image.Exif()
        turned[0x0112] = orientation
        found[f"orientation {orientation}"] = saved(rgb, "JPEG", exif=turned)
    return found


def _animated() -> dict[str, bytes]:
    frames = [Image.fromarray(np.roll(photo(HEIGHT, WIDTH), shift, 1)) for shift in range(3)]
    found = {
        f"frames {picture_format}": saved(frames[0], picture_format, save_all=True, append_images=frames[1:])
        for picture_format in ("GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO")
    }
    found["frames PNG, another one first"] = saved(
        frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True
    )
    found["GIF, one clear"] = saved(frames[0].quantize(8), "GIF", transparency=2)
    return found


def _damaged() -> dict[str, bytes]:
    found = {"nothing": b"", "text": b"hello\n", "zeros": bytes(500)}
    for picture_format in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000"):
        whole = saved(Image.fromarray(photo(60, 80)), picture_format)
        for share in (0.05, 0.4, 0.9):
            found[f"{picture_format}, {share:.0%} of it"] = whole[: round(len(whole) * share)]
        found[f"{picture_format} and more"] = whole + b"more" * 50
        broken = bytearray(whole)
        broken[len(whole) // 2] ^= 255
        found[f"{picture_format} with a wrong byte"] = bytes(broken)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    found["a bomb"] = b"\x89PNG\r\n\x1a\n" + chunk("IHDR", head) + chunk("IDAT", b"x" * 100) + chunk("IEND", b"")
    found["16 bits, cut"] = make_png(photo(40, 40).astype(np.uint16) * 251, 16, 2)[:400]
    return found
