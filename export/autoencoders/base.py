"""The one interface of the autoencoders of pictures and vectors, and what items look like to them.

Guarantees of a family: what it computes from an item does not depend on the other items of the batch; `encode` and
`decode` are deterministic and export to ONNX.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.common.losses import mse
from aez.export.families.base import WEIGHTS_MAX, Figures

#: Of a code, by default: at most so many numbers, and of vectors a quarter of theirs.
CODE, CODE_LEAST, CODE_SHARE = 32, 2, 4


@dataclass(frozen=True)
class Subject:
    """What an item is: a picture of `shape` (height, width) or (height, width, 3), or a vector of (numbers,)."""

    shape: tuple[int, ...]

    @property
    def pictures(self) -> bool:
        return len(self.shape) > 1

    @property
    def numbers(self) -> int:
        """Of an item."""
        return math.prod(self.shape)

    @property
    def colours(self) -> int:
        """1 or 3 of pictures."""
        return 3 if len(self.shape) == 3 else 1

    @property
    def usual_code(self) -> int:
        """Numbers of a code where nobody says them."""
        return CODE if self.pictures else min(CODE, max(CODE_LEAST, self.numbers // CODE_SHARE), self.numbers)


class Network(nn.Module, ABC):
    """An autoencoder of items.

    Raw items are float32 [batch, *shape] in the data's own units. Unit items, which the losses see, are pictures
    [batch, colours, height, width] in 0..1, or vectors [batch, numbers] of mean 0 and deviation 1. Options of a family
    are keyword arguments of its constructor.
    """

    #: Name in the registry.
    family: ClassVar[str]
    #: False where `fit` leaves nothing for gradient descent.
    trained: ClassVar[bool] = True
    #: Whether codes are drawn from N(0, 1).
    has_prior: ClassVar[bool] = False
    #: Whether something keeps an overcomplete code from copying its input.
    regularised: ClassVar[bool] = False
    #: Noise and amount that it learns to remove.
    removes: dict[str, Any] | None = None
    low: Tensor
    span: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, subject: Subject, latent: int | None = None) -> None:
        super().__init__()
        self.subject, self.latent = subject, latent or subject.usual_code
        shape = () if subject.pictures else subject.shape
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("span", torch.ones(shape))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Codes [batch, latent] of unit items."""

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """Unit items of codes."""

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Mean and log-variance [batch, latent] of the code of unit items, where the family has them."""
        del x
        return None

    def objective(self, x: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """Loss of unit items to minimise and figures to show; `progress` is the share of the training done, 0..1."""
        del generator, progress
        error = mse(self.decode(self.encode(x)), x)
        return error, {"mse": float(error.detach())}

    def forward(self, raw: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """`objective` of raw items: what the trainer calls."""
        return self.objective(self.unit(raw), generator, progress)

    def unit(self, raw: Tensor) -> Tensor:
        """Unit items of raw ones."""
        x = (raw - self.low) / self.span
        if not self.subject.pictures:
            return x
        return x.permute(0, 3, 1, 2) if x.ndim == 4 else x[:, None]

    def raw(self, x: Tensor) -> Tensor:
        """Raw items of unit ones."""
        if self.subject.pictures:
            x = x.permute(0, 2, 3, 1) if self.subject.colours == 3 else x[:, 0]
        return x * self.span + self.low

    def seen(self, x: Tensor) -> Tensor:
        """Unit items as layers like them: of mean 0 and deviation 1."""
        return (x - self.centre) / self.spread

    def shown(self, logits: Tensor) -> Tensor:
        """Unit items of what the last layer gives: pictures stay in 0..1."""
        return torch.sigmoid(logits.float()) if self.subject.pictures else logits.float()

    @torch.no_grad()
    def measure(self, raw: Tensor, highest: float | None) -> None:
        """Take the units from raw items: `highest` is the upper end of pictures' range."""
        if highest is not None:
            self.span.fill_(highest)
            x = self.unit(raw)
            self.centre.copy_(x.mean())
            self.spread.copy_(x.std().clamp_min(1e-3))
            return
        self.low.copy_(raw.mean(0))
        deviation = raw.std(0, correction=0)
        constant = deviation <= 1e-6 * raw.abs().amax(0).clamp_min(1e-30)
        self.span.copy_(torch.where(constant, torch.ones_like(deviation), deviation))

    def fit(self, x: Tensor) -> None:
        """Set from unit items what has a closed form."""

    def notices(self) -> list[str]:
        """What the user should know before training, a sentence each."""
        numbers = self.subject.numbers
        if self.latent < numbers or self.regularised:
            return []
        said = (
            f"a code of {self.latent:,} numbers for items of {numbers:,} is overcomplete, and nothing keeps the "
            "network from copying its input; give a smaller --latent, or train sparse, denoising or contractive"
        )
        return [said]

    def check_size(self) -> None:
        """Raise InvalidArgument where the weights would not fit into a bundle."""
        weights = sum(parameter.numel() for parameter in [*self.parameters(), *self.buffers()])
        if weights > WEIGHTS_MAX:
            raise InvalidArgument(
                f"a {self.family} network for {'x'.join(map(str, self.subject.shape))} numbers has {weights:,} "
                f"weights, more than {WEIGHTS_MAX:,}; give smaller --layers or a smaller --size"
            )


class Bodied(Network):
    """A network whose encoder and decoder are `body`, with a linear layer from its features to the code."""

    body: nn.Module

    def features(self, x: Tensor) -> Tensor:
        """What the encoder's last hidden layer gives, [batch, width]."""
        return cast(Tensor, self.body(self.seen(x)))

    def decode(self, code: Tensor) -> Tensor:
        return self.shown(cast(Tensor, cast(Any, self.body).draw(code)))
