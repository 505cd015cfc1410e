"""`aez embed`: latents of pictures as NPZ or Parquet."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.batch import run_each
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors import shared as vectors_shared
from aez.commands.vectors.embed import embed_items
from aez.commands.vectors.opened import is_autoencoder, only_one, refuse_given
from aez.files import Job, check_target
from aez.inputs import STDIO

if TYPE_CHECKING:
    from aez.codec.latent.files import LatentFile
    from aez.codec.latent.model import LatentModel

#: The name in the file of the picture that came through standard input.
_FROM_STDIN = "stdin"


@dataclass
class _Embedding:
    """What one call of the command holds. `seed` is None where means are taken."""

    model: LatentModel
    file: LatentFile
    bar: latent_shared.Bar
    log_variance: bool
    seed: int | None
    as_json: bool
    number: int = field(default=0, init=False)

    def one(self, name: str) -> None:
        from aez.codec.image.pillow import take_upright

        number, self.number = self.number, self.number + 1
        try:
            with latent_shared.failures_as_json(name, self.as_json):
                picture = take_upright(latent_shared.read_picture(name))
                latent = self.model.encode(picture.pixels, self.bar.tiles)
                # Each picture has noise of its own.
                values = latent.mean if self.seed is None else latent.sample((self.seed, number))
                stored = self.file.add(
                    _FROM_STDIN if name == STDIO else Path(name).name,
                    latent.size,
                    values,
                    latent.log_variance if self.log_variance else None,
                )
        finally:
            self.bar.advance()
        with self.bar.aside():
            for notice in picture.notices:
                messages.note(f"{latent_shared.shown(name)}: {notice}")
            if self.as_json:
                height, width = latent.size
                record = {"input": name, "name": stored, "height": height, "width": width, "shape": values.shape}
                messages.result(json.dumps({**record, "notices": picture.notices}))


@click.command()
@options.inputs
@click.option("-o", "--output", required=True, metavar="OUT.npz|OUT.parquet", help="File for the latents.")
@click.option("--log-variance", is_flag=True, help="Store the log-variances, too.")
@click.option("--sample", is_flag=True, help="Draw from the distribution in place of its mean.")
@click.option("--seed", type=click.IntRange(0), help="Seed of --sample; by default 0.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True, help="Type of numbers."
)
@latent_shared.model
@vectors_shared.reading
@latent_shared.running
@options.as_json
def embed(
    inputs: tuple[str, ...],
    output: str,
    log_variance: bool,
    sample: bool,
    seed: int | None,
    dtype: str,
    model: str,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Write the latents of pictures to one file, for search, training and other programs.

    IN is a picture, a folder (the pictures in it; folders inside are left alone) or - for standard input. Pictures are
    turned as EXIF says.

    OUT.npz holds one array `latents` [N, C, h, w] and its `names` where all latents have one shape, and else an array
    for each picture under its name. OUT.parquet has a row for each picture. Sizes, model and scale stand beside them.

    With a model of `aez train dense` and its like, IN is one DATA as they take it, and the file has a vector for each
    item, with its name and label.
    """
    from aez.codec.latent.files import LatentFile, check_suffix

    if seed is not None and not sample:
        raise InvalidArgument("--seed goes with --sample; without it the latents are means, and nothing is drawn")
    if is_autoencoder(model):
        refuse_given(model, log_variance=log_variance, json=as_json)
        drawing = (seed or 0) if sample else None
        data = only_one(inputs)
        embed_items(data, output, model, device, threads, seed=drawing, dtype=dtype, force=force, **reading)
        return
    refuse_given(model, **reading)
    check_suffix(output)
    found = latent_shared.all_inputs(inputs)
    names = [one.path for one in found.files]
    for name in names:
        check_target(Job(name, output), force)
    opened = latent_shared.open_model(model, device, threads)
    drawn = (seed or 0) if sample else None
    with (
        LatentFile(output, opened.bundle, log_variance=log_variance, dtype=dtype) as file,
        latent_shared.progress_bar(len(names)) as bar,
    ):
        code = run_each(names, _Embedding(opened, file, bar, log_variance, drawn, as_json).one, found.failed)
        if file.shapes:
            file.write(force)
            messages.summary(f"wrote {_said(file)} of {opened.bundle.name} to {click.format_filename(output)}")
    sys.exit(code)


def _said(file: LatentFile) -> str:
    count, shapes = len(file), file.shapes
    if len(shapes) > 1:
        return f"{count} latents of {len(shapes)} shapes"
    return f"{count} latent{'s' if count > 1 else ''} of {'x'.join(map(str, *shapes))}"
