"""`aez interpolate`: the pictures between two, as a strip or an animation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.errors import AezError, InvalidArgument
from aez.commands import options
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors.interpolate import interpolate_items
from aez.commands.vectors.opened import is_autoencoder
from aez.files import Job, check_target, write_output
from aez.inputs import STDIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
_STRIPS = (".png", ".jpg", ".jpeg")
_STRIP_STEPS, _ANIMATION_STEPS = 8, 24
_PIXELS_MAX = 1 << 26


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "-o", "--output", required=True, metavar="OUT", help="A strip as .png or .jpg, an animation as .gif or .webp."
)
@click.option("--steps", type=click.IntRange(2, 240), help="Pictures with A and B; by default 8, of animations 24.")
@click.option(
    "--mode",
    type=click.Choice(["linear", "spherical"]),
    default="linear",
    show_default=True,
    help="The way between the latents.",
)
@click.option(
    "--side",
    type=click.IntRange(8, 2048),
    default=512,
    show_default=True,
    help="Longest side in pixels; larger pictures are scaled down first.",
)
@click.option("--fps", type=options.Finite(1, 50), help="Pictures a second of an animation; by default 12.")
@latent_shared.model
@latent_shared.running
def interpolate(
    first: str,
    second: str,
    output: str,
    steps: int | None,
    mode: str,
    side: int,
    fps: float | None,
    model: str,
    device: str,
    threads: int | None,
    force: bool,
) -> None:
    """Show the way from picture A to picture B through the latent.

    A strip holds the pictures side by side, an animation goes there and back again. B is scaled and cut to A's size.
    With a model of `aez train dense` and its like, A and B are pictures or items such as digits.gz#7.
    """
    suffix = Path(output).suffix.lower()
    if is_autoencoder(model):
        interpolate_items(first, second, output, model, device, threads, steps=steps, mode=mode, fps=fps, force=force)
        return
    _check(first, second, output, fps)
    for name in (first, second):
        check_target(Job(name, output), force)
    opened = latent_shared.open_model(model, device, threads)

    from aez.codec.latent.drawing import animation_bytes, fit, limit_side, strip
    from aez.codec.latent.paths import path

    a = limit_side(_pixels(first), side)
    height, width = a.shape[:2]
    count = steps or (_STRIP_STEPS if suffix in _STRIPS else _ANIMATION_STEPS)
    if count * height * width > _PIXELS_MAX:
        raise InvalidArgument(
            f"{count} pictures of {width}x{height} are more than the {_PIXELS_MAX} pixels that are kept in memory; "
            "give fewer --steps or a smaller --side"
        )
    b = _pixels(second)
    if b.shape != a.shape:
        messages.note(f"{latent_shared.shown(second)}: scaled and cut to {width}x{height}, as {first} is shown")
        b = fit(b, height, width)
    latents = path(opened.encode(a).mean, opened.encode(b).mean, count, mode)
    frames = []
    with latent_shared.progress_bar(count) as bar:
        for latent in latents:
            frames.append(opened.decode(latent, (height, width)))
            bar.advance()
    if suffix in _STRIPS:
        data = picture_bytes(strip(frames), latent_shared.format_of(output))
    else:
        data = animation_bytes(frames, _ANIMATIONS[suffix], fps or 12)
    write_output(output, data, force)
    messages.summary(f"wrote {count} pictures of {width}x{height} to {click.format_filename(output)}")


def _check(first: str, second: str, output: str, fps: float | None) -> None:
    """Refuse a result that is no strip and no animation, and what does not go together. Raises InvalidArgument."""
    suffix = Path(output).suffix.lower()
    if suffix not in (*_ANIMATIONS, *_STRIPS):
        raise InvalidArgument(
            f"{output}: the name ends in {suffix or 'no suffix'}, and it must end in {', '.join(_STRIPS)} for a strip, "
            f"or in {', '.join(_ANIMATIONS)} for an animation"
        )
    if fps is not None and suffix in _STRIPS:
        raise InvalidArgument("--fps is for animations, and a strip shows all pictures at once; leave it out")
    if (first, second) == (STDIO, STDIO):
        raise InvalidArgument("standard input holds one picture; name a file for the other")


def _pixels(name: str) -> NDArray[np.uint8]:
    """The picture uint8 [height, width, 3]; raises UnsupportedInput that names it."""
    from aez.codec.image.pillow import take_upright

    try:
        picture = take_upright(latent_shared.read_picture(name))
    except AezError as error:
        error.args = (f"{latent_shared.shown(name)}: {error}",)
        raise
    for notice in picture.notices:
        messages.note(f"{latent_shared.shown(name)}: {notice}")
    return picture.pixels
