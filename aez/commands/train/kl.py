"""`aez train kl-f8`: from a folder of pictures to an 8x autoencoder whose latent others can work in."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.train import options as train_options


@click.command("kl-f8")
@train_options.run
@click.option(
    "--channels", type=click.IntRange(1, 64), default=4, show_default=True, help="Channels of the latent: 4 or 16."
)
@click.option(
    "--size", type=click.Choice(["light", "heavy"]), default="light", show_default=True, help="Sizes of both networks."
)
@click.option("--rate", is_flag=True, help="Let the codec's rate teach the latent as well; for models to store with.")
@click.option(
    "--loss",
    type=click.Choice(["mse", "l1", "charbonnier"]),
    default="mse",
    show_default=True,
    help="Reconstruction loss.",
)
@click.option("--ms-ssim", type=options.Finite(0), default=0.0, help="Weight of 1 - MS-SSIM beside it.")
@click.option("--kl", type=options.Finite(0), default=0.1, show_default=True, help="Weight of the KL divergence.")
@click.option("--adversarial", type=options.Finite(0), default=0.0, help="Weight of a discriminator of patches.")
@click.option(
    "--adversarial-from",
    type=options.Finite(0, 1),
    default=0.5,
    show_default=True,
    help="The share of the run from which the discriminator counts.",
)
@click.option(
    "--perceptual",
    metavar="MODULE:FUNCTION",
    help="A perceptual distance of yours, (decoded, original) in 0..1 -> [batch]; aez brings none.",
)
@click.option("--perceptual-weight", type=options.Finite(0), default=100.0, show_default=True, help="Its weight.")
@train_options.data
@train_options.result
def kl_f8(
    folder: Path,
    output: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    start: str | None,
    device: str,
    channels: int,
    size: str,
    rate: bool,
    loss: str,
    ms_ssim: float,
    kl: float,
    adversarial: float,
    adversarial_from: float,
    perceptual: str | None,
    perceptual_weight: float,
    batch: int,
    crop: int,
    scales: tuple[float, float],
    lr: float,
    seed: int,
    name: str | None,
    force: bool,
) -> None:
    """Train a KL-regularised autoencoder on the pictures in DIR: 8 times smaller each way, for diffusion and for files.

    Give --minutes or --steps. The checkpoint, figures and loss curve lie in MODEL.aezm.run; after Ctrl+C --resume goes
    on from there, with the same options. With --from the sizes are those of that model.
    """
    train_options.check(output, minutes, steps, resume, start, force)
    train_options.check_crop(crop, ms_ssim > 0)
    from aez.codec.bundle.library import find_bundle

    with needs("aez[train]", train_options.TRAINING_MODULES):
        from aez.export.common.trainer import TrainOptions
        from aez.export.latent.losses import Reconstruction
        from aez.export.latent.network import KlConfig
        from aez.export.latent.train import KlLosses, main

        reconstruction = Reconstruction(loss, ms_ssim, _function(perceptual), perceptual_weight)
        bundle = main(
            folder,
            output,
            name=name,
            options=TrainOptions(steps, minutes, batch=batch, learning_rate=lr, seed=seed, device=device),
            resume=resume,
            start=None if start is None else find_bundle(start),
            config=KlConfig.of(channels, heavy=size == "heavy"),
            losses=KlLosses(reconstruction, rate, kl, adversarial, adversarial_from),
            crop=crop,
            scales=scales,
        )
    if bundle is None:
        sys.exit(train_options.EXIT_STOPPED)
    messages.summary(f"wrote {output}: model {bundle.name}, {bundle.id}")


def _function(reference: str | None) -> Any:
    """The callable that MODULE:FUNCTION names. Raises InvalidArgument."""
    if reference is None:
        return None
    module, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidArgument(
            f"--perceptual {reference} is not MODULE:FUNCTION of what can be imported: {error}"
        ) from None
    if not callable(found):
        raise InvalidArgument(f"--perceptual {reference} cannot be called")
    return found
