"""The exported graphs: what they compute, which operators they hold, and how weights come back from them."""

from __future__ import annotations

import copy
import getpass
import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_photo import SMALL, Exported, make_network, make_pictures
from torch import nn

import aez
from aez.codec.quality import LEVEL_MAX
from aez.codec.runtime import open_session
from aez.export.graphs import (
    LARGE,
    SIGNATURES,
    AnalysisGraph,
    MeanGraph,
    SynthesisGraph,
    check_graph,
    describe_graphs,
    exact_index,
    example_inputs,
    load_weights,
    other_weights,
    round_stored_weights,
)
from aez.export.integer import ExactScaleNetwork
from aez.export.photo import PhotoNetwork

pytestmark = pytest.mark.slow  # they wait for the export

HYPER = SMALL.hyper_channels
SIZES = [(1, 16, 16), (2, 16, 80), (3, 112, 32)]


@pytest.fixture(scope="module")
def stored(exported: Exported) -> PhotoNetwork:
    """The network with the weights that the bundle holds."""
    network = copy.deepcopy(exported.network)
    round_stored_weights(network)
    return network


@pytest.fixture(scope="module")
def parts(stored: PhotoNetwork) -> dict[str, nn.Module]:
    return {
        "analysis": AnalysisGraph(stored),
        "mean": MeanGraph(stored),
        "scale": ExactScaleNetwork(stored.scale),
        "synthesis": SynthesisGraph(stored),
    }


@pytest.fixture(scope="module")
def graphs(exported: Exported) -> dict[str, bytes]:
    return {name: exported.bundle.graph(name) for name in SIGNATURES}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", SIGNATURES)
def test_graphs_compute_what_torch_does_at_any_size(
    name: str, size: tuple[int, int, int], parts: dict[str, nn.Module], graphs: dict[str, bytes]
) -> None:
    inputs = example_inputs(name, HYPER, *size, seed=7)
    with torch.no_grad():
        result = parts[name](*inputs.values())
    outputs = open_session(graphs[name], "cpu", threads=1).run({key: x.numpy() for key, x in inputs.items()})
    assert list(outputs) == list(SIGNATURES[name][1])
    for found, wanted in zip(outputs.values(), result if isinstance(result, tuple) else [result], strict=True):
        assert (found.shape, found.dtype) == (tuple(wanted.shape), np.float32)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=0 if name == "scale" else 2e-4)


def test_graphs_agree_on_pictures_at_the_ends_of_the_quality_scale(
    parts: dict[str, nn.Module], graphs: dict[str, bytes]
) -> None:
    image, level = make_pictures(3, side=96), torch.tensor([0.0, 1023.0, LEVEL_MAX])
    with torch.no_grad():
        y, z = parts["analysis"](image, level)
    inputs = {
        "analysis": {"image": image, "level": level},
        "mean": {"z": z, "level": level},
        "scale": {"z": z, "level": level},
        "synthesis": {"y": torch.round(y), "level": level},
    }
    for name, case in inputs.items():
        assert check_graph(name, parts[name], graphs[name], HYPER, [case]) < 1e-4


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_scale_graph_is_exact_on_extreme_hyper_latents(
    threads: int, optimize: bool, parts: dict[str, nn.Module], graphs: dict[str, bytes]
) -> None:
    exact = parts["scale"]
    assert isinstance(exact, ExactScaleNetwork)
    session = open_session(graphs["scale"], "cpu", threads=threads, optimize=optimize)
    level = np.array([0, 1, 255, 256, 2047, 2048], np.float32)
    rng = np.random.default_rng(0)
    for spread in (3.0, 200.0, 5000.0):
        z = np.round(rng.uniform(-spread, spread, (len(level), HYPER, 6, 5))).astype(np.float32)
        index = session.run({"z": z, "level": level})["index"]
        assert np.array_equal(index, exact_index(exact, z, level))
        assert len(np.unique(index)) > 5


def test_graphs_hold_standard_operators_and_no_trace_of_this_machine(graphs: dict[str, bytes]) -> None:
    root = Path(aez.__file__).resolve().parent.parent
    private = {
        str(root),
        str(Path.home()),
        str(Path.cwd()),
        "site-packages",
        ".py",
        "torch",
        "/tmp",
        socket.gethostname(),
    }
    if len(getpass.getuser()) > 4:  # "root" occurs by chance
        private.add(getpass.getuser())
    for name, data in graphs.items():
        model = onnx.load_from_string(data)
        assert {node.domain for node in model.graph.node} == {""}, name
        assert [opset.domain for opset in model.opset_import] == [""]
        assert not model.functions
        assert not model.metadata_props
        assert all(not tensor.external_data for tensor in model.graph.initializer)
        assert [text for text in private if text.encode() in data] == []


def test_large_weights_are_stored_in_half_the_bytes_and_exact_ones_in_a_quarter(graphs: dict[str, bytes]) -> None:
    kinds = {name: set[int]() for name in graphs}
    for name, data in graphs.items():
        for tensor in onnx.load_from_string(data).graph.initializer:
            if np.prod(tensor.dims) >= LARGE:
                kinds[name].add(tensor.data_type)
    half, int8 = onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8
    assert kinds == {"analysis": {half}, "mean": {half}, "scale": {int8}, "synthesis": {half}}


def test_batch_height_and_width_are_free(graphs: dict[str, bytes]) -> None:
    for name, data in graphs.items():
        model = onnx.load_from_string(data)
        for value, port in zip(model.graph.input, SIGNATURES[name][0].values(), strict=True):
            axes = value.type.tensor_type.shape.dim
            assert len(axes) == 1 + len(port.axes)
            fixed = [number for number, axis in enumerate(axes) if axis.HasField("dim_value")]
            assert fixed == ([1] if port.axes else []), (name, value.name)


def test_the_manifest_describes_the_graphs(graphs: dict[str, bytes]) -> None:
    described = describe_graphs(HYPER)
    for name, data in graphs.items():
        model, entry = onnx.load_from_string(data), described[name]
        assert isinstance(entry, dict)
        assert [port["name"] for port in entry["inputs"]] == [value.name for value in model.graph.input]
        assert [port["name"] for port in entry["outputs"]] == [value.name for value in model.graph.output]
    mean = described["mean"]
    assert isinstance(mean, dict)
    assert mean["inputs"][0]["shape"] == ["batch", HYPER, "height/16", "width/16"]
    assert mean["outputs"][0]["shape"] == ["batch", 192, "height/8", "width/8"]


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_graph_of_other_weights_is_refused(name: str, graphs: dict[str, bytes]) -> None:
    other = make_network(seed=2)
    part = {
        "analysis": AnalysisGraph(other),
        "mean": MeanGraph(other),
        "scale": ExactScaleNetwork(other.scale),
        "synthesis": SynthesisGraph(other),
    }[name]
    with pytest.raises(ValueError, match=f"{name} graph: "):
        check_graph(name, part, graphs[name], HYPER)


def test_a_graph_that_gives_no_numbers_is_refused(stored: PhotoNetwork, graphs: dict[str, bytes]) -> None:
    broken = copy.deepcopy(stored)
    with torch.no_grad():
        broken.mean.out.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="mean graph: torch and ONNX Runtime differ by inf"):
        check_graph("mean", MeanGraph(broken), graphs["mean"], HYPER)


def test_stored_weights_lose_what_float16_loses_and_nothing_else(exported: Exported, stored: PhotoNetwork) -> None:
    before, after = dict(exported.network.named_parameters()), dict(stored.named_parameters())
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    for name in changed:
        assert not name.startswith("scale.")
        assert before[name].numel() >= LARGE
        torch.testing.assert_close(after[name], before[name], rtol=1e-3, atol=1e-7)


def test_weights_beyond_float16_are_refused() -> None:
    network = make_network()
    with torch.no_grad():
        network.synthesis.unembed.weight[3, 4] = 1e5
    with pytest.raises(ValueError, match=r"synthesis\.unembed\.weight is outside the range of float16"):
        round_stored_weights(network)


def test_every_weight_comes_back_from_the_graphs(stored: PhotoNetwork, graphs: dict[str, bytes]) -> None:
    rest = other_weights(stored, graphs)
    loaded = PhotoNetwork(SMALL)
    load_weights(loaded, graphs, rest)
    expected = stored.state_dict()
    for name, value in loaded.state_dict().items():
        if name == "scale.log_multiplier":
            assert torch.equal(loaded.scale.multiplier(), stored.scale.multiplier())
        elif name.startswith("scale."):  # rounded to the units of the exact graph
            torch.testing.assert_close(value, expected[name].clamp(-127 / 128, 127 / 128) if "weight" in name
                                       else expected[name], rtol=0, atol=1 / 256 + 1e-6)  # fmt: skip
        else:
            assert torch.equal(value, expected[name]), name
    z = example_inputs("scale", HYPER)
    assert torch.equal(loaded.scale.index(**z), stored.scale.index(**z))


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_of_another_size_are_refused(change: int, stored: PhotoNetwork, graphs: dict[str, bytes]) -> None:
    rest = np.resize(other_weights(stored, graphs), other_weights(stored, graphs).size + change)
    with pytest.raises(ValueError, match="the rest does not fill them"):
        load_weights(PhotoNetwork(SMALL), graphs, rest)
