"""What the commands about latents share: options, reading, progress, errors as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.errors import AezError, InvalidArgument
from aez.commands import options
from aez.commands.codec.picture_files import find_format, judge_picture
from aez.files import read_input
from aez.inputs import STDIO, Inputs, find_inputs

if TYPE_CHECKING:
    from PIL import Image

    from aez.codec.latent.model import LatentModel

#: As in aez.codec.latent.model, which brings more than an option needs.
LATENT_MODEL = "kl-f8"

model = click.option(
    "-m",
    "--model",
    metavar="NAME|PATH",
    default=LATENT_MODEL,
    show_default=True,
    help="Model by name, by id or as an .aezm file.",
)
running = options.in_order(
    options.device,
    click.option("--threads", type=click.IntRange(1, 1024), help="Threads; by default all cores."),
    click.option("-f", "--force", is_flag=True, help="Replace files that exist."),
)


def open_model(ref: str, device: str, threads: int | None) -> LatentModel:
    """The latent model, run once, so that a device that is not there fails before any file. Raises AezError."""
    import numpy as np

    from aez.codec.image.api import load
    from aez.codec.latent.model import open_latent_model

    opened = open_latent_model(load(ref), device, threads)
    opened.encode(np.zeros((1, 1, 3), np.uint8))
    return opened


def all_inputs(inputs: Sequence[str]) -> Inputs:
    """The files, and the pictures directly in the folders; what else lies there is told."""
    found = find_inputs(inputs, judge_picture)
    found.tell()
    return found


def read_picture(name: str) -> Image.Image:
    """The picture in a file or from standard input. Raises UnsupportedInput."""
    from aez.codec.image.pillow import read_image

    return read_image(io.BytesIO(read_input(name)), "it")


def format_of(target: str) -> str:
    """Pillow's name of the format that a file's suffix asks for; png on standard output. Raises InvalidArgument."""
    suffix = Path(target).suffix if target != STDIO else ".png"
    try:
        return find_format(suffix)
    except InvalidArgument:
        asked = suffix or "a file without suffix"
        raise InvalidArgument(f"pictures cannot be written as {asked}; use .png, .webp, .tiff or .jpg") from None


def shown(name: str) -> str:
    """An input's name for people."""
    return "standard input" if name == STDIO else click.format_filename(name)


@contextmanager
def failures_as_json(name: str, as_json: bool) -> Iterator[None]:
    """Print an object about an error that passes."""
    try:
        yield
    except AezError as error:
        if as_json:
            messages.result(json.dumps({"input": name, "error": str(error), "exit_code": error.exit_code}))
        raise


@dataclass
class Bar:
    """A bar over pictures, or over the tiles of a picture that is alone; only on a terminal."""

    inner: Any
    over_tiles: bool

    @property
    def tiles(self) -> Callable[[int, int], None] | None:
        """What counts the tiles of one picture."""
        return self._show if self.over_tiles else None

    def advance(self) -> None:
        """Count a picture."""
        if not self.over_tiles:
            self.inner.update()

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """While this is open, lines may be printed."""
        held: contextlib.AbstractContextManager[None] = self.inner.external_write_mode(file=sys.stderr)
        return held

    def _show(self, done: int, total: int) -> None:
        self.inner.total, self.inner.n = total, done
        self.inner.refresh()


@contextmanager
def progress_bar(pictures: int, unit: str = "picture") -> Iterator[Bar]:
    """A bar for so many pictures."""
    from aez.codec.common import progress

    over_tiles = pictures == 1
    total, unit = (None, "tile") if over_tiles else (pictures, unit)
    inner = progress.progress_bar(total=total, unit=unit)
    with contextlib.closing(inner):
        yield Bar(inner, over_tiles)
