"""Contact sheets: crops of one place of a picture as several codecs give it back at equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from aez.bench.pictures.codecs import Encoded, PictureCodec, aez_codec, encode_to_size, standard_peers
from aez.bench.pictures.files import Picture, find_pictures, load_picture, spread
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import MS_SSIM_SIDE, ms_ssim, psnr

__all__ = ["BPPS", "Rendering", "contact_sheet_png", "folder_sheet_png", "render_at", "sheet_codecs"]

#: Bits per pixel of the whole picture, one row of crops for each.
BPPS = (0.15, 0.3)

_LEAST_SPREAD = 2
_INK, _MUTED = "#212529", "#6c757d"
_SHEET_PEERS = ("JPEG", "WebP", "AVIF 4:4:4")
_CROP, _ZOOM = 192, 2  # pixels of the picture, and of the sheet for each
_MARGIN, _LINE = 16, 20  # pixels of the sheet


def folder_sheet_png(
    folder: str | Path,
    models: Sequence[str | Path | PictureCodec],
    bpps: Sequence[float] = BPPS,
    count: int = 3,
    peers: Sequence[PictureCodec] | None = None,
) -> bytes:
    """A PNG with crops of at most `count` of a folder's lossless pictures: original, models, JPEG, WebP, AVIF 4:4:4.

    Each codec works at the highest quality that takes at most so many bits per pixel; below its crop stand bytes, PSNR
    and MS-SSIM of the whole picture. A codec that is not available here is left out.

    Raises UnsupportedInput when the folder holds no such picture, InvalidArgument for rates that are not positive.
    """
    if not bpps or any(not bpp > 0 for bpp in bpps):
        raise InvalidArgument(f"rates are positive numbers of bits per pixel, not {list(bpps)}")
    paths, _ = find_pictures(Path(folder))
    chosen = spread(paths, count) if count >= _LEAST_SPREAD else paths[:1]
    tested = [model if isinstance(model, PictureCodec) else aez_codec(model) for model in models]
    others = [p for p in (standard_peers() if peers is None else peers) if p.available()]
    codecs = sheet_codecs([*tested, *others], [c.name for c in tested])
    return contact_sheet_png([(path.name, load_picture(path)) for path in chosen], codecs, bpps)


@dataclass(frozen=True)
class Rendering:
    """A picture as one codec gives it back at a wanted size.

    fits is False when even the codec's lowest quality takes more bytes than wanted; it is what is shown then.
    """

    codec: str
    quality: float
    bytes: int
    bpp: float
    psnr: float  # dB
    ms_ssim: float | None  # 0..1; None where the picture is too small for it
    picture: Picture
    fits: bool


def render_at(codec: PictureCodec, image: Picture, nbytes: int) -> Rendering:
    """Code a picture, uint8 [height, width, 3], at the largest quality that takes at most `nbytes`."""
    found = encode_to_size(codec, image, nbytes)
    coded = found or Encoded(codec.lowest, codec.encode(image, codec.lowest))
    decoded = codec.decode(coded.data)
    size = len(coded.data)
    return Rendering(
        codec=codec.name,
        quality=coded.quality,
        bytes=size,
        bpp=8 * size / (image.shape[0] * image.shape[1]),
        psnr=psnr(image, decoded),
        ms_ssim=ms_ssim(image, decoded) if min(image.shape[:2]) >= MS_SSIM_SIDE else None,
        picture=decoded,
        fits=found is not None,
    )


def sheet_codecs(codecs: Sequence[PictureCodec], models: Sequence[str]) -> list[PictureCodec]:
    """The codecs of a contact sheet: the models, then JPEG, WebP and AVIF 4:4:4 (all, where none of them is there)."""
    tested = [c for c in codecs if c.name in models]
    return tested + ([c for c in codecs if c.name in _SHEET_PEERS] or [c for c in codecs if c.name not in models])


def contact_sheet_png(
    pictures: Sequence[tuple[str, Picture]], codecs: Sequence[PictureCodec], bpps: Sequence[float]
) -> bytes:
    """A PNG with one row for each picture and rate: a crop of the original and of every codec's file of that size.

    pictures: (name, uint8 [height, width, 3]). bpps: the rates in bits per pixel of the whole picture, all above 0.
    """
    rows = [_sheet_row(name, image, codecs, bpp) for name, image in pictures for bpp in bpps]
    width = max(row.width for row in rows) + 2 * _MARGIN
    height = sum(row.height + _MARGIN for row in rows) + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    top = _MARGIN
    for row in rows:
        sheet.paste(row, (_MARGIN, top))
        top += row.height + _MARGIN
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _sheet_row(name: str, image: Picture, codecs: Sequence[PictureCodec], bpp: float) -> Image.Image:
    """One picture at one rate: a heading, and below it a cell for the original and each codec."""
    pixels = image.shape[0] * image.shape[1]
    nbytes = max(1, int(bpp * pixels / 8))
    window = _crop(image)
    raw = f"{image.nbytes:,} bytes, uncompressed"
    cells = [_cell(image[window], "original", [raw, f"{image.shape[1]} x {image.shape[0]} pixels"])]
    cells += [_rendering_cell(render_at(codec, image, nbytes), window) for codec in codecs]
    width = sum(cell.width for cell in cells) + _MARGIN * (len(cells) - 1)
    row = Image.new("RGB", (width, _LINE + 6 + cells[0].height), "white")
    _write(row, (0, 0), f"{name}, at most {nbytes:,} bytes ({bpp:g} bits per pixel)", 16, _INK)
    for i, cell in enumerate(cells):
        row.paste(cell, (i * (cell.width + _MARGIN), _LINE + 6))
    return row


def _rendering_cell(rendering: Rendering, window: tuple[slice, slice]) -> Image.Image:
    excess = "" if rendering.fits else ", its least"
    similarity = "" if rendering.ms_ssim is None else f"MS-SSIM {rendering.ms_ssim:.4f}, "
    lines = [
        f"{rendering.bytes:,} bytes, {rendering.bpp:.3f} bpp{excess}",
        f"{rendering.psnr:.2f} dB, {similarity}quality {rendering.quality:g}",
    ]
    return _cell(rendering.picture[window], rendering.codec, lines)


def _cell(crop: Picture, title: str, lines: Sequence[str]) -> Image.Image:
    """A crop, enlarged without smoothing, over its caption."""
    height, width = crop.shape[:2]
    cell = Image.new("RGB", (_CROP * _ZOOM, _CROP * _ZOOM + 4 + _LINE * (1 + len(lines))), "white")
    zoom = _CROP * _ZOOM // max(height, width)
    cell.paste(Image.fromarray(crop).resize((width * zoom, height * zoom), Image.Resampling.NEAREST))
    top = _CROP * _ZOOM + 4
    _write(cell, (0, top), title, 16, _INK)
    for i, line in enumerate(lines, start=1):
        _write(cell, (0, top + _LINE * i), line, 13, _MUTED)
    return cell


def _write(image: Image.Image, at: tuple[int, int], text: str, size: int, colour: str) -> None:
    ImageDraw.Draw(image).text(at, text, fill=colour, font=ImageFont.load_default(size))


def _crop(image: Picture) -> tuple[slice, slice]:
    """The window that shows a codec's work: three quarters of the windows on a grid have less detail than it."""
    height, width = (min(_CROP, side) for side in image.shape[:2])
    luma = image.mean(axis=2)
    detail = np.abs(np.diff(luma, axis=0, append=luma[-1:])) + np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    corners = [
        (top, left)
        for top in range(0, image.shape[0] - height + 1, 32)
        for left in range(0, image.shape[1] - width + 1, 32)
    ]
    corners.sort(key=lambda c: (detail[c[0] : c[0] + height, c[1] : c[1] + width].sum(), c))
    top, left = corners[(len(corners) - 1) * 3 // 4]
    return slice(top, top + height), slice(left, left + width)
