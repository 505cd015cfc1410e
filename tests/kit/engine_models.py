"""Detectors for the engine's tests: a real one with a small graph written by hand, and the same in NumPy."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from aez.codec.bundle.bundle import pack_bundle
from aez.codec.detect.detector import Detector, WindowScores
from aez.codec.detect.events import EventRule
from aez.daemon.common.records import Samples
from tests.kit.arrays import npy

WINDOW, CHANNELS, PERIOD = 4, ("flow", "heat"), 60
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
RULE = EventRule(open_after=2, close_after=3, merge_within=5)
Array = np.ndarray[Any, np.dtype[Any]]


def graph_bytes() -> bytes:
    """A channel's score is its mean magnitude in the window, missing samples counting as 0; the score is their mean."""
    nodes = [
        helper.make_node("IsNaN", ["window"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "window"], ["reconstruction"]),
        helper.make_node("Abs", ["reconstruction"], ["size"]),
        helper.make_node("ReduceMean", ["size", "time"], ["channel_score"], keepdims=0),
        helper.make_node("ReduceMean", ["channel_score", "time"], ["score"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("time", TensorProto.INT64, [1], [1]),
    ]

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    given = [value("score"), value("channel_score", len(CHANNELS)), value("reconstruction", WINDOW, len(CHANNELS))]
    graph = helper.make_graph(nodes, "detector", [value("window", WINDOW, len(CHANNELS))], given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


@cache
def detector(period: float | None = PERIOD, name: str = "plant") -> Detector:
    def tensor(name: str, *shape: Any) -> dict[str, Any]:
        return {"name": name, "shape": ["batch", *shape], "dtype": "float32"}

    count = len(CHANNELS)
    manifest = {
        "name": name,
        "family": "magnitude",
        "task": "detector",
        "coding": {
            "window": WINDOW,
            "channels": list(CHANNELS),
            "units": ["l/s", ""],
            "period_seconds": period,
            "threshold": 1.0,
            "score": "reconstruction",
            "ranges": [[-3.0, 3.0], [-3.0, 3.0]],
            "event_rule": asdict(RULE),
            "decoder_members": ["detector.onnx", "probe_score.npy", "probe_window.npy"],
        },
        "graphs": {
            "detector": {
                "inputs": [tensor("window", WINDOW, count)],
                "outputs": [tensor("score"), tensor("channel_score", count), tensor("reconstruction", WINDOW, count)],
            }
        },
        "provenance": {},
        "figures": {},
    }
    probe = np.ones((2, WINDOW, count), np.float32)
    members = {"probe_window": probe, "probe_score": np.ones(2, np.float32)}
    files = {f"{key}.npy": npy(array) for key, array in members.items()}
    return Detector(pack_bundle(manifest, {"detector.onnx": graph_bytes(), **files}), device="cpu", threads=1)


@dataclass(frozen=True)
class _Bundle:
    id: str


@dataclass
class Magnitude:
    """The same scores as `detector`'s, with any window and channels, and a note of the batches it was given.

    It refuses a batch that mixes windows with gaps and without, or is said to be what it is not.
    """

    window: int = WINDOW
    channels: tuple[str, ...] = CHANNELS
    period: float | None = PERIOD
    event_rule: EventRule = RULE
    name: str = "magnitude"
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def bundle(self) -> Any:
        return _Bundle(hashlib.sha256(self.name.encode()).hexdigest())

    def score_batch(self, batch: Array, *, whole: bool = False) -> WindowScores:
        self.shapes.add(batch.shape)
        assert (np.isnan(batch).any((1, 2)) != whole).all()
        assert batch.dtype == np.float32
        assert not np.isinf(batch).any()
        channel_score = np.abs(np.nan_to_num(batch)).mean(axis=1)
        return WindowScores(channel_score.mean(axis=1), channel_score)


def samples(
    values: Array, slots: Array | None = None, stream: str = "a", columns: tuple[str, ...] = CHANNELS
) -> Samples:
    """Rows [n, columns] of one stream at slots of the period, 0.. where none are given."""
    slots = np.arange(len(values)) if slots is None else np.asarray(slots)
    time = START + (slots * PERIOD * SECOND).astype(np.int64)
    return Samples([stream], np.zeros(len(values), np.int32), time, columns, np.asarray(values, np.float64))


def take(one: Samples, start: int, end: int) -> Samples:
    part = slice(start, end)
    return Samples(one.streams, one.stream[part], one.time[part], one.columns, one.values[part], one.tags)


def interleaved(by_stream: dict[str, Array]) -> Samples:
    """Row 0 of each stream, then row 1 of each, and so on."""
    names, count = list(by_stream), len(next(iter(by_stream.values())))
    values = np.stack(list(by_stream.values()), axis=1).reshape(-1, len(CHANNELS))
    time = START + np.repeat(np.arange(count), len(names)) * PERIOD * SECOND
    return Samples(names, np.tile(np.arange(len(names), dtype=np.int32), count), time, CHANNELS, values)


def bursts(rows: int, seed: int = 0, missing: float = 0.05) -> Array:
    """Quiet rows with a few loud stretches, some values missing; quiet at the end, so that every event closes."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-0.8, 0.8, (rows, len(CHANNELS)))
    for start in rng.integers(0, max(rows - 8, 1), max(rows // 40, 1)):
        values[start : start + int(rng.integers(2, 9))] *= 4
    values[-15:] = 0.1
    values[rng.random(values.shape) < missing] = np.nan
    return values
