"""The layers that the families share: items to features, and codes to items, by full layers or by convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.autoencoders.base import Subject
from aez.export.families.base import within

#: Sides are halved until the longer one has at most so many places.
GRID_MAX = 8
#: Full layers: widths at least and at most, where they come from the data's dimension.
_WIDTH_MIN, _WIDTH_MAX = 16, 1024
_CHANNELS_MAX = 64


def usual_layers(numbers: int, latent: int) -> tuple[int, ...]:
    """Widths of the hidden layers for items of so many numbers: 256 and 128 for 784 and a code of 32.

    The power of two that is nearest to a third of the numbers, and half of it; never below the code.
    """
    first = min(max(2 ** round(math.log2(max(numbers / 3, 1))), _WIDTH_MIN), _WIDTH_MAX)
    return max(first, latent), max(first // 2, min(latent, first), _WIDTH_MIN // 2)


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Full layers of these widths, with GELU between them and none at the end."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class DenseBody(nn.Module):
    """Full layers of the widths `layers`, and back by their mirror or by `drawing`.

    `skip` gives the code to every layer of the decoder, so that it cannot be passed over (Dieng et al. 2019, Avoiding
    Latent Variable Collapse with Generative Skip Models).
    """

    def __init__(
        self,
        subject: Subject,
        latent: int,
        layers: Sequence[int] | None = None,
        drawing: Sequence[int] | None = None,
        skip: bool = False,
    ) -> None:
        super().__init__()
        layers = usual_layers(subject.numbers, latent) if layers is None else tuple(layers)
        for width in (*layers, *(drawing or ())):
            within("a layer's width", width, 1, 8192)
        back = tuple(reversed(layers)) if drawing is None else tuple(drawing)
        self.shape = (subject.colours, *subject.shape[:2]) if subject.pictures else subject.shape
        self.skip, self.width = skip, layers[-1] if layers else subject.numbers
        hidden = perceptron((subject.numbers, *layers))
        self.see = nn.Sequential(*hidden, nn.GELU()) if layers else nn.Identity()
        sizes = (latent, *back, subject.numbers)
        more = [0] + [latent if skip else 0] * (len(sizes) - 2)
        self.up = nn.ModuleList(nn.Linear(a + b, c) for a, b, c in zip(sizes, more, sizes[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """Features [batch, width] of unit items."""
        features: Tensor = self.see(x.flatten(1))
        return features

    def draw(self, code: Tensor) -> Tensor:
        """What becomes unit items, of codes [batch, latent]."""
        x: Tensor = self.up[0](code)
        for layer in list(self.up)[1:]:
            x = nn.functional.gelu(x)
            x = layer(torch.cat((x, code), 1) if self.skip else x)
        return cast(Tensor, x.unflatten(1, self.shape))

    @property
    def atoms(self) -> Tensor:
        """Weights [width, latent] of the decoder's first layer: a column for each number of the code."""
        weight = self.up[0].weight
        assert isinstance(weight, Tensor)
        return weight


class ConvBody(nn.Module):
    """Strided convolutions that halve the sides down to at most 8 places, a full layer, and back the same way.

    `channels` at the first stage, doubled at each of the next, at most 64; `hidden` is the width of the full layer.
    """

    def __init__(self, subject: Subject, latent: int, channels: int = 16, hidden: int = 256) -> None:
        super().__init__()
        if not subject.pictures:
            raise InvalidArgument("convolutions are for pictures, and these are vectors; train dense")
        within("channels", channels, 1, 512)
        within("hidden", hidden, 1, 8192)
        self.height, self.width_px = subject.shape[:2]
        stages = max(1, math.ceil(math.log2(max(self.height, self.width_px) / GRID_MAX)))
        unit = 2**stages
        sides = -(-self.height // unit), -(-self.width_px // unit)
        self.added = sides[0] * unit - self.height, sides[1] * unit - self.width_px
        counts = [subject.colours, *(min(channels * 2**stage, _CHANNELS_MAX) for stage in range(stages))]
        self.grid, self.width = (counts[-1], *sides), hidden
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for before, after in pairwise(counts):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.GELU()]
            up = [nn.ConvTranspose2d(after, before, 4, 2, 1), nn.GELU(), *up]
        places = math.prod(self.grid)
        self.see = nn.Sequential(*down, nn.Flatten(), nn.Linear(places, hidden), nn.GELU())
        self.spread = perceptron((latent, hidden, places))
        self.paint = nn.Sequential(nn.GELU(), *up[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Features [batch, hidden] of unit pictures."""
        features: Tensor = self.see(nn.functional.pad(x, (0, self.added[1], 0, self.added[0])))
        return features

    def draw(self, code: Tensor) -> Tensor:
        """What becomes unit pictures, of codes [batch, latent]."""
        x: Tensor = self.paint(self.spread(code).unflatten(1, self.grid))
        return x[:, :, : self.height, : self.width_px]


class GridBody(nn.Module):
    """Convolutions whose features are the code: `features` numbers a colour for each 4 x 4 pixels, twice the picture's.

    Residual convolutions at a quarter of the sides see about 40 pixels around; there is no full layer.
    """

    def __init__(self, subject: Subject, features: int = 32, blocks: int = 2) -> None:
        super().__init__()
        self.height, self.width_px = subject.shape[:2]
        sides = -(-self.height // 4), -(-self.width_px // 4)
        self.added = sides[0] * 4 - self.height, sides[1] * 4 - self.width_px
        features *= subject.colours
        self.grid = (features, *sides)
        self.numbers = self.width = math.prod(self.grid)
        wide = 2 * features
        self.see = nn.Sequential(
            *(nn.Conv2d(subject.colours, features, 4, 2, 1), nn.GELU(), nn.Conv2d(features, wide, 4, 2, 1)),
            *(Residual(wide) for _ in range(blocks)),
            nn.Conv2d(wide, features, 1),
        )
        self.paint = nn.Sequential(
            nn.Conv2d(features, wide, 1),
            *(Residual(wide) for _ in range(blocks)),
            *(nn.GELU(), nn.ConvTranspose2d(wide, features, 4, 2, 1), nn.GELU()),
            nn.ConvTranspose2d(features, subject.colours, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features [batch, numbers] of unit pictures."""
        seen: Tensor = self.see(nn.functional.pad(x, (0, self.added[1], 0, self.added[0])))
        return seen.flatten(1)

    def draw(self, code: Tensor) -> Tensor:
        """What becomes unit pictures, of codes [batch, numbers]."""
        x: Tensor = self.paint(code.unflatten(1, self.grid))
        return x[:, :, : self.height, : self.width_px]


class Residual(nn.Module):
    """A convolution of 3 x 3 that is added to what it sees."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(features, features, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        more: Tensor = self.convolution(nn.functional.gelu(x))
        return x + more


def body_of(
    subject: Subject, latent: int, network: str | None, layers: Sequence[int] | None, usual: str = "dense"
) -> DenseBody | ConvBody:
    """The body that a family stands on: `dense` or `conv`. Raises InvalidArgument."""
    network = network or (usual if subject.pictures else "dense")
    if network == "conv":
        if layers is not None:
            raise InvalidArgument("--layers are widths of full layers, and the network is conv; leave one of them out")
        return ConvBody(subject, latent)
    if network != "dense":
        raise InvalidArgument(f"network {network!r} is unknown; use dense or conv")
    return DenseBody(subject, latent, layers)
