"""`aez train photo`: from a folder of pictures to a codec for photographs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.train import options as train_options

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle


@click.command()
@train_options.run
@click.option(
    "--loss",
    type=click.Choice(["mse", "ms-ssim", "visual"]),
    default="mse",
    show_default=True,
    help="The distortion that training minimises; visual is made of SSIMULACRA 2, "
    "ColorVideoVDP, MS-SSIM and a share of mse.",
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
    type=options.Finite(0.25, 1),
    default=1,
    show_default=True,
    help="Begin with quantization steps of colour in smooth areas so much finer than those of --from, at low "
    "qualities: hues are nearer, for some bytes.",
)
@click.option(
    "--mean-with",
    type=(str, options.Finite(0, 1)),
    metavar="NAME|PATH SHARE",
    help="Begin with means of the weights of --from and of this model, so much of them its own; for two models that "
    "were trained on from the same one.",
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
    mean_with: tuple[str, float] | None,
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
    changed = {"--decoder-only": decoder_only, "--colour-steps": colour_steps < 1, "--mean-with": mean_with}
    _check_anew({**changed, "--frozen-latent": frozen_latent} if start is None and not resume else {})
    _check_frozen({f"--loss {loss}": loss != "mse", "--size": size, **changed} if frozen_latent else {})
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
        main: Callable[..., Bundle | None] = frozen.main
        if not frozen_latent:
            main = train.main
            config = {"usual": PhotoConfig(), "fast": PhotoConfig.fast(), None: None}[size]
            rounded_from = 0.0 if decoder_only else ROUNDED_FROM
            given |= {"distortion": loss, "config": config, "rounded_from": rounded_from, "colour_steps": colour_steps}
            given["mean_with"] = mean_with and (find_bundle(mean_with[0]), mean_with[1])
        bundle = main(folder, output, **given)
    if bundle is None:
        sys.exit(train_options.EXIT_STOPPED)
    messages.summary(f"wrote {output}: model {bundle.name}, {bundle.id}")


def _check_anew(others: Mapping[str, object]) -> None:
    """Raise InvalidArgument for the first option given that changes a trained model, where there is none."""
    if wrong := next((name for name, given in others.items() if given), None):
        raise InvalidArgument(f"{wrong} needs a trained model; give --from")


def _check_frozen(others: Mapping[str, object]) -> None:
    """Raise InvalidArgument where another option contradicts `--frozen-latent`."""
    if wrong := [name for name, given in others.items() if given]:
        raise InvalidArgument(f"--frozen-latent trains the entropy model alone; leave out {', '.join(wrong)}")
