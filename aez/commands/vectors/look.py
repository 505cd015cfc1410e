"""`aez look`: a page about what an autoencoder learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from aez.codec.errors import InvalidArgument
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors import opened, shared
from aez.files import Job, check_target, write_output

#: At most so many items are looked at, and numbers of them, evenly spread over the data.
_ITEMS, _NUMBERS = 5000, 1 << 25


@click.command()
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", required=True, metavar="OUT.html", help="The page.")
@shared.model
@click.option(
    "--axes", type=click.Choice(["2", "3"]), default="2", show_default=True, help="Axes of the plot of the codes."
)
@shared.reading
@latent_shared.running
def look(
    data: str,
    output: str,
    model: str,
    axes: str,
    device: str,
    threads: int | None,
    force: bool,
    **reading: Any,
) -> None:
    """Show in one HTML page what a model of `aez train dense` and its like learned.

    DATA is as for training. The page has the loss curves of the model's run where that lies beside the model, originals
    and what comes back, the codes as points coloured by label, decoded points of a plane of the codes, ways between
    items, what each number of the code stands for beside PCA's components, active units, and histograms of the codes.
    It holds everything that it shows.
    """
    from importlib import metadata

    from aez.codec.common.extras import library
    from aez.codec.report.autoencoder_page import AutoencoderLook, autoencoder_page

    if Path(output).suffix.lower() not in (".html", ".htm"):
        raise InvalidArgument(f"{output}: the name of a page ends in .html")
    check_target(Job(data, output), force)
    library("matplotlib", "monitor")
    autoencoder = opened.open_autoencoder(model, device, threads)
    items, values = opened.read_for(autoencoder, data, shared.reading_of(**reading))
    most = max(2, min(_ITEMS, _NUMBERS // max(values[0].size, autoencoder.dimensions)))
    some = opened.some_of(len(items), most)
    found = AutoencoderLook(autoencoder, items.chosen(some), values[some], _log(model))
    page = autoencoder_page(found, int(axes), metadata.version("aez"))
    write_output(output, page.encode(), force)
    opened.say_wrote(output, f"a look into {autoencoder.bundle.name} on {len(some):,} {autoencoder.kind}")


def _log(model: str) -> list[dict[str, float]]:
    """The rows of the log of the model's run; none where it does not lie beside it, or is no such log."""
    try:
        lines = Path(f"{model}.run", "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [row for row in map(json.loads, lines) if isinstance(row, dict) and "step" in row]
    except (OSError, ValueError):
        return []
