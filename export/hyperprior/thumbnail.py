"""A picture at an eighth of its size straight from the latent, without the synthesis: one linear layer.

The latent lies at 1/8 of the size and starts from a block DCT, so that the mean colours of blocks are nearly linear in
it. The layer is fitted by least squares to what the synthesis makes of training pictures.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from aez.codec.entropy.quality import LEVEL_MAX
from aez.export.hyperprior.graphs import round_mantissa
from aez.export.hyperprior.network import STRIDE, HyperpriorNetwork
from aez.export.hyperprior.ports import LEVEL, Part, Port, Sides

__all__ = ["THUMBNAIL", "ThumbnailGraph", "thumbnail_sides"]

#: Name of the graph.
THUMBNAIL = "thumbnail"
_SIDE = 3
#: Added to the squares, relative to their mean: enough for channels that are always zero.
_RIDGE = 1e-5


def thumbnail_sides(channels: int) -> Sides:
    """What goes in and comes out."""
    y = Port((channels, f"height/{STRIDE}", f"width/{STRIDE}"), "quantization steps", "real")
    image = Port((3, f"height/{STRIDE}", f"width/{STRIDE}"), "RGB", "0..1")
    return Sides({"y": y, "level": LEVEL}, {"image": image})


class ThumbnailGraph(Part[HyperpriorNetwork]):
    """y [B, channels, h, w], level [B] -> image [B, 3, h, w] in 0..1, of the size of y."""

    def __init__(self, network: HyperpriorNetwork, weight: Tensor, bias: Tensor) -> None:
        """`weight` [3, channels, 3, 3] and `bias` [3] of the whitened latent."""
        super().__init__(network)
        channels = network.config.channels
        self.layer = nn.Conv2d(channels, 3, _SIDE, padding=_SIDE // 2, padding_mode="replicate")
        with torch.no_grad():
            self.layer.weight.copy_(weight)
            self.layer.bias.copy_(bias)  # type: ignore[union-attr]

    def forward(self, y: Tensor, level: Tensor) -> Tensor:
        image: Tensor = self.layer(y * self.network.inverse_gain(level))
        return image.clamp(0, 1)

    @classmethod
    @torch.no_grad()
    def fitted(cls, network: HyperpriorNetwork, pictures: Iterable[Tensor], seed: int = 0) -> ThumbnailGraph:
        """To the block means of decoded `pictures` (batches [B, 3, H, W] in 0..1), each at a random level."""
        generator = torch.Generator().manual_seed(seed)
        inputs = network.config.channels * _SIDE**2 + 1
        squares, products = (torch.zeros(inputs, size, dtype=torch.float64) for size in (inputs, 3))
        for batch in pictures:
            level = torch.randint(0, LEVEL_MAX + 1, (len(batch),), generator=generator).float()
            whitened = network.decoded_latent(batch, level)
            means = nn.functional.avg_pool2d(network.picture(whitened, level).clamp(0, 1), STRIDE)
            padded = nn.functional.pad(whitened, (_SIDE // 2,) * 4, mode="replicate")
            columns = nn.functional.unfold(padded, _SIDE).transpose(1, 2).flatten(0, 1).double()
            columns = torch.cat((columns, torch.ones(len(columns), 1, dtype=torch.float64)), dim=1)
            squares += columns.T @ columns
            products += columns.T @ means.flatten(2).transpose(1, 2).flatten(0, 1).double()
        squares.diagonal().add_(_RIDGE * squares.diagonal().mean())
        solved = torch.linalg.solve(squares, products).float().T
        weight = solved[:, :-1].reshape(3, -1, _SIDE, _SIDE)
        return cls(network, round_mantissa(weight), solved[:, -1])
