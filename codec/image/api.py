"""Pictures to `.aez` bytes and back: what `import aez` offers, in terms of the parts beside this file."""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import PSNR_MODEL, find_bundle
from aez.codec.container.chunks import MODEL, TILE
from aez.codec.container.image_header import ALPHA, ImageHeader
from aez.codec.container.kinds import kind_name
from aez.codec.container.reader import Reader
from aez.codec.container.writer import Writer
from aez.codec.entropy.quality import LEVEL_MAX, level_to_quality, quality_to_level
from aez.codec.errors import AezError, CorruptFile, InvalidArgument, ModelError
from aez.codec.image import distortion
from aez.codec.image.model import ImageModel, open_model
from aez.codec.image.pillow import Picture, as_shown, decode_alpha, encode_alpha, put_together, take_apart
from aez.codec.image.targets import OutOfReach, Target, find_level
from aez.codec.image.tiles import (
    TILE_DEFAULT,
    Box,
    RegionDecoder,
    check_header,
    check_plausible,
    check_tile,
    encode_tile_pixels,
    payload_of,
)

ImageLike = Image.Image | NDArray[np.uint8]
ModelLike = str | os.PathLike[str] | bytes | Bundle | None
MAX_PIXELS = 1 << 30
QUALITY_DEFAULT = 50.0
#: No file comes near this many bits per pixel; more is not asked for.
BPP_MAX = 1e6
#: A damaged file is given back in part only when this share of the picture's tiles is whole.
PARTIAL_SHARE = 1 / 64


@dataclass(frozen=True)
class Encoded:
    """An encoded picture: the file's bytes, the quality they were made with, and what was not kept."""

    data: bytes
    quality: float
    pixels: int
    notices: tuple[str, ...]

    @property
    def bpp(self) -> float:
        """Bits of the file per pixel."""
        return 8 * len(self.data) / self.pixels


@dataclass(frozen=True)
class Decoded:
    """A decoded picture, and the damage behind which parts of it are missing (grey); empty unless `partial`."""

    image: Image.Image
    damage: tuple[CorruptFile, ...]


def load(ref: ModelLike = None) -> Bundle:
    """A model by path, name, id or bytes; without one, the default. Raises ModelError."""
    return ref if isinstance(ref, Bundle) else find_bundle(ref)


def load_for(ref: ModelLike, psnr: float | None) -> Bundle:
    """As `load`; without a model, that with the highest PSNR where `psnr` is the target. Raises ModelError."""
    return load(PSNR_MODEL if ref is None and psnr is not None else ref)


def encode_picture(
    image: ImageLike,
    quality: float | None = None,
    model: ModelLike = None,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    ssimulacra2: float | None = None,
    max_bytes: int | None = None,
    tile: int = TILE_DEFAULT,
    keep_metadata: bool = True,
    embed_model: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Encoded:
    """Encode a picture (Pillow, or uint8 [H, W] or [H, W, 1..4]).

    At most one of `quality` (1..100, default 50), `bpp` (bits per pixel of the whole file, not exceeded), `psnr` (dB
    over RGB, reached), `ssimulacra2` (the score, reached; needs its package) and `max_bytes` (not exceeded); bytes end
    within 0.5 % of what is asked for where the levels allow it, a PSNR within 0.05 dB. Without a `model` it is the one
    that looks best, or with a `psnr` the one with the highest PSNR. `tile` is the side of the independently coded
    tiles, `embed_model` stores the decoding half of the model inside. `progress(done, total)` counts tiles.
    Raises InvalidArgument (also for a target that no quality reaches), UnsupportedInput, ModelError.
    """
    bundle = load_for(model, psnr)
    opened = open_model(bundle, device, threads)
    check_tile(tile, opened.geometry.alignment)
    picture = take_apart(image, keep_metadata)
    job = _EncodeJob(opened, picture, tile, bundle.decoding_half() if embed_model else None, progress)
    targets = {"quality": quality, "bpp": bpp, "psnr": psnr, "ssimulacra2": ssimulacra2, "max_bytes": max_bytes}
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) > 1:
        raise InvalidArgument(f"give only one of {', '.join(given)}")
    pixels = picture.pixels.shape[0] * picture.pixels.shape[1]
    if psnr is not None:
        level, data = _reach(job, _PSNR, psnr)
    elif ssimulacra2 is not None:
        level, data = _reach(job, _SSIMULACRA2, ssimulacra2)
    elif bpp is not None:
        if not (math.isfinite(bpp) and bpp > 0):
            raise InvalidArgument(f"bpp {bpp} is not a positive number")
        level, data = _fit_bytes(job, math.floor(min(bpp, BPP_MAX) * pixels / 8))
    elif max_bytes is not None:
        level, data = _fit_bytes(job, max_bytes)
    else:
        level = quality_to_level(QUALITY_DEFAULT if quality is None else quality)
        data = job.encode(level)
    return Encoded(data, level_to_quality(level), pixels, tuple(picture.notices))


@dataclass
class _EncodeJob:
    """One picture that is encoded at one or several levels."""

    model: ImageModel
    picture: Picture
    tile: int
    embedded: bytes | None
    progress: Callable[[int, int], None] | None = None

    def encode(self, level: int) -> bytes:
        height, width = self.picture.pixels.shape[:2]
        model_id = bytes.fromhex(self.model.bundle.id)[:8]
        header = ImageHeader(width, height, self.picture.mode, level, model_id, self.tile)
        stream = io.BytesIO()
        writer = Writer(stream, header)
        for letter, content in self.picture.metadata.items():
            writer.add(letter, content)
        if self.embedded is not None:
            writer.add(MODEL, self.embedded)
        if self.picture.alpha is not None:
            writer.add(ALPHA, self._alpha)
        for number in range(header.tiles):
            writer.tile(number, encode_tile_pixels(self.model, self.picture.pixels, header, number))
            if self.progress is not None:
                self.progress(number + 1, header.tiles)
        writer.close()
        return stream.getvalue()

    @functools.cached_property
    def _alpha(self) -> bytes:
        """The alpha chunk, which is the same at every level."""
        return b"" if self.picture.alpha is None else encode_alpha(self.picture.alpha)

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        return as_shown(_pixels(data, self.model), self.picture.mode)


def _pixels(data: bytes, model: ImageModel) -> NDArray[np.uint8]:
    reader = Reader(io.BytesIO(data), ImageHeader)
    header = reader.header
    return RegionDecoder(model, header, reader.tile).decode(Box(0, 0, header.width, header.height))


@dataclass(frozen=True)
class _Measure:
    """Of decoded pictures: what it is called, and of photographs its value at quality 1 and its rise up to 100.

    `near`: so much above the target is near enough.
    """

    name: str
    unit: str
    low: float
    rise: float
    near: float
    of: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float | None]


_PSNR = _Measure("PSNR", " dB", 25.5, 16.5, 0.05, distortion.psnr)
_SSIMULACRA2 = _Measure("SSIMULACRA 2", "", 10.0, 80.0, 0.5, distortion.ssimulacra2)
#: How far below a limit of bytes, relatively, is near enough.
_BYTES_NEAR = 0.005
#: Of photographs: the logarithm of bits per pixel at quality 1, and its rise up to 100.
_USUAL_BPP = (-2.5, 3.0)


def _fit_bytes(job: _EncodeJob, limit: int) -> tuple[int, bytes]:
    """A level whose file has at most `limit` bytes, and nearly as many."""
    pixels = job.picture.pixels.shape[0] * job.picture.pixels.shape[1]
    low, rise = _USUAL_BPP
    wanted = math.log(max(limit, 1))
    start = _usual_level((wanted - math.log(pixels / 8) - low) / rise)

    def attempt(level: int) -> tuple[float, bytes]:
        data = job.encode(level)
        return math.log(len(data)), data

    target = Target(wanted + math.log1p(-_BYTES_NEAR), wanted, False, start, rise)
    try:
        return find_level(target, attempt)
    except OutOfReach as error:
        smallest = round(math.exp(error.nearest))
        raise InvalidArgument(f"even quality 1 needs {smallest} bytes, more than the {limit} asked for") from None


def _reach(job: _EncodeJob, measure: _Measure, wanted: float) -> tuple[int, bytes]:
    """A level that reaches a value of `measure`, and hardly more."""

    def attempt(level: int) -> tuple[float, bytes]:
        data = job.encode(level)
        value = measure.of(job.picture.pixels, job.decoded(data))
        if value is None:
            raise InvalidArgument(f"{measure.name} says nothing of so small a picture; give --quality")
        return value, data

    if not math.isfinite(wanted):
        raise InvalidArgument(f"a {measure.name} of {wanted} cannot be reached")
    start = _usual_level((wanted - measure.low) / measure.rise)
    try:
        return find_level(Target(wanted, wanted + measure.near, True, start, measure.rise), attempt)
    except OutOfReach as error:
        raise InvalidArgument(
            f"quality 100 gives {error.nearest:.2f}{measure.unit}, less than the {wanted}{measure.unit} asked for"
        ) from None


def _usual_level(share: float) -> int:
    return round(min(max(share, 0.0), 1.0) * LEVEL_MAX)


def decode_picture(
    data: bytes,
    region: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    *,
    model: ModelLike = None,
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> Decoded:
    """Decode a file, or its `region` (x, y, width, height) alone.

    `partial` gives what is whole of a damaged file, the rest grey, and lists the damage. Raises CorruptFile,
    TruncatedFile, VersionError, ModelError, InvalidArgument for a region outside the picture, UnsupportedInput above
    `max_pixels`.
    """
    reader = Reader(io.BytesIO(data), ImageHeader, partial=partial)
    header = reader.header
    check_plausible(header, len(data), max_pixels)
    tiles: dict[int, bytes] = {}
    extras: dict[str, bytes] = {}
    for chunk in reader.chunks():
        if chunk.type == TILE:
            tiles[chunk.tile] = chunk.content
        else:
            extras[chunk.type] = chunk.content
    damage = list(reader.damage)
    if damage and len(tiles) < max(1, math.ceil(header.tiles * PARTIAL_SHARE)):
        raise damage[0]
    opened = open_model(_model_for(header, extras.get(MODEL), model), device, threads)
    check_header(header, opened.geometry)
    box = _region_box(header, region)
    total = _tiles_in(box, header.tile)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    decoder = RegionDecoder(opened, header, payload_of(tiles), damage if partial else None, advance)
    pixels = decoder.decode(box)
    alpha = _alpha(header, extras.get(ALPHA), box, damage if partial else None)
    metadata = {letter: content for letter, content in extras.items() if letter not in (ALPHA, MODEL)}
    return Decoded(put_together(pixels, header.mode, alpha, metadata), tuple(damage))


def _model_for(header: ImageHeader, embedded: bytes | None, model: ModelLike) -> Bundle:
    if isinstance(model, Bundle):
        if not bytes.fromhex(model.id).startswith(header.model_id):
            raise ModelError(f"the file needs model {header.model_id.hex()}, and {model.name} is model {model.id[:16]}")
        return model
    return find_bundle(model, header.model_id, embedded)


def _region_box(header: ImageHeader, region: tuple[int, int, int, int] | None) -> Box:
    if region is None:
        return Box(0, 0, header.width, header.height)
    if len(region) != 4:
        raise InvalidArgument(f"region {region} is not four integers x, y, width, height")
    x, y, width, height = region
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > header.width or y + height > header.height:
        raise InvalidArgument(
            f"region {x},{y},{width},{height} is not inside the {header.width}x{header.height} picture"
        )
    return Box(x, y, x + width, y + height)


def _tiles_in(box: Box, tile: int) -> int:
    return (-(-box.right // tile) - box.left // tile) * (-(-box.bottom // tile) - box.top // tile)


def _alpha(
    header: ImageHeader, content: bytes | None, box: Box, damage: list[CorruptFile] | None
) -> NDArray[np.uint8] | None:
    if not header.has_alpha:
        return None
    try:
        if content is None:
            raise CorruptFile("the alpha chunk is missing", "alpha")
        return decode_alpha(content, header.width, header.height)[box.top : box.bottom, box.left : box.right]
    except CorruptFile as error:
        if damage is None:
            raise
        if error.chunk not in {d.chunk for d in damage}:
            damage.append(error)
        return np.full((box.height, box.width), 255, np.uint8)


def describe(data: bytes) -> dict[str, Any]:
    """What a file holds, as plain JSON values: header, model, bits per pixel, chunks. Reads no tile's symbols.

    Raises CorruptFile, TruncatedFile, VersionError; every checksum of the file is checked.
    """
    reader = Reader(io.BytesIO(data), ImageHeader)
    for _ in reader.chunks():
        pass
    header = reader.header
    embedded = any(info.type == MODEL for info in reader.inventory)
    return {
        "kind": kind_name(header.KIND),
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "quality": round(level_to_quality(header.level), 2),
        "level": header.level,
        "tile": header.tile,
        "tiles": header.tiles,
        "model": {"id": header.model_id.hex(), "name": _model_name(header.model_id), "embedded": embedded},
        "bytes": len(data),
        "bpp": 8 * len(data) / (header.width * header.height),
        "chunks": [
            {"type": info.type, "name": info.name, "offset": info.offset, "bytes": info.length, "payload": info.payload}
            for info in reader.inventory
        ],
    }


def _model_name(model_id: bytes) -> str | None:
    try:
        return find_bundle(None, model_id).name
    except AezError:
        return None
