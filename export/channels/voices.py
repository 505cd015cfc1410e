"""What is said beside the network, within bounds: of channels that are too quiet, that never moved, of rare states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aez.export.channels.kinds import Kinds
from aez.export.channels.quiet import QuietVoice
from aez.export.channels.states import RareStates
from aez.export.channels.still import StillVoice

__all__ = ["Voices"]


class Voices(nn.Module):
    """Joins the voices with the network's score, on the scale on which 1 is the threshold.

    The score is the largest of the network's, the quietest channel's and the rare states', and to it comes that of the
    channel that moves and never did. `share` is how much of a channel's score reaches the whole one: a voice is blamed
    so much that both agree.
    """

    order: Tensor

    def __init__(self, kinds: Kinds, window: int, share: float) -> None:
        super().__init__()
        learned, still, states = kinds.learned, kinds.places("constant"), kinds.places("state")
        self.quiet, self.still, self.rare = QuietVoice(window, len(learned)), StillVoice(kinds), RareStates(kinds)
        self.plain, self.share = kinds.plain, share
        self._still, self._states = bool(still), bool(states)
        places = [*learned, *still, *states]
        nothing = len(places)  # what is left out has no score
        order = [places.index(place) if place in places else nothing for place in range(len(kinds.names))]
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(
        self,
        window: Tensor,
        score: Tensor,
        blame: Tensor,
        extremes: tuple[Tensor, Tensor],
        counts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Score [batch] and blame [batch, channels] of raw windows, of those of the network: `blame` [batch, learned].

        `extremes`: the lowest and the highest value of the learned channels in widths; `counts`, how many there are,
        None where all are.
        """
        quiet = self.quiet(*extremes, counts)
        score = torch.maximum(score, quiet.amax(1))
        blame = blame + quiet / self.share
        return self.of_kinds(window, score, blame)

    def of_kinds(self, window: Tensor, score: Tensor, blame: Tensor) -> tuple[Tensor, Tensor]:
        """`forward` with the voices of quiet channels already in."""
        if self.plain:
            return score, blame
        parts = [blame]
        if self._states:
            rare, by_state = self.rare(window)
            score = torch.maximum(score, rare)
        if self._still:
            still = self.still(window)
            score = score + still.amax(1)
            parts.append(still / self.share)
        if self._states:
            parts.append(by_state * (rare / self.share)[:, None])
        parts.append(torch.zeros_like(blame[:, :1]))
        return score, torch.cat(parts, 1).index_select(1, self.order)
