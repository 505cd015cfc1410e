"""What the training of every picture codec shares: data, learning rates of its parts, figures on held-out crops."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle
from aez.codec.entropy.quality import quality_to_level
from aez.codec.errors import InvalidArgument
from aez.export.common.plots import plot_training
from aez.export.common.run_files import check_output, is_complete, keep_start, kept_start, run_folder
from aez.export.common.trainer import Result, Trainer
from aez.export.hyperprior.network import HyperpriorNetwork
from aez.export.hyperprior.pictures import (
    CROP_UNIT,
    PictureFolder,
    held_out_crops,
    largest_crops,
    list_pictures,
    training_and_validation,
)

Network = TypeVar("Network", bound=HyperpriorNetwork)

VALIDATION_QUALITIES = (10, 50, 90)
VALIDATION_CROP = 192
VALIDATION_PICTURES = 24
CALIBRATION_PICTURES = 200
TABLE_PICTURES = 160
#: From this share of a run on, its latents are rounded throughout and only what decodes them learns.
ROUNDED_FROM = 0.85
#: A perfect picture counts as this: its mean squared error is zero.
PSNR_MAX = 100.0
BATCH = 8
#: Learning rates of the hyperprior's parts in units of their own, relative to the others: prefix -> factor.
HYPER_RATES = {
    "scale.offset": 20.0,  # in units of a scale index, of which 64 span the range
    "density.": 5.0,  # in units of a hyper-latent step
}


@dataclass(frozen=True)
class TrainingData:
    """Pictures to train on, those that are held out, and crops of the latter."""

    training: PictureFolder
    validation: PictureFolder
    held_out: Tensor

    @classmethod
    def find(cls, folder: Path, crop: int) -> TrainingData:
        """Those of a folder, for crops of `crop` pixels.

        Raises UnsupportedInput for a folder without readable pictures of 32 x 32 pixels, InvalidArgument for a `crop`
        that networks do not take.
        """
        if crop < CROP_UNIT or crop % CROP_UNIT:
            raise InvalidArgument(f"crop {crop} is not a positive multiple of {CROP_UNIT}")
        training, validation = training_and_validation(list_pictures(folder))
        held_out = held_out_crops(training, validation, VALIDATION_CROP, VALIDATION_PICTURES)
        return cls(training, validation, held_out)

    def calibration(self) -> Tensor:
        """Centre crops of training pictures, to start a network from."""
        some = PictureFolder(self.training.paths[:CALIBRATION_PICTURES])
        return largest_crops(some, VALIDATION_CROP, CALIBRATION_PICTURES)


@dataclass(frozen=True)
class CodecRun(Generic[Network]):
    """A prepared run: data found and split, network built and calibrated."""

    trainer: Trainer
    data: TrainingData
    network: Network

    def go(self, resume: bool = False) -> Result:
        return self.trainer.run(resume)

    def table_pictures(self, crop: int) -> Tensor:
        """Centre crops [N, 3, H, W] of training pictures, of `crop` pixels at most, to fit a bundle's tables on."""
        paths = self.data.training.paths
        spread = PictureFolder(paths[:: max(1, len(paths) // TABLE_PICTURES)])
        return largest_crops(spread, crop, TABLE_PICTURES)


def begin(output: Path, resume: bool, start: Bundle | None) -> Bundle | None:
    """The model that a run whose bundle will be `output` goes on from: `start`, or what a resumed run began with.

    Raises InvalidArgument and OutputError early where the bundle could not be written, ModelError.
    """
    check_output(output)
    return kept_start(run_folder(output)) if resume else start


def train_to_end(trainer: Trainer, output: Path, resume: bool, start: Bundle | None) -> Result | None:
    """Run a trainer whose bundle will be `output`, and draw its curves; None when a signal stopped it early.

    `start`, the model that the run went on from, is kept for the day on which it is resumed. With several devices, only
    the main process returns.
    """
    if trainer.is_main and not resume and not trainer.checkpoint_path.exists():
        keep_start(run_folder(output), start)
    result = trainer.run(resume)
    if not trainer.is_main:
        sys.exit(0)  # any other code would make the launcher end the main process
    plot_training(result.log, run_folder(output) / "training.png", VALIDATION_QUALITIES)
    return result if is_complete(result) else None


def last_validation(result: Result) -> dict[str, Any]:
    """The last row of a run's log that has validation figures, as a bundle's figures state it."""
    rows = [row for row in result.log if any(key.startswith("psnr@") for key in row)]
    return {"validation": rows[-1]} if rows else {}


def parameter_groups(
    model: nn.Module, learning_rate: float, factors: Mapping[str, float], still: tuple[str, ...], until: float
) -> list[dict[str, Any]]:
    """Optimizer groups as `Task.parameter_groups`: names that begin with a prefix of `factors` learn at that factor.

    Names that begin with one of `still` stand still from the share `until` of the run on.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = next((value for prefix, value in factors.items() if name.startswith(prefix)), 1.0)
        end = until if name.startswith(still) else math.inf
        groups.setdefault((factor, end), []).append(parameter)
    return [{"params": params, "lr": learning_rate * factor, "until": end} for (factor, end), params in groups.items()]


def random_levels(count: int, low: int, high: int, generator: torch.Generator) -> Tensor:
    """Levels low..high for the pictures of a batch, float32 [count]: one in each of `count` equal parts, in any order.

    Each is as likely as any other.
    """
    part = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (low + torch.floor(part * (high - low + 1))).clamp_max(high)


def rate_and_psnr(
    network: HyperpriorNetwork, pictures: Tensor, qualities: Sequence[float], device: torch.device
) -> dict[str, float]:
    """Means of `bpp@<quality>` and `psnr@<quality>` (RGB, 8 bits, in dB) over pictures [N, 3, H, W]."""
    figures: dict[str, float] = {}
    count, _, height, width = pictures.shape
    for quality in qualities:
        bits, psnr = 0.0, 0.0
        for original in pictures.split(BATCH):
            image = original.to(device)
            level = torch.full((len(image),), float(quality_to_level(quality)), device=device)
            output = network.evaluate(image, level)
            bits += float((output.latent_bits + output.hyper_bits).sum())
            psnr += float(psnr_8_bit(output.image, image).sum())
        figures |= {f"bpp@{quality}": bits / (count * height * width), f"psnr@{quality}": psnr / count}
    return figures


def psnr_8_bit(decoded: Tensor, image: Tensor) -> Tensor:
    """PSNR in dB [B] of decoded pictures in 0..1, rounded to 8 bits."""
    mse = (torch.round(decoded * 255) / 255 - image).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(mse)).clamp_max(PSNR_MAX)
