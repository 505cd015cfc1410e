"""From a calibrated detector graph to an `.aezm` bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import GRAPH, ROWS, SCALE_CENTRE, SCALE_WIDTH, TASK, WHOLE_GRAPH
from aez.codec.detect.events import EventRule
from aez.codec.detect.rhythm.seasons import NEUTRAL_LEVEL, NEUTRAL_PHASE, SEASON_CENTRE, SEASON_WIDTH
from aez.codec.detect.scaling import StreamScales
from aez.export.common.provenance import npy_bytes
from aez.export.common.scored_graph import pack_scored, probe_members, tensor_entry
from aez.export.series.data.signals import SignalFigures
from aez.export.series.exporting import Takes, export_detector, export_whole
from aez.export.series.graph import DetectorGraph
from aez.export.series.seasons.finding import season_windows
from aez.export.series.seasons.graph import SeasonParts
from aez.export.series.streams import unscaled

#: Real windows on which torch and ONNX Runtime are compared.
CHECKED_WINDOWS = 256
#: Larger graphs have no second one for whole windows: their time goes into the network, which both share.
WHOLE_BYTES = 1 << 20


@dataclass(frozen=True)
class Described:
    """What a bundle says of a detector beside its graph.

    `units` "" and `period`, `signals`, `covering_threshold` None: unknown. `rows`: it judges rows that are no series.
    """

    name: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    period: float | None
    rule: EventRule
    provenance: Mapping[str, Any]
    figures: Mapping[str, Any]
    signals: SignalFigures | None = None
    covering_threshold: float | None = None
    rows: bool = False
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Learned:
    """A calibrated detector and what its bundle says of it: all that outlives the rows it learned from.

    `windows` float32 [n, time, channels], real ones, are what the exported graph is checked on; with `scales` or
    `seasons` they and the graph are in widths.
    """

    graph: DetectorGraph
    described: Described
    windows: NDArray[np.float32]
    scales: StreamScales | None = None
    seasons: SeasonParts | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        return self.described.channels

    def pack(self, name: str) -> Bundle:
        """The bundle, in memory. Raises ModelError where the export does not compute the same."""
        return pack_detector(self.graph, replace(self.described, name=name), self.windows, self.scales, self.seasons)


def pack_detector(
    graph: DetectorGraph,
    described: Described,
    windows: NDArray[np.float32],
    scales: StreamScales | None = None,
    seasons: SeasonParts | None = None,
) -> Bundle:
    """The bundle of a calibrated graph, in memory; `windows` [n, time, channels] are real ones to check it on.

    With `scales` or `seasons` the graph and the windows are in widths, and what is packed takes each stream's scale, or
    the phase of a window's rows and its level. Raises ModelError where ONNX Runtime does not compute what torch does.
    """
    metadata = _metadata(graph, described, seasons)
    takes = Takes(graph.window, scales, seasons)
    checked, probe = (_inputs(some, scales, seasons) for some in (windows[:CHECKED_WINDOWS], make_probe(windows)))
    data, probe_score = export_detector(graph, metadata, checked, probe, takes)
    members = {f"{GRAPH}.onnx": data, **probe_members(dict(zip(takes.names, probe, strict=True)), probe_score)}
    graphs = {GRAPH: describe_graph(graph, scales is not None, seasons)}
    if len(data) <= WHOLE_BYTES and (whole := export_whole(graph, metadata, checked, takes)):
        members[f"{WHOLE_GRAPH}.onnx"] = whole[0]
        graphs[WHOLE_GRAPH] = describe_whole(graph, scales is not None, seasons)
    if seasons is not None:
        members |= season_members(seasons)
    if scales is not None:
        metadata |= {"stream_scale": {"rows": scales.rows, "streams": list(scales.known)}}
        members |= scale_members(scales)
    coding = {**metadata, "score": graph.score_name}
    if described.rows:
        coding["mode"] = ROWS
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


def _metadata(graph: DetectorGraph, described: Described, seasons: SeasonParts | None) -> dict[str, Any]:
    """What must be known to call the graph and to raise the right alarms, as plain JSON."""
    kinds = graph.channel_kinds
    metadata: dict[str, Any] = {
        "window": graph.window,
        "channels": list(described.channels),
        "units": list(described.units),
        "ranges": [[float(low), float(high)] for low, high in zip(kinds.low, kinds.high, strict=True)],
        "kinds": list(kinds.names),
        "period_seconds": described.period,
        "threshold": float(graph.threshold),
        "event_rule": asdict(described.rule),
    }
    if described.covering_threshold is not None:
        metadata["covering_threshold"] = described.covering_threshold
    if described.words:
        metadata["words"] = {name: list(words) for name, words in described.words.items()}
    if seasons is not None:
        metadata |= {"seasons": describe_seasons(seasons)}
    return metadata


def _inputs(
    windows: NDArray[np.float32], scales: StreamScales | None, seasons: SeasonParts | None
) -> list[NDArray[np.float32]]:
    """Windows as the packed graph takes them, with what it takes beside them."""
    beside: list[NDArray[np.float32]] = []
    if seasons is not None:
        windows, *beside = season_windows(seasons.seasons, windows)
    if scales is None:
        return [windows, *beside]
    raw, scale = unscaled(windows, scales)
    return [raw, *scale, *beside]


def scale_members(scales: StreamScales) -> dict[str, bytes]:
    """The scales of the training streams, float32 [1 + streams, channels] each: first their median, then each."""
    every = [scales.usual, *scales.known.values()]
    names = (SCALE_CENTRE, SCALE_WIDTH)
    return {f"{name}.npy": npy_bytes(np.stack([one[part] for one in every])) for part, name in enumerate(names)}


def season_members(parts: SeasonParts) -> dict[str, bytes]:
    """The tables of what is usual, float32: those of all seasons behind each other, and widths [1 + bins, channels]."""
    tables = {SEASON_CENTRE: np.concatenate(parts.seasons.centre), SEASON_WIDTH: parts.seasons.width}
    return {f"{name}.npy": npy_bytes(table) for name, table in tables.items()}


def describe_seasons(parts: SeasonParts) -> dict[str, Any]:
    """What must be known to give a graph phase and level, as plain JSON."""
    seasons = parts.seasons
    return {
        "seasons": [{"kind": one.kind, "bins": one.bins} for one in seasons.calendar.seasons],
        "timezone": seasons.calendar.timezone,
        "holidays": [str(np.datetime64(day, "D")) for day in seasons.calendar.holidays],
        "multiplies": seasons.multiplies.tolist(),
        "follows": seasons.follows.tolist(),
        "memory_rows": seasons.memory,
        "block_seconds": seasons.block / 1e9,
        "streams": {
            name: {"times": list(one.times), "levels": [level.astype(float).tolist() for level in one.levels]}
            for name, one in seasons.streams.items()
        },
        "neutral": {"phase": NEUTRAL_PHASE, "level": NEUTRAL_LEVEL},
    }


def describe_graph(
    graph: DetectorGraph, scaled: bool = False, seasons: SeasonParts | None = None
) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The manifest's entry for the graph; `scaled`: it takes each stream's scale."""
    reconstruction = tensor_entry("reconstruction", _window(graph), _SENSORS, "real")
    return {
        "inputs": _taken(graph, "real, NaN where a sample is missing", scaled, seasons),
        "outputs": [*_scores(graph), reconstruction],
    }


def describe_whole(
    graph: DetectorGraph, scaled: bool = False, seasons: SeasonParts | None = None
) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The manifest's entry for the graph of whole windows."""
    return {"inputs": _taken(graph, "real, none missing", scaled, seasons), "outputs": _scores(graph)}


def _taken(graph: DetectorGraph, values: str, scaled: bool, seasons: SeasonParts | None) -> list[Mapping[str, Any]]:
    each: list[int | str] = ["batch", graph.channels]
    taken: list[Mapping[str, Any]] = [tensor_entry("window", _window(graph), _SENSORS, values)]
    if scaled:
        taken += [tensor_entry("centre", each, _SENSORS, "real"), tensor_entry("width", each, _SENSORS, "above 0")]
    if seasons is not None:
        unit = "widths" if scaled else "the sensors' own, or shares"
        taken.append(tensor_entry("phase", ["batch", graph.window, seasons.seasons.count], "bins", "0: not known"))
        taken.append(tensor_entry("level", each, unit, "0 where not known"))
    return taken


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
