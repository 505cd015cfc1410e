"""What tiles cost and whether they show, and whether symbols decode alike on every machine; plain JSON values."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.bench.machine import describe_environment
from aez.bench.pictures.files import Picture, load_picture
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.entropy.tile import symbol_bytes
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import encode_picture, load
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ImageModel, ModelLike, open_model
from aez.codec.image.tile_kinds import split_kind
from aez.codec.image.tiles import TILE_DEFAULT, decode_latents, ideal_bytes, tile_symbols

__all__ = ["SEAM_PIXELS", "SeamError", "border_mask", "exactness", "other_bytes", "tiling"]

SEAM_PIXELS = 8


@dataclass
class SeamError:
    """Sums of squared errors near tile borders and elsewhere."""

    near: float = 0.0
    far: float = 0.0
    near_count: int = 0
    far_count: int = 0

    def add(self, original: Picture, decoded: Picture, border: npt.NDArray[np.bool_]) -> None:
        error = ((decoded.astype(np.float64) - original) ** 2).mean(axis=2)
        self.near, self.near_count = self.near + float(error[border].sum()), self.near_count + int(border.sum())
        self.far, self.far_count = self.far + float(error[~border].sum()), self.far_count + int((~border).sum())

    @property
    def ratio(self) -> float:
        """Mean error near borders over that elsewhere."""
        return (self.near / self.near_count) / (self.far / self.far_count)


def tiling(pictures: Iterable[Path], model: ModelLike = None, quality: float = 50, tile: int = 512) -> dict[str, Any]:
    """Seams, the cost of tiles, regions and the coder's overhead, over pictures larger than a tile.

    `seam_ratio`: mean squared error within 8 pixels of inner tile borders over that elsewhere, divided by the same
    quotient of the picture in one tile (borders lie in the middle of pictures, where there is more to see).
    `tile_cost`: bytes with tiles over bytes with the largest tile, minus one. `region_difference`: largest difference
    between a region and the crop of the whole. `overhead`: file bytes over the sum of -log2 p, minus one.
    `other_bytes`: file bytes that are no coded symbols, for a one-tile picture.
    """
    bundle = load(model)
    opened = open_model(bundle)
    rng = np.random.default_rng(0)
    errors = {name: SeamError() for name in ("tiled", "whole")}
    tiled_bytes = whole_bytes = worst = 0
    ideal = coded = 0.0
    for path in pictures:
        pixels = load_picture(path)
        height, width = pixels.shape[:2]
        tiled = encode_picture(pixels, quality, bundle, tile=tile, content="photo").data
        whole = encode_picture(pixels, quality, bundle, tile=TILE_DEFAULT, content="photo").data
        tiled_bytes, whole_bytes = tiled_bytes + len(tiled), whole_bytes + len(whole)
        header = Reader(io.BytesIO(whole), ImageHeader).header
        ideal, coded = ideal + ideal_bytes(opened, pixels, header), coded + len(whole)
        decoded = np.asarray(decode_picture(tiled, model=bundle).image)
        border = border_mask(height, width, tile)
        errors["tiled"].add(pixels, decoded, border)
        errors["whole"].add(pixels, np.asarray(decode_picture(whole, model=bundle).image), border)
        for _ in range(5):
            x, y = int(rng.integers(width - 1)), int(rng.integers(height - 1))
            w, h = int(rng.integers(1, width - x)), int(rng.integers(1, height - y))
            part = np.asarray(decode_picture(tiled, (x, y, w, h), model=bundle).image).astype(int)
            worst = max(worst, int(np.abs(part - decoded[y : y + h, x : x + w]).max()))
    if not errors["tiled"].near_count:
        raise InvalidArgument(
            f"no picture is larger than a tile of {tile} pixels; give larger pictures or smaller tiles"
        )
    return {
        "machine": asdict(describe_environment()),
        "model": bundle.name,
        "quality": quality,
        "tile": tile,
        "seam_ratio": errors["tiled"].ratio / errors["whole"].ratio,
        "border_to_elsewhere": errors["tiled"].ratio,
        "border_to_elsewhere_without_tiles": errors["whole"].ratio,
        "tile_cost": tiled_bytes / whole_bytes - 1,
        "region_difference": worst,
        "overhead": coded / ideal - 1,
        "other_bytes": other_bytes(whole),
    }


def other_bytes(data: bytes) -> int:
    """Bytes of a one-tile file outside the entropy coder's words and escapes: framing, header, checksums, index."""
    return len(data) - sum(
        symbol_bytes(split_kind(chunk.content)[1])
        for chunk in Reader(io.BytesIO(data), ImageHeader).chunks()
        if chunk.type == "T"
    )


def exactness(
    pictures: Iterable[Path], model: ModelLike = None, quality: float = 50, tile: int = 256
) -> dict[str, Any]:
    """Count differing symbols when tiles are decoded with other threads, optimisation, order, and on CUDA if present.

    The file is encoded with the defaults; `differences` maps each setting to the number of mismatches (0 expected; a
    wrong index would also fail the tile's checksum).
    """
    bundle = load(model)
    settings: dict[str, ImageModel] = {
        "1 thread": ImageModel(bundle, "cpu", 1),
        "2 threads": ImageModel(bundle, "cpu", 2),
        "1 thread, no graph optimisation": ImageModel(bundle, "cpu", 1, optimize=False),
        "2 threads, no graph optimisation": ImageModel(bundle, "cpu", 2, optimize=False),
    }
    missing = []
    try:
        cuda = ImageModel(bundle, "cuda")
        cuda.predict(np.zeros((cuda.geometry.hyper_channels, 1, 1), np.int32), 0).index()
        settings["cuda"] = cuda
    except InvalidArgument as error:
        missing.append(f"cuda: {error}")
    differences = dict.fromkeys(settings, 0)
    symbols = 0
    for path in pictures:
        pixels = load_picture(path)
        data = encode_picture(pixels, quality, bundle, tile=tile, content="photo").data
        reader = Reader(io.BytesIO(data), ImageHeader)
        header = reader.header
        wanted = [tile_symbols(open_model(bundle), pixels, header, number) for number in range(header.tiles)]
        symbols += sum(int((phase.index > 0).sum()) for s in wanted for phase in s.phases)
        symbols += sum(s.z.size for s in wanted)
        for name, opened in settings.items():
            for number in reversed(range(header.tiles)):  # another order than that of the encoder
                prediction = opened.predict(wanted[number].z, header.level)
                for phase in wanted[number].phases:
                    differences[name] += int((prediction.index() != phase.index).sum())
                    prediction.learn(phase.residual)
                decode_latents(opened, reader.tile(number), header, number)  # raises unless the checksum holds
    return {
        "machine": asdict(describe_environment()),
        "model": bundle.name,
        "quality": quality,
        "symbols": symbols,
        "differences": differences,
        "not_tested": missing,
    }


def border_mask(height: int, width: int, tile: int) -> npt.NDArray[np.bool_]:
    """Picture within `SEAM_PIXELS` of a border between two tiles."""

    def near(length: int) -> npt.NDArray[np.bool_]:
        position = np.arange(length)
        mask = np.zeros(length, bool)
        for border in range(tile, length, tile):
            mask |= (position >= border - SEAM_PIXELS) & (position < border + SEAM_PIXELS)
        return mask

    return near(height)[:, None] | near(width)[None, :]
