"""Codecs on pictures whose figures are known, and pictures for them."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from typing import Any

import numpy as np

from aez.bench.pictures.codecs import PictureCodec
from aez.bench.pictures.files import Picture

POINTS = (2.0, 5.0, 10.0, 20.0, 40.0, 70.0)


def toy_encode(image: Picture, quality: float) -> bytes:
    """Uniform quantization with a step of 100 / quality, deflated."""
    step = 100 / quality
    return struct.pack("<HHd", *image.shape[:2], step) + zlib.compress(np.rint(image / step).astype(np.uint8).tobytes())


def toy_decode(data: bytes) -> Picture:
    height, width, step = struct.unpack_from("<HHd", data)
    body = zlib.decompressobj().decompress(data[12:])  # whatever follows the stream is left alone
    levels = np.frombuffer(body, np.uint8).reshape(height, width, 3)
    return np.clip(np.rint(levels * step), 0, 255).astype(np.uint8)


def toy(name: str = "toy", **changes: Any) -> PictureCodec:
    peer = PictureCodec(name, toy_encode, toy_decode, POINTS, lowest=1, highest=100)
    return dataclasses.replace(peer, **changes)


def padded_encode(image: Picture, quality: float) -> bytes:
    data = toy_encode(image, quality)
    return data + bytes(len(data) // 4)


def padded(name: str = "padded") -> PictureCodec:
    """The toy with a quarter more bytes."""
    return toy(name, encode=padded_encode)


def waves(height: int = 64, width: int = 96, seed: int = 0) -> Picture:
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([np.sin(x / (9 + c)) + np.cos(y / (7 + c + seed)) for c in range(3)], axis=-1)
    return np.clip(128 + 45 * smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
