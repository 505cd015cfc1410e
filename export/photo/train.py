"""`aez train photo`: from a folder of pictures to a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.errors import InvalidArgument
from aez.export.common.provenance import describe_run
from aez.export.common.run_files import run_folder
from aez.export.common.trainer import Result, Trainer, TrainOptions
from aez.export.distortions.distortion import DISTORTIONS, distortion
from aez.export.hyperprior.losses import rate_distortion
from aez.export.hyperprior.pictures import SCALES, RandomCrops
from aez.export.hyperprior.training import (
    HYPER_RATES,
    ROUNDED_FROM,
    VALIDATION_QUALITIES,
    CodecRun,
    TrainingData,
    begin,
    last_validation,
    parameter_groups,
    random_levels,
    rate_and_psnr,
    train_to_end,
)
from aez.export.photo.bundle import export_photo, network_from_bundle
from aez.export.photo.network import ENCODING, PhotoConfig, PhotoNetwork
from aez.export.photo.resizing import mix, resized, set_finer_colours

TABLE_CROP = 256
#: Between absolute and relative gains, of rates and of pictures; see `rate_distortion`.
BALANCE, EVENNESS = 0.5, 0.5


@dataclass
class PhotoTask:
    """Rate-distortion training of a `PhotoNetwork`: every picture of a batch at its own random level."""

    config: PhotoConfig
    held_out: Tensor
    distortion: str = "mse"
    levels: tuple[int, int] = (0, LEVEL_MAX)
    transform_rate: float = 0.1
    cheap_start: bool = True  # see `hyper_weight`; not for a network that is trained already
    rounded_from: float = ROUNDED_FROM

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """The DCT that starts the transforms moves ten times slower than the networks beside it.

        What encodes stands still once latents are rounded.
        """
        factors = {
            "analysis.embed.": self.transform_rate,
            "synthesis.unembed.": self.transform_rate,
            **HYPER_RATES,
        }
        return parameter_groups(model, learning_rate, factors, ENCODING, self.rounded_from)

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        low, high = self.levels
        level = random_levels(len(batch), low, high, generator).to(batch.device)
        output = model(batch, level, progress >= self.rounded_from)
        weight = self.config.lambda_at(level)
        distorted = distortion(self.distortion, output.image, batch, weight)
        pixels = batch.shape[2] * batch.shape[3]
        price = hyper_weight(progress) if self.cheap_start else 1.0
        priced = output.latent_bits + price * output.hyper_bits
        loss = rate_distortion(priced, pixels, distorted, weight, BALANCE, EVENNESS)
        if progress >= self.rounded_from:  # several processes want a gradient for each parameter, if only a zero
            loss = loss + 0.0 * torch.stack([parameter.sum() for parameter in model.parameters()]).sum()
        latent, hyper = (float(bits.detach().mean()) / pixels for bits in (output.latent_bits, output.hyper_bits))
        return loss, {"bpp": latent + hyper, "hyper_bpp": hyper}

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Means over the held-out pictures of bpp and of PSNR (RGB, 8 bits, in dB) at three qualities."""
        return rate_and_psnr(cast(PhotoNetwork, model), self.held_out, VALIDATION_QUALITIES, device)


def hyper_weight(progress: float) -> float:
    """Weight of the hyper-latent's bits: low at first, so that it is learned to be used before it has to pay.

    Priced in full from the start, z collapses to nearly nothing in the first thousand steps and recovers slowly.
    """
    return min(max((progress - 0.43) / 0.1, 0.15), 1.0)


def prepare(
    folder: Path,
    run_folder: Path,
    options: TrainOptions,
    config: PhotoConfig | None = None,
    distortion: str = "mse",
    crop: int = 128,
    start: PhotoNetwork | None = None,
    rounded_from: float = ROUNDED_FROM,
    scales: tuple[float, float] = SCALES,
) -> CodecRun[PhotoNetwork]:
    """Build everything for a run over the pictures in `folder`; `start` goes on from given weights.

    From the share `rounded_from` of the run on, latents are rounded and what encodes stands still. `scales` are those
    of `RandomCrops`.

    Raises UnsupportedInput for a folder without readable pictures of 32 x 32 pixels, InvalidArgument for a `crop` or
    `distortion` that does not exist.
    """
    if distortion not in DISTORTIONS:
        raise InvalidArgument(f"distortion {distortion!r} is unknown; use {' or '.join(DISTORTIONS)}")
    data = TrainingData.find(folder, crop)
    network = start
    if network is None:
        torch.manual_seed(options.seed)
        network = PhotoNetwork(config)
        network.calibrate(data.calibration())
    task = PhotoTask(network.config, data.held_out, distortion, cheap_start=start is None, rounded_from=rounded_from)
    crops = RandomCrops(data.training, crop, options.seed, scales)
    return CodecRun(Trainer(task, network, crops, run_folder, options), data, network)


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
    rounded_from: float = ROUNDED_FROM,
    scales: tuple[float, float] = SCALES,
    colour_steps: float = 1.0,
    mean_with: tuple[Bundle, float] | None = None,
) -> Bundle | None:
    """Train on the pictures in `folder` and write the bundle `output`; None when a signal stopped the run early.

    Checkpoint, metrics and loss curve lie in `<output>.run/`. `start` goes on from a bundle's weights (with a `config`,
    from those that fit it; with `mean_with`, from means with another bundle's, of which that is the share; with
    `colour_steps` below 1, with so much finer colours of smooth areas), `resume` from the checkpoint and the `start`
    that the run began with. Raises AezError subclasses. With several devices, only the main process returns.
    """
    start = begin(output, resume, start)
    network = network_from_bundle(start) if start is not None else None
    if network is not None and config is not None:
        torch.manual_seed(options.seed)
        network = resized(network, config)
    if network is not None:
        if mean_with is not None:
            mix(network, network_from_bundle(mean_with[0]), mean_with[1])
        set_finer_colours(network, colour_steps)
    run = prepare(folder, run_folder(output), options, config, distortion, crop, network, rounded_from, scales)
    result = train_to_end(run.trainer, output, resume, start)
    if result is None:
        return None
    provenance = describe_run(run.data.training.paths, folder, result, options, start) | {
        "distortion": distortion,
        "crop": crop,
        "scales": list(scales),
        "colour_steps": colour_steps,
    }
    if mean_with is not None:
        provenance["mean_with"] = {"id": mean_with[0].id, "share": mean_with[1]}
    return finish(run, result, output, name or output.stem, provenance)


def finish(run: CodecRun[PhotoNetwork], result: Result, output: Path, name: str, provenance: dict[str, Any]) -> Bundle:
    """Fit the tables on training pictures, export, and write the bundle."""
    network = cast(PhotoNetwork, result.model)
    crops = run.table_pictures(TABLE_CROP).split(8)
    return export_photo(network, output, name, crops, provenance, last_validation(result))
