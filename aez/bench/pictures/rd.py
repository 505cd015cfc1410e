"""The rate-distortion benchmark: models of this codec against the formats that people use, over a folder of pictures.

`run` measures every codec at every point of its curve on every picture: bytes, PSNR, MS-SSIM, the hue of smooth areas,
SSIMULACRA 2 on request, and the time from array to file and back. A codec's first file of each picture size is not
timed. Where files are small, what every format writes before the first pixel decides; `sheet` measures the codecs once
more with all pictures of a size in one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aez.bench.machine import describe_environment
from aez.bench.pictures.codecs import PictureCodec, aez_codec, standard_peers
from aez.bench.pictures.eye import colorvideovdp, hue_error
from aez.bench.pictures.files import QUICK_PICTURES, find_pictures, load_picture, spread
from aez.bench.pictures.rd_figures import save_report
from aez.bench.pictures.rd_report import Measurement, RdReport
from aez.bench.progress import progress_bar
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import MS_SSIM_SIDE, ms_ssim, psnr, ssimulacra2

__all__ = ["run"]

Picture = npt.NDArray[np.uint8]

QUICK_POINTS = 5
SHEET_SIDE = 4096  # pixels at most, where a picture is not larger
CELL = 16  # pixels


def run(
    folder: str | Path,
    models: Sequence[str | Path | PictureCodec],
    qualities: Sequence[float] | None = None,
    out_dir: str | Path | None = None,
    quick: bool = False,
    peers: Sequence[PictureCodec] | None = None,
    progress: bool = True,
    sheet: bool = False,
    name: str = "rd",
    up_to_bpp: float = 0.3,
    eye: bool = False,
) -> RdReport:
    """Measure models and peers over the lossless pictures of a folder (png, bmp, ppm, tiff; 8-bit, without alpha).

    Args:
        folder: where the pictures lie; others in it are named in the report.
        models: paths or names of models, or other codecs to put to the test.
        qualities: the points of the models' curves, 1..100; by default twelve.
        out_dir: where `save_report` writes the results; None writes nothing.
        quick: at most three pictures and five points a curve.
        peers: by default the six of `standard_peers`; one that is not available, or fails on a picture, is named in
            the report and has no figures.
        progress: a bar on the standard error output.
        sheet: measure sheets of all pictures of a size as well.
        name: what the files in `out_dir` are called.
        up_to_bpp: up to this rate of a peer's, a BD-rate of its own is taken.
        eye: measure SSIMULACRA 2 as well, which takes a second or so for each file, and ColorVideoVDP where
            torch is installed.

    Raises:
        UnsupportedInput: the folder holds no such picture.
        InvalidArgument: no codec can be measured, or two have one name.
        OutputError: the results cannot be written.
        Whatever a model raises: it is what the benchmark is about.
    """
    paths, skipped = find_pictures(Path(folder))
    if quick:
        paths = spread(paths, QUICK_PICTURES)
    tested = _tested_codecs(models, qualities)
    codecs = [*tested, *(standard_peers() if peers is None else peers)]
    _check_names(codecs)
    unavailable = {c.name: f"needs {missing}" for c in codecs if (missing := c.missing()) is not None}
    codecs = [_fewer_points(c) if quick else c for c in codecs if c.name not in unavailable]
    under_test = tuple(c.name for c in tested if c.name not in unavailable)
    sources = [_Source(path.name, functools.partial(load_picture, path)) for path in paths]
    title = Path(folder).resolve().name
    report = _report(title, sources, codecs, under_test, unavailable, quick, progress, up_to_bpp, eye)
    codecs = [c for c in codecs if c.name in report.curves]
    report = dataclasses.replace(report, skipped=skipped, codecs=tuple(codecs), paths=tuple(paths))
    if sheet:
        title = f"{title}, all of a size in one file"
        over_sheets = _report(title, _sheets(sources), codecs, under_test, {}, quick, progress, up_to_bpp, eye)
        report = dataclasses.replace(report, sheet=over_sheets)
    if out_dir is not None:
        save_report(report, out_dir, name)
    return report


@dataclasses.dataclass(frozen=True)
class _Source:
    """A picture that is read when it is measured."""

    name: str
    load: Callable[[], Picture]


def _report(
    folder: str,
    sources: Sequence[_Source],
    codecs: Sequence[PictureCodec],
    under_test: tuple[str, ...],
    unavailable: dict[str, str],
    quick: bool,
    progress: bool,
    up_to_bpp: float,
    eye: bool,
) -> RdReport:
    """Measure the codecs over the pictures. Raises InvalidArgument when none of them could be measured."""
    measurements, failed = _measure_all(sources, codecs, under_test, progress, eye)
    measurements = [m for m in measurements if m.codec not in failed]
    if not measurements:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in (unavailable | failed).items())
        raise InvalidArgument(f"no codec could be measured ({reasons}); name one that works here")
    return RdReport(
        folder=folder,
        pictures=tuple(source.name for source in sources),
        models=under_test,
        measurements=tuple(measurements),
        unavailable=unavailable | failed,
        skipped={},
        quick=quick,
        environment=describe_environment(),
        bundles={c.name: dict(c.model) for c in codecs if c.model},
        notes=tuple(_notes(measurements, len(sources))),
        up_to_bpp=up_to_bpp,
    )


def _notes(measurements: Sequence[Measurement], count: int) -> Iterator[str]:
    without = len({m.picture for m in measurements if m.ms_ssim is None})
    if without:
        which = "no picture has" if without == count else f"{without} of {count} pictures do not have"
        yield f"MS-SSIM needs a shorter side of {MS_SSIM_SIDE} pixels, which {which}; it is left out there."


def _sheets(sources: Sequence[_Source]) -> list[_Source]:
    """Pictures of one size side by side, row by row, on sheets; what is left of the last row has their mean colour.

    Each is continued by its edges to a multiple of `CELL` pixels, so that the blocks of no codec span two pictures.
    """
    by_size: dict[tuple[int, ...], list[_Source]] = {}
    for source in sources:
        by_size.setdefault(source.load().shape, []).append(source)
    sheets = []
    for (height, width, _), alike in by_size.items():
        rows, columns = (max(1, SHEET_SIDE // (side + -side % CELL)) for side in (height, width))
        most = rows * columns
        for start in range(0, len(alike), most):
            on_it = alike[start : start + most]
            number = f" from number {start + 1}" if len(alike) > most else ""
            title = f"{len(on_it)} of {width} x {height} pixels{number}"
            sheets.append(_Source(title, functools.partial(_one_sheet, on_it)))
    return sheets


def _one_sheet(sources: Sequence[_Source]) -> Picture:
    pictures = np.stack([source.load() for source in sources])
    below, beside = (-side % CELL for side in pictures.shape[1:3])
    pictures = np.pad(pictures, [(0, 0), (0, below), (0, beside), (0, 0)], mode="edge")
    count, height, width, channels = pictures.shape
    columns = min(count, max(1, round(math.sqrt(count * height / width))), max(1, SHEET_SIDE // width))
    rows = math.ceil(count / columns)
    fill = np.rint(pictures.mean(axis=(0, 1, 2))).astype(np.uint8)
    cells = np.broadcast_to(fill, (rows * columns, height, width, channels)).copy()
    cells[:count] = pictures
    grid = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


def _tested_codecs(
    models: Sequence[str | Path | PictureCodec], qualities: Sequence[float] | None
) -> list[PictureCodec]:
    points = tuple(sorted(set(qualities))) if qualities else None
    stems = [Path(m).stem for m in models if not isinstance(m, PictureCodec)]
    codecs = []
    for model in models:
        if isinstance(model, PictureCodec):
            codecs.append(dataclasses.replace(model, qualities=points) if points else model)
        else:
            alike = stems.count(Path(model).stem) > 1
            codecs.append(aez_codec(model, name=f"aez {model}" if alike else None, qualities=points))
    return codecs


def _check_names(codecs: Sequence[PictureCodec]) -> None:
    names = [c.name for c in codecs]
    if not names:
        raise InvalidArgument("there is no codec to measure; name a model or a peer")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InvalidArgument(f"two codecs are called {repeated[0]!r}; give each its own name")


def _fewer_points(codec: PictureCodec) -> PictureCodec:
    return dataclasses.replace(codec, qualities=tuple(spread(codec.qualities, QUICK_POINTS)))


def _measure_all(
    sources: Sequence[_Source],
    codecs: Sequence[PictureCodec],
    under_test: Sequence[str],
    progress: bool,
    eye: bool,
) -> tuple[list[Measurement], dict[str, str]]:
    """All measurements, codec by codec, and the peers that failed with the reason."""
    by_codec: dict[str, list[Measurement]] = {c.name: [] for c in codecs}
    failed: dict[str, str] = {}
    warm: set[tuple[str, tuple[int, ...]]] = set()
    with progress_bar(len(sources) * sum(len(c.qualities) for c in codecs), "file", progress) as advance:
        for source in sources:
            image = source.load()
            for codec in codecs:
                if codec.name in failed:
                    continue
                try:
                    _warm_up(codec, image, warm)
                    for quality in codec.qualities:
                        by_codec[codec.name].append(_measure(codec, quality, source.name, image, eye))
                        advance(f"{source.name} {codec.name}")
                except (OSError, ValueError, RuntimeError) as error:
                    if codec.name in under_test:
                        raise
                    failed[codec.name] = f"failed on {source.name}: {error}"
    return [m for measurements in by_codec.values() for m in measurements], failed


def _warm_up(codec: PictureCodec, image: Picture, warm: set[tuple[str, tuple[int, ...]]]) -> None:
    """One file that is not timed, for what a codec prepares when it is new or meets a new size."""
    if (codec.name, image.shape) not in warm:
        codec.decode(codec.encode(image, codec.qualities[len(codec.qualities) // 2]))
        warm.add((codec.name, image.shape))


def _measure(codec: PictureCodec, quality: float, name: str, image: Picture, eye: bool) -> Measurement:
    start = time.perf_counter()
    data = codec.encode(image, quality)
    encoded = time.perf_counter()
    decoded = codec.decode(data)
    end = time.perf_counter()
    return Measurement(
        codec=codec.name,
        quality=quality,
        picture=name,
        bytes=len(data),
        bpp=round(8 * len(data) / (image.shape[0] * image.shape[1]), 6),
        psnr=round(psnr(image, decoded), 4),
        ms_ssim=round(ms_ssim(image, decoded), 7) if min(image.shape[:2]) >= MS_SSIM_SIDE else None,
        encode_ms=round(1000 * (encoded - start), 3),
        decode_ms=round(1000 * (end - encoded), 3),
        ssimulacra2=_rounded(ssimulacra2(image, decoded)) if eye else None,
        cvvdp=_rounded(colorvideovdp(image, decoded)) if eye else None,
        hue=_rounded(hue_error(image, decoded)),
    )


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)
