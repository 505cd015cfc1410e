"""Starting a photo network from trained ones: of other sizes, with other quantization steps, from means of two."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aez.codec.entropy.quality import KNOTS, LEVEL_MAX
from aez.codec.errors import InvalidArgument
from aez.export.hyperprior.integer import SIGMA_STEP
from aez.export.hyperprior.layers import interpolate
from aez.export.photo.network import COEFFICIENTS, PhotoConfig, PhotoNetwork, kept_coefficients

#: Knots of the low qualities, up to 38: from 50 on hues are right.
_LOW_KNOTS = KNOTS // 2

#: Ends of the names of what has one row for each knot of the levels.
_LEVELLED = (
    "gate.values",
    "gain.values",
    "density.mean",
    "density.log_scale",
    "density.logit",
    ".offset",
    "multiplier",
)


def resized(network: PhotoNetwork, config: PhotoConfig) -> PhotoNetwork:
    """A network of other sizes that starts from `network`: with its weights, or a part of those of wider layers.

    What `network` lacks or has narrower starts anew. A level stands for the lambda that `config` gives it: what follows
    the level is carried over from there, and goes on in a straight line beyond the lambdas of `network`.
    """
    fresh = PhotoNetwork(config)
    before, after = network.state_dict(), fresh.state_dict()
    levels = _levels_of_equal_lambda(network.config, config)
    for name, value in after.items():
        found = before.get(name)
        if found is None or any(old < new for old, new in zip(found.shape, value.shape, strict=True)):
            continue
        if name.startswith("density.") and found.shape != value.shape:
            continue  # several numbers for each channel, that are soon learned
        for axis, new in enumerate(value.shape):
            if new < found.shape[axis]:
                found = found.index_select(axis, _stays(found.shape[axis], new, network.config, config))
        after[name] = interpolate(found, levels) if name.endswith(_LEVELLED) else found
    fresh.load_state_dict(after)
    return fresh


@torch.no_grad()
def mix(network: PhotoNetwork, other: PhotoNetwork, share: float) -> None:
    """Replace the weights by means of both networks', `share` of them the other's, in place.

    It makes sense for networks that were trained on from the same one: between them the loss has no hill. Raises
    InvalidArgument for a network of other sizes.
    """
    if network.config != other.config:
        raise InvalidArgument("a mean of models needs two of the same sizes and lambdas")
    weights = other.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(weights[name], share)


@torch.no_grad()
def set_finer_colours(network: PhotoNetwork, factor: float) -> None:
    """Multiply the quantization steps of both colours' lowest frequencies by `factor` at low qualities, in place.

    Scales follow, so that the same symbols become likely. Smooth areas keep their hue better, for some bytes.
    """
    lowest = torch.tensor([COEFFICIENTS, 2 * COEFFICIENTS])
    colours = torch.isin(kept_coefficients(network.config), lowest).nonzero().flatten()
    network.log_gain.values[:_LOW_KNOTS, colours] -= math.log(factor)
    network.scale.offset[:_LOW_KNOTS, colours] -= math.log(factor) / SIGMA_STEP


def _levels_of_equal_lambda(before: PhotoConfig, after: PhotoConfig) -> Tensor:
    """Levels at which a network has the lambdas that another has at the knots, [KNOTS]; not all of them in 0..2048."""
    steps = math.log(before.lambda_max / before.lambda_min)
    wanted = torch.log(after.lambda_at(torch.linspace(0, LEVEL_MAX, KNOTS, dtype=torch.float64)) / before.lambda_min)
    return torch.round(wanted * (LEVEL_MAX / steps), decimals=3).float()


def _stays(old: int, new: int, before: PhotoConfig, after: PhotoConfig) -> Tensor:
    """Which `new` of `old` channels a smaller network takes over, int64 [new].

    Latents, which layers see once or several times and behind a state or without one, stay the same coefficients; of
    other channels the first ones stay.
    """
    latents = torch.isin(kept_coefficients(before), kept_coefficients(after)).nonzero().flatten()
    for state_before, state_after in ((0, 0), (before.hyper_width, after.hyper_width)):
        times, rest = divmod(old - state_before, before.channels)
        if times > 0 and rest == 0 and new == state_after + times * after.channels:
            blocks = [state_before + number * before.channels + latents for number in range(times)]
            return torch.cat((torch.arange(state_after), *blocks))
    return torch.arange(new)
