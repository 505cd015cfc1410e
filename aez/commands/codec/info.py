"""`aez info`: what an `.aez` file holds."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from aez import messages
from aez.batch import run_each
from aez.commands import options
from aez.files import read_input


@click.command()
@options.files
@options.as_json
def info(files: tuple[str, ...], as_json: bool) -> None:
    """Show size, quality, model and chunks of .aez files; every chunk's checksum is checked."""
    from aez.codec.image.api import describe

    def show(name: str) -> None:
        found = describe(read_input(name))
        messages.result(json.dumps({"file": name, **found}) if as_json else _text(name, found))

    sys.exit(run_each(files, show))


def _text(name: str, found: dict[str, Any]) -> str:
    model = found["model"]
    called = model["name"] or "a model that is not here"
    tiles = f"{found['tiles']} tile{'s' if found['tiles'] > 1 else ''} of at most {found['tile']} pixels a side"
    size = f"{found['bytes']:,} bytes, {found['bpp']:.3f} bpp"
    picture = f"{found['kind']} {found['width']}x{found['height']} {found['mode']}"
    lines = [
        f"{click.format_filename(name)}: {picture}, quality {found['quality']:g}, {size}",
        f"  model {model['id']} ({called}{', embedded' if model['embedded'] else ''}), {tiles}",
        f"  {'chunk':<14}{'count':>8}{'bytes':>14}",
    ]
    totals: dict[str, list[int]] = {}
    for chunk in found["chunks"]:
        totals.setdefault(chunk["name"], []).append(chunk["bytes"])
    lines += [f"  {chunk:<14}{len(sizes):>8,}{sum(sizes):>14,}" for chunk, sizes in totals.items()]
    return "\n".join(lines)
