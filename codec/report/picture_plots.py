"""A scored picture beside what was expected of it and a heat map of where it is abnormal, drawn with Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from aez.codec.detect.score_pictures import ScoredPicture

__all__ = ["draw_panel", "heat_map", "panel_bytes"]

_TILE_MIN, _TILE_MAX = 240, 384
_GAP, _TITLE, _LABEL, _BAR = 12, 30, 22, 14
_INK, _QUIET, _PAPER = "#1d2530", "#5c6673", "#ffffff"
_OUTLINE = (120, 0, 60)
#: Values of the error map and their colours; between them it goes evenly by the logarithm. Below the first, nothing.
_STOPS = (0.5, 1.0, 2.0, 4.0, 8.0)
_COLOURS = ((255, 245, 160), (255, 200, 30), (250, 110, 20), (205, 20, 60), (120, 0, 110))
_OPAQUE = (0.0, 0.6, 0.75, 0.85, 0.9)


def draw_panel(scored: ScoredPicture, titled: bool = True) -> Image.Image:
    """The picture, what was expected of it, and the picture in grey under its heat map, side by side.

    `titled` writes file, score and verdict above.
    """
    height, width = scored.pixels.shape[:2]
    longer = min(max(height, width, _TILE_MIN), _TILE_MAX)
    size = (max(1, round(width * longer / max(height, width))), max(1, round(height * longer / max(height, width))))
    picture = _fitted(Image.fromarray(scored.pixels), size)
    tiles = (
        ("picture", picture),
        ("expected", _fitted(Image.fromarray(scored.expected), size)),
        ("what differs", heat_map(picture, scored.error_map)),
    )
    top = _TITLE if titled else 0
    bar = 64
    total = (_GAP + 3 * (size[0] + _GAP) + bar, top + _LABEL + size[1] + _GAP)
    panel = Image.new("RGB", total, _PAPER)
    draw = ImageDraw.Draw(panel)
    if titled:
        text = f"{Path(scored.source).name}: score {scored.score:.3g}, {scored.verdict}"
        draw.text((_GAP, 8), _shortened(draw, text, total[0] - 2 * _GAP, 16), _INK, _font(16))
    for number, (label, tile) in enumerate(tiles):
        x = _GAP + number * (size[0] + _GAP)
        draw.text((x, top + 2), label, _QUIET, _font(13))
        panel.paste(tile, (x, top + _LABEL))
    _draw_bar(panel, draw, _GAP + 3 * (size[0] + _GAP), top + _LABEL, size[1])
    return panel


def heat_map(picture: Image.Image, error_map: NDArray[np.float32]) -> Image.Image:
    """The picture in pale grey, under colours where the error map [rows, columns] exceeds 0.5, outlined at 1."""
    size = picture.size
    values = np.asarray(
        Image.fromarray(np.minimum(error_map, 1e6).astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    )
    colours, opaque = _colours_of(values)
    grey = np.asarray(picture.convert("L"), np.float32)[:, :, None]
    base = 70 + 0.65 * grey  # pale, so that colours stand out on dark pictures and on light ones
    mixed = base * (1 - opaque[:, :, None]) + colours * opaque[:, :, None]
    drawn = Image.fromarray(np.rint(mixed.clip(0, 255)).astype(np.uint8))
    above = Image.fromarray((255 * (values > 1)).astype(np.uint8))
    outline = ImageChops.difference(above, above.filter(ImageFilter.MinFilter(3)))
    drawn.paste(_OUTLINE, mask=outline)
    return drawn


def panel_bytes(scored: ScoredPicture, kind: str = "PNG", titled: bool = True) -> bytes:
    """The panel as the bytes of a file: PNG, or JPEG where it has to be small."""
    buffer = io.BytesIO()
    draw_panel(scored, titled).save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return buffer.getvalue()


def _colours_of(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colours [..., 3] in 0..255 and opaqueness [...] in 0..1 of values of the error map."""
    place, stops = np.log(np.maximum(values, 1e-6)), np.log(_STOPS)
    colours = np.stack([np.interp(place, stops, [colour[c] for colour in _COLOURS]) for c in range(3)], -1)
    return colours, np.interp(place, stops, _OPAQUE)


def _draw_bar(panel: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, height: int) -> None:
    """The scale of the colours, largest on top."""
    places = np.exp(np.linspace(np.log(_STOPS[-1]), np.log(_STOPS[0]), height)).astype(np.float32)
    colours, opaque = _colours_of(places)
    mixed = 170 * (1 - opaque[:, None]) + colours * opaque[:, None]
    column = np.rint(mixed).astype(np.uint8)[:, None].repeat(_BAR, axis=1)
    panel.paste(Image.fromarray(column), (x, y))
    for stop in _STOPS:
        at = y + (height - 1) * (np.log(_STOPS[-1]) - np.log(stop)) / (np.log(_STOPS[-1]) - np.log(_STOPS[0]))
        text = "limit" if stop == 1 else f"{stop:g}"
        draw.text((x + _BAR + 5, at), text, _INK if stop == 1 else _QUIET, _font(12), anchor="lm")


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """At this size: small pictures keep their pixels visible."""
    if image.size == size:
        return image
    enlarged = size[0] >= 4 * image.width
    return image.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)


def _shortened(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """Printable text that fits."""
    text = "".join(c if c.isprintable() else "\u00b7" for c in text)
    while len(text) > 1 and draw.textlength(text, _font(size)) > width:
        text = text[:-2] + "\u2026"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
