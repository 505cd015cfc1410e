"""`aez bench latent`: how well a latent model reconstructs, what its latents are like, and how well it compresses."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.bench import shared


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-m", "--model", "models", multiple=True, metavar="NAME|PATH", help="A model, by default kl-f8; may be repeated."
)
@click.option(
    "-b",
    "--bpp",
    "bpps",
    multiple=True,
    type=options.Finite(0, 24, min_open=True, max_open=True),
    help="Bits per pixel at which to compare files; may be repeated. By default 0.1, 0.15, 0.25 and 0.4.",
)
@click.option(
    "--tile", type=click.IntRange(64, 2048), default=512, show_default=True, help="Tiles whose seams are measured."
)
@click.option("--quick", is_flag=True, help="At most three pictures and the lowest rate.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write JSON, table, plots and a sheet there."
)
@shared.as_json
def latent(
    folder: Path | None,
    models: tuple[str, ...],
    bpps: tuple[float, ...],
    tile: int,
    quick: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Reconstruction, latents, seams, times and low rates of models like kl-f8, over the lossless pictures in DIR."""
    if folder is None:
        raise InvalidArgument("name a folder of lossless pictures (png, bmp, ppm or tiff), such as the Kodak set")
    from aez.bench.latent.run import BPPS, run
    from aez.codec.latent.model import LATENT_MODEL

    if output is not None:
        shared.import_first("aez[bench]", "matplotlib")
    report = run(
        folder,
        models or (LATENT_MODEL,),
        output,
        bpps or BPPS,
        tile,
        quick=quick,
        progress=sys.stderr.isatty(),
    )
    shared.show(report, as_json)
    if output is not None:
        messages.summary(f"wrote the report, plots and contact sheet to {output}")


COMMANDS = (latent,)
