"""The rate-distortion benchmark: models of this codec against the formats that people use, over a folder of pictures.

`run` measures every codec at every point of its curve on every picture: bytes, PSNR, MS-SSIM, and the time from array
to file and back. A codec's first file of each picture size is not timed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from aez.codec.bench_report import Measurement, Report, load_picture, spread
from aez.codec.environment import describe_environment
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.metrics import ms_ssim, psnr
from aez.codec.peers import Peer, aez_peer, standard_peers

__all__ = ["Report", "run"]

Picture = npt.NDArray[np.uint8]

LOSSLESS_SUFFIXES = frozenset({".png", ".bmp", ".ppm", ".tif", ".tiff"})
QUICK_PICTURES, QUICK_POINTS = 3, 5

_EIGHT_BIT_MODES = frozenset({"RGB", "P", "L"})


def run(
    folder: str | Path,
    models: Sequence[str | Path | Peer],
    qualities: Sequence[float] | None = None,
    out_dir: str | Path | None = None,
    quick: bool = False,
    peers: Sequence[Peer] | None = None,
    progress: bool = True,
) -> Report:
    """Measure models and peers over the lossless pictures of a folder (png, bmp, ppm, tiff; 8-bit, without alpha).

    Args:
        folder: where the pictures lie; others in it are named in the report.
        models: paths or names of models, or other codecs to put to the test.
        qualities: the points of the models' curves, 1..100; by default twelve.
        out_dir: where `Report.save` writes the results; None writes nothing.
        quick: at most three pictures and five points a curve.
        peers: by default the six of `standard_peers`; one that is not available, or fails on a picture, is named in
            the report and has no figures.
        progress: a bar on the standard error output.

    Raises:
        UnsupportedInput: the folder holds no such picture.
        InvalidArgument: no codec can be measured, or two have one name.
        OutputError: the results cannot be written.
        Whatever a model raises: it is what the benchmark is about.
    """
    paths, skipped = _find_pictures(Path(folder))
    if quick:
        paths = spread(paths, QUICK_PICTURES)
    tested = _tested_codecs(models, qualities)
    codecs = [*tested, *(standard_peers() if peers is None else peers)]
    _check_names(codecs)
    unavailable = {c.name: f"needs {missing}" for c in codecs if (missing := c.missing()) is not None}
    codecs = [_fewer_points(c) if quick else c for c in codecs if c.name not in unavailable]
    under_test = tuple(c.name for c in tested if c.name not in unavailable)
    measurements, failed = _measure_all(paths, codecs, under_test, progress)
    measurements = [m for m in measurements if m.codec not in failed]
    if not measurements:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in (unavailable | failed).items())
        raise InvalidArgument(f"no codec could be measured ({reasons}); name one that works here")
    report = Report(
        folder=Path(folder).resolve().name,
        pictures=tuple(p.name for p in paths),
        models=under_test,
        measurements=tuple(measurements),
        unavailable=unavailable | failed,
        skipped=skipped,
        quick=quick,
        environment=describe_environment(),
        codecs=tuple(c for c in codecs if c.name not in failed),
        paths=tuple(paths),
    )
    if out_dir is not None:
        report.save(out_dir)
    return report


def _find_pictures(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The pictures that can be measured, sorted by name, and why the others cannot."""
    if not folder.is_dir():
        raise UnsupportedInput(f"{folder} is not a folder; name one that holds lossless pictures")
    found: list[Path] = []
    skipped: dict[str, str] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in LOSSLESS_SUFFIXES):
        if reason := _unfit(path):
            skipped[path.name] = reason
        else:
            found.append(path)
    if not found:
        raise UnsupportedInput(f"{folder} holds no 8-bit lossless picture (png, bmp, ppm or tiff); name another folder")
    return found, skipped


def _unfit(path: Path) -> str | None:
    """Why a picture cannot be measured, None when it can."""
    try:
        with Image.open(path) as image:
            image.load()
            if image.has_transparency_data:
                return "it has transparency"
            return None if image.mode in _EIGHT_BIT_MODES else f"its mode {image.mode} is not 8-bit RGB or grey"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"it cannot be read: {error}"


def _tested_codecs(models: Sequence[str | Path | Peer], qualities: Sequence[float] | None) -> list[Peer]:
    points = tuple(sorted(set(qualities))) if qualities else None
    stems = [Path(m).stem for m in models if not isinstance(m, Peer)]
    codecs = []
    for model in models:
        if isinstance(model, Peer):
            codecs.append(dataclasses.replace(model, qualities=points) if points else model)
        else:
            alike = stems.count(Path(model).stem) > 1
            codecs.append(aez_peer(model, name=f"aez {model}" if alike else None, qualities=points))
    return codecs


def _check_names(codecs: Sequence[Peer]) -> None:
    names = [c.name for c in codecs]
    if not names:
        raise InvalidArgument("there is no codec to measure; name a model or a peer")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InvalidArgument(f"two codecs are called {repeated[0]!r}; give each its own name")


def _fewer_points(codec: Peer) -> Peer:
    return dataclasses.replace(codec, qualities=tuple(spread(codec.qualities, QUICK_POINTS)))


def _measure_all(
    paths: Sequence[Path], codecs: Sequence[Peer], under_test: Sequence[str], progress: bool
) -> tuple[list[Measurement], dict[str, str]]:
    """All measurements, codec by codec, and the peers that failed with the reason."""
    by_codec: dict[str, list[Measurement]] = {c.name: [] for c in codecs}
    failed: dict[str, str] = {}
    warm: set[tuple[str, tuple[int, ...]]] = set()
    with _progress(len(paths) * sum(len(c.qualities) for c in codecs), progress) as advance:
        for path in paths:
            image = load_picture(path)
            for codec in codecs:
                if codec.name in failed:
                    continue
                try:
                    _warm_up(codec, image, warm)
                    for quality in codec.qualities:
                        by_codec[codec.name].append(_measure(codec, quality, path.name, image))
                        advance(f"{path.name} {codec.name}")
                except (OSError, ValueError, RuntimeError) as error:
                    if codec.name in under_test:
                        raise
                    failed[codec.name] = f"failed on {path.name}: {error}"
    return [m for measurements in by_codec.values() for m in measurements], failed


def _warm_up(codec: Peer, image: Picture, warm: set[tuple[str, tuple[int, ...]]]) -> None:
    """One file that is not timed, for what a codec prepares when it is new or meets a new size."""
    if (codec.name, image.shape) not in warm:
        codec.decode(codec.encode(image, codec.qualities[len(codec.qualities) // 2]))
        warm.add((codec.name, image.shape))


def _measure(codec: Peer, quality: float, name: str, image: Picture) -> Measurement:
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
        bpp=8 * len(data) / (image.shape[0] * image.shape[1]),
        psnr=psnr(image, decoded),
        ms_ssim=ms_ssim(image, decoded),
        encode_ms=1000 * (encoded - start),
        decode_ms=1000 * (end - encoded),
    )


@contextlib.contextmanager
def _progress(total: int, visible: bool) -> Iterator[Callable[[str], None]]:
    from tqdm import tqdm  # when called: nothing else here needs it

    with tqdm(total=total, unit="file", disable=not visible, leave=False) as bar:

        def advance(label: str) -> None:
            bar.set_postfix_str(label, refresh=False)
            bar.update()

        yield advance
