"""Image models: geometry, wrong graphs, open sessions."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_pictures import altered_bundle, photo, tiny, tiny_model

from aez.codec.bundle import Bundle
from aez.codec.errors import ModelError
from aez.codec.model import Geometry, ImageModel, open_model
from aez.codec.runtime import Session

CODING = tiny().coding


def constant_graph(inputs: tuple[str, ...], output: str, values: np.ndarray[Any, Any]) -> bytes:
    """A graph that gives the same values whatever it is fed."""
    node = onnx.helper.make_node("Constant", [], [output], value=onnx.numpy_helper.from_array(values))
    float_type = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [onnx.helper.make_tensor_value_info(name, float_type, None) for name in inputs],
        [onnx.helper.make_tensor_value_info(output, onnx.helper.np_dtype_to_tensor_dtype(values.dtype), None)],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Geometry)])
@pytest.mark.parametrize("value", [None, "16", 16.0, True, -1, 1 << 40])
def test_numbers_of_the_manifest_that_make_no_sense(name: str, value: object) -> None:
    with pytest.raises(ModelError, match=f"{name} = "):
        Geometry.of({**CODING, name: value})


@pytest.mark.parametrize(
    "changes",
    [{"alignment": 24}, {"hyper_stride": 12, "alignment": 12}, {"analysis_halo": 40}, {"synthesis_halo": 8}],
)
def test_numbers_of_the_manifest_that_do_not_fit_each_other(changes: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"divide|multiples"):
        Geometry.of({**CODING, **changes})


def test_a_model_for_something_else(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="made for detector"):
        ImageModel(altered_bundle(tmp_path, task="detector"))


def test_shapes_and_ranges() -> None:
    model, g = tiny_model(), tiny_model().geometry
    image = (photo(32, 48).transpose(2, 0, 1) / 255).astype(np.float32)
    y, z = model.analysis(image, 1000)
    assert y.shape == (g.channels, 4, 6)
    assert z.shape == (g.hyper_channels, 2, 3)
    np.testing.assert_array_equal(z, np.rint(z))
    integers = z.astype(np.int32)
    mean, index = model.mean(integers, 1000), model.index(integers, 1000)
    assert mean.shape == index.shape == y.shape
    assert index.dtype == np.uint8
    assert index.max() < len(model.tables.residual)
    decoded = model.synthesis(np.rint(y - mean) + mean, 1000)
    assert decoded.shape == image.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert np.abs(decoded - image).mean() < 0.05


@pytest.mark.parametrize(
    "values",
    [
        np.full((1, 192, 2, 2), 64.5, np.float32),
        np.full((1, 192, 2, 2), 256, np.float32),
        np.full((1, 192, 2, 2), -1, np.float32),
        np.full((1, 192, 2, 2), np.nan, np.float32),
        np.full((1, 192, 2, 2), 3, np.int64),
        np.full((192, 2, 2), 3, np.float32),
        np.full((1, 192, 2, 1), 3, np.float32),
        np.float32(3).reshape(()),
    ],
)
def test_indices_that_are_none(values: np.ndarray[Any, Any], tmp_path: Path) -> None:
    graph = constant_graph(("z", "level"), "index", values)
    model = ImageModel(altered_bundle(tmp_path, members={"scale.onnx": graph}), "cpu", 1)
    with pytest.raises(ModelError, match="scale graph of model tiny"):
        model.index(np.zeros((model.geometry.hyper_channels, 1, 1), np.int32), 0)


@pytest.mark.parametrize("shape", [(1, 3, 8, 16), (1, 1, 16, 16), (2, 3, 16, 16), (3, 16, 16), (1,)])
def test_images_of_another_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    graph = constant_graph(("y", "level"), "image", np.zeros(shape, np.float32))
    model = ImageModel(altered_bundle(tmp_path, members={"synthesis.onnx": graph}), "cpu", 1)
    with pytest.raises(ModelError, match="image of shape"):
        model.synthesis(np.zeros((192, 2, 2), np.float32), 0)


def test_an_output_of_another_name(tmp_path: Path) -> None:
    graph = constant_graph(("z", "level"), "average", np.zeros((1, 192, 2, 2), np.float32))
    graphs = {**tiny().manifest["graphs"]}
    graphs["mean"] = {**graphs["mean"], "outputs": [{"name": "average", "shape": [], "dtype": "float32"}]}
    model = ImageModel(altered_bundle(tmp_path, members={"mean.onnx": graph}, graphs=graphs), "cpu", 1)
    with pytest.raises(ModelError, match="gives no mean"):
        model.mean(np.zeros((model.geometry.hyper_channels, 1, 1), np.int32), 0)


def test_a_graph_that_does_not_take_its_input(tmp_path: Path) -> None:
    model = ImageModel(altered_bundle(tmp_path, coding={"hyper_channels": 9}), "cpu", 1)
    with pytest.raises(ModelError, match="could not be run"):
        model.mean(np.zeros((9, 1, 1), np.int32), 0)


def test_half_a_model_encodes_nothing() -> None:
    model = ImageModel(Bundle.open(tiny().decoding_half(), half=True), "cpu", 1)
    with pytest.raises(ModelError, match="decoding half"):
        model.analysis(np.zeros((3, 16, 16), np.float32), 0)
    assert model.synthesis(np.zeros((192, 2, 2), np.float32), 0).shape == (3, 16, 16)


def test_a_bundle_read_again_finds_the_open_model() -> None:
    half = tiny().decoding_half()
    assert open_model(Bundle.open(half, half=True), "cpu", 1) is open_model(Bundle.open(half, half=True), "cpu", 1)
    assert open_model(tiny(), "cpu", 1) is open_model(tiny(), "cpu", 1)
    assert open_model(tiny(), "cpu", 1) is not open_model(tiny(), "cpu", 2)
    # The half cannot stand for the whole.
    assert open_model(tiny(), "cpu", 1) is not open_model(Bundle.open(half, half=True), "cpu", 1)


def test_only_a_few_models_stay_open() -> None:
    first = open_model(tiny(), "cpu", 1)
    for threads in range(2, 7):
        open_model(tiny(), "cpu", threads)
    assert open_model(tiny(), "cpu", 6) is open_model(tiny(), "cpu", 6)
    assert open_model(tiny(), "cpu", 1) is not first


def test_sessions_open_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bool] = []

    def open_session(*_: object, exact: bool, **__: object) -> Session:
        opened.append(exact)
        return tiny_session("mean")

    monkeypatch.setattr("aez.codec.model.open_session", open_session)
    model = ImageModel(tiny(), "cpu", 1)
    z = np.zeros((model.geometry.hyper_channels, 1, 1), np.int32)
    for _ in range(3):
        model.mean(z, 0)
    assert opened == [False]


def tiny_session(name: str) -> Session:
    from aez.codec.runtime import open_session

    return open_session(tiny().graph(name), "cpu", 1)


def test_one_model_serves_many_threads() -> None:
    model = ImageModel(tiny(), "cpu", 1)
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-3, 4, (model.geometry.hyper_channels, 1 + i % 5, 3)).astype(np.int32) for i in range(16)]
    found: list[object] = [None] * len(inputs)

    def work(start: int) -> None:
        for i in range(start, len(inputs), 4):
            found[i] = model.index(inputs[i], 100 * i)

    workers = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, z in enumerate(inputs):
        np.testing.assert_array_equal(found[i], tiny_model().index(z, 100 * i))
