"""From a calibrated detector graph to an `.aezm` bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import GRAPH, TASK, WHOLE_GRAPH
from aez.codec.detect.events import EventRule
from aez.export.common.scored_graph import pack_scored, probe_members, tensor_entry
from aez.export.series.graph import DetectorGraph, export_detector, export_whole
from aez.export.series.signals import SignalFigures

#: Real windows on which torch and ONNX Runtime are compared.
CHECKED_WINDOWS = 256
#: Larger graphs have no second one for whole windows: their time goes into the network, which both share.
WHOLE_BYTES = 1 << 20


@dataclass(frozen=True)
class Described:
    """What a bundle says of a detector beside its graph. `units` "" and `period`, `signals` None: unknown."""

    name: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    period: float | None
    rule: EventRule
    provenance: Mapping[str, Any]
    figures: Mapping[str, Any]
    signals: SignalFigures | None = None


def pack_detector(graph: DetectorGraph, described: Described, windows: NDArray[np.float32]) -> Bundle:
    """The bundle of a calibrated graph, in memory; `windows` [n, time, channels] are real ones to check it on.

    Raises ModelError where ONNX Runtime does not compute what torch does.
    """
    threshold = float(graph.threshold)
    metadata = {
        "window": graph.window,
        "channels": list(described.channels),
        "units": list(described.units),
        "period_seconds": described.period,
        "threshold": threshold,
    }
    probe = make_probe(windows)
    data, probe_score = export_detector(graph, metadata, windows[:CHECKED_WINDOWS], probe)
    members = {f"{GRAPH}.onnx": data, **probe_members("window", probe, probe_score)}
    graphs = {GRAPH: describe_graph(graph)}
    if len(data) <= WHOLE_BYTES and (whole := export_whole(graph, metadata, windows[:CHECKED_WINDOWS])):
        members[f"{WHOLE_GRAPH}.onnx"] = whole[0]
        graphs[WHOLE_GRAPH] = describe_whole(graph)
    scaling = graph.scaling
    coding = {
        **metadata,
        "score": graph.score_name,
        "ranges": [[float(low), float(high)] for low, high in zip(scaling.low, scaling.high, strict=True)],
        "event_rule": asdict(described.rule),
    }
    if (signals := described.signals) is not None:
        coding["longest_rest_rows"], coding["longest_absence_rows"] = list(signals.rests), list(signals.absences)
        coding["sentinels"] = [list(values) for values in signals.sentinels]
    manifest = {
        "name": described.name,
        "family": graph.network.family,
        "task": TASK,
        "graphs": graphs,
        "provenance": described.provenance,
        "figures": dict(described.figures),
    }
    return pack_scored(manifest, coding, members)


def describe_graph(graph: DetectorGraph) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The manifest's entry for the graph."""
    reconstruction = tensor_entry("reconstruction", _window(graph), _SENSORS, "real")
    return {
        "inputs": [tensor_entry("window", _window(graph), _SENSORS, "real, NaN where a sample is missing")],
        "outputs": [*_scores(graph), reconstruction],
    }


def describe_whole(graph: DetectorGraph) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The manifest's entry for the graph of whole windows."""
    return {
        "inputs": [tensor_entry("window", _window(graph), _SENSORS, "real, none missing")],
        "outputs": _scores(graph),
    }


_SENSORS = "the sensors' own"


def _window(graph: DetectorGraph) -> list[Any]:
    return ["batch", graph.window, graph.channels]


def _scores(graph: DetectorGraph) -> list[Mapping[str, Any]]:
    return [
        tensor_entry("score", ["batch"], "thresholds", "0 and up; above 1 is anomalous"),
        tensor_entry("channel_score", ["batch", graph.channels], "thresholds", "0 and up; larger is more to blame"),
    ]


def make_probe(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two windows of which every user's scores are checked: a real one, and one with a broken sensor and a gap."""
    usual = windows[len(windows) // 2]
    broken = usual.copy()
    half = len(broken) // 2
    broken[half:, 0] = np.nanmax(np.abs(np.nan_to_num(broken[:, 0]))) * 10 + 1
    broken[: max(1, half // 2), -1] = np.nan
    return np.stack([usual, broken]).astype(np.float32)
