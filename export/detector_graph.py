"""The graph of a detector: a window in the sensors' own units in; score, blame by channel and reconstruction out.

Scaling, masks, errors and the threshold are inside, so that whoever embeds it needs one call. A score of 1 is the
threshold, whatever the network.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.runtime import open_session
from aez.export.families.base import Family, within
from aez.export.gaps import SHARES, GapFactor, hide
from aez.export.onnx_export import serialize, tidy, to_onnx
from aez.export.scaling import ScaleLayer, Scaling

GRAPH = "detector"
OUTPUTS = ("score", "channel_score", "reconstruction")
#: Largest relative difference between torch's and ONNX Runtime's scores that an export accepts.
TOLERANCE = 1e-4
Kind = Literal["reconstruction", "elbo", "mahalanobis"]
KINDS: tuple[Kind, ...] = ("reconstruction", "elbo", "mahalanobis")
Rule = Literal["mean", "max", "largest"]
RULES: tuple[Rule, ...] = ("mean", "max", "largest")
#: A channel's normal error is no less than this (in squared widths): a channel that stands still has none.
ERROR_FLOOR = 1e-3
#: The several kinds of a combination are divided by this quantile of their own scores.
PART_QUANTILE = 0.99
#: Share of a spherical covariance that is mixed into the latents' own (Ledoit, Wolf 2004, with a fixed weight).
SHRINKAGE = 0.05
_BATCH = 256
#: Windows on which gaps are tried, in all and of each batch.
_GAPS_MAX, _GAPS_PER_BATCH = 2000, 200
_GAP_QUANTILE = 0.999


@runtime_checkable
class WithDivergence(Protocol):
    """A network with an ELBO."""

    def divergence(self, x: Tensor) -> Tensor:
        """KL of the code of windows [batch, time, channels] from its prior in nats, [batch]."""


@dataclass(frozen=True)
class ScoreOptions:
    """How errors become a score.

    `kinds`: one, or several for a combination. `rule` joins the channels' errors; `largest` counts those that the rule
    of that name averages. `tail` counts the last samples of the window whose errors count (None: all). Raises
    InvalidArgument.
    """

    kinds: tuple[Kind, ...] = ("reconstruction",)
    rule: Rule = "mean"
    largest: int = 3
    tail: int | None = None

    def __post_init__(self) -> None:
        if not self.kinds or len(set(self.kinds)) < len(self.kinds) or not set(self.kinds) <= set(KINDS):
            raise InvalidArgument(
                f"score {'+'.join(self.kinds)!r} is unknown; use one or several of {', '.join(KINDS)}"
            )
        if self.rule not in RULES:
            raise InvalidArgument(f"rule {self.rule!r} is unknown; use {', '.join(RULES)}")
        within("largest", self.largest, 1, 4096)
        if self.tail is not None:
            within("tail", self.tail, 1, 4096)

    @property
    def name(self) -> str:
        """As in the manifest: the kind, or the kinds with a plus between them."""
        return "+".join(self.kinds)


class DetectorGraph(nn.Module):
    """From windows to scores.

    window float32 [batch, time, channels], raw, NaN = missing -> score [batch], channel_score [batch, channels],
    reconstruction [batch, time, channels], raw.

    A channel's error is the mean square of what is present, in scaled units, times the square of `ScaleLayer.excess`,
    over the channel's normal error. A channel that is missing from a window counts neither way, and a window without a
    sample scores 0. Scores of windows with gaps are divided by what gaps of that size do to normal windows.
    `calibrate`, then set `threshold`; before, all of this is 1.
    """

    normal: Tensor
    latent_mean: Tensor
    latent_whitening: Tensor
    part_scale: Tensor
    threshold: Tensor

    def __init__(self, network: Family, scaling: Scaling, options: ScoreOptions | None = None) -> None:
        super().__init__()
        options = options or ScoreOptions()
        if scaling.channels != network.channels:
            raise InvalidArgument(f"{scaling.channels} channels are scaled for a network of {network.channels}")
        if options.tail is not None and options.tail > network.window:
            raise InvalidArgument(f"tail {options.tail} is longer than the window of {network.window} samples")
        self.network, self.scaling, self.options = network, scaling, options
        self.scale, self.gap_factor = ScaleLayer(scaling, network.window), GapFactor()
        self.window, self.channels = network.window, network.channels
        self.tail = options.tail or network.window
        self.parts = [(member, kind) for member in range(len(network.members)) for kind in options.kinds]
        if "elbo" in options.kinds and not all(isinstance(member, WithDivergence) for member in network.members):
            raise InvalidArgument(f"family {network.family} has no ELBO; use reconstruction or mahalanobis")
        self.code_sizes = [member.latent for member in network.members]
        widest = max(self.code_sizes) if "mahalanobis" in options.kinds else 1
        count = len(network.members)
        self.register_buffer("normal", torch.ones(count, self.channels))
        self.register_buffer("latent_mean", torch.zeros(count, widest))
        self.register_buffer("latent_whitening", torch.eye(widest).repeat(count, 1, 1))
        self.register_buffer("part_scale", torch.ones(len(self.parts)))
        self.register_buffer("threshold", torch.ones(()))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, present, errors, codes, reconstructions = self._members(window)
        counts = present[:, -self.tail :].sum(1)
        scores, blames = [], []
        for part, (member, kind) in enumerate(self.parts):
            score, blame = self._part(kind, member, x, errors[member], codes[member], counts)
            scores.append(score / self.part_scale[part])
            blames.append(blame / self.part_scale[part])
        usual = self.threshold * self.gap_factor(self._share_present(present, counts))
        score, blame = _mean(scores) / usual, _mean(blames) / usual[:, None]
        raw = self.scale.inverse(_mean(reconstructions))
        return score, blame, raw

    def _members(self, window: Tensor) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """Scaled window, what is present, and of each member: error [batch, channels], code [batch, L], reconstruction.

        Errors are means over the tail, not yet divided by anything.
        """
        errors, codes, reconstructions = [], [], []
        widths, present = self.scale.widths(window)
        x = self.scale.clip(widths)
        tail = present[:, -self.tail :]
        excess = self.scale.excess(widths[:, -self.tail :])
        share = excess * excess / tail.sum(1).clamp_min(1.0)
        for member in self.network.members:
            code = member.encode(x, present)
            reconstruction = member.decode(code)
            difference = (x[:, -self.tail :] - reconstruction[:, -self.tail :]) * tail
            errors.append((difference * difference).sum(1) * share)
            codes.append(code)
            reconstructions.append(reconstruction)
        return x, present, errors, codes, reconstructions

    def _share_present(self, present: Tensor, counts: Tensor) -> Tensor:
        """Share of the whole window that is present [batch]; `counts` [batch, channels] is that of the tail."""
        if self.tail < self.window:
            counts = present.sum(1)
        return counts.mean(1) / self.window

    def _part(
        self, kind: Kind, member: int, x: Tensor, error: Tensor, code: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score [batch] and blame [batch, channels] of one member by one kind, before any division."""
        relative = error / self.normal[member]
        here = counts.clamp_max(1.0)
        if kind == "reconstruction":
            return self._join(relative, here), relative
        if kind == "elbo":
            # -2 ELBO per sample, without its constant: errors over their variance, and twice the divergence.
            network = cast(WithDivergence, self.network.members[member])
            divergence = 2 * network.divergence(x) / counts.sum(1).clamp_min(1.0) * here.amax(1)
            return _mean_present(relative, here) + divergence, relative + divergence[:, None] * here
        size = self.code_sizes[member]
        centred = code - self.latent_mean[member, :size]
        distance = (centred @ self.latent_whitening[member, :size, :size]).square().mean(1) * here.amax(1)
        # Latents belong to no channel: the distance is shared out as the errors are, with itself as the mean.
        shares = relative / _mean_present(relative, here).clamp_min(1e-12)[:, None]
        return distance, distance[:, None] * shares

    def _join(self, relative: Tensor, here: Tensor) -> Tensor:
        rule = self.options.rule
        if rule == "max":
            return relative.amax(1)
        if rule == "largest":
            return relative.topk(min(self.options.largest, self.channels), dim=1).values.mean(1)
        return _mean_present(relative, here)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> NDArray[np.float32]:
        """Set what is normal from raw windows that did not train the network, and return their scores [n].

        `batches` [batch, time, channels] are gone through two or three times, always in the same order. The scores
        are those of a threshold of 1.
        """
        self.threshold.fill_(1)
        self.part_scale.fill_(1)
        self.gap_factor.factors.fill_(1)
        self._calibrate_errors(batches)
        if len(self.parts) > 1:
            for part, scores in enumerate(self._part_scores(batches)):
                self.part_scale[part] = torch.quantile(scores, PART_QUANTILE).clamp_min(1e-6)
        self._calibrate_gaps(batches)
        return np.concatenate([self(batch)[0].cpu().numpy() for batch in batches])

    def _calibrate_errors(self, batches: Iterable[Tensor]) -> None:
        total = torch.zeros_like(self.normal, dtype=torch.float64)
        seen = torch.zeros(self.channels, dtype=torch.float64, device=total.device)
        codes: list[list[Tensor]] = [[] for _ in self.network.members]
        for batch in batches:
            _, present, errors, latents, _ = self._members(batch)
            here = present[:, -self.tail :].sum(1).clamp_max(1.0)
            for member, (error, code) in enumerate(zip(errors, latents, strict=True)):
                total[member] += (error * here).sum(0)
                codes[member].append(code)
            seen += here.sum(0)
        self.normal.copy_((total / seen.clamp_min(1.0)).clamp_min(ERROR_FLOOR))
        if "mahalanobis" in self.options.kinds:
            for member, parts in enumerate(codes):
                self._calibrate_latents(member, torch.cat(parts).double())

    def _calibrate_gaps(self, batches: Iterable[Tensor]) -> None:
        generator = torch.Generator().manual_seed(0)
        windows = torch.cat([batch[:: max(1, len(batch) // _GAPS_PER_BATCH)] for batch in batches])
        windows = windows[:: -(-len(windows) // _GAPS_MAX)]
        scores = [self(hide(windows, share, generator))[0] for share in SHARES]
        self.gap_factor.set(torch.stack([torch.quantile(found, _GAP_QUANTILE) for found in scores]))

    def _calibrate_latents(self, member: int, codes: Tensor) -> None:
        size = codes.shape[1]
        mean = codes.mean(0)
        covariance = (codes - mean).T @ (codes - mean) / max(len(codes) - 1, 1)
        sphere = torch.eye(size, dtype=codes.dtype, device=codes.device) * covariance.trace() / size
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * sphere
        covariance += 1e-9 * torch.eye(size, dtype=codes.dtype, device=codes.device)
        values, vectors = torch.linalg.eigh(covariance)
        self.latent_mean[member, :size] = mean.float()
        self.latent_whitening[member, :size, :size] = (vectors * values.clamp_min(1e-9).rsqrt()).float()

    def _part_scores(self, batches: Iterable[Tensor]) -> list[Tensor]:
        found: list[list[Tensor]] = [[] for _ in self.parts]
        for batch in batches:
            x, present, errors, codes, _ = self._members(batch)
            counts = present[:, -self.tail :].sum(1)
            for part, (member, kind) in enumerate(self.parts):
                found[part].append(self._part(kind, member, x, errors[member], codes[member], counts)[0])
        return [torch.cat(scores) for scores in found]


def _mean_present(values: Tensor, here: Tensor) -> Tensor:
    """Mean over the channels that are here (1 or 0), [batch]."""
    return (values * here).sum(1) / here.sum(1).clamp_min(1.0)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(tuple(values)).mean(0)


@torch.no_grad()
def export_detector(
    graph: DetectorGraph, metadata: Mapping[str, Any], windows: NDArray[np.float32], probe: NDArray[np.float32]
) -> tuple[bytes, NDArray[np.float32]]:
    """(ONNX bytes, scores of the probe), checked against torch on `windows` and `probe` [n, time, channels].

    `metadata` (plain JSON values) goes into the graph's metadata_props beside the probe (base64 of float32 little
    endian, row-major) and its scores. Raises ModelError where ONNX Runtime does not compute what torch does.
    """
    graph = graph.cpu().eval()
    example = torch.zeros(3, graph.window, graph.channels)
    model = to_onnx(graph, {"window": example}, OUTPUTS, [{0: torch.export.Dim("batch", min=1, max=65536)}])
    tidy(model, GRAPH)
    expected = graph(torch.from_numpy(probe))[0].numpy()
    _describe(model, {**metadata, "probe_shape": list(probe.shape), "probe_score": [float(s) for s in expected]})
    _describe(model, {"probe_window": base64.b64encode(probe.astype("<f4").tobytes()).decode()})
    data = serialize(model)
    difference = compare_scores(graph, data, np.concatenate([probe, windows]))
    if difference > TOLERANCE:
        raise ModelError(f"the exported graph's scores differ from torch's by {difference:.2g} of their value")
    return data, expected


def _describe(model: onnx.ModelProto, metadata: Mapping[str, Any]) -> None:
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value, allow_nan=False)


@torch.no_grad()
def compare_scores(graph: DetectorGraph, data: bytes, windows: NDArray[np.float32]) -> float:
    """Largest relative difference of the scores between torch and ONNX Runtime on raw windows [n, time, channels]."""
    session = open_session(data, "cpu", threads=1)
    worst = 0.0
    for start in range(0, len(windows), _BATCH):
        batch = np.ascontiguousarray(windows[start : start + _BATCH])
        wanted = graph(torch.from_numpy(batch))[0].numpy()
        found = session.run({"window": batch})["score"]
        worst = max(worst, float(np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), 1e-3))))
    return worst
