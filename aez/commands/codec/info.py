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
from aez.inputs import STDIO, find_coded


@click.command()
@options.files
@options.looking
@options.as_json
def info(files: tuple[str, ...], recursive: bool, follow_links: bool, as_json: bool) -> None:
    """Show size, quality, model and chunks of .aez files; every chunk's checksum is checked.

    FILE may be a folder, for the .aez files in it, or a URL, of which only the two ends are read (needs aez[remote]);
    - is standard input.
    """
    from aez.codec.container.chunks import SIGNATURE
    from aez.codec.image.decoding import describe, describe_ends
    from aez.codec.remote.address import is_url
    from aez.codec.remote.file import open_url

    def show(name: str) -> None:
        if is_url(name):
            found = describe_ends(open_url(name))
        else:
            found = describe(read_input(name, SIGNATURE[:-1]), None if name == STDIO else name)
        messages.result(json.dumps({"file": name, **found}) if as_json else _text(name, found))

    found = find_coded(files, recursive=recursive, follow_links=follow_links)
    sys.exit(run_each([one.path for one in found.files], show, found.failed))


def _more(found: dict[str, Any]) -> list[str]:
    """A line of what is not the same in most pictures."""
    said = [f"{found['bits']} bits a channel"] if found["bits"] > 8 else []
    if found["range"] is not None:
        said.append("values {:g} to {:g}".format(*found["range"]))
    said += [found["colour"]] if found["colour"] != "sRGB" else []
    said += [f"turned as orientation {found['orientation']} says"] if found["orientation"] > 1 else []
    if found["dpi"] is not None:
        said.append("{:g} x {:g} dots per inch".format(*found["dpi"]))
    if found["alpha_bytes"]:
        said.append(f"alpha {found['alpha_bytes']:,} bytes")
    return [f"  {', '.join(said)}"] if said else []


def _text(name: str, found: dict[str, Any]) -> str:
    model = found["model"]
    name_here = model["name"] or "a model that is not here"
    called = f"model {model['id']} ({name_here}{', embedded' if model['embedded'] else ''})"
    tiles = f"{found['tiles']} tile{'s' if found['tiles'] > 1 else ''} of at most {found['tile']} pixels a side"
    if found["kinds"] is None:  # of a URL
        kinds = "not read"
        needs_model = model["id"].strip("0") != ""
    else:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
        needs_model = bool(set(found["kinds"]) - {"exact"})
    quality = f"quality {found['quality']:g}"
    if found["max_error"] is not None:
        quality = f"every sample within {found['max_error']} levels" if found["max_error"] else "lossless"
    size = f"{found['bytes']:,} bytes, {found['bpp']:.3f} bpp"
    picture = f"{found['kind']} {found['width']}x{found['height']} {found['mode']}"
    lines = [
        f"{click.format_filename(name)}: {picture}, {quality}, {size}",
        f"  {called if needs_model else 'no model'}, {tiles} ({kinds})",
        *_more(found),
        f"  {'chunk':<14}{'count':>8}{'bytes':>14}",
    ]
    totals: dict[str, list[int]] = {}
    for chunk in found["chunks"]:
        totals.setdefault(chunk["name"], []).append(chunk["bytes"])
    lines += [f"  {chunk:<14}{len(sizes):>8,}{sum(sizes):>14,}" for chunk, sizes in totals.items()]
    return "\n".join(lines)
