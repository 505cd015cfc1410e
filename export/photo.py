"""The photograph network: a mean-scale hyperprior whose transforms start as an 8x8 block DCT.

Mean-scale hyperprior: Minnen, Ballé, Toderici 2018 (without the context model). Continuous quality by per-channel
gains: Cui et al. 2021. Shapes: image [B, 3, H, W] in 0..1 with H, W multiples of 16; latent y [B, 192, H/8, W/8];
hyper-latent z [B, 64, H/16, W/16].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
#: Prefixes of the parameters on which the latents depend before they are rounded.
ENCODING = ("analysis.", "hyper_analysis.", "log_gain.", "log_hyper_gain.")
#: The latent is coded in phases over every 2 x 2 cells, (row, column) each: later phases see their neighbours.
PHASES: tuple[tuple[tuple[int, int], ...], ...] = (((0, 0),), ((1, 1),), ((0, 1), (1, 0)))
#: Quantization step (in 0..1 pixel units) that suits lambda: about 0.015 / sqrt(lambda) for an orthonormal transform.
STEP_FOR_UNIT_LAMBDA = 0.015


@dataclass(frozen=True)
class PhotoConfig:
    """Sizes of the photo network. The defaults cost about 10 kMAC/pixel to encode and 9 to decode."""

    hyper_channels: int = 64
    hyper_width: int = 192
    analysis_blocks: int = 2
    analysis_expansion: float = 2
    synthesis_blocks: int = 3
    synthesis_expansion: float = 2 / 3
    coarse_width: int = 256
    coarse_blocks: int = 2
    synthesis_coarse_expansion: float = 1.5
    mean_expansion: float = 2 / 3
    lambda_min: float = 0.0004
    lambda_max: float = 0.12

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def lambda_at(self, level: Tensor) -> Tensor:
        """Weight of the distortion (MSE x 255^2) at a level: geometric from lambda_min to lambda_max."""
        return self.lambda_min * (self.lambda_max / self.lambda_min) ** (level / LEVEL_MAX)


def phase_offset(number: int) -> int:
    """How many of the four positions are coded before a phase."""
    return sum(len(phase) for phase in PHASES[:number])


def take_phase(y: Tensor, number: int) -> Tensor:
    """[B, C, 2h, 2w] -> [B, positions * C, h, w]: the latents of one phase, position after position."""
    return torch.cat([y[:, :, row::2, column::2] for row, column in PHASES[number]], dim=1)


def join_phases(parts: list[Tensor]) -> Tensor:
    """Inverse of `take_phase` over all phases."""
    positions = [place for phase in PHASES for place in phase]
    flat = torch.cat(parts, dim=1)
    batch, _, height, width = flat.shape
    cells = flat.reshape(batch, 4, -1, height, width)
    order = [positions.index((row, column)) for row in (0, 1) for column in (0, 1)]
    return nn.functional.pixel_shuffle(cells[:, order].transpose(1, 2).flatten(1, 2), 2)


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
        self.coarse = CoarseBranch(
            CHANNELS, config.coarse_width, config.coarse_blocks, config.synthesis_coarse_expansion
        )
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


class Context(nn.Module):
    """What the phases coded so far tell about the next one: into the state of the mean path, and linearly past it."""

    def __init__(self, width: int, expansion: float, sources: int, targets: int) -> None:
        super().__init__()
        self.sources = sources
        self.enter = nn.Conv2d(sources * CHANNELS, width, 1, bias=False)
        self.block = Block(width, expansion)
        # Per coefficient, from its neighbours: what predicts brightness and edges across cells.
        self.linear = nn.ModuleList(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False) for _ in range(sources * targets)
        )
        for conv in (self.enter, *cast(list[nn.Conv2d], self.linear)):
            nn.init.zeros_(conv.weight)

    def forward(self, state: Tensor, seen: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(state for this phase, linear prediction [B, targets * 192, h, w])."""
        parts = seen.split(CHANNELS, dim=1)
        from_parts = [conv(parts[number % self.sources]) for number, conv in enumerate(self.linear)]
        targets = [
            sum(from_parts[start + 1 : start + self.sources], from_parts[start])
            for start in range(0, len(from_parts), self.sources)
        ]
        return self.block(state + self.enter(seen), level), torch.cat(targets, dim=1)


class MeanNetwork(nn.Module):
    """Hyper-latent (divided by its gain) and earlier phases -> whitened mean of the next phase. Starts at zero."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.hyper_width
        self.enter = nn.Conv2d(config.hyper_channels, width, 1)
        self.act = nn.LeakyReLU(0.1)
        e = config.mean_expansion
        self.blocks = nn.ModuleList(Block(width, e) for _ in range(HYPER_BLOCKS))
        self.contexts = nn.ModuleList(
            Context(width, e, phase_offset(number), len(PHASES[number])) for number in range(1, len(PHASES))
        )
        self.outs = nn.ModuleList(nn.Conv2d(width, len(phase) * CHANNELS, 1) for phase in PHASES)
        for out in cast(list[nn.Conv2d], self.outs):
            nn.init.zeros_(out.weight)
            nn.init.zeros_(cast(Tensor, out.bias))

    def start(self, z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(mean of the first phase [B, 192, h, w], state [B, width, h, w])."""
        x = self.act(self.enter(z))
        for block in self.blocks:
            x = block(x, level)
        return self.outs[0](self.act(x)), x

    def go_on(self, number: int, state: Tensor, seen: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(mean of phase `number`, state), given the whitened residuals of the phases before it, joined in order."""
        state, linear = self.contexts[number - 1](state, seen, level)
        return self.outs[number](self.act(state)) + linear, state


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


@dataclass(frozen=True)
class Phase:
    """One phase of the latent, each [B, positions * 192, h, w]; `symbols` is the rounded residual."""

    residual: Tensor
    symbols: Tensor
    index: Tensor
    mean: Tensor


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
            config.hyper_channels,
            config.hyper_width,
            CHANNELS,
            [len(phase) for phase in PHASES],
            self._scale_index(torch.ones(CHANNELS)),
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

    def forward(self, image: Tensor, level: Tensor, rounded: bool = False) -> Output:
        """Training pass: uniform noise for the rate, rounding for the distortion (Minnen, Singh 2020).

        With `rounded` the rate is that of rounded symbols too, and nothing teaches the parameters of `ENCODING`: noise
        overrates what is nearly always zero, and what decodes need not suffer from it.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not rounded):
            whitened = self.analysis(image, level)
            z = self.hyper_analysis(whitened, level) * self.hyper_gain(level)
            y = whitened * self.gain(level)
        z_decoded = round_ste(z)
        hyper_bits = self.density(z_decoded if rounded else z + torch.rand_like(z) - 0.5, level)
        decoded, latent_bits = [], []
        for part in self._phases(y, z_decoded, level, round_ste):
            coded = part.symbols if rounded else part.residual + torch.rand_like(part.residual) - 0.5
            latent_bits.append(gaussian_bits(coded, index_to_sigma(part.index)).sum(dim=(1, 2, 3)))
            decoded.append(part.symbols + part.mean)
        picture = self.synthesis(join_phases(decoded) * self.inverse_gain(level), level)
        return Output(picture.float(), torch.stack(latent_bits).sum(dim=0), hyper_bits.sum(dim=(1, 2, 3)))

    def _phases(
        self, y: Tensor, z: Tensor, level: Tensor, quantize: Callable[[Tensor], Tensor], whole: bool = False
    ) -> Iterator[Phase]:
        """Predict and quantize phase after phase; with `whole`, scale indices are integers and index 0 is skipped."""
        gain = self.gain(level)
        seen: list[Tensor] = []
        magnitudes: list[Tensor] = []
        for number, phase in enumerate(PHASES):
            repeat = (1, len(phase), 1, 1)
            if number == 0:
                mean, mean_state = self.mean.start(z / self.hyper_gain(level), level)
                with torch.autocast(y.device.type, enabled=False):
                    acc, scale_state = self.scale.start(z.float(), level)
            else:
                mean, mean_state = self.mean.go_on(number, mean_state, torch.cat(seen, dim=1), level)
                with torch.autocast(y.device.type, enabled=False):
                    acc, scale_state = self.scale.go_on(number, scale_state, torch.cat(magnitudes, dim=1))
            mean = mean * gain.repeat(repeat)
            residual = (take_phase(y, number) - mean).float()
            if whole:
                index = self.scale.whole_index(acc, level)
                symbols = quantize(residual) * (index > 0)
            else:
                index = clamp_inward(self.scale.training_index(acc, level), TRAINING_INDEX_MIN, SCALES - 1)
                symbols = quantize(residual)
            yield Phase(residual, symbols, index, mean)
            seen.append(symbols / gain.repeat(repeat))
            magnitudes.append(symbols.detach())

    @torch.no_grad()
    def symbols(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a file would hold: (residual, scale index, z), all integers in float32."""
        residual, index, z, _ = self._quantize(image, level)
        return residual, index, z

    def _quantize(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        whitened = self.analysis(image, level)
        z = torch.round(self.hyper_analysis(whitened, level) * self.hyper_gain(level))
        parts = list(self._phases(whitened * self.gain(level), z, level, torch.round, whole=True))
        residual, index, mean = (
            join_phases([getattr(part, name) for part in parts]) for name in ("symbols", "index", "mean")
        )
        return residual, index, z, mean

    @torch.no_grad()
    def evaluate(self, image: Tensor, level: Tensor) -> Output:
        """As `forward`, with rounding throughout, whole scale indices and skipped residuals: what a file would cost."""
        residual, index, z, mean = self._quantize(image, level)
        bits = gaussian_bits(residual, index_to_sigma(index)) * (index > 0)
        picture = self.synthesis((residual + mean) * self.inverse_gain(level), level).clamp(0, 1)
        hyper = self.density(z, level)
        return Output(picture, bits.sum(dim=(1, 2, 3)), hyper.sum(dim=(1, 2, 3)))
