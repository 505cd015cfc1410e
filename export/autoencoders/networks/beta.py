"""Beta-variational autoencoders: the divergence at a price, so that each number of the code means one thing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from aez.export.autoencoders.base import Subject
from aez.export.autoencoders.networks.variational import Variational
from aez.export.families.base import within


class Beta(Variational):
    """As variational, with the divergence times `beta` (Higgins et al. 2017, beta-VAE).

    Each number's first `free` nats cost nothing (Kingma et al. 2016). With a Gaussian likelihood the noise is learned,
    and would undo any beta; it is therefore held at `noise`, a deviation of unit items.
    """

    family: ClassVar[str] = "beta"

    def __init__(
        self,
        subject: Subject,
        *,
        latent: int | None = None,
        layers: Sequence[int] | None = None,
        network: str | None = None,
        likelihood: str = "gaussian",
        binarise: bool = False,
        skip: bool = False,
        drawing: Sequence[int] | None = None,
        warm: float = 0.3,
        beta: float = 4.0,
        free: float = 0.0,
        noise: float = 0.2,
    ) -> None:
        super().__init__(
            subject,
            latent=latent,
            layers=layers,
            network=network,
            likelihood=likelihood,
            binarise=binarise,
            skip=skip,
            drawing=drawing,
            warm=warm,
        )
        within("beta", beta, 0, 1000)
        within("free", free, 0, 100)
        within("noise", noise, 0.01, 10)
        self.beta, self.free = beta, free
        self.log_noise.requires_grad_(False).fill_(2 * math.log(noise))
