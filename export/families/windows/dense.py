"""Dense autoencoders: undercomplete from principal components on, or overcomplete under input noise."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from aez.export.families.base import Components, Family, Figures, within
from aez.export.families.corruption import masking
from aez.export.families.layers import Compression, correction, select_first

#: Size of an overcomplete code relative to its window.
OVERCOMPLETE = 1.25


class Dense(Family):
    """Flat windows through a narrow code and back.

    Undercomplete: `rank` linear features, of which a small network makes `latent` numbers and turns them back; before
    training it is PCA with `latent` components, and what it learns is the difference. Overcomplete: a code larger than
    the window, which would copy its input if a share `drop` of the samples were not hidden from it in training.
    """

    family: ClassVar[str] = "dense"
    components_for_pictures = Components("rank", 64, matrices=2)

    def __init__(
        self,
        window: int,
        channels: int,
        *,
        latent: int = 16,
        rank: int = 64,
        hidden: int = 128,
        drop: float = 0.1,
        overcomplete: bool = False,
    ) -> None:
        super().__init__(window, channels)
        within("latent", latent, 1, 4096)
        within("rank", rank, 1, 4096)
        within("hidden", hidden, 1, 4096)
        within("drop", drop, 0, 0.9)
        size = window * channels
        self.drop, self.overcomplete = drop, overcomplete
        if overcomplete:
            code = math.ceil(OVERCOMPLETE * size)
            self.down: nn.Module = nn.Linear(size, code)
            self.up: nn.Module = nn.Linear(code, size)
        else:
            self.compression = Compression(size, rank)
            rank = self.compression.rank
            code = min(latent, rank)
            self.down, self.down_more = nn.Linear(rank, code), correction(rank, hidden, code)
            self.up, self.up_more = nn.Linear(code, rank), correction(code, hidden, rank)
            select_first(self.down)
            select_first(self.up)
        self.check_size()

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        flat = x.flatten(1)
        if self.overcomplete:
            return nn.functional.gelu(self.down(flat))
        features = self.compression(flat)
        code: Tensor = self.down(features) + self.down_more(features)
        return code

    def decode(self, latent: Tensor) -> Tensor:
        flat = self.up(latent) if self.overcomplete else self.compression.back(self.up(latent) + self.up_more(latent))
        return self.shaped(flat)

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Start from the windows' principal components."""
        if not self.overcomplete:
            self.compression.fit(x.flatten(1), present.flatten(1))

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """The error where a share `drop` of the samples is hidden, as missing ones are."""
        if self.drop:
            seen = masking(seen, self.drop, generator)
        return super().objective(seen, target, present, generator, progress)
