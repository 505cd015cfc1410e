"""`aez train`: from a folder of pictures to a model, and the group of what trains."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.missing import needs
from aez.commands.train_images import images
from aez.commands.train_series import series

TRAINING_MODULES = ("torch", "torchmetrics", "lightning_fabric", "onnx", "onnxscript", "matplotlib")
#: MS-SSIM takes five scales of an 11-pixel window: (11 - 1) * 2^4.
MS_SSIM_CROP = 160
#: Exit code of a run that a signal stopped before its end.
EXIT_STOPPED = 130


@click.group()
def train() -> None:
    """Train models; needs `pip install 'aez[train]'`."""


train.add_command(series)
train.add_command(images)


@train.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="MODEL.aezm", help="The model.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train for so long.")
@click.option("--steps", type=click.IntRange(1), help="Train for so many steps.")
@click.option("--resume", is_flag=True, help="Go on with the run that was stopped.")
@click.option("--from", "start", metavar="NAME|PATH", help="Start from the weights of this model.")
@options.device
@click.option(
    "--loss",
    type=click.Choice(["mse", "ms-ssim"]),
    default="mse",
    show_default=True,
    help="The distortion that training minimises.",
)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Crops in a step.")
@click.option("--crop", type=click.IntRange(16), default=128, show_default=True, help="Side of the crops in pixels.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=2e-3, show_default=True, help="Learning rate.")
@click.option(
    "--decoder-only",
    is_flag=True,
    help="Keep the encoder of --from as it is, and train what decodes on rounded latents; for the end of a training.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is drawn at random.")
@click.option("--name", help="The model's name; by default its file's.")
@click.option("-f", "--force", is_flag=True, help="Replace a model that exists.")
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
    lr: float,
    decoder_only: bool,
    seed: int,
    name: str | None,
    force: bool,
) -> None:
    """Train a model for photographs on the pictures in DIR.

    Give --minutes or --steps. The checkpoint, figures and loss curve lie in MODEL.aezm.run; after Ctrl+C --resume goes
    on from there.
    """
    if (minutes is None) == (steps is None):
        raise InvalidArgument("give either --minutes or --steps")
    if resume and start is not None:
        raise InvalidArgument("--resume goes on with a run and --from starts one; give only one of them")
    if decoder_only and start is None and not resume:
        raise InvalidArgument("--decoder-only needs a trained encoder; give --from")
    if output.exists() and not (force or resume):
        raise InvalidArgument(f"{output} exists; give --force to replace it")
    if crop % 16 or (loss == "ms-ssim" and crop <= MS_SSIM_CROP):
        raise InvalidArgument(f"--crop {crop} is not a multiple of 16, or for ms-ssim not above {MS_SSIM_CROP}")
    from aez.codec.bundle import find_bundle

    with needs("aez[train]", TRAINING_MODULES):
        from aez.export.train_photo import ROUNDED_FROM, main
        from aez.export.trainer import TrainOptions

        bundle = main(
            folder,
            output,
            name=name,
            options=TrainOptions(steps, minutes, batch=batch, learning_rate=lr, seed=seed, device=device),
            resume=resume,
            start=None if start is None else find_bundle(start),
            distortion=loss,
            crop=crop,
            rounded_from=0.0 if decoder_only else ROUNDED_FROM,
        )
    if bundle is None:
        sys.exit(EXIT_STOPPED)
    messages.summary(f"wrote {output}: model {bundle.name}, {bundle.id}")
