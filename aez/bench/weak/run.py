"""Where models lose: kinds of pictures that transform codecs find hard, and rates that are nearly lossless.

For each kind, how many bytes every codec needs to reach a PSNR, and how many PNG and lossless WebP need for the picture
itself. Bytes are sums over the pictures of a kind; a codec that does not reach the PSNR on one of them has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aez.bench.machine import describe_environment
from aez.bench.pictures.codecs import PictureCodec, aez_codec, standard_peers
from aez.bench.pictures.files import QUICK_PICTURES, Picture, find_pictures, load_picture, spread
from aez.bench.progress import progress_bar
from aez.bench.weak.kinds import KINDS, Kind
from aez.bench.weak.report import LOSSLESS, KindResult, Level, WeakReport
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import psnr

__all__ = ["TARGETS", "run"]

#: dB; the last two are what people call nearly lossless.
TARGETS = (32.0, 38.0, 42.0, 45.0)
PEERS = ("JPEG", "WebP", "AVIF 4:4:4")


def run(
    models: Sequence[str | Path | PictureCodec],
    folder: str | Path | None = None,
    peers: Sequence[PictureCodec] | None = None,
    targets: Sequence[float] = TARGETS,
    kinds: Sequence[Kind] = KINDS,
    quick: bool = False,
    progress: bool = True,
) -> WeakReport:
    """Measure models and peers on the kinds of `weak.kinds`, and on a folder's lossless pictures as one more kind.

    Args:
        models: paths or names of models, or other codecs to put to the test.
        folder: 8-bit pictures without alpha (png, bmp, ppm, tiff).
        peers: by default JPEG, WebP and AVIF 4:4:4; what is not available here is named in the report.
        targets: PSNRs in dB.
        kinds: what to make.
        quick: one picture of each kind, at most three of the folder.
        progress: a bar on the standard error output.

    Raises:
        UnsupportedInput: the folder holds no such picture.
        InvalidArgument: there is nothing to measure, or two codecs have one name.
    """
    tested = [model if isinstance(model, PictureCodec) else aez_codec(model) for model in models]
    others = [p for p in standard_peers() if p.name in PEERS] if peers is None else list(peers)
    unavailable = {c.name: f"needs {missing}" for c in (*tested, *others) if (missing := c.missing()) is not None}
    codecs = [c for c in (*tested, *others) if c.name not in unavailable]
    names = [c.name for c in codecs]
    if not tested:
        raise InvalidArgument("there is no model to measure; name one")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InvalidArgument(f"two codecs are called {repeated[0]!r}; give each its own name")
    return WeakReport(
        models=tuple(c.name for c in tested if c.name not in unavailable),
        peers=tuple(c.name for c in others if c.name not in unavailable),
        kinds=tuple(_measure_all(_jobs(kinds, folder, quick), codecs, tuple(sorted(targets)), progress)),
        unavailable=unavailable,
        quick=quick,
        environment=describe_environment(),
        bundles={c.name: dict(c.model) for c in tested if c.model},
    )


@dataclass(frozen=True)
class _Job:
    """Pictures of one kind, each behind a function that makes or reads it."""

    name: str
    about: str
    pictures: list[Callable[[], Picture]]


def _jobs(kinds: Sequence[Kind], folder: str | Path | None, quick: bool) -> list[_Job]:
    of_folder = []
    if folder is not None:
        paths, _ = find_pictures(Path(folder))
        paths = spread(paths, QUICK_PICTURES) if quick else paths
        about = f"{len(paths)} picture{'s' if len(paths) != 1 else ''} of a folder"
        of_folder = [_Job(Path(folder).resolve().name, about, [_reader(path) for path in paths])]
    made = ((kind, kind.make()[: 1 if quick else None]) for kind in kinds)
    return [_Job(kind.name, kind.about, [_constant(p) for p in pictures]) for kind, pictures in made] + of_folder


def _constant(picture: Picture) -> Callable[[], Picture]:
    return lambda: picture


def _reader(path: Path) -> Callable[[], Picture]:
    return lambda: load_picture(path)


def _measure_all(
    jobs: Sequence[_Job], codecs: Sequence[PictureCodec], targets: tuple[float, ...], progress: bool
) -> Iterator[KindResult]:
    total = sum(len(job.pictures) for job in jobs) * len(codecs)
    with progress_bar(total, "curve", progress) as advance:
        for job in jobs:
            sizes: dict[str, list[list[int | None]]] = {codec.name: [] for codec in codecs}
            best = {codec.name: math.inf for codec in codecs}
            lossless = dict.fromkeys(LOSSLESS, 0)
            pixels = 0
            for make in job.pictures:
                picture = make()
                pixels += picture.shape[0] * picture.shape[1]
                for name, (image_format, options) in LOSSLESS.items():
                    lossless[name] += _lossless_bytes(picture, image_format, options)
                for codec in codecs:
                    curve = _Curve(codec, picture)
                    sizes[codec.name].append([curve.bytes_for(target) for target in targets])
                    best[codec.name] = min(best[codec.name], curve.highest_psnr)
                    advance(f"{job.name} {codec.name}")
            levels = [
                Level(target, {name: _sum(column[i] for column in of) for name, of in sizes.items()})
                for i, target in enumerate(targets)
            ]
            best_psnr = {name: round(value, 2) if math.isfinite(value) else None for name, value in best.items()}
            yield KindResult(job.name, job.about, len(job.pictures), pixels, lossless, best_psnr, tuple(levels))


class _Curve:
    """One codec on one picture: bytes and PSNR on its grid of qualities, each measured when it is first asked for."""

    def __init__(self, codec: PictureCodec, picture: Picture) -> None:
        self._codec, self._picture = codec, picture
        self._last = math.floor((codec.highest - codec.lowest) / codec.step + 1e-9)
        self._known: dict[int, tuple[int, float]] = {}

    @property
    def highest_psnr(self) -> float:
        """dB at the highest quality."""
        return self._at(self._last)[1]

    def bytes_for(self, target: float) -> int | None:
        """Bytes at the lowest quality that reaches a PSNR in dB (as bisection finds it); None where none does."""
        if self.highest_psnr < target:
            return None
        low, high = -1, self._last
        while high - low > 1:
            middle = (low + high) // 2
            if self._at(middle)[1] >= target:
                high = middle
            else:
                low = middle
        return self._at(high)[0]

    def _at(self, number: int) -> tuple[int, float]:
        if number not in self._known:
            data = self._codec.encode(self._picture, self._codec.lowest + number * self._codec.step)
            self._known[number] = len(data), psnr(self._picture, self._codec.decode(data))
        return self._known[number]


def _lossless_bytes(picture: Picture, image_format: str, options: dict[str, Any]) -> int:
    """The fewest bytes of a picture without loss: in colour, and where that is enough, as grey or with a palette."""
    image = Image.fromarray(picture)
    forms = [image]
    if image_format == "PNG":
        if (picture == picture[:, :, :1]).all():
            forms.append(image.convert("L"))
        if (colours := image.getcolors(256)) is not None:
            forms.append(image.quantize(len(colours), Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))
    sizes = []
    for form in forms:
        if np.array_equal(np.asarray(form.convert("RGB")), picture):
            buffer = BytesIO()
            form.save(buffer, image_format, **options)
            sizes.append(len(buffer.getvalue()))
    return min(sizes)


def _sum(sizes: Iterator[int | None]) -> int | None:
    """The sum; None where a part is missing."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total
