"""Pictures of the kinds that transform codecs find hardest, made by code: the same ones at every run, none random.

Text depends on the font that Pillow brings, which changes rarely.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from aez.bench.pictures.value_noise import place_noise, value_noise

__all__ = ["KINDS", "Kind"]

Picture = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float64]

WIDTH, HEIGHT = 512, 384
TINY_SIDES = (8, 16, 32, 64)
TINY_COUNT = 8

_SENTENCES = (
    "Sphinx of black quartz, judge my vow.",
    "The five boxing wizards jump quickly at 07:45.",
    "Invoice 2041: 3 x 18.90 = 56.70, due in 14 days",
    "if (left < right) { swap(&a[left++], &a[right--]); }",
)


@dataclass(frozen=True)
class Kind:
    """Pictures of one kind: what they show, and a function that makes them, each uint8 [height, width, 3]."""

    name: str
    about: str
    make: Callable[[], list[Picture]]


def _text() -> list[Picture]:
    """A page in black on white, and the same in light grey on a dark blue."""
    return [_page("white", "black"), _page("#10243f", "#d7dde6")]


def _page(paper: str, ink: str) -> Picture:
    image = Image.new("RGB", (WIDTH, HEIGHT), paper)
    draw = ImageDraw.Draw(image)
    top, number = 8, 0
    for size in (22, 16, 13, 11, 9, 13, 11, 9, 16, 11, 9, 13, 11):
        for _ in range(2 if size < 16 else 1):
            line = _SENTENCES[number % 4] + (f" {_SENTENCES[(number + 1) % 4]}" if size < 13 else "")
            draw.text((12, top), line, ink, ImageFont.load_default(size))
            top, number = top + round(1.45 * size), number + 1
    return np.asarray(image)


def _line_art() -> list[Picture]:
    """Thin dark lines on white with smooth edges: circles, rays, hatching, a spiral."""
    scale = 4
    image = Image.new("L", (WIDTH * scale, HEIGHT * scale), 255)
    draw = ImageDraw.Draw(image)
    for i in range(14):
        radius = (8 + 9 * i) * scale
        draw.ellipse((520 - radius, 600 - radius, 520 + radius, 600 + radius), outline=0, width=scale + 2 * (i % 3))
    for i in range(48):
        angle = 2 * math.pi * i / 48
        end = 1500 + 480 * math.cos(angle), 500 + 480 * math.sin(angle)
        draw.line((1500, 500, *end), fill=0, width=scale - 1)
    for i in range(60):
        draw.line((1100 + 14 * i, 1100, 1000 + 14 * i, 1500), fill=0, width=scale)
    turns = [0.02 * i for i in range(2200)]
    spiral = [(400 + 6 * t * math.cos(t), 1250 + 5 * t * math.sin(t)) for t in turns]
    draw.line(spiral, fill=0, width=scale)
    grey = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    return [np.repeat(grey[:, :, None], 3, axis=2)]


def _screen() -> list[Picture]:
    """A window with a menu, a list, buttons and small text, as a screenshot has them."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "#3b6ea5")
    draw = ImageDraw.Draw(image)
    small, tiny = ImageFont.load_default(11), ImageFont.load_default(9)
    draw.rectangle((14, 12, 497, 371), fill="#f3f3f3", outline="#5a5a5a")
    draw.rectangle((15, 13, 496, 33), fill="#ffffff")
    draw.text((24, 16), "Orders - 2041.xml", "#202020", small)
    for i, colour in enumerate(("#e6b422", "#3aa655", "#d64545")):
        draw.rectangle((440 + 18 * i, 18, 451 + 18 * i, 29), fill=colour)
    for i, word in enumerate(("File", "Edit", "View", "Tools", "Help")):
        draw.text((24 + 44 * i, 38), word, "#303030", tiny)
    for row in range(17):
        top = 56 + 16 * row
        draw.rectangle((22, top, 350, top + 15), fill="#ffffff" if row % 2 else "#e9eef5")
        if row == 6:
            draw.rectangle((22, top, 350, top + 15), fill="#0a64c8")
        ink = "#ffffff" if row == 6 else "#1c1c1c"
        draw.rectangle((26, top + 3, 35, top + 12), outline="#7a7a7a", fill=("#cfe3ff", "#ffe2b8")[row % 2])
        draw.text((42, top + 2), f"{_SENTENCES[row % 4][:34]}", ink, tiny)
        draw.text((290, top + 2), f"{1000 + 37 * row * row % 9000}.{row:02}", ink, tiny)
    for i, word in enumerate(("Open", "Save", "Export", "Print", "Close")):
        top = 60 + 34 * i
        draw.rounded_rectangle((372, top, 484, top + 24), 4, fill="#e1e1e1", outline="#adadad")
        draw.text((404, top + 6), word, "#202020", small)
    draw.rectangle((372, 250, 484, 258), fill="#d0d0d0")
    draw.rectangle((372, 250, 440, 258), fill="#2ea043")
    return [np.asarray(image)]


def _flat() -> list[Picture]:
    """A chart and a sign in a few flat colours with hard edges."""
    colours = ("#1864ab", "#e8590c", "#2f9e44", "#c2255c", "#f2c037", "#6741d9")
    chart = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(chart)
    for i in range(7):
        draw.line((40, 40 + 48 * i, 330, 40 + 48 * i), fill="#d0d0d0")
    for i in range(12):
        height = 30 + (i * i * 37 + 61 * i) % 240
        draw.rectangle((48 + 23 * i, 328 - height, 62 + 23 * i, 328), fill=colours[i % 6])
    start = 0
    for colour, share in zip(colours, (95, 80, 65, 50, 40, 30), strict=True):
        draw.pieslice((350, 60, 490, 200), start, start + share, fill=colour, outline="white")
        start += share
    sign = Image.new("RGB", (WIDTH, HEIGHT), "#f2c037")
    draw = ImageDraw.Draw(sign)
    draw.polygon([(256, 30), (470, 350), (42, 350)], fill="white", outline="#c92a2a", width=22)
    draw.rectangle((238, 130, 274, 260), fill="black")
    draw.ellipse((236, 278, 276, 318), fill="black")
    return [np.asarray(chart), np.asarray(sign)]


def _gradients() -> list[Picture]:
    """A sky that darkens upwards, and soft light from three sides; no two neighbours differ by more than a step."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / np.array([HEIGHT, WIDTH]).reshape(2, 1, 1)
    sky = np.stack([0.25 + 0.5 * y, 0.45 + 0.4 * y, 0.8 + 0.1 * y], axis=-1)
    lights = np.stack([np.exp(-2 * np.hypot(y - v, x - u)) for v, u in ((0.1, 0.2), (0.4, 0.9), (0.95, 0.4))], axis=-1)
    return [_to_bytes(sky), _to_bytes(lights)]


def _one_bit() -> list[Picture]:
    """Dots of two values, and letters without smooth edges."""
    dithered = Image.fromarray(_scene(HEIGHT, WIDTH)).convert("1")
    page = Image.fromarray(_page("white", "black")).convert("L").point(lambda level: 255 * (level > 127))
    return [np.asarray(image.convert("RGB")) for image in (dithered, page)]


def _palette() -> list[Picture]:
    return [np.asarray(Image.fromarray(_scene(HEIGHT, WIDTH)).quantize(64, dither=Image.Dither.NONE).convert("RGB"))]


def _noise() -> list[Picture]:
    """Every sample of its own, of all 256 values: nothing can be predicted."""
    y, x = np.mgrid[:256, :256].astype(np.uint32)
    return [_to_bytes(np.stack([place_noise(y, x, seed) for seed in range(3)], axis=-1))]


def _tiny(side: int) -> list[Picture]:
    """Crops of a landscape, each `side` pixels square."""
    scene = _scene(256, 512)
    corners = [(72 + 16 * i, 12 + (i * 3 % 8) * 60) for i in range(TINY_COUNT)]
    return [scene[top : top + side, left : left + side] for top, left in corners]


def _scene(height: int, width: int) -> Picture:
    """A sky over hills with texture, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    sky = np.stack([0.4 + 0.4 * y / height, 0.55 + 0.3 * y / height, 0.8 - 0.1 * y / height], axis=-1)
    hills = 0.45 * height + 40 * value_noise(height, width, 90, 1)[:1] - 25 * np.cos(x / 70)
    texture = sum(value_noise(height, width, cell, cell) * weight for cell, weight in ((32, 0.4), (8, 0.3), (2, 0.3)))
    ground = np.array([0.38, 0.42, 0.18]) * (0.6 + 0.9 * np.asarray(texture))[:, :, None]
    covered = np.clip(y - hills, 0, 1)[:, :, None]
    return _to_bytes(sky * (1 - covered) + ground * covered)


def _to_bytes(values: Field) -> Picture:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _kinds() -> Iterator[Kind]:
    yield Kind("text", f"two pages of small text, {WIDTH}x{HEIGHT}", _text)
    yield Kind("line art", f"a drawing in thin dark lines on white, {WIDTH}x{HEIGHT}", _line_art)
    yield Kind("screen", f"a window with lists and buttons, {WIDTH}x{HEIGHT}", _screen)
    yield Kind("flat graphics", f"a chart and a sign in flat colours, {WIDTH}x{HEIGHT}", _flat)
    yield Kind("gradients", f"two smooth gradients, {WIDTH}x{HEIGHT}", _gradients)
    yield Kind("1 bit", f"a dithered landscape and a page in black and white, {WIDTH}x{HEIGHT}", _one_bit)
    yield Kind("palette", f"a landscape in 64 colours, {WIDTH}x{HEIGHT}", _palette)
    yield Kind("noise", "independent samples of all values, 256x256", _noise)
    for side in TINY_SIDES:
        yield Kind(f"tiny {side}x{side}", f"{TINY_COUNT} crops of a landscape", functools.partial(_tiny, side))


#: All kinds, in the order of reports.
KINDS = tuple(_kinds())
