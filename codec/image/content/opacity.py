"""Alpha in the tiles of a picture: by itself, or in one picture with exact samples where that is smaller."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.image_header import ImageHeader
from aez.codec.exact.samples import decode_samples, encode_samples, encode_with_alpha, step_of
from aez.codec.image.pillow import Picture
from aez.codec.image.tile_kinds import TileKind, TileParts, join_parts, kind_of, split_parts
from aez.codec.image.tiles import Box, Pixels

__all__ = ["AlphaTiles", "alpha_of"]

#: Between alpha of 8 bits and the 16 that deep pictures have.
_WIDER = 257


def alpha_of(picture: Picture) -> AlphaTiles | None:
    """None for a picture without."""
    return None if picture.alpha is None else AlphaTiles(picture.alpha, picture.free)


@dataclass
class AlphaTiles:
    """The alpha uint8 or uint16 [height, width] of one picture.

    Where `free` [height, width] holds, nobody sees the colours of exact samples, and they may be any.
    """

    alpha: Pixels
    free: NDArray[np.bool_] | None = None
    _alone: dict[int, bytes] = field(default_factory=dict)
    _together: dict[tuple[int, bytes], bytes] = field(default_factory=dict)

    def add(self, content: bytes, header: ImageHeader, number: int) -> bytes:
        """The content of a tile of which `content` holds the colours, as in a mode without alpha.

        It is the same at every call.
        """
        box = Box(*header.box(number))
        parts = split_parts(content, box.height, box.width)
        alone = join_parts(TileParts(parts.symbols, parts.exact, parts.mask, self._by_itself(header, number)))
        if header.bits > 8 or kind_of(content) != TileKind.EXACT or not self._by_itself(header, number):
            return alone
        key = number, content
        if key not in self._together:
            assert parts.exact is not None
            self._together[key] = join_parts(TileParts(exact=self._with_colours(parts.exact, header, box), alpha=b""))
        return min(alone, self._together[key], key=len)

    def _part(self, box: Box) -> Pixels:
        return self.alpha[box.top : box.bottom, box.left : box.right]

    def alone(self, header: ImageHeader, number: int) -> int:
        """Bytes of a tile's alpha by itself."""
        return len(self._by_itself(header, number))

    def _by_itself(self, header: ImageHeader, number: int) -> bytes:
        """Exact samples of a tile's alpha; nothing where the tile is opaque."""
        if number not in self._alone:
            part = self._part(Box(*header.box(number)))
            wider = header.alpha_bits == 16 and part.dtype == np.uint8
            samples = part.astype(np.uint16) * _WIDER if wider else part
            opaque = bool(part.min() == np.iinfo(part.dtype).max)
            step = _WIDER if wider else 1
            self._alone[number] = b"" if opaque else encode_samples(samples[:, :, None], header.alpha_bits, step)
        return self._alone[number]

    def _with_colours(self, exact: bytes, header: ImageHeader, box: Box) -> bytes:
        channels = 1 if header.mode in ("L", "LA") else 3
        colours = decode_samples(exact, box.height, box.width, channels, header.bits)
        if self.free is not None:
            free = self.free[box.top : box.bottom, box.left : box.right]
            colours = np.where(free[:, :, None], np.uint8(0), colours)
        return encode_with_alpha(colours.astype(np.uint8), self._part(box).astype(np.uint8), step_of(exact))
