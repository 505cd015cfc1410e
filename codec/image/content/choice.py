"""What each tile of a picture is coded as: the cheapest in rate and distortion at the quality that is asked for.

Bits per pixel and the mean squared error (of samples as 8 bits) are weighed as the models were trained to. Towards
quality 100 an error weighs more, and a tile must reach a PSNR, which models alone do not on every picture.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.image_header import ImageHeader
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.errors import InvalidArgument
from aez.codec.exact.samples import encode_samples, quantize, step_of
from aez.codec.image.content.blocks import Blocks, look_at
from aez.codec.image.content.estimate import exact_may_win
from aez.codec.image.content.focus import encode_focused
from aez.codec.image.content.opacity import AlphaTiles
from aez.codec.image.content.weights import (
    FINE_LEVEL,
    FLAT_FACTOR,
    LADDER_LEVEL,
    block_errors,
    least_psnr,
    psnr_of,
    squared,
    steps_at,
    weight_at,
)
from aez.codec.image.model import ImageModel
from aez.codec.image.region import RegionDecoder
from aez.codec.image.tile_kinds import BLOCK, Mask, TileKind, TileParts, join_parts, spread
from aez.codec.image.tiles import Box, Pixels, encode_tile_pixels, tile_payload
from aez.codec.pixels.alpha import fill_hidden

__all__ = ["Content", "ExactTiles", "ModelTiles", "check_content"]

Content = Literal["auto", "photo", "graphics"]
#: Pixels up to which exact samples are always tried.
_TRIED_PIXELS = 1 << 14
#: Shares of a tile's blocks from which on it counts as of two kinds.
_PHOTO_SHARE, _DRAWN_SHARE = 0.01, 0.03
#: Share of photograph in a tile of both up to which exact samples alone are tried.
_ALL_EXACT_SHARE = 0.2
#: From this share on it is no page: photographs have flat places, too.
_ALL_PHOTO_SHARE = 0.95
#: Bits per pixel and their worth that the model takes at least where something is drawn, and exact samples where a
#: photograph is; and how many times its bytes a tile of both costs with what its photograph loses.
_DRAWN_COST, _PHOTO_COST, _SPARE = 2.0, 3.0, 1.5
#: Share of its bytes that a quick form of exact samples has left at best after a longer search.
_SEARCHED = 0.6

#: Most pixels among which the most common colour is looked for.
_LOOKED_AT = 1 << 20
#: Of the blocks in the order of their errors: their share is that of the bytes to this power.
_WORST_FIRST = 1.25


def check_content(content: str) -> None:
    """Raises InvalidArgument for a word that is none of `Content`."""
    if content not in get_args(Content):
        raise InvalidArgument(f"content {content!r} is none of {', '.join(get_args(Content))}")


@dataclass(frozen=True)
class ExactTiles:
    """Tiles of exact samples, or of such that a step is within."""

    step: int = 1
    alpha: AlphaTiles | None = None

    def encode(self, pixels: Pixels, header: ImageHeader, number: int) -> bytes:
        """Content of one tile of a picture [height, width, 3]."""
        part = pixels[Box(*header.box(number)).slices(_ORIGIN, 1)]
        content = join_parts(TileParts(exact=encode_samples(_channels(part, header), header.bits, self.step)))
        return content if self.alpha is None else self.alpha.add(content, header, number)


_ORIGIN = Box(0, 0, 0, 0)


def _channels(part: Pixels, header: ImageHeader) -> Pixels:
    return part[:, :, :1] if header.mode in ("L", "LA") else part


@dataclass(frozen=True)
class _Candidate:
    """A way to code a tile: its content, and its mean squared error as 8 bits, in graphics times a factor."""

    content: bytes
    error: float

    def cost(self, pixels: int, level: int, size: int | None = None) -> float:
        """`size`: bytes of the tile; without one, those of the content."""
        return 8 * (len(self.content) if size is None else size) / pixels + weight_at(level) * self.error


@dataclass
class ModelTiles:
    """Tiles of one picture that is coded at a quality: each as is cheapest."""

    model: ImageModel
    content: Content = "auto"
    alpha: AlphaTiles | None = None
    _blocks: Blocks | None = None
    _smooth: Pixels | None = None
    #: (tile, step, whether all of it, whether quickly) -> bytes.
    _exact: dict[tuple[int, int, bool, bool], bytes] = field(default_factory=dict)

    def encode(self, pixels: Pixels, header: ImageHeader, number: int) -> bytes:
        """Content of one tile of a picture [height, width, 3], which is the same at every call."""
        colours = dataclasses.replace(header, mode=header.mode.removesuffix("A"))
        free = None if self.alpha is None else self.alpha.free
        return self._with_alpha(self._colours(_Tile(colours, number, pixels, free)), colours, number)

    def _with_alpha(self, content: bytes, header: ImageHeader, number: int) -> bytes:
        return content if self.alpha is None else self.alpha.add(content, header, number)

    def _colours(self, tile: _Tile) -> bytes:
        """Content of one tile without alpha."""
        header = tile.header
        if self.content == "photo":
            return encode_tile_pixels(self.model, tile.picture, header, tile.number)
        if self.content == "graphics":
            return self._exact_one(tile, flat=True).content
        if self._blocks is None:
            self._blocks = look_at(_with_one_colour(tile.picture, tile.free), header.bits)
        found = list(self._candidates(tile))
        if len(found) == 1:
            return found[0].content
        least = least_psnr(header.level)
        allowed = [one for one in found if psnr_of(one.error) >= least] or [min(found, key=lambda one: one.error)]
        whole = {one: len(self._with_alpha(one.content, header, tile.number)) for one in allowed}
        return min(allowed, key=lambda one: one.cost(tile.pixels, header.level, whole[one])).content

    def _candidates(self, tile: _Tile) -> Iterator[_Candidate]:
        """Ways to code a tile; a single one needs no error."""
        assert self._blocks is not None
        photo, drawn = self._blocks.photo[tile.blocks], self._blocks.drawn[tile.blocks]
        # Margins that nothing is drawn in are kept as the rest of a page is.
        shows_page = max(drawn.mean(), self._blocks.drawn.mean()) > _DRAWN_SHARE
        if shows_page and photo.mean() < _ALL_PHOTO_SHARE:
            yield from self._on_page(tile, photo, drawn)
            return
        learned = encode_tile_pixels(self.model, tile.picture, tile.header, tile.number)
        level, samples = tile.header.level, tile.samples()
        if LADDER_LEVEL < level < LEVEL_MAX:
            yield self._between(tile, learned)
            return
        if not (
            level >= FINE_LEVEL
            or tile.pixels <= _TRIED_PIXELS
            or exact_may_win(samples, tile.header.bits, level, 8 * self._size(learned, tile) / tile.pixels)
        ):
            yield _Candidate(learned, 0.0)
            return
        one = _Candidate(learned, self._error(tile, learned))
        yield one
        reached = psnr_of(one.error) >= least_psnr(level)
        yield self._exact_one(tile, False, rival=one.cost(tile.pixels, level) if reached else math.inf)

    def _size(self, content: bytes, tile: _Tile) -> int:
        """Bytes of a tile with alpha by itself."""
        return len(content) + (0 if self.alpha is None else self.alpha.alone(tile.header, tile.number))

    def _between(self, tile: _Tile, learned: bytes) -> _Candidate:
        """A rung between the model's last quality and exact samples: these in the blocks where the model errs most.

        Bytes rise by equal factors from level to level. Exact samples alone, where they are no more.
        """
        level, bits = tile.header.level, tile.header.bits
        last = self._exact_one(
            dataclasses.replace(tile, header=dataclasses.replace(tile.header, level=LEVEL_MAX)), False
        )
        share = (level - LADDER_LEVEL) / (LEVEL_MAX - LADDER_LEVEL)
        budget = len(learned) ** (1 - share) * len(last.content) ** share
        if len(last.content) <= budget:
            return last
        errors = block_errors(tile.part, self._decoded(tile, learned))
        # The first blocks, where the model errs most, take more bytes than others.
        count = int(errors.size * (max(0.0, budget - len(learned)) / len(last.content)) ** _WORST_FIRST)
        if not count:
            return _Candidate(learned, 0.0)
        photo = np.ones(errors.shape, np.bool_)
        photo.reshape(-1)[np.argsort(errors, axis=None, kind="stable")[::-1][:count]] = False
        samples = tile.samples(photo)
        exact = encode_samples(samples, bits, step_of(tile_payload(last.content)))
        return _Candidate(join_parts(TileParts(tile_payload(learned), exact, ~photo)), 0.0)

    def _on_page(self, tile: _Tile, photo: Mask, drawn: Mask) -> Iterator[_Candidate]:
        """Of a tile in which something is drawn, or of the margin of such a page."""
        share, level = float(photo.mean()), tile.header.level
        least = math.inf
        if share > _PHOTO_SHARE:
            exact = self._exact_one(tile, True, photo)
            content = _joined(self._focused(tile, photo), exact.content, photo)
            least = _SPARE * _Candidate(content, exact.error).cost(tile.pixels, level)
            error = exact.error
            if level >= FINE_LEVEL or least > min(_PHOTO_COST * share, _DRAWN_COST * float(drawn.mean())):
                error += self._error(tile, content)
            yield _Candidate(content, error)
        if level >= FINE_LEVEL or (share < _ALL_EXACT_SHARE and _PHOTO_COST * share < least):
            exact = self._exact_one(tile, flat=True)
            least = min(least, exact.cost(tile.pixels, level))
            yield exact
        if _DRAWN_COST * float(drawn.mean()) < least:
            # Where it shows graphics the model leaves ripples around text and seams in margins.
            whole = encode_tile_pixels(self.model, tile.picture, tile.header, tile.number)
            yield _Candidate(whole, self._error(tile, whole, ~photo))

    def _exact_one(self, tile: _Tile, flat: bool, photo: Mask | None = None, rival: float = math.inf) -> _Candidate:
        """Exact samples, or such within a step, whichever is cheaper at the level.

        With a `photo` they have one colour there, and the error is what they lose elsewhere. Where they cannot come
        below the cost of a `rival`, no time is spent on searching their shortest form.
        """
        bits, level = tile.header.bits, tile.header.level
        samples = tile.samples(photo)
        factor = FLAT_FACTOR if flat else 1.0
        tried = []
        for step in steps_at(level, flat):
            scaled = _scaled(step, bits)
            error = factor * squared(samples, quantize(samples, scaled, bits), bits)
            if psnr_of(error) >= least_psnr(level) or step == 1:
                quick = self._coded(tile, samples, scaled, photo is None, quick=True)
                tried.append((_Candidate(quick, error).cost(tile.pixels, level), scaled, error))
        _, scaled, error = min(tried)
        quick = self._coded(tile, samples, scaled, photo is None, quick=True)
        if _Candidate(quick, error).cost(tile.pixels, level, round(_SEARCHED * len(quick))) > rival:
            return _Candidate(quick, error)
        return _Candidate(self._coded(tile, samples, scaled, photo is None), error)

    def _coded(self, tile: _Tile, samples: Pixels, step: int, whole: bool, quick: bool = False) -> bytes:
        """Content of a tile of these samples alone, which is the same at every level."""
        key = tile.number, step, whole, quick
        if key not in self._exact:
            self._exact[key] = join_parts(TileParts(exact=encode_samples(samples, tile.header.bits, step, quick)))
        return self._exact[key]

    def _focused(self, tile: _Tile, photo: Mask) -> bytes:
        """Content of a tile in which the model sees the photograph alone."""
        assert self._blocks is not None
        if self._smooth is None:
            height, width = tile.picture.shape[:2]
            self._smooth = fill_hidden(tile.picture, spread(self._blocks.photo, height, width).astype(np.uint8))
        return encode_focused(self.model, self._smooth, tile.header, tile.number, photo)

    def _error(self, tile: _Tile, content: bytes, flat: Mask | None = None) -> float:
        """Of a tile alone, without its neighbours; in blocks that are `flat` it weighs more."""
        decoded = tile.with_free(self._decoded(tile, content))
        error = squared(tile.part, decoded, tile.header.bits)
        if flat is None or not flat.any():
            return error
        where = spread(flat, *tile.part.shape[:2])
        share = float(where.mean())
        return error + (FLAT_FACTOR - 1) * share * squared(tile.part[where], decoded[where], tile.header.bits)

    def _decoded(self, tile: _Tile, content: bytes) -> Pixels:
        def payload(number: int) -> bytes:
            return content if number == tile.number else _EMPTY

        return RegionDecoder(self.model, tile.header, payload).decode(Box(*tile.header.box(tile.number)))


#: A tile without symbols, for which its neighbours need no samples.
_EMPTY = bytes([TileKind.EXACT])


@dataclass(frozen=True)
class _Tile:
    header: ImageHeader
    number: int
    picture: Pixels
    free: NDArray[np.bool_] | None

    @property
    def box(self) -> Box:
        return Box(*self.header.box(self.number))

    @property
    def part(self) -> Pixels:
        return self.picture[self.box.slices(_ORIGIN, 1)]

    def samples(self, photo: Mask | None = None) -> Pixels:
        """What is coded exactly, with one colour where a photograph is and where nobody sees it."""
        samples = _channels(self.part, self.header)
        left_out = np.zeros(samples.shape[:2], np.bool_) if photo is None else spread(photo, *samples.shape[:2])
        if self.free is not None:
            left_out |= self.free[self.box.slices(_ORIGIN, 1)]
        return _with_one_colour(samples, left_out)

    def with_free(self, decoded: Pixels) -> Pixels:
        """Decoded samples without an error where nobody sees them."""
        if self.free is None:
            return decoded
        return np.where(self.free[self.box.slices(_ORIGIN, 1)][:, :, None], self.part, decoded)

    @property
    def pixels(self) -> int:
        return self.box.width * self.box.height

    @property
    def blocks(self) -> tuple[slice, slice]:
        box = self.box
        return slice(box.top // BLOCK, -(-box.bottom // BLOCK)), slice(box.left // BLOCK, -(-box.right // BLOCK))


def _joined(learned: bytes, exact: bytes, photo: Mask) -> bytes:
    """Content of a tile that has `learned` symbols where `photo` holds, and `exact` samples elsewhere."""
    return join_parts(TileParts(tile_payload(learned), tile_payload(exact), ~photo))


def _scaled(step: int, bits: int) -> int:
    """A step of 8-bit samples for deeper ones; without loss it stays."""
    return 1 if step == 1 else step << (bits - 8)


def _with_one_colour(samples: Pixels, where: NDArray[np.bool_] | None) -> Pixels:
    """Samples [height, width, channels] of which those `where` it holds have the most common colour of the others."""
    if where is None or not where.any() or where.all():
        return samples
    samples = samples.copy()
    samples[where] = _most_common(samples[~where])
    return samples


def _most_common(colours: Pixels) -> Pixels:
    """The colour [channels] that occurs most often among [n, channels], or among some of very many."""
    colours = colours[:: -(-len(colours) // _LOOKED_AT)]
    packed = np.zeros(len(colours), np.int64)
    for channel in range(colours.shape[1]):
        packed = packed << 16 | colours[:, channel]
    _, places, counts = np.unique(packed, return_index=True, return_counts=True)
    common: Pixels = colours[places[counts.argmax()]]
    return common
