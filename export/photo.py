"""The photograph network: a mean-scale hyperprior whose transforms start as an 8x8 block DCT.

Mean-scale hyperprior: Minnen, Ballé, Toderici 2018 (without the context model). Continuous quality by per-channel
gains: Cui et al. 2021. Shapes: image [B, 3, H, W] in 0..1 with H, W multiples of 16; latent y [B, 192, H/8, W/8];
hyper-latent z [B, 64, H/16, W/16].
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aez.codec.quality import KNOTS, LEVEL_MAX
from aez.export.integer import SCALES, TRAINING_INDEX_MIN, ScaleNetwork, index_to_sigma, sigma_to_index
from aez.export.layers import (
    Block,
    CoarseBranch,
    Knots,
    clamp_inward,
    colour_dct_weights,
    interpolate,
    round_ste,
)

PATCH = 8
CHANNELS = 3 * PATCH * PATCH
ALIGNMENT = 2 * PATCH
HYPER_BLOCKS = 2
#: Quantization step (in 0..1 pixel units) that suits lambda: about 0.015 / sqrt(lambda) for an orthonormal transform.
STEP_FOR_UNIT_LAMBDA = 0.015


@dataclass(frozen=True)
class PhotoConfig:
    """Sizes of the photo network. The defaults cost about 10 kMAC/pixel to encode and 9 to decode."""

    hyper_channels: int = 64
    hyper_width: int = 192
    analysis_blocks: int = 2
    analysis_expansion: int = 2
    synthesis_blocks: int = 3
    synthesis_expansion: int = 1
    coarse_width: int = 256
    coarse_blocks: int = 2
    lambda_min: float = 0.0002
    lambda_max: float = 0.06

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def lambda_at(self, level: Tensor) -> Tensor:
        """Weight of the distortion (MSE x 255^2) at a level: geometric from lambda_min to lambda_max."""
        return self.lambda_min * (self.lambda_max / self.lambda_min) ** (level / LEVEL_MAX)


class Transforms(nn.Module):
    """Shared by both directions: the per-channel standard deviation that the networks see as one."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(1, CHANNELS, 1, 1))


class Analysis(Transforms):
    """Image -> coefficients in pixel units (DCT plus learned corrections), before the gains."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH, bias=False)
        self.embed.weight.data = colour_dct_weights(PATCH)
        half = config.analysis_blocks // 2
        e = config.analysis_expansion
        self.fine_in = nn.ModuleList(Block(CHANNELS, e) for _ in range(config.analysis_blocks - half))
        self.coarse = CoarseBranch(CHANNELS, config.coarse_width, config.coarse_blocks)
        self.fine_out = nn.ModuleList(Block(CHANNELS, e) for _ in range(half))

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """Whitened coefficients [B, 192, H/8, W/8] (unit standard deviation on the calibration pictures)."""
        x: Tensor = self.embed(image - 0.5) / cast(Tensor, self.std)
        for block in self.fine_in:
            x = block(x, level)
        x = self.coarse(x, level)
        for block in self.fine_out:
            x = block(x, level)
        return x


class Synthesis(Transforms):
    """Dequantized coefficients -> image."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        half = config.synthesis_blocks // 2
        e = config.synthesis_expansion
        self.fine_in = nn.ModuleList(Block(CHANNELS, e) for _ in range(half))
        self.coarse = CoarseBranch(CHANNELS, config.coarse_width, config.coarse_blocks)
        self.fine_out = nn.ModuleList(Block(CHANNELS, e) for _ in range(config.synthesis_blocks - half))
        self.unembed = nn.Conv2d(CHANNELS, CHANNELS, 1)
        # Rows in pixel-shuffle order: channel of the picture, then row and column inside the patch.
        inverse_dct = colour_dct_weights(PATCH).reshape(CHANNELS, CHANNELS).t().contiguous()
        self.unembed.weight.data = inverse_dct[:, :, None, None]
        nn.init.constant_(cast(Tensor, self.unembed.bias), 0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        for block in self.fine_in:
            x = block(x, level)
        x = self.coarse(x, level)
        for block in self.fine_out:
            x = block(x, level)
        return nn.functional.pixel_shuffle(self.unembed(x * cast(Tensor, self.std)), PATCH)


class HyperAnalysis(nn.Module):
    """Whitened coefficients -> hyper-latent before rounding (times the hyper gain)."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.hyper_width
        self.down = nn.Conv2d(CHANNELS, width, 2, stride=2)
        self.act = nn.LeakyReLU(0.1)
        self.blocks = nn.ModuleList(Block(width, 2) for _ in range(HYPER_BLOCKS))
        self.out = nn.Conv2d(width, config.hyper_channels, 1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = self.act(self.down(x))
        for block in self.blocks:
            x = block(x, level)
        scaled: Tensor = 2 * self.out(x)
        return scaled


class MeanNetwork(nn.Module):
    """Hyper-latent (divided by its gain) -> whitened mean of the coefficients. Starts at zero."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.hyper_width
        self.enter = nn.Conv2d(config.hyper_channels, width, 1)
        self.act = nn.LeakyReLU(0.1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(HYPER_BLOCKS))
        self.out = nn.Conv2d(width, 4 * CHANNELS, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast(Tensor, self.out.bias))

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        x = self.act(self.enter(z))
        for block in self.blocks:
            x = block(x, level)
        return nn.functional.pixel_shuffle(self.out(self.act(x)), 2)


class HyperDensity(nn.Module):
    """Factorized density of z: per channel and knot a mixture of three logistics (for training; tables replace it)."""

    COMPONENTS = 3

    def __init__(self, channels: int) -> None:
        super().__init__()
        spread = torch.linspace(-1.0, 1.0, self.COMPONENTS)
        self.mean = nn.Parameter(spread.repeat_interleave(channels).repeat(KNOTS, 1))
        self.log_scale = nn.Parameter(torch.zeros(KNOTS, self.COMPONENTS * channels))
        self.logit = nn.Parameter(torch.zeros(KNOTS, self.COMPONENTS * channels))

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        """Code length of z [B, C, h, w] under the density: [B, C, h, w] bits."""
        batch, channels = z.shape[:2]
        shape = (batch, self.COMPONENTS, channels, 1, 1)
        mean = interpolate(self.mean, level).reshape(shape)
        scale = torch.exp(interpolate(self.log_scale, level).clamp(-4, 6)).reshape(shape)
        weight = torch.log_softmax(interpolate(self.logit, level).reshape(shape), dim=1)
        distance = (z[:, None] - mean).abs()
        upper, lower = (0.5 - distance) / scale, (-0.5 - distance) / scale
        mass = torch.sigmoid(upper) - torch.sigmoid(lower)
        likelihood = (torch.exp(weight) * mass).sum(dim=1)
        return -torch.log2(likelihood.clamp_min(2.0**-24))


def gaussian_bits(residual: Tensor, sigma: Tensor) -> Tensor:
    """Code length in bits of a residual under a zero-mean Gaussian integrated over a unit bin."""
    distance = residual.abs()
    inverse = 1 / sigma
    mass = _normal_cdf((0.5 - distance) * inverse) - _normal_cdf((-0.5 - distance) * inverse)
    return -torch.log2(clamp_inward(mass, 2.0**-20, 1.0))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -math.sqrt(0.5))


class Output(NamedTuple):
    """What one training pass yields. `image` is not clamped; the bits are sums per picture, [B]."""

    image: Tensor
    latent_bits: Tensor
    hyper_bits: Tensor


class PhotoNetwork(nn.Module):
    """All parts of the photo codec; `forward` is the training pass, `export.graphs` cuts it into ONNX graphs."""

    def __init__(self, config: PhotoConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PhotoConfig()
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.mean = MeanNetwork(config)
        self.density = HyperDensity(config.hyper_channels)
        knots = torch.linspace(0, LEVEL_MAX, KNOTS)
        weight = config.lambda_at(knots)
        log_gain = 0.5 * torch.log(weight) - math.log(STEP_FOR_UNIT_LAMBDA)
        self.log_gain = Knots(log_gain[:, None].repeat(1, CHANNELS))
        self.log_inverse_gain = Knots(torch.zeros(KNOTS, CHANNELS))
        hyper = 0.25 * torch.log(weight / weight[KNOTS // 2])
        self.log_hyper_gain = Knots(hyper[:, None].repeat(1, config.hyper_channels))
        self.scale = ScaleNetwork(
            config.hyper_channels, config.hyper_width, CHANNELS, self._scale_index(torch.ones(CHANNELS))
        )

    def _scale_index(self, std: Tensor) -> Tensor:
        return sigma_to_index(torch.exp(self.log_gain.values.detach()) * std).clamp(TRAINING_INDEX_MIN, SCALES - 1)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Measure the DCT coefficients' standard deviations on images [N, 3, H, W] and start the scales from them."""
        coefficients = nn.functional.conv2d(images - 0.5, colour_dct_weights(PATCH), stride=PATCH)
        std = coefficients.double().pow(2).mean(dim=(0, 2, 3)).sqrt().clamp_min(2e-3).float()
        for part in (self.analysis, self.synthesis):
            cast(Tensor, part.std).copy_(std[None, :, None, None])
        self.scale.offset.copy_(self._scale_index(std) + 0.5)

    def gain(self, level: Tensor) -> Tensor:
        """Whitened coefficient -> units of the quantization step, [B, 192, 1, 1]."""
        return torch.exp(self.log_gain(level)) * cast(Tensor, self.analysis.std)

    def inverse_gain(self, level: Tensor) -> Tensor:
        """Units of the quantization step -> whitened coefficient for the synthesis."""
        return torch.exp(self.log_inverse_gain(level)) / self.gain(level)

    def hyper_gain(self, level: Tensor) -> Tensor:
        return torch.exp(self.log_hyper_gain(level))

    def forward(self, image: Tensor, level: Tensor) -> Output:
        """Training pass: uniform noise for the rate, rounding for the distortion (Minnen, Singh 2020)."""
        whitened = self.analysis(image, level)
        y = whitened * self.gain(level)
        z = self.hyper_analysis(whitened, level) * self.hyper_gain(level)
        hyper_bits = self.density(z + torch.rand_like(z) - 0.5, level)
        z = round_ste(z)
        mean = self.mean(z / self.hyper_gain(level), level) * self.gain(level)
        with torch.autocast(image.device.type, enabled=False):
            index = clamp_inward(self.scale(z.float(), level), TRAINING_INDEX_MIN, SCALES - 1)
        residual = (y - mean).float()
        noisy = residual + torch.rand_like(residual) - 0.5
        latent_bits = gaussian_bits(noisy, index_to_sigma(index))
        decoded = round_ste(residual) + mean
        picture = self.synthesis(decoded * self.inverse_gain(level), level)
        return Output(picture.float(), latent_bits.sum(dim=(1, 2, 3)), hyper_bits.sum(dim=(1, 2, 3)))

    @torch.no_grad()
    def symbols(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a file would hold: (residual, scale index, z), all integers in float32."""
        return self._quantize(image, level)[:3]

    def _quantize(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        whitened = self.analysis(image, level)
        z = torch.round(self.hyper_analysis(whitened, level) * self.hyper_gain(level))
        mean = self.mean(z / self.hyper_gain(level), level) * self.gain(level)
        index = self.scale.index(z, level)
        residual = torch.round(whitened * self.gain(level) - mean) * (index > 0)
        return residual, index, z, mean

    @torch.no_grad()
    def evaluate(self, image: Tensor, level: Tensor) -> Output:
        """As `forward`, with rounding throughout, whole scale indices and skipped residuals: what a file would cost."""
        residual, index, z, mean = self._quantize(image, level)
        bits = gaussian_bits(residual, index_to_sigma(index)) * (index > 0)
        picture = self.synthesis((residual + mean) * self.inverse_gain(level), level).clamp(0, 1)
        hyper = self.density(z, level)
        return Output(picture, bits.sum(dim=(1, 2, 3)), hyper.sum(dim=(1, 2, 3)))
