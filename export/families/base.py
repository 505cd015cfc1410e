"""The one interface of everything that learns what normal windows look like.

Guarantees of a family: what it computes from a window does not depend on other windows of the batch; `forward` and
`encode` are deterministic in evaluation mode and export to ONNX; a missing sample counts in no loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.common.losses import mse

Figures = dict[str, float]
#: Largest number of weights: a bundle's member holds 32 MiB.
WEIGHTS_MAX = 8_000_000
#: Of these, the share that the components of a large picture may take.
COMPONENTS_SHARE = 0.8


class Components(NamedTuple):
    """The option that says how many components a family has, how many are usual, and matrices of that width."""

    option: str
    usual: int
    matrices: int

    def fitting(self, numbers: int) -> int:
        """The usual number, or as many as a bundle holds for pictures of so many numbers; at least 1."""
        return max(1, min(self.usual, int(COMPONENTS_SHARE * WEIGHTS_MAX / (self.matrices * numbers))))


class Affine(NamedTuple):
    """A network of two products of flat windows: code = x @ into + offset, what it makes = code @ out + mean."""

    into: Tensor
    offset: Tensor
    out: Tensor
    mean: Tensor


class Family(nn.Module, ABC):
    """An autoencoder over windows.

    x float32 [batch, time, channels] is scaled with 0 where a sample is missing; present, of the same shape, is 1 where
    it was measured and 0 where not. Options of a family are keyword arguments of its constructor.
    """

    #: Name in the registry.
    family: ClassVar[str]
    #: False where `fit` leaves nothing for gradient descent.
    trained: bool = True
    #: Whether the code has a prior, and `divergence` says how far from it one lies.
    has_prior: ClassVar[bool] = False
    #: Whether the distance of its code, which leaves out nothing of the window, is all of the score unless asked.
    distance_alone: ClassVar[bool] = False
    #: What of a family that also takes pictures shrinks with their size.
    components_for_pictures: ClassVar[Components | None] = None

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        if window < 1 or channels < 1:
            raise InvalidArgument(f"a window of {window} samples of {channels} channels is empty; give 1 or more")
        self.window, self.channels = window, channels

    @abstractmethod
    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        """Latent [batch, dimensions] of the windows."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Windows [batch, time, channels] of latents."""

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Reconstruction [batch, time, channels]: what is exported."""
        return self.decode(self.encode(x, present))

    def loss(
        self, x: Tensor, present: Tensor, generator: torch.Generator, progress: float = 1.0
    ) -> tuple[Tensor, Figures]:
        """Loss to minimise and figures to show; `progress` is the share of the training that is done, 0..1.

        Whatever stands where a sample is missing is ignored.
        """
        x = torch.where(present > 0, x, torch.zeros_like(x))
        return self.objective(x, x, present, generator, progress)

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """As `loss`, for a network that sees `seen` (a corrupted copy, perhaps) and has to give `target`."""
        del generator, progress
        error = mse(self(seen, present), target, present)
        return error, {"mse": float(error.detach())}

    def divergence(self, x: Tensor) -> Tensor:  # noqa: ARG002 - those with a prior look at it
        """KL of the code of windows [batch, time, channels] from its prior in nats, [batch].

        Raises InvalidArgument for a family without a prior.
        """
        raise InvalidArgument(f"family {self.family} has no ELBO; use reconstruction or mahalanobis")

    @classmethod
    def options_for_pictures(cls, pixels: int, colours: int) -> dict[str, Any]:
        """Options, by default, of a network for pictures of so many pixels and colours."""
        counted = cls.components_for_pictures
        return {} if counted is None else {counted.option: counted.fitting(pixels * colours)}

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Set from the windows [n, time, channels] what has a closed form: starting weights, or all of them."""

    def affine(self) -> Affine | None:
        """The network as two products, in float64, where it is no more than that, which exports make use of."""
        return None

    def shaped(self, flat: Tensor) -> Tensor:
        """Windows [batch, time, channels] of flat ones [batch, time * channels]."""
        return flat.reshape(-1, self.window, self.channels)

    @property
    def members(self) -> tuple[Family, ...]:
        """The networks whose scores are averaged: this one, unless it is an ensemble."""
        return (self,)

    @property
    def latent(self) -> int:
        """Dimensions of what `encode` gives."""
        with torch.no_grad():
            parameter = next(iter([*self.parameters(), *self.buffers()]))
            empty = torch.zeros(1, self.window, self.channels, device=parameter.device)
            return self.encode(empty, empty).shape[1]

    def check_size(self) -> None:
        """Raise InvalidArgument where the weights would not fit into a bundle."""
        weights = sum(parameter.numel() for parameter in [*self.parameters(), *self.buffers()])
        if weights > WEIGHTS_MAX:
            raise InvalidArgument(
                f"a {self.family} network for {self.window} samples of {self.channels} channels has {weights:,} "
                f"weights, more than {WEIGHTS_MAX:,}; give a shorter window or smaller layers"
            )


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise InvalidArgument for an option outside low..high."""
    if not low <= value <= high:
        raise InvalidArgument(f"{name} {value:g} is outside {low:g}..{high:g}")
