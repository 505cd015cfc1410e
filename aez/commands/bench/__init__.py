"""`aez bench`: figures that anybody can measure again."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands.bench import codec as bench_codec
from aez.commands.bench import detect as bench_detect
from aez.commands.bench import images as bench_images
from aez.commands.bench import latent as bench_latent
from aez.commands.bench import monitor as bench_monitor
from aez.commands.bench import results as bench_results


@click.group()
def bench() -> None:
    """Measure models against other formats and detectors."""


for _command in (
    *bench_codec.COMMANDS,
    *bench_detect.COMMANDS,
    *bench_images.COMMANDS,
    *bench_latent.COMMANDS,
    *bench_monitor.COMMANDS,
    *bench_results.COMMANDS,
):
    bench.add_command(_command)


@bench.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-m", "--model", "models", multiple=True, metavar="NAME|PATH", help="A model, by default photo; may be repeated."
)
@click.option(
    "-q", "--quality", "qualities", multiple=True, type=click.FloatRange(1, 100), help="A point of the curves."
)
@click.option("--quick", is_flag=True, help="At most three pictures and five points a curve.")
@click.option("--sheet", is_flag=True, help="Measure all pictures of a size in one file as well: no headers to pay.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write JSON, table and plots there."
)
@click.option("--name", default="rd", show_default=True, help="What the files there are called, such as domain-maps.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def rd(
    folder: Path | None,
    models: tuple[str, ...],
    qualities: tuple[float, ...],
    quick: bool,
    sheet: bool,
    output: Path | None,
    name: str,
    as_json: bool,
) -> None:
    """Rate-distortion against JPEG, WebP, AVIF, JPEG 2000 and JPEG XL over the lossless pictures in DIR."""
    if folder is None:
        raise InvalidArgument("name a folder of lossless pictures (png, bmp, ppm or tiff), such as the Kodak set")
    from aez.bench.pictures.rd import run
    from aez.codec.bundle.library import DEFAULT_MODEL

    if output is not None:
        with needs("matplotlib", ["matplotlib"]):
            importlib.import_module("matplotlib")  # before the measurements, which take minutes
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InvalidArgument(f"{name!r} is no name for files; take letters, digits, - and _")
    report = run(
        folder,
        models or [DEFAULT_MODEL],
        qualities or None,
        output,
        quick=quick,
        progress=sys.stderr.isatty(),
        sheet=sheet,
        name=name,
    )
    messages.result((report.to_json() if as_json else report.table()).rstrip("\n"))
    if output is not None:
        messages.summary(f"wrote the report, plots and contact sheet to {output}")
