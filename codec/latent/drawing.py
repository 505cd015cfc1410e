"""Pictures about latents, drawn with Pillow: strips, contact sheets, animations, and a reconstruction with its error.

Pictures are uint8 [height, width, 3].
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from aez.codec.errors import InvalidArgument

__all__ = ["ERROR_MAX", "animation_bytes", "contact_sheet", "error_map", "fit", "limit_side", "side_by_side", "strip"]

Pixels = NDArray[np.uint8]
#: Error, in levels of 255, from which the error map shows its last colour.
ERROR_MAX = 64
_COLOURS = ((0, 0, 0), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
_TICKS = (0, 8, 16, 32, 48, 64)
_GAP, _TITLE, _LABEL, _BAR, _SCALE = 12, 30, 22, 14, 56
_SIDE_MIN, _SIDE_MAX = 240, 1024
_INK, _QUIET, _PAPER = "#1d2530", "#5c6673", "#ffffff"
_END_PAUSE = 500  # ms


def limit_side(pixels: Pixels, most: int) -> Pixels:
    """The picture, scaled down where its longer side has more pixels than that."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer <= most:
        return pixels
    size = (max(1, round(width * most / longer)), max(1, round(height * most / longer)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def fit(pixels: Pixels, height: int, width: int) -> Pixels:
    """The picture scaled to cover this size, and its middle cut out."""
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS))


def strip(frames: Sequence[Pixels], gap: int = 4) -> Image.Image:
    """Frames of one size side by side."""
    return contact_sheet(frames, len(frames), gap)


def contact_sheet(pictures: Sequence[Pixels], columns: int, gap: int = 4) -> Image.Image:
    """Pictures of one size in rows; a picture that is alone stays as it is. Raises InvalidArgument for no picture."""
    if not pictures or columns < 1:
        raise InvalidArgument(f"{len(pictures)} pictures in {columns} columns make no sheet")
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), _PAPER)
    for number, pixels in enumerate(pictures):
        row, column = divmod(number, columns)
        sheet.paste(Image.fromarray(pixels), (column * (width + gap), row * (height + gap)))
    return sheet


def animation_bytes(frames: Sequence[Pixels], kind: str, fps: float) -> bytes:
    """Frames there and back again, without end, resting at both ends: a file of Pillow's kind `GIF` or `WEBP`.

    Raises InvalidArgument for another kind, fewer than two frames, and what the format does not hold.
    """
    if kind not in ("GIF", "WEBP") or len(frames) < 2:
        raise InvalidArgument(f"{len(frames)} frames make no animation of the kind {kind}")
    loop = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    images = [Image.fromarray(frames[number]) for number in loop]
    settings: dict[str, object] = {"quality": 90, "method": 4}
    if kind == "GIF":
        images = [image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
        settings = {"disposal": 1}
    pause = round(1000 / fps)
    times = [max(pause, _END_PAUSE) if number in (0, len(frames) - 1) else pause for number in loop]
    buffer = io.BytesIO()
    try:
        images[0].save(buffer, kind, save_all=True, append_images=images[1:], duration=times, loop=0, **settings)
    except (OSError, ValueError) as error:  # what Pillow's writers raise for sizes that they do not take
        raise InvalidArgument(f"{kind} cannot hold this animation ({error}); take smaller frames") from error
    return buffer.getvalue()


def error_map(original: Pixels, result: Pixels) -> NDArray[np.float32]:
    """Absolute difference in levels of 255, the mean of the colours: float32 [height, width]."""
    errors: NDArray[np.float32] = np.abs(original.astype(np.int16) - result).mean(axis=2, dtype=np.float32)
    return errors


def side_by_side(original: Pixels, result: Pixels, title: str) -> Image.Image:
    """A picture, its reconstruction, and the error map with its scale, under a title.

    Pictures with more than 1024 pixels on a side are scaled down, tiny ones enlarged.
    """
    errors = error_map(original, result)
    tiles = (
        ("original", _shown(Image.fromarray(original))),
        ("reconstruction", _shown(Image.fromarray(result))),
        ("error, in levels of 255", Image.fromarray(_colours_of(np.asarray(_shown(Image.fromarray(errors)))))),
    )
    width, height = tiles[0][1].size
    cell, tall = max(width, _SIDE_MIN), max(height, _SIDE_MIN // 2)
    size = (_GAP + 3 * (cell + _GAP) + _SCALE, _TITLE + _LABEL + tall + _GAP)
    panel = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(panel)
    draw.text((_GAP, 8), _shortened(draw, title, size[0] - 2 * _GAP), _INK, _font(16))
    for number, (label, tile) in enumerate(tiles):
        x = _GAP + number * (cell + _GAP)
        draw.text((x, _TITLE + 2), label, _QUIET, _font(13))
        panel.paste(tile, (x, _TITLE + _LABEL))
    # The scale stands beside the map, also where a narrow picture does not fill its place.
    _draw_scale(panel, draw, _GAP + 2 * (cell + _GAP) + width + _GAP, _TITLE + _LABEL, tall)
    return panel


def _shown(image: Image.Image) -> Image.Image:
    """At the size of the panel: pixels of tiny pictures stay visible."""
    width, height = image.size
    longer = max(width, height)
    if longer > _SIDE_MAX:
        size = (max(1, round(width * _SIDE_MAX / longer)), max(1, round(height * _SIDE_MAX / longer)))
        return image.resize(size, Image.Resampling.BOX)
    factor = _SIDE_MIN // longer
    return image.resize((width * factor, height * factor), Image.Resampling.NEAREST) if factor > 1 else image


def _colours_of(errors: NDArray[np.float32]) -> Pixels:
    """Colours [..., 3] of errors [...] in levels; the scale follows the root, so that small ones are seen."""
    place = np.sqrt(np.clip(errors, 0, ERROR_MAX) / ERROR_MAX) * (len(_COLOURS) - 1)
    stops = np.arange(len(_COLOURS))
    channels = [np.interp(place, stops, [colour[c] for colour in _COLOURS]) for c in range(3)]
    colours: Pixels = np.rint(np.stack(channels, -1)).astype(np.uint8)
    return colours


def _draw_scale(panel: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, height: int) -> None:
    """The scale of the error map's colours, largest on top."""
    places = np.linspace(1, 0, height) ** 2 * ERROR_MAX
    column = _colours_of(places.astype(np.float32))[:, None].repeat(_BAR, axis=1)
    panel.paste(Image.fromarray(column), (x, y))
    free = 0.0
    for tick in _TICKS:
        at = y + (height - 1) * (1 - (tick / ERROR_MAX) ** 0.5)
        text = f"{tick}+" if tick == ERROR_MAX else str(tick)
        if tick and free - at < 14:  # no room on a low scale
            continue
        draw.text((x + _BAR + 5, min(max(at, y + 6), y + height - 7)), text, _QUIET, _font(12), anchor="lm")
        free = at


def _shortened(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Printable text that fits."""
    text = "".join(c if c.isprintable() else "\u00b7" for c in text)
    while len(text) > 1 and draw.textlength(text, _font(16)) > width:
        text = text[:-2] + "\u2026"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
