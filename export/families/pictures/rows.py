"""Pictures as windows: a row of pixels, the colours of a place side by side, is one step of time."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_of(pictures: Tensor) -> Tensor:
    """Windows [batch, height, width * colours] of pictures [batch, colours, height, width]."""
    return pictures.permute(0, 2, 3, 1).flatten(2)


def pictures_of(rows: Tensor, colours: int) -> Tensor:
    """Pictures [batch, colours, height, width] of windows [batch, height, width * colours]."""
    return torch.unflatten(rows, 2, (-1, colours)).permute(0, 3, 1, 2)
