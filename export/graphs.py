"""Cutting a trained photo network into the four ONNX graphs of a bundle, and checking them against torch.

Every graph takes dynamic batch, height and width and holds standard operators only. Initializers keep the names of
the network's parameters, so that `network_from_bundle` can go on training from a bundle.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from aez.codec.quality import LEVEL_MAX
from aez.codec.runtime import open_session
from aez.export.integer import (
    ACC_ONE,
    ACT_MAX,
    INDEX_SHIFT,
    INDEX_UNIT,
    SCALES,
    WEIGHT_ONE,
    Z_LIMIT,
    Z_SHIFT,
    Z_ZERO,
    ExactScaleNetwork,
)
from aez.export.photo import CHANNELS, PATCH, PhotoNetwork

OPSET = 18
#: Largest difference between torch and ONNX Runtime that the check accepts, relative to the output's range.
TOLERANCE = 1e-3
#: Weights with at least this many numbers are stored compactly, under their name with this suffix.
LARGE, STORED = 4096, "_stored"


class _Part(nn.Module):
    """A view of the network that owns all of its parameters, so that their names stay what they are."""

    def __init__(self, network: PhotoNetwork) -> None:
        super().__init__()
        self.network = network


class AnalysisGraph(_Part):
    """image, level -> y, z (rounded)."""

    def forward(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        n = self.network
        whitened = n.analysis(image, level)
        z = torch.round(n.hyper_analysis(whitened, level) * n.hyper_gain(level))
        return whitened * n.gain(level), z


class MeanGraph(_Part):
    """z, level -> mean."""

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        n = self.network
        return cast(Tensor, n.mean(z / n.hyper_gain(level), level) * n.gain(level))


class SynthesisGraph(_Part):
    """y, level -> image in 0..1."""

    def forward(self, y: Tensor, level: Tensor) -> Tensor:
        n = self.network
        return cast(Tensor, n.synthesis(y * n.inverse_gain(level), level)).clamp(0, 1)


class Port(NamedTuple):
    """An input or output of a graph: axes after the batch, unit and range of its values."""

    axes: tuple[int | str, ...]
    unit: str
    range: str


_LEVEL = Port((), "quality level", "0..2048")
_IMAGE = Port((3, "height", "width"), "RGB", "0..1")
_Y = Port((CHANNELS, "height/8", "width/8"), "quantization steps", "real")
_Z = Port(("hyper", "height/16", "width/16"), "symbols", "integer")
_INDEX = Port((CHANNELS, "height/8", "width/8"), "table number", "integer 0..63")

#: graph -> (inputs, outputs), each by name. "hyper" stands for the network's count of hyper-latent channels.
SIGNATURES: dict[str, tuple[dict[str, Port], dict[str, Port]]] = {
    "analysis": ({"image": _IMAGE, "level": _LEVEL}, {"y": _Y, "z": _Z}),
    "mean": ({"z": _Z, "level": _LEVEL}, {"mean": _Y}),
    "scale": ({"z": _Z, "level": _LEVEL}, {"index": _INDEX}),
    "synthesis": ({"y": _Y, "level": _LEVEL}, {"image": _IMAGE}),
}


def describe_graphs(hyper: int) -> dict[str, object]:
    """The manifest's `graphs` entry, for a network of `hyper` hyper-latent channels."""

    def side(ports: dict[str, Port]) -> list[dict[str, object]]:
        return [
            {
                "name": name,
                "shape": ["batch", *(hyper if axis == "hyper" else axis for axis in port.axes)],
                "dtype": "float32",
                "unit": port.unit,
                "range": port.range,
            }
            for name, port in ports.items()
        ]

    return {name: {"inputs": side(inputs), "outputs": side(outputs)} for name, (inputs, outputs) in SIGNATURES.items()}


@torch.no_grad()
def round_stored_weights(network: PhotoNetwork) -> None:
    """Round in place what bundles store as float16, so that tables and checks see the network that users get.

    The scale path's integers are stored exactly. Raises ValueError for a weight outside float16's range.
    """
    for name, parameter in network.named_parameters():
        if parameter.numel() >= LARGE and not name.startswith("scale."):
            rounded = parameter.half().float()
            if not bool(torch.isfinite(rounded).all()):
                raise ValueError(f"a weight of {name} is outside the range of float16")
            parameter.copy_(rounded)


def export_graphs(network: PhotoNetwork) -> dict[str, bytes]:
    """ONNX bytes of the four graphs, checked against torch.

    Raises ValueError when the scale path is not provably exact, or a graph does not compute what torch does.
    """
    network = network.eval().to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    parts: dict[str, nn.Module] = {
        "analysis": AnalysisGraph(network),
        "mean": MeanGraph(network),
        "scale": ExactScaleNetwork(network.scale),
        "synthesis": SynthesisGraph(network),
    }
    graphs = {name: _export(name, part, network.config.hyper_channels) for name, part in parts.items()}
    for name, part in parts.items():
        check_graph(name, part, graphs[name], network.config.hyper_channels)
    return graphs


def example_inputs(
    name: str, hyper: int, batch: int = 2, height: int = 64, width: int = 96, seed: int = 0
) -> dict[str, Tensor]:
    """Random inputs of a graph with the statistics of real ones, for pictures of height x width pixels."""
    g = torch.Generator().manual_seed(seed)
    level = torch.randint(0, LEVEL_MAX + 1, (batch,), generator=g).float()
    if name == "analysis":
        coarse = torch.rand(batch, 3, height // 8, width // 8, generator=g)
        return {"image": nn.functional.interpolate(coarse, (height, width), mode="bilinear"), "level": level}
    if name == "synthesis":
        y = torch.randn(batch, CHANNELS, height // PATCH, width // PATCH, generator=g)
        return {"y": y, "level": level}
    z = torch.round(3 * torch.randn(batch, hyper, height // 16, width // 16, generator=g))
    return {"z": z, "level": level}


def _export(name: str, part: nn.Module, hyper: int) -> bytes:
    inputs, outputs = SIGNATURES[name]
    example = example_inputs(name, hyper)
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = torch.export.Dim("rows", min=1, max=65536), torch.export.Dim("columns", min=1, max=65536)
    unit = {"analysis": 16, "synthesis": 2}.get(name, 1)
    shapes = {key: {0: batch} if key == "level" else {0: batch, 2: unit * rows, 3: unit * columns} for key in inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            part.eval(),
            tuple(example.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(shapes[key] for key in example),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return _tidy(program.model_proto, name)


def _tidy(model: onnx.ModelProto, name: str) -> bytes:
    """Drop what runtimes do not need (paths and traces of this machine) and name the graph."""
    model.graph.name = name
    model.doc_string = ""
    model.producer_name, model.producer_version = "aez", ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        del value.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    _store_compactly(model, onnx.TensorProto.INT8 if name == "scale" else onnx.TensorProto.FLOAT16)
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def _store_compactly(model: onnx.ModelProto, kind: int) -> None:
    """Keep large float32 weights as float16 (int8 for integers) behind a Cast, which runtimes fold when they load."""
    for tensor in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type != onnx.TensorProto.FLOAT or values.size < LARGE:
            continue
        small = values.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        if kind == onnx.TensorProto.INT8 and not np.array_equal(small.astype(np.float32), values):
            raise ValueError(f"{tensor.name}: not 8-bit integers")
        stored = onnx.numpy_helper.from_array(small, tensor.name + STORED)
        cast_node = onnx.helper.make_node("Cast", [stored.name], [tensor.name], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast_node)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(stored)


def check_graph(
    name: str, part: nn.Module, graph: bytes, hyper: int, cases: Iterable[Mapping[str, Tensor]] | None = None
) -> float:
    """Largest difference between torch and ONNX Runtime relative to the range, on `cases` or on random inputs.

    Raises ValueError above `TOLERANCE`; the exact graph must agree to the last bit, and with int64 arithmetic.
    """
    session = open_session(graph, "cpu", threads=1)
    worst = 0.0
    for case in cases if cases is not None else _example_cases(name, hyper):
        with torch.no_grad():
            result = part(*case.values())
        expected = result if isinstance(result, tuple) else (result,)
        actual = session.run({key: value.numpy() for key, value in case.items()})
        for (key, found), wanted in zip(actual.items(), expected, strict=True):
            worst = max(worst, _difference(found, wanted.numpy(), rounded=key == "z"))
        if name == "scale":
            exact = exact_index(cast(ExactScaleNetwork, part), case["z"].numpy(), case["level"].numpy())
            if not np.array_equal(exact, actual["index"]):
                raise ValueError("scale graph: ONNX Runtime and integer arithmetic disagree")
    if worst > (0 if name == "scale" else TOLERANCE):
        raise ValueError(f"{name} graph: torch and ONNX Runtime differ by {worst:.2g} of the range")
    return worst


def _example_cases(name: str, hyper: int) -> list[dict[str, Tensor]]:
    sizes = [(1, 16, 16), (2, 64, 96), (3, 48, 16), (1, 128, 112)]
    return [
        example_inputs(name, hyper, batch, height, width, seed) for seed, (batch, height, width) in enumerate(sizes)
    ]


def _difference(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32], rounded: bool) -> float:
    """Largest difference relative to the range (at least 1)."""
    if found.shape != wanted.shape:
        raise ValueError(f"a graph gives the shape {found.shape} where torch gives {wanted.shape}")
    difference = np.abs(found - wanted)
    if rounded and difference.mean() < TOLERANCE:  # a value at the rounding edge may fall either way
        difference = difference[difference > 1]
    worst = float(difference.max(initial=0)) / max(1.0, float(np.abs(wanted).max()))
    return math.inf if math.isnan(worst) else worst


def exact_index(
    network: ExactScaleNetwork, z: npt.NDArray[np.float32], level: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """The scale graph in int64 NumPy, written independently of torch: the meaning of `index`.

    `z` [B, hyper, h, w] and `level` [B] hold integers; the result is [B, channels, 2h, 2w], 0..63.
    """

    def rows(name: str) -> npt.NDArray[np.int64]:
        table: npt.NDArray[np.int64] = getattr(network, name).numpy().astype(np.int64)
        at = level.astype(np.int64)
        knot = np.clip(at >> 8, 0, len(table) - 2)
        fraction = (at - (knot << 8))[:, None]
        mixed: npt.NDArray[np.int64] = (table[knot] * (256 - fraction) + table[knot + 1] * fraction) >> 8
        return mixed

    x = np.clip(z.astype(np.int64), -Z_LIMIT, Z_LIMIT) * rows("multiplier")[:, :, None, None]
    x = np.clip((x >> Z_SHIFT) + Z_ZERO, 0, ACT_MAX)
    for number, (padding, groups) in enumerate(network.layers):
        weight = getattr(network, f"weight{number}").numpy().astype(np.int64)
        bias = getattr(network, f"bias{number}").numpy().astype(np.int64)[:, None, None]
        if groups == 1:
            x = np.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x) + bias
        else:
            height, width = x.shape[2:]
            padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
            x = bias + sum(
                weight[:, 0, dy, dx, None, None] * padded[:, :, dy : dy + height, dx : dx + width]
                for dy in range(3)
                for dx in range(3)
            )
        if number < len(network.layers) - 1:
            x = np.clip(x >> 7, 0, ACT_MAX)
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // 4, 2, 2, height, width).transpose(0, 1, 4, 2, 5, 3)
    x = x.reshape(batch, channels // 4, 2 * height, 2 * width) + rows("offset")[:, :, None, None]
    index: npt.NDArray[np.int64] = np.clip(x >> INDEX_SHIFT, 0, SCALES - 1)
    return index


def load_weights(network: PhotoNetwork, graphs: Mapping[str, bytes], rest: npt.NDArray[np.float32]) -> None:
    """Put a bundle's weights into a network of the same sizes, to go on training.

    `rest` is what `other_weights` gave at export. Raises ValueError when it does not fit.
    """
    state = network.state_dict()
    found = _weights_in(state, graphs)
    missing = sorted(set(state) - set(found))
    if rest.ndim != 1 or rest.size != sum(state[key].numel() for key in missing):
        raise ValueError(f"the graphs lack {len(missing)} of the network's weights, and the rest does not fill them")
    start = 0
    for key in missing:
        end = start + state[key].numel()
        found[key] = torch.tensor(rest[start:end]).reshape(state[key].shape)
        start = end
    network.load_state_dict(found)


def other_weights(network: PhotoNetwork, graphs: Mapping[str, bytes]) -> npt.NDArray[np.float32]:
    """What the graphs do not hold under its own name (the density of z; tensors the exporter merged), flat float32."""
    state = network.state_dict()
    missing = sorted(set(state) - set(_weights_in(state, graphs)))
    return torch.cat([state[key].detach().cpu().float().flatten() for key in missing]).numpy()


def _weights_in(state: Mapping[str, Tensor], graphs: Mapping[str, bytes]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, graph in graphs.items():
        for tensor in onnx.load_from_string(graph).graph.initializer:
            stem = tensor.name.removesuffix(STORED)
            value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
            key = stem.removeprefix("network.")
            if name == "scale":
                key, value = _scale_parameter(stem, value)
            if key in state and state[key].shape == value.shape:
                found[key] = value
    return found


def _scale_parameter(name: str, value: Tensor) -> tuple[str, Tensor]:
    """A tensor of the exact graph as the training parameter it came from."""
    if name.startswith("weight"):
        return f"scale.layers.{name.removeprefix('weight')}.weight", value / WEIGHT_ONE
    if name.startswith("bias"):
        return f"scale.layers.{name.removeprefix('bias')}.bias", value / ACC_ONE
    if name == "offset":
        return "scale.offset", value / INDEX_UNIT
    if name == "multiplier":
        return "scale.log_multiplier", torch.log(value)
    return name, value
