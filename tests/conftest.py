"""What all tests share: hypothesis' settings, the `gpu` marker, and a user's model folder that is empty."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No deadline: a test machine may be busy. In CI the examples are the same at every run.
settings.register_profile("aez", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("aez")

# Shells start jobs in the background with SIGINT ignored, and processes hand that on: tests of Ctrl+C need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where ONNX Runtime has no CUDA."""
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests and not _onnxruntime_has_cuda():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="ONNX Runtime has no CUDA here"))


def _onnxruntime_has_cuda() -> bool:
    import onnxruntime  # slow to import; only a run that selects gpu tests pays for it

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture(scope="session", autouse=True)
def _empty_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the models that the person running the tests has installed out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEZ_MODELS", str(tmp_path_factory.mktemp("models")))
        yield
