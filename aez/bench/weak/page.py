"""A page as documents have them: headings and text around a photograph. The same one at every run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["PHOTO_BOX", "make_page"]

Picture = npt.NDArray[np.uint8]

#: An A4 page at 150 dots per inch.
WIDTH, HEIGHT = 1240, 1754
#: Left, top, right and bottom of the photograph, 30 % of the page, off the multiples of 16.
PHOTO_BOX = (125, 480, 1115, 1140)
_TEXT = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they "
    "which one you were her all she there would their we him been has when who will more no if out so said what up "
    "its about into than them can only other new some could time these two may then do first any my now such like "
    "our over man me even most made after also did many before must through back years where much your way well "
    "down should because each just those people how too little state good very make world still own see men work "
    "long get here between both life being under never day same another know while last might us great old year off "
    "come since against go came right used take three"
)
_WORDS = tuple(_TEXT.split())


def make_page(photo: Picture) -> Picture:
    """uint8 [1754, 1240, 3] with a photograph uint8 [height, width, 3], which is scaled to 990x660."""
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    body, small = ImageFont.load_default(21), ImageFont.load_default(16)
    left, top, right, bottom = PHOTO_BOX
    draw.text((90, 80), "A report on what was measured this year", "#1a1a1a", ImageFont.load_default(44))
    page.paste(Image.fromarray(photo).resize((right - left, bottom - top), Image.Resampling.LANCZOS), (left, top))
    draw.text((left, bottom + 10), "Figure 1: a photograph, of which more is said below", "#404040", small)
    words = _words()
    for column in ((90, 1150, 170, top), (90, 605, 1200, 1680), (635, 1150, 1200, 1680)):
        _paragraph(draw, words, body, column)
    return np.asarray(page)


def _words() -> Iterator[str]:
    """Words without end, in sentences."""
    state, begins = 1, True
    while True:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        word = _WORDS[(state >> 8) % len(_WORDS)]
        ends = (state >> 20) % 11 == 0
        yield (word.capitalize() if begins else word) + ("." if ends else "")
        begins = ends


def _paragraph(
    draw: ImageDraw.ImageDraw,
    words: Iterator[str],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    column: tuple[int, int, int, int],
) -> None:
    left, right, top, bottom = column
    word = next(words)
    for line in range(top, bottom - 30, 31):
        text = word
        while draw.textlength(f"{text} {(word := next(words))}", font) <= right - left:
            text += f" {word}"
        draw.text((left, line), text, "black", font)
