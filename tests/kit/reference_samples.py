"""A second decoder of exact samples, written from FORMAT.md alone, on those of numbers and of VP8L."""

from __future__ import annotations

import zlib

from tests.kit import reference_decoder, reference_vp8l


def exact_samples(data: bytes, channels: int, bits: int) -> list[list[int]]:
    """Samples of each pixel, by FORMAT.md alone, and alpha behind them where they hold that."""
    step, at = reference_decoder.number(data, 4)
    form, at = data[at], at + 1
    boxes = b""
    if form == 3:
        size, at = reference_decoder.number(data, at)
        boxes, form, at = zlib.decompress(data[at : at + size], -15), data[at + size], at + size + 1
    parts = []
    if form == 4:
        _, _, pixels = reference_vp8l.decode(data[at:], alpha=True)
        return [
            [*(min(index * step, 255) for index in (pixel[2:3] if channels == 1 else pixel[1:])), pixel[0]]
            for pixel in pixels
        ]
    if form:
        size, at = reference_decoder.number(data, at)
        parts, at = [data[at : at + size]], at + size
    pictures = [*(parts if form == 1 else []), data[at:]]
    decoded = [reference_vp8l.decode(picture) for picture in pictures]
    values = [pixels for _, _, pixels in decoded]
    chosen = [[pixel[2:3] if channels == 1 else pixel[1:] for pixel in pixels] for pixels in values]
    indices = [list(pixel) for pixel in chosen[0]]
    if form == 1:
        indices = [[256 * a + b for a, b in zip(*both, strict=True)] for both in zip(*chosen, strict=True)]
    if form == 2:
        packed = zlib.decompress(parts[0], -15)
        listed = [place for place in range(8 * len(packed)) if packed[place // 8] >> (7 - place % 8) & 1]
        indices = [[listed[place] for place in pixel] for pixel in indices]
    _copied(indices, decoded[0][0], boxes)
    return [[min(index * step, (1 << bits) - 1) for index in pixel] for pixel in indices]


def _copied(indices: list[list[int]], width: int, boxes: bytes) -> None:
    """Shapes put to their other places, in place."""
    numbers, at = [], 0
    while at < len(boxes):
        value, at = reference_decoder.number(boxes, at)
        numbers.append(value)
    count = numbers[0] if numbers else 0
    shapes, across, down = (numbers[1 + part * count : 1 + (part + 1) * count] for part in range(3))
    sides = numbers[1 + 3 * count :]
    fresh = len(sides) // 2
    first: list[tuple[int, int, int, int]] = []
    right = bottom = 0
    for shape, over, below in zip(shapes, across, down, strict=True):
        left = right + (-(over + 1) // 2 if over % 2 else over // 2)
        bottom += -(below + 1) // 2 if below % 2 else below // 2
        wide, high = first[shape - 1][2:] if shape else (sides[len(first)], sides[fresh + len(first)])
        right, top = left + wide, bottom - high
        if not shape:
            first.append((left, top, wide, high))
            continue
        x, y = first[shape - 1][:2]
        for row in range(high):
            for column in range(wide):
                indices[(top + row) * width + left + column] = indices[(y + row) * width + x + column]
