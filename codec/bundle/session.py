"""The one place that opens ONNX Runtime sessions: provider choice, threads, memory that stays bounded.

Sessions run without memory patterns: those keep a plan for every new input shape, so that a process that sees pictures
of many sizes would grow. The arena alone settles at what the largest tile needs (`aez bench soak`) and saves a tenth of
the time.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from aez.codec.common.cores import available_cores
from aez.codec.common.forks import end_at_once, set_aside
from aez.codec.errors import InvalidArgument, ModelError

if TYPE_CHECKING:
    import onnxruntime

_log = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda"]
#: Sessions of this process and, in a forked child, of its parent, whose threads are not there.
_open: weakref.WeakSet[Any] = weakref.WeakSet()
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")


@dataclass
class Session:
    """An open graph. `run` takes and gives float32 arrays by name.

    spare: opens the same graph on the CPU, for the day on which CUDA fails; None where nothing may stand in. again:
    opens the same graph once more, for a forked child.
    """

    inner: onnxruntime.InferenceSession
    device: str
    outputs: tuple[str, ...]
    again: Callable[[], Session]
    spare: Callable[[], Session] | None = None
    process: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        _open.add(self.inner)

    def run(self, inputs: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the graph, on the CPU once CUDA has failed; raises ModelError when the runtime refuses the inputs."""
        try:
            return self._run(inputs)
        except ModelError as error:
            if self.spare is None:
                raise
            spare = self.spare()
            found = spare.run(inputs)  # raises where the inputs are to blame, and CUDA stays
            _log.warning("CUDA failed, and the model runs on the CPU from here on: %s", error)
            self.inner, self.device, self.spare = spare.inner, spare.device, None
            return found

    def run_checked(
        self, inputs: Mapping[str, npt.NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]], called: str
    ) -> list[npt.NDArray[np.float32]]:
        """The outputs that `shapes` names, in its order, for a batch of one, whose axis is not in the shapes.

        Raises ModelError where the graph, which the message calls `called`, gives others.
        """
        results = self.run(inputs)
        for output, shape in shapes.items():
            found = results.get(output)
            if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != (1, *shape):
                raise ModelError(f"the {called} gives no {output} of shape {shape} in float32")
        return [results[output][0] for output in shapes]

    def _run(self, inputs: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
        if self.process != os.getpid():
            fresh = self.again()
            self.inner, self.device, self.process = fresh.inner, fresh.device, fresh.process
        try:
            return dict(zip(self.outputs, self.inner.run(None, dict(inputs)), strict=True))
        except Exception as error:  # onnxruntime raises RuntimeError subclasses without a common public base
            raise ModelError(f"the model's graph could not be run: {_first_line(error)}") from error


def open_session(
    graph: bytes, device: str = "auto", threads: int | None = None, *, exact: bool = False, optimize: bool = True
) -> Session:
    """Open a graph on a device: `auto` takes CUDA where ONNX Runtime offers it, and the CPU where, or once, that fails.

    `threads` (all cores by default) are used inside one operator. `exact` marks a graph whose sums must be exact in
    float32: on CUDA its convolutions then use an algorithm without Winograd transforms. Raises InvalidArgument for
    `cuda` without CUDA and for less than one thread, ModelError for a graph that cannot be opened.
    """
    import onnxruntime

    if threads is not None and threads < 1:
        raise InvalidArgument(f"{threads} threads are too few; give 1 or more")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads if threads is not None else available_cores()
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    # A codec runs several sessions in turn: threads of one that spin for more work would hold the others' cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    failure: Exception | None = None
    for name in _candidates(device, onnxruntime.get_available_providers()):
        try:
            inner = onnxruntime.InferenceSession(graph, options, providers=[_provider(name, exact)])
        except Exception as error:  # noqa: BLE001 - as in `run`; the next provider gets its chance
            failure = error
            continue
        if inner.get_providers()[0] == name:
            outputs = tuple(output.name for output in inner.get_outputs())
            again = partial(open_session, graph, threads=threads, exact=exact, optimize=optimize)
            if not name.startswith("CUDA"):
                return Session(inner, "cpu", outputs, partial(again, device="cpu"))
            spare = partial(again, device="cpu") if device == "auto" else None
            return Session(inner, "cuda", outputs, partial(again, device=device), spare)
    if device == "cuda":
        reason = f" ({_first_line(failure)})" if failure is not None else ""
        raise InvalidArgument(
            f"device cuda was asked for, but CUDA could not be started here{reason}; use auto or cpu"
        ) from failure
    raise ModelError(f"the model's graph could not be opened: {_first_line(failure)}") from failure


def _candidates(device: str, available: list[str]) -> list[str]:
    if device not in DEVICES:
        raise InvalidArgument(f"device {device!r} is unknown; use auto, cpu or cuda")
    cuda = "CUDAExecutionProvider"
    if device == "cuda" and cuda not in available:
        raise InvalidArgument(
            "device cuda was asked for, but this ONNX Runtime has no CUDA support; install onnxruntime-gpu or use auto"
        )
    wanted = {"auto": [cuda, "CPUExecutionProvider"], "cpu": ["CPUExecutionProvider"], "cuda": [cuda]}[device]
    return [name for name in wanted if name in available]


def _provider(name: str, exact: bool) -> str | tuple[str, dict[str, Any]]:
    if name == "CUDAExecutionProvider" and exact:
        return name, {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}
    return name


def _leave_to_the_parent() -> None:
    """In a forked child: sessions of the parent are never ended here, nor the runtime itself."""
    for inner in list(_open):
        set_aside(inner)
    if "onnxruntime" in sys.modules:
        end_at_once()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def _first_line(error: Exception | None) -> str:
    return str(error).strip().splitlines()[0] if error is not None and str(error).strip() else "no reason given"
