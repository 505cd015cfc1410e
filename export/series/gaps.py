"""How much worse a network does when samples are missing, measured, so that a gap raises no alarm by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Shares of a window's samples that are present, at which the effect is measured.
SHARES = (0.0, 0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
#: No factor is larger, so that what gaps do to a channel that hardly moves leaves scores finite.
FACTOR_MOST = 1e6
#: A share that falls short of 1 by less than this, by rounding, is 1.
_ROUNDING = 1e-6
#: Samples of a window for which what gaps do stands in a table, at most.
TABLE_MOST = 4096


class GapFactor(nn.Module):
    """Share present [batch], 0..1 -> factor [batch], 1 and up, by which scores grow with so much missing.

    Piecewise linear between `SHARES` of the usual share; exactly 1 from the usual share on, and everywhere until `set`.
    """

    factors: Tensor
    usual: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.ones(len(SHARES)))
        self.register_buffer("usual", torch.ones(()))

    def forward(self, share: Tensor) -> Tensor:
        # From 1 upwards by what is missing, in steps of which none is negative: nothing cancels, however large.
        share = share / self.usual
        share = torch.where(share > 1 - _ROUNDING, torch.ones_like(share), share)
        starts, ends = torch.tensor(SHARES[:-1]), torch.tensor(SHARES[1:])
        slopes = (self.factors[:-1] - self.factors[1:]) / (ends - starts).to(share.device)
        steps = (ends.to(share.device) - share[:, None]).clamp_min(0.0)
        inside = torch.minimum(steps, (ends - starts).to(share.device))
        return self.factors[-1] + (inside * slopes).sum(1)

    def reset(self) -> None:
        """Back to 1 everywhere."""
        self.factors.fill_(1)
        self.usual.fill_(1)

    def set(self, scores: Tensor, usual: float = 1.0) -> None:
        """Take a high score [len(SHARES)] at each share; a factor never falls as more is missing, nor below 1.

        `usual` is the share present in the windows in which the gaps were made. What they lack themselves is part of
        what is normal, and of the threshold: dividing by a factor for it would make the threshold too low for windows
        that lack less.
        """
        factors = (scores / scores[-1].clamp_min(1e-12)).clamp(1.0, FACTOR_MOST)
        factors[0], factors[-1] = factors[1], 1.0
        self.factors.copy_(factors.flip(0).cummax(0).values.flip(0))
        self.usual.fill_(usual)


class GapDivisor(nn.Module):
    """Counts [batch, channels] of what is present in windows -> [batch, 1], what scores are multiplied with.

    That is one over the threshold and the factor for gaps, and 0 where nothing is present. For small windows it is
    looked up.
    """

    table: Tensor

    def __init__(self, factor: GapFactor, window: int, channels: int, threshold: float) -> None:
        super().__init__()
        self.factor, self.samples, self.threshold = factor, window * channels, threshold
        if self.samples <= TABLE_MOST:
            table = 1 / (factor(torch.arange(self.samples + 1) / self.samples) * threshold)
            table[0] = 0.0
            self.register_buffer("table", table[:, None])

    def forward(self, counts: Tensor) -> Tensor:
        total = counts.sum(1)
        if self.samples <= TABLE_MOST:
            return nn.functional.embedding(total.to(torch.int64), self.table)
        factor: Tensor = self.factor(total / self.samples)
        return (total.clamp_max(1.0) / (factor * self.threshold))[:, None]


def usual_share(windows: Tensor) -> float:
    """The median share that is present of windows [n, time, channels], empty ones aside; 1 where all are empty."""
    shares = (~windows.isnan()).to(windows.dtype).mean((1, 2))
    shares = shares[shares > 0]
    return float(shares.median()) if len(shares) else 1.0


def hide(windows: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Windows [n, time, channels] of which about the share `share` is left, the rest NaN.

    In every other window a run of rows goes (an outage), in the rest whole channels (dead sensors); with one channel it
    is always rows.
    """
    n, time, channels = windows.shape
    rows = _hidden_runs(n, time, round((1 - share) * time), generator)[:, :, None].expand(n, time, channels)
    count = round((1 - share) * channels)
    order = torch.rand(n, channels, generator=generator).argsort(1).argsort(1)
    columns = (order < count)[:, None].expand(n, time, channels)
    even = (torch.arange(n) % 2 == 0) | (channels == 1)
    hidden = torch.where(even[:, None, None], rows, columns)
    return windows.masked_fill(hidden.to(windows.device), torch.nan)


def _hidden_runs(n: int, time: int, length: int, generator: torch.Generator) -> Tensor:
    """[n, time], True in one run of `length` rows at a random place."""
    start = torch.randint(0, time - length + 1, (n, 1), generator=generator)
    row = torch.arange(time)
    return (row >= start) & (row < start + length)
