"""Decoding of rectangles of a picture, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np

from aez.codec.container.image_header import ImageHeader
from aez.codec.errors import CorruptFile
from aez.codec.image.model import Float, ImageModel
from aez.codec.image.reducing import THUMBNAIL, reduced
from aez.codec.image.tile_kinds import BLOCK, Mask, TileKind, kind_of, spread
from aez.codec.image.tiles import (
    Box,
    Pixels,
    aligned,
    alpha_samples,
    check_header,
    decode_latents,
    exact_pixels,
    opaque,
    parts_of,
    tile_box,
    to_samples,
    whole_box,
)

Decoded = TypeVar("Decoded")
MISSING_GREY = 128


@dataclass
class RegionDecoder:
    """Decodes rectangles of one file, keeping the latents of few tiles.

    `payload(number)` gives a tile's bytes; where `missing` is a list, damaged tiles are collected in it and leave grey.
    `model` is None where the header names none. No memory is taken for the picture before a first tile of it has been
    decoded. With a `scale` of 2, 4 or 8 pictures have one over it of their size, and 8 needs no synthesis.
    """

    model: ImageModel | None
    header: ImageHeader
    payload: Callable[[int], bytes]
    missing: list[CorruptFile] | None = None
    advance: Callable[[], None] = lambda: None
    scale: int = 1
    _last: tuple[int, bytes] | None = None
    #: The alpha that the exact samples of the last tile held.
    _held: tuple[int, Pixels | None] = (-1, None)
    _lost: set[int] = field(default_factory=set)
    _learned_tiles: set[int] = field(default_factory=set)

    def decode(self, region: Box, latents: dict[int, Float | None] | None = None) -> Pixels:
        """Samples [height, width, 3] of a region as `decode_with_alpha` gives them."""
        return self.decode_with_alpha(region, latents)[0]

    def decode_with_alpha(
        self, region: Box, latents: dict[int, Float | None] | None = None
    ) -> tuple[Pixels, Pixels | None]:
        """Samples [height, width, 3] of a region inside the picture, and alpha [height, width] in a mode that has it.

        Left and top of the region are multiples of the scale. `latents` keeps those of tiles from one call to the next,
        each a little below or beside the last. Lost tiles are opaque. Raises CorruptFile where no tile is whole.
        """
        if self.model is not None:
            check_header(self.header, self.model.geometry)
        halo = 0 if self.model is None else self.model.geometry.synthesis_halo
        out: Pixels | None = None
        alpha: Pixels | None = None
        latents = {} if latents is None else latents
        tile, columns = self.header.tile, self.header.columns
        for row in range(region.top // tile, -(-region.bottom // tile)):
            first = (row * tile - halo) // tile * columns
            for number in [n for n in latents if n < first]:
                del latents[number]
            for column in range(region.left // tile, -(-region.right // tile)):
                number = row * columns + column
                shown = Box(*self.header.box(number)).grow(0, region)
                pixels = self._tile(number, shown, latents)
                if pixels is not None:
                    if out is None:
                        height, width = (-(-size // self.scale) for size in (region.height, region.width))
                        out = np.full((height, width, 3), MISSING_GREY << self.header.bits - 8, pixels.dtype)
                        if self.header.has_alpha:
                            alpha = opaque(height, width, self.header.alpha_bits)
                    out[shown.covered(region, self.scale)] = pixels
                    if alpha is not None:
                        self._put_alpha(alpha[shown.covered(region, self.scale)], number, shown)
                self.advance()
        if out is None:
            raise CorruptFile("no tile of the picture is whole where it should be decoded", "tile")
        return out, alpha

    def _put_alpha(self, out: Pixels, number: int, shown: Box) -> None:
        """Alpha of the part of a tile that is `shown`, to scale, into `out`, which stays as it is where it is lost."""
        alpha = self._held[1] if self._held[0] == number else None
        if alpha is None:
            parts = self._or_lost(number, lambda: parts_of(self._content(number), self.header, number))
            coded = parts and self._or_lost(number, lambda: alpha_samples(parts, self.header, number))
            alpha = cast("Pixels | None", coded)
        if alpha is not None:
            out[...] = reduced(alpha[shown.slices(Box(*self.header.box(number)), 1)], self.scale)

    def _tile(self, number: int, shown: Box, latents: dict[int, Float | None]) -> Pixels | None:
        """Pixels of the part of a tile that is `shown`, to scale, or None where the tile is lost."""
        if number in self._learned_tiles:
            return self._learned(number, shown, latents)
        parts = self._or_lost(number, lambda: parts_of(self._content(number), self.header, number))
        if parts is None:
            return None
        if parts.exact is None:
            return self._learned(number, shown, latents)
        coded = self._or_lost(number, lambda: exact_pixels(parts, self.header, number))
        if coded is None:
            return None
        found, alpha = coded
        self._held = number, alpha
        box = Box(*self.header.box(number))
        exact = reduced(found[shown.slices(box, 1)], self.scale)
        return exact if parts.mask is None else self._mixed(number, shown, parts.mask, exact, latents)

    def _mixed(
        self, number: int, shown: Box, mask: Mask, exact: Pixels, latents: dict[int, Float | None]
    ) -> Pixels | None:
        """`exact` samples where the mask of a tile says so; the model gives the others, and runs around them alone."""
        box = Box(*self.header.box(number))
        rows, columns = np.flatnonzero(~mask.all(axis=1)), np.flatnonzero(~mask.all(axis=0))
        if not rows.size:
            return exact
        around = Box(
            box.left + int(columns[0]) * BLOCK,
            box.top + int(rows[0]) * BLOCK,
            box.left + (int(columns[-1]) + 1) * BLOCK,
            box.top + (int(rows[-1]) + 1) * BLOCK,
        ).grow(0, shown)
        if around.width <= 0 or around.height <= 0:
            return exact
        learned = self._learned(number, around, latents)
        if learned is None:
            return None
        where = spread(mask, box.height, box.width)[around.slices(box, 1)][:: self.scale, :: self.scale]
        part = exact[around.covered(shown, self.scale)]
        part[~where] = learned[~where]
        return exact

    def _learned(self, number: int, shown: Box, latents: dict[int, Float | None]) -> Pixels | None:
        """What the model makes of the part of a tile that is `shown`, or None where the tile is lost."""
        if self.model is None:
            raise CorruptFile(f"tile {number} needs a model, and the header names none", "header")
        unit = self.model.geometry.alignment
        small = self.scale == THUMBNAIL == self.model.geometry.latent_stride and self.model.has_thumbnail
        # Only the aligned surroundings of what is shown are synthesized.
        inner = Box(shown.left // unit * unit, shown.top // unit * unit, shown.right, shown.bottom)
        halo = unit if small else self.model.geometry.synthesis_halo
        seen = aligned(inner, unit).grow(halo, whole_box(self.header, unit))
        y = self._assemble(self.model, number, seen, latents)
        if y is None:
            return None
        if small:
            rows, columns = shown.covered(seen, self.scale)
            return to_samples(self.model.thumbnail(y, self.header.level)[:, rows, columns], self.header.bits)
        image = self.model.synthesis(y, self.header.level)
        rows, columns = shown.slices(seen, 1)
        return reduced(to_samples(image[:, rows, columns], self.header.bits), self.scale)

    def _assemble(self, model: ImageModel, number: int, seen: Box, latents: dict[int, Float | None]) -> Float | None:
        """Latents of `seen` from all tiles that touch it; None when tile `number` itself is lost."""
        g = model.geometry
        tile = self.header.tile
        own_box = tile_box(self.header, number, g.alignment)
        own = self._latents(model, number, latents)
        if own is None or seen == own_box:  # nothing to put together
            return own
        y = _stretched(own, own_box, seen, g.latent_stride)
        for row in range(seen.top // tile, min(-(-seen.bottom // tile), self.header.rows)):
            for column in range(seen.left // tile, min(-(-seen.right // tile), self.header.columns)):
                other = row * self.header.columns + column
                part = None if other == number else self._latents(model, other, latents)
                if part is None:
                    continue
                box = tile_box(self.header, other, g.alignment)
                shared = box.grow(0, seen)
                y[(slice(None), *shared.slices(seen, g.latent_stride))] = part[
                    (slice(None), *shared.slices(box, g.latent_stride))
                ]
        return y

    def _latents(self, model: ImageModel, number: int, latents: dict[int, Float | None]) -> Float | None:
        """Latents of a tile, from `latents` where they are there; None for a tile without, or one that is lost."""

        def decoded() -> Float | None:
            content = self._content(number)
            kind = kind_of(content)
            if kind == TileKind.EXACT:
                return None
            if kind == TileKind.LEARNED:
                self._learned_tiles.add(number)
            return decode_latents(model, content, self.header, number)

        if number not in latents:
            latents[number] = self._or_lost(number, decoded)
        return latents[number]

    def _content(self, number: int) -> bytes:
        """The tile's bytes; those that were asked for last are kept."""
        if self._last is None or self._last[0] != number:
            self._last = number, self.payload(number)
        return self._last[1]

    def _or_lost(self, number: int, decode: Callable[[], Decoded | None]) -> Decoded | None:
        """What `decode` gives, or None for a damaged tile where those are collected. Raises CorruptFile."""
        if number in self._lost:
            return None
        try:
            return decode()
        except CorruptFile as error:
            named = CorruptFile(f"tile {number}: {error}", error.chunk or "tile")
            if self.missing is None:
                raise named from error
            self.missing.append(named)
            self._lost.add(number)
            return None


def _stretched(y: Float, box: Box, seen: Box, stride: int) -> Float:
    """The latents y of `box` for all of `seen`, which touches it: outside of the box its edges are repeated."""
    rows = np.clip(np.arange(seen.top, seen.bottom, stride), box.top, box.bottom - stride) - box.top
    columns = np.clip(np.arange(seen.left, seen.right, stride), box.left, box.right - stride) - box.left
    return np.ascontiguousarray(y[:, rows // stride][:, :, columns // stride])


def payload_of(tiles: Mapping[int, bytes]) -> Callable[[int], bytes]:
    """A `RegionDecoder.payload` over tiles in memory."""

    def payload(number: int) -> bytes:
        if number not in tiles:
            raise CorruptFile("it is not in the file, or damaged", "tile")
        return tiles[number]

    return payload
