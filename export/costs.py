"""What a network costs: multiply-accumulates for a pixel of the picture, and weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aez.export.photo import PhotoNetwork

#: Side of the picture that multiply-accumulates are counted on.
SIDE = 128


@torch.no_grad()
def costs(network: PhotoNetwork) -> dict[str, float]:
    """Of encoding a picture to symbols, and of decoding it: thousands of multiply-accumulates a pixel, and weights."""
    image, level = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1)
    encoding = kmac_per_pixel(lambda: network.hyper_analysis(network.whitened(image, level), level))
    everything = kmac_per_pixel(lambda: network.evaluate(image, level))
    encoder_weights = weights(network.analysis) + weights(network.hyper_analysis)
    return {
        "encoder_kmac_per_pixel": round(encoding, 2),
        "decoder_kmac_per_pixel": round(everything - encoding, 2),
        "encoder_weights": encoder_weights,
        "decoder_weights": weights(network) - encoder_weights,
    }


def kmac_per_pixel(run: Callable[[], Tensor | object]) -> float:
    """Thousands of multiply-accumulates of a call on SIDE x SIDE pixels, divided by those."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops()) / 2 / SIDE**2 / 1000


def weights(part: nn.Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in part.parameters())
