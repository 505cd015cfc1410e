"""Variational autoencoders: VAE, and beta-VAE by its weight, with annealing and free bits."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.export.common.losses import gaussian_kl, gaussian_nll, kl_weight, mse, negative_elbo, reparameterise
from aez.export.families.base import Components, Figures, within
from aez.export.families.layers import Compressed, Compression, correction, select_first

#: Log-variances stay within these, so that no sample or likelihood overflows.
LOG_VARIANCE_MIN, LOG_VARIANCE_MAX = -12.0, 6.0


class Variational(Compressed):
    """A Gaussian code of `latent` numbers with a standard normal prior; each channel's noise is learned.

    `beta` weighs the divergence (1: VAE; Higgins et al. 2017), over the first `warm` of the run it rises from 0 (Bowman
    et al. 2016), and each dimension's first `free` nats cost nothing (Kingma et al. 2016). What is exported decodes the
    mean of the code; `encode` gives that mean.
    """

    family: ClassVar[str] = "variational"
    has_prior = True
    components_for_pictures = Components("rank", 64, matrices=2)

    def __init__(
        self,
        window: int,
        channels: int,
        *,
        latent: int = 16,
        rank: int = 64,
        hidden: int = 128,
        beta: float = 1.0,
        warm: float = 0.3,
        free: float = 0.05,
    ) -> None:
        super().__init__(window, channels)
        within("latent", latent, 1, 4096)
        within("rank", rank, 1, 4096)
        within("hidden", hidden, 1, 4096)
        within("beta", beta, 0, 1000)
        within("warm", warm, 0, 1)
        within("free", free, 0, 100)
        self.beta, self.warm, self.free = beta, warm, free
        self.compression = Compression(window * channels, rank)
        rank, self.size = self.compression.rank, min(latent, self.compression.rank)
        self.mean, self.mean_more = nn.Linear(rank, self.size), correction(rank, hidden, self.size)
        self.spread = nn.Sequential(nn.Linear(rank, hidden), nn.GELU(), nn.Linear(hidden, self.size))
        self.up, self.up_more = nn.Linear(self.size, rank), correction(self.size, hidden, rank)
        self.log_noise = nn.Parameter(torch.zeros(channels))
        select_first(self.mean)
        select_first(self.up)
        nn.init.constant_(cast(nn.Linear, self.spread[-1]).bias, -3.0)
        self.check_size()

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        return self._mean(self.compression(x.flatten(1)))

    def decode(self, latent: Tensor) -> Tensor:
        return self.shaped(self.compression.back(self.up(latent) + self.up_more(latent)))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [batch, latent] of the code of windows."""
        features = self.compression(x.flatten(1))
        log_variance = cast(Tensor, self.spread(features)).clamp(LOG_VARIANCE_MIN, LOG_VARIANCE_MAX)
        return self._mean(features), log_variance

    def divergence(self, x: Tensor) -> Tensor:
        """KL of the code of windows [batch, time, channels] from the prior in nats, [batch]: its share of the ELBO."""
        return gaussian_kl(*self.posterior(x)).sum(1)

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """Negative ELBO per sample of the window, in nats."""
        mean, log_variance = self.posterior(seen)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        reconstruction = self.decode(reparameterise(mean, torch.exp(log_variance / 2), noise))
        divergence = gaussian_kl(mean, log_variance)
        log_noise = self.log_noise.clamp(LOG_VARIANCE_MIN, LOG_VARIANCE_MAX)
        nll = gaussian_nll(reconstruction, target, log_noise, present)
        weight = kl_weight(progress, self.beta, self.warm)
        loss = negative_elbo(nll, divergence, weight, self.free) / (self.window * self.channels)
        error = mse(reconstruction.detach(), target, present)
        return loss, {"mse": float(error), "kl": float(divergence.detach().sum(1).mean())}

    def _mean(self, features: Tensor) -> Tensor:
        mean: Tensor = self.mean(features) + self.mean_more(features)
        return mean
