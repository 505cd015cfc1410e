"""The graphs of a bundle: a calibrated detector as ONNX, checked against what calibrated it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.detect.scaling import StreamScales
from aez.codec.errors import ModelError
from aez.export.common.scored_graph import TOLERANCE, Signature, compare_scores, export_scored
from aez.export.series.folded import FoldedGraph
from aez.export.series.graph import DetectorGraph
from aez.export.series.seasons.graph import SeasonGraph, SeasonParts

GRAPH, WHOLE_GRAPH = "detector", "detector_whole"
#: What graphs take beside windows: each stream's scale, and the phase of rows and a level where there are seasons.
SCALE_INPUTS, SEASON_INPUTS = ("centre", "width"), ("phase", "level")
OUTPUTS, WHOLE_OUTPUTS = ("score", "channel_score", "reconstruction"), ("score", "channel_score")
Inputs = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Takes:
    """What a graph takes beside windows of `window` rows: `scales` of streams, `seasons`, both or neither."""

    window: int
    scales: StreamScales | None = None
    seasons: SeasonParts | None = None

    @property
    def neutral(self) -> dict[str, NDArray[np.float32]]:
        """By the inputs' names, in order: what stands for one that a caller leaves out, [1, ...]."""
        parts = {} if self.scales is None else dict(zip(SCALE_INPUTS, self.scales.usual, strict=True))
        if self.seasons is not None:
            phase, level, _ = self.seasons.seasons.neutral
            parts |= dict(zip(SEASON_INPUTS, (np.repeat(phase, self.window, axis=0), level), strict=True))
        return {name: part[None].astype(np.float32) for name, part in parts.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all inputs, in order."""
        return ("window", *self.neutral)


class StreamGraph(nn.Module):
    """A graph for windows in widths, for windows in the sensors' units and the scale of each one's stream.

    window float32 [batch, time, channels], centre and width [batch, channels], or [1, channels] for all -> what `graph`
    gives; its third output, where it has one, in the sensors' units.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.inner = graph  # an exported module has a `graph` of its own

    def forward(self, window: Tensor, centre: Tensor, width: Tensor) -> tuple[Tensor, ...]:
        middle, wide = _spread(window, centre), _spread(window, width)
        score, blame, *raw = self.inner((window - middle) / wide)
        return (score, blame, *(one * wide + middle for one in raw))


class SeasonStreamGraph(nn.Module):
    """As `StreamGraph`, of a graph that takes phase and level, in widths, beside windows in widths."""

    def __init__(self, graph: SeasonGraph) -> None:
        super().__init__()
        self.inner = graph

    def forward(
        self, window: Tensor, centre: Tensor, width: Tensor, phase: Tensor, level: Tensor
    ) -> tuple[Tensor, ...]:
        middle, wide = _spread(window, centre), _spread(window, width)
        score, blame, *raw = self.inner((window - middle) / wide, phase, level)
        return (score, blame, *(one * wide + middle for one in raw))


def _spread(window: Tensor, part: Tensor) -> Tensor:
    """[batch, channels] over whole windows: with one row for each, runtimes are several times slower."""
    time, channels = window.shape[1:]
    return part.repeat(1, time).reshape(-1, time, channels)


def export_detector(
    graph: DetectorGraph, metadata: Mapping[str, Any], windows: Inputs, probe: Inputs, takes: Takes
) -> tuple[bytes, NDArray[np.float32]]:
    """(ONNX bytes, scores of the probe) as `export_scored`, on windows [n, time, channels].

    `windows` and `probe` are arrays of windows and of what the graph takes beside them, in its order; a caller may
    leave out all but the windows. Raises ModelError where the scores are not those of `graph`.
    """
    return _checked(graph, Signature(GRAPH, takes.names, OUTPUTS, takes.neutral), metadata, windows, probe, takes)


def export_whole(
    graph: DetectorGraph, metadata: Mapping[str, Any], windows: Inputs, takes: Takes
) -> tuple[bytes, NDArray[np.float32]] | None:
    """As `export_detector`, of windows from which nothing is missing; None where no window is whole."""
    there = ~np.isnan(windows[0]).any((1, 2))
    if not there.any():
        return None
    whole = [array[there] for array in windows]
    neutral = {} if takes.seasons is not None else takes.neutral  # rows without a phase are not whole
    signature = Signature(WHOLE_GRAPH, takes.names, WHOLE_OUTPUTS, neutral)
    return _checked(graph, signature, metadata, whole, [array[:1] for array in whole], takes)


def _checked(
    graph: DetectorGraph,
    signature: Signature,
    metadata: Mapping[str, Any],
    windows: Inputs,
    probe: Inputs,
    takes: Takes,
) -> tuple[bytes, NDArray[np.float32]]:
    folded = FoldedGraph(graph.cpu().eval(), whole=signature.graph == WHOLE_GRAPH)
    beside = [torch.ones(3, *array.shape[1:]) for array in windows[1:]]
    example = [torch.zeros(3, graph.window, graph.channels), *beside]
    given = _as_given(graph, folded, takes)
    exported = export_scored(given, signature, example, metadata, windows, probe)
    difference = compare_scores(_as_given(graph, graph, takes), exported[0], *windows)
    if difference > TOLERANCE:
        raise ModelError(f"the scores of graph {signature.graph} differ by {difference:.2g} of their value")
    return exported


def _as_given(calibrated: DetectorGraph, graph: nn.Module, takes: Takes) -> nn.Module:
    """The graph as it takes these inputs."""
    if takes.seasons is None:
        return graph if takes.scales is None else StreamGraph(graph)
    seasonal = SeasonGraph(graph, takes.seasons, float(calibrated.threshold))
    return seasonal if takes.scales is None else SeasonStreamGraph(seasonal)
