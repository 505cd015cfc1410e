"""A channel that is far beyond anything it ever showed: of fifty it is thinned out in the mean, and heard here alone.

Only channels whose highest errors are alike all through the held-out rows are listened to. Where bursts are how the
data are, as of busy servers, a higher one says little: there such voices found no more and cost false alarms.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["FEWEST_CHANNELS", "FEWEST_WINDOWS", "LoudVoice"]

#: A channel's score is 1 where its share of the score is so many times the highest of the held-out windows, `TOP` at
#: most, so that it raises an alarm and hardly changes the order of what is further off.
_ALARM, TOP = 4.0, 1.5
#: The held-out windows are cut into so many parts, and the highest of a channel in all of them is at most so far above
#: its usual highest in a part, in logarithms.
_PARTS, _STEADY = 10, 0.25
#: Fewer windows do not tell how steady a channel is; in a mean over fewer channels one is heard anyway.
FEWEST_WINDOWS, FEWEST_CHANNELS = 1000, 4
_TINY = 1e-12


class LoudVoice(nn.Module):
    """Blame [batch, channels] by the network, at its threshold -> scores of that shape, 0 to `TOP`; 0 until `set`."""

    share: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(channels))

    def forward(self, blame: Tensor) -> Tensor:
        return (blame * self.share).clamp_max(TOP)

    def set(self, blame: NDArray[np.float32]) -> None:
        """Take the highest blame [n, channels] of many parts of the held-out windows, in order of time."""
        parts = np.array([part.max(axis=0) for part in np.array_split(blame.astype(np.float64), _PARTS)])
        highest, usual = parts.max(axis=0), np.exp(np.log(np.maximum(parts, _TINY)).mean(axis=0))
        steady = (usual > _TINY) & (highest <= usual * np.exp(_STEADY))
        self.share.copy_(torch.from_numpy(np.where(steady, 1 / (_ALARM * np.maximum(highest, _TINY)), 0.0)))
