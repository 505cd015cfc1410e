# ruff: noqa: E501
"""A second decoder of VP8L, written from RFC 9649 alone: Python integers, no code of aez, no library."""

from __future__ import annotations

LENGTHS_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
NEAR = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2), (2, 1), (-2, 1), (2, 2), (-2, 2), (0, 3), (3, 0),
    (1, 3), (-1, 3), (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0), (1, 4), (-1, 4), (4, 1), (-4, 1),
    (3, 3), (-3, 3), (2, 4), (-2, 4), (4, 2), (-4, 2), (0, 5), (3, 4), (-3, 4), (4, 3), (-4, 3), (5, 0), (1, 5), (-1, 5),
    (5, 1), (-5, 1), (2, 5), (-2, 5), (5, 2), (-5, 2), (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0),
    (1, 6), (-1, 6), (6, 1), (-6, 1), (2, 6), (-2, 6), (6, 2), (-6, 2), (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6),
    (6, 3), (-6, 3), (0, 7), (7, 0), (1, 7), (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1), (4, 6), (-4, 6), (6, 4), (-6, 4),
    (2, 7), (-2, 7), (7, 2), (-7, 2), (3, 7), (-3, 7), (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5), (8, 0), (4, 7),
    (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6), (-6, 6), (8, 3), (5, 7), (-5, 7), (7, 5), (-7, 5), (8, 4), (6, 7),
    (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
]  # fmt: skip
Code = dict[tuple[int, int], int]
Colour = tuple[int, int, int, int]  # alpha, red, green, blue


class Bits:
    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)
        self.data, self.at = data, 0

    def take(self, count: int) -> int:
        number = 0
        for place in range(count):
            number |= (self.data[self.at >> 3] >> (self.at & 7) & 1) << place
            self.at += 1
        return number

    def symbol(self, code: Code) -> int:
        if (0, 0) in code:
            return code[0, 0]
        word = length = 0
        while (length, word) not in code:
            word, length = word << 1 | self.take(1), length + 1
            if length > 15:
                raise ValueError("no code")
        return code[length, word]


def canonical(lengths: list[int]) -> Code:
    used = [symbol for symbol, length in enumerate(lengths) if length]
    if len(used) == 1:
        return {(0, 0): used[0]}
    code: Code = {}
    word = 0
    for length in range(1, 16):
        for symbol in used:
            if lengths[symbol] == length:
                code[length, word] = symbol
                word += 1
        word <<= 1
    return code


def read_code(bits: Bits, size: int) -> Code:
    if bits.take(1):
        two, wide = bits.take(1), bits.take(1)
        symbols = [bits.take(8 if wide else 1)] + ([bits.take(8)] if two else [])
        return canonical([int(symbol in symbols) for symbol in range(256)])
    lengths = [0] * 19
    for place in range(4 + bits.take(4)):
        lengths[LENGTHS_ORDER[place]] = bits.take(3)
    code, found, last = canonical(lengths), [], 8
    count = 2 + bits.take(2 + 2 * bits.take(3)) if bits.take(1) else size
    while len(found) < size and count:
        count -= 1
        symbol = bits.symbol(code)
        if symbol < 16:
            found.append(symbol)
            last = symbol or last
        elif symbol == 16:
            found += [last] * (3 + bits.take(2))
        else:
            found += [0] * (3 + bits.take(3) if symbol == 17 else 11 + bits.take(7))
    return canonical(found)


def read_pixels(bits: Bits, width: int, height: int, main: bool) -> list[Colour]:
    cache_bits = bits.take(4) if bits.take(1) else 0
    groups, shift, meta, count = [], 0, [], 1
    if main and bits.take(1):
        shift = bits.take(3) + 2
        across = (width + (1 << shift) - 1) >> shift
        meta = [r << 8 | g for _, r, g, _ in read_pixels(bits, across, (height + (1 << shift) - 1) >> shift, False)]
        count = max(meta) + 1
    for _ in range(count):
        sizes = (256 + 24 + (1 << cache_bits if cache_bits else 0), 256, 256, 256, 40)
        groups.append([read_code(bits, size) for size in sizes])
    cache: list[Colour] = [(0, 0, 0, 0)] * (1 << cache_bits)
    out: list[Colour] = []

    def put(colour: Colour) -> None:
        out.append(colour)
        if cache_bits:
            a, r, g, b = colour
            cache[(0x1E35A7BD * (a << 24 | r << 16 | g << 8 | b) & 0xFFFFFFFF) >> (32 - cache_bits)] = colour

    while len(out) < width * height:
        y, x = divmod(len(out), width)
        green, red, blue, alpha, distance = groups[
            meta[(y >> shift) * ((width + (1 << shift) - 1) >> shift) + (x >> shift)] if meta else 0
        ]
        symbol = bits.symbol(green)
        if symbol < 256:
            r = bits.symbol(red)
            b = bits.symbol(blue)
            put((bits.symbol(alpha), r, symbol, b))
        elif symbol < 280:
            length = _prefixed(bits, symbol - 256)
            far = _prefixed(bits, bits.symbol(distance))
            if far > 120:
                far -= 120
            else:
                right, down = NEAR[far - 1]
                far = max(1, right + down * width)
            for _ in range(length):
                put(out[-far])
        else:
            put(cache[symbol - 280])
    return out[: width * height]


def _prefixed(bits: Bits, prefix: int) -> int:
    if prefix < 4:
        return prefix + 1
    extra = (prefix - 2) >> 1
    return ((2 + (prefix & 1)) << extra) + bits.take(extra) + 1


def _average(a: Colour, b: Colour) -> Colour:
    return tuple((i + j) // 2 for i, j in zip(a, b, strict=True))  # type: ignore[return-value]


def _select(left: Colour, top: Colour, corner: Colour) -> Colour:
    to_left = sum(abs(t - c) for t, c in zip(top, corner, strict=True))
    to_top = sum(abs(a - c) for a, c in zip(left, corner, strict=True))
    return left if to_left < to_top else top


def _limited(value: int) -> int:
    return min(max(value, 0), 255)


def _predict(mode: int, left: Colour, top: Colour, corner: Colour, right: Colour) -> Colour:
    if mode == 12:
        return tuple(_limited(a + b - c) for a, b, c in zip(left, top, corner, strict=True))  # type: ignore[return-value]
    if mode == 13:
        middle = _average(left, top)
        halves = (m + int((m - c) / 2) for m, c in zip(middle, corner, strict=True))
        return tuple(_limited(value) for value in halves)  # type: ignore[return-value]
    return {
        0: lambda: (255, 0, 0, 0),
        1: lambda: left,
        2: lambda: top,
        3: lambda: right,
        4: lambda: corner,
        5: lambda: _average(_average(left, right), top),
        6: lambda: _average(left, corner),
        7: lambda: _average(left, top),
        8: lambda: _average(corner, top),
        9: lambda: _average(top, right),
        10: lambda: _average(_average(left, corner), _average(top, right)),
        11: lambda: _select(left, top, corner),
    }[mode]()


def _unpredict(pixels: list[Colour], width: int, shift: int, modes: list[Colour]) -> list[Colour]:
    across = (width + (1 << shift) - 1) >> shift
    out: list[Colour] = []
    for at, rest in enumerate(pixels):
        y, x = divmod(at, width)
        if at == 0:
            guess: Colour = (255, 0, 0, 0)
        elif y == 0:
            guess = out[-1]
        elif x == 0:
            guess = out[-width]
        else:
            mode = modes[(y >> shift) * across + (x >> shift)][2] & 15
            guess = _predict(mode, out[-1], out[-width], out[-width - 1], out[-width + 1])
        out.append(tuple((a + b) & 255 for a, b in zip(rest, guess, strict=True)))  # type: ignore[arg-type]
    return out


def _signed(number: int) -> int:
    return number - 256 if number > 127 else number


def _uncross(pixels: list[Colour], width: int, shift: int, factors: list[Colour]) -> list[Colour]:
    across = (width + (1 << shift) - 1) >> shift
    out: list[Colour] = []
    for at, (a, r, g, b) in enumerate(pixels):
        y, x = divmod(at, width)
        _, red_blue, green_blue, green_red = factors[(y >> shift) * across + (x >> shift)]
        r = (r + (_signed(green_red) * _signed(g) >> 5)) & 255
        b = (b + (_signed(green_blue) * _signed(g) >> 5) + (_signed(red_blue) * _signed(r) >> 5)) & 255
        out.append((a, r, g, b))
    return out


def decode(data: bytes, alpha: bool = False) -> tuple[int, int, list[Colour]]:
    """(width, height, pixels in raster order) of a bit stream that begins with its signature byte."""
    bits = Bits(data)
    if bits.take(8) != 0x2F:
        raise ValueError("signature")
    width, height = bits.take(14) + 1, bits.take(14) + 1
    if bits.take(4) != alpha:
        raise ValueError("alpha or version")
    undo, packed = [], width
    while bits.take(1):
        kind = bits.take(2)
        if kind in (0, 1):
            shift = bits.take(3) + 2
            side = (packed + (1 << shift) - 1) >> shift, (height + (1 << shift) - 1) >> shift
            undo.append((kind, packed, shift, read_pixels(bits, *side, False)))
        elif kind == 2:
            undo.append((kind, packed, 0, []))
        else:
            colours = read_pixels(bits, bits.take(8) + 1, 1, False)
            for at in range(1, len(colours)):
                before = colours[at - 1]
                colours[at] = tuple((a + b) & 255 for a, b in zip(colours[at], before, strict=True))  # type: ignore[assignment]
            fold = next(f for f, most in ((3, 2), (2, 4), (1, 16), (0, 256)) if len(colours) <= most)
            undo.append((kind, packed, fold, colours))
            packed = (packed + (1 << fold) - 1) >> fold
    pixels = read_pixels(bits, packed, height, True)
    for kind, wide, shift, more in reversed(undo):
        if kind == 0:
            pixels = _unpredict(pixels, wide, shift, more)
        elif kind == 1:
            pixels = _uncross(pixels, wide, shift, more)
        elif kind == 2:
            pixels = [(a, (r + g) & 255, g, (b + g) & 255) for a, r, g, b in pixels]
        else:
            narrow, each = (wide + (1 << shift) - 1) >> shift, 8 >> shift
            chosen = []
            for y in range(height):
                for x in range(wide):
                    octet = pixels[y * narrow + (x >> shift)][2]
                    place = octet >> (x & ((1 << shift) - 1)) * each & ((1 << each) - 1)
                    chosen.append(more[place] if place < len(more) else (0, 0, 0, 0))
            pixels = chosen
    return width, height, pixels
