"""ONNX Runtime sessions: devices, refusals, and memory that does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from aez.codec.bundle.session import open_session
from aez.codec.errors import InvalidArgument, ModelError
from tests.kit.places import ROOT
from tests.kit.tiny_pictures import tiny

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
GRAPH = tiny().graph("mean0")
INPUTS = {"z": np.zeros((1, tiny().coding["hyper_channels"], 1, 1), np.float32), "level": np.zeros(1, np.float32)}

SOAK = """
import random, resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests.kit.tiny_pictures import photo, tiny
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

rng, after_warm_up = random.Random(0), []
for number in range(int(sys.argv[2])):
    size = rng.randint(1, 220), rng.randint(1, 220)
    data = encode_picture(photo(*size, seed=number), rng.uniform(1, 100), tiny(), tile=128, threads=1).data
    decode_picture(data, model=tiny(), threads=1)
    if number >= int(sys.argv[2]) // 5:
        after_warm_up.append(resident())
half = len(after_warm_up) // 2
print(max(after_warm_up[:half]), max(after_warm_up[half:]))
"""


@pytest.fixture
def pretend_cuda(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """ONNX Runtime claims to have CUDA, and gives a session on the CPU when asked for it; lists what was asked for."""
    asked: list[Any] = []
    real = onnxruntime.InferenceSession

    def session(graph: bytes, options: Any, providers: list[Any]) -> Any:
        asked.extend(providers)
        return real(graph, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return asked


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider", CPU])


def is_one_sentence(error: pytest.ExceptionInfo[Exception]) -> bool:
    return "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.usefixtures("no_cuda")
def test_cuda_that_is_not_there() -> None:
    with pytest.raises(InvalidArgument, match="no CUDA support; install onnxruntime-gpu or use auto") as caught:
        open_session(GRAPH, "cuda")
    assert is_one_sentence(caught)
    assert open_session(GRAPH, "auto", 1).device == "cpu"


def test_cuda_that_does_not_start(pretend_cuda: list[Any]) -> None:
    with pytest.raises(InvalidArgument, match="CUDA could not be started here") as caught:
        open_session(GRAPH, "cuda")
    assert is_one_sentence(caught)
    assert pretend_cuda == [CUDA]


def test_auto_falls_back_where_cuda_does_not_start(pretend_cuda: list[Any]) -> None:
    session = open_session(GRAPH, "auto", 1)
    assert session.device == "cpu"
    assert pretend_cuda == [CUDA, CPU]
    assert session.run(INPUTS)["mean"].shape == (1, 192, 1, 1)


def test_auto_falls_back_where_cuda_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    def session(graph: bytes, options: Any, providers: list[Any]) -> Any:
        if providers != [CPU]:
            raise RuntimeError("CUDA driver version is insufficient\nfor CUDA runtime version")
        return real(graph, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    assert open_session(GRAPH, "auto", 1).device == "cpu"
    with pytest.raises(InvalidArgument, match=r"could not be started here \(CUDA driver version") as caught:
        open_session(GRAPH, "cuda", 1)
    assert is_one_sentence(caught)


class Failing:
    """Says that it runs on CUDA, and works until `lost` is set."""

    lost = False

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def get_providers(self) -> list[str]:
        return [CUDA]

    def get_outputs(self) -> Any:
        return self.inner.get_outputs()

    def run(self, *arguments: Any) -> Any:
        if self.lost:
            raise RuntimeError("CUDA failure 999: unknown error")
        return self.inner.run(*arguments)


def test_cuda_that_is_lost_on_the_way_gives_over_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = onnxruntime.InferenceSession

    def session(graph: bytes, options: Any, providers: list[Any]) -> Any:
        inner = real(graph, options, providers=[CPU])
        return inner if providers == [CPU] else Failing(inner)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    opened, strict = open_session(GRAPH, "auto", 1), open_session(GRAPH, "cuda", 1)
    before = opened.run(INPUTS)["mean"]
    with pytest.raises(ModelError, match="could not be run"):  # the inputs' own fault changes nothing
        opened.run({})
    assert opened.device == "cuda"
    monkeypatch.setattr(Failing, "lost", True)
    assert np.array_equal(opened.run(INPUTS)["mean"], before)
    assert opened.device == "cpu"
    assert "runs on the CPU from here on: the model's graph could not be run: CUDA failure 999" in caplog.text
    with pytest.raises(ModelError, match="CUDA failure 999"):
        strict.run(INPUTS)


def test_exact_graphs_get_an_exact_algorithm_on_cuda(pretend_cuda: list[Any]) -> None:
    open_session(GRAPH, "auto", 1, exact=True)
    name, settings = pretend_cuda[0]
    assert name == CUDA
    assert settings == {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}


@pytest.mark.parametrize("device", ["gpu", "CPU", "", "cuda:0"])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(InvalidArgument, match="use auto, cpu or cuda"):
        open_session(GRAPH, device)


@pytest.mark.parametrize("threads", [0, -1])
def test_too_few_threads(threads: int) -> None:
    with pytest.raises(InvalidArgument, match="too few"):
        open_session(GRAPH, "cpu", threads)


@pytest.mark.parametrize("graph", [b"", b"no graph", GRAPH[:-100], bytes(100)])
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_damaged_graphs(graph: bytes, device: str) -> None:
    with pytest.raises(ModelError, match="could not be opened") as caught:
        open_session(graph, device, 1)
    assert is_one_sentence(caught)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"z": INPUTS["z"]},
        {**INPUTS, "more": INPUTS["z"]},
        {**INPUTS, "z": INPUTS["z"][:, 1:]},
        {**INPUTS, "z": INPUTS["z"].astype(np.float64)},
    ],
)
def test_inputs_that_the_graph_does_not_take(inputs: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="could not be run") as caught:
        open_session(GRAPH, "cpu", 1).run(inputs)
    assert is_one_sentence(caught)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("threads", [1, 2, None])
def test_threads_and_optimisation_are_passed_on(threads: int | None, optimize: bool) -> None:
    session = open_session(GRAPH, "cpu", threads, optimize=optimize)
    options = session.inner.get_session_options()
    assert options.intra_op_num_threads == threads or (threads is None and options.intra_op_num_threads >= 1)
    assert not options.enable_mem_pattern
    disabled = options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert disabled is not optimize


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident size from /proc")
def test_memory_stays_flat_over_pictures_of_many_sizes() -> None:
    command = [sys.executable, "-c", SOAK, str(ROOT), "150"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    early, late = map(int, result.stdout.split())
    assert late < 1.1 * early
