"""`aez models export --example`: the programs compute what `aez score --causal` does, without aez."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.kit.commands import run
from tests.kit.places import ROOT

CHANNELS = ("flow", "pressure", "heat")
#: Where `make test` puts the C and C++ headers of ONNX Runtime.
HEADERS = Path(sys.prefix, "include", "onnxruntime")
LIBRARY = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))


def write_table(path: Path, rows: int, seed: int, mode: str = "") -> None:
    """Noisy sines, two faults from row 200 on, some fields empty; columns in another order than the model's."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(rows)[:, None] / 23
    values = np.sin(phase + np.arange(3)) + 0.1 * rng.normal(size=(rows, 3))
    values = values * [2, 50, 0.01] + [20, 900, 0.5]
    if mode:
        values[200:230, 0] += 5
        values[241:250, 1] += 150
        values[330:, 2] += 0.06
        values[rng.random((rows, 3)) < 0.02] = np.nan
    lines = [f"2026-03-01T00:{row // 60 % 60:02}:{row % 60:02}Z" for row in range(rows)]
    text = [[f"{value:.6g}" if np.isfinite(value) else "" for value in row] for row in values]
    with path.open("w") as file:
        file.write("time,heat,flow,pressure\n" if mode else f"time,{','.join(CHANNELS)}\n")
        for time, (flow, pressure, heat) in zip(lines, text, strict=True):
            file.write(",".join((time, heat, flow, pressure) if mode else (time, flow, pressure, heat)) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a table, and what aez finds in it."""
    folder = tmp_path_factory.mktemp("examples")
    write_table(folder / "train.csv", 2500, 0)
    write_table(folder / "test.csv", 400, 1, "faults")
    made = run("train", "series", folder / "train.csv", "-o", folder / "pump.aezm")
    assert made.exit_code == 0, made.stderr
    scored = run(
        *("score", folder / "pump.aezm", folder / "test.csv", "--causal", "-o", folder / "scores.csv"),
        *("--events", folder / "events.csv"),
    )
    assert scored.exit_code == 0, scored.stderr
    return folder


def agree(folder: Path, scores: str, told: str) -> None:
    """Rows' scores to 1e-4, and the same events."""
    wanted = {
        int(row["row"]): float(row["score"])
        for row in csv.DictReader((folder / "scores.csv").read_text().splitlines())
        if row["score"] not in ("", "nan")
    }
    found = {int(row["row"]): float(row["score"]) for row in csv.DictReader(scores.splitlines())}
    assert list(found) == list(wanted)
    np.testing.assert_allclose([*found.values()], [*wanted.values()], rtol=1e-4)
    events = [
        f"event: rows {row['start']} to {int(row['end']) - 1}, peak {float(row['peak']):.4f}, "
        f"mostly {row['channels'].split()[0]}" + (", which goes on" if row["ongoing"] == "true" else "")
        for row in csv.DictReader((folder / "events.csv").read_text().splitlines())
    ]
    assert len(events) >= 2
    assert [line for line in told.splitlines() if line.startswith("event: ")] == events


def export(folder: Path, language: str) -> Path:
    made = run("models", "export", folder / "pump.aezm", "-o", folder / language, "--example", language, "-f")
    assert made.exit_code == 0, made.stderr
    return folder / language


def test_python_program(folder: Path) -> None:
    program = export(folder, "python")
    with (folder / "test.csv").open() as table:
        done = subprocess.run(
            [sys.executable, "-I", program / "score.py", program / "detector.onnx"],
            stdin=table,
            capture_output=True,
            text=True,
            check=True,
        )
    agree(folder, done.stdout, done.stderr)


def test_cpp_program(folder: Path, tmp_path: Path) -> None:
    assert HEADERS.is_dir(), f"no headers of ONNX Runtime in {HEADERS}; `make test` brings them"
    program = export(folder, "cpp")
    for name in ("libonnxruntime.so", LIBRARY.name, "libonnxruntime.so.1"):
        (tmp_path / name).symlink_to(LIBRARY)
    compiler = shutil.which("g++") or shutil.which("clang++")
    assert compiler, "no C++ compiler"
    warnings = ["-Wall", "-Wextra", "-Werror", "-isystem", str(HEADERS)]
    linked = ["-L", str(tmp_path), "-lonnxruntime", f"-Wl,-rpath,{tmp_path}", "-o", str(tmp_path / "score")]
    source = str(program / "score.cpp")
    subprocess.run([compiler, "-std=c++17", *warnings, source, *linked], check=True)
    with (folder / "test.csv").open() as table:
        done = subprocess.run(
            [tmp_path / "score", program / "detector.onnx"], stdin=table, capture_output=True, text=True, check=True
        )
    agree(folder, done.stdout, done.stderr)
    lacking = subprocess.run(
        [tmp_path / "score", program / "detector.onnx"],
        input="time,flow\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lacking.returncode, lacking.stderr) == (1, "score: no column is named pressure\n")


def test_the_graph_says_what_the_document_promises(folder: Path) -> None:
    """All but what only some models have; and it loads where graphs of that age do."""
    import onnx

    graph = onnx.load(export(folder, "python") / "detector.onnx")
    said = re.search(
        r"The graph's metadata \(.*?and a probe\.", (ROOT / "docs" / "embedding.md").read_text(), re.DOTALL
    )
    assert said
    names = {name for name in re.findall(r"`(\w+)`", said[0]) if not name.startswith("session")}
    assert names - {entry.key for entry in graph.metadata_props} == {"words", "seasons"}
    assert (graph.ir_version, graph.opset_import[0].version) == (8, 18)


def test_other_models_have_no_program(tmp_path: Path) -> None:
    refused = run("models", "export", "photo-fast", "-o", tmp_path / "out", "--example", "cpp")
    assert refused.exit_code == 2
    assert "is no detector of series" in refused.stderr
    assert not [*tmp_path.iterdir()]
