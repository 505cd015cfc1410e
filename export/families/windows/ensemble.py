"""Ensembles: several networks side by side, whose normalised scores are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.families import registry
from aez.export.families.base import Family, Figures


class Ensemble(Family):
    """Members by name, or as (name, options); by default PCA, dense and conv.

    Members are fitted and trained on the same windows, each by its own loss; each one's errors are divided by what is
    normal for it before they are averaged, so that none drowns the others. The reconstruction is the members' mean, the
    code their codes side by side.
    """

    family: ClassVar[str] = "ensemble"

    def __init__(
        self,
        window: int,
        channels: int,
        *,
        of: Sequence[str | tuple[str, Mapping[str, Any]]] = ("pca", "dense", "conv"),
    ) -> None:
        super().__init__(window, channels)
        if not of:
            raise InvalidArgument("an ensemble of no networks cannot score; name one or more")
        named = [(entry, {}) if isinstance(entry, str) else (entry[0], dict(entry[1])) for entry in of]
        if any(name == self.family for name, _ in named):
            raise InvalidArgument("an ensemble of ensembles is only a larger ensemble; name its members")
        self.networks = nn.ModuleList(registry.build(name, window, channels, **options) for name, options in named)
        self.trained = any(member.trained for member in self.members)
        self._measure()
        self.check_size()
        self.register_load_state_dict_post_hook(_measure_again)  # type: ignore[no-untyped-call]

    @property
    def members(self) -> tuple[Family, ...]:
        return tuple(self.networks)  # type: ignore[arg-type]

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        return torch.cat([member.encode(x, present) for member in self.members], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        codes = latent.split(self.sizes, dim=1)
        return torch.stack([member.decode(code) for member, code in zip(self.members, codes, strict=True)]).mean(0)

    def fit(self, x: Tensor, present: Tensor) -> None:
        for member in self.members:
            member.fit(x, present)
        self._measure()

    def _measure(self) -> None:
        """Note how long the members' codes are."""
        self.sizes = [member.latent for member in self.members]

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """Sum of the losses of the members that are trained."""
        total = torch.zeros((), device=seen.device)
        figures: Figures = {}
        for number, member in enumerate(self.members):
            if member.trained:
                loss, figure = member.objective(seen, target, present, generator, progress)
                total = total + loss
                figures |= {f"{key}{number}": value for key, value in figure.items()}
        return total, figures


def _measure_again(network: nn.Module, _keys: object) -> None:
    """After weights were loaded: they say how long a closed form's code is. Networks are copied, so no method."""
    cast(Ensemble, network)._measure()
