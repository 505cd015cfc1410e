"""The rate-distortion loss: R + lambda * D, each picture at its own lambda."""

from __future__ import annotations

from torch import Tensor

#: The lambda at which the balanced loss equals the plain one.
_REFERENCE_WEIGHT = 0.0126
#: Pictures that cost less than this count as if they cost as much: an empty one would drown all others.
_LEAST_COST = 0.05


def rate_distortion(
    bits: Tensor, pixels: int, distortion: Tensor, weight: Tensor, balance: float = 0.4, evenness: float = 0.0
) -> Tensor:
    """Mean over the batch of (bits per pixel + weight * distortion) * (weight / 0.0126)^-balance.

    `bits`, `distortion` and `weight` are [B]; `pixels` counts those of one picture. The last factor keeps high rates
    from drowning the low ones: along a rate-distortion curve both terms grow about as the square root of lambda, so
    `balance` = 0.5 weighs relative gains at every rate alike. `evenness` does the same for pictures: each one's cost is
    divided by that power of itself, taken as a constant, so that 0 weighs absolute gains alike and 1 relative ones.
    """
    cost = (bits / pixels + weight * distortion) * (weight.detach() / _REFERENCE_WEIGHT) ** -balance
    return (cost * cost.detach().clamp_min(_LEAST_COST) ** -evenness).mean()
