"""A detector of simulated satellites, written by hand: how far channels lie outside their normal ranges.

A channel's score is its mean distance from the middle of its range over the window, in half ranges, over the threshold;
a window's is its worst channel's. Missing samples count as the middle.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from aez.codec.bundle.bundle import pack_bundle, save_bundle
from aez.codec.detect.events import EventRule
from aez.daemon.simulate.satellites import CHANNELS, Simulation
from tests.kit.arrays import npy

WINDOW = 4


def save_satellite_model(path: Path, *, threshold: float = 1.3, name: str = "satellite") -> Path:
    """Write the bundle; `threshold` in half ranges."""
    values = np.concatenate([block.values for block in Simulation(seed=99).blocks(900)])
    low, high = values.min(axis=0), values.max(axis=0)
    middle, half = ((low + high) / 2).astype(np.float32), ((high - low) / 2).astype(np.float32)
    probe = np.stack([values[:WINDOW], values[-WINDOW:] + 5]).astype(np.float32)
    score = (np.abs((probe - middle) / half).mean(axis=1) / threshold).max(axis=1).astype(np.float32)
    manifest = {
        "name": name,
        "family": "ranges",
        "task": "detector",
        "coding": {
            "window": WINDOW,
            "channels": list(CHANNELS),
            "units": list(CHANNELS.values()),
            "period_seconds": 1.0,
            "threshold": threshold,
            "score": "reconstruction",
            "ranges": np.stack([low, high], axis=1).tolist(),
            "event_rule": asdict(EventRule(open_after=3, close_after=5)),
            "decoder_members": ["detector.onnx", "probe_score.npy", "probe_window.npy"],
        },
        "graphs": {
            "detector": {
                "inputs": [_described("window", WINDOW, len(CHANNELS))],
                "outputs": [
                    _described("score"),
                    _described("channel_score", len(CHANNELS)),
                    _described("reconstruction", WINDOW, len(CHANNELS)),
                ],
            }
        },
        "provenance": {},
        "figures": {},
    }
    members = {"probe_window.npy": npy(probe), "probe_score.npy": npy(score)}
    graph = _graph(middle, half * np.float32(threshold))
    save_bundle(pack_bundle(manifest, {"detector.onnx": graph, **members}), path)
    return path


def _graph(middle: np.ndarray, scale: np.ndarray) -> bytes:
    nodes = [
        helper.make_node("IsNaN", ["window"], ["missing"]),
        helper.make_node("Where", ["missing", "middle", "window"], ["reconstruction"]),
        helper.make_node("Sub", ["reconstruction", "middle"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Abs", ["scaled"], ["distance"]),
        helper.make_node("ReduceMean", ["distance", "first"], ["channel_score"], keepdims=0),
        helper.make_node("ReduceMax", ["channel_score", "first"], ["score"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("middle", TensorProto.FLOAT, [len(middle)], middle.tolist()),
        helper.make_tensor("scale", TensorProto.FLOAT, [len(scale)], scale.tolist()),
        helper.make_tensor("first", TensorProto.INT64, [1], [1]),
    ]
    outputs = [_value("score"), _value("channel_score", len(middle)), _value("reconstruction", WINDOW, len(middle))]
    graph = helper.make_graph(nodes, "detector", [_value("window", WINDOW, len(middle))], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def _value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


def _described(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "shape": ["batch", *shape], "dtype": "float32"}
