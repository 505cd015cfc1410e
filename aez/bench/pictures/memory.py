"""How much memory the codec takes: for one very large picture, and over many pictures in one process."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aez.bench.machine import describe_environment
from aez.bench.pictures.files import Picture, load_picture
from aez.bench.pictures.speed import AEZ, model_option
from aez.codec.common.extras import library
from aez.codec.image.api import encode_picture, load
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ModelLike

__all__ = ["large", "soak"]


def large(
    side: int = 10000, model: ModelLike = None, quality: float = 50, picture: Path | None = None
) -> dict[str, Any]:
    """Peak resident memory (MB) and seconds of `aez encode` and `aez decode` for a square picture, as own processes.

    The picture repeats `picture`, or is a generated texture.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (Path(folder) / name for name in ("large.png", "large.aez", "back.png"))
        _write_large(source, side, picture)
        arguments = model_option(model)
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
    this = library("psutil", "bench").Process()
    bundle = load(model)
    rng = np.random.default_rng(seed)
    readings = []
    for number in range(count):
        height, width = (int(v) for v in rng.integers(16, largest, 2))
        pixels = _texture(rng, height, width)
        data = encode_picture(pixels, float(rng.uniform(1, 100)), bundle).data
        decode_picture(data, model=bundle)
        readings.append(this.memory_info().rss / 2**20)
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


def _texture(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Smooth random colours with some noise: cheap, and not free to code."""
    coarse = rng.integers(0, 256, (math.ceil(height / 24) + 1, math.ceil(width / 24) + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy: Picture = np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
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
