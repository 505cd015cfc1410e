"""Options that the training commands share, and the checks of what they say together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from aez.codec.errors import InvalidArgument, OutputError
from aez.commands import options

TRAINING_MODULES = ("torch", "torchmetrics", "lightning_fabric", "onnx", "onnxscript", "matplotlib")
#: What sides of crops are multiples of, as `aez.export.hyperprior.pictures` has it, which needs torch.
CROP_UNIT = 32
#: MS-SSIM takes five scales of an 11-pixel window: (11 - 1) * 2^4.
MS_SSIM_CROP = 160
#: Exit code of a run that a signal stopped before its end.
EXIT_STOPPED = 130

output = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="MODEL.aezm", help="The model."
)
_minutes = click.option("--minutes", type=options.Finite(0, min_open=True), help="Train for so long.")
_resume = click.option("--resume", is_flag=True, help="Go on with the run that was stopped.")
_seed = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of everything that is drawn at random."
)
_name = click.option("--name", help="The model's name; by default its file's.")

run = options.in_order(
    click.argument("folder", type=click.Path(path_type=Path), metavar="DIR"),
    output,
    _minutes,
    click.option("--steps", type=click.IntRange(1), help="Train for so many steps."),
    _resume,
    click.option("--from", "start", metavar="NAME|PATH", help="Start from the weights of this model."),
    options.device,
)


def _in_order(_context: click.Context, _parameter: click.Parameter, scales: tuple[float, float]) -> tuple[float, float]:
    if scales[0] > scales[1]:
        raise click.BadParameter(f"{scales[0]:g} is more than {scales[1]:g}; give the lower scale first")
    return scales


data = options.in_order(
    click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Crops in a step."),
    click.option(
        "--crop", type=click.IntRange(CROP_UNIT), default=128, show_default=True, help="Side of the crops, in pixels."
    ),
    click.option(
        "--scales",
        nargs=2,
        type=options.Finite(0.1, 4),
        default=(0.75, 1.6),
        show_default=True,
        metavar="LOW HIGH",
        callback=_in_order,
        help="Pictures are scaled at random, by factors between these; 1 1 takes pixels as they are.",
    ),
    click.option("--lr", type=options.Finite(0, min_open=True), default=2e-3, show_default=True, help="Learning rate."),
)
result = options.in_order(
    _seed,
    _name,
    click.option("-f", "--force", is_flag=True, help="Replace a model that exists."),
)

# Of detectors.
detector_run = options.in_order(
    _minutes,
    click.option("--steps", type=click.IntRange(1), help="Train for so many steps; by default a few passes."),
    _resume,
)
detector_result = options.in_order(
    _seed,
    options.device,
    _name,
    click.option("-f", "--force", is_flag=True, help="Replace a model that exists, and the run that made it."),
)


def check(output: Path, minutes: float | None, steps: int | None, resume: bool, start: str | None, force: bool) -> None:
    """Raise InvalidArgument for options that do not go together, or an output that exists."""
    if (minutes is None) == (steps is None):
        raise InvalidArgument("give either --minutes or --steps")
    if resume and start is not None:
        raise InvalidArgument("--resume goes on with a run and --from starts one; give only one of them")
    if output.exists() and not (force or resume):
        raise InvalidArgument(f"{output} exists; give --force to replace it")


def check_crop(crop: int, ms_ssim: bool) -> None:
    """Raise InvalidArgument for a side of crops that networks or MS-SSIM do not take."""
    if crop % CROP_UNIT or (ms_ssim and crop <= MS_SSIM_CROP):
        raise InvalidArgument(
            f"--crop {crop} is not a multiple of {CROP_UNIT}, or for ms-ssim not above {MS_SSIM_CROP}"
        )


def detector_changes(
    output: Path, minutes: float | None, steps: int | None, resume: bool, force: bool, **others: Any
) -> dict[str, Any]:
    """The TrainOptions that are not a detector's usual ones, by name; `others` belong to them.

    Raises InvalidArgument for options that do not go together, OutputError for an output that exists.
    """
    if minutes is not None and steps is not None:
        raise InvalidArgument("give only one of --minutes and --steps")
    if output.exists() and not (force or resume):
        raise OutputError(f"{output} exists; give --force to replace it")
    changes: dict[str, Any] = {**others, "quiet": not sys.stderr.isatty()}
    if minutes is not None:
        changes["minutes"] = minutes
    if steps is not None:
        changes |= {"steps": steps, "validate_every": max(1, min(steps // 20, 150))}
    return changes


def forget_run(output: Path, force: bool, resume: bool) -> None:
    """With --force, drop the checkpoint of the run that made the model before."""
    from aez.export.common.run_files import run_folder

    if force and not resume:
        (run_folder(output) / "checkpoint.pt").unlink(missing_ok=True)
