"""`aez bench rd`: rate and distortion of models beside other formats."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.bench import shared


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="DIR")
@shared.models
@click.option("-q", "--quality", "qualities", multiple=True, type=options.Finite(1, 100), help="A point of the curves.")
@click.option("--quick", is_flag=True, help="At most three pictures and five points a curve.")
@click.option("--sheet", is_flag=True, help="Measure all pictures of a size in one file as well: no headers to pay.")
@click.option(
    "--up-to-bpp",
    type=options.Finite(0, min_open=True),
    default=0.3,
    show_default=True,
    help="Up to this rate of the other format's, a BD-rate of low rates is taken.",
)
@click.option(
    "--eye",
    is_flag=True,
    help="Measure SSIMULACRA 2 as well, a second or so for each file, and ColorVideoVDP where torch is installed.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write JSON, table and plots there."
)
@click.option("--name", default="rd", show_default=True, help="What the files there are called, such as domain-maps.")
@shared.as_json
def rd(
    folder: Path | None,
    models: tuple[str, ...],
    qualities: tuple[float, ...],
    quick: bool,
    sheet: bool,
    up_to_bpp: float,
    eye: bool,
    output: Path | None,
    name: str,
    as_json: bool,
) -> None:
    """Rate-distortion against JPEG, WebP, AVIF, JPEG 2000 and JPEG XL over the lossless pictures in DIR.

    Needs `pip install 'aez[bench]'`.
    """
    if folder is None:
        raise InvalidArgument("name a folder of lossless pictures (png, bmp, ppm or tiff), such as the Kodak set")
    wanted = {"matplotlib": output is not None, "ssimulacra2": eye}
    shared.import_first("aez[bench]", "scipy", *(package for package, needed in wanted.items() if needed))
    from aez.bench.pictures.rd import run

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InvalidArgument(f"{name!r} is no name for files; take letters, digits, - and _")
    report = run(
        folder,
        models,
        qualities or None,
        output,
        quick=quick,
        progress=sys.stderr.isatty(),
        sheet=sheet,
        name=name,
        up_to_bpp=up_to_bpp,
        eye=eye,
    )
    shared.show(report, as_json)
    if output is not None:
        messages.summary(f"wrote the report, plots and contact sheet to {output}")


COMMANDS = (rd,)
