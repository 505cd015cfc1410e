"""How fast a detector scores windows on one core: through ONNX Runtime alone, and through `Detector`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.bench.machine import describe_environment
from aez.codec.bundle.session import open_session
from aez.codec.detect.detector import GRAPH, load_detector
from aez.codec.detect.rhythm.seasons import Beside, SeasonInputs
from aez.codec.detect.scaling import Scale

BATCHES = (32, 1)
#: What a detector's graph may take.
INPUTS = ("window", "centre", "width", "phase", "level")
_ROUNDS = 7


def speed(model: str | os.PathLike[str] | bytes, seconds: float = 3.0, *, int8: bool = False) -> dict[str, Any]:
    """Windows per second on the CPU with one thread, in batches of 32 and one at a time.

    `int8` measures the graph of `aez models export --int8`, too. `seconds` are spent on each
    of the figures, in seven rounds of which the median counts. The windows are the model's probe, with the scale, or
    the phases and levels, that belong to it. Raises ModelError for a bundle that is no detector.
    """
    detector = load_detector(model, "cpu", 1)
    session = open_session(detector.bundle.graph(GRAPH), "cpu", 1)
    taken = [name for name in INPUTS if f"probe_{name}.npy" in detector.bundle.members]
    probe = {name: detector.bundle.array(f"probe_{name}").astype(np.float32) for name in taken}
    rates: dict[str, dict[str, float]] = {"onnxruntime": {}, "detector": {}}
    small = None
    if int8:
        from aez.export.common.int8 import int8_bundle

        small = open_session(int8_bundle(detector.bundle).graph(GRAPH), "cpu", 1)
        rates["int8"] = {}
    for batch in BATCHES:
        given = {name: np.resize(part, (batch, *part.shape[1:])) for name, part in probe.items()}
        alone = partial(session.run, given)
        whole = partial(detector.score_windows, given["window"], _beside(given))
        rates["onnxruntime"][str(batch)] = batch * _calls_per_second(alone, seconds)
        if small is not None:
            rates["int8"][str(batch)] = batch * _calls_per_second(partial(small.run, given), seconds)
        rates["detector"][str(batch)] = batch * _calls_per_second(whole, seconds)
    return {
        "machine": asdict(describe_environment()),
        "model": detector.bundle.name,
        "window": detector.window,
        "channels": len(detector.channels),
        "windows_per_second": rates,
    }


def _beside(given: Mapping[str, NDArray[np.float32]]) -> Beside | None:
    """What a detector takes beside the windows, of its graph's inputs by name."""
    scale = Scale(given["centre"], given["width"]) if "centre" in given else None
    return SeasonInputs(given["phase"], given["level"], scale) if "phase" in given else scale


def _calls_per_second(call: Callable[[], object], seconds: float) -> float:
    """The median over rounds, after a warm-up of one round."""
    rates = []
    for number in range(_ROUNDS + 1):
        calls, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds / _ROUNDS or not calls:
            call()
            calls += 1
        if number:
            rates.append(calls / passed)
    return statistics.median(rates)
