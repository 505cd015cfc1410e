"""What all tests share: settings, the order of files, folders made once, and a user's model folder that is empty."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kit.made_once import MadeOnce, folders_made_once

# Tests run in several processes at once, and threads of torch, NumPy or scikit-learn that spin while they wait for each
# other take the others' cores. The processes that tests start have it from here, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: a test machine may be busy. In CI the examples are the same at every run.
settings.register_profile("aez", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("aez")

# Shells start jobs in the background with SIGINT ignored, and processes hand that on: tests of Ctrl+C need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Files that take longest, the longest first: they begin first, so that none is left over for one process at the end.
LONG = (
    "samples/test_recipes.py",
    "export/photo/test_train.py",
    "aez/commands/test_train_series.py",
    "bench/monitor/test_loss.py",
    "export/latent/test_train.py",
    "export/families/test_contract.py",
    "codec/image/test_fuzz.py",
    "export/photo/test_bundle.py",
    "export/series/test_train.py",
    "daemon/web/test_page.py",
    "export/photo/test_graphs.py",
    "aez/commands/test_monitor.py",
    "daemon/test_service.py",
    "export/latent/test_network.py",
    "daemon/test_delivery.py",
    "export/series/test_estimator.py",
    "bench/monitor/test_run.py",
    "daemon/sources/test_contract.py",
    "export/images/test_train.py",
    "daemon/sources/test_loss.py",
    "aez/commands/test_monitor_beside.py",
    "export/series/test_graph.py",
    "daemon/state/test_store.py",
    "bench/detect/test_run.py",
    "aez/commands/test_images.py",
    "aez/commands/test_score.py",
    "daemon/test_bad_input.py",
    "daemon/frames/test_monitor.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, and skip tests marked `gpu` where ONNX Runtime has no CUDA."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))
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


@pytest.fixture(scope="session")
def made_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that are filled once in a run of the tests, for all of its processes."""
    return folders_made_once(tmp_path_factory, several=hasattr(request.config, "workerinput"))
