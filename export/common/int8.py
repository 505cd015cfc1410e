"""A model with its networks' weights in int8, by ONNX Runtime's own quantizer, as a bundle of its own.

Weights of matrix products are kept in int8; what they are multiplied with is brought to 8 bits by its own range when
it runs (dynamic quantization). Fixed ranges (static quantization) were tried on detectors and moved scores of normal
windows by up to 0.7 thresholds, dynamic ones by 0.01. The range is that of all items of a batch, so one loud window
blurs the others: such a graph is for windows that come one at a time. What makes a score of what a network gives stays
in float32: errors are squares, and small ones would be lost in 8 bits.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle, pack_bundle
from aez.codec.bundle.session import open_session
from aez.codec.errors import InvalidArgument
from aez.export.common.provenance import npy_bytes, versions
from aez.export.common.to_onnx import IR_VERSION, serialize

#: Tasks whose graphs are networks alone or with what makes a score; by each the arrays that the graphs gave.
PROBES: dict[str, dict[str, tuple[str, str]]] = {
    "detector": {"probe_score": ("detector", "score")},
    "autoencoder": {"probe_code": ("encoder", "mean")},
}
#: Operators that the quantizer turns into standard ones that run on every processor.
PRODUCTS = frozenset({"Gemm", "MatMul"})
#: Fewer weights than these are not worth two operators more.
LEAST = 64
#: Weights of a detector that belong to its network begin so; those that count how late rows are do not.
NETWORK, COUNTING = "members.", ".lately."


def int8_bundle(bundle: Bundle) -> Bundle:
    """The bundle with int8 weights: a model with an id of its own, whose coding says `"precision": "int8"`.

    Its probe promises what its own graphs give for the probe's items in one batch. Raises
    InvalidArgument for models of other tasks, for those that are int8 already, and for those without a matrix product
    that is large enough.
    """
    if bundle.task not in PROBES:
        raise InvalidArgument(
            f"model {bundle.name} is made for {bundle.task}, and only detectors of series and autoencoders are written "
            "in int8"
        )
    if bundle.coding.get("precision") == "int8":
        raise InvalidArgument(f"model {bundle.name} is in int8 already")
    graphs = {Path(name).stem: bundle.graph(Path(name).stem) for name in bundle.members if name.endswith(".onnx")}
    arrays = {Path(name).stem: bundle.array(Path(name).stem) for name in bundle.members if name.endswith(".npy")}
    quantized = {name: _quantized(data) for name, data in graphs.items()}
    if quantized == graphs:
        raise InvalidArgument(
            f"model {bundle.name} of the family {bundle.manifest['family']} has no matrix product of {LEAST} weights "
            "or more, and only these are written in int8"
        )
    for promised, (graph, output) in PROBES[bundle.task].items():
        arrays[promised] = _probed(quantized[graph], output, arrays)
    described = {name: _described(data, arrays.get("probe_score")) for name, data in quantized.items()}
    members = {f"{name}.onnx": data for name, data in described.items()}
    members |= {f"{name}.npy": npy_bytes(array) for name, array in arrays.items()}
    provenance = {**bundle.manifest["provenance"], "int8": {"of": bundle.id, "versions": versions()}}
    changes = {"coding": {**bundle.coding, "precision": "int8"}, "provenance": provenance}
    return pack_bundle({**bundle.manifest, **changes}, members)


def _quantized(data: bytes) -> bytes:
    """The graph with int8 weights; as it is if there is nothing to do."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load_from_string(data)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    chosen = [*_products(model)]
    if not chosen:
        return data
    kept = {entry.key: entry.value for entry in model.metadata_props}
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # no advice to do what is done
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        # 7 of 8 bits: sums of two products then fit into 16 bits, and every processor computes the same.
        quantize_dynamic(
            model,
            path,
            nodes_to_quantize=chosen,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        found = onnx.load(path)
    onnx.helper.set_model_props(found, kept)
    found.ir_version, found.producer_name, found.producer_version = IR_VERSION, "aez", ""
    standard = [one for one in found.opset_import if one.domain in ("", "ai.onnx")]
    del found.opset_import[:]
    found.opset_import.extend(standard)
    return serialize(found)


def _products(model: onnx.ModelProto) -> Iterator[str]:
    """Names of the nodes that multiply by enough weights of a network."""
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    detects = any(output.name == "score" for output in model.graph.output)
    for node in model.graph.node:
        if node.op_type not in PRODUCTS or weights.get(node.input[1], 0) < LEAST:
            continue
        if not detects or (node.input[1].startswith(NETWORK) and COUNTING not in node.input[1]):
            yield from (node.name, f"{node.name}_MatMul")  # the quantizer makes a product and a sum of a Gemm first


def _probed(data: bytes, output: str, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """What the graph gives for the probe's items."""
    taken = [one.name for one in onnx.load_from_string(data).graph.input]
    given = {name: arrays[f"probe_{name}"] for name in taken if f"probe_{name}" in arrays}
    return open_session(data, "cpu", threads=1).run(given)[output]


def _described(data: bytes, scores: NDArray[np.float32] | None) -> bytes:
    """The graph with metadata that say that it is int8, and what its probe scores now."""
    model = onnx.load_from_string(data)
    changed = {"precision": "int8"} | ({} if scores is None else {"probe_score": json.dumps(scores.tolist())})
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in model.metadata_props} | changed)
    return serialize(model)
