"""Range images of a turning LiDAR in a few bytes: 32 beams by 96 directions, computed for streets with walls and cars.

Nearness is learned, 1 at two metres and 0 far away, as a metre matters more near by. Bytes are those of codes of 64
numbers, of principal components coded the same way, and of PNG with steps of 10 cm.

python samples/autoencoders/lidar.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from helper import Float, heat, learn, leave, read_options, sheet
from PIL import Image

BEAMS, DIRECTIONS, HEIGHT, NEAREST, FARTHEST = 32, 96, 1.8, 2.0, 80.0


def streets(count: int, seed: int) -> Float:
    """Ranges in metres [count, beams, directions] of a sensor 1.8 m above a street between two walls, with cars."""
    rng = np.random.default_rng(seed)
    up = np.radians(np.linspace(6, -22, BEAMS))[:, None]
    around = np.linspace(-np.pi, np.pi, DIRECTIONS, endpoint=False)[None]
    ahead, aside = np.cos(up) * np.cos(around), np.cos(up) * np.sin(around)
    made = []
    for _ in range(count):
        found = np.where(np.sin(up) < 0, HEIGHT / np.maximum(-np.sin(up), 1e-6), FARTHEST) + 0 * around
        for sign, wall in ((1, rng.uniform(4, 12)), (-1, rng.uniform(4, 12))):
            found = np.minimum(found, np.where(sign * aside > 1e-6, wall / np.maximum(sign * aside, 1e-6), FARTHEST))
        for _ in range(rng.integers(0, 5)):
            side = rng.choice([-1, 1]) * rng.uniform(2.2, 3.8)
            found = np.minimum(found, _box(ahead, aside, np.sin(up), rng.uniform(-25, 25), side))
        made.append(found + 0.02 * rng.standard_normal(found.shape))
    return np.clip(np.stack(made), NEAREST, FARTHEST).astype(np.float32)


def _box(ahead: Float, aside: Float, up: Float, x: float, y: float) -> Float:
    """Ranges at which rays enter a car of 4.4 x 1.8 x 1.5 m on the ground."""
    enter, leave_ = np.full(ahead.shape, 0.0), np.full(ahead.shape, FARTHEST)
    sides = ((ahead, x - 2.2, x + 2.2), (aside, y - 0.9, y + 0.9), (up + 0 * ahead, -HEIGHT, 1.5 - HEIGHT))
    for ray, low, high in sides:
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        a, b = low / ray, high / ray
        enter, leave_ = np.maximum(enter, np.minimum(a, b)), np.minimum(leave_, np.maximum(a, b))
    return np.where(enter < leave_, enter, FARTHEST)


def nearness(ranges: Float) -> Float:
    """1 at the nearest, 0 at no echo."""
    return ((1 / ranges - 1 / FARTHEST) / (1 / NEAREST - 1 / FARTHEST)).astype(np.float32)


def ranges_of(near: Float) -> Float:
    """The way back."""
    return 1 / (near.clip(0, 1) * (1 / NEAREST - 1 / FARTHEST) + 1 / FARTHEST)


def png_bytes(one: Float) -> int:
    """Of ranges in steps of 10 cm, 16 bits."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(one * 10).astype(np.uint16)).save(buffer, "PNG", optimize=True)
    return len(buffer.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, code, and say how many metres are off."""
    options = read_options(str(__doc__), arguments)
    learned, asked = streets(200 if options.quick else 3000, 1), streets(20 if options.quick else 500, 2)
    rows: list[list[object]] = [["", "bytes an image", "median error, m", "within 20 m, mean"]]
    shown = {"nearness": nearness(asked)}
    for name, family in (("conv, 64 numbers", "conv"), ("PCA, 64 numbers", "pca")):
        model = learn(nearness(learned), family, options.quick, 20, latent=64)
        coder = model.coder(4)
        coded = coder.encode(model.encode(nearness(asked)).mean)
        back = model.decode(coder.decode(coded, len(asked)))
        errors, close = np.abs(ranges_of(back) - asked), asked < 20
        rows.append([name, len(coded) / len(asked), float(np.median(errors)), float(errors[close].mean())])
        shown[f"{name}, {len(coded) / len(asked):.0f} bytes"] = back
    rows.append(["PNG, steps of 10 cm", float(np.mean([png_bytes(one) for one in asked])), 0.025, 0.025])
    leave(options, "lidar", sheet({key: heat(one.clip(0, 1) ** 0.5) for key, one in shown.items()}, 3, 288), rows)


if __name__ == "__main__":
    main()
