"""A latent model whose graphs are written by hand, so that tests can say what must come out.

Channels 0..2 of the mean are the 8x8 block means of R, G, B (x 4 - 2), channel 3 the block mean of R smoothed by a 3x3
box over the picture, which needs a halo. The log-variance is -4 everywhere. The decoder repeats each latent 8x8 times,
shows channels 0..2 smoothed by a 3x3 box, and undoes the scaling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aez.codec.bundle.bundle import Bundle, pack_bundle

CHANNELS, STRIDE = 4, 8
LOG_VARIANCE = -4.0
Array = np.ndarray[Any, np.dtype[Any]]
LATENT = {
    "channels": CHANNELS,
    "stride": STRIDE,
    "scaling_factor": 1.0,
    "shift_factor": 0.0,
    "encoder_halo": 16,
    "decoder_halo": 16,
}


def _model(nodes: list[Any], given: list[Any], results: list[Any], constants: dict[str, Array]) -> bytes:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "latent", given, results, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def _tensor(name: str, channels: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, f"{name}_h", f"{name}_w"])


def encoder_bytes() -> bytes:
    box = np.full((1, 1, 3, 3), 1 / 9, np.float32)
    blocks = np.zeros((CHANNELS, 4, STRIDE, STRIDE), np.float32)
    for channel in range(CHANNELS):
        blocks[channel, channel] = 4 / STRIDE**2
    nodes = [
        helper.make_node("Slice", ["image", "first", "second", "colours"], ["red"]),
        helper.make_node("Conv", ["red", "box"], ["smooth"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["image", "smooth"], ["all"], axis=1),
        helper.make_node("Conv", ["all", "blocks", "offset"], ["mean"], strides=[STRIDE, STRIDE]),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "log"], ["log_variance"]),
    ]
    constants = {
        "first": np.array([0]),
        "second": np.array([1]),
        "colours": np.array([1]),
        "box": box,
        "blocks": blocks,
        "offset": np.full(CHANNELS, -2, np.float32),
        "zero": np.float32(0),
        "log": np.float32(LOG_VARIANCE),
    }
    return _model(nodes, [_tensor("image", 3)], [_tensor("mean", 4), _tensor("log_variance", 4)], constants)


def decoder_bytes() -> bytes:
    spread = np.zeros((CHANNELS, 3, STRIDE, STRIDE), np.float32)
    smooth = np.zeros((3, 3, 3, 3), np.float32)
    for channel in range(3):
        spread[channel, channel] = 1 / 4
        smooth[channel, channel] = 1 / 9
    nodes = [
        helper.make_node("ConvTranspose", ["latent", "spread", "half"], ["coarse"], strides=[STRIDE, STRIDE]),
        helper.make_node("Conv", ["coarse", "smooth"], ["unclipped"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["unclipped", "zero", "one"], ["image"]),
    ]
    half = np.full(3, 0.5, np.float32)
    constants = {"spread": spread, "half": half, "smooth": smooth, "zero": np.float32(0), "one": np.float32(1)}
    return _model(nodes, [_tensor("latent", CHANNELS)], [_tensor("image", 3)], constants)


def block_means(pixels: Array) -> Array:
    """Channels 0..2 of the mean in NumPy, for a picture uint8 [H, W, 3] of whole blocks."""
    height, width = (side // STRIDE for side in pixels.shape[:2])
    blocks = pixels.reshape(height, STRIDE, width, STRIDE, 3).mean(axis=(1, 3))
    return (blocks / 255 * 4 - 2).transpose(2, 0, 1)


def bundle(task: str = "image-codec", variational: bool = True, **changed: Any) -> Bundle:
    """The model, with changes to `coding.latent`; not `variational`: without the log-variance."""

    def tensor(name: str, channels: int) -> dict[str, Any]:
        return {"name": name, "shape": ["batch", channels, "height", "width"], "dtype": "float32"}

    encoder = onnx.load_from_string(encoder_bytes())
    outputs = [tensor("mean", CHANNELS), tensor("log_variance", CHANNELS)]
    if not variational:
        del encoder.graph.output[1]
        del outputs[1]
    members = {"encoder.onnx": encoder.SerializeToString(), "decoder.onnx": decoder_bytes()}
    about = {
        "name": "blocks",
        "family": "kl-f8",
        "task": task,
        "coding": {"latent": LATENT | changed, "decoder_members": ["decoder.onnx"]},
        "graphs": {
            "encoder": {"inputs": [tensor("image", 3)], "outputs": outputs},
            "decoder": {"inputs": [tensor("latent", CHANNELS)], "outputs": [tensor("image", 3)]},
        },
        "provenance": {},
        "figures": {},
    }
    return pack_bundle(about, members)
