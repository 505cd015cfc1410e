"""How fast a detector scores windows on one core: through ONNX Runtime alone, and through `Detector`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from aez.bench.machine import describe_environment
from aez.codec.bundle.session import open_session
from aez.codec.detect.detector import GRAPH, load_detector

BATCHES = (32, 1)
_ROUNDS = 7


def speed(model: str | os.PathLike[str] | bytes, seconds: float = 3.0) -> dict[str, Any]:
    """Windows per second on the CPU with one thread, in batches of 32 and one at a time.

    `seconds` are spent on each of the four figures, in seven rounds of which the median counts. The windows are the
    model's probe. Raises ModelError for a bundle that is no detector.
    """
    detector = load_detector(model, "cpu", 1)
    session = open_session(detector.bundle.graph(GRAPH), "cpu", 1)
    probe = detector.bundle.array("probe_window").astype(np.float32)
    rates: dict[str, dict[str, float]] = {"onnxruntime": {}, "detector": {}}
    for batch in BATCHES:
        windows = np.resize(probe, (batch, *probe.shape[1:]))
        alone, whole = partial(session.run, {"window": windows}), partial(detector.score_windows, windows)
        rates["onnxruntime"][str(batch)] = batch * _calls_per_second(alone, seconds)
        rates["detector"][str(batch)] = batch * _calls_per_second(whole, seconds)
    return {
        "machine": asdict(describe_environment()),
        "model": detector.bundle.name,
        "window": detector.window,
        "channels": len(detector.channels),
        "windows_per_second": rates,
    }


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
