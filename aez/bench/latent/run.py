"""The benchmark of latent models: reconstruction, latents, seams, times, and the model as a codec at low rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.bench.latent.figures import save_report
from aez.bench.latent.report import (
    LatentReport,
    LatentStatistics,
    ModelFigures,
    PictureFigures,
    RateFigures,
    Seams,
    Times,
)
from aez.bench.machine import describe_environment
from aez.bench.pictures.codecs import Encoded, PictureCodec, aez_codec, encode_to_size, standard_peers
from aez.bench.pictures.files import QUICK_PICTURES, Picture, find_pictures, load_picture, spread
from aez.bench.pictures.soundness import SeamError, border_mask
from aez.bench.pictures.speed import in_turn
from aez.bench.progress import progress_bar
from aez.bench.saving import make_folder
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.image.api import load
from aez.codec.image.distortion import MS_SSIM_SIDE, ms_ssim, psnr, ssim
from aez.codec.image.model import Geometry
from aez.codec.latent.drawing import fit
from aez.codec.latent.model import LATENT_MODEL, TILE, Latent, LatentModel

__all__ = ["BPPS", "StatisticsSum", "run"]

BPPS = (0.1, 0.15, 0.25, 0.4)
PEERS = ("JPEG", "WebP", "AVIF 4:2:0", "AVIF 4:4:4")
TIMED_PEER = "AVIF 4:4:4"
TIMED_SIDE, TIMED_BPP, REPEATS = 512, 0.15, 7
_NETWORK = ("encoder_kmac_per_pixel", "decoder_kmac_per_pixel", "encoder_weights", "decoder_weights")
#: No picture is wider; the whole of it is one tile.
_ONE_TILE = 1 << 20


def run(
    folder: str | Path,
    models: Sequence[str | Path] = (LATENT_MODEL,),
    out_dir: str | Path | None = None,
    bpps: Sequence[float] = BPPS,
    tile: int = TILE,
    quick: bool = False,
    progress: bool = True,
) -> LatentReport:
    """Measure models over the lossless pictures of a folder (png, bmp, ppm, tiff; 8-bit, without alpha).

    Args:
        folder: where the pictures lie; others in it are named in the report.
        models: names or paths of bundles with a latent.
        out_dir: where `save_report` writes the results; None writes nothing.
        bpps: bits per pixel at which the models are measured as codecs.
        tile: side in pixels of the tiles whose seams are measured.
        quick: at most three pictures, and the lowest of the rates alone.
        progress: a bar on the standard error output.

    Raises:
        UnsupportedInput: the folder holds no such picture.
        ModelError: a model cannot be opened or has no latent.
        InvalidArgument: a tile size or a rate that is none.
        OutputError: the results cannot be written.
    """
    if any(not 0 < bpp < 24 for bpp in bpps):
        raise InvalidArgument(f"rates of {', '.join(map(str, bpps))} bits per pixel; give numbers above 0 and below 24")
    rates = sorted(set(bpps))[: 1 if quick else None]
    named = {str(model): load(model) for model in models}
    opened = {name: LatentModel(bundle, tile=tile) for name, bundle in named.items()}
    paths, skipped = find_pictures(Path(folder))
    if quick:
        paths = spread(paths, QUICK_PICTURES)
    if out_dir is not None:
        make_folder(out_dir)  # before the measurements, which take minutes
    peers = tuple(peer for peer in standard_peers() if peer.name in PEERS and peer.available())
    labels = _labels(named)
    codecs = {name: aez_codec(name, label) for name, label in labels.items() if _codes(named[name])}
    figures = []
    with progress_bar(len(opened) * len(paths), "picture", progress) as advance:
        for name, model in opened.items():
            codec = codecs.get(name)
            figures.append(_measure(model, labels[name], codec, peers, paths, rates, advance))
    report = LatentReport(
        folder=Path(folder).resolve().name,
        models=tuple(figures),
        skipped=skipped,
        quick=quick,
        environment=describe_environment(),
        codecs=(*codecs.values(), *peers) if codecs else (),
        paths=tuple(paths[:1] if quick else paths),
    )
    if out_dir is not None:
        save_report(report, out_dir)
    return report


class StatisticsSum:
    """Sums over the latents of many pictures, from which the statistics follow. All in float64."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))
        self._posterior = np.zeros(channels)
        self._kl = np.zeros(channels)

    def add(self, latent: Latent, scaling: float = 1.0, shift: float = 0.0) -> None:
        """Count one latent, as (latent - shift) * scaling."""
        mean = ((latent.mean.astype(np.float64) - shift) * scaling).reshape(len(self._sum), -1)
        log_variance = latent.log_variance.astype(np.float64).reshape(mean.shape) + 2 * np.log(scaling)
        variance = np.exp(log_variance)
        self._count += mean.shape[1]
        self._sum += mean.sum(axis=1)
        self._products += mean @ mean.T
        self._posterior += variance.sum(axis=1)
        self._kl += 0.5 * (mean**2 + variance - 1 - log_variance).sum(axis=1)

    def statistics(self) -> LatentStatistics:
        """The statistics of what was counted, at least one latent."""
        mean = self._sum / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
        # A channel that never moves has no correlation with any other.
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = np.nan_to_num(covariance / np.outer(deviation, deviation), posinf=0, neginf=0)
        np.fill_diagonal(correlation, 1)
        return LatentStatistics(
            elements=self._count,
            mean=_rounded(mean),
            variance=_rounded(deviation**2),
            posterior_variance=_rounded(self._posterior / self._count),
            kl=_rounded(self._kl / self._count),
            correlation=tuple(_rounded(row) for row in correlation.clip(-1, 1)),
        )


def _measure(
    model: LatentModel,
    label: str,
    codec: PictureCodec | None,
    peers: Sequence[PictureCodec],
    paths: Sequence[Path],
    bpps: Sequence[float],
    advance: Callable[[str], None],
) -> ModelFigures:
    g = model.geometry
    whole = dataclasses.replace(model, tile=_ONE_TILE - _ONE_TILE % g.stride)
    latents = StatisticsSum(g.channels)
    seams = _SeamSum(model.tile)
    pictures: list[PictureFigures] = []
    rates: list[RateFigures] = []
    for path in paths:
        image = load_picture(path)
        latent = model.encode(image)
        latents.add(latent, g.scaling_factor, g.shift_factor)
        decoded = model.decode(latent.mean, latent.size)
        pictures.append(_picture_figures(path.name, image, decoded))
        if max(image.shape[:2]) > model.tile:
            at_once = whole.encode(image)
            seams.add(image, decoded, whole.decode(at_once.mean, at_once.size))
        if codec is not None:
            rates += _rates(path.name, image, codec, peers, bpps)
        advance(f"{path.name} {label}")
    notes = [] if codec is not None else ["this model codes no pictures, so that there are no files to compare"]
    if not seams.pictures:
        notes.append(f"no picture is larger than a tile of {model.tile} pixels, so that there are no seams to measure")
    stated = model.bundle.manifest["figures"].get("network")
    network = {key: _stated(stated, key) for key in _NETWORK}
    summary = model.bundle.summary()
    return ModelFigures(
        name=label,
        id=model.bundle.id,
        bytes=summary["bytes"],
        channels=g.channels,
        stride=g.stride,
        network=network,
        pictures=tuple(pictures),
        latent=latents.statistics(),
        seams=seams.result(),
        times=_times(dataclasses.replace(model, tile=TILE), load_picture(paths[0]), peers),
        rates=tuple(rates),
        notes=tuple(notes),
    )


def _picture_figures(name: str, image: Picture, decoded: Picture) -> PictureFigures:
    return PictureFigures(
        picture=name,
        width=image.shape[1],
        height=image.shape[0],
        psnr=round(psnr(image, decoded), 4),
        ssim=round(ssim(image, decoded), 6),
        ms_ssim=_ms_ssim(image, decoded),
    )


def _ms_ssim(image: Picture, decoded: Picture) -> float | None:
    return round(ms_ssim(image, decoded), 6) if min(image.shape[:2]) >= MS_SSIM_SIDE else None


class _SeamSum:
    """Errors with and without tiles, over pictures larger than a tile."""

    def __init__(self, tile: int) -> None:
        self._tile = tile
        self._tiled, self._whole = SeamError(), SeamError()
        self.pictures = self._difference = 0

    def add(self, image: Picture, tiled: Picture, whole: Picture) -> None:
        border = border_mask(image.shape[0], image.shape[1], self._tile)
        self._tiled.add(image, tiled, border)
        self._whole.add(image, whole, border)
        self.pictures += 1
        self._difference = max(self._difference, int(np.abs(tiled.astype(np.int16) - whole).max()))

    def result(self) -> Seams | None:
        """None where no picture has a border, or nothing differs from the pictures."""
        if not self.pictures or not (self._whole.near and self._whole.far and self._tiled.far):
            return None
        return Seams(
            tile=self._tile,
            pictures=self.pictures,
            border_to_elsewhere=round(self._tiled.ratio, 5),
            border_to_elsewhere_without_tiles=round(self._whole.ratio, 5),
            ratio=round(self._tiled.ratio / self._whole.ratio, 5),
            difference=self._difference,
        )


def _times(model: LatentModel, image: Picture, peers: Sequence[PictureCodec]) -> Times | None:
    """Encoding and decoding of one square picture; None where the peer is not available."""
    peer = next((p for p in peers if p.name == TIMED_PEER), None)
    if peer is None:
        return None
    square = fit(image, TIMED_SIDE, TIMED_SIDE)
    coded = _at_most(peer, square, int(TIMED_BPP * TIMED_SIDE**2 / 8))[0]
    latent = model.encode(square)
    actions: dict[str, Callable[[], object]] = {
        "encode": partial(model.encode, square),
        "decode": partial(model.decode, latent.mean),
        "peer_encode": partial(peer.encode, square, coded.quality),
        "peer_decode": partial(peer.decode, coded.data),
    }
    return Times(TIMED_SIDE, peer=peer.name, peer_bytes=len(coded.data), **in_turn(REPEATS, actions))


def _rates(
    name: str, image: Picture, codec: PictureCodec, peers: Sequence[PictureCodec], bpps: Sequence[float]
) -> Iterator[RateFigures]:
    """The model's file at every rate, and the peers' at its bytes."""
    pixels = image.shape[0] * image.shape[1]
    remembered = [_remembering(one) for one in (codec, *peers)]
    for bpp in bpps:
        limit = max(1, int(bpp * pixels / 8))
        for number, one in enumerate(remembered):
            coded, fits = _at_most(one, image, limit)
            if number == 0:
                limit = len(coded.data)
            decoded = one.decode(coded.data)
            yield RateFigures(
                codec=one.name,
                target_bpp=bpp,
                picture=name,
                bytes=len(coded.data),
                bpp=round(8 * len(coded.data) / pixels, 6),
                psnr=round(psnr(image, decoded), 4),
                ms_ssim=_ms_ssim(image, decoded),
                fits=fits,
            )


def _remembering(codec: PictureCodec) -> PictureCodec:
    """The codec for one picture: it encodes every quality once, though several rates ask for it."""
    files: dict[float, bytes] = {}

    def encode(image: Picture, quality: float) -> bytes:
        if quality not in files:
            files[quality] = codec.encode(image, quality)
        return files[quality]

    return dataclasses.replace(codec, encode=encode)


def _at_most(codec: PictureCodec, image: Picture, nbytes: int) -> tuple[Encoded, bool]:
    """The largest file of at most so many bytes, or else the codec's smallest, and whether it fits."""
    found = encode_to_size(codec, image, nbytes)
    return found or Encoded(codec.lowest, codec.encode(image, codec.lowest)), found is not None


def _codes(bundle: Bundle) -> bool:
    """Whether the bundle is a codec as well."""
    try:
        Geometry.of(bundle.coding)
    except ModelError:
        return False
    return True


def _labels(models: dict[str, Bundle]) -> dict[str, str]:
    """What reports call each model: its own name, and where two have one name, what it was asked for by."""
    names = [bundle.name for bundle in models.values()]
    return {asked: asked if names.count(bundle.name) > 1 else bundle.name for asked, bundle in models.items()}


def _stated(figures: Any, key: str) -> float | None:
    value = figures.get(key) if isinstance(figures, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _rounded(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
