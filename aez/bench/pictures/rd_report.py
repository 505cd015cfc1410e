"""What a rate-distortion benchmark measured, what follows from it, and both as JSON and as a table.

A codec's curve is the mean over the pictures at each of its qualities: bits per pixel, PSNR and MS-SSIM in dB,
SSIMULACRA 2 and ColorVideoVDP where they were asked for, and the error of hue in smooth areas. BD-rates are taken
between such curves. Times are medians. Pictures too small for MS-SSIM, or without smooth areas, have no part in those
means.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import statistics
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aez.bench.machine import Environment
from aez.bench.pictures.bd_rate import bd_psnr, bd_rate
from aez.bench.pictures.codecs import PictureCodec
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import ms_ssim_db

__all__ = ["Comparison", "CurvePoint", "Measurement", "Monotonicity", "RdReport", "lossy_points"]

_FIGURES = ("bytes", "bpp", "psnr", "ms_ssim", "encode_ms", "decode_ms", "ssimulacra2", "cvvdp", "hue")
#: Figures that reports had before these were measured.
_LATER = ("ssimulacra2", "cvvdp", "hue")
#: Low rates in bits per pixel, at which hues are compared.
HUE_BPPS = (0.15, 0.3)
_NOT_RISING = "DOES NOT ALWAYS RISE"


@dataclass(frozen=True)
class Measurement:
    """One codec at one quality on one picture."""

    codec: str
    quality: float
    picture: str
    bytes: int
    bpp: float  # bits per pixel
    psnr: float  # dB, infinite for equal pictures
    ms_ssim: float | None  # 0..1; None where the picture is too small for it
    encode_ms: float
    decode_ms: float
    ssimulacra2: float | None = None  # at most 100; None where it was not asked for, or the picture is too small for it
    cvvdp: float | None = None  # ColorVideoVDP in JOD, at most 10; None where it was not asked for, or without torch
    hue: float | None = None  # in CIELAB; None where nothing is smooth


@dataclass(frozen=True)
class CurvePoint:
    """One quality of one codec: means over the pictures, medians of the times."""

    quality: float
    bpp: float
    psnr: float  # dB
    ms_ssim_db: float | None  # None where no picture is large enough for it
    encode_ms: float
    decode_ms: float
    ssimulacra2: float | None = None
    cvvdp: float | None = None
    hue: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A codec against a peer; a Bjøntegaard figure is None where the two curves share no range."""

    codec: str
    peer: str
    bd_rate_psnr: float | None  # percent of the peer's bytes
    bd_rate_ms_ssim: float | None  # percent of the peer's bytes, at equal MS-SSIM in dB
    bd_psnr: float | None  # dB
    shared_psnr: tuple[float, float] | None  # dB, where bd_rate_psnr was taken
    encode_ratio: float  # median time over the peer's, all points and pictures
    decode_ratio: float
    bd_rate_low: float | None  # as bd_rate_psnr, up to the PSNR that the peer has at `up_to_bpp`
    bd_rate_ssimulacra2: float | None  # percent of the peer's bytes, at equal score
    bd_rate_cvvdp: float | None
    hue_ratios: tuple[float | None, ...]  # the error of hue over the peer's, at HUE_BPPS


@dataclass(frozen=True)
class Monotonicity:
    """Whether more quality gives more bytes and more PSNR, on the averaged curve and picture by picture."""

    codec: str
    bpp: bool
    psnr: bool
    pictures: int  # on which both rise
    of: int


@dataclass(frozen=True)
class RdReport:
    """What a benchmark measured. All but `codecs` and `paths` goes through JSON and back.

    bundles: codec under test -> its model: name, id, family, bytes, figures, provenance.
    notes: what a reader of the figures has to know.
    sheet: the same codecs over sheets, each made of all pictures of one size, so that no figure hangs on the bytes that
        every file has before its first pixel; None where it was not asked for.
    """

    folder: str
    pictures: tuple[str, ...]
    models: tuple[str, ...]  # names of the codecs under test; the others are peers
    measurements: tuple[Measurement, ...]
    unavailable: dict[str, str]  # codec -> what is missing or what went wrong
    skipped: dict[str, str]  # picture -> why
    quick: bool
    environment: Environment
    bundles: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sheet: RdReport | None = None
    up_to_bpp: float = 0.3  # bits per pixel of the peer, up to which the BD-rate of low rates is taken
    codecs: tuple[PictureCodec, ...] = field(default=(), compare=False, repr=False)
    paths: tuple[Path, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def curves(self) -> dict[str, tuple[CurvePoint, ...]]:
        """The averaged curve of every codec that was measured, models first, by rising quality."""
        points: dict[str, dict[float, list[Measurement]]] = {}
        for measurement in self.measurements:
            points.setdefault(measurement.codec, {}).setdefault(measurement.quality, []).append(measurement)
        return {name: tuple(_curve_point(q, of[q]) for q in sorted(of)) for name, of in points.items()}

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every model against every codec that is not a model."""
        peers = [name for name in self.curves if name not in self.models]
        return tuple(self._compare(model, peer) for model in self.models for peer in peers)

    @cached_property
    def monotonicity(self) -> tuple[Monotonicity, ...]:
        """One verdict for each model."""
        return tuple(self._monotonicity(model) for model in self.models)

    def to_json(self) -> str:
        """Everything measured and everything derived from it, as one JSON object; infinite figures are null.

        What was measured stands in columns: a line for each codec and quality, lists in the order of the pictures.
        """
        figures = {
            "folder": self.folder,
            "pictures": self.pictures,
            "models": self.models,
            "quick": self.quick,
            "environment": dataclasses.asdict(self.environment),
            "bundles": self.bundles,
            "notes": self.notes,
            "up_to_bpp": self.up_to_bpp,
            "unavailable": self.unavailable,
            "skipped": self.skipped,
            "comparisons": [dataclasses.asdict(c) for c in self.comparisons],
            "monotonicity": [dataclasses.asdict(m) for m in self.monotonicity],
            "curves": {name: [dataclasses.asdict(p) for p in curve] for name, curve in self.curves.items()},
        }
        text = json.dumps(plain(figures), indent=1, allow_nan=False, ensure_ascii=False).removesuffix("\n}")
        rows = ",\n  ".join(json.dumps(plain(row), allow_nan=False, ensure_ascii=False) for row in self._columns())
        sheet = self.sheet.to_json().rstrip("\n") if self.sheet is not None else "null"
        return f'{text},\n "measurements": [\n  {rows}\n ],\n "sheet": {sheet}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> RdReport:
        """The report that `to_json` wrote, without the codecs and pictures that a contact sheet needs.

        Raises InvalidArgument when the text is no such report.
        """
        try:
            figures = json.loads(text)
            return cls(
                folder=figures["folder"],
                pictures=tuple(figures["pictures"]),
                models=tuple(figures["models"]),
                measurements=tuple(_measurements(figures["measurements"], figures["pictures"])),
                unavailable=figures["unavailable"],
                skipped=figures["skipped"],
                quick=figures["quick"],
                environment=Environment(**figures["environment"]),
                bundles=figures["bundles"],
                notes=tuple(figures["notes"]),
                up_to_bpp=figures.get("up_to_bpp", 0.3),
                sheet=cls.from_json(json.dumps(sheet)) if (sheet := figures["sheet"]) is not None else None,
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InvalidArgument(f"this is not the JSON of a rate-distortion report: {error!r}") from error

    def table(self) -> str:
        """The report as text."""
        count = f"{len(self.pictures)} picture{'s' if len(self.pictures) != 1 else ''}"
        lines = [
            f"Rate-distortion over {count} of {self.folder}{' (quick)' if self.quick else ''}",
            *self.environment.lines(),
        ]
        for model in self.models:
            lines += ["", *self._comparison_lines(model)]
        lines += ["", *self._curve_lines()]
        if self.notes:
            lines += ["", *(line for note in self.notes for line in textwrap.wrap(note, 116))]
        if self.sheet is not None:
            lines += ["", "The same in one file for all pictures of a size", "", *self.sheet.table().splitlines()]
        for title, entries in (("Not measured", self.unavailable), ("Pictures left out", self.skipped)):
            if entries:
                lines += ["", f"{title}:", *(f"  {name}: {reason}" for name, reason in entries.items())]
        return "\n".join(lines) + "\n"

    def _columns(self) -> Iterator[dict[str, Any]]:
        """The measurements of each codec at each quality, in columns."""
        order = {name: number for number, name in enumerate(self.pictures)}
        points: dict[tuple[str, float], list[Measurement]] = {}
        for measurement in self.measurements:
            points.setdefault((measurement.codec, measurement.quality), []).append(measurement)
        for (codec, quality), of in points.items():
            of.sort(key=lambda m: order[m.picture])
            columns = {name: [getattr(m, name) for m in of] for name in _FIGURES}
            yield {"codec": codec, "quality": quality, **columns}

    def _compare(self, model: str, peer: str) -> Comparison:
        ours, theirs = self.curves[model], self.curves[peer]
        by_psnr = [lossy_points(points, "psnr") for points in (theirs, ours)]
        rate_psnr = _if_comparable(bd_rate, by_psnr)
        shared = None
        if rate_psnr is not None:
            shared = max(min(q) for _, q in by_psnr), min(max(q) for _, q in by_psnr)
        return Comparison(
            codec=model,
            peer=peer,
            bd_rate_psnr=rate_psnr,
            bd_rate_ms_ssim=_bd_rate(theirs, ours, "ms_ssim_db"),
            bd_psnr=_if_comparable(bd_psnr, by_psnr),
            shared_psnr=shared,
            encode_ratio=self._median(model, "encode_ms") / self._median(peer, "encode_ms"),
            decode_ratio=self._median(model, "decode_ms") / self._median(peer, "decode_ms"),
            bd_rate_low=_if_comparable(
                functools.partial(bd_rate, highest=_at(theirs, "psnr", self.up_to_bpp)), by_psnr
            ),
            bd_rate_ssimulacra2=_bd_rate(theirs, ours, "ssimulacra2"),
            bd_rate_cvvdp=_bd_rate(theirs, ours, "cvvdp"),
            hue_ratios=tuple(_ratio(_at(ours, "hue", bpp), _at(theirs, "hue", bpp)) for bpp in HUE_BPPS),
        )

    def _median(self, codec: str, figure: str) -> float:
        return statistics.median(float(getattr(m, figure)) for m in self.measurements if m.codec == codec)

    def _monotonicity(self, model: str) -> Monotonicity:
        curve = self.curves[model]
        rising = 0
        for picture in self.pictures:
            points = [m for m in self.measurements if m.codec == model and m.picture == picture]
            points.sort(key=lambda m: m.quality)
            rising += _rises(m.bpp for m in points) and _rises(m.psnr for m in points)
        return Monotonicity(
            codec=model,
            bpp=_rises(p.bpp for p in curve),
            psnr=_rises(p.psnr for p in curve),
            pictures=rising,
            of=len(self.pictures),
        )

    def _comparison_lines(self, model: str) -> Iterator[str]:
        low, *hues = (f"{bpp:g} bpp" for bpp in (self.up_to_bpp, *HUE_BPPS))
        titles = ["BD-rate PSNR", f"to {low}", "MS-SSIM", "SSIMULACRA 2", "CVVDP", *(f"hue at {bpp}" for bpp in hues)]
        titles += ["BD-PSNR", "shared PSNR", "encode", "decode"]
        rows = [
            [
                c.peer,
                _signed(c.bd_rate_psnr, "%"),
                _signed(c.bd_rate_low, "%"),
                _signed(c.bd_rate_ms_ssim, "%"),
                _signed(c.bd_rate_ssimulacra2, "%"),
                _signed(c.bd_rate_cvvdp, "%"),
                *("-" if ratio is None else f"{ratio:.2f}x" for ratio in c.hue_ratios),
                _signed(c.bd_psnr, "dB"),
                f"{c.shared_psnr[0]:.1f}-{c.shared_psnr[1]:.1f} dB" if c.shared_psnr else "none",
                f"{c.encode_ratio:.2f}x",
                f"{c.decode_ratio:.2f}x",
            ]
            for c in self.comparisons
            if c.codec == model
        ]
        if rows:
            yield from aligned([[f"{model} against", *titles], *rows], gap="   ")
        verdict = next(m for m in self.monotonicity if m.codec == model)
        yield (
            f"{model}: with quality, bpp {'rises' if verdict.bpp else _NOT_RISING} and PSNR "
            f"{'rises' if verdict.psnr else _NOT_RISING} on the averaged curve; "
            f"both rise on {verdict.pictures} of {verdict.of} pictures"
        )

    def _curve_lines(self) -> list[str]:
        rows = [
            [
                "codec",
                "quality",
                "bpp",
                "PSNR dB",
                "MS-SSIM dB",
                "SSIMULACRA 2",
                "CVVDP",
                "hue",
                "encode ms",
                "decode ms",
            ]
        ]
        for name, curve in self.curves.items():
            for p in curve:
                figures = [f"{p.bpp:.3f}", f"{p.psnr:.2f}"]
                for value, digits in ((p.ms_ssim_db, 2), (p.ssimulacra2, 1), (p.cvvdp, 3), (p.hue, 2)):
                    figures.append("-" if value is None else f"{value:.{digits}f}")
                rows.append([name, f"{p.quality:g}", *figures, f"{p.encode_ms:.1f}", f"{p.decode_ms:.1f}"])
        return aligned(rows, gap="   ")


def _curve_point(quality: float, measurements: Sequence[Measurement]) -> CurvePoint:
    similarities = [ms_ssim_db(m.ms_ssim) for m in measurements if m.ms_ssim is not None]
    scores = [m.ssimulacra2 for m in measurements if m.ssimulacra2 is not None]
    jods = [m.cvvdp for m in measurements if m.cvvdp is not None]
    hues = [m.hue for m in measurements if m.hue is not None]
    return CurvePoint(
        quality=quality,
        bpp=statistics.fmean(m.bpp for m in measurements),
        psnr=statistics.fmean(m.psnr for m in measurements),
        ms_ssim_db=statistics.fmean(similarities) if similarities else None,
        encode_ms=statistics.median(m.encode_ms for m in measurements),
        decode_ms=statistics.median(m.decode_ms for m in measurements),
        ssimulacra2=statistics.fmean(scores) if scores else None,
        cvvdp=statistics.fmean(jods) if jods else None,
        hue=statistics.fmean(hues) if hues else None,
    )


def lossy_points(points: Iterable[CurvePoint], quality: str) -> tuple[list[float], list[float]]:
    """Bits per pixel of the lossy points of a curve, and one of their figures, such as `psnr`."""
    pairs = [(p.bpp, getattr(p, quality)) for p in points]
    finite = [(bpp, float(value)) for bpp, value in pairs if value is not None and math.isfinite(value)]
    return [bpp for bpp, _ in finite], [value for _, value in finite]


def _bd_rate(anchor: Sequence[CurvePoint], points: Sequence[CurvePoint], quality: str) -> float | None:
    return _if_comparable(bd_rate, [lossy_points(of, quality) for of in (anchor, points)])


def _if_comparable(difference: Callable[..., float], curves: list[tuple[list[float], list[float]]]) -> float | None:
    try:
        return difference(*curves[0], *curves[1])
    except InvalidArgument:  # too few points, or no shared range
        return None


def _at(points: Iterable[CurvePoint], figure: str, bpp: float) -> float | None:
    """A curve's figure at a rate, linear in its logarithm between two points; None beyond its ends."""
    rates, values = lossy_points(points, figure)
    curve = sorted(zip(rates, values, strict=True))
    for (rate, value), (higher, following) in itertools.pairwise(curve):
        if rate <= bpp <= higher and rate < higher:
            share = math.log(bpp / rate) / math.log(higher / rate)
            return value + share * (following - value)
    return None


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs


def _rises(values: Iterable[float]) -> bool:
    return all(after > before for before, after in itertools.pairwise(values))


def _signed(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:+.2f} {unit}"


def _measurements(rows: Iterable[dict[str, Any]], pictures: Sequence[str]) -> Iterator[Measurement]:
    """Measurements from their JSON; the only figure that may be infinite there is the PSNR of equal pictures."""
    for codec, points in itertools.groupby(rows, key=lambda row: str(row["codec"])):
        missing = [None] * len(pictures)
        columns = [
            (row["quality"], [row.get(name, missing) if name in _LATER else row[name] for name in _FIGURES])
            for row in points
        ]
        for number, picture in enumerate(pictures):
            for quality, values in columns:
                figures = {name: of[number] for name, of in zip(_FIGURES, values, strict=True)}
                if figures["psnr"] is None:
                    figures["psnr"] = math.inf
                yield Measurement(codec, quality, picture, **figures)
