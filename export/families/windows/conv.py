"""Temporal convolutions: each stage halves the time, and a few numbers per remaining step are the code."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.export.families.base import Family, within


class Conv(Family):
    """Convolutions over time, shared by all positions of the window, with all channels mixed.

    `stages` (as many as the window allows) of `width` features halve the time by strided convolutions of `kernel`
    samples; the code has `code` numbers for each step that is left; the decoder mirrors this by repeating steps.
    """

    family: ClassVar[str] = "conv"

    def __init__(
        self, window: int, channels: int, *, width: int = 32, code: int = 4, stages: int = 2, kernel: int = 5
    ) -> None:
        super().__init__(window, channels)
        within("width", width, 1, 1024)
        within("code", code, 1, 1024)
        within("stages", stages, 1, 8)
        within("kernel", kernel, 3, 31)
        stages = min(stages, max(window.bit_length() - 1, 1))
        self.stride = 2**stages
        self.added = -window % self.stride
        self.code, half = code, kernel // 2
        down: list[nn.Module] = []
        up: list[nn.Module] = [nn.Conv1d(code, width, 1), nn.GELU()]
        for stage in range(stages):
            down += [nn.Conv1d(channels if stage == 0 else width, width, 2 * half + 1, 2, half), nn.GELU()]
            up += [Repeat(), nn.Conv1d(width, width if stage < stages - 1 else channels, 2 * half + 1, 1, half)]
            up += [nn.GELU()] if stage < stages - 1 else []
        self.down, self.up = nn.Sequential(*down, nn.Conv1d(width, code, 1)), nn.Sequential(*up)
        self.check_size()

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        series = nn.functional.pad(x.transpose(1, 2), (self.added, 0))
        return cast(Tensor, self.down(series)).flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        steps = (self.window + self.added) // self.stride
        series = cast(Tensor, self.up(latent.unflatten(1, (self.code, steps))))
        return series[:, :, self.added :].transpose(1, 2)


class Repeat(nn.Module):
    """Every step twice: [batch, features, time] -> [batch, features, 2 * time]."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack((x, x), dim=3).flatten(2)
