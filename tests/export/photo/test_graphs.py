"""The exported graphs: what they compute, which operators they hold, and how weights come back from them."""

from __future__ import annotations

import copy
import getpass
import re
import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import aez
from aez.codec.bundle.session import open_session
from aez.codec.entropy.quality import LEVEL_MAX
from aez.export.hyperprior.graphs import (
    LARGE,
    check_graph,
    describe_graphs,
    exact_scale,
    example_inputs,
    graph_parts,
    is_exact,
    load_weights,
    other_weights,
    round_stored_weights,
    signatures,
)
from aez.export.hyperprior.integer import ACT_MAX, ExactScale
from aez.export.hyperprior.network import PHASES, join_phases, take_phase
from aez.export.photo.network import PhotoNetwork
from tests.kit.small_photo import SMALL, Exported, make_network, make_pictures

pytestmark = pytest.mark.slow  # they wait for the export

SIGNATURES = signatures(SMALL)
SCALE_GRAPHS = [name for name in SIGNATURES if is_exact(name)]
SIZES = [(1, 32, 32), (2, 32, 160), (3, 224, 64)]


@pytest.fixture(scope="module")
def stored(exported: Exported) -> PhotoNetwork:
    """The network with the weights that the bundle holds."""
    network = copy.deepcopy(exported.network)
    round_stored_weights(network)
    return network


@pytest.fixture(scope="module")
def parts(stored: PhotoNetwork) -> dict[str, nn.Module]:
    return graph_parts(stored)


@pytest.fixture(scope="module")
def graphs(exported: Exported) -> dict[str, bytes]:
    return {name: exported.bundle.graph(name) for name in SIGNATURES}


def test_every_phase_has_its_graphs_and_all_others_are_one(parts: dict[str, nn.Module]) -> None:
    names = {"analysis", "synthesis", "mean0", "mean1", "mean2", "scale0", "scale1", "scale2"}
    assert set(SIGNATURES) == set(parts) == names
    assert SCALE_GRAPHS == ["scale0", "scale1", "scale2"]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", SIGNATURES)
def test_graphs_compute_what_torch_does_at_any_size(
    name: str, size: tuple[int, int, int], parts: dict[str, nn.Module], graphs: dict[str, bytes]
) -> None:
    inputs = example_inputs(name, SMALL, *size, seed=7)
    with torch.no_grad():
        result = parts[name](*inputs.values())
    outputs = open_session(graphs[name], "cpu", threads=1).run({key: x.numpy() for key, x in inputs.items()})
    assert list(outputs) == list(SIGNATURES[name][1])
    for found, wanted in zip(outputs.values(), result if isinstance(result, tuple) else [result], strict=True):
        assert (found.shape, found.dtype) == (tuple(wanted.shape), np.float32)
        tolerances = {"rtol": 0, "atol": 0} if is_exact(name) else {"rtol": 1e-4, "atol": 2e-4}
        np.testing.assert_allclose(found, wanted.numpy(), **tolerances)


def test_graphs_agree_on_pictures_at_the_ends_of_the_quality_scale(
    parts: dict[str, nn.Module], graphs: dict[str, bytes]
) -> None:
    image, level = make_pictures(3, side=96), torch.tensor([0.0, 1023.0, LEVEL_MAX])
    inputs, _, _ = code(parts, image, level)
    assert set(inputs) == set(parts)
    for name, case in inputs.items():
        assert check_graph(name, parts[name], graphs[name], SMALL, [case]) < 1e-4


def test_the_graphs_in_turn_give_the_symbols_of_the_network(stored: PhotoNetwork, parts: dict[str, nn.Module]) -> None:
    image, level = make_pictures(3, side=96), torch.tensor([0.0, 1023.0, LEVEL_MAX])
    inputs, residuals, indices = code(parts, image, level)
    residual, index, z = stored.symbols(image, level)
    assert torch.equal(inputs["scale0"]["z"], z)
    assert torch.equal(join_phases(indices), index)
    assert torch.equal(join_phases(residuals), residual)


@torch.no_grad()
def code(
    parts: dict[str, nn.Module], image: Tensor, level: Tensor
) -> tuple[dict[str, dict[str, Tensor]], list[Tensor], list[Tensor]]:
    """(inputs of every graph, residuals and indices of every phase) when pictures are encoded."""
    y, z = parts["analysis"](image, level)
    inputs = {"analysis": {"image": image, "level": level}, "synthesis": {"y": torch.round(y), "level": level}}
    residuals, indices = list[Tensor](), list[Tensor]()
    states: dict[str, Tensor] = {}
    for number in range(len(PHASES)):
        found: dict[str, Tensor] = {}
        for path in ("mean", "scale"):
            name = f"{path}{number}"
            case = {"state": states[path], "residual": torch.cat(residuals, dim=1)} if number else {"z": z}
            inputs[name] = {**case, "level": level}
            found[path], states[path] = parts[name](*inputs[name].values())
        residuals.append(torch.round(take_phase(y, number) - found["mean"]) * (found["scale"] > 0))
        indices.append(found["scale"])
    return inputs, residuals, indices


@pytest.mark.parametrize("size", [(6, 5), (1, 1), (1, 9), (8, 1)], ids=str)
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SCALE_GRAPHS)
def test_a_scale_graph_is_exact_on_extreme_symbols(
    name: str,
    threads: int,
    optimize: bool,
    size: tuple[int, int],
    parts: dict[str, nn.Module],
    graphs: dict[str, bytes],
) -> None:
    exact = parts[name]
    assert isinstance(exact, ExactScale)
    session = open_session(graphs[name], "cpu", threads=threads, optimize=optimize)
    level = np.array([0, 1, 255, 256, 2047, 2048], np.float32)
    rng = np.random.default_rng(0)
    for spread in (3.0, 200.0, 5000.0, 2.0**20 - 1):
        inputs = {"level": level}
        for key, port in SIGNATURES[name][0].items():
            if key != "level":
                low, high = (0, ACT_MAX) if key == "state" else (-spread, spread)
                inputs[key] = np.round(rng.uniform(low, high, (len(level), port.axes[0], *size))).astype(np.float32)
        found = session.run(inputs)
        for key, expected in exact_scale(exact, inputs).items():
            assert np.array_equal(found[key], expected)
            cells = tuple(2 * side for side in size) if name == "scale0" else size
            assert found[key].shape[2:] == cells
        assert len(np.unique(found["index"])) > 5


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
    }
    # Short ones, such as "root", occur by chance.
    private |= {name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 4}
    for name, data in graphs.items():
        model = onnx.load_from_string(data)
        assert {node.domain for node in model.graph.node} == {""}, name
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
        assert model.ir_version == 8, "ONNX Runtime 1.15 loads no newer form"
        assert name[:5] != "scale" or "Div" not in {node.op_type for node in model.graph.node}, "integers need none"
        assert not model.functions
        assert not model.metadata_props
        assert all(not tensor.external_data for tensor in model.graph.initializer)
        assert [text for text in private if text.encode() in data] == []


def test_large_weights_are_stored_in_half_the_bytes_and_exact_ones_in_a_quarter(graphs: dict[str, bytes]) -> None:
    kinds = {name: set[int]() for name in graphs}
    for name, data in graphs.items():
        for tensor in onnx.load_from_string(data).graph.initializer:
            if np.prod(tensor.dims) >= LARGE and not re.search(r"offset|multiplier", tensor.name):
                kinds[name].add(tensor.data_type)
    half, int8 = onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8
    assert kinds == {name: {int8 if is_exact(name) else half} for name in SIGNATURES}


def test_batch_height_and_width_are_free(graphs: dict[str, bytes]) -> None:
    for name, data in graphs.items():
        model = onnx.load_from_string(data)
        for value, port in zip(model.graph.input, SIGNATURES[name][0].values(), strict=True):
            axes = value.type.tensor_type.shape.dim
            assert len(axes) == 1 + len(port.axes)
            fixed = [number for number, axis in enumerate(axes) if axis.HasField("dim_value")]
            assert fixed == ([1] if port.axes else []), (name, value.name)


def test_the_manifest_describes_the_graphs(graphs: dict[str, bytes]) -> None:
    described = describe_graphs(SIGNATURES)
    for name, data in graphs.items():
        model, entry = onnx.load_from_string(data), described[name]
        assert isinstance(entry, dict)
        assert [port["name"] for port in entry["inputs"]] == [value.name for value in model.graph.input]
        assert [port["name"] for port in entry["outputs"]] == [value.name for value in model.graph.output]
    cells, coarse = ["height/16", "width/16"], ["height/32", "width/32"]
    for name, inputs, outputs in (
        ("analysis", {}, {"y": ["batch", 96, "height/8", "width/8"], "z": ["batch", 4, *coarse]}),
        ("mean0", {"z": ["batch", 4, *coarse]}, {"mean": ["batch", 96, *cells], "next_state": ["batch", 44, *cells]}),
        ("scale1", {"state": ["batch", 44, *cells], "residual": ["batch", 96, *cells]}, {}),
        ("scale2", {"residual": ["batch", 192, *cells], "level": ["batch"]}, {"index": ["batch", 192, *cells]}),
    ):
        entry = described[name]
        assert isinstance(entry, dict)
        for side, expected in (("inputs", inputs), ("outputs", outputs)):
            assert expected.items() <= {port["name"]: port["shape"] for port in entry[side]}.items()


@pytest.fixture(scope="module")
def other_parts() -> dict[str, nn.Module]:
    return graph_parts(make_network(seed=2))


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_graph_of_other_weights_is_refused(
    name: str, other_parts: dict[str, nn.Module], graphs: dict[str, bytes]
) -> None:
    with pytest.raises(ValueError, match=f"{name} graph: "):
        check_graph(name, other_parts[name], graphs[name], SMALL)


@pytest.mark.parametrize("number", range(len(PHASES)))
def test_a_graph_that_gives_no_numbers_is_refused(number: int, stored: PhotoNetwork, graphs: dict[str, bytes]) -> None:
    broken, name = copy.deepcopy(stored), f"mean{number}"
    with torch.no_grad():
        broken.mean.get_parameter(f"outs.{number}.bias").fill_(torch.nan)
    with pytest.raises(ValueError, match=f"{name} graph: torch and ONNX Runtime differ by inf"):
        check_graph(name, graph_parts(broken)[name], graphs[name], SMALL)


def test_stored_weights_lose_what_float16_loses_and_nothing_else(exported: Exported, stored: PhotoNetwork) -> None:
    before, after = dict(exported.network.named_parameters()), dict(stored.named_parameters())
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    for name in changed:
        assert not name.startswith("scale.")
        assert before[name].numel() >= LARGE
        torch.testing.assert_close(after[name], before[name], rtol=2**-8, atol=1e-7)


def test_seven_bits_of_a_stored_mantissa_are_kept_and_rounding_again_changes_nothing(stored: PhotoNetwork) -> None:
    again = copy.deepcopy(stored)
    round_stored_weights(again)
    seen = 0
    for name, value in stored.named_parameters():
        assert torch.equal(again.get_parameter(name), value), name
        if value.numel() >= LARGE and not name.startswith(("scale.", "log_")):
            bits = value.detach().half().numpy().view(np.uint16)[np.abs(value.detach().numpy()) > 2**-14]
            assert not (bits & 7).any(), name  # of the ten of a float16
            assert (bits >> 3 & 1).any() or ".gate." in name, name
            seen += 1
    assert seen > 10


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
    for name in SCALE_GRAPHS:
        inputs = example_inputs(name, SMALL).values()
        for found, wanted in zip(graph_parts(loaded)[name](*inputs), graph_parts(stored)[name](*inputs), strict=True):
            assert torch.equal(found, wanted)


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_of_another_size_are_refused(change: int, stored: PhotoNetwork, graphs: dict[str, bytes]) -> None:
    rest = np.resize(other_weights(stored, graphs), other_weights(stored, graphs).size + change)
    with pytest.raises(ValueError, match="the rest does not fill them"):
        load_weights(PhotoNetwork(SMALL), graphs, rest)
