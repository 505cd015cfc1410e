"""Image models: geometry, wrong graphs, open sessions."""

from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.session import Session
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.image.api import encode_picture
from aez.codec.image.model import Geometry, ImageModel, open_model
from tests.kit.tiny_pictures import (
    altered_bundle,
    coarse,
    coarse_model,
    lively,
    lively_model,
    photo,
    tiny,
    tiny_model,
)

CODING = tiny().coding
STATE = np.zeros((1, CODING["state_channels"], 1, 1), np.float32)


def constant_graph(inputs: tuple[str, ...], outputs: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """A graph that gives the same values whatever it is fed."""
    float_type = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(values))
            for name, values in outputs.items()
        ],
        "constant",
        [onnx.helper.make_tensor_value_info(name, float_type, None) for name in inputs],
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(values.dtype), None)
            for name, values in outputs.items()
        ],
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


def test_cells_lie_on_the_grid_of_the_hyper_latent_where_both_strides_are_equal() -> None:
    g = Geometry.of(CODING)
    assert (g.hyper_stride, g.state_stride, g.cells, g.hyper_cells) == (16, 16, 2, 1)


@pytest.mark.parametrize(
    ("strides", "cells", "hyper_cells"), [((32, 32, 16), 2, 2), ((64, 64, 16), 2, 4), ((64, 32, 16), 2, 2)], ids=str
)
def test_cells_may_be_finer_than_the_hyper_latent(strides: tuple[int, int, int], cells: int, hyper_cells: int) -> None:
    sizes = dict(zip(("alignment", "hyper_stride", "state_stride"), strides, strict=True))
    g = Geometry.of({**CODING, **sizes, "analysis_halo": 64, "synthesis_halo": 64})
    assert (g.alignment, g.hyper_stride, g.state_stride) == strides
    assert (g.cells, g.hyper_cells) == (cells, hyper_cells)


@pytest.mark.parametrize(
    "strides",
    [
        {"hyper_stride": 32},  # not a divisor of the alignment
        {"alignment": 32, "state_stride": 32},  # coarser than the hyper-latent
        {"alignment": 32, "hyper_stride": 32, "state_stride": 12},
        {"state_stride": 4},  # finer than the latent
        {"alignment": 48, "hyper_stride": 48, "state_stride": 32},
    ],
    ids=str,
)
def test_strides_that_do_not_divide(strides: dict[str, int]) -> None:
    halos = {"analysis_halo": 0, "synthesis_halo": 0}
    with pytest.raises(ModelError, match=r"strides 8, \d+, \d+ and alignment \d+ do not divide"):
        Geometry.of({**CODING, **halos, **strides})


@pytest.mark.parametrize("opened", [tiny, coarse])
def test_a_model_of_the_former_design_is_refused_in_one_sentence(opened: Callable[[], Bundle]) -> None:
    without = {key: value for key, value in opened().coding.items() if key != "state_stride"}
    with pytest.raises(ModelError, match=r"design before the first release; take a shipped one, or train it anew$"):
        Geometry.of(without)


def test_what_a_position_of_the_hyper_latent_stands_for_has_several_cells() -> None:
    model, g = coarse_model(), coarse_model().geometry
    image = (photo(64, 96).transpose(2, 0, 1) / 255).astype(np.float32)
    y, z = model.analysis(image, 1000)
    assert (y.shape, z.shape) == ((g.channels, 8, 12), (g.hyper_channels, 2, 3))
    prediction = model.predict(z.astype(np.int32), 1000)
    for number, positions in enumerate(g.phases):
        assert prediction.index().shape == prediction.mean().shape == (len(positions) * g.channels, 4, 6)
        assert prediction.index().shape == g.take_phase(y, number).shape
        prediction.learn(np.zeros_like(prediction.index(), np.int32))


def test_a_prediction_on_the_grid_of_the_hyper_latent_is_none_for_finer_cells(tmp_path: Path) -> None:
    members = {"scale0.onnx": lively().graph("scale0")}
    coding = {key: coarse().coding[key] for key in ("alignment", "hyper_stride", "state_stride")}
    model = ImageModel(altered_bundle(tmp_path, coding, members), "cpu", 1)
    with pytest.raises(ModelError, match=r"scale0 graph of model tiny gives no index of shape \(\d+, 4, 6\)"):
        model.predict(random_z(model, 0), 0).index()


@pytest.mark.parametrize(
    "phases",
    [
        [],
        {},
        "0011",
        [[]],
        [[[0, 0]], [[1, 1]], [[0, 1], [1, 0]], []],
        [[0, 0], [1, 1], [0, 1], [1, 0]],
        [[[0, 0, 0]], [[1, 1]], [[0, 1], [1, 0]]],
        [[[0]], [[1, 1]], [[0, 1], [1, 0]]],
        [["00"], ["11"], ["01", "10"]],
        [[[0, 0]], [[1, 1]], [[0, 1], [1, None]]],
        [[[0, 0]], [[1, 1]], [[0, 1], [1, False]]],
        [[[0.0, 0.0]], [[1, 1]], [[0, 1], [1, 0]]],
        [[[[0], 0]], [[1, 1]], [[0, 1], [1, 0]]],
        "line\nline",
    ],
    ids=str,
)
def test_phases_that_are_no_lists_of_positions(phases: object) -> None:
    with pytest.raises(ModelError, match="phases = ") as caught:
        Geometry.of({**CODING, "phases": phases})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "phases",
    [
        [[[0, 0]]],
        [[[0, 0]], [[1, 1]], [[0, 1]]],
        [[[0, 0]], [[1, 1]], [[0, 1], [1, 0]], [[0, 0]]],
        [[[0, 0], [0, 0]], [[1, 1]], [[0, 1], [1, 0]]],
        [[[0, 0]], [[1, 1]], [[0, 1], [2, 0]]],
        [[[0, 0]], [[1, 1]], [[0, 1], [-1, 0]]],
        [[[0, 0]], [[1, 1]], [[0, 1], [0, 1 << 70]]],
        [[[row, column]] for row in range(3) for column in range(3)],
    ],
    ids=str,
)
def test_phases_that_do_not_take_every_position_once(phases: object) -> None:
    with pytest.raises(ModelError, match="every position of a cell once"):
        Geometry.of({**CODING, "phases": phases})


@pytest.mark.parametrize(
    ("stride", "phases"),
    [
        (16, [[[0, 0]]]),
        (8, CODING["phases"]),
        (8, [[[1, 0], [0, 1], [0, 0], [1, 1]]]),
        (8, [[[1, 0]], [[0, 0]], [[1, 1]], [[0, 1]]]),
        (4, [[[row, column] for row in range(4)] for column in range(4)]),
    ],
    ids=str,
)
def test_latents_are_taken_and_put_back_as_the_format_says(stride: int, phases: list[list[list[int]]]) -> None:
    g = Geometry.of({**CODING, "latent_stride": stride, "phases": phases})
    n = g.cells
    assert n == 16 // stride
    y = np.random.default_rng(0).normal(size=(g.channels, 3 * n, 2 * n)).astype(np.float32)
    back = np.full_like(y, np.nan)
    for number, phase in enumerate(phases):
        part = g.take_phase(y, number)
        assert part.shape == (len(phase) * g.channels, 3, 2)
        for k, (row, column) in enumerate(phase):
            for i, j in np.ndindex(3, 2):
                expected = y[:, n * i + row, n * j + column]
                np.testing.assert_array_equal(part[k * g.channels : (k + 1) * g.channels, i, j], expected)
        g.put_phase(back, number, part)
    np.testing.assert_array_equal(back, y)


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
    prediction = model.predict(z.astype(np.int32), 1000)
    quantized = np.full_like(y, np.nan)
    for phase, positions in enumerate(g.phases):
        mean, index = prediction.mean(), prediction.index()
        assert mean.shape == index.shape == (len(positions) * g.channels, 2, 3)
        assert (mean.dtype, index.dtype) == (np.float32, np.uint8)
        assert index.max() < len(model.tables.residual)
        residual = np.rint(g.take_phase(y, phase) - mean).astype(np.int32)
        prediction.learn(residual)
        g.put_phase(quantized, phase, residual + mean)
    assert np.abs(quantized - y).max() <= 0.51
    decoded = model.synthesis(quantized, 1000)
    assert decoded.shape == image.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert np.abs(decoded - image).mean() < 0.05


def random_z(model: ImageModel, seed: int, height: int = 2, width: int = 3) -> NDArray[np.int32]:
    shape = (model.geometry.hyper_channels, height, width)
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.int32)


def random_residuals(model: ImageModel, seed: int, height: int = 2, width: int = 3) -> list[NDArray[np.int32]]:
    """One array for every phase."""
    rng, channels = np.random.default_rng(seed), model.geometry.channels
    shapes = [(len(positions) * channels, height, width) for positions in model.geometry.phases]
    return [rng.integers(-3, 4, shape).astype(np.int32) for shape in shapes]


def predictions(
    model: ImageModel, z: NDArray[np.int32], level: int, residuals: list[NDArray[np.int32]], mean_first: bool = False
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """(index, mean) of every phase."""
    prediction = model.predict(z, level)
    found = []
    for residual in residuals:
        if mean_first:
            mean, index = prediction.mean(), prediction.index()
        else:
            index, mean = prediction.index(), prediction.mean()
        found.append((index, mean))
        prediction.learn(residual)
    return found


def test_index_and_mean_may_be_asked_for_in_either_order() -> None:
    model = lively_model()
    z, residuals = random_z(model, 0), random_residuals(model, 1)
    for one, other in zip(
        predictions(model, z, 700, residuals), predictions(model, z, 700, residuals, mean_first=True), strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_mean_that_is_begun_beside_the_caller_is_the_same(threads: int) -> None:
    model = lively_model(threads)
    z, residuals = random_z(model, 0), random_residuals(model, 1)
    prediction = model.predict(z, 700)
    for residual, (index, mean) in zip(residuals, predictions(model, z, 700, residuals), strict=True):
        soon = prediction.mean_soon()
        np.testing.assert_array_equal(prediction.index(), index)
        np.testing.assert_array_equal(soon(), mean)
        prediction.learn(residual)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_mean_that_fails_beside_the_caller_fails_when_it_is_asked_for(threads: int, tmp_path: Path) -> None:
    graph = constant_graph(("z", "level"), {"mean": np.zeros((1, 192, 1, 1), np.float32), "next_state": STATE[0]})
    model = ImageModel(altered_bundle(tmp_path, members={"mean0.onnx": graph}), "cpu", threads)
    prediction = model.predict(random_z(model, 0, 1, 1), 0)
    mean = prediction.mean_soon()
    prediction.index()
    with pytest.raises(ModelError, match="mean0 graph of model tiny gives no next_state"):
        mean()


@pytest.mark.parametrize("changed", range(len(CODING["phases"])))
def test_residuals_change_the_prediction_of_later_phases_only(changed: int) -> None:
    model = lively_model()
    z, residuals = random_z(model, 0), random_residuals(model, 1)
    before = predictions(model, z, 700, residuals)
    residuals[changed] = residuals[changed] * 5
    after = predictions(model, z, 700, residuals)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(old[0], new[0]) == (number <= changed)
        assert np.array_equal(old[1], new[1]) == (number <= changed)


def test_two_predictions_at_a_time_do_not_mix() -> None:
    model = lively_model()
    inputs = [(random_z(model, seed), random_residuals(model, 10 + seed)) for seed in range(2)]
    expected = [predictions(model, z, 700, residuals) for z, residuals in inputs]
    together = [model.predict(z, 700) for z, _ in inputs]
    for phase in range(len(model.geometry.phases)):
        for number, prediction in enumerate(together):
            index, mean = expected[number][phase]
            np.testing.assert_array_equal(prediction.index(), index)
            np.testing.assert_array_equal(prediction.mean(), mean)
            prediction.learn(inputs[number][1][phase])


@pytest.mark.parametrize(
    "values",
    [
        np.full((1, 192, 1, 1), 64.5, np.float32),
        np.full((1, 192, 1, 1), 256, np.float32),
        np.full((1, 192, 1, 1), -1, np.float32),
        np.full((1, 192, 1, 1), np.nan, np.float32),
        np.full((1, 192, 1, 1), 3, np.int64),
        np.full((192, 1, 1), 3, np.float32),
        np.full((1, 192, 1, 2), 3, np.float32),
        np.float32(3).reshape(()),
    ],
)
def test_indices_that_are_none(values: np.ndarray[Any, Any], tmp_path: Path) -> None:
    graph = constant_graph(("z", "level"), {"index": values, "next_state": STATE})
    model = ImageModel(altered_bundle(tmp_path, members={"scale0.onnx": graph}), "cpu", 1)
    with pytest.raises(ModelError, match=r"scale0? graph of model tiny"):
        model.predict(np.zeros((model.geometry.hyper_channels, 1, 1), np.int32), 0).index()


@pytest.mark.parametrize("values", [STATE[0], STATE[:, 1:], STATE.astype(np.float64), np.tile(STATE, (1, 1, 2, 2))])
@pytest.mark.parametrize("name", ["mean", "scale"])
def test_states_that_no_later_phase_takes(name: str, values: np.ndarray[Any, Any], tmp_path: Path) -> None:
    output = {"mean": "mean", "scale": "index"}[name]
    graph = constant_graph(("z", "level"), {output: np.zeros((1, 192, 1, 1), np.float32), "next_state": values})
    model = ImageModel(altered_bundle(tmp_path, members={f"{name}0.onnx": graph}), "cpu", 1)
    prediction = model.predict(np.zeros((model.geometry.hyper_channels, 1, 1), np.int32), 0)
    with pytest.raises(ModelError, match=rf"{name}0 graph of model tiny gives no next_state of shape \(8, 1, 1\)"):
        getattr(prediction, output)()


@pytest.mark.parametrize(
    "phases",
    [
        [[[0, 0], [1, 1], [0, 1], [1, 0]]],
        [[[0, 0]], [[1, 1]], [[0, 1]], [[1, 0]]],
        [[[0, 0]], [[1, 1], [0, 1], [1, 0]]],
        [[[0, 0]], [[0, 1], [1, 0]], [[1, 1]]],
    ],
    ids=str,
)
def test_phases_that_the_graphs_do_not_compute(phases: list[list[list[int]]], tmp_path: Path) -> None:
    model = ImageModel(altered_bundle(tmp_path, coding={"phases": phases}), "cpu", 1)
    for mean_first in (False, True):
        with pytest.raises(ModelError, match=r"the (scale|mean)\d graph of model tiny gives no (index|mean) of shape"):
            predictions(model, random_z(model, 0), 0, random_residuals(model, 0), mean_first)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (np.ones((9, 8, 5), np.uint8), "for 5 channels, not 4"),
        (np.ones((9, 7, 4), np.uint8), r"not uint8 \[9, 7, 4\]"),
        (np.ones((36,), np.uint8), r"not uint8 \[36\]"),
        (np.ones((9, 8, 4), np.int64), r"not int64 \[9, 8, 4\]"),
        (np.zeros((9, 8, 4), np.uint8), r"not 0\.\.0"),
        (np.full((9, 8, 4), 255, np.uint8), r"not 255\.\.255"),
    ],
)
def test_numbers_of_hyper_tables_that_do_not_fit(numbers: NDArray[Any], message: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, numbers)
    altered = altered_bundle(tmp_path, members={"hyper_numbers.npy": file.getvalue()})
    with pytest.raises(ModelError, match=message):
        _ = ImageModel(altered, "cpu", 1).tables
    with pytest.raises(ModelError, match=message):
        encode_picture(photo(16, 16), 50, altered, threads=1)


def test_tables_have_all_nine_knots(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, tiny().array("hyper_numbers")[:3])
    model = ImageModel(altered_bundle(tmp_path, members={"hyper_numbers.npy": file.getvalue()}), "cpu", 1)
    with pytest.raises(ModelError, match="for 3 knots of the quality, not 9"):
        _ = model.tables
    assert tiny_model().tables.hyper_numbers(2048).shape == (8, 4)
    with pytest.raises(InvalidArgument, match=r"level 2049 is outside this model's 0\.\.2048"):
        tiny_model().tables.hyper_numbers(2049)


@pytest.mark.parametrize("shape", [(1, 3, 8, 16), (1, 1, 16, 16), (2, 3, 16, 16), (3, 16, 16), (1,)])
def test_images_of_another_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    graph = constant_graph(("y", "level"), {"image": np.zeros(shape, np.float32)})
    model = ImageModel(altered_bundle(tmp_path, members={"synthesis.onnx": graph}), "cpu", 1)
    with pytest.raises(ModelError, match="image of shape"):
        model.synthesis(np.zeros((192, 2, 2), np.float32), 0)


def test_an_output_of_another_name(tmp_path: Path) -> None:
    graph = constant_graph(("z", "level"), {"average": np.zeros((1, 192, 1, 1), np.float32), "next_state": STATE})
    graphs = {**tiny().manifest["graphs"]}
    average = {"name": "average", "shape": [], "dtype": "float32"}
    graphs["mean0"] = {**graphs["mean0"], "outputs": [average, {**average, "name": "next_state"}]}
    model = ImageModel(altered_bundle(tmp_path, members={"mean0.onnx": graph}, graphs=graphs), "cpu", 1)
    with pytest.raises(ModelError, match="gives no mean"):
        model.predict(np.zeros((model.geometry.hyper_channels, 1, 1), np.int32), 0).mean()


def test_a_graph_that_does_not_take_its_input(tmp_path: Path) -> None:
    model = ImageModel(altered_bundle(tmp_path, coding={"hyper_channels": 9}), "cpu", 1)
    with pytest.raises(ModelError, match="could not be run"):
        model.predict(np.zeros((9, 1, 1), np.int32), 0).mean()


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
        return tiny_session("mean0")

    monkeypatch.setattr("aez.codec.image.model.open_session", open_session)
    model = ImageModel(tiny(), "cpu", 1)
    z = np.zeros((model.geometry.hyper_channels, 1, 1), np.int32)
    for _ in range(3):
        model.predict(z, 0).mean()
    assert opened == [False]
    with pytest.raises(ModelError, match="gives no index"):  # the session is another graph's
        model.predict(z, 0).index()
    assert opened == [False, True]


def tiny_session(name: str) -> Session:
    from aez.codec.bundle.session import open_session

    return open_session(tiny().graph(name), "cpu", 1)


def test_one_model_serves_many_threads() -> None:
    model = ImageModel(lively(), "cpu", 1)
    inputs = [(random_z(model, i, 1 + i % 5), random_residuals(model, i, 1 + i % 5)) for i in range(16)]
    found: list[Any] = [None] * len(inputs)

    def work(start: int) -> None:
        for i in range(start, len(inputs), 4):
            z, residuals = inputs[i]
            found[i] = predictions(model, z, 100 * i, residuals)

    workers = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, (z, residuals) in enumerate(inputs):
        for one, other in zip(found[i], predictions(lively_model(), z, 100 * i, residuals), strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
