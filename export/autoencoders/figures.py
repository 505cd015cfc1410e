"""What is said of a trained autoencoder: errors, active units, bounds, decibels gained; of pictures in 0..1."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aez.export.autoencoders.base import Network
from aez.export.autoencoders.networks.denoising import Denoising
from aez.export.autoencoders.networks.variational import Variational, active_units
from aez.export.common.batches import Numbered, spread_lazily

_BATCH = 500
#: Codes for each item by which a bound is estimated, unless somebody asks for more.
DRAWS = 16


@torch.no_grad()
def figures_of(network: Network, items: Numbered, draws: int = DRAWS, bounded: int = 1000) -> dict[str, Any]:
    """Figures on items that were not learned from, as plain JSON values.

    `mse` of unit items (pictures in 0..1), `psnr` of pictures in dB; of a denoising family of spoilt items, with
    `psnr_before` and `gain`; of a variational one `active_units`, `elbo` and `bound` in nats, the importance-weighted
    bound by so many `draws` on at most so many items.
    """
    network = network.cpu().eval()
    generator = torch.Generator().manual_seed(0)
    errors, before, means = [], [], []
    for raw in _batches(items):
        x = network.unit(raw)
        seen = network.spoilt(x, generator) if isinstance(network, Denoising) else x
        code = network.encode(seen)
        means.append(code)
        errors.append((network.decode(code) - x).square().flatten(1).mean(1))
        before.append((seen - x).square().flatten(1).mean(1))
    error, spoilt = float(torch.cat(errors).mean()), float(torch.cat(before).mean())
    found: dict[str, Any] = {"items": len(items), "mse": round(error, 6)}
    if network.subject.pictures:
        found["psnr"] = round(decibels(error), 3)
    if isinstance(network, Denoising):
        found |= {"psnr_before": round(decibels(spoilt), 3), "gain": round(decibels(error) - decibels(spoilt), 3)}
    if isinstance(network, Variational):
        found["active_units"] = active_units(torch.cat(means))
        some = spread_lazily(items, bounded)
        pairs = [network.bounds(network.unit(raw), draws, generator) for raw in _batches(some)]
        elbo, bound = (float(torch.cat(part).mean()) for part in zip(*pairs, strict=True))
        found |= {"elbo": round(elbo, 3), "bound": round(bound, 3), "draws": draws, "bounded_items": len(some)}
    return found


def decibels(error: float) -> float:
    """PSNR of a mean squared error of pictures in 0..1."""
    return -10 * math.log10(max(error, 1e-12))


def _batches(items: Numbered) -> list[Tensor]:
    import numpy as np

    return [items.take(np.arange(start, min(start + _BATCH, len(items)))) for start in range(0, len(items), _BATCH)]
