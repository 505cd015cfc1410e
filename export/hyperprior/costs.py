"""What a network costs: multiply-accumulates for a pixel of the picture, and weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

#: Side of the picture that multiply-accumulates are counted on.
SIDE = 128


def kmac_per_pixel(run: Callable[[], Tensor | object]) -> float:
    """Thousands of multiply-accumulates of a call on SIDE x SIDE pixels, divided by those."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops()) / 2 / SIDE**2 / 1000


def weights(part: nn.Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in part.parameters())
