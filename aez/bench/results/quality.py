"""The sections on rate and distortion: photographs, pictures of one kind, where models lose, latents."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np

from aez.bench.machine import Environment
from aez.bench.pictures.bd_rate import bd_rate, monotone_cubic
from aez.bench.pictures.rd_report import RdReport, lossy_points
from aez.bench.results.markdown import NONE, machine, percent, table
from aez.bench.results.reader import Reader
from aez.bench.weak.report import KindResult, Level, WeakReport
from aez.codec.errors import InvalidArgument

__all__ = ["domains", "latents", "photographs", "weak_spots"]

#: Bits per pixel of the tables of curves.
_BPPS = (0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_TIMED_AGAINST = "AVIF 4:4:4"


def photographs(reader: Reader) -> Iterator[str]:
    """Curves, BD-rates and times of rd.json. Raises InvalidArgument."""
    report = reader.report("rd.json")
    yield f"## Photographs: {len(report.pictures)} pictures of {report.folder}"
    yield ""
    yield from reader.picture("rd.png", "PSNR and MS-SSIM over bits per pixel for every codec")
    yield from _rate_tables(report)
    for quality, title in (("psnr", "PSNR in dB"), ("ms_ssim_db", "MS-SSIM in dB")):
        rows = list(_curve_rows(report, quality))
        if rows:
            yield f"{title} at the same bits per pixel, read off the mean curves:"
            yield ""
            yield from table(["codec", *(f"{bpp:g}" for bpp in _BPPS)], rows)
    yield "Milliseconds from array to file and back, medians over all points of the curve, codecs one after another:"
    yield ""
    yield from table(["codec", "encode", "decode", f"encode / {_TIMED_AGAINST}", "decode"], _time_rows(report))
    for verdict in report.monotonicity:
        rises = "both rise" if verdict.bpp and verdict.psnr else "NOT BOTH RISE"
        pictures = f"{verdict.pictures} of {verdict.of} pictures"
        yield f"- {verdict.codec}: with quality, bytes and PSNR {rises} on the mean curve, and on {pictures}."
    yield ""
    yield f"All points: [rd.txt]({reader.link('rd.txt')}), [rd.json]({reader.link('rd.json')})."
    yield f"{machine(report.environment)} Made with `{_rd_command(report)} -o docs/results`."
    yield ""


def _rd_command(report: RdReport) -> str:
    models = " ".join(f"-m {name.removeprefix('aez ')}" for name in report.models)
    return f"aez bench rd DIR {models}{' --quick' if report.quick else ''}"


def _rate_tables(report: RdReport) -> Iterator[str]:
    peers = [name for name in report.curves if name not in report.models]
    for quality, title in (("psnr", "PSNR"), ("ms_ssim_db", "MS-SSIM")):
        if all(getattr(p, quality) is None for curve in report.curves.values() for p in curve):
            continue
        yield f"BD-rate by {title}, each row against the codec above the column:"
        yield ""
        rows = []
        for name in report.curves:
            cells = [percent(_bd_rate(report, name, peer, quality)) if name != peer else "" for peer in peers]
            rows.append([f"**{name}**" if name in report.models else name, *cells])
        yield from table(["", *peers], rows)


def _bd_rate(report: RdReport, codec: str, anchor: str, quality: str) -> float | None:
    try:
        return bd_rate(*lossy_points(report.curves[anchor], quality), *lossy_points(report.curves[codec], quality))
    except InvalidArgument:  # no shared range
        return None


def _curve_rows(report: RdReport, quality: str) -> Iterator[list[str]]:
    for name, curve in report.curves.items():
        rates, values = lossy_points(curve, quality)
        rising = sorted(set(rates))
        if len(rising) < 2 or len(rising) < len(rates):
            continue
        order = np.argsort(rates)
        line = monotone_cubic(np.log(np.asarray(rates)[order]), np.asarray(values)[order])
        cells = [f"{float(line(math.log(bpp))):.2f}" if rising[0] <= bpp <= rising[-1] else NONE for bpp in _BPPS]
        yield [f"**{name}**" if name in report.models else name, *cells]


def _time_rows(report: RdReport) -> Iterator[list[str]]:
    times = {
        name: [
            statistics.median(getattr(m, figure) for m in report.measurements if m.codec == name)
            for figure in ("encode_ms", "decode_ms")
        ]
        for name in report.curves
    }
    base = times.get(_TIMED_AGAINST)
    for name, (encode, decode) in times.items():
        ratios = [f"{encode / base[0]:.2f}", f"{decode / base[1]:.2f}"] if base else [NONE, NONE]
        yield [f"**{name}**" if name in report.models else name, f"{encode:.1f}", f"{decode:.1f}", *ratios]


def domains(reader: Reader) -> Iterator[str]:
    """BD-rates of domain-*.json. Raises InvalidArgument."""
    names = reader.matching("domain-*.json")
    if not names:
        return
    yield "## Pictures of one kind, and models trained on that kind"
    yield ""
    yield "*Each in a file* is what people do with single pictures: what a format writes before the first pixel counts."
    yield "*All in one* puts the pictures of a size side by side into one, each continued by its edges to a multiple of"
    yield "16 pixels, so that it hardly counts. Grey pictures were given to every codec as grey, but to WebP, which has"
    yield "no grey."
    yield ""
    for name in names:
        report = reader.report(name)
        title = name.removeprefix("domain-").removesuffix(".json")
        yield f"### {title}: {len(report.pictures)} pictures"
        yield ""
        yield from reader.picture(f"domain-{title}.png", f"Curves over the pictures of {title}")
        forms = [("each in a file", report)] + ([("all in one", report.sheet)] if report.sheet is not None else [])
        peers = [peer for peer in report.curves if peer not in report.models]
        rows = [
            [f"**{model}**, {form}", *(percent(_bd_rate(one, model, peer, "psnr")) for peer in peers)]
            for model in report.models
            for form, one in forms
        ]
        yield "BD-rate by PSNR against:"
        yield ""
        yield from table(["", *peers], rows)
        yield from (f"{note}" for note in report.notes)
        options = f"{' --sheet' if report.sheet is not None else ''} --name domain-{title} -o docs/results"
        yield f"{machine(report.environment)} Made with `{_rd_command(report)}{options}`."
        yield ""


def weak_spots(reader: Reader) -> Iterator[str]:
    """Bytes at equal PSNR of weak.json. Raises InvalidArgument."""
    for name in reader.matching("weak.json"):
        report = reader.weak(name)
        yield "## Where it loses"
        yield ""
        yield "Bytes to reach a PSNR, and in brackets how many times as many as the best other format takes for at"
        yield "least that: JPEG, WebP, AVIF at equal PSNR, or PNG and lossless WebP. **Bold** is where it takes more."
        yield ""
        for model in report.models:
            levels = [f"{level.psnr:g} dB" for level in report.kinds[0].levels] if report.kinds else []
            rows = [
                [kind.name, *(_weak_cell(report, model, kind, level) for level in kind.levels)] for kind in report.kinds
            ]
            yield from table(
                [
                    model,
                    *levels,
                ],
                rows,
            )
        yield from (f"- {kind.name}: {kind.about}." for kind in report.kinds if not kind.name.startswith("tiny"))
        yield "- tiny: crops of a made landscape."
        yield ""
        yield f"Every codec's bytes: [weak.txt]({reader.link('weak.txt')}). {machine(report.environment)}"
        yield "Made with `aez bench weak [DIR] -o docs/results`."
        yield ""


def _weak_cell(report: WeakReport, model: str, kind: KindResult, level: Level) -> str:
    own, rival = level.bytes[model], kind.rival(model, level, report.models)
    if own is None:
        best = kind.best_psnr[model]
        reached = "" if best is None else f", at most {best:.1f} dB"
        return f"**not reached**{reached}"
    if rival is None:
        return f"{own:,}"
    text = f"{own:,} ({own / rival[1]:.2f} x {rival[0]})"
    return f"**{text}**" if own > rival[1] else text


def latents(reader: Reader) -> Iterator[str]:
    """Reconstruction of latent*.json. Raises InvalidArgument."""
    for name in reader.matching("latent*.json"):
        yield from reader.rendered(name, _latent_lines)


def _latent_lines(figures: dict[str, Any]) -> Iterator[str]:
    yield f"## The latent, unquantized: {len(figures['pictures'])} pictures of {figures['folder']}"
    yield ""
    rows = []
    for model in figures["models"]:
        means, network, times = model["reconstruction"], model["network"], model["times"]
        similarity = means["ms_ssim"]
        cells = [f"{means['psnr']:.2f}", f"{means['ssim']:.4f}", NONE if similarity is None else f"{similarity:.4f}"]
        costs = (network.get(f"{half}_kmac_per_pixel") for half in ("encoder", "decoder"))
        cells += [NONE if cost is None else f"{cost:.0f}" for cost in costs]
        cells += [NONE if times is None else f"{times[key]:.0f}" for key in ("encode", "decode")]
        rows.append([f"**{model['name']}**", f"{model['channels']} at 1/{model['stride']}", *cells])
    heads = ["", "channels", "PSNR dB", "SSIM", "MS-SSIM", "encoder kMAC/pixel", "decoder", "encode ms", "decode"]
    yield from table(heads, rows)
    sides = {model["times"]["side"] for model in figures["models"] if model["times"] is not None}
    for side in sorted(sides):
        yield f"Milliseconds for {side} x {side} pixels, warm."
    yield f"{machine(Environment(**figures['environment']))} Made with `aez bench latent DIR -o docs/results`."
    yield ""
