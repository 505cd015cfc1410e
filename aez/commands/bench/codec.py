"""`aez bench speed|tiles|seams|exact|lossless|large|soak`: figures of the codec beyond rate and distortion."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.bench import shared

pictures = click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="PICTURE...")
quality = click.option("-q", "--quality", type=options.Finite(1, 100), default=50, show_default=True)


@click.command()
@pictures
@options.model
@quality
@click.option(
    "--repeats", type=click.IntRange(1), default=7, show_default=True, help="Timed rounds; the median counts."
)
@options.as_json
def speed(pictures: tuple[Path, ...], model: str | None, quality: float, repeats: int, as_json: bool) -> None:
    """Milliseconds to encode and decode in a warm process, beside AVIF in the same run, and a decode from the shell."""
    from aez.bench.pictures.speed import speed as measure

    report = measure(_given(pictures), model, quality, repeats)
    times = report["milliseconds"]
    _show(
        report,
        as_json,
        [
            _pair("array -> .aez", times["encode"], times["avif_encode"]),
            _pair(".aez -> array", times["decode"], times["avif_decode"]),
            f"aez decode, from the shell: {report['cold_decode_seconds']:.2f} s",
        ],
    )


@click.command()
@pictures
@options.model
@quality
@click.option("--tile", type=click.IntRange(64, 2048), default=512, show_default=True)
@options.as_json
def tiles(pictures: tuple[Path, ...], model: str | None, quality: float, tile: int, as_json: bool) -> None:
    """Seams between tiles, what tiles cost, regions against the whole, bytes above the ideal code length."""
    from aez.bench.pictures.soundness import tiling as measure

    report = measure(_given(pictures), model, quality, tile)
    _show(
        report,
        as_json,
        [
            f"tiles of {tile} pixels",
            f"error at borders / elsewhere       {report['border_to_elsewhere']:.3f}",
            f"the same places without tiles      {report['border_to_elsewhere_without_tiles']:.3f}",
            f"seams: the quotient of both        {report['seam_ratio']:.3f}",
            f"bytes above one tile               {100 * report['tile_cost']:+.2f} %",
            f"largest region difference          {report['region_difference']} / 255",
            f"file above sum of -log2 p          {100 * report['overhead']:+.2f} %",
            f"bytes that are no coded symbols    {report['other_bytes']} (one-tile picture)",
        ],
    )


@click.command()
@pictures
@options.model
@click.option(
    "-q",
    "--quality",
    "qualities",
    multiple=True,
    type=options.Finite(1, 100),
    default=(10, 30, 50),
    show_default=True,
)
@click.option("--tile", type=click.IntRange(64, 2048), default=1024, show_default=True)
@click.option(
    "--width",
    type=click.IntRange(0, 65535),
    default=1920,
    show_default=True,
    help="Scale the pictures to this width in pixels first; 0 takes them as they are.",
)
@options.as_json
def seams(
    pictures: tuple[Path, ...], model: str | None, qualities: tuple[float, ...], tile: int, width: int, as_json: bool
) -> None:
    """Whether tiles show: errors of steps across their borders, over those at other multiples of 16 pixels."""
    from aez.bench.pictures.seams import seams as measure

    report = measure(_given(pictures), model, qualities, tile, width or None)
    lines = [
        f"quality {quality:>3}: at borders {of['border']:.2f}, elsewhere {of['elsewhere']:.2f} of 255, "
        f"ratio {'-' if of['ratio'] is None else format(of['ratio'], '.2f')}"
        for quality, of in report["qualities"].items()
    ]
    _show(report, as_json, [f"tiles of {tile} pixels", *lines])


@click.command()
@pictures
@options.model
@quality
@click.option("--tile", type=click.IntRange(64, 2048), default=256, show_default=True)
@options.as_json
def exact(pictures: tuple[Path, ...], model: str | None, quality: float, tile: int, as_json: bool) -> None:
    """Whether symbols decode identically with other threads, graph optimisation, order, and on CUDA where present."""
    from aez.bench.pictures.soundness import exactness as measure

    report = measure(_given(pictures), model, quality, tile)
    lines = [f"{report['symbols']} coded symbols"]
    lines += [f"{name}: {count} differences" for name, count in report["differences"].items()]
    _show(report, as_json, lines + [f"not tested: {reason}" for reason in report["not_tested"]])
    if any(report["differences"].values()):
        sys.exit(1)


@click.command()
@click.argument("picture", required=False, type=click.Path(path_type=Path), metavar="[PICTURE]")
@click.option("--side", type=click.IntRange(64), default=10000, show_default=True, help="Width and height in pixels.")
@options.model
@quality
@options.as_json
def large(picture: Path | None, side: int, model: str | None, quality: float, as_json: bool) -> None:
    """Peak memory and time of encoding and decoding one very large picture (PICTURE repeated, or a texture)."""
    from aez.bench.pictures.memory import large as measure

    report = measure(side, model, quality, picture)
    lines = [
        f"{name}: {report[name]['peak_megabytes']:.0f} MB at most, {report[name]['seconds']:.0f} s"
        for name in ("encode", "decode")
    ]
    _show(report, as_json, [f"{side} x {side} pixels, {report['bytes']} bytes", *lines])


@click.command()
@click.option("--count", type=click.IntRange(10), default=2000, show_default=True, help="Pictures of random sizes.")
@options.model
@options.as_json
def soak(count: int, model: str | None, as_json: bool) -> None:
    """Resident memory over many pictures of random sizes in one process. Needs `pip install 'aez[bench]'`."""
    shared.import_first("aez[bench]", "psutil")
    from aez.bench.pictures.memory import soak as measure
    from aez.codec.common.progress import progress_bar

    with progress_bar(total=count, unit="picture") as bar:
        report = measure(count, model, settled=min(200, count // 2), progress=lambda _: bar.update())
    lines = [f"after {number:>5}: {value:6.0f} MB" for number, value in report["resident_megabytes"].items()]
    _show(report, as_json, [*lines, f"growth after warming up: {100 * report['growth']:+.1f} %"])


@click.command()
@pictures
@click.option("--deep", is_flag=True, help="Make pictures of 12 and 16 bits of them, or of an .npz with a cube.")
@options.as_json
def lossless(pictures: tuple[Path, ...], deep: bool, as_json: bool) -> None:
    """Bytes without loss beside PNG, lossless WebP and lossless JPEG XL; 16-bit PNG files beside themselves."""
    from aez.bench.pictures.lossless import measure_deep, measure_lossless

    shared.show(measure_deep(pictures) if deep else measure_lossless(pictures), as_json)


COMMANDS = (speed, tiles, seams, exact, lossless, large, soak)


def _pair(what: str, own: float, avif: float) -> str:
    return f"{what}   {own:7.1f} ms   AVIF speed 6 {avif:7.1f} ms   ratio {own / avif:.2f}"


def _given(pictures: tuple[Path, ...]) -> tuple[Path, ...]:
    if not pictures:
        raise InvalidArgument("name one picture or more, such as those of the Kodak set")
    return pictures


def _show(report: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    messages.result(json.dumps(report, indent=1) if as_json else "\n".join(lines))
