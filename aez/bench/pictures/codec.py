"""Measurements of the codec beyond rate and distortion: speed, tiling, memory, exactness; plain JSON values."""

from __future__ import annotations

import io
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez.bench.machine import describe_environment
from aez.bench.pictures.peers import standard_peers
from aez.bench.pictures.rd_report import load_picture
from aez.codec.bundle.bundle import Bundle
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.entropy.tile import symbol_bytes
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import ModelLike, decode_picture, encode_picture, load
from aez.codec.image.model import ImageModel, open_model
from aez.codec.image.tiles import TILE_DEFAULT, decode_latents, ideal_bytes, tile_symbols

Pixels = NDArray[np.uint8]
SEAM_PIXELS = 8
AEZ = (sys.executable, "-m", "aez")


def speed(pictures: Iterable[Path], model: ModelLike = None, quality: float = 50, repeats: int = 7) -> dict[str, Any]:
    """Milliseconds (median) to encode and decode in a warm process, AVIF at speed 6 4:4:4 in turn, and a cold decode.

    Encoding is array -> bytes, decoding bytes -> array; the AVIF quality is the one nearest in size.
    """
    bundle = load(model)
    avif = next(peer for peer in standard_peers() if "AVIF" in peer.name and "4:4:4" in peer.name)
    rows = []
    for path in pictures:
        pixels = load_picture(path)
        data = encode_picture(pixels, quality, bundle).data
        avif_quality, avif_data = min(
            ((q, avif.encode(pixels, q)) for q in range(10, 100, 10)), key=lambda pair: abs(len(pair[1]) - len(data))
        )
        actions: dict[str, Callable[[], object]] = {
            "encode": partial(encode_picture, pixels, quality, bundle),
            "decode": partial(_decode, data, bundle),
            "avif_encode": partial(avif.encode, pixels, avif_quality),
            "avif_decode": partial(avif.decode, avif_data),
        }
        times = in_turn(repeats, actions)
        height, width = pixels.shape[:2]
        rows.append({"picture": path.name, "width": width, "height": height, "bytes": len(data), **times})
    if not rows:
        raise InvalidArgument("there is no picture to time; give one or more")
    middle = {name: statistics.median(row[name] for row in rows) for name in times}
    return {
        "machine": asdict(describe_environment()),
        "model": bundle.name,
        "quality": quality,
        "pictures": rows,
        "milliseconds": middle,
        "encode_to_avif": middle["encode"] / middle["avif_encode"],
        "decode_to_avif": middle["decode"] / middle["avif_decode"],
        "cold_decode_seconds": _cold_decode(data, model),
    }


@dataclass
class SeamError:
    """Sums of squared errors near tile borders and elsewhere."""

    near: float = 0.0
    far: float = 0.0
    near_count: int = 0
    far_count: int = 0

    def add(self, original: Pixels, decoded: Pixels, border: NDArray[np.bool_]) -> None:
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
        tiled = encode_picture(pixels, quality, bundle, tile=tile).data
        whole = encode_picture(pixels, quality, bundle, tile=TILE_DEFAULT).data
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
        symbol_bytes(chunk.content) for chunk in Reader(io.BytesIO(data)).chunks() if chunk.type == "T"
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
        data = encode_picture(pixels, quality, bundle, tile=tile).data
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


def large(
    side: int = 10000, model: ModelLike = None, quality: float = 50, picture: Path | None = None
) -> dict[str, Any]:
    """Peak resident memory (MB) and seconds of `aez encode` and `aez decode` for a square picture, as own processes.

    The picture repeats `picture`, or is a generated texture.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (Path(folder) / name for name in ("large.png", "large.aez", "back.png"))
        _write_large(source, side, picture)
        arguments = _model_option(model)
        encode = _measured(["encode", str(source), "-o", str(coded), "-q", str(quality), *arguments])
        decode = _measured(["decode", str(coded), "-o", str(back), *arguments])
        return {
            "model": load(model).name,
            "quality": quality,
            "side": side,
            "bytes": coded.stat().st_size,
            "encode": encode,
            "decode": decode,
            "machine": asdict(describe_environment()),
        }


def soak(
    count: int = 2000,
    model: ModelLike = None,
    largest: int = 640,
    seed: int = 0,
    settled: int = 200,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Encode and decode pictures of random sizes in this process; resident memory after `settled` pictures and later.

    `growth` is the largest later reading over the median of the hundred after `settled`, minus one.
    """
    bundle = load(model)
    rng = np.random.default_rng(seed)
    readings = []
    for number in range(count):
        height, width = (int(v) for v in rng.integers(16, largest, 2))
        pixels = _texture(rng, height, width)
        data = encode_picture(pixels, float(rng.uniform(1, 100)), bundle).data
        decode_picture(data, model=bundle)
        readings.append(_resident_megabytes())
        if progress is not None:
            progress(number + 1)
    base = statistics.median(readings[settled : settled + 100] or readings)
    return {
        "machine": asdict(describe_environment()),
        "model": bundle.name,
        "pictures": count,
        "resident_megabytes": {str(n): readings[n - 1] for n in range(settled, count + 1, settled)},
        "settled_megabytes": base,
        "growth": max(readings[settled:] or readings) / base - 1,
    }


def _decode(data: bytes, bundle: Bundle) -> Pixels:
    return np.asarray(decode_picture(data, model=bundle).image)


def in_turn(repeats: int, actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each action, after one round of warming up; the actions take turns."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for round_number in range(repeats + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if round_number:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: round(statistics.median(values), 1) for name, values in times.items()}


def _cold_decode(data: bytes, model: ModelLike) -> float:
    """Best of three runs of the whole command, from a new process to a PNG on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.aez"
        source.write_bytes(data)
        command = [*AEZ, "decode", str(source), "-o", str(Path(folder) / "a.png"), "--force", *_model_option(model)]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return round(min(times), 2)


def _model_option(model: ModelLike) -> list[str]:
    return [] if model is None else ["--model", str(model)]


def border_mask(height: int, width: int, tile: int) -> NDArray[np.bool_]:
    """Pixels within `SEAM_PIXELS` of a border between two tiles."""

    def near(length: int) -> NDArray[np.bool_]:
        position = np.arange(length)
        mask = np.zeros(length, bool)
        for border in range(tile, length, tile):
            mask |= (position >= border - SEAM_PIXELS) & (position < border + SEAM_PIXELS)
        return mask

    return near(height)[:, None] | near(width)[None, :]


def _texture(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Smooth random colours with some noise: cheap, and not free to code."""
    coarse = rng.integers(0, 256, (math.ceil(height / 24) + 1, math.ceil(width / 24) + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy: Pixels = np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
    return noisy


def _write_large(path: Path, side: int, picture: Path | None) -> None:
    cell = load_picture(picture) if picture is not None else _texture(np.random.default_rng(0), 1024, 1024)
    repeats = (math.ceil(side / cell.shape[0]), math.ceil(side / cell.shape[1]), 1)
    Image.fromarray(np.tile(cell, repeats)[:side, :side]).save(path, compress_level=1)


def _measured(arguments: list[str]) -> dict[str, float]:
    """Run `aez ARGUMENTS` under a parent that reports its peak memory."""
    program = (
        "import json, resource, subprocess, sys, time; start = time.perf_counter();"
        "subprocess.run(sys.argv[1:], check=True);"
        "print(json.dumps([resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, time.perf_counter() - start]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *AEZ, *arguments], check=True, capture_output=True, text=True
    )
    kilobytes, seconds = json.loads(result.stdout.strip().splitlines()[-1])
    return {"peak_megabytes": round(kilobytes / 1024), "seconds": round(seconds, 1)}


def _resident_megabytes() -> float:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


__all__ = [
    "SeamError",
    "border_mask",
    "exactness",
    "in_turn",
    "large",
    "other_bytes",
    "soak",
    "speed",
    "tiling",
]
