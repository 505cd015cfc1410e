"""Mean-scale hyperprior over a latent at 1/8 of a picture's size, whatever transforms make and take that latent.

Mean-scale hyperprior: Minnen, Ballé, Toderici 2018, with a context over three phases in place of the serial one.
Continuous quality by per-channel gains: Cui et al. 2021. Shapes: image [B, 3, H, W] in 0..1 with H, W multiples of the
alignment, 32 or 16; latent [B, C, H/8, W/8]; hyper-latent z [B, hyper_channels, H/32, W/32] or [.., H/16, W/16].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from aez.codec.entropy.quality import KNOTS, LEVEL_MAX
from aez.export.hyperprior.integer import SCALES, TRAINING_INDEX_MIN, ScaleNetwork, index_to_sigma, sigma_to_index
from aez.export.hyperprior.layers import Block, Knots, clamp_inward, interpolate, round_ste
from aez.export.hyperprior.ports import Port, Sides

STRIDE = 8
#: Pixels of a cell of 2 x 2 latents, on whose grid means and scales are predicted.
CELL = 2 * STRIDE
HYPER_BLOCKS = 2
#: The latent is coded in phases over every 2 x 2 cells, (row, column) each: later phases see their neighbours.
PHASES: tuple[tuple[tuple[int, int], ...], ...] = (((0, 0),), ((1, 1),), ((0, 1), (1, 0)))
#: Quantization step (in 0..1 pixel units) that suits lambda: about 0.015 / sqrt(lambda) for an orthonormal transform.
STEP_FOR_UNIT_LAMBDA = 0.015


@dataclass(frozen=True)
class HyperConfig(ABC):
    """Sizes of the hyperprior, and the range of lambdas. Subclasses add those of the transforms.

    The hyper-latent lies at 1 / `hyper_stride` of the picture's size, 16 or 32. The hyper-analysis, which decoding
    does without, is as wide as the rest where its width is None. `context_blocks` are those of each later phase; with
    0 it has one that sees no magnitudes, and zeros lie beyond the edges.
    """

    hyper_stride: int = 32
    context_blocks: int = 2
    hyper_channels: int = 64
    hyper_width: int = 192
    hyper_analysis_width: int | None = None
    mean_expansion: float = 2 / 3
    lambda_min: float = 0.0004
    lambda_max: float = 0.23

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the latent."""

    @abstractmethod
    def transforms(self, y: Port, z: Port) -> dict[str, Sides]:
        """Inputs and outputs of the family's own graphs by name, which make and take the latents `y` and `z`."""

    @property
    def alignment(self) -> int:
        """Heights and widths of pictures are multiples of it."""
        return max(self.hyper_stride, CELL)

    @property
    def edges(self) -> Literal["zeros", "replicate"]:
        """What lies beyond a tile for the networks that predict: its outermost values again, or zeros."""
        return "replicate" if self.context_blocks else "zeros"

    @property
    def features(self) -> int:
        """Channels that the hyper-analysis sees."""
        return self.channels

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


class HyperAnalysis(nn.Module):
    """What the analysis gives -> hyper-latent before rounding (times the hyper gain)."""

    def __init__(self, config: HyperConfig) -> None:
        super().__init__()
        width = config.hyper_width if config.hyper_analysis_width is None else config.hyper_analysis_width
        self.down = nn.Conv2d(config.features, width, 2, stride=2)
        self.act = nn.LeakyReLU(0.1)
        self.blocks = nn.ModuleList(Block(width, 2) for _ in range(HYPER_BLOCKS))
        deeper = config.hyper_stride > CELL
        self.deeper = nn.Conv2d(width, width, 2, stride=2) if deeper else None
        self.deep_blocks = nn.ModuleList(Block(width, 2) for _ in range(HYPER_BLOCKS if deeper else 0))
        self.out = nn.Conv2d(width, config.hyper_channels, 1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = self.act(self.down(x))
        for block in self.blocks:
            x = block(x, level)
        if self.deeper is not None:
            x = self.act(self.deeper(x))
        for block in self.deep_blocks:
            x = block(x, level)
        scaled: Tensor = 2 * self.out(x)
        return scaled


class Context(nn.Module):
    """What the phases coded so far tell about the next one: into the state of the mean path, and linearly past it."""

    def __init__(self, config: HyperConfig, sources: int, targets: int) -> None:
        super().__init__()
        channels, width, edges = config.channels, config.hyper_width, config.edges
        self.channels, self.sources = channels, sources
        self.enter = nn.Conv2d(sources * channels, width, 1, bias=False)
        self.enter_size = nn.Conv2d(sources * channels, width, 1, bias=False) if config.context_blocks else None
        blocks = [Block(width, config.mean_expansion, edges=edges) for _ in range(max(1, config.context_blocks))]
        self.block, self.more = blocks[0], nn.ModuleList(blocks[1:])
        # Per coefficient, from its neighbours: what predicts brightness and edges across cells.
        self.linear = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False, padding_mode=edges)
            for _ in range(sources * targets)
        )
        enter = [conv for conv in (self.enter, self.enter_size) if conv is not None]
        for conv in (*enter, *cast(list[nn.Conv2d], self.linear)):
            nn.init.zeros_(conv.weight)

    def forward(self, state: Tensor, seen: Tensor, size: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(state for this phase, linear prediction [B, targets * channels, h, w]).

        `seen` are whitened residuals of the phases before, `size` their magnitudes in steps.
        """
        parts = seen.split(self.channels, dim=1)
        from_parts = [conv(parts[number % self.sources]) for number, conv in enumerate(self.linear)]
        targets = [
            sum(from_parts[start + 1 : start + self.sources], from_parts[start])
            for start in range(0, len(from_parts), self.sources)
        ]
        state = state + self.enter(seen)
        if self.enter_size is not None:
            state = state + self.enter_size(torch.log2(1 + size))
        for block in (self.block, *self.more):
            state = block(state, level)
        return state, torch.cat(targets, dim=1)


class MeanNetwork(nn.Module):
    """Hyper-latent (divided by its gain) and earlier phases -> whitened mean of the next phase. Starts at zero."""

    def __init__(self, config: HyperConfig) -> None:
        super().__init__()
        width = config.hyper_width
        self.enter = nn.Conv2d(config.hyper_channels, width, 1)
        self.act = nn.LeakyReLU(0.1)
        e = config.mean_expansion
        self.blocks = nn.ModuleList(Block(width, e, edges=config.edges) for _ in range(HYPER_BLOCKS))
        deeper = config.hyper_stride > CELL
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2) if deeper else None
        self.fine_blocks = nn.ModuleList(
            Block(width, e, edges=config.edges) for _ in range(HYPER_BLOCKS if deeper else 0)
        )
        self.contexts = nn.ModuleList(
            Context(config, phase_offset(number), len(PHASES[number])) for number in range(1, len(PHASES))
        )
        self.outs = nn.ModuleList(nn.Conv2d(width, len(phase) * config.channels, 1) for phase in PHASES)
        for out in cast(list[nn.Conv2d], self.outs):
            nn.init.zeros_(out.weight)
            nn.init.zeros_(cast(Tensor, out.bias))

    def start(self, z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(mean of the first phase [B, channels, h, w], state [B, width, h, w])."""
        x = self.act(self.enter(z))
        for block in self.blocks:
            x = block(x, level)
        if self.up is not None:
            x = self.up(self.act(x))
        for block in self.fine_blocks:
            x = block(x, level)
        return self.outs[0](self.act(x)), x

    def go_on(self, number: int, state: Tensor, seen: Tensor, size: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(mean of phase `number`, state), given the residuals of the phases before it, joined in order.

        `seen` are whitened, `size` magnitudes in steps.
        """
        state, linear = self.contexts[number - 1](state, seen, size, level)
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
    """One phase of the latent, each [B, positions * channels, h, w]; `symbols` is the rounded residual."""

    residual: Tensor
    symbols: Tensor
    index: Tensor
    mean: Tensor


class Output(NamedTuple):
    """What one training pass yields. `image` is not clamped; the bits are sums per picture, [B]."""

    image: Tensor
    latent_bits: Tensor
    hyper_bits: Tensor


class HyperpriorNetwork(nn.Module, ABC):
    """A codec's network but for its transforms, which a subclass adds before it calls `calibrate_scales`.

    `forward` is the training pass, `export_graphs` cuts the network into ONNX graphs.
    """

    #: Name of the family in bundles.
    family: ClassVar[str]
    config: HyperConfig

    def __init__(self, config: HyperConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.hyper_analysis = HyperAnalysis(config)
        self.mean = MeanNetwork(config)
        self.density = HyperDensity(config.hyper_channels)
        knots = torch.linspace(0, LEVEL_MAX, KNOTS)
        weight = config.lambda_at(knots)
        log_gain = 0.5 * torch.log(weight) - math.log(STEP_FOR_UNIT_LAMBDA)
        self.log_gain = Knots(log_gain[:, None].repeat(1, channels))
        self.log_inverse_gain = Knots(torch.zeros(KNOTS, channels))
        hyper = 0.25 * torch.log(weight / weight[KNOTS // 2])
        self.log_hyper_gain = Knots(hyper[:, None].repeat(1, config.hyper_channels))
        self.scale = ScaleNetwork(
            config.hyper_channels,
            config.hyper_width,
            channels,
            [len(phase) for phase in PHASES],
            self._scale_index(torch.ones(channels)),
            upsampled=config.hyper_stride > CELL,
            context_blocks=config.context_blocks,
        )

    @abstractmethod
    def whitened(self, image: Tensor, level: Tensor) -> Tensor:
        """What the analysis makes of images, [B, features, H/8, W/8], of about unit variance."""

    def coded(self, whitened: Tensor) -> Tensor:
        """The part of `whitened` that is the latent [B, channels, H/8, W/8]: all of it unless a subclass says less."""
        return whitened

    @abstractmethod
    def picture(self, whitened: Tensor, level: Tensor) -> Tensor:
        """Images [B, 3, H, W], not clamped, of what is coded of `whitened`."""

    @abstractmethod
    def transform_parts(self) -> dict[str, nn.Module]:
        """The modules behind the graphs that `config.transforms` describes, by the same names."""

    def rounded_latents(self, whitened: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """y in quantization steps, and z rounded, of what an analysis gives."""
        z = torch.round(self.hyper_analysis(whitened, level) * self.hyper_gain(level))
        return self.coded(whitened) * self.gain(level), z

    @abstractmethod
    def latent_std(self) -> Tensor:
        """[1, channels, 1, 1] or a number: one of the latent in the units (of a pixel, 0..1) that steps are set for."""

    def _scale_index(self, std: Tensor) -> Tensor:
        return sigma_to_index(torch.exp(self.log_gain.values.detach()) * std).clamp(TRAINING_INDEX_MIN, SCALES - 1)

    @torch.no_grad()
    def calibrate_scales(self, std: Tensor) -> None:
        """Start the scales from the latent's standard deviations [channels] in pixel units."""
        self.scale.offset.copy_(self._scale_index(std) + 0.5)

    def gain(self, level: Tensor) -> Tensor:
        """Whitened latent -> units of the quantization step, [B, channels, 1, 1]."""
        return torch.exp(self.log_gain(level)) * self.latent_std()

    def inverse_gain(self, level: Tensor) -> Tensor:
        """Units of the quantization step -> whitened latent for the synthesis."""
        return torch.exp(self.log_inverse_gain(level)) / self.gain(level)

    def hyper_gain(self, level: Tensor) -> Tensor:
        return torch.exp(self.log_hyper_gain(level))

    def forward(self, image: Tensor, level: Tensor, rounded: bool = False) -> Output:
        """Training pass: uniform noise for the rate, rounding for the distortion (Minnen, Singh 2020).

        With `rounded` the rate is that of rounded symbols too, and nothing teaches what encodes: noise overrates what
        is nearly always zero, and what decodes need not suffer from it.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not rounded):
            whitened = self.whitened(image, level)
            z = self.hyper_analysis(whitened, level) * self.hyper_gain(level)
            y = self.coded(whitened) * self.gain(level)
        decoded, latent_bits, hyper_bits = self._code(y, z, level, rounded)
        picture = self.picture(decoded * self.inverse_gain(level), level)
        return Output(picture.float(), latent_bits, hyper_bits)

    def code_frozen(self, whitened: Tensor, level: Tensor, rounded: bool) -> tuple[Tensor, Tensor, Tensor]:
        """(bits of the latent, of the hyper-latent, distortion), each [B], of what an analysis gave.

        The distortion is that of the latent where the transforms keep lengths, as MSE x 255^2 of three channels.
        """
        z = self.hyper_analysis(whitened, level) * self.hyper_gain(level)
        y = self.coded(whitened) * self.gain(level)
        decoded, latent_bits, hyper_bits = self._code(y, z, level, rounded)
        step = 255 * torch.exp(-self.log_gain(level))
        error = ((y - decoded) * step).square().sum(dim=(1, 2, 3))
        return latent_bits, hyper_bits, error / (3 * STRIDE**2 * y.shape[2] * y.shape[3])

    def _code(self, y: Tensor, z: Tensor, level: Tensor, rounded: bool) -> tuple[Tensor, Tensor, Tensor]:
        """(y as decoded, its bits, the bits of z), the bits per picture [B]."""
        z_decoded = round_ste(z)
        hyper_bits = self.density(z_decoded if rounded else z + torch.rand_like(z) - 0.5, level)
        decoded, latent_bits = [], []
        for part in self._phases(y, z_decoded, level, round_ste):
            coded = part.symbols if rounded else part.residual + torch.rand_like(part.residual) - 0.5
            latent_bits.append(gaussian_bits(coded, index_to_sigma(part.index)).sum(dim=(1, 2, 3)))
            decoded.append(part.symbols + part.mean)
        return join_phases(decoded), torch.stack(latent_bits).sum(dim=0), hyper_bits.sum(dim=(1, 2, 3))

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
                symbols_before = torch.cat(magnitudes, dim=1)
                mean, mean_state = self.mean.go_on(
                    number, mean_state, torch.cat(seen, dim=1), symbols_before.abs(), level
                )
                with torch.autocast(y.device.type, enabled=False):
                    acc, scale_state = self.scale.go_on(number, scale_state, symbols_before)
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

    def decoded_latent(self, image: Tensor, level: Tensor) -> Tensor:
        """What a file gives the synthesis, whitened, [B, channels, H/8, W/8]."""
        residual, _, _, mean = self._quantize(image, level)
        return (residual + mean) * self.inverse_gain(level)

    def _quantize(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        whitened = self.whitened(image, level)
        z = torch.round(self.hyper_analysis(whitened, level) * self.hyper_gain(level))
        parts = list(self._phases(self.coded(whitened) * self.gain(level), z, level, torch.round, whole=True))
        residual, index, mean = (
            join_phases([getattr(part, name) for part in parts]) for name in ("symbols", "index", "mean")
        )
        return residual, index, z, mean

    @torch.no_grad()
    def evaluate(self, image: Tensor, level: Tensor) -> Output:
        """As `forward`, with rounding throughout, whole scale indices and skipped residuals: what a file would cost."""
        residual, index, z, mean = self._quantize(image, level)
        bits = gaussian_bits(residual, index_to_sigma(index)) * (index > 0)
        picture = self.picture((residual + mean) * self.inverse_gain(level), level).clamp(0, 1)
        hyper = self.density(z, level)
        return Output(picture, bits.sum(dim=(1, 2, 3)), hyper.sum(dim=(1, 2, 3)))
