"""How long encoding and decoding take in a warm process, beside AVIF in turn, and a decode from the shell."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aez.bench.machine import describe_environment
from aez.bench.pictures.codecs import standard_peers
from aez.bench.pictures.files import Picture, load_picture
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import encode_picture, load
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ModelLike

__all__ = ["AEZ", "in_turn", "model_option", "speed"]

#: The command `aez`, as a process.
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


def _decode(data: bytes, bundle: Bundle) -> Picture:
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
        command = [*AEZ, "decode", str(source), "-o", str(Path(folder) / "a.png"), "--force", *model_option(model)]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return round(min(times), 2)


def model_option(model: ModelLike) -> list[str]:
    """The model as arguments of the command `aez`."""
    return [] if model is None else ["--model", str(model)]
