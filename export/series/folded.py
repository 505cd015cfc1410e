"""A calibrated detector's graph as it is exported: the same scores from fewer operators.

For small windows a runtime's time is that of its operators, not of what they compute. So constants are folded into the
products (a channel's usual error into the weights of its rows, the weight of a distance into the whitening, whitening
and shrinking into the components of a linear network), a mean and the worst part are one product and one maximum, what
gaps cost is looked up, and what a model does not need is not there.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aez.export.channels.quiet import TOP as QUIETEST
from aez.export.families.base import Affine, Family
from aez.export.series.gaps import GapDivisor
from aez.export.series.graph import HIGHEST, DetectorGraph
from aez.export.series.recency import LOUD, FoldedLately

#: The least mean error that a distance is shared out by.
_LEAST = 1e-12
#: Up to so many channels a product with a diagonal matrix is faster than a product and a difference.
_DIAGONAL_MOST = 32


class There(NamedTuple):
    """What is there of windows with gaps.

    present [batch, time, channels], 1 or 0; counts and here [batch, channels]: how many samples of the tail, and
    whether there is one; divisor [batch, 1]: what sums over channels are divided by; gaps [batch, 1]: what scores are
    multiplied with.
    """

    present: Tensor
    counts: Tensor
    here: Tensor
    divisor: Tensor
    gaps: Tensor


class FoldedGraph(nn.Module):
    """The scores of a calibrated graph; `whole`: of windows from which nothing is missing, in fewer operators still.

    window float32 [batch, time, channels], raw -> score [batch], channel_score [batch, channels] and, unless `whole`,
    reconstruction [batch, time, channels], raw: those of `graph` to a few parts in a million.
    """

    back: Tensor
    centre: Tensor
    quiet_slope: Tensor
    quiet_offset: Tensor
    units: Tensor

    def __init__(self, graph: DetectorGraph, *, whole: bool = False) -> None:
        super().__init__()
        self.detector, self.whole = graph, whole
        self.tail, self.window = graph.tail, graph.window
        quiet = graph.voices.quiet
        self._listens = bool(quiet.offset.any())
        #: The score comes in such units, in which a quiet channel's voice is its blame.
        self.unit = graph.voices.share if self._listens else 1.0
        self._bare = folds_gain(graph)
        with torch.no_grad():
            self.members = nn.ModuleList(_Member(graph, number, self.unit, whole) for number in self._numbers)
            gain = graph.scale.gain if self._bare else torch.ones(())
            self.register_buffer("back", graph.scale.back * gain)
            self.register_buffer("centre", graph.scale.centre)
            slope = -quiet.slope / self.unit
            self.register_buffer("quiet_slope", torch.diag(slope) if len(slope) <= _DIAGONAL_MOST else slope)
            self.register_buffer("quiet_offset", quiet.offset / self.unit)
            self.register_buffer("units", torch.full((graph.width, 1), self.unit))
            if not whole:
                self.gaps = GapDivisor(graph.gap_factor, graph.window, graph.width, float(graph.threshold))
        self._moves = bool((self.back != 1).any() or self.centre.any())

    @property
    def _numbers(self) -> range:
        return range(len(self.detector.network.members))

    def forward(self, window: Tensor) -> tuple[Tensor, ...]:
        graph = self.detector
        raw = graph.learned(window)
        widths, present = (graph.scale.distance(raw), None) if self.whole else graph.scale.widths(raw)
        x = graph.scale.softened(widths) if self._bare else graph.scale.clip(widths)
        said = graph.effect(window) if graph.effect.speaks else None
        if said is not None:
            x = x - said if present is None else (x - said) * present
        extremes = graph.scale.extremes(widths) if self._listens else None
        excess = self._excess(widths, extremes)
        there, sums = None, None
        if present is not None:
            sums = self._own_lately.sums(present[:, -self.tail :].flatten(1))
            there = self._there(present, sums)
        scores, blames, made = [], [], []
        for member in self.members:
            score, blame, own = cast(_Member, member)(x, excess, there, sums)
            scores.append(score)
            blames.append(blame)
            made.append(own)
        score, blame = self._voiced(window, _sum(scores), _sum(blames), extremes, there)
        if self.whole:
            return score, blame
        return score, blame, self._raw(window, _sum(made) / len(made) if len(made) > 1 else made[0], said)

    @property
    def _own_lately(self) -> FoldedLately:
        return cast(_Member, self.members[0]).lately

    def _excess(self, widths: Tensor, extremes: tuple[Tensor, Tensor] | None) -> Tensor:
        scale = self.detector.scale
        if extremes is not None and self.tail == self.window:
            return scale.excess_of(*extremes)
        return scale.excess_by(widths[:, -self.tail :].abs().amax(1))

    def _there(self, present: Tensor, sums: Tensor) -> There:
        counts = self._own_lately.counts(sums, present[:, -self.tail :])
        here = counts.clamp_max(1.0)
        divisor = (here @ self.units).clamp_min(self.unit)
        if self.tail == self.window:
            return There(present, counts, here, divisor, self.gaps(counts))
        return There(present, counts, here, divisor, self.gaps(present.sum(1)) * here.amax(1, keepdim=True))

    def _voiced(
        self,
        window: Tensor,
        score: Tensor,
        blame: Tensor,
        extremes: tuple[Tensor, Tensor] | None,
        there: There | None,
    ) -> tuple[Tensor, Tensor]:
        """Score [batch] and blame [batch, channels] with the voices."""
        voices = self.detector.voices
        if extremes is None:
            score = score[:, 0]
        else:
            quiet = self._quiet(extremes[1] - extremes[0])
            if there is not None:
                counts = there.counts if self.tail == self.window else there.present.sum(1)
                quiet = torch.where(counts >= self.window / 2, quiet, 0.0)
            score = torch.cat([score, quiet], 1).amax(1)
            score = score if self.unit == 1 else score * self.unit
            blame = blame + quiet
        score, blame = voices.of_kinds(window, score, blame)
        return score.clamp(0.0, HIGHEST), blame

    def _quiet(self, motion: Tensor) -> Tensor:
        """The voices of channels that move so much, as their blame."""
        slope, offset = self.quiet_slope, self.quiet_offset
        rising = torch.addmm(offset, motion, slope) if slope.ndim == 2 else motion * slope + offset
        return rising.clamp(0.0, QUIETEST / self.unit)

    def _raw(self, window: Tensor, made: Tensor, said: Tensor | None) -> Tensor:
        made = made if said is None else made + said
        if self._moves:
            made = made * self.back + self.centre
        return self.detector.in_place(made, window)


class _Member(nn.Module):
    """One network: scaled windows [batch, time, channels] -> score [batch, 1] in units, blame, reconstruction."""

    def __init__(self, graph: DetectorGraph, number: int, unit: float, whole: bool) -> None:
        super().__init__()
        self.network: Family = graph.network.members[number]
        self.window, self.tail, self.channels, self.unit = graph.window, graph.tail, graph.width, unit
        self.rule, self.largest = graph.options.rule, min(graph.options.largest, graph.width)
        usual = float(graph.threshold * graph.gap_factor(torch.ones(1))) if whole else 1.0
        scales = {kind: scale / usual for kind, scale in graph.part_scales(number).items()}
        self.of_errors, self.of_divergence = scales.get("reconstruction", 0.0), scales.get("elbo", 0.0)
        self.measures = "mahalanobis" in scales
        gain = graph.scale.gain.double() if folds_gain(graph) else torch.ones(graph.window, graph.width).double()
        factor = gain[0].square() / (graph.normal[number].double() * LOUD)
        self.lately = FoldedLately(self.tail, factor, flat=graph.small)
        size = graph.code_sizes[number] if self.measures else 1
        centre = graph.latent_mean[number, :size].double()
        matrix = graph.latent_whitening[number, :size, :size].double()
        matrix = matrix * math.sqrt(scales.get("mahalanobis", 0.0) / size / unit)
        self.affine = self.network.affine()
        self.rows = self.tail if whole else self.window  # nobody asks for the others
        if self.affine is not None:
            self._take(self.affine, gain.flatten(), centre, matrix)
        elif self.measures:
            self.register_buffer("offset", (-centre @ matrix).float())
            self.register_buffer("matrix", matrix.float())
        self.register_buffer("ones", torch.ones(size, 1))
        self.register_buffer("shares", torch.full((self.channels, 1), 1 / (self.channels * unit)))

    def _take(self, affine: Affine, gain: Tensor, centre: Tensor, matrix: Tensor) -> None:
        """The products of a linear network, for windows that are not yet shrunk, with the whitened code between."""
        into, offset = gain[:, None] * affine.into, affine.offset
        out, mean = affine.out / gain, affine.mean / gain
        if self.measures:
            into, offset = into @ matrix, (offset - centre) @ matrix
            # The unwhitened code is what the second product takes.
            back = torch.linalg.inv(matrix)
            out, mean = back @ out, mean + centre @ out
        last = self.rows * self.channels
        for name, part in (("into", into), ("offset", offset), ("out", out[:, -last:]), ("mean", mean[-last:])):
            self.register_buffer(name, part.float().contiguous())

    def forward(
        self, x: Tensor, excess: Tensor, there: There | None, sums: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        away, code, made = self._away(x, there)
        error = self.lately(away * away, sums) * (excess * excess)
        loud = torch.minimum(error, torch.log(error.clamp_min(1.0)) + 1)
        score, lever = self._joined(loud, code, there)
        blame = loud * lever
        if self.of_divergence:
            divergence = self._divergence(x, there)
            score = score + divergence / self.unit
            blame = blame + (divergence if there is None else divergence * there.here)
        return score, blame, made

    def _away(self, x: Tensor, there: There | None) -> tuple[Tensor, Tensor, Tensor]:
        """How far the tail is from what the network makes of it, flat; its code, whitened; and what it makes."""
        last = self.tail * self.channels
        if self.affine is None:
            code = self.network.encode(x, torch.ones_like(x) if there is None else there.present)
            made = self.network.decode(code)
            away = x[:, -self.tail :] - made[:, -self.tail :]
            if there is not None:
                away = away * there.present[:, -self.tail :]
            if self.measures:
                code = torch.addmm(self._of("offset"), code, self._of("matrix"))
            return away.flatten(1), code, made
        flat = x.flatten(1)
        code = torch.addmm(self._of("offset"), flat, self._of("into"))
        made = torch.addmm(self._of("mean"), code, self._of("out"))
        away = flat - made if self.tail == self.window else flat[:, -last:] - made[:, -last:]
        if there is None:
            return away, code, made
        return away * there.present[:, -self.tail :].flatten(1), code, self.network.shaped(made)

    def _joined(self, loud: Tensor, code: Tensor, there: There | None) -> tuple[Tensor, Tensor | float]:
        """The channels' errors, in LOUD usual ones, and the distance as one; what a channel's blame is of its error."""

        def usual(factor: float) -> Tensor | float:
            return factor if there is None else there.gaps * factor

        by_mean = LOUD * (self.of_divergence + (self.of_errors if self.rule == "mean" else 0.0))
        by_rule = 0.0 if self.rule == "mean" else LOUD * self.of_errors
        mean = self._mean(loud, there)
        lever: Tensor | float
        if self.measures:
            squares = code * code
            score = torch.addmm(mean, squares, self._of("ones"), beta=by_mean) if by_mean else squares.sum(1, True)
            score = score if there is None else score * there.gaps
            lever = score / mean.clamp_min(_LEAST / LOUD / self.unit)
        elif by_mean:
            lever = usual(by_mean)
            score = mean * lever
        else:
            lever = usual(by_rule)
            return self._by_rule(loud) * usual(by_rule / self.unit), lever
        if by_rule:
            score, lever = score + self._by_rule(loud) * usual(by_rule / self.unit), lever + usual(by_rule)
        return score, lever

    def _mean(self, loud: Tensor, there: There | None) -> Tensor:
        """Mean over the channels that are there, [batch, 1], in units."""
        return loud @ self._of("shares") if there is None else loud.sum(1, keepdim=True) / there.divisor

    def _by_rule(self, loud: Tensor) -> Tensor:
        if self.rule == "max" or self.largest == 1:
            return loud.amax(1, keepdim=True)
        if self.largest == self.channels:
            return loud.mean(1, keepdim=True)
        return loud.topk(self.largest, dim=1).values.mean(1, keepdim=True)

    def _divergence(self, x: Tensor, there: There | None) -> Tensor:
        """By sample, as its part of the score, [batch, 1]."""
        divergence = self.network.divergence(x)[:, None] * (2 * self.of_divergence)
        if there is None:
            return divergence / (self.tail * self.channels)
        samples = there.counts.sum(1, keepdim=True).clamp_min(1.0)
        return divergence / samples * there.here.amax(1, keepdim=True) * there.gaps

    def _of(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))


def folds_gain(graph: DetectorGraph) -> bool:
    """Whether linear networks take it on themselves to shrink channels."""
    return not graph.effect.speaks and all(member.affine() is not None for member in graph.network.members)


def _sum(values: list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
