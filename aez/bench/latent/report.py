"""What a benchmark of latent models measured, and how it is shown: JSON and a table.

Pictures are compared in RGB of 8 bits. Latents are those that a diffusion model sees: shifted and scaled as the bundle
says. KL divergences are from N(0, 1), in nats.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aez.bench.machine import Environment
from aez.bench.pictures.codecs import PictureCodec
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain

__all__ = [
    "LatentReport",
    "LatentStatistics",
    "ModelFigures",
    "PictureFigures",
    "RateFigures",
    "RatePoint",
    "Seams",
    "Times",
]

#: A channel whose means vary less than this is unused (the active units of Burda, Grosse, Salakhutdinov 2016).
UNUSED_VARIANCE = 0.01
NAME = "latent"


@dataclass(frozen=True)
class PictureFigures:
    """One picture, encoded to the posterior's mean and decoded, without quantization."""

    picture: str
    width: int
    height: int
    psnr: float  # dB
    ssim: float
    ms_ssim: float | None  # None where the picture is too small for it


@dataclass(frozen=True)
class LatentStatistics:
    """Latents over all pictures, for each of C channels.

    mean, variance, correlation [C, C]: of the posterior means. posterior_variance: the mean of the posterior's own; a
    sampled latent has the sum of both. kl: nats for each element.
    """

    elements: int  # of each channel
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    posterior_variance: tuple[float, ...]
    kl: tuple[float, ...]
    correlation: tuple[tuple[float, ...], ...]

    @property
    def unused(self) -> float:
        """Share of the channels that hardly vary."""
        return sum(v < UNUSED_VARIANCE for v in self.variance) / len(self.variance)

    @property
    def largest_correlation(self) -> float:
        """Of two different channels, without its sign; 0 where there is one channel."""
        pairs = [abs(r) for i, row in enumerate(self.correlation) for j, r in enumerate(row) if i != j]
        return max(pairs, default=0.0)


@dataclass(frozen=True)
class Seams:
    """Mean squared error within 8 pixels of inner tile borders over that elsewhere.

    ratio: the quotient with tiles over the quotient of the same places without. difference: largest difference between
    the two decoded pictures, in levels of 255.
    """

    tile: int  # pixels
    pictures: int
    border_to_elsewhere: float
    border_to_elsewhere_without_tiles: float
    ratio: float
    difference: int


@dataclass(frozen=True)
class Times:
    """Median milliseconds in a warm process with all cores, in turn with a peer at about the model's bytes."""

    side: int  # of the square picture, pixels
    encode: float
    decode: float
    peer: str
    peer_bytes: int
    peer_encode: float
    peer_decode: float


@dataclass(frozen=True)
class RateFigures:
    """One codec's file of one picture, at the bytes that the model takes for `target_bpp` bits per pixel or less."""

    codec: str
    target_bpp: float
    picture: str
    bytes: int
    bpp: float
    psnr: float  # dB
    ms_ssim: float | None
    fits: bool  # False: even the codec's smallest file is larger, and it is what was measured


@dataclass(frozen=True)
class RatePoint:
    """One codec at one rate: means over the pictures, and of how many the smallest file was too large."""

    codec: str
    target_bpp: float
    bytes: float
    bpp: float
    psnr: float
    ms_ssim: float | None
    too_large: int
    of: int


@dataclass(frozen=True)
class ModelFigures:
    """Everything measured of one model. `notes` say what is missing, and why."""

    name: str
    id: str
    bytes: int
    channels: int
    stride: int
    network: dict[str, float | None]  # kMAC/pixel and weights, as the bundle states them
    pictures: tuple[PictureFigures, ...]
    latent: LatentStatistics
    seams: Seams | None
    times: Times | None
    rates: tuple[RateFigures, ...]
    notes: tuple[str, ...]

    @property
    def psnr(self) -> float:
        """Mean over the pictures, dB."""
        return statistics.fmean(p.psnr for p in self.pictures)

    @property
    def ssim(self) -> float:
        """Mean over the pictures."""
        return statistics.fmean(p.ssim for p in self.pictures)

    @property
    def ms_ssim(self) -> float | None:
        """Mean over the pictures that are large enough, None where there is none."""
        return _mean(p.ms_ssim for p in self.pictures)

    @property
    def rate_points(self) -> tuple[RatePoint, ...]:
        """The rates, averaged over the pictures, in the order in which they were measured."""
        groups: dict[tuple[float, str], list[RateFigures]] = {}
        for figures in self.rates:
            groups.setdefault((figures.target_bpp, figures.codec), []).append(figures)
        return tuple(_rate_point(*key, of) for key, of in groups.items())


@dataclass(frozen=True)
class LatentReport:
    """Figures of latent models over a folder of pictures. `codecs` and `paths` are for the contact sheet."""

    folder: str
    models: tuple[ModelFigures, ...]
    skipped: dict[str, str]  # picture -> why
    quick: bool
    environment: Environment
    codecs: tuple[PictureCodec, ...] = field(default=(), compare=False, repr=False)
    paths: tuple[Path, ...] = field(default=(), compare=False, repr=False)

    def to_json(self) -> str:
        """Everything measured and the means of it, as one JSON object; infinite figures are null."""
        figures = {
            "kind": NAME,
            "folder": self.folder,
            "pictures": [p.picture for p in self.models[0].pictures],
            "quick": self.quick,
            "environment": dataclasses.asdict(self.environment),
            "skipped": self.skipped,
            "models": [_model_values(model) for model in self.models],
        }
        return json.dumps(plain(figures), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        count = len(self.models[0].pictures)
        lines = [
            f"Latent models over {count} picture{'s' if count != 1 else ''} of {self.folder}"
            + (" (quick)" if self.quick else ""),
            *self.environment.lines(),
            "",
            *_overview(self.models),
        ]
        for model in self.models:
            lines += ["", *_model_lines(model)]
        if self.skipped:
            lines += ["", "Pictures left out:", *(f"  {name}: {reason}" for name, reason in self.skipped.items())]
        return "\n".join(lines) + "\n"


def _model_values(model: ModelFigures) -> dict[str, Any]:
    means = {"psnr": model.psnr, "ssim": model.ssim, "ms_ssim": model.ms_ssim}
    values = dataclasses.asdict(model)
    values["latent"] |= {"unused_share": model.latent.unused}
    return {**values, "reconstruction": means, "rate_points": [dataclasses.asdict(p) for p in model.rate_points]}


def _overview(models: Sequence[ModelFigures]) -> list[str]:
    """Reconstruction and cost of every model."""
    rows = [["", *(model.name for model in models)]]

    def add(title: str, cells: Iterable[str]) -> None:
        rows.append([title, *cells])

    add("latent", (f"{m.channels} channels, 1/{m.stride}" for m in models))
    add("PSNR, dB", (f"{m.psnr:.2f}" for m in models))
    add("SSIM", (f"{m.ssim:.4f}" for m in models))
    add("MS-SSIM", (_number(m.ms_ssim, ".4f") for m in models))
    for half in ("encoder", "decoder"):
        add(f"{half}, kMAC/pixel", (_number(m.network[f"{half}_kmac_per_pixel"], ".1f") for m in models))
        add(f"{half}, weights", (_number(m.network[f"{half}_weights"], ",.0f") for m in models))
    add("bundle, bytes", (f"{m.bytes:,}" for m in models))
    return aligned(rows, gap="   ")


def _model_lines(model: ModelFigures) -> Iterator[str]:
    latent = model.latent
    yield f"{model.name} ({model.id[:16]}): latents, {latent.elements:,} elements for each channel"
    rows = [["channel", "mean", "variance", "of the posterior", "KL, nats", "correlation with the others"]]
    for c in range(model.channels):
        others = [f"{r:+.2f}" for i, r in enumerate(latent.correlation[c]) if i != c]
        shown = " ".join(others) if len(others) <= 7 else f"{max(map(abs, map(float, others))):.2f} at most"
        figures = [latent.mean[c], latent.variance[c], latent.posterior_variance[c], latent.kl[c]]
        rows.append([str(c), f"{figures[0]:+.3f}", *(f"{f:.4g}" for f in figures[1:]), shown])
    yield from aligned(rows, gap="   ")
    unused = round(latent.unused * model.channels)
    yield f"unused channels: {unused} of {model.channels}; KL of a latent position: {sum(latent.kl):.2f} nats"
    if model.seams is not None:
        s = model.seams
        yield (
            f"seams: error near borders of {s.tile}-pixel tiles over that elsewhere {s.border_to_elsewhere:.3f}, "
            f"without tiles {s.border_to_elsewhere_without_tiles:.3f};"
        )
        yield f"       their quotient {s.ratio:.3f}; largest difference between both {s.difference}/255"
    if model.times is not None:
        t = model.times
        for what, own, other in (("encode", t.encode, t.peer_encode), ("decode", t.decode, t.peer_decode)):
            yield (
                f"{what} {t.side}x{t.side}: {own:.1f} ms; {t.peer} of {t.peer_bytes:,} bytes {other:.1f} ms, "
                f"ratio {own / max(other, 1e-9):.2f}"
            )
    if model.rates:
        yield ""
        yield from _rate_lines(model)
    yield from (f"note: {note}" for note in model.notes)


def _rate_lines(model: ModelFigures) -> list[str]:
    rows = [[f"{model.name} as a codec", "bpp", "bytes", "PSNR dB", "MS-SSIM", "too large"]]
    for p in model.rate_points:
        excess = f"{p.too_large} of {p.of}" if p.too_large else ""
        name = f"{p.target_bpp:g} bpp  {p.codec}"
        figures = [f"{p.bpp:.3f}", f"{p.bytes:,.0f}", f"{p.psnr:.2f}", _number(p.ms_ssim, ".4f")]
        rows.append([name, *figures, excess])
    lines = aligned(rows, gap="   ")
    if any(p.too_large for p in model.rate_points):
        lines.append("too large: pictures whose smallest file of the codec has more bytes; it is what was measured")
    return [line.rstrip() for line in lines]


def _rate_point(target: float, codec: str, figures: Sequence[RateFigures]) -> RatePoint:
    return RatePoint(
        codec=codec,
        target_bpp=target,
        bytes=statistics.fmean(f.bytes for f in figures),
        bpp=statistics.fmean(f.bpp for f in figures),
        psnr=statistics.fmean(f.psnr for f in figures),
        ms_ssim=_mean(f.ms_ssim for f in figures),
        too_large=sum(not f.fits for f in figures),
        of=len(figures),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
