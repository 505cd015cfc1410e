"""Coding of RGB samples: tiles, halos, symbols. What surrounds the pixels (modes, metadata) is in `pillow`.

A picture is cut in tiles whose symbols are coded independently. The analysis sees each tile with a halo of its
neighbourhood and the synthesis each tile with a halo of its neighbours' latents, both as wide as the networks'
receptive fields, so that a tile's border is computed from the same numbers as its middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.image_header import TILE_MAX, ImageHeader
from aez.codec.entropy.tile import PhaseSymbols, TileDecoder, encode_tile, ideal_bits
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput
from aez.codec.exact.samples import decode_samples
from aez.codec.image.model import Float, Geometry, ImageModel
from aez.codec.image.tile_kinds import (
    TileKind,
    TileParts,
    join_kind,
    split_kind,
    split_parts,
)

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
TILE_DEFAULT, TILE_MIN = 1024, 64
#: Pixels of the shorter side up to which a picture counts as thin: a tile of it has few, and costs as many bytes.
_THIN = 128
#: Symbols are refused above this size; no sane model comes near it.
SYMBOL_MAX = 1 << 19


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

    def covered(self, origin: Box, stride: int) -> tuple[slice, slice]:
        """As `slices`, with the element that the right and lower edges cut through."""
        rows, columns = self.slices(origin, stride)
        bottom, right = -(-(self.bottom - origin.top) // stride), -(-(self.right - origin.left) // stride)
        return slice(rows.start, bottom), slice(columns.start, right)

    def slices(self, origin: Box, stride: int) -> tuple[slice, slice]:
        """(rows, columns) of this box in an array that starts at `origin` and has one element per `stride` pixels."""
        return (
            slice((self.top - origin.top) // stride, (self.bottom - origin.top) // stride),
            slice((self.left - origin.left) // stride, (self.right - origin.left) // stride),
        )


def usual_tile(width: int, height: int) -> int:
    """The side of a picture's tiles where none is asked for; a thin picture has longer ones."""
    return TILE_MAX if min(width, height) <= _THIN else TILE_DEFAULT


def check_tile(tile: int, unit: int) -> None:
    """Raise InvalidArgument for a tile size that this codec does not write."""
    if not TILE_MIN <= tile <= TILE_MAX or tile % unit:
        raise InvalidArgument(f"tile size {tile} is not a multiple of {unit} in {TILE_MIN}..{TILE_MAX}")


def aligned(box: Box, unit: int) -> Box:
    """The box with right and bottom rounded up to the unit; left and top of tiles are multiples already."""
    return Box(box.left, box.top, -(-box.right // unit) * unit, -(-box.bottom // unit) * unit)


def whole_box(header: ImageHeader, unit: int) -> Box:
    """A picture with right and bottom rounded up to the unit."""
    return aligned(Box(0, 0, header.width, header.height), unit)


def tile_box(header: ImageHeader, number: int, unit: int) -> Box:
    """A tile with right and bottom rounded up to the unit."""
    return aligned(Box(*header.box(number)), unit)


@dataclass(frozen=True)
class TileSymbols:
    """The integers of one tile, as `encode_tile` takes them."""

    z: NDArray[np.int32]
    phases: list[PhaseSymbols]


def latents_within(model: ImageModel, pixels: Pixels, header: ImageHeader, box: Box) -> tuple[Float, Float]:
    """(y, z) of an aligned box of a picture [height, width, 3]: y before quantization, z holds integers."""
    g = model.geometry
    seen = box.grow(g.analysis_halo, whole_box(header, g.alignment))
    y, z = model.analysis(crop_planes(pixels, seen, header.bits), header.level)
    return (
        y[(slice(None), *box.slices(seen, g.latent_stride))],
        z[(slice(None), *box.slices(seen, g.hyper_stride))],
    )


def tile_latents(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int) -> tuple[Float, Float]:
    """(y, z) of one tile of a picture uint8 [height, width, 3]: y before quantization, z holds integers."""
    return latents_within(model, pixels, header, tile_box(header, number, model.geometry.alignment))


def tile_symbols(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int) -> TileSymbols:
    """Transform and quantize one tile of a picture uint8 [height, width, 3]."""
    return _quantized(model, *tile_latents(model, pixels, header, number), header.level)


def _quantized(
    model: ImageModel, y: Float, latent_z: Float, level: int, cells: tuple[slice, slice] | None = None
) -> TileSymbols:
    """With `cells` (rows, columns), residuals are 0 outside of these."""
    outside = None
    if cells is not None:
        stride = model.geometry.cells
        outside = np.ones((y.shape[1] // stride, y.shape[2] // stride), np.bool_)
        outside[cells] = False
    z = _to_integers(latent_z)
    prediction = model.predict(z, level)
    phases = []
    for phase in range(len(model.geometry.phases)):
        mean = prediction.mean_soon()
        index = prediction.index()
        residual = _to_integers(np.rint(model.geometry.take_phase(y, phase) - mean()))
        residual[index == 0] = 0
        if outside is not None:
            residual[:, outside] = 0
        prediction.learn(residual)
        phases.append(PhaseSymbols(residual, index))
    return TileSymbols(z, phases)


def encode_tile_pixels(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int) -> bytes:
    """Content of one tile."""
    return encode_latents(model, *tile_latents(model, pixels, header, number), header.level)


def encode_latents(
    model: ImageModel, y: Float, z: Float, level: int, cells: tuple[slice, slice] | None = None
) -> bytes:
    """Content of a tile with these latents, as `tile_latents` gives them.

    With `cells` (rows, columns of `state_stride` pixels), y is what z foretells outside of these.
    """
    s = _quantized(model, y, z, level, cells)
    return join_kind(TileKind.LEARNED, encode_tile(s.z, s.phases, level, model.tables))


def tile_payload(content: bytes) -> bytes:
    """The symbols of a tile that holds nothing else."""
    return split_kind(content)[1]


def ideal_bytes(model: ImageModel, pixels: Pixels, header: ImageHeader) -> float:
    """Sum of -log2 p over all tiles' symbols, in bytes: what a perfect entropy coder would need."""
    bits = 0.0
    for number in range(header.tiles):
        s = tile_symbols(model, pixels, header, number)
        bits += ideal_bits(s.z, s.phases, header.level, model.tables)
    return bits / 8


def crop_planes(pixels: Pixels, box: Box, bits: int = 8) -> Float:
    """Float32 [3, H, W] in 0..1 of a box that may reach over the right and bottom edges, which are repeated.

    `pixels` are samples of `bits`, uint8 or uint16 [height, width, 3].
    """
    height, width = pixels.shape[:2]
    part = pixels[box.top : min(box.bottom, height), box.left : min(box.right, width)]
    planes = part.transpose(2, 0, 1).astype(np.float32, order="C")
    planes *= np.float32(1 / ((1 << bits) - 1))
    below, beside = box.height - planes.shape[1], box.width - planes.shape[2]
    return np.pad(planes, ((0, 0), (0, below), (0, beside)), mode="edge") if below or beside else planes


def _to_integers(values: Float) -> NDArray[np.int32]:
    if not bool(np.isfinite(values).all()) or float(np.abs(values).max(initial=0)) > SYMBOL_MAX:
        raise ModelError("the model gives latents that are not finite or far too large for this picture")
    return values.astype(np.int32)


def decode_latents(model: ImageModel, content: bytes, header: ImageHeader, number: int) -> Float:
    """y of one tile, float32 [channels, H/8, W/8]. Raises CorruptFile when the symbols' checksum does not hold."""
    symbols = parts_of(content, header, number).symbols
    if symbols is None:
        raise CorruptFile("the tile has no symbols", "tile")
    g = model.geometry
    check_header(header, g)
    box = tile_box(header, number, g.alignment)
    decoder = TileDecoder(symbols, model.tables, header.level)
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


def parts_of(content: bytes, header: ImageHeader, number: int) -> TileParts:
    """What a tile holds. Raises CorruptFile, VersionError."""
    box = Box(*header.box(number))
    return split_parts(content, box.height, box.width, header.has_alpha)


def exact_pixels(parts: TileParts, header: ImageHeader, number: int) -> tuple[Pixels, Pixels | None]:
    """Samples [height, width, 3] of the exact part of a tile, and the alpha [height, width] that it may hold.

    Raises CorruptFile, VersionError.
    """
    assert parts.exact is not None
    box = Box(*header.box(number))
    channels = 1 if header.mode in ("L", "LA") else 3
    may_hold = parts.alpha == b"" and parts.symbols is None
    samples = decode_samples(parts.exact, box.height, box.width, channels, header.bits, may_hold)
    alpha = samples[:, :, channels] if samples.shape[2] > channels else None
    colours = samples[:, :, :channels]
    return colours if channels == 3 else cast("Pixels", np.repeat(colours, 3, axis=2)), alpha


def alpha_samples(parts: TileParts, header: ImageHeader, number: int) -> Pixels:
    """Alpha [height, width] of a tile whose exact samples hold none. Raises CorruptFile, VersionError."""
    box, bits = Box(*header.box(number)), header.alpha_bits
    if not parts.alpha:
        return opaque(box.height, box.width, bits)
    return decode_samples(parts.alpha, box.height, box.width, 1, bits)[:, :, 0]


def opaque(height: int, width: int, bits: int) -> Pixels:
    """Alpha of 8 or 16 bits where nothing is seen through."""
    return np.full((height, width), 255, np.uint8) if bits == 8 else np.full((height, width), 65535, np.uint16)


def check_tile_content(model: ImageModel | None, content: bytes, header: ImageHeader, number: int) -> None:
    """Decode all of a tile but its pixels. Raises CorruptFile, VersionError."""
    parts = parts_of(content, header, number)
    if parts.exact is not None:
        exact_pixels(parts, header, number)
    if parts.alpha is not None:
        alpha_samples(parts, header, number)
    if parts.symbols is not None and model is not None:
        decode_latents(model, content, header, number)


def to_pixels(image: Float) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] of an image [3, H, W] in 0..1, which is overwritten. Raises ModelError where it is not finite."""
    return np.asarray(to_samples(image, 8), np.uint8)


def to_samples(image: Float, bits: int) -> Pixels:
    """Samples uint8, above 8 bits uint16, [H, W, 3] of an image [3, H, W] in 0..1, which is overwritten.

    Raises ModelError where it is not finite.
    """
    top, kind = np.float32((1 << bits) - 1), np.uint8 if bits == 8 else np.uint16
    scaled = np.multiply(image, top, out=image)  # new memory for it costs up to a millisecond
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, top, out=scaled)
    if np.isnan(scaled.sum()):
        raise ModelError("the model gives pixels that are not numbers for this latent")
    pixels: Pixels = np.empty((*scaled.shape[1:], len(scaled)), kind)
    for channel, plane in enumerate(scaled.astype(kind)):  # a third of the time of one transposed copy
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

    `available` counts the file's bytes. Raises UnsupportedInput above `max_pixels`, TruncatedFile for more tiles than
    bytes.
    """
    if header.width * header.height > max_pixels:
        raise UnsupportedInput(
            f"a picture of {header.width}x{header.height} pixels is above the limit of {max_pixels} pixels; "
            "raise max_pixels if the file is to be trusted"
        )
    if header.tiles > available:
        raise TruncatedFile(
            f"the header says {header.width}x{header.height} pixels in {header.tiles} tiles, "
            f"which a file of {available} bytes cannot hold",
            "header",
        )
