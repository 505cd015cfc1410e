"""Losses of the networks that learn normal windows, each with its formula and source.

Windows are float32 [batch, time, channels]; `present` of the same shape is 1 where a sample was measured and 0 where it
is missing, and missing samples count in no mean. Everything returns a scalar unless it says otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Probabilities are kept this far from 0 and 1, as their logarithm is taken.
MARGIN = 1e-6


def mse(reconstruction: Tensor, target: Tensor, present: Tensor | None = None) -> Tensor:
    """Mean squared error, mean((r - x)^2) over what is present."""
    return masked_mean((reconstruction - target).square(), present)


def bce(probability: Tensor, target: Tensor, present: Tensor | None = None) -> Tensor:
    """Binary cross-entropy in nats, mean(-x ln p - (1 - x) ln(1 - p)), for targets and probabilities in 0..1.

    The negative log-likelihood of Bernoulli variables (Bishop 2006, Pattern Recognition and Machine Learning, 4.90);
    for targets between 0 and 1 its least value is their entropy, not 0.
    """
    return masked_mean(bce_terms(probability, target), present)


def bce_terms(probability: Tensor, target: Tensor) -> Tensor:
    """What `bce` is the mean of, shape of the arguments: -x ln p - (1 - x) ln(1 - p)."""
    p = probability.clamp(MARGIN, 1 - MARGIN)
    return -target * torch.log(p) - (1 - target) * torch.log1p(-p)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, 1)) in nats per item and dimension: (m^2 + s^2 - 1 - ln s^2) / 2, shape of the arguments.

    Kingma, Welling 2014, Auto-Encoding Variational Bayes, appendix B; the divergence of an item is the sum over its
    dimensions.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def free_bits(divergence: Tensor, least: float) -> Tensor:
    """Sum over the dimensions of max(least, mean over the batch of KL) for `divergence` [batch, dimensions] in nats.

    A dimension below `least` nats costs nothing more, so that it is not switched off early (Kingma et al. 2016,
    Improved Variational Inference with Inverse Autoregressive Flow, equation 15).
    """
    return divergence.mean(0).clamp_min(least).sum()


def kl_weight(progress: float, beta: float = 1.0, warm: float = 0.3) -> float:
    """Weight of the divergence: linear from 0 up to `beta` over the first `warm` of the run (progress 0..1).

    Annealing: Bowman et al. 2016, Generating Sentences from a Continuous Space; beta: Higgins et al. 2017, beta-VAE.
    """
    return beta * min(progress / warm, 1.0) if warm > 0 else beta


def reparameterise(mean: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """A sample m + s * e with noise e ~ N(0, 1), differentiable in m and s (Kingma, Welling 2014)."""
    return mean + deviation * noise


def gaussian_nll(reconstruction: Tensor, target: Tensor, log_noise: Tensor, present: Tensor) -> Tensor:
    """-ln N(x; r, v) without its constant, sum over a window of (ln v + (x - r)^2 / v) / 2 in nats, [batch].

    `log_noise` = ln v broadcasts against the windows; a learned v needs no hand-set weight between reconstruction and
    divergence (Rybkin, Daniilidis, Levine 2021, Simple and Effective VAE Training with Calibrated Decoders).
    """
    terms = (log_noise + (reconstruction - target).square() * torch.exp(-log_noise)) / 2
    return (terms * present).sum(dim=(1, 2))


def negative_elbo(nll: Tensor, divergence: Tensor, weight: float = 1.0, least: float = 0.0) -> Tensor:
    """-ELBO = E[-ln p(x|z)] + weight * KL(q(z|x) || p(z)), mean over the batch, in nats.

    `nll` [batch], `divergence` [batch, dimensions]; `least` as in `free_bits` (0: plain sums).
    """
    return nll.mean() + weight * free_bits(divergence, least)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """ln of the mean weight p(x, z) / q(z | x) of k draws, [n] in nats from ln weights [k, n].

    A lower bound of ln p(x) that rises with k from the ELBO on (Burda, Grosse, Salakhutdinov 2016, Importance Weighted
    Autoencoders, equation 8).
    """
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def sparsity_kl(activation: Tensor, rho: float) -> Tensor:
    """KL between Bernoulli(rho) and Bernoulli(activation), shape of `activation` (mean activations in 0..1).

    rho ln(rho / a) + (1 - rho) ln((1 - rho) / (1 - a)) (Ng 2011, Sparse Autoencoder, CS294A lecture notes).
    """
    a = activation.clamp(MARGIN, 1 - MARGIN)
    return rho * (math.log(rho) - torch.log(a)) + (1 - rho) * (math.log(1 - rho) - torch.log1p(-a))


def contractive_penalty(latent: Tensor, x: Tensor, generator: torch.Generator, probes: int = 1) -> Tensor:
    """Squared Frobenius norm of the encoder's Jacobian d latent / d x, mean over the batch.

    ||J||_F^2 = E_v ||J^T v||^2 for v ~ N(0, I) (Hutchinson 1989), estimated with `probes` draws, unbiased for any
    encoder; Rifai et al. 2011, Contractive Auto-Encoders, write it out for one layer of sigmoids. `latent`
    [batch, dimensions] must have been computed from `x`, which requires gradients; the result has gradients itself.
    """
    total = torch.zeros((), device=latent.device)
    for _ in range(probes):
        v = torch.randn(latent.shape, generator=generator).to(latent.device)
        (pulled,) = torch.autograd.grad(latent, x, v, create_graph=True)
        total = total + pulled.square().flatten(1).sum(1).mean()
    return total / probes


def sigmoid_contraction(latent: Tensor, weight: Tensor) -> Tensor:
    """The same norm, exactly, of one layer of sigmoids: sum_j (h_j (1 - h_j))^2 ||W_j||^2, mean over the batch.

    `latent` h [batch, units] = sigmoid(x @ W.T + b) with W [units, inputs] (Rifai et al. 2011, section 3).
    """
    slopes = (latent * (1 - latent)).square()
    return (slopes * weight.square().sum(1)).sum(1).mean()


def masked_mean(values: Tensor, present: Tensor | None) -> Tensor:
    """Mean of the values whose `present` is 1; 0 where there is none."""
    if present is None:
        return values.mean()
    return (values * present).sum() / present.sum().clamp_min(1)
