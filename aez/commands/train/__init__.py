"""`aez train`: from data to a model."""

from __future__ import annotations

import click

from aez.commands.train.autoencoders import FAMILY_COMMANDS
from aez.commands.train.images import images
from aez.commands.train.kl import kl_f8
from aez.commands.train.photo import photo
from aez.commands.train.series import series


@click.group()
def train() -> None:
    """Train models; needs `pip install 'aez[train]'`."""


for _command in (series, images, kl_f8, photo, *FAMILY_COMMANDS):
    train.add_command(_command)
