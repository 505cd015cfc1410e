"""`aez bench`: figures that anybody can measure again."""

from __future__ import annotations

import click

from aez.commands.bench import autoencoders, codec, detect, images, latent, monitor, rd, remote, results


@click.group()
def bench() -> None:
    """Measure models against other formats and detectors."""


for _module in (autoencoders, codec, detect, images, latent, monitor, rd, remote, results):
    for _command in _module.COMMANDS:
        bench.add_command(_command)
