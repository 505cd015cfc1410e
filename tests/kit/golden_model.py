"""The model of the golden files, written by hand: small enough to read, and of dyadic numbers alone.

Every number between symbols and pixels is a multiple of 2^-12 below 2^12, so that float32 rounds nothing on the way and
all right decoders give the same pixels. The latent of a block of 8x8 pixels is 64 times its mean colour, less 32; the
picture is smoothed over blocks, so that tiles see their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aez.codec.bundle.bundle import Bundle, pack_bundle
from tests.kit.arrays import npy
from tests.kit.small_model import falling_table

COLOURS, HYPER, STATE = 3, 2, 4
SCALES, HYPER_TABLES = 64, 12
PHASES = [[[0, 0]], [[1, 1]], [[0, 1], [1, 0]]]
Node = tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]


def _graph(given: dict[str, int], results: dict[str, int], nodes: Iterable[Node], **constants: Any) -> bytes:
    """A graph of nodes (operator, inputs, output, attributes); channels by the names of what it takes and gives."""

    def port(name: str, channels: int) -> onnx.ValueInfoProto:
        sides = [] if name == "level" else [channels, f"{name}_rows", f"{name}_columns"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sides])

    made = [helper.make_node(one[0], one[1].split(), [one[2]], **(one[3] if len(one) == 4 else {})) for one in nodes]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    ports = [[port(*one) for one in side.items()] for side in (given, results)]
    graph = helper.make_graph(made, "golden", *ports, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, producer_name="aez")
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _weights(outputs: int, inputs: int, seed: int, top: int) -> NDArray[np.float32]:
    """Integers -top..top, [outputs, inputs, 1, 1], of a rule."""
    place = np.arange(outputs * inputs).reshape(outputs, inputs, 1, 1)
    return ((place * 37 + seed * 11) % (2 * top + 1) - top).astype(np.float32)


def _float(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(() if len(values) == 1 else -1)


_LIMITS = {"low": _float(0), "high": _float(255), "most": _float(SCALES - 1), "part": _float(2**-7)}


def _index_nodes() -> list[Node]:
    """From `next_state` to `index`: a table for each element, which rises with the level."""
    return [
        ("Conv", "next_state out out_bias", "drawn"),
        ("Mul", "level slope", "raised"),
        ("Floor", "raised", "step"),
        ("Reshape", "step shape", "offset"),
        ("Add", "drawn offset", "sum"),
        ("Mul", "sum part", "scaled"),
        ("Floor", "scaled", "whole"),
        ("Clip", "whole low most", "index"),
    ]


def _index_constants(positions: int) -> dict[str, Any]:
    outputs = positions * COLOURS
    bias = np.array([(number % 3) * 1500 - 300 for number in range(outputs)], np.float32)
    return {
        "out": _weights(outputs, STATE, 3, 3),
        "out_bias": bias,
        "slope": _float(0.75),
        "shape": np.array([-1, 1, 1, 1]),
        **_LIMITS,
    }


def _scale(number: int) -> bytes:
    constants = {"enter_bias": np.full(STATE, 3000, np.float32), **_index_constants(len(PHASES[number]))}
    if number == 0:
        nodes: list[Node] = [
            ("Mul", "z sixteen", "scaled_z"),
            ("Add", "scaled_z middle", "moved"),
            ("Clip", "moved low high", "seen"),
        ]
        given = {"z": HYPER, "level": 0}
        constants |= {"sixteen": _float(16), "middle": _float(128), "enter": _weights(STATE, HYPER, 1, 25)}
    else:
        before = COLOURS * sum(len(phase) for phase in PHASES[:number])
        nodes = [
            ("Abs", "residual", "size"),
            ("Mul", "size eight", "large"),
            ("Clip", "large low high", "magnitude"),
            ("Concat", "state magnitude", "both", {"axis": 1}),
            ("Pad", "both around", "seen", {"mode": "edge"}),
        ]
        given = {"state": STATE, "residual": before, "level": 0}
        wide = np.tile(_weights(STATE, STATE + before, number, 3), (1, 1, 3, 3))
        constants |= {"eight": _float(8), "around": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "enter": wide}
    nodes += [
        ("Conv", "seen enter enter_bias", "entered"),
        ("Mul", "entered part", "parted"),
        ("Floor", "parted", "floored"),
        ("Clip", "floored low high", "next_state"),
        *_index_nodes(),
    ]
    return _graph(given, {"index": len(PHASES[number]) * COLOURS, "next_state": STATE}, nodes, **constants)


def _mean(number: int) -> bytes:
    outputs = len(PHASES[number]) * COLOURS
    results = {"mean": outputs, "next_state": STATE}
    out = _weights(outputs, STATE, 5, 3) / 4
    if number == 0:
        enter = np.zeros((STATE, HYPER, 1, 1), np.float32)
        enter[0, 0] = enter[1, 1] = enter[2, 0] = 1
        nodes: list[Node] = [("Conv", "z enter", "next_state"), ("Conv", "next_state out", "mean")]
        return _graph({"z": HYPER, "level": 0}, results, nodes, enter=enter, out=out)
    before = COLOURS * sum(len(phase) for phase in PHASES[:number])
    near = np.zeros((outputs, before, 1, 1), np.float32)
    for output in range(outputs):
        near[output, output % COLOURS] = 0.5
    nodes = [
        ("Mul", "state half", "next_state"),
        ("Conv", "next_state out", "guessed"),
        ("Conv", "residual near", "followed"),
        ("Add", "guessed followed", "mean"),
    ]
    return _graph(
        {"state": STATE, "residual": before, "level": 0}, results, nodes, half=_float(0.5), out=out, near=near
    )


def _transforms() -> dict[str, bytes]:
    mean = np.zeros((COLOURS, COLOURS, 8, 8), np.float32)
    coarse = np.zeros((HYPER, COLOURS, 2, 2), np.float32)
    spread, smooth = np.zeros((COLOURS, COLOURS, 8, 8), np.float32), np.zeros((COLOURS, 1, 3, 3), np.float32)
    for colour in range(COLOURS):
        mean[colour, colour] = 1
        spread[colour, colour] = 1 / 64
        smooth[colour, 0] = np.outer([1, 2, 1], [1, 2, 1]) / 16
    coarse[0], coarse[1, 0], coarse[1, 2] = 1 / 48, 1 / 16, -1 / 16
    analysis: list[Node] = [
        ("Conv", "image mean bias", "y", {"strides": [8, 8]}),
        ("Conv", "y coarse", "rough", {"strides": [2, 2]}),
        ("Round", "rough", "z"),
    ]
    synthesis: list[Node] = [
        ("Pad", "y around", "wide", {"mode": "edge"}),
        ("Conv", "wide smooth", "soft", {"group": COLOURS}),
        ("ConvTranspose", "soft spread half", "spread_out", {"strides": [8, 8]}),
        ("Clip", "spread_out zero one", "image"),
    ]
    thumbnail: list[Node] = [
        ("Mul", "y part", "small"),
        ("Add", "small middle", "moved"),
        ("Clip", "moved zero one", "image"),
    ]
    limits = {"zero": _float(0), "one": _float(1)}
    y, image = {"y": COLOURS, "level": 0}, {"image": COLOURS}
    around, half = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.full(COLOURS, 0.5, np.float32)
    return {
        "analysis": _graph(
            {"image": COLOURS, "level": 0},
            {"y": COLOURS, "z": HYPER},
            analysis,
            mean=mean,
            bias=np.full(COLOURS, -32, np.float32),
            coarse=coarse,
        ),
        "synthesis": _graph(y, image, synthesis, around=around, smooth=smooth, spread=spread, half=half, **limits),
        "thumbnail": _graph(y, image, thumbnail, part=_float(1 / 64), middle=_float(0.5), **limits),
    }


def _arrays() -> dict[str, NDArray[Any]]:
    hyper = [falling_table(1 + number % 5, 1 + number % 3) for number in range(HYPER_TABLES + 1)]
    residual = [falling_table(1 + number // 4, 1 + number // 6) for number in range(SCALES)]
    knot, context, channel = np.ogrid[:9, :8, :HYPER]
    found: dict[str, NDArray[Any]] = {
        "hyper_numbers": (1 + (5 * knot + 3 * context + channel) % HYPER_TABLES).astype(np.uint8)
    }
    for name, tables in (("hyper", hyper), ("residual", residual)):
        found[f"{name}_weights"] = np.concatenate(tables)
        found[f"{name}_starts"] = np.cumsum([0, *(len(table) for table in tables)], dtype=np.int64)
    return found


def golden_model() -> Bundle:
    """The bundle, the same bytes each time."""
    graphs = {f"mean{number}": _mean(number) for number in range(3)}
    graphs |= {f"scale{number}": _scale(number) for number in range(3)} | _transforms()
    members = {f"{name}.onnx": data for name, data in graphs.items()}
    members |= {f"{name}.npy": npy(array) for name, array in _arrays().items()}

    def ports(values: Iterable[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
        shapes = [
            (one.name, [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]) for one in values
        ]
        return [{"name": name, "shape": shape, "dtype": "float32"} for name, shape in shapes]

    loaded = {name: onnx.load_from_string(data).graph for name, data in graphs.items()}
    coding = {
        "alignment": 16,
        "analysis_halo": 0,
        "channels": COLOURS,
        "decoder_members": sorted(name for name in members if name != "analysis.onnx"),
        "hyper_channels": HYPER,
        "hyper_stride": 16,
        "latent_stride": 8,
        "level_max": 2048,
        "phases": PHASES,
        "quality_range": [1.0, 100.0],
        "state_channels": STATE,
        "state_stride": 16,
        "synthesis_halo": 16,
    }
    manifest = {
        "name": "golden",
        "family": "golden",
        "task": "image-codec",
        "coding": coding,
        "graphs": {name: {"inputs": ports(g.input), "outputs": ports(g.output)} for name, g in loaded.items()},
        "provenance": {},
        "figures": {},
    }
    return pack_bundle(manifest, members)
