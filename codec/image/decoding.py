"""`.aez` bytes to pictures: what `import aez` offers, in terms of the parts beside this file."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.common.arguments import check_numbers
from aez.codec.container.chunks import MODEL, TILE, ChunkInfo
from aez.codec.container.image_header import COLORIMETRY, ICC, ImageHeader
from aez.codec.container.kinds import kind_name
from aez.codec.container.reader import Reader
from aez.codec.entropy.quality import level_to_quality
from aez.codec.errors import AezError, CorruptFile, InvalidArgument, ModelError
from aez.codec.exact.samples import bound_of, step_of
from aez.codec.image.decoded import Decoded
from aez.codec.image.model import Geometry, ImageModel, ModelLike, open_model
from aez.codec.image.reducing import check_scale
from aez.codec.image.region import RegionDecoder, payload_of
from aez.codec.image.tile_kinds import TileKind, kind_of, needs_model
from aez.codec.image.tiles import Box, aligned, check_header, check_plausible, parts_of
from aez.codec.pixels.metadata import PER_INCH, colour_of

MAX_PIXELS = 1 << 30
#: A damaged file is given back in part only when this share of the picture's tiles is whole.
PARTIAL_SHARE = 1 / 64


def decode_picture(
    data: bytes,
    region: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    *,
    model: ModelLike = None,
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    beside: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    scale: int = 1,
) -> Decoded:
    """Decode a file, or its `region` (x, y, width, height, in stored pixels) alone.

    With a `scale` of 2, 4 or 8 it has one over it of its size, rounded up, each pixel the mean of a block; 8 takes less
    than half of the time where the model has a graph for it. A region then begins on a multiple of the scale. `partial`
    gives what is whole of a damaged file, the rest grey, and lists the damage. `beside` is the file's path: its model
    is also looked for in its folder and in those above it. Raises CorruptFile, TruncatedFile, VersionError, ModelError,
    InvalidArgument for a region outside the picture, UnsupportedInput above `max_pixels`, TypeError for what is no
    number where one belongs.
    """
    check_numbers({"region": region, "scale": scale, "partial": partial, "threads": threads, "max_pixels": max_pixels})
    reader = Reader(io.BytesIO(data), ImageHeader, partial=partial)
    header = reader.header
    check_plausible(header, len(data), max_pixels)
    check_scale(scale)
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
    opened = _open_for(tiles, header, extras.get(MODEL), model, device, threads, beside)
    box = _region_box(header, region)
    if box.left % scale or box.top % scale:
        raise InvalidArgument(f"the region begins at {box.left},{box.top}, which are no multiples of {scale}")
    total = _tiles_in(box, header.tile)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    decoder = RegionDecoder(opened, header, payload_of(tiles), damage if partial else None, advance, scale)
    return _decoded(decoder, box, extras, damage)


def _decoded(decoder: RegionDecoder, box: Box, extras: Mapping[str, bytes], damage: list[CorruptFile]) -> Decoded:
    pixels, alpha = decoder.decode_with_alpha(box)
    metadata = {letter: content for letter, content in extras.items() if letter != MODEL}
    return Decoded(decoder.header, pixels, alpha, metadata, tuple(damage))


def decode_region(
    stream: BinaryIO,
    region: tuple[int, int, int, int],
    partial: bool = False,
    *,
    model: ModelLike = None,
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    beside: str | os.PathLike[str] | None = None,
) -> Decoded:
    """As `decode_picture`, of a file that can seek, of which only the tiles are read that the region needs.

    Damage elsewhere is not seen, and metadata is that of the whole. Raises as `decode_picture`.
    """
    check_numbers({"region": region, "partial": partial, "threads": threads, "max_pixels": max_pixels})
    reader = Reader(stream, ImageHeader, partial=partial)
    header = reader.header
    check_plausible(header, stream.seek(0, os.SEEK_END), max_pixels)
    box = _region_box(header, region)
    extras = reader.extras([letter for letter in header.once if letter != MODEL])
    bundle = functools.cache(lambda: _bundle_of(reader, model, beside))
    if reader.far:
        reader.expect(_tiles_seen(header, box, bundle))
    read: dict[int, bytes] = {}

    def payload(number: int) -> bytes:
        if number not in read:
            read[number] = reader.tile(number)
        return read[number]

    damage = list(reader.damage)
    decoder = RegionDecoder(None, header, payload, damage if partial else None)
    if _needs_model(header, box, payload, partial):
        decoder.model = open_for(header, None, bundle(), device, threads, None)
    return _decoded(decoder, box, extras, damage)


def _bundle_of(reader: Reader[ImageHeader], model: ModelLike, beside: str | os.PathLike[str] | None) -> Bundle:
    """The model of a file; one that is at hand is as good as the half in the file, which is read if there is none.

    Raises ModelError, CorruptFile.
    """
    header = reader.header
    if model is not None or all(info.type != MODEL for info in reader.listing()):
        return _model_for(header, None, model, beside)
    with contextlib.suppress(ModelError):
        return _model_for(header, None, None, None)
    return _model_for(header, reader.extras([MODEL]).get(MODEL), None, beside)


def _tiles_seen(header: ImageHeader, box: Box, bundle: Callable[[], Bundle]) -> list[int]:
    """The tiles that a box touches, and where the file has a model those that its pixels see around it."""
    seen = box
    if any(header.model_id):
        with contextlib.suppress(ModelError, CorruptFile):  # whoever needs the model will say so
            geometry = Geometry.of(bundle().coding)
            unit = geometry.alignment
            inner = aligned(Box(box.left // unit * unit, box.top // unit * unit, box.right, box.bottom), unit)
            seen = inner.grow(geometry.synthesis_halo, Box(0, 0, header.width, header.height))
    rows = range(seen.top // header.tile, -(-seen.bottom // header.tile))
    columns = range(seen.left // header.tile, -(-seen.right // header.tile))
    return [row * header.columns + column for row in rows for column in columns]


def _needs_model(header: ImageHeader, box: Box, payload: Callable[[int], bytes], partial: bool) -> bool:
    """Whether a tile that the box touches holds symbols. Raises CorruptFile unless `partial`."""
    for row in range(box.top // header.tile, -(-box.bottom // header.tile)):
        for column in range(box.left // header.tile, -(-box.right // header.tile)):
            try:
                if needs_model(payload(row * header.columns + column)):
                    return True
            except CorruptFile:
                if not partial:
                    raise
    return False


def shown_size(data: bytes, region: tuple[int, int, int, int] | None = None) -> tuple[int, int]:
    """(width, height) of stored pixels that decoding a file gives, or its `region`. Raises as `decode_picture`."""
    box = _region_box(Reader(io.BytesIO(data), ImageHeader).header, region)
    return box.width, box.height


def _open_for(
    tiles: Mapping[int, bytes],
    header: ImageHeader,
    embedded: bytes | None,
    model: ModelLike,
    device: str,
    threads: int | None,
    beside: str | os.PathLike[str] | None,
) -> ImageModel | None:
    """The model that tiles need; None where they need none. Raises ModelError, CorruptFile."""
    if not any(needs_model(content) for content in tiles.values()):
        return None
    return open_for(header, embedded, model, device, threads, beside)


def open_for(
    header: ImageHeader,
    embedded: bytes | None,
    model: ModelLike,
    device: str,
    threads: int | None,
    beside: str | os.PathLike[str] | None,
) -> ImageModel:
    """The model of a file, found as `decode_picture` says, `embedded` in it or not. Raises ModelError, CorruptFile."""
    opened = open_model(_model_for(header, embedded, model, beside), device, threads)
    check_header(header, opened.geometry)
    return opened


def _model_for(
    header: ImageHeader, embedded: bytes | None, model: ModelLike, beside: str | os.PathLike[str] | None
) -> Bundle:
    if isinstance(model, Bundle):
        if not bytes.fromhex(model.id).startswith(header.model_id):
            raise ModelError(f"the file needs model {header.model_id.hex()}, and {model.name} is model {model.id[:16]}")
        return model
    return find_bundle(model, header.model_id, embedded, beside)


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


def describe(data: bytes, beside: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """What a file holds, as plain JSON values: header, model, bits per pixel, chunks. Reads no tile's symbols.

    `beside` is the file's path, near which its model may lie. Raises CorruptFile, TruncatedFile, VersionError; every
    checksum of the file is checked.
    """
    reader = Reader(io.BytesIO(data), ImageHeader)
    header = reader.header
    words: dict[str, bytes] = {}
    kinds: Counter[TileKind] = Counter()
    steps: list[int] = []
    alpha_bytes = 0
    for chunk in reader.chunks():
        if chunk.type in (ICC, COLORIMETRY):
            words[chunk.type] = chunk.content
        elif chunk.type == TILE:
            kind = kind_of(chunk.content)
            kinds[kind] += 1
            parts = parts_of(chunk.content, header, chunk.tile)
            alpha_bytes += len(parts.alpha or b"")
            if kind == TileKind.EXACT:
                assert parts.exact is not None
                steps.append(step_of(parts.exact))
    described = _described(header, words, reader.inventory, len(data), beside)
    described["kinds"] = {kind.name.lower(): kinds[kind] for kind in TileKind if kinds[kind]}
    described["alpha_bytes"] = alpha_bytes
    described["max_error"] = bound_of(max(steps)) if len(steps) == header.tiles else None
    return described


def describe_ends(stream: BinaryIO, beside: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """As `describe`, of a file that can seek, of which header, colour and index are read, and no tile.

    `kinds`, `max_error` and `alpha_bytes` are None, for they stand in the tiles, and no checksum of those is looked at.
    """
    reader = Reader(stream, ImageHeader)
    chunks = reader.listing()
    words = reader.extras([ICC, COLORIMETRY])
    return _described(reader.header, words, chunks, stream.seek(0, os.SEEK_END), beside)


def _described(
    header: ImageHeader,
    words: Mapping[str, bytes],
    chunks: Sequence[ChunkInfo],
    size: int,
    beside: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """What header, colour and the list of chunks say of a file of `size` bytes."""
    embedded = any(info.type == MODEL for info in chunks)
    return {
        "kind": kind_name(header.KIND),
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "bits": header.bits,
        "range": None if header.value_range is None else list(header.value_range),
        "orientation": header.orientation,
        "colour": colour_of(header, words).describe(),
        "dpi": None if header.resolution is None else [round(count / PER_INCH, 3) for count in header.resolution],
        "quality": round(level_to_quality(header.level), 2),
        "level": header.level,
        "tile": header.tile,
        "tiles": header.tiles,
        "kinds": None,
        "max_error": None,
        "model": {"id": header.model_id.hex(), "name": _model_name(header.model_id, beside), "embedded": embedded},
        "alpha_bytes": None,
        "bytes": size,
        "bpp": 8 * size / (header.width * header.height),
        "chunks": [
            {"type": info.type, "name": info.name, "offset": info.offset, "bytes": info.length, "payload": info.payload}
            for info in chunks
        ],
    }


def _model_name(model_id: bytes, beside: str | os.PathLike[str] | None) -> str | None:
    try:
        return find_bundle(None, model_id, beside=beside).name
    except AezError:
        return None
