"""Digits in 32 numbers: a code of a few bytes beside JPEG, PNG and WebP of as many.

The other formats get one picture of all digits, so that none pays for headers, at the scale and the quality that serve
them best among those that need no more bytes.

python samples/autoencoders/digits.py [FOLDER] [--out FOLDER] [--quick]
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from helper import MNIST_LIKE, Float, learn, leave, psnr, read_options, sheet, small_pictures
from PIL import Image

QUALITIES = (1, 5, 10, 20, 30, 40, 50, 60, 75, 90)
#: Format -> settings to try.
FORMATS: dict[str, Sequence[dict[str, Any]]] = {
    "JPEG": [{"quality": quality, "optimize": True} for quality in QUALITIES],
    "WebP": [{"quality": quality, "method": 4} for quality in QUALITIES],
    "PNG": [{"levels": levels, "optimize": True} for levels in (2, 4, 8, 16, 256)],
}


def attempts(mosaic: Image.Image, kind: str) -> Iterator[tuple[int, Image.Image]]:
    """(Bytes, what comes back) of a mosaic by a format at several scales and settings."""
    for share in (1, 2, 4, 7):
        small = mosaic.resize((mosaic.width // share, mosaic.height // share), Image.Resampling.BOX)
        for settings in FORMATS[kind]:
            given = dict(settings)
            levels = given.pop("levels", 256)
            step = 255 / (levels - 1)
            coarse = small if levels == 256 else small.point(lambda value, step=step: round(round(value / step) * step))
            if kind == "PNG" and levels <= 16:
                coarse = coarse.quantize(levels)
            buffer = io.BytesIO()
            coarse.save(buffer, kind, **given)
            back = Image.open(buffer).convert("L").resize(mosaic.size, Image.Resampling.BICUBIC)
            yield len(buffer.getvalue()), back


def best_at(pictures: Float, kind: str, most: float) -> tuple[float, Float] | None:
    """(Bytes a picture, what comes back) of a format by at most so many bytes a picture; None where it needs more."""
    across = math.isqrt(len(pictures))
    used = pictures[: across * across]
    side = used.shape[1]
    whole = used.reshape(across, across, side, side).transpose(0, 2, 1, 3).reshape(across * side, -1)
    found = attempts(Image.fromarray(np.rint(255 * whole).astype(np.uint8)), kind)
    fitting = [(size / len(used), np.asarray(back, np.float32) / 255) for size, back in found]
    fitting = [(size, back) for size, back in fitting if size <= most]
    if not fitting:
        return None
    size, back = max(fitting, key=lambda one: psnr(whole, one[1]))
    return size, back.reshape(across, side, across, side).transpose(0, 2, 1, 3).reshape(used.shape)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, and set what comes back beside what the other formats make of as many bytes."""
    options = read_options(str(__doc__), arguments, MNIST_LIKE)
    learned, tested = small_pictures(options.data)
    model = learn(learned, "dense", options.quick, 40, latent=32)
    values = model.values(tested)
    clean, codes = model.unit(values), model.encode(values).mean
    rows: list[list[object]] = [["", "bytes a picture", "PSNR, dB"]]
    shown = {"digits": clean}
    for bits in (2, 4, 6):
        coder = model.coder(bits)
        coded = coder.encode(codes)
        made = model.unit(model.decode(coder.decode(coded, len(codes))))
        size = len(coded) / len(codes)
        rows.append([f"32 numbers, {bits} bits", size, psnr(clean, made)])
        if bits != 4:
            continue
        shown[f"32 numbers, {size:.1f} bytes"] = made
        for kind in FORMATS:
            found = best_at(clean, kind, size)
            rows.append(
                [
                    f"{kind} by as many",
                    *((None, None) if found is None else (found[0], psnr(clean[: len(found[1])], found[1]))),
                ]
            )
            if found is not None:
                shown[f"{kind}, {found[0]:.1f} bytes"] = found[1]
    leave(options, "digits", sheet(shown), rows)


if __name__ == "__main__":
    main()
