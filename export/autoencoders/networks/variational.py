"""Variational autoencoders: a Gaussian code, and an evidence lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.autoencoders.base import Bodied, Subject
from aez.export.autoencoders.layers import ConvBody, DenseBody
from aez.export.common.losses import (
    bce_terms,
    gaussian_kl,
    gaussian_nll,
    importance_weighted_bound,
    kl_weight,
    mse,
    negative_elbo,
    reparameterise,
)
from aez.export.families.base import Figures, within

#: Log-variances stay within these, so that no sample or likelihood overflows.
LOG_VARIANCE_MIN, LOG_VARIANCE_MAX = -12.0, 6.0
LIKELIHOODS = ("gaussian", "bernoulli")
#: Numbers of a code where nobody says them, and layers of full width.
CODE = 16
#: A unit is active when its mean varies more than this over the items (Burda et al. 2016).
ACTIVE = 0.01
_LN_2_PI = 1.8378770664093453


class Variational(Bodied):
    """A Gaussian code with a standard normal prior (Kingma, Welling 2014, Auto-Encoding Variational Bayes).

    `likelihood`: `gaussian`, a squared error whose noise is learned (Rybkin et al. 2021), or `bernoulli`, a binary
    cross-entropy for pictures; `binarise` draws black and white pixels anew at each step (Salakhutdinov, Murray 2008).
    Against collapse: `skip` gives the code to every layer of the decoder (Dieng et al. 2019), `drawing` are widths of a
    weaker decoder, `warm` is the share of the run in which the divergence's weight rises from 0 (Bowman et al. 2016).
    """

    family: ClassVar[str] = "variational"
    has_prior: ClassVar[bool] = True
    regularised: ClassVar[bool] = True
    beta, free = 1.0, 0.0

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
        warm: float = 0.1,
    ) -> None:
        super().__init__(subject, latent or min(CODE, subject.usual_code))
        if likelihood not in LIKELIHOODS:
            raise InvalidArgument(f"likelihood {likelihood!r} is unknown; use {' or '.join(LIKELIHOODS)}")
        if likelihood == "bernoulli" and not subject.pictures:
            raise InvalidArgument("the Bernoulli likelihood is for pictures in 0..1; vectors have the Gaussian one")
        if binarise and likelihood != "bernoulli":
            raise InvalidArgument("black and white pixels have the Bernoulli likelihood; give --likelihood bernoulli")
        within("warm", warm, 0, 1)
        self.likelihood, self.binarise, self.warm = likelihood, binarise, warm
        if network == "conv":
            if skip or drawing or layers:
                raise InvalidArgument(
                    "--layers, --skip and a weaker decoder are of full layers; leave out --network conv"
                )
            self.body: DenseBody | ConvBody = ConvBody(subject, self.latent)
        else:
            self.body = DenseBody(subject, self.latent, layers, drawing, skip)
        self.mean = nn.Linear(self.body.width, self.latent)
        self.spread_of_code = nn.Linear(self.body.width, self.latent)
        self.log_noise = nn.Parameter(torch.full((), -2.0))
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        log_variance = cast(Tensor, self.spread_of_code(features)).float()
        return cast(Tensor, self.mean(features)).float(), log_variance.clamp(LOG_VARIANCE_MIN, LOG_VARIANCE_MAX)

    def objective(self, x: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """Negative ELBO per number of the item, in nats."""
        x = self.binarised(x, generator)
        mean, log_variance = self.posterior(x)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        made = self.decode(reparameterise(mean, torch.exp(log_variance / 2), noise))
        divergence = gaussian_kl(mean, log_variance)
        weight = kl_weight(progress, self.beta, self.warm)
        loss = negative_elbo(self.nll(made, x), divergence, weight, self.free) / self.subject.numbers
        error = mse(made.detach(), x)
        return loss, {"mse": float(error), "kl": float(divergence.detach().sum(1).mean())}

    def binarised(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Black and white pixels, each white with the probability of its level, where that is asked for."""
        if not self.binarise:
            return x
        return (torch.rand(x.shape, generator=generator).to(x.device) < x).float()

    def nll(self, made: Tensor, x: Tensor) -> Tensor:
        """-ln p(x | z) of unit items given what was made of the code, [batch] in nats; of the noise without ln 2 pi."""
        if self.likelihood == "bernoulli":
            return bce_terms(made, x).flatten(1).sum(1)
        flat, target = made.flatten(1)[:, None], x.flatten(1)[:, None]
        log_noise = self.log_noise.clamp(LOG_VARIANCE_MIN, LOG_VARIANCE_MAX)
        return gaussian_nll(flat, target, log_noise, torch.ones_like(target))

    @torch.no_grad()
    def log_weights(self, x: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """ln p(x, z) - ln q(z | x) of `draws` codes of each unit item, [draws, batch] in nats."""
        mean, log_variance = self.posterior(x)
        found = []
        for _ in range(draws):
            noise = torch.randn(mean.shape, generator=generator)
            code = reparameterise(mean, torch.exp(log_variance / 2), noise)
            prior = -code.square().sum(1) / 2
            taken = -(noise.square() + log_variance).sum(1) / 2
            found.append(prior - taken - self.nll(self.decode(code), x) - self._constant)
        return torch.stack(found)

    def bounds(self, x: Tensor, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(ELBO, importance-weighted bound) of unit items by so many draws, each [batch] in nats."""
        weights = self.log_weights(self.binarised(x, generator), draws, generator)
        return weights.mean(0), importance_weighted_bound(weights)

    @property
    def _constant(self) -> float:
        return 0.0 if self.likelihood == "bernoulli" else self.subject.numbers * _LN_2_PI / 2


def active_units(means: Tensor) -> int:
    """How many numbers of codes' means [n, latent] vary over the items by a variance above 0.01."""
    return int((means.var(0, correction=0) > ACTIVE).sum())
