"""`aez bench`: figures that anybody can measure again."""

from __future__ import annotations

import click

from aez.commands.bench import codec, detect, images, latent, monitor, rd, results


@click.group()
def bench() -> None:
    """Measure models against other formats and detectors."""


for _module in (codec, detect, images, latent, monitor, rd, results):
    for _command in _module.COMMANDS:
        bench.add_command(_command)
