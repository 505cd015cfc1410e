"""`aez models export --example`: a program of a page that scores a series with the exported graph, without aez."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aez.codec.bundle.bundle import Bundle
    from aez.codec.detect.detector import Detector

#: The program of each language.
PROGRAMS = {"cpp": "score.cpp", "python": "score.py"}
HEADER = "model.h"
_RULE = ("open_after", "close_after", "merge_within", "min_length")
#: All that an export may have written.
EXAMPLE_FILES = frozenset({*PROGRAMS.values(), HEADER})


def example_files(bundle: Bundle, language: str, written: Bundle | None = None) -> dict[str, bytes]:
    """The program in a language of `PROGRAMS`, and what it needs beside the graph. Raises InvalidArgument, ModelError.

    Only for detectors of series; in C++ only for those that read no words. `written` is the model in the precision that
    is exported, where that is another.
    """
    from aez.codec.detect.detector import TASK, Detector

    if bundle.task != TASK:
        raise InvalidArgument(f"model {bundle.name} is no detector of series; there are programs for these alone")
    detector = Detector(bundle, "cpu")
    program = PROGRAMS[language]
    found = {program: files("aez").joinpath("examples", program).read_bytes()}
    if language == "cpp":
        if detector.words:
            names = ", ".join(detector.words)
            raise InvalidArgument(f"the C++ program reads numbers alone, and model {bundle.name} words in {names}")
        found[HEADER] = _header(detector, written or bundle).encode()
    return found


def _header(detector: Detector, bundle: Bundle) -> str:
    """Constants of the model for C and C++."""
    window = bundle.array("probe_window")[:1].astype("float32")
    lines = [
        f"// Constants of the detector {bundle.name}, id {bundle.id}.",
        "#pragma once",
        "",
        "#include <cmath>",
        "",
        "namespace aez {",
        "",
        *(
            f"constexpr int {name} = {value};"
            for name, value in (
                ("window", detector.window),
                ("channels", len(detector.channels)),
                *((name, getattr(detector.event_rule, name)) for name in _RULE),
            )
        ),
        f"constexpr double period_seconds = {detector.period or 0:.9g};  // 0: of no fixed period",
        _strings("names", detector.channels),
        _strings("units", [unit or "" for unit in detector.units]),
        _numbers("lowest", [low for low, _ in detector.ranges], "what training saw of each channel"),
        _numbers("highest", [high for _, high in detector.ranges], ""),
        _numbers("probe_window", window.ravel().tolist(), "a window, and the score that it must have"),
        f"constexpr float probe_score = {_probe_score(bundle, window):.9e}f;",
        "",
        "}  // namespace aez",
        "",
    ]
    return "\n".join(lines)


def _probe_score(bundle: Bundle, window: NDArray[np.float32]) -> float:
    """The score of a window where all else that the graph takes is left out."""
    from aez.codec.bundle.session import open_session

    session = open_session(bundle.graph("detector"), "cpu", threads=1)
    return float(session.run({"window": window})["score"][0])


def _strings(name: str, values: Sequence[str]) -> str:
    quoted = ", ".join(json.dumps(value, ensure_ascii=False) for value in values)
    return f"constexpr const char* {name}[] = {{{quoted}}};"


def _numbers(name: str, values: list[float], about: str) -> str:
    written = [f"{value:.9e}f" if not math.isnan(value) else "NAN" for value in values]
    rows = [", ".join(written[start : start + 8]) for start in range(0, len(written), 8)]
    body = ",\n    ".join(rows)
    return (f"// {about}\n" if about else "") + f"constexpr float {name}[] = {{\n    {body}}};"
