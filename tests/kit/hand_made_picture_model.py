"""A picture detector whose graph is written by hand: the error map is |level - 128| / 64, mean over the colours.

The score is the map's highest value, the reconstruction 128 everywhere, so that tests can say what must come out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from aez.codec.bundle.bundle import Bundle, pack_bundle
from tests.kit.arrays import npy

HEIGHT, WIDTH = 8, 12
Array = np.ndarray[Any, np.dtype[Any]]


def graph_bytes(colours: int = 1, outputs: int = 3) -> bytes:
    nodes = [
        helper.make_node("Sub", ["image", "middle"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["size"]),
        helper.make_node("Div", ["size", "unit"], ["relative"]),
        helper.make_node("ReduceMean", ["relative", "colours"], ["error_map"], keepdims=0),
        helper.make_node("ReduceMax", ["error_map", "places"], ["score"], keepdims=0),
        helper.make_node("Sub", ["image", "difference"], ["reconstruction"]),
    ]
    constants = [
        helper.make_tensor("middle", TensorProto.FLOAT, [], [128.0]),
        helper.make_tensor("unit", TensorProto.FLOAT, [], [64.0]),
        helper.make_tensor("colours", TensorProto.INT64, [1], [1]),
        helper.make_tensor("places", TensorProto.INT64, [2], [1, 2]),
    ]

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    given = [value("score"), value("error_map", HEIGHT, WIDTH), value("reconstruction", colours, HEIGHT, WIDTH)]
    graph = helper.make_graph(
        nodes, "picture_detector", [value("image", colours, HEIGHT, WIDTH)], given[:outputs], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def scores_of(planes: Array) -> tuple[Array, Array]:
    """(score, error map) in NumPy."""
    error_map = (np.abs(planes.astype(np.float64) - 128) / 64).mean(axis=1)
    return error_map.max(axis=(1, 2)), error_map


def probe(colours: int = 1) -> Array:
    return np.random.default_rng(0).integers(0, 256, (2, colours, HEIGHT, WIDTH), dtype=np.uint8)


def manifest(colours: int = 1, outputs: int = 3) -> dict[str, Any]:
    def tensor(name: str, *shape: Any) -> dict[str, Any]:
        return {"name": name, "shape": ["batch", *shape], "dtype": "float32"}

    image = ("reconstruction", colours, HEIGHT, WIDTH)
    given = [tensor("score"), tensor("error_map", HEIGHT, WIDTH), tensor(*image)]
    members = ["picture_detector.onnx", "probe_image.npy", "probe_score.npy"]
    return {
        "name": "gear",
        "family": "magnitude",
        "task": "picture-detector",
        "coding": {
            "height": HEIGHT,
            "width": WIDTH,
            "colours": colours,
            "threshold": 2.0,
            "score": "spots",
            "decoder_members": members,
        },
        "graphs": {"picture_detector": {"inputs": [tensor("image", *image[1:])], "outputs": given[:outputs]}},
        "provenance": {"data": "<b>nothing</b>"},
        "figures": {},
    }


def bundle(colours: int = 1, outputs: int = 3, coding: dict[str, Any] | None = None, **members: Array) -> Bundle:
    """The model, with changes to `coding` and with other arrays for the probe."""
    about = manifest(colours, outputs)
    about["coding"] |= coding or {}
    arrays = {"probe_image": probe(colours), "probe_score": scores_of(probe(colours))[0].astype(np.float32)} | members
    files = {"picture_detector.onnx": graph_bytes(colours, outputs)}
    return pack_bundle(about, files | {f"{name}.npy": npy(array) for name, array in arrays.items()})
