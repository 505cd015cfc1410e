"""The graph of a detector: a window in the sensors' own units in; score, blame by channel and reconstruction out.

Scaling, masks, errors and the threshold are inside, so that whoever embeds it needs one call. A score of 1 is the
threshold, whatever the network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.channels.inputs import LearnedChannels
from aez.export.channels.kinds import Kinds, measured
from aez.export.channels.states import StateEffect
from aez.export.channels.voices import Voices
from aez.export.common.batches import gathered, thinned
from aez.export.common.scored_graph import whitening
from aez.export.families.base import Family, within
from aez.export.series.gaps import SHARES, GapFactor, hide, usual_share
from aez.export.series.recency import Lately, bounded_voice
from aez.export.series.scaling import ScaleLayer, Scaling

Kind = Literal["reconstruction", "elbo", "mahalanobis"]
KINDS: tuple[Kind, ...] = ("reconstruction", "elbo", "mahalanobis")
Rule = Literal["mean", "max", "largest"]
RULES: tuple[Rule, ...] = ("mean", "max", "largest")
#: A channel's normal error is no less than this (in squared widths): a channel that stands still has none.
ERROR_FLOOR = 1e-3
#: The several kinds of a combination are divided by this quantile of their own scores.
PART_QUANTILE = 0.99
#: They are not made louder than this: a network that can reproduce every window errs by rounding alone.
PART_FLOOR = 1e-3
#: Of the latents' covariance, as in `whitening`.
SHRINKAGE = 0.3
#: Share of the latents' distance in a combination: what the components can say counts for less than what they cannot.
#: A PCA's mean AUC-PR on SMD rises with it, up to a half; on SKAB, where normal rows drift along the components, F1 at
#: the default limit falls beyond 0.3 (docs/decisions.md has the table).
LATENT_SHARE = 0.3
#: Longer codes are scored by their errors alone, unless asked: their covariance would be guesswork and large.
LATENT_MOST = 256
#: Windows on which gaps are tried, in all and of each batch.
_GAPS_MAX, _GAPS_PER_BATCH = 2000, 200
_GAP_QUANTILE = 0.999
#: Products of a sum over time, at most; beyond, an ordinary sum is faster.
_SMALL = 2048
#: No score is higher: what is only ever compared with 1 needs no infinity.
HIGHEST = 1e9


@dataclass(frozen=True)
class ScoreOptions:
    """How errors become a score.

    `kinds`: one, or several for a combination; none takes reconstruction and mahalanobis, or reconstruction alone where
    the code is longer than LATENT_MOST. `rule` joins the channels' errors; `largest` counts those that the rule
    of that name averages. `tail` counts the last samples of the window whose errors count (None: all). Raises
    InvalidArgument.
    """

    kinds: tuple[Kind, ...] = ()
    rule: Rule = "mean"
    largest: int = 3
    tail: int | None = None

    def __post_init__(self) -> None:
        if len(set(self.kinds)) < len(self.kinds) or not set(self.kinds) <= set(KINDS):
            raise InvalidArgument(
                f"score {'+'.join(self.kinds)!r} is unknown; use one or several of {', '.join(KINDS)}"
            )
        if self.rule not in RULES:
            raise InvalidArgument(f"rule {self.rule!r} is unknown; use {', '.join(RULES)}")
        within("largest", self.largest, 1, 4096)
        if self.tail is not None:
            within("tail", self.tail, 1, 4096)

    def kinds_for(self, network: Family) -> tuple[Kind, ...]:
        """`kinds`, or what they are by default."""
        if not self.kinds and all(member.distance_alone for member in network.members):
            return ("mahalanobis",)
        small = max(member.latent for member in network.members) <= LATENT_MOST
        return self.kinds or (("reconstruction", "mahalanobis") if small else ("reconstruction",))


class Seen(NamedTuple):
    """A window as the network sees it: `x` and `present` [batch, time, learned].

    extremes: lowest and highest of each channel in widths; excess: for what clipping hides of the tail, [batch,
    learned]; said: what states say of `x`, and x is without.
    """

    x: Tensor
    present: Tensor
    extremes: tuple[Tensor, Tensor]
    excess: Tensor
    said: Tensor | None


class DetectorGraph(nn.Module):
    """From windows to scores.

    window float32 [batch, time, channels], raw, NaN = missing -> score [batch], channel_score [batch, channels],
    reconstruction [batch, time, channels], raw.

    A channel's error is the mean square of what is present, in scaled units and as `Lately` takes it, times the square
    of `ScaleLayer.excess`, over the channel's normal error, through `bounded_voice`. A channel that is missing from a
    window counts neither way, and a window without a sample scores 0. Scores of windows with more gaps than usual are
    divided by what such gaps do to normal windows.
    `calibrate`, then set `threshold`; before, all of this is 1. `voices` speak beside the network, by the kinds of the
    channels: `scaling` and the network are of those that `channel_kinds.learned` names, in its order. Without kinds
    all channels are measured. Scores lie within 0 and HIGHEST; blame is finite and not negative.
    """

    normal: Tensor
    latent_mean: Tensor
    latent_whitening: Tensor
    part_scale: Tensor
    threshold: Tensor

    def __init__(
        self, network: Family, scaling: Scaling, options: ScoreOptions | None = None, kinds: Kinds | None = None
    ) -> None:
        super().__init__()
        options = options or ScoreOptions()
        if scaling.channels != network.channels:
            raise InvalidArgument(f"{scaling.channels} channels are scaled for a network of {network.channels}")
        if options.tail is not None and options.tail > network.window:
            raise InvalidArgument(f"tail {options.tail} is longer than the window of {network.window} samples")
        self.network, self.scaling, self.options = network, scaling, options
        self.channel_kinds = kinds = kinds or measured(scaling.low.tolist(), scaling.high.tolist())
        self.learned, self.effect = LearnedChannels(kinds), StateEffect(kinds, network.window)
        self.scale, self.gap_factor = ScaleLayer(scaling, network.window), GapFactor()
        self.window, self.channels, self.width = network.window, len(kinds.names), network.channels
        self.tail = options.tail or network.window
        self.kinds = options.kinds_for(network)
        self.parts = [(member, kind) for member in range(len(network.members)) for kind in self.kinds]
        if "elbo" in self.kinds and not all(member.has_prior for member in network.members):
            raise InvalidArgument(f"family {network.family} has no ELBO; use reconstruction or mahalanobis")
        self.weights = part_weights(self.kinds, len(network.members))
        self.code_sizes = [member.latent for member in network.members]
        counted = {"mean": self.width, "max": 1, "largest": min(options.largest, self.width)}[options.rule]
        self.voices = Voices(kinds, self.window, 1 / counted)
        self._register(len(network.members))

    def _register(self, members: int) -> None:
        widest = max(self.code_sizes) if "mahalanobis" in self.kinds else 1
        self.register_buffer("normal", torch.ones(members, self.width))
        self.register_buffer("latent_mean", torch.zeros(members, widest))
        self.register_buffer("latent_whitening", torch.eye(widest).repeat(members, 1, 1))
        self.register_buffer("part_scale", torch.ones(len(self.parts)))
        self.register_buffer("threshold", torch.ones(()))
        self.small = self.tail * self.width**2 <= _SMALL
        if self.small:
            self.register_buffer("tail_sum", torch.eye(self.width).repeat(self.tail, 1), persistent=False)
        self.lately = Lately(self.tail, self.width if self.small else None)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score, blame, seen, reconstruction, counts = self._scored(window)
        score, blame = self.voices(window, score, blame, seen.extremes, counts)
        return bounded(score), blame, self._raw(window, seen, reconstruction)

    def network_score(self, window: Tensor) -> Tensor:
        """The score [batch] without the voices."""
        return bounded(self._scored(window)[0])

    def _scored(self, window: Tensor) -> tuple[Tensor, Tensor, Seen, Tensor, Tensor]:
        """The network's part: score [batch], blame [batch, learned], what it saw, and the reconstruction of that.

        And how many samples of the window are there, [batch, learned].
        """
        seen, errors, codes, reconstructions = self._members(window)
        present = seen.present
        counts = self.over_time(present[:, -self.tail :])
        scores, blames = [], []
        for part, (member, kind) in enumerate(self.parts):
            score, blame = self._part(kind, member, seen.x, errors[member], codes[member], counts)
            scores.append(score * self.weights[part] / self.part_scale[part])
            blames.append(blame * self.weights[part] / self.part_scale[part])
        if self.tail < self.window:
            counts = present.sum(1)
        usual = self.threshold * self.gap_factor(counts.mean(1) / self.window)
        return _sum(scores) / usual, _sum(blames) / usual[:, None], seen, _mean(reconstructions), counts

    def _raw(self, window: Tensor, seen: Seen, reconstruction: Tensor) -> Tensor:
        """The reconstruction in the sensors' units; what the network does not see, or sees in steps, is as it came."""
        return self.in_place(
            self.scale.inverse(reconstruction if seen.said is None else reconstruction + seen.said), window
        )

    def in_place(self, raw: Tensor, window: Tensor) -> Tensor:
        """A raw reconstruction [batch, time, learned] among the channels of the window that it is of."""
        if self.channel_kinds.plain:
            return raw
        return torch.cat([raw, window], 2).index_select(2, cast(Tensor, self.learned.sources))

    def part_scales(self, member: int) -> dict[Kind, float]:
        """What each kind of score of a member is multiplied with, but for threshold and gaps."""
        own = slice(member * len(self.kinds), (member + 1) * len(self.kinds))
        shares = zip(self.kinds, self.weights[own], self.part_scale[own].tolist(), strict=True)
        return {kind: weight / scale for kind, weight, scale in shares}

    def look(self, window: Tensor) -> Seen:
        """What the network sees of raw windows."""
        raw = self.learned(window)
        widths, present = self.scale.widths(raw)
        extremes = self.scale.extremes(widths)
        if self.tail < self.window:
            excess = self.scale.excess(widths[:, -self.tail :])
        else:
            excess = self.scale.excess_of(*extremes)
        x = self.scale.clip(widths)
        if not self.effect.speaks:
            return Seen(x, present, extremes, excess, None)
        said = self.effect(window)
        x = (x - said) * present
        return Seen(x, present, extremes, excess, said)

    def _members(self, window: Tensor) -> tuple[Seen, list[Tensor], list[Tensor], list[Tensor]]:
        """What is seen, and of each member: error [batch, learned], code [batch, L], reconstruction.

        Errors are those of `Lately` over the tail, not yet divided by anything.
        """
        errors, codes, reconstructions = [], [], []
        seen = self.look(window)
        x, present = seen.x, seen.present
        tail = present[:, -self.tail :]
        share = seen.excess * seen.excess
        for member in self.network.members:
            code = member.encode(x, present)
            reconstruction = member.decode(code)
            difference = (x[:, -self.tail :] - reconstruction[:, -self.tail :]) * tail
            errors.append(self.lately(difference * difference, tail) * share)
            codes.append(code)
            reconstructions.append(reconstruction)
        return seen, errors, codes, reconstructions

    def over_time(self, values: Tensor) -> Tensor:
        """Sums of [batch, tail, channels] over time."""
        if self.small and self.tail > 1:
            # ONNX Runtime's sum over a middle axis costs more than such a product, but for large windows.
            return values.flatten(1) @ cast(Tensor, self.tail_sum)
        return values[:, 0] if self.tail == 1 else values.sum(1)

    def _part(
        self, kind: Kind, member: int, x: Tensor, error: Tensor, code: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score [batch] and blame [batch, channels] of one member by one kind, before any division."""
        relative = bounded_voice(error / self.normal[member])
        here = counts.clamp_max(1.0)
        if kind == "reconstruction":
            return self.joined(relative, here), relative
        if kind == "elbo":
            # -2 ELBO per sample, without its constant: errors over their variance, and twice the divergence.
            divergence = 2 * self.network.members[member].divergence(x) / counts.sum(1).clamp_min(1.0) * here.amax(1)
            return _mean_present(relative, here) + divergence, relative + divergence[:, None] * here
        distance = self.distance(member, code) * here.amax(1)
        # Latents belong to no channel: the distance is shared out as the errors are, with itself as the mean.
        shares = relative / _mean_present(relative, here).clamp_min(1e-12)[:, None]
        return distance, distance[:, None] * shares

    def distance(self, member: int, code: Tensor) -> Tensor:
        """Mean square of the whitened code, [batch]."""
        size = self.code_sizes[member]
        centred = code - self.latent_mean[member, :size]
        return (centred @ self.latent_whitening[member, :size, :size]).square().mean(1)

    def joined(self, relative: Tensor, here: Tensor | None) -> Tensor:
        """The channels' errors as one, [batch]; `here` is None where all are."""
        rule = self.options.rule
        if rule == "max":
            return relative.amax(1)
        if rule == "largest":
            return relative.topk(min(self.options.largest, self.width), dim=1).values.mean(1)
        return relative.mean(1) if here is None else _mean_present(relative, here)

    @property
    def score_name(self) -> str:
        """As in the manifest: the kind, or the kinds with a plus between them."""
        return "+".join(self.kinds)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor], fitted: Iterable[Tensor]) -> NDArray[np.float32]:
        """Set what is normal from raw windows that did not train the network, and return their scores [n].

        `batches` [batch, time, channels] are gone through two or three times, always in the same order. The scores
        are the network's, without the voices, at a threshold of 1. The latents' distribution is that of the windows
        `fitted`, which are more and spread over more time; how far held-out ones lie from it sets the scale of the
        distance.
        """
        self.threshold.fill_(1)
        self.part_scale.fill_(1)
        self.gap_factor.reset()
        self._calibrate_errors(batches)
        if "mahalanobis" in self.kinds:
            self._calibrate_latents(fitted)
        if len(self.parts) > 1:
            for part, scores in enumerate(self._part_scores(batches)):
                self.part_scale[part] = torch.quantile(scores, PART_QUANTILE).clamp_min(PART_FLOOR)
        self._calibrate_gaps(batches)
        return gathered(self.network_score(batch).cpu() for batch in batches).numpy()

    def _calibrate_errors(self, batches: Iterable[Tensor]) -> None:
        total = torch.zeros_like(self.normal, dtype=torch.float64)
        seen = torch.zeros(self.width, dtype=torch.float64, device=total.device)
        for batch in batches:
            looked, errors, _, _ = self._members(batch)
            here = looked.present[:, -self.tail :].sum(1).clamp_max(1.0)
            for member, error in enumerate(errors):
                total[member] += (error * here).sum(0)
            seen += here.sum(0)
        self.normal.copy_((total / seen.clamp_min(1.0)).clamp_min(ERROR_FLOOR))

    def _calibrate_gaps(self, batches: Iterable[Tensor]) -> None:
        generator = torch.Generator().manual_seed(0)
        windows = thinned(batches, _GAPS_PER_BATCH, _GAPS_MAX)
        scores = [
            torch.cat([self._scored(part)[0] for part in hide(windows, share, generator).split(_GAPS_PER_BATCH)])
            for share in SHARES
        ]
        high = torch.stack([torch.quantile(found, _GAP_QUANTILE) for found in scores])
        self.gap_factor.set(high, usual_share(windows))

    def _calibrate_latents(self, fitted: Iterable[Tensor]) -> None:
        codes: list[list[Tensor]] = [[] for _ in self.network.members]
        for batch in fitted:
            for found, code in zip(codes, self._members(batch)[2], strict=True):
                found.append(code)
        for member, size in enumerate(self.code_sizes):
            mean, matrix = whitening(torch.cat(codes[member]), SHRINKAGE)
            self.latent_mean[member, :size] = mean
            self.latent_whitening[member, :size, :size] = matrix

    def _part_scores(self, batches: Iterable[Tensor]) -> list[Tensor]:
        return list(gathered(map(self._parts_of, batches)).unbind(1))

    def _parts_of(self, batch: Tensor) -> Tensor:
        """The scores of all parts, [batch, parts]."""
        seen, errors, codes, _ = self._members(batch)
        counts = seen.present[:, -self.tail :].sum(1)
        scores = [
            self._part(kind, member, seen.x, errors[member], codes[member], counts)[0] for member, kind in self.parts
        ]
        return torch.stack(scores, 1)


def bounded(scores: Tensor) -> Tensor:
    """Scores within 0 and HIGHEST."""
    return scores.clamp(0.0, HIGHEST)


def _mean_present(values: Tensor, here: Tensor) -> Tensor:
    """Mean over the channels that are here (1 or 0), [batch]."""
    return (values * here).sum(1) / here.sum(1).clamp_min(1.0)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(tuple(values)).mean(0)


def _sum(values: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.add, values)


def part_weights(kinds: Sequence[Kind], members: int) -> list[float]:
    """The weight of each kind of each member in the score, of sum 1."""
    if "mahalanobis" not in kinds or len(kinds) == 1:
        shares = [1 / len(kinds) for _ in kinds]
    else:
        rest = (1 - LATENT_SHARE) / (len(kinds) - 1)
        shares = [LATENT_SHARE if kind == "mahalanobis" else rest for kind in kinds]
    return [share / members for _ in range(members) for share in shares]
