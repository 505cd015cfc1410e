"""`aez train kl-f8`: from a folder of pictures to the bundle of a KL-regularised 8x autoencoder."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from aez.codec.bundle import Bundle
from aez.codec.errors import InvalidArgument
from aez.codec.quality import LEVEL_MAX
from aez.export.codec_training import HYPER_RATES, parameter_groups, psnr_8_bit, rate_and_psnr
from aez.export.hyperprior import ALIGNMENT
from aez.export.kl_autoencoder import ENCODING, KlConfig, KlNetwork, KlOutput
from aez.export.kl_bundle import export_kl, kl_from_bundle
from aez.export.kl_losses import PIXEL_LOSSES, PatchDiscriminator, Reconstruction, adversarial_losses
from aez.export.losses import rate_distortion
from aez.export.pictures import (
    PictureFolder,
    RandomCrops,
    held_out_crops,
    largest_crops,
    list_pictures,
    training_and_validation,
    whole_pictures,
)
from aez.export.plots import plot_training
from aez.export.provenance import describe_run
from aez.export.run_files import check_output, run_folder
from aez.export.trainer import Result, Trainer, TrainOptions

VALIDATION_QUALITIES = (10, 50, 90)
CROP, VALIDATION_PICTURES, CALIBRATION_PICTURES, TABLE_PICTURES = 192, 24, 200, 160
NORMALISED_PICTURES = 600
#: From this share of a run on, latents are rounded and the encoder stands still.
ROUNDED_FROM = 0.85

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KlLosses:
    """What training minimises beside the reconstruction.

    `rate`: the codec's rate and quantization teach the autoencoder too, on half of each batch; without it the
    hyperprior is fitted to whatever latents come. `kl` weighs the KL divergence in nats per pixel, `adversarial` the
    discriminator, which begins at the share `adversarial_from` of the run.
    """

    reconstruction: Reconstruction = field(default_factory=Reconstruction)
    rate: bool = False
    kl: float = 0.1
    adversarial: float = 0.0
    adversarial_from: float = 0.5


class Pass(NamedTuple):
    """A training pass with the adversarial terms: what the decoder and what the discriminator minimises."""

    output: KlOutput
    fooled: Tensor
    told: Tensor


class KlTraining(nn.Module):
    """The network and, where one is asked for, its discriminator."""

    def __init__(self, network: KlNetwork, adversarial: bool) -> None:
        super().__init__()
        self.network = network
        self.discriminator = PatchDiscriminator() if adversarial else None

    def forward(
        self, image: Tensor, level: Tensor, coded: Tensor, rounded: bool, rate: bool, adversarial: bool
    ) -> Pass:
        output = self.network.train_pass(image, level, coded, rounded, rate)
        if self.discriminator is None or not adversarial:
            zero = image.new_zeros(())
            return Pass(output, zero, zero)
        return Pass(output, *adversarial_losses(self.discriminator, output.image, image))


@dataclass
class KlTask:
    """Half of each batch is reconstructed from the posterior's samples, half from quantized latents (with `rate`)."""

    config: KlConfig
    held_out: Tensor
    losses: KlLosses
    transform_rate: float = 0.1
    rounded_from: float = ROUNDED_FROM

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """As for the photo codec: the DCT moves slowly, and what encodes stands still once latents are rounded."""
        rates = {
            "encoder.embed.": self.transform_rate,
            "decoder.unembed.": self.transform_rate,
            **HYPER_RATES,
        }
        factors = {f"network.{prefix}": rate for prefix, rate in rates.items()}
        encoding = tuple(f"network.{prefix}" for prefix in ENCODING)
        return parameter_groups(model, learning_rate, factors, encoding, self.rounded_from)

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        losses, pixels = self.losses, batch.shape[2] * batch.shape[3]
        level = torch.randint(0, LEVEL_MAX + 1, (len(batch),), generator=generator).float().to(batch.device)
        coded = torch.arange(len(batch), device=batch.device) % 2 == 1
        adversarial = bool(losses.adversarial) and progress >= losses.adversarial_from
        done: Pass = model(batch, level, coded, progress >= self.rounded_from, losses.rate, adversarial)
        output = done.output
        distortion = losses.reconstruction(output.image, batch)
        # A picture that is not coded counts as one of the highest rate, without its bits.
        weight = self.config.lambda_at(torch.where(coded, level, LEVEL_MAX) if losses.rate else level * 0 + LEVEL_MAX)
        bits = output.latent_bits + output.hyper_bits
        loss = rate_distortion(bits * coded if losses.rate else 0 * bits, pixels, distortion, weight)
        if not losses.rate:  # fits the hyperprior alone: the latent is detached
            loss = loss + (bits / pixels).mean()
        loss = loss + losses.kl * (output.kl / pixels).mean() + losses.adversarial * done.fooled + done.told
        # Several processes want a gradient for each parameter, if only a zero.
        loss = loss + 0.0 * torch.stack([parameter.sum() for parameter in model.parameters()]).sum()
        figures = {
            "bpp": float(bits.detach()[coded].mean()) / pixels if len(batch) > 1 else 0.0,
            "mse": float((output.image.detach() - batch)[~coded].square().mean()),
            "nats": float(output.kl.detach().mean()) * 64 / pixels / self.config.latent_channels,
        }
        if adversarial:
            figures["told"] = float(done.told.detach())
        return loss, figures

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """PSNR of held-out pictures from unquantized means, then bpp and PSNR of the codec at three qualities."""
        network = cast(KlTraining, model).network
        psnr = 0.0
        for original in self.held_out.split(8):
            image = original.to(device)
            psnr += float(psnr_8_bit(network.decoder(network.encoder(image).mean).clamp(0, 1), image).sum())
        figures = {"psnr": psnr / len(self.held_out)}
        return figures | rate_and_psnr(network, self.held_out, VALIDATION_QUALITIES, device)


@dataclass(frozen=True)
class KlRun:
    """A prepared run: data found and split, network built and calibrated."""

    trainer: Trainer
    training: PictureFolder
    validation: PictureFolder

    def go(self, resume: bool = False) -> Result:
        return self.trainer.run(resume)


def prepare(
    folder: Path,
    run_folder: Path,
    options: TrainOptions,
    config: KlConfig | None = None,
    losses: KlLosses | None = None,
    crop: int = 128,
    start: KlNetwork | None = None,
    smallest_scale: float = 0.5,
) -> KlRun:
    """Build everything for a run over the pictures in `folder`; `start` goes on from given weights.

    Raises UnsupportedInput for a folder without readable pictures of 16 x 16 pixels, InvalidArgument for a `crop` or a
    loss that does not exist.
    """
    losses = losses or KlLosses()
    if crop < ALIGNMENT or crop % ALIGNMENT:
        raise InvalidArgument(f"crop {crop} is not a positive multiple of {ALIGNMENT}")
    if losses.reconstruction.pixel not in PIXEL_LOSSES:
        raise InvalidArgument(f"loss {losses.reconstruction.pixel!r} is unknown; use {', '.join(PIXEL_LOSSES)}")
    training, validation = training_and_validation(list_pictures(folder))
    held_out = held_out_crops(training, validation, CROP, VALIDATION_PICTURES)
    network = start
    torch.manual_seed(options.seed)
    if network is None:
        network = KlNetwork(config)
        network.calibrate(
            largest_crops(PictureFolder(training.paths[:CALIBRATION_PICTURES]), CROP, CALIBRATION_PICTURES)
        )
    model = KlTraining(network, bool(losses.adversarial))
    task = KlTask(network.config, held_out, losses)
    data = RandomCrops(training, crop, options.seed, smallest_scale)
    return KlRun(Trainer(task, model, data, run_folder, options), training, validation)


def main(
    folder: Path,
    output: Path,
    *,
    name: str | None = None,
    options: TrainOptions,
    resume: bool = False,
    start: Bundle | None = None,
    config: KlConfig | None = None,
    losses: KlLosses | None = None,
    crop: int = 128,
    smallest_scale: float = 0.5,
) -> Bundle | None:
    """Train on the pictures in `folder` and write the bundle `output`; None when a signal stopped the run early.

    Checkpoint, metrics and loss curve lie in `<output>.run/`. `start` goes on from a bundle's weights, `resume` from
    the checkpoint. Raises AezError subclasses. With several devices, only the main process returns.
    """
    check_output(output)
    network = kl_from_bundle(start) if start is not None else None
    losses = losses or KlLosses()
    run = prepare(folder, run_folder(output), options, config, losses, crop, network, smallest_scale)
    result = run.go(resume)
    if not run.trainer.is_main:
        sys.exit(0)  # any other code would make the launcher end the main process
    plot_training(result.log, run_folder(output) / "training.png", VALIDATION_QUALITIES)
    if not result.finished:
        logger.warning("aez: stopped at step %d; go on with --resume", result.steps)
        return None
    provenance = describe_run(run.training.paths, folder, result, options, start) | {
        "loss": losses.reconstruction.pixel,
        "rate": losses.rate,
        "kl": losses.kl,
        "crop": crop,
    }
    return finish(run, result, output, name or output.stem, provenance)


def finish(run: KlRun, result: Result, output: Path, name: str, provenance: dict[str, Any]) -> Bundle:
    """Normalise the latent and fit the tables on training pictures, export, and write the bundle."""
    paths = run.training.paths
    spread = PictureFolder(paths[:: max(1, len(paths) // TABLE_PICTURES)])
    crops = largest_crops(spread, CROP, TABLE_PICTURES)
    network = cast(KlTraining, result.model).network
    validation = [row for row in result.log if "psnr" in row]
    figures = {"validation": validation[-1]} if validation else {}
    whole = whole_pictures(PictureFolder(paths), NORMALISED_PICTURES)
    return export_kl(network, output, name, crops, provenance, figures, whole)
