"""`aez train photo --frozen-latent`: the entropy model alone, on latents that an analysis made once.

Analysis and synthesis work at full resolution and are nine tenths of a training step. What predicts and codes the
latent learns as well from latents that stand still; the transforms around it stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from aez.codec.bundle.bundle import Bundle
from aez.codec.common.progress import progress_bar
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.errors import InvalidArgument
from aez.export.common.provenance import describe_run
from aez.export.common.run_files import run_folder
from aez.export.common.trainer import Trainer, TrainOptions
from aez.export.hyperprior.losses import rate_distortion
from aez.export.hyperprior.network import STRIDE
from aez.export.hyperprior.pictures import SCALES, RandomCrops
from aez.export.hyperprior.training import (
    HYPER_RATES,
    VALIDATION_QUALITIES,
    CodecRun,
    TrainingData,
    begin,
    parameter_groups,
    random_levels,
    rate_and_psnr,
    train_to_end,
)
from aez.export.photo.bundle import network_from_bundle
from aez.export.photo.network import PhotoConfig, PhotoNetwork
from aez.export.photo.train import BALANCE, EVENNESS, finish

#: What is trained: names of parameters begin so.
TRAINED = ("hyper_analysis.", "mean.", "scale.", "density.", "log_hyper_gain.")
#: Of these, what encodes: it stands still while latents are rounded.
ENCODING = ("hyper_analysis.", "log_hyper_gain.")
#: From this share of a run on, latents are rounded and only what decodes learns.
ROUNDED_FROM = 0.75
#: Latents that are made before the first step, and how many at a time.
LATENTS, AT_A_TIME = 8000, 8


@dataclass(frozen=True)
class FrozenLatents:
    """`whitened` float16 [N, features, h, w], each of a crop at its `level` float32 [N]."""

    whitened: Tensor
    level: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, network: PhotoNetwork, crops: Dataset[Tensor], count: int, seed: int, quiet: bool) -> FrozenLatents:
        """Of the first `count` crops [3, H, W] in 0..1, all of one size, each at a random level."""
        level = random_levels(count, 0, LEVEL_MAX, torch.Generator().manual_seed(seed))
        parts = []
        for start in progress_bar(iterable=range(0, count, AT_A_TIME), desc="latents", disable=quiet):
            numbers = range(start, min(start + AT_A_TIME, count))
            images = torch.stack([crops[number] for number in numbers])
            parts.append(network.whitened(images, level[numbers.start : numbers.stop]).half())
        return cls(torch.cat(parts), level)


class Places(Dataset[Tensor]):
    """Numbers of latents, without end: every pass over them in another order, which depends on the seed alone."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __getitem__(self, index: int) -> Tensor:
        turn, place = divmod(index, self.count)
        return _order(self.count, self.seed + turn)[place]


@lru_cache(maxsize=2)
def _order(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


@dataclass
class FrozenTask:
    """Rate of the latents, and what rounding costs them, measured in the latent itself."""

    latents: FrozenLatents
    held_out: Tensor
    #: Whether the entropy model starts anew.
    anew: bool = True

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Those that are trained; all others stand still."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINED))
        return list(_trained(parameter_groups(model, learning_rate, HYPER_RATES, ENCODING, ROUNDED_FROM)))

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Of the latents whose numbers `batch` holds."""
        del generator
        network = cast(PhotoNetwork, getattr(model, "module", model))
        numbers = batch.cpu()  # the latents stay in main memory
        whitened, level = (of[numbers].to(batch.device).float() for of in (self.latents.whitened, self.latents.level))
        pixels = whitened.shape[2] * whitened.shape[3] * STRIDE**2
        latent_bits, hyper_bits, distortion = network.code_frozen(whitened, level, progress >= ROUNDED_FROM)
        priced = latent_bits + (hyper_weight(progress) if self.anew else 1.0) * hyper_bits
        loss = rate_distortion(priced, pixels, distortion, network.config.lambda_at(level), BALANCE, EVENNESS)
        latent, hyper = (float(bits.detach().mean()) / pixels for bits in (latent_bits, hyper_bits))
        return loss, {"bpp": latent + hyper, "hyper_bpp": hyper}

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Means over the held-out pictures of bpp and of PSNR (RGB, 8 bits, in dB) at three qualities."""
        return rate_and_psnr(cast(PhotoNetwork, model), self.held_out, VALIDATION_QUALITIES, device)


def _trained(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        if kept := [one for one in group["params"] if one.requires_grad]:
            yield {**group, "params": kept}


def hyper_weight(progress: float) -> float:
    """Weight of the hyper-latent's bits: low at first, so that it is learned to be used before it has to pay."""
    return min(max((progress - 0.15) / 0.1, 0.3), 1.0)


def renewed(network: PhotoNetwork, config: PhotoConfig, seed: int) -> PhotoNetwork:
    """A network with the transforms of `network`, and an entropy model of the sizes in `config` that starts anew.

    What predicts a coefficient from its neighbours in a straight line is carried over, and so are the scales at which
    nothing is known. Where the sizes are those of `network`, its entropy model is kept: training goes on from it.
    """
    if config == network.config:
        return network
    torch.manual_seed(seed)
    fresh = PhotoNetwork(config)
    weights = fresh.state_dict()
    for name, value in network.state_dict().items():
        if not name.startswith(TRAINED) or ".linear." in name or name == "scale.offset":
            weights[name] = value
    fresh.load_state_dict(weights)
    return fresh


def main(
    folder: Path,
    output: Path,
    *,
    start: Bundle | None,
    name: str | None = None,
    options: TrainOptions,
    resume: bool = False,
    crop: int = 224,
    latents: int = LATENTS,
    scales: tuple[float, float] = SCALES,
) -> Bundle | None:
    """Train the entropy model of the bundle `start` alone and write `output`; None when it was stopped early.

    It starts anew where that of `start` has other sizes than today's.

    `latents` are made of random crops of the pictures in `folder` before the first step, and kept in memory, 384 bytes
    for every 8 x 8 pixels of them; the rest is as in `photo.train.main`, but that one device does all.

    Raises InvalidArgument where there is no `start`, or the resumed run began without one.
    """
    start = begin(output, resume, start)
    if start is None:
        raise InvalidArgument("only a trained model gets a new entropy model; give one to start from")
    options = replace(options, devices=1)  # the loss calls no module as a whole, which several processes would need
    before = network_from_bundle(start).eval()
    sizes = PhotoConfig()
    config = replace(
        before.config,
        hyper_stride=sizes.hyper_stride,
        context_blocks=sizes.context_blocks,
        mean_expansion=sizes.mean_expansion,
    )
    data = TrainingData.find(folder, crop)
    crops = RandomCrops(data.training, crop, options.seed, scales)
    frozen = FrozenLatents.of(before, crops, latents, options.seed, options.quiet)
    network = renewed(before, config, options.seed)
    task = FrozenTask(frozen, data.held_out, anew=network is not before)
    trainer = Trainer(task, network, Places(latents, options.seed), run_folder(output), options)
    result = train_to_end(trainer, output, resume, start)
    if result is None:
        return None
    provenance = describe_run(data.training.paths, folder, result, options, start) | {
        "distortion": "mse",
        "crop": crop,
        "scales": list(scales),
        "frozen_latents": latents,
    }
    return finish(CodecRun(trainer, data, network), result, output, name or output.stem, provenance)
