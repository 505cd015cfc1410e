"""`aez train photo`: from a folder of pictures to a bundle."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from aez.codec.bundle import Bundle
from aez.codec.errors import InvalidArgument, OutputError
from aez.codec.quality import LEVEL_MAX, quality_to_level
from aez.export.bundles import export_photo, network_from_bundle
from aez.export.losses import DISTORTIONS, rate_distortion
from aez.export.photo import PhotoConfig, PhotoNetwork
from aez.export.pictures import PictureFolder, RandomCrops, centre_crops, is_validation, list_pictures
from aez.export.plots import plot_training
from aez.export.trainer import Result, Trainer, TrainOptions

VALIDATION_QUALITIES = (10, 50, 90)
VALIDATION_CROP = 192
VALIDATION_PICTURES = 24
CALIBRATION_PICTURES = 200
TABLE_PICTURES = 160


@dataclass
class PhotoTask:
    """Rate-distortion training of a `PhotoNetwork`: every picture of a batch at its own random level."""

    config: PhotoConfig
    held_out: Tensor
    distortion: str = "mse"
    levels: tuple[int, int] = (0, LEVEL_MAX)
    transform_rate: float = 0.1

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """The DCT that starts the transforms moves ten times slower than the networks beside it."""
        factors = {
            "analysis.embed.": self.transform_rate,
            "synthesis.unembed.": self.transform_rate,
            "scale.offset": 20.0,  # in units of a scale index, of which 64 span the range
            "density.": 5.0,  # in units of a hyper-latent step
        }
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            factor = next((value for prefix, value in factors.items() if name.startswith(prefix)), 1.0)
            groups.setdefault(factor, []).append(parameter)
        return [{"params": params, "lr": learning_rate * factor} for factor, params in groups.items()]

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        low, high = self.levels
        level = torch.randint(low, high + 1, (len(batch),), generator=generator).float().to(batch.device)
        output = model(batch, level)
        distortion = DISTORTIONS[self.distortion](output.image, batch)
        pixels = batch.shape[2] * batch.shape[3]
        bits = output.latent_bits + hyper_weight(progress) * output.hyper_bits
        loss = rate_distortion(bits, pixels, distortion, self.config.lambda_at(level))
        figures = {"bpp": float(bits.mean()) / pixels, "hyper_bpp": float(output.hyper_bits.mean()) / pixels}
        return loss, figures

    @torch.no_grad()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """bpp and PSNR (from the mean squared error over all pictures' mean PSNR) at three qualities."""
        network = cast(PhotoNetwork, model)
        figures = {}
        for quality in VALIDATION_QUALITIES:
            bits, psnr = 0.0, 0.0
            for image in self.held_out.split(8):
                image = image.to(device)
                level = torch.full((len(image),), float(quality_to_level(quality)), device=device)
                output = network.evaluate(image, level)
                bits += float((output.latent_bits + output.hyper_bits).sum())
                mse = (torch.round(output.image * 255) / 255 - image).square().mean(dim=(1, 2, 3))
                psnr += float((-10 * torch.log10(mse)).sum())
            count = len(self.held_out)
            figures[f"bpp@{quality}"] = bits / count / self.held_out.shape[2] / self.held_out.shape[3]
            figures[f"psnr@{quality}"] = psnr / count
        return figures


def hyper_weight(progress: float) -> float:
    """Weight of the hyper-latent's bits: low at first, so that it is learned to be used before it has to pay.

    Priced in full from the start, z collapses to nearly nothing in the first thousand steps and recovers slowly.
    """
    return min(max((progress - 0.45) / 0.2, 0.15), 1.0)


@dataclass(frozen=True)
class PhotoRun:
    """A prepared run: data found and split, network built and calibrated."""

    trainer: Trainer
    training: PictureFolder
    validation: PictureFolder
    network: PhotoNetwork

    def go(self, resume: bool = False) -> Result:
        return self.trainer.run(resume)


def prepare(
    folder: Path,
    run_folder: Path,
    options: TrainOptions,
    config: PhotoConfig | None = None,
    distortion: str = "mse",
    crop: int = 128,
    start: PhotoNetwork | None = None,
) -> PhotoRun:
    """Build everything for a run over the pictures in `folder`; `start` goes on from given weights."""
    paths = list_pictures(folder)
    held_out = [p for p in paths if is_validation(p.name)]
    kept = [p for p in paths if not is_validation(p.name)]
    if not held_out or not kept:  # a handful of pictures: train on all, validate on the first
        held_out, kept = paths[:1], paths
    training, validation = PictureFolder(kept), PictureFolder(held_out)
    crops = _largest_crops(validation, VALIDATION_CROP, VALIDATION_PICTURES)
    network = start
    if network is None:
        torch.manual_seed(options.seed)
        network = PhotoNetwork(config)
        network.calibrate(_largest_crops(PictureFolder(kept[:CALIBRATION_PICTURES]), VALIDATION_CROP, CALIBRATION_PICTURES))
    task = PhotoTask(network.config, crops, distortion)
    trainer = Trainer(task, network, RandomCrops(training, crop, options.seed), run_folder, options)
    return PhotoRun(trainer, training, validation, network)


def _largest_crops(folder: PictureFolder, crop: int, limit: int) -> Tensor:
    """Centre crops as large as the smallest readable picture allows, at most `crop`, a multiple of 16."""
    sides = [min(pixels.shape[:2]) for pixels in map(folder.load, folder.paths[:limit]) if pixels is not None]
    side = min([crop, *(s for s in sides if s >= 16)]) // 16 * 16
    return centre_crops(folder, side, limit)


def main(
    folder: Path,
    output: Path,
    *,
    name: str | None = None,
    options: TrainOptions,
    resume: bool = False,
    start: Bundle | None = None,
    distortion: str = "mse",
    crop: int = 128,
    config: PhotoConfig | None = None,
) -> Bundle | None:
    """Train on the pictures in `folder` and write the bundle `output`; None when a signal stopped the run before its end.

    Checkpoint, metrics and loss curve lie in `<output>.run/`. `start` goes on from a bundle's weights, `resume` from the
    checkpoint. Raises AezError subclasses.
    """
    check_output(output)
    network = network_from_bundle(start) if start is not None else None
    run = prepare(folder, run_folder(output), options, config, distortion, crop, network)
    result = run.go(resume)
    for line in run.training.skipped:
        print(f"aez: note: skipped {line}", file=sys.stderr)
    plot_training(result.log, run_folder(output) / "training.png", VALIDATION_QUALITIES)
    if not result.finished:
        print(f"aez: stopped at step {result.steps}; go on with --resume", file=sys.stderr)
        return None
    return finish(run, result, output, name or output.stem, folder, options, start, distortion)


def finish(
    run: PhotoRun,
    result: Result,
    output: Path,
    name: str,
    folder: Path,
    options: TrainOptions,
    start: Bundle | None = None,
    distortion: str = "mse",
) -> Bundle:
    """Fit the tables on training pictures, export, and write the bundle with how it was made."""
    network = cast(PhotoNetwork, result.model).eval()
    crops = _largest_crops(PictureFolder(run.training.paths[:: max(1, len(run.training.paths) // TABLE_PICTURES)]), 256, TABLE_PICTURES)
    names = "\n".join(sorted(path.name for path in run.training.paths))
    provenance = {
        "data": f"{len(run.training.paths)} pictures of the folder {folder.resolve().name}",
        "data_names_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "steps": result.steps,
        "hours": round(result.seconds / 3600, 2),
        "batch": options.batch,
        "seed": options.seed,
        "learning_rate": options.learning_rate,
        "distortion": distortion,
        "from": start.id if start is not None else None,
        "licence": "Apache-2.0",
    }
    validation = [row for row in result.log if any(key.startswith("psnr@") for key in row)]
    figures = {"validation": validation[-1]} if validation else {}
    return export_photo(network, output, name, crops.split(8), provenance, figures)


def run_folder(output: Path) -> Path:
    """Where a run keeps checkpoint, metrics and loss curve."""
    return output.with_name(output.name + ".run")


def check_output(output: Path) -> None:
    """Raise OutputError early when the bundle could not be written hours later."""
    if output.suffix != ".aezm":
        raise InvalidArgument(f"{output}: a model's file name ends in .aezm")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output.parent}: not a folder that can be written to")
