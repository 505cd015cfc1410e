"""The model `tiny`, small pictures for it, and bundles that differ from it in one thing."""

from __future__ import annotations

import copy
import functools
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from aez.codec.bundle.bundle import Bundle, write_bundle
from aez.codec.image.model import ImageModel
from tests.kit.places import TINY


@functools.cache
def tiny() -> Bundle:
    return Bundle.open(TINY)


@functools.cache
def tiny_model(threads: int = 1, optimize: bool = True) -> ImageModel:
    return ImageModel(tiny(), "cpu", threads, optimize)


@functools.cache
def lively() -> Bundle:
    """`tiny` with numbers in place of the zeros that its networks start from: neighbours and earlier phases matter."""
    changed = {f"{name}.onnx": _without_zeros(name, tiny().graph(name)) for name in tiny().manifest["graphs"]}
    with tempfile.TemporaryDirectory() as folder:
        return altered_bundle(Path(folder), members=changed, name="lively")


@functools.cache
def lively_model(threads: int = 1, optimize: bool = True) -> ImageModel:
    return ImageModel(lively(), "cpu", threads, optimize)


@functools.cache
def coarse(base: Callable[[], Bundle] = lively) -> Bundle:
    """`base` with a hyper-latent at 1/32: every second of each row and column of its own, on the same cells of 16."""
    z_inputs = {"mean0": _with_coarse_input, "scale0": _with_coarse_input, "analysis": _with_coarse_output}
    graphs = {name: base().graph(name) for name in base().manifest["graphs"]}
    changed = {f"{name}.onnx": z_inputs[name](graph) if name in z_inputs else graph for name, graph in graphs.items()}
    halos = {f"{half}_halo": -(-tiny().coding[f"{half}_halo"] // 32) * 32 for half in ("analysis", "synthesis")}
    coding = {"alignment": 32, "hyper_stride": 32, "state_stride": 16, **halos}
    with tempfile.TemporaryDirectory() as folder:
        return altered_bundle(Path(folder), coding, changed, name="coarse")


@functools.cache
def coarse_model(threads: int = 1, optimize: bool = True) -> ImageModel:
    return ImageModel(coarse(), "cpu", threads, optimize)


def _with_coarse_output(graph: bytes) -> bytes:
    """The graph with every second row and column of its output z."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = ["fine_z" if name == "z" else name for name in node.output]
    for name, values in (("starts", [0, 0]), ("ends", [2**31 - 1] * 2), ("axes", [2, 3]), ("steps", [2, 2])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(values), name))
    model.graph.node.append(onnx.helper.make_node("Slice", ["fine_z", "starts", "ends", "axes", "steps"], ["z"]))
    return _with_free_sides(model, model.graph.output)


def _with_coarse_input(graph: bytes) -> bytes:
    """The graph with an input z of which every position counts for two rows and two columns."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.input[:] = ["fine_z" if name == "z" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    places = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    model.graph.node.insert(0, onnx.helper.make_node("Resize", ["z", "", "twice"], ["fine_z"], **places))
    return _with_free_sides(model, model.graph.input)


def _with_free_sides(model: onnx.ModelProto, ports: Iterable[onnx.ValueInfoProto]) -> bytes:
    for port in ports:
        if port.name == "z":
            for axis, name in zip(port.type.tensor_type.shape.dim[2:], ("coarse_rows", "coarse_columns"), strict=True):
                axis.dim_param = name
    return bytes(model.SerializeToString())


def _without_zeros(name: str, graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    rng = np.random.default_rng(0)
    for number, weights in enumerate(model.graph.initializer):
        values = numpy_helper.to_array(weights)
        if values.ndim == 4 and not values.any():
            noise = rng.normal(0, 0.06, values.shape)
            if name.startswith("scale"):  # the weights are integers, in units of 1/128
                noise = np.rint(256 * noise)
            noise = noise.astype(values.dtype)
            model.graph.initializer[number].CopyFrom(numpy_helper.from_array(noise, weights.name))
    return bytes(model.SerializeToString())


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]: soft blobs of colour with some grain and one hard edge."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)
    soft += rng.normal(0, 4, soft.shape)
    soft[height // 2 :, : width // 3] *= 0.5
    return np.clip(np.rint(soft), 0, 255).astype(np.uint8)


def altered_bundle(
    folder: Path, coding: Mapping[str, Any] | None = None, members: Mapping[str, bytes] | None = None, **top: Any
) -> Bundle:
    """`tiny` with other values in its manifest, or other members; it passes all checks of the bundle itself."""
    manifest = copy.deepcopy(tiny().manifest)
    manifest["coding"].update(coding or {})
    manifest.update(top)
    with zipfile.ZipFile(TINY) as archive:
        contents = {name: archive.read(name) for name in manifest.pop("members")}
    return write_bundle(folder / "altered.aezm", manifest, contents | dict(members or {}))
