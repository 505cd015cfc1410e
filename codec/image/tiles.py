"""Coding of 8-bit RGB pixels: tiles, halos, symbols. What surrounds the pixels (modes, metadata) is in `pillow`.

A picture is cut in tiles whose symbols are coded independently. The analysis sees each tile with a halo of its
neighbourhood and the synthesis each tile with a halo of its neighbours' latents, both as wide as the networks'
receptive fields, so that a tile's border is computed from the same numbers as its middle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.image_header import ImageHeader
from aez.codec.entropy.tile import PhaseSymbols, TileDecoder, encode_tile, ideal_bits
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput
from aez.codec.image.model import Float, Geometry, ImageModel

Pixels = NDArray[np.uint8]
TILE_DEFAULT, TILE_MIN, TILE_MAX = 1024, 64, 2048
#: Symbols are refused above this size; no sane model comes near it.
SYMBOL_MAX = 1 << 19
MISSING_GREY = 128


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def grow(self, by: int, limit: Box) -> Box:
        """This box with a margin, cut to `limit`."""
        return Box(
            max(self.left - by, limit.left),
            max(self.top - by, limit.top),
            min(self.right + by, limit.right),
            min(self.bottom + by, limit.bottom),
        )

    def slices(self, origin: Box, stride: int) -> tuple[slice, slice]:
        """(rows, columns) of this box in an array that starts at `origin` and has one element per `stride` pixels."""
        return (
            slice((self.top - origin.top) // stride, (self.bottom - origin.top) // stride),
            slice((self.left - origin.left) // stride, (self.right - origin.left) // stride),
        )


def check_tile(tile: int, unit: int) -> None:
    """Raise InvalidArgument for a tile size that this codec does not write."""
    if not TILE_MIN <= tile <= TILE_MAX or tile % unit:
        raise InvalidArgument(f"tile size {tile} is not a multiple of {unit} in {TILE_MIN}..{TILE_MAX}")


def aligned(box: Box, unit: int) -> Box:
    """The box with right and bottom rounded up to the unit; left and top of tiles are multiples already."""
    return Box(box.left, box.top, -(-box.right // unit) * unit, -(-box.bottom // unit) * unit)


def _whole(header: ImageHeader, unit: int) -> Box:
    return aligned(Box(0, 0, header.width, header.height), unit)


def _tile_box(header: ImageHeader, number: int, unit: int) -> Box:
    return aligned(Box(*header.box(number)), unit)


@dataclass(frozen=True)
class TileSymbols:
    """The integers of one tile, as `encode_tile` takes them."""

    z: NDArray[np.int32]
    phases: list[PhaseSymbols]


def tile_latents(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int) -> tuple[Float, Float]:
    """(y, z) of one tile of a picture uint8 [height, width, 3]: y before quantization, z holds integers."""
    g = model.geometry
    box = _tile_box(header, number, g.alignment)
    seen = box.grow(g.analysis_halo, _whole(header, g.alignment))
    y, z = model.analysis(crop_planes(pixels, seen), header.level)
    return (
        y[(slice(None), *box.slices(seen, g.latent_stride))],
        z[(slice(None), *box.slices(seen, g.hyper_stride))],
    )


def tile_symbols(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int) -> TileSymbols:
    """Transform and quantize one tile of a picture uint8 [height, width, 3]."""
    y, latent_z = tile_latents(model, pixels, header, number)
    z = _to_integers(latent_z)
    prediction = model.predict(z, header.level)
    phases = []
    for phase in range(len(model.geometry.phases)):
        mean = prediction.mean_soon()
        index = prediction.index()
        residual = _to_integers(np.rint(model.geometry.take_phase(y, phase) - mean()))
        residual[index == 0] = 0
        prediction.learn(residual)
        phases.append(PhaseSymbols(residual, index))
    return TileSymbols(z, phases)


def encode_tile_pixels(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int) -> bytes:
    """Payload of one tile."""
    s = tile_symbols(model, pixels, header, number)
    return encode_tile(s.z, s.phases, header.level, model.tables)


def ideal_bytes(model: ImageModel, pixels: Pixels, header: ImageHeader) -> float:
    """Sum of -log2 p over all tiles' symbols, in bytes: what a perfect entropy coder would need."""
    bits = 0.0
    for number in range(header.tiles):
        s = tile_symbols(model, pixels, header, number)
        bits += ideal_bits(s.z, s.phases, header.level, model.tables)
    return bits / 8


def crop_planes(pixels: Pixels, box: Box) -> Float:
    """Float32 [3, H, W] in 0..1 of a box that may reach over the right and bottom edges, which are repeated."""
    height, width = pixels.shape[:2]
    part = pixels[box.top : min(box.bottom, height), box.left : min(box.right, width)]
    planes = part.transpose(2, 0, 1).astype(np.float32, order="C")
    planes *= np.float32(1 / 255)
    below, beside = box.height - planes.shape[1], box.width - planes.shape[2]
    return np.pad(planes, ((0, 0), (0, below), (0, beside)), mode="edge") if below or beside else planes


def _to_integers(values: Float) -> NDArray[np.int32]:
    if not bool(np.isfinite(values).all()) or float(np.abs(values).max(initial=0)) > SYMBOL_MAX:
        raise ModelError("the model gives latents that are not finite or far too large for this picture")
    return values.astype(np.int32)


def decode_latents(model: ImageModel, payload: bytes, header: ImageHeader, number: int) -> Float:
    """y of one tile, float32 [channels, H/8, W/8]. Raises CorruptFile when the symbols' checksum does not hold."""
    g = model.geometry
    check_header(header, g)
    box = _tile_box(header, number, g.alignment)
    decoder = TileDecoder(payload, model.tables, header.level)
    z = decoder.hyper((g.hyper_channels, box.height // g.hyper_stride, box.width // g.hyper_stride))
    y = np.empty((g.channels, box.height // g.latent_stride, box.width // g.latent_stride), np.float32)
    prediction = model.predict(z, header.level)
    for phase in range(len(g.phases)):
        mean = prediction.mean_soon()
        residual = decoder.residual(prediction.index())
        part = mean()
        part += residual  # in place: float32 stays float32
        g.put_phase(y, phase, part)
        prediction.learn(residual)
    decoder.finish()
    return y


@dataclass
class RegionDecoder:
    """Decodes rectangles of one file, keeping the latents of few tiles.

    `payload(number)` gives a tile's bytes; where `missing` is a list, damaged tiles are collected in it and leave grey.
    No memory is taken for the picture before a first tile of it has been decoded.
    """

    model: ImageModel
    header: ImageHeader
    payload: Callable[[int], bytes]
    missing: list[CorruptFile] | None = None
    advance: Callable[[], None] = lambda: None

    def decode(self, region: Box) -> Pixels:
        """Pixels uint8 [height, width, 3] of a region inside the picture. Raises CorruptFile where no tile is whole."""
        check_header(self.header, self.model.geometry)
        out: Pixels | None = None
        latents: dict[int, Float | None] = {}
        tile, columns = self.header.tile, self.header.columns
        for row in range(region.top // tile, -(-region.bottom // tile)):
            first = (row * tile - self.model.geometry.synthesis_halo) // tile * columns
            for number in [n for n in latents if n < first]:
                del latents[number]
            for column in range(region.left // tile, -(-region.right // tile)):
                number = row * columns + column
                shown = Box(*self.header.box(number)).grow(0, region)
                pixels = self._tile(number, shown, latents)
                if pixels is not None:
                    if out is None:
                        out = np.full((region.height, region.width, 3), MISSING_GREY, np.uint8)
                    out[shown.slices(region, 1)] = pixels
                self.advance()
        if out is None:
            raise CorruptFile("no tile of the picture is whole where it should be decoded", "tile")
        return out

    def _tile(self, number: int, shown: Box, latents: dict[int, Float | None]) -> Pixels | None:
        """Pixels of the part of a tile that is `shown`, or None where the tile is lost."""
        unit = self.model.geometry.alignment
        # Only the aligned surroundings of what is shown are synthesized.
        inner = Box(shown.left // unit * unit, shown.top // unit * unit, shown.right, shown.bottom)
        seen = aligned(inner, unit).grow(self.model.geometry.synthesis_halo, _whole(self.header, unit))
        y = self._assemble(number, seen, latents)
        if y is None:
            return None
        image = self.model.synthesis(y, self.header.level)
        rows, columns = shown.slices(seen, 1)
        return to_pixels(image[:, rows, columns])

    def _assemble(self, number: int, seen: Box, latents: dict[int, Float | None]) -> Float | None:
        """Latents of `seen` from all tiles that touch it; None when tile `number` itself is lost."""
        g = self.model.geometry
        tile = self.header.tile
        if seen == _tile_box(self.header, number, g.alignment):  # nothing to put together
            if number not in latents:
                latents[number] = self._latents(number)
            return latents[number]
        y = np.zeros((g.channels, seen.height // g.latent_stride, seen.width // g.latent_stride), np.float32)
        for row in range(seen.top // tile, min(-(-seen.bottom // tile), self.header.rows)):
            for column in range(seen.left // tile, min(-(-seen.right // tile), self.header.columns)):
                other = row * self.header.columns + column
                if other not in latents:
                    latents[other] = self._latents(other)
                part = latents[other]
                if part is None:
                    if other == number:
                        return None
                    continue
                box = _tile_box(self.header, other, g.alignment)
                shared = box.grow(0, seen)
                y[(slice(None), *shared.slices(seen, g.latent_stride))] = part[
                    (slice(None), *shared.slices(box, g.latent_stride))
                ]
        return y

    def _latents(self, number: int) -> Float | None:
        try:
            return decode_latents(self.model, self.payload(number), self.header, number)
        except CorruptFile as error:
            named = CorruptFile(f"tile {number}: {error}", error.chunk or "tile")
            if self.missing is None:
                raise named from error
            self.missing.append(named)
            return None


def to_pixels(image: Float) -> Pixels:
    """uint8 [H, W, 3] of an image [3, H, W] in 0..1, which is overwritten. Raises ModelError where it is not finite."""
    scaled = np.multiply(image, np.float32(255), out=image)  # new memory for it costs up to a millisecond
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, 255, out=scaled)
    if np.isnan(scaled.sum()):
        raise ModelError("the model gives pixels that are not numbers for this latent")
    pixels = np.empty((*scaled.shape[1:], len(scaled)), np.uint8)
    for channel, plane in enumerate(scaled.astype(np.uint8)):  # a third of the time of one transposed copy
        pixels[:, :, channel] = plane
    return pixels


def check_header(header: ImageHeader, geometry: Geometry) -> None:
    """Raise CorruptFile for a header that no encoder writes for a model of this geometry."""
    if header.level > geometry.level_max:
        raise CorruptFile(f"the header says quality level {header.level}, above {geometry.level_max}", "header")
    if header.tile % geometry.alignment:
        raise CorruptFile(
            f"the header says tiles of {header.tile} pixels, not a multiple of {geometry.alignment}", "header"
        )


def check_plausible(header: ImageHeader, available: int, max_pixels: int) -> None:
    """Refuse a header whose picture is too large, or larger than the file's bytes can possibly hold.

    `available` counts the file's bytes. Raises UnsupportedInput above `max_pixels`, CorruptFile for tiles that are too
    large, TruncatedFile for more tiles than bytes.
    """
    if header.width * header.height > max_pixels:
        raise UnsupportedInput(
            f"a picture of {header.width}x{header.height} pixels is above the limit of {max_pixels} pixels; "
            "raise max_pixels if the file is to be trusted"
        )
    if header.tile > TILE_MAX:
        raise CorruptFile(f"the header says tiles of {header.tile} pixels, and {TILE_MAX} is the largest", "header")
    if header.tiles > available:
        raise TruncatedFile(
            f"the header says {header.width}x{header.height} pixels in {header.tiles} tiles, "
            f"which a file of {available} bytes cannot hold",
            "header",
        )


def payload_of(tiles: Mapping[int, bytes]) -> Callable[[int], bytes]:
    """A `RegionDecoder.payload` over tiles in memory."""

    def payload(number: int) -> bytes:
        if number not in tiles:
            raise CorruptFile("it is not in the file, or damaged", "tile")
        return tiles[number]

    return payload
