"""What all tests share: settings, the order of files, folders made once, and a user's model folder that is empty."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kit.made_once import MadeOnce, folders_made_once
from tests.kit.order import LONG

# Tests run in several processes at once, and threads of torch, NumPy or scikit-learn that spin while they wait for each
# other take the others' cores. The processes that tests start have it from here, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: a test machine may be busy. In CI the examples are the same at every run.
settings.register_profile("aez", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("aez")

# Shells start jobs in the background with SIGINT ignored, and processes hand that on: tests of Ctrl+C need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, and skip tests marked `gpu` where ONNX Runtime has no CUDA."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests and not _onnxruntime_has_cuda():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="ONNX Runtime has no CUDA here"))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def _onnxruntime_has_cuda() -> bool:
    import onnxruntime  # slow to import; only a run that selects gpu tests pays for it

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture(scope="session", autouse=True)
def _empty_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the models that the person running the tests has installed out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEZ_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _networks_traced_once(made_once: MadeOnce) -> Iterator[None]:
    """Take torch's exporter by way of what is kept of former exports, where a module of tests needs torch."""
    with pytest.MonkeyPatch.context() as patch:
        if "torch" in sys.modules:
            from tests.kit.traced_once import trace_once  # needs torch

            trace_once(patch, made_once)
        yield


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run inside a test sets up the log; the next test finds it as this one did."""
    logger = logging.getLogger("aez")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture(scope="session")
def made_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that are filled once in a run of the tests, for all of its processes."""
    return folders_made_once(tmp_path_factory, several=hasattr(request.config, "workerinput"))
