"""`aez train photo`: from a folder of pictures to a codec for photographs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands.train import options as train_options


@click.command()
@train_options.run
@click.option(
    "--loss",
    type=click.Choice(["mse", "ms-ssim", "visual"]),
    default="mse",
    show_default=True,
    help="The distortion that training minimises; visual is made of SSIMULACRA 2, MS-SSIM and a share of mse.",
)
@train_options.data
@click.option(
    "--size",
    type=click.Choice(["usual", "fast"]),
    help="Sizes of the networks; fast decodes for a fifth of the cost. With --from they start from that model, or a "
    "part of it; by default the sizes are its own.",
)
@click.option(
    "--decoder-only",
    is_flag=True,
    help="Keep the encoder of --from as it is, and train what decodes on rounded latents; for the end of a training.",
)
@click.option(
    "--colour-steps",
    type=click.FloatRange(0.25, 1),
    default=1,
    show_default=True,
    help="Begin with quantization steps of colour in smooth areas so much finer than those of --from, at low "
    "qualities: hues are nearer, for some bytes.",
)
@click.option(
    "--frozen-latent",
    is_flag=True,
    help="Give the model of --from a new entropy model: trained alone, on latents that are made once, several times "
    "faster than with the transforms, which stay as they are.",
)
@train_options.result
def photo(
    folder: Path,
    output: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    start: str | None,
    device: str,
    loss: str,
    batch: int,
    crop: int,
    scales: tuple[float, float],
    lr: float,
    size: str | None,
    decoder_only: bool,
    colour_steps: float,
    frozen_latent: bool,
    seed: int,
    name: str | None,
    force: bool,
) -> None:
    """Train a model for photographs on the pictures in DIR.

    Give --minutes or --steps. The checkpoint, figures and loss curve lie in MODEL.aezm.run; after Ctrl+C --resume goes
    on from there.
    """
    train_options.check(output, minutes, steps, resume, start, force)
    if decoder_only and start is None and not resume:
        raise InvalidArgument("--decoder-only needs a trained encoder; give --from")
    if colour_steps < 1 and start is None and not resume:
        raise InvalidArgument("--colour-steps changes a trained model; give --from")
    if frozen_latent:
        others = {"--size": size, "--decoder-only": decoder_only, "--colour-steps": colour_steps < 1}
        _check_frozen(start, resume, {f"--loss {loss}": loss != "mse", **others})
    train_options.check_crop(crop, loss != "mse")
    from aez.codec.bundle.library import find_bundle

    with needs("aez[train]", train_options.TRAINING_MODULES):
        from aez.export.common.trainer import TrainOptions
        from aez.export.hyperprior.training import ROUNDED_FROM
        from aez.export.photo import frozen, train
        from aez.export.photo.network import PhotoConfig

        given: dict[str, Any] = {
            "name": name,
            "options": TrainOptions(steps, minutes, batch=batch, learning_rate=lr, seed=seed, device=device),
            "resume": resume,
            "start": None if start is None else find_bundle(start),
            "crop": crop,
            "scales": scales,
        }
        main = frozen.main
        if not frozen_latent:
            config = {"usual": PhotoConfig(), "fast": PhotoConfig.fast(), None: None}[size]
            rounded_from = 0.0 if decoder_only else ROUNDED_FROM
            changes = {"rounded_from": rounded_from, "colour_steps": colour_steps}
            main = partial(train.main, distortion=loss, config=config, **changes)
        bundle = main(folder, output, **given)
    if bundle is None:
        sys.exit(train_options.EXIT_STOPPED)
    messages.summary(f"wrote {output}: model {bundle.name}, {bundle.id}")


def _check_frozen(start: str | None, resume: bool, others: Mapping[str, object]) -> None:
    """Raise InvalidArgument where `--frozen-latent` has no model to go on from, or another option contradicts it."""
    if start is None and not resume:
        raise InvalidArgument("--frozen-latent needs a trained model; give --from")
    if wrong := [name for name, given in others.items() if given]:
        raise InvalidArgument(f"--frozen-latent trains the entropy model alone; leave out {', '.join(wrong)}")
