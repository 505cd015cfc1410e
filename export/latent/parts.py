"""The latent model of a bundle as the ONNX files that libraries for latent diffusion read.

Names and ranges are those of the ONNX exports of diffusers' AutoencoderKL: `vae_encoder` from `sample` [B, 3, H, W] in
-1..1 to `latent_parameters` [B, 2C, H/8, W/8] (mean, then log-variance), `vae_decoder` from `latent_sample`
[B, C, h, w] to `sample`, and besides `autoencoder`, the round trip through the mean in one call, from `sample` to
`out_sample` (a graph cannot give what it takes under one name). Latents are not scaled in them: whoever trains on them
takes (latent - shift_factor) * scaling_factor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.session import open_session
from aez.codec.errors import ModelError
from aez.codec.latent.model import LatentGeometry, LatentModel
from aez.export.common.to_onnx import serialize, tidy

__all__ = ["CONFIG", "GRAPHS", "MODEL", "latent_files"]

GRAPHS = ("vae_encoder", "vae_decoder", "autoencoder")
MODEL, CONFIG = "model.onnx", "config.json"
_ENCODER, _DECODER = "encoder/", "decoder/"
_IMAGE_RANGE = (-1.0, 1.0)
#: Largest and mean difference allowed between an exported graph and the bundle's, by type: latents in standard
#: deviations, samples in -1..1. In float16 numbers near 1 are 0.001 apart, and the layers add up.
_TOLERANCES = {"float32": (1e-3, 1e-4), "float16": (0.1, 0.01)}

Float = NDArray[np.float32]


@dataclass(frozen=True)
class _Tensor:
    """An input or output: its name and [batch, channels, height, width], names for what may vary."""

    name: str
    channels: int
    height: str
    width: str

    def value(self) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(
            self.name, TensorProto.FLOAT, ["batch_size", self.channels, self.height, self.width]
        )


def latent_files(bundle: Bundle, float16: bool = False) -> dict[str, bytes]:
    """The files by name: three graphs, `config.json`, and copies of it beside encoder and decoder.

    With `float16`, weights, inputs and outputs are float16. Every graph has been run and compared with the bundle's.
    Raises ModelError for a bundle without a latent, and where a graph differs from the bundle's.
    """
    geometry = LatentModel(bundle).geometry
    dtype = "float16" if float16 else "float32"
    try:
        graphs = _wrapped(bundle, geometry)
        if float16:
            graphs = {name: _to_float16(model) for name, model in graphs.items()}
        serialized = {name: serialize(model) for name, model in graphs.items()}
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"the graphs of model {bundle.name} are not those of a latent model: {reason}") from error
    _compare(bundle, geometry, serialized, dtype)
    config = (json.dumps(_config(bundle, geometry, dtype), indent=2) + "\n").encode()
    files = {f"{name}/{MODEL}": data for name, data in serialized.items()}
    files |= {f"{name}/{CONFIG}": config for name in ("vae_encoder", "vae_decoder")}
    return files | {CONFIG: config}


def _config(bundle: Bundle, geometry: LatentGeometry, dtype: str) -> dict[str, Any]:
    """What pipelines ask a VAE's configuration for, and what the bundle says of itself."""
    provenance = bundle.manifest["provenance"]
    network = provenance.get("network")
    width = network.get("width") if isinstance(network, dict) else None
    levels = (geometry.stride - 1).bit_length() + 1
    return {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": geometry.channels,
        "scaling_factor": geometry.scaling_factor,
        "shift_factor": geometry.shift_factor,
        # Pipelines take the stride from the length of this list.
        "block_out_channels": [width if isinstance(width, int) else geometry.channels] * levels,
        "stride": geometry.stride,
        "sample_range": list(_IMAGE_RANGE),
        "dtype": dtype,
        "model": bundle.name,
        "model_id": bundle.id,
        "license": provenance.get("licence"),
    }


# -- the graphs -------------------------------------------------------------------------------------------------------


def _wrapped(bundle: Bundle, geometry: LatentGeometry) -> dict[str, onnx.ModelProto]:
    """The graphs in float32 around those of the bundle."""
    encoder, decoder = (_opened(bundle, name) for name in ("encoder", "decoder"))
    opsets = [{o.domain: o.version for o in model.opset_import} for model in (encoder, decoder)]
    if opsets[0] != opsets[1]:
        raise ModelError(f"encoder and decoder of model {bundle.name} use different versions of ONNX: {opsets}")
    c, stride = geometry.channels, geometry.stride
    sample = _Tensor("sample", 3, "height", "width")
    parameters = _Tensor("latent_parameters", 2 * c, f"height / {stride}", f"width / {stride}")
    latent = _Tensor("latent_sample", c, "latent_height", "latent_width")
    decoded = _Tensor("sample", 3, f"latent_height * {stride}", f"latent_width * {stride}")
    inner, outer = compose.add_prefix(encoder, _ENCODER), compose.add_prefix(decoder, _DECODER)
    before = _scaled("sample", f"{_ENCODER}image", 0.5, 0.5)
    both = [f"{_ENCODER}mean", f"{_ENCODER}log_variance"]
    joined = [helper.make_node("Concat", both, ["latent_parameters"], axis=1)]
    after = _scaled(f"{_DECODER}image", "sample", 2, -1)
    given = [helper.make_node("Identity", ["latent_sample"], [f"{_DECODER}latent"])]
    between = [helper.make_node("Identity", [f"{_ENCODER}mean"], [f"{_DECODER}latent"])]
    result = _Tensor("out_sample", 3, "height", "width")
    round_trip = _scaled(f"{_DECODER}image", "out_sample", 2, -1)
    return {
        "vae_encoder": _model("vae_encoder", sample, parameters, [before, inner, joined]),
        "vae_decoder": _model("vae_decoder", latent, decoded, [given, outer, after]),
        "autoencoder": _model("autoencoder", sample, result, [before, inner, between, outer, round_trip]),
    }


def _opened(bundle: Bundle, name: str) -> onnx.ModelProto:
    """A graph of the bundle with every weight in float32, none behind a Cast."""
    model = onnx.load_from_string(bundle.graph(name))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type != "Cast" or node.input[0] not in stored:
            continue
        (to,) = (attribute.i for attribute in node.attribute if attribute.name == "to")
        values = numpy_helper.to_array(stored[node.input[0]]).astype(helper.tensor_dtype_to_np_dtype(to))
        model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        model.graph.node.remove(node)
    return model


def _scaled(given: str, result: str, factor: float, offset: float) -> list[onnx.NodeProto]:
    """result = given * factor + offset."""
    names = [f"{result}_{part}" for part in ("factor", "offset", "product")]
    constants = [numpy_helper.from_array(np.array(value, np.float32), "value") for value in (factor, offset)]
    return [
        helper.make_node("Constant", [], [names[0]], value=constants[0]),
        helper.make_node("Constant", [], [names[1]], value=constants[1]),
        helper.make_node("Mul", [given, names[0]], [names[2]]),
        helper.make_node("Add", [names[2], names[1]], [result]),
    ]


def _model(
    name: str, given: _Tensor, result: _Tensor, parts: Sequence[onnx.ModelProto | Sequence[onnx.NodeProto]]
) -> onnx.ModelProto:
    """One model of nodes and models in the order in which they run, without what its output does not need."""
    whole = [part for part in parts if isinstance(part, onnx.ModelProto)]
    nodes = [node for part in parts for node in (part.graph.node if isinstance(part, onnx.ModelProto) else part)]
    needed, kept = {result.name}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [tensor for part in whole for tensor in part.graph.initializer if tensor.name in needed]
    graph = helper.make_graph(kept[::-1], name, [given.value()], [result.value()], weights)
    model = helper.make_model(
        graph, opset_imports=whole[0].opset_import, ir_version=max(part.ir_version for part in whole)
    )
    tidy(model, name)
    return model


def _to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16  # part of ONNX Runtime, but slow to import

    converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=False)
    tidy(converted, model.graph.name)
    return converted


# -- the proof --------------------------------------------------------------------------------------------------------


def _compare(bundle: Bundle, geometry: LatentGeometry, graphs: Mapping[str, bytes], dtype: str) -> None:
    """Run graphs and bundle on pictures of two sizes. Raises ModelError where they differ."""
    encoder, decoder = (open_session(bundle.graph(name), "cpu") for name in ("encoder", "decoder"))
    for number, (height, width) in enumerate(((8, 12), (13, 5))):
        image = _picture(height * geometry.stride, width * geometry.stride, number)
        found = encoder.run({"image": image})
        latent = found["mean"]
        wanted = {
            "vae_encoder": np.concatenate([latent, found["log_variance"]], axis=1),
            "vae_decoder": decoder.run({"latent": latent})["image"] * 2 - 1,
        }
        wanted["autoencoder"] = wanted["vae_decoder"]
        given = {"vae_encoder": 2 * image - 1, "vae_decoder": latent, "autoencoder": 2 * image - 1}
        for name, values in given.items():
            session = open_session(graphs[name], "cpu")
            source = session.inner.get_inputs()[0].name
            (result,) = session.run({source: values.astype(dtype)}).values()
            _check(f"the exported {name} of model {bundle.name}", result, wanted[name], dtype)


def _check(what: str, result: NDArray[Any], wanted: Float, dtype: str) -> None:
    """Raise ModelError unless the result is of this type and as wanted."""
    if result.dtype != np.dtype(dtype) or result.shape != wanted.shape:
        raise ModelError(f"{what} gives {result.dtype} {list(result.shape)}, not {dtype} {list(wanted.shape)}")
    # Log-variances reach far from 0, where float16 is coarser.
    difference = np.abs(result.astype(np.float32) - wanted) / np.maximum(1, np.abs(wanted))
    most, mean = float(difference.max()), float(difference.mean())
    largest, usual = _TOLERANCES[dtype]
    if not (most <= largest and mean <= usual):  # NaN fails, too
        advice = "leave out --float16" if dtype == "float16" else "export the model again from its checkpoint"
        raise ModelError(f"{what} in {dtype} is off by up to {most:.2g} and {mean:.2g} on average; {advice}")


def _picture(height: int, width: int, seed: int) -> Float:
    """Two pictures [2, 3, H, W] in 0..1: waves of several lengths, and the same under noise."""
    y, x = np.mgrid[:height, :width] / 8.0
    phase = np.arange(3)[:, None, None] + seed
    waves = 0.5 + 0.2 * np.sin(0.7 * x + phase) + 0.2 * np.sin(0.3 * y - 0.2 * x + 2 * phase)
    noise = np.random.default_rng(seed).normal(0, 0.1, waves.shape)
    return np.stack([waves, waves + noise]).clip(0, 1).astype(np.float32)
