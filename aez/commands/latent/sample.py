"""`aez sample`: pictures from the prior of a variational autoencoder."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors.opened import is_autoencoder, refuse_given
from aez.commands.vectors.sample import sample_items
from aez.files import Job, check_target, write_output
from aez.inputs import STDIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Draw = Callable[[int], "NDArray[np.uint8]"]
_SIDE_MAX = 2048
_SHEET_PIXELS_MAX = 1 << 26
_WARNINGS = {
    "normal": "latents of photographs are not independent, so samples of this prior look like fog; ",
    "hyper": "the codec's tables know textures and no objects; ",
}
_INSTEAD = "what draws pictures is a diffusion model that was trained in this latent"


def _parse_size(context: click.Context, option: click.Parameter, text: str) -> tuple[int, int]:
    """(width, height) from WxH; raises BadParameter."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(1 <= side <= _SIDE_MAX for side in size):
        raise click.BadParameter(f"{text!r} is not WIDTHxHEIGHT with 1..{_SIDE_MAX} pixels a side", context, option)
    return size


@click.command()
@click.option("-o", "--output", required=True, metavar="OUT.png", help="The picture, or a sheet of several.")
@click.option("--count", type=click.IntRange(1, 256), default=4, show_default=True, help="Number of samples.")
@click.option("--size", callback=_parse_size, default="256x256", show_default=True, metavar="WxH", help="In pixels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Equal seeds draw equal latents.")
@click.option(
    "--temperature",
    type=options.Finite(0, 100),
    default=1.0,
    show_default=True,
    help="Below 1 tamer, above 1 wilder; 0 is the likeliest latent.",
)
@click.option(
    "--prior",
    type=click.Choice(["normal", "hyper"]),
    default="normal",
    show_default=True,
    help="N(0, 1) for each element of the latent, or what the codec's tables expect (at most 1024 pixels a side).",
)
@latent_shared.model
@latent_shared.running
def sample(
    output: str,
    count: int,
    size: tuple[int, int],
    seed: int,
    temperature: float,
    prior: str,
    model: str,
    device: str,
    threads: int | None,
    force: bool,
) -> None:
    """Draw pictures from the prior of a variational autoencoder.

    This shows what the decoder makes of latents that no picture has. It is no generator of photographs: for that, train
    a diffusion model in the latent. Models without a latent, such as photo, have --prior hyper. Those of `aez train
    variational` and `beta` draw items of their own size, on a sheet or as .npy, .npz, .csv or .parquet.
    """
    if is_autoencoder(model):
        refuse_given(model, prior=prior if prior != "normal" else None)
        sample_items(output, count, model, device, threads, seed=seed, temperature=temperature, force=force)
        return
    width, height = size
    if count * width * height > _SHEET_PIXELS_MAX:
        raise InvalidArgument(
            f"{count} samples of {width}x{height} pixels are more than a sheet of {_SHEET_PIXELS_MAX} pixels holds; "
            "give a smaller --count or --size"
        )
    picture_format = latent_shared.format_of(output)
    check_target(Job(STDIO, output), force)
    draw = (_normal_prior if prior == "normal" else _hyper_prior)(model, device, threads, size, seed, temperature)
    messages.warning(_WARNINGS[prior] + _INSTEAD)

    from aez.codec.latent.drawing import contact_sheet

    pictures = []
    with latent_shared.progress_bar(count, "sample") as bar:
        for number in range(count):
            pictures.append(draw(number))
            bar.advance()
    sheet = contact_sheet(pictures, math.ceil(math.sqrt(count)))
    write_output(output, picture_bytes(sheet, picture_format), force)
    said = f"{count} samples" if count > 1 else "a sample"
    messages.summary(f"wrote {said} of {width}x{height} to {click.format_filename(output)}")


def _normal_prior(
    ref: str, device: str, threads: int | None, size: tuple[int, int], seed: int, temperature: float
) -> _Draw:
    """What draws sample number so and so. Raises ModelError for a model that is no variational autoencoder."""
    opened = latent_shared.open_model(ref, device, threads)
    width, height = size
    return lambda number: opened.decode(opened.draw(height, width, (seed, number), temperature), (height, width))


def _hyper_prior(
    ref: str, device: str, threads: int | None, size: tuple[int, int], seed: int, temperature: float
) -> _Draw:
    """As `_normal_prior`, for every model that codes pictures."""
    from aez.codec.image.api import load
    from aez.codec.image.model import open_model
    from aez.codec.latent.prior import draw_coded

    codec = open_model(load(ref), device, threads)
    width, height = size
    return lambda number: draw_coded(codec, height, width, (seed, number), temperature)
