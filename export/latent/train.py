"""`aez train kl-f8`: from a folder of pictures to the bundle of a KL-regularised 8x autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.errors import InvalidArgument
from aez.export.common.provenance import describe_run
from aez.export.common.run_files import run_folder
from aez.export.common.trainer import Result, Trainer, TrainOptions
from aez.export.hyperprior.losses import rate_distortion
from aez.export.hyperprior.pictures import SCALES, PictureFolder, RandomCrops, whole_pictures
from aez.export.hyperprior.training import (
    HYPER_RATES,
    ROUNDED_FROM,
    VALIDATION_QUALITIES,
    CodecRun,
    TrainingData,
    begin,
    last_validation,
    parameter_groups,
    psnr_8_bit,
    random_levels,
    rate_and_psnr,
    train_to_end,
)
from aez.export.latent.bundle import export_kl, kl_from_bundle
from aez.export.latent.losses import PIXEL_LOSSES, PatchDiscriminator, Reconstruction, adversarial_losses
from aez.export.latent.network import ENCODING, KlConfig, KlNetwork, KlOutput

TABLE_CROP, NORMALISED_PICTURES = 192, 600


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
        level = random_levels(len(batch), 0, LEVEL_MAX, generator).to(batch.device)
        odd = torch.arange(len(batch), device=batch.device) % 2 == 1
        coded = odd & losses.rate
        adversarial = bool(losses.adversarial) and progress >= losses.adversarial_from
        done: Pass = model(batch, level, coded, progress >= self.rounded_from, losses.rate, adversarial)
        output = done.output
        distortion = losses.reconstruction(output.image, batch)
        # A picture that is not coded counts as one of the highest rate, without its bits.
        weight = self.config.lambda_at(torch.where(coded, level, LEVEL_MAX))
        bits = output.latent_bits + output.hyper_bits
        loss = rate_distortion(bits * coded, pixels, distortion, weight)
        if not losses.rate:  # fits the hyperprior alone: the latent is detached
            loss = loss + (bits / pixels).mean()
        loss = loss + losses.kl * (output.kl / pixels).mean() + losses.adversarial * done.fooled + done.told
        # Several processes want a gradient for each parameter, if only a zero.
        loss = loss + 0.0 * torch.stack([parameter.sum() for parameter in model.parameters()]).sum()
        figures = {
            "bpp": float(bits.detach()[odd].mean()) / pixels if len(batch) > 1 else 0.0,
            "mse": float((output.image.detach() - batch)[~odd].square().mean()),
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


def prepare(
    folder: Path,
    run_folder: Path,
    options: TrainOptions,
    config: KlConfig | None = None,
    losses: KlLosses | None = None,
    crop: int = 128,
    start: KlNetwork | None = None,
    scales: tuple[float, float] = SCALES,
) -> CodecRun[KlNetwork]:
    """Build everything for a run over the pictures in `folder`; `start` goes on from given weights.

    Raises UnsupportedInput for a folder without readable pictures of 32 x 32 pixels, InvalidArgument for a `crop` or a
    loss that does not exist.
    """
    losses = losses or KlLosses()
    if losses.reconstruction.pixel not in PIXEL_LOSSES:
        raise InvalidArgument(f"loss {losses.reconstruction.pixel!r} is unknown; use {', '.join(PIXEL_LOSSES)}")
    data = TrainingData.find(folder, crop)
    network = start
    torch.manual_seed(options.seed)
    if network is None:
        network = KlNetwork(config)
        network.calibrate(data.calibration())
    model = KlTraining(network, bool(losses.adversarial))
    task = KlTask(network.config, data.held_out, losses)
    crops = RandomCrops(data.training, crop, options.seed, scales)
    return CodecRun(Trainer(task, model, crops, run_folder, options), data, network)


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
    scales: tuple[float, float] = SCALES,
) -> Bundle | None:
    """Train on the pictures in `folder` and write the bundle `output`; None when a signal stopped the run early.

    Checkpoint, metrics and loss curve lie in `<output>.run/`. `start` goes on from a bundle's weights, `resume` from
    the checkpoint and the `start` that the run began with. Raises AezError subclasses. With several devices, only the
    main process returns.
    """
    start = begin(output, resume, start)
    network = kl_from_bundle(start) if start is not None else None
    losses = losses or KlLosses()
    run = prepare(folder, run_folder(output), options, config, losses, crop, network, scales)
    result = train_to_end(run.trainer, output, resume, start)
    if result is None:
        return None
    provenance = describe_run(run.data.training.paths, folder, result, options, start) | {
        "loss": losses.reconstruction.pixel,
        "rate": losses.rate,
        "kl": losses.kl,
        "crop": crop,
        "scales": list(scales),
    }
    return finish(run, result, output, name or output.stem, provenance)


def finish(run: CodecRun[KlNetwork], result: Result, output: Path, name: str, provenance: dict[str, Any]) -> Bundle:
    """Normalise the latent and fit the tables on training pictures, export, and write the bundle."""
    network = cast(KlTraining, result.model).network
    crops = run.table_pictures(TABLE_CROP)
    whole = whole_pictures(PictureFolder(run.data.training.paths), NORMALISED_PICTURES)
    return export_kl(network, output, name, crops, provenance, last_validation(result), whole)
