"""The KL-regularised 8x autoencoder of latent diffusion (Rombach et al. 2022), light enough for a CPU, and its codec.

Shapes: image [B, 3, H, W] in 0..1, H and W multiples of 8 (16 for the codec); latent [B, 4 or 16, H/8, W/8]. Nothing
is pooled over the picture, so that both halves tile. Encoder and decoder start as the principal components of the 8x8
block DCT, which is the best linear pair; residual blocks learn the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aez.export.common.losses import gaussian_kl, reparameterise
from aez.export.hyperprior.layers import Block, clamp_inward, coefficient_std, colour_dct_weights
from aez.export.hyperprior.network import CELL, STRIDE, HyperConfig, HyperpriorNetwork
from aez.export.hyperprior.ports import IMAGE, LEVEL, Part, Port, Sides

COEFFICIENTS = 3 * STRIDE * STRIDE
#: Prefixes of the parameters on which the latents depend before they are rounded.
ENCODING = ("encoder.", "hyper_analysis.", "log_gain.", "log_hyper_gain.")
LOG_VARIANCE_START, LOG_VARIANCE_MIN, LOG_VARIANCE_MAX = -8.0, -30.0, 20.0


@dataclass(frozen=True)
class KlConfig(HyperConfig):
    """Sizes of the autoencoder. The defaults are the light pair: 15 kMAC/pixel to encode and 17 to decode."""

    hyper_stride: int = CELL
    context_blocks: int = 0
    hyper_channels: int = 16
    hyper_width: int = 96
    mean_expansion: float = 1
    lambda_min: float = 0.0002
    lambda_max: float = 0.02
    latent_channels: int = 4
    encoder_blocks: int = 6
    decoder_blocks: int = 7
    width: int = 192
    expansion: float = 2

    @property
    def channels(self) -> int:
        return self.latent_channels

    def transforms(self, y: Port, z: Port) -> dict[str, Sides]:
        latent = Port(y.axes, "latent", "unit variance")
        posterior = {"mean": latent, "log_variance": Port(y.axes, "log of squared latents", "real")}
        return {
            "encoder": Sides({"image": IMAGE}, posterior, decodes=False, multiple=STRIDE),
            "latent_analysis": Sides(
                {"latent": latent, "level": LEVEL}, {"y": y, "z": z}, decodes=False, multiple=self.alignment // STRIDE
            ),
            "latent_synthesis": Sides({"y": y, "level": LEVEL}, {"latent": latent}),
            "decoder": Sides({"latent": latent}, {"image": IMAGE}),
        }

    @classmethod
    def of(cls, latent_channels: int = 4, heavy: bool = False) -> KlConfig:
        """The light or the heavy pair (57 and 67 kMAC/pixel); more channels serve higher rates."""
        config = cls(latent_channels=latent_channels, lambda_max=cls.lambda_max * latent_channels / cls.latent_channels)
        return replace(config, width=384) if heavy else config


class Posterior(NamedTuple):
    """A Gaussian for each element of the latent: mean and log-variance, each [B, C, H/8, W/8]."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """Reparameterised: mean + deviation * noise."""
        return reparameterise(self.mean, torch.exp(0.5 * self.log_variance), torch.randn_like(self.mean))

    def kl(self) -> Tensor:
        """KL divergence from N(0, 1) in nats, summed for each picture: [B]."""
        return gaussian_kl(self.mean, self.log_variance).sum(dim=(1, 2, 3))


class Encoder(nn.Module):
    """Image -> posterior."""

    def __init__(self, config: KlConfig) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, config.width, STRIDE, stride=STRIDE)
        self.blocks = _blocks(config.width, config.expansion, config.encoder_blocks)
        self.head = nn.Conv2d(config.width, 2 * config.latent_channels, 1)

    def forward(self, image: Tensor) -> Posterior:
        x: Tensor = self.embed(image - 0.5)
        for block in self.blocks:
            x = block(x)
        mean, log_variance = self.head(x).chunk(2, dim=1)
        return Posterior(mean, clamp_inward(log_variance, LOG_VARIANCE_MIN, LOG_VARIANCE_MAX))


class Decoder(nn.Module):
    """Latent -> image, not clamped."""

    def __init__(self, config: KlConfig) -> None:
        super().__init__()
        self.tail = nn.Conv2d(config.latent_channels, config.width, 3, padding=1)
        self.blocks = _blocks(config.width, config.expansion, config.decoder_blocks)
        self.unembed = nn.Conv2d(config.width, COEFFICIENTS, 1)

    def forward(self, latent: Tensor) -> Tensor:
        x: Tensor = self.tail(latent)
        for block in self.blocks:
            x = block(x)
        return nn.functional.pixel_shuffle(self.unembed(x), STRIDE)


def _blocks(width: int, expansion: float, count: int) -> nn.ModuleList:
    return nn.ModuleList(Block(width, expansion, gated=False) for _ in range(count))


class KlOutput(NamedTuple):
    """What one training pass yields: pictures, not clamped, and per picture [B] the KL in nats and the bits."""

    image: Tensor
    kl: Tensor
    latent_bits: Tensor
    hyper_bits: Tensor


class KlNetwork(HyperpriorNetwork):
    """Autoencoder and hyperprior.

    Buffers `latent_shift` and `latent_scale` [1, C, 1, 1] make what users see: (latent - shift) / scale has zero mean
    and unit variance on the training pictures. `pixel_std` is what a unit of the latent counts in pixels at the start.
    """

    family = "kl-f8"
    config: KlConfig

    def __init__(self, config: KlConfig | None = None) -> None:
        config = config or KlConfig()
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        shape = (1, config.latent_channels, 1, 1)
        self.register_buffer("latent_shift", torch.zeros(shape))
        self.register_buffer("latent_scale", torch.ones(shape))
        self.register_buffer("pixel_std", torch.ones(shape))

    def whitened(self, image: Tensor, level: Tensor) -> Tensor:  # noqa: ARG002 - one encoder for every level
        return cast(Tensor, self.encoder(image).mean)

    def picture(self, whitened: Tensor, level: Tensor) -> Tensor:  # noqa: ARG002
        return cast(Tensor, self.decoder(whitened))

    def latent_std(self) -> Tensor:
        return cast(Tensor, self.pixel_std)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Start as the principal components of the block DCT of images [N, 3, H, W], in latents of unit variance."""
        dct = colour_dct_weights(STRIDE)
        coefficients = nn.functional.conv2d(images - 0.5, dct, stride=STRIDE).transpose(0, 1).flatten(1).double()
        variance, axes = torch.linalg.eigh(coefficients @ coefficients.T / coefficients.shape[1])
        count = self.config.latent_channels
        deviation = variance[-count:].flip(0).sqrt().float()
        basis = axes[:, -count:].flip(1).float()  # [192, count], orthonormal
        std = coefficient_std(images)
        encoder, decoder = self.encoder, self.decoder
        embed = 0.1 * encoder.embed.weight
        embed[:COEFFICIENTS] = dct / std[:, None, None, None]
        encoder.embed.weight.copy_(embed)
        cast(Tensor, encoder.embed.bias).zero_()
        head = torch.zeros_like(encoder.head.weight[:, :, 0, 0])
        head[:count, :COEFFICIENTS] = (basis * std[:, None] / deviation).T
        encoder.head.weight.copy_(head[:, :, None, None])
        cast(Tensor, encoder.head.bias).copy_(torch.tensor([0.0] * count + [LOG_VARIANCE_START] * count))
        tail = torch.zeros_like(decoder.tail.weight)
        tail[:COEFFICIENTS, :, 1, 1] = basis * deviation / std[:, None]
        decoder.tail.weight.copy_(tail)
        cast(Tensor, decoder.tail.bias).zero_()
        unembed = torch.zeros_like(decoder.unembed.weight[:, :, 0, 0])
        # Rows in pixel-shuffle order: channel of the picture, then row and column inside the patch.
        unembed[:, :COEFFICIENTS] = dct.reshape(COEFFICIENTS, COEFFICIENTS).T * std
        decoder.unembed.weight.copy_(unembed[:, :, None, None])
        cast(Tensor, decoder.unembed.bias).fill_(0.5)
        cast(Tensor, self.pixel_std).copy_(deviation[None, :, None, None])
        self.calibrate_scales(deviation)

    @torch.no_grad()
    def normalise(self, batches: Iterable[Tensor]) -> None:
        """Measure the latent's mean and variance over batches [B, 3, H, W], for the latent that users see."""
        count, total, squares = 0, 0.0, 0.0
        for batch in batches:
            mean = self.encoder(batch).mean.transpose(0, 1).flatten(1).double()
            count += mean.shape[1]
            total, squares = total + mean.sum(dim=1), squares + mean.square().sum(dim=1)
        shift = torch.as_tensor(total) / count
        variance = torch.as_tensor(squares) / count - shift.square()
        cast(Tensor, self.latent_shift).copy_(shift[None, :, None, None])
        cast(Tensor, self.latent_scale).copy_(variance.clamp_min(1e-12).sqrt()[None, :, None, None])

    def denormalised(self, latent: Tensor) -> Tensor:
        """What the networks inside take, for a latent of zero mean and unit variance."""
        return latent * cast(Tensor, self.latent_scale) + cast(Tensor, self.latent_shift)

    def train_pass(self, image: Tensor, level: Tensor, coded: Tensor, rounded: bool, rate: bool) -> KlOutput:
        """Reconstruct pictures from samples of the posterior, or where `coded` [B] from the quantized latent.

        Bits are those of all pictures. Without `rate` neither rate nor quantization teaches the autoencoder, and the
        reconstruction is that of the sample everywhere. With `rounded` nothing teaches what encodes.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not rounded):
            posterior = self.encoder(image)
            mean = posterior.mean if rate else posterior.mean.detach()
            z = self.hyper_analysis(mean, level) * self.hyper_gain(level)
            y = mean * self.gain(level)
        decoded, latent_bits, hyper_bits = self._code(y, z, level, rounded)
        latent = posterior.sample()
        if rate:
            latent = torch.where(coded[:, None, None, None], decoded * self.inverse_gain(level), latent)
        return KlOutput(self.decoder(latent).float(), posterior.kl(), latent_bits, hyper_bits)

    def transform_parts(self) -> dict[str, nn.Module]:
        return {
            "encoder": EncoderGraph(self),
            "decoder": DecoderGraph(self),
            "latent_analysis": LatentAnalysisGraph(self),
            "latent_synthesis": LatentSynthesisGraph(self),
        }


class EncoderGraph(Part[KlNetwork]):
    """image -> mean and log-variance of the normalised latent."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        n = self.network
        posterior: Posterior = n.encoder(image)
        shift, scale = cast(Tensor, n.latent_shift), cast(Tensor, n.latent_scale)
        return (posterior.mean - shift) / scale, posterior.log_variance - 2 * torch.log(scale)


class LatentAnalysisGraph(Part[KlNetwork]):
    """normalised latent, level -> y, z (rounded)."""

    def forward(self, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.rounded_latents(self.network.denormalised(latent), level)


class LatentSynthesisGraph(Part[KlNetwork]):
    """y, level -> normalised latent."""

    def forward(self, y: Tensor, level: Tensor) -> Tensor:
        n = self.network
        return (y * n.inverse_gain(level) - cast(Tensor, n.latent_shift)) / cast(Tensor, n.latent_scale)


class DecoderGraph(Part[KlNetwork]):
    """normalised latent -> image in 0..1."""

    def forward(self, latent: Tensor) -> Tensor:
        return cast(Tensor, self.network.decoder(self.network.denormalised(latent))).clamp(0, 1)
