"""`aez bench remote`: what regions of a large picture cost that lies on a web server."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aez.commands import options
from aez.commands.bench import shared


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@click.option("--side", type=click.IntRange(1024), default=10000, show_default=True, help="Width and height in pixels.")
@click.option("--tile", type=click.IntRange(64, 2048), default=512, show_default=True, help="Side of its tiles.")
@click.option("--region", type=click.IntRange(16), default=512, show_default=True, help="Side of the regions.")
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Regions at random places.")
@click.option("--delay", type=options.Finite(0), default=0, help="Milliseconds before each answer of the server.")
@options.model
@click.option("-q", "--quality", type=options.Finite(1, 100), default=50, show_default=True, help="Of the picture.")
@options.as_json
def remote(
    file: Path | None,
    side: int,
    tile: int,
    region: int,
    count: int,
    delay: float,
    model: str | None,
    quality: float,
    as_json: bool,
) -> None:
    """Bytes, requests and time of regions of a picture on a web server.

    The picture is the .aez FILE, or one of noise that is made, nine tiles of which are encoded and repeated; the server
    is one on this machine that counts. Needs `pip install 'aez[remote]'`.
    """
    shared.import_first("aez[remote]", "fsspec", "aiohttp")
    from aez.bench.remote.run import run

    report = run(
        file,
        model=model,
        quality=quality,
        side=side,
        tile=tile,
        region=region,
        count=count,
        delay=delay / 1000,
        progress=sys.stderr.isatty(),
    )
    shared.show(report, as_json)


COMMANDS = (remote,)
