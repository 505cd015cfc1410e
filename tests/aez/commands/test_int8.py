"""`aez models export --int8`: smaller, said, close to the model, and refused for what cannot be."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from aez.codec.bundle.bundle import Bundle
from tests.aez.commands.test_example_programs import write_table
from tests.kit.commands import run
from tests.kit.made_once import MadeOnce
from tests.kit.small_autoencoders import items_for, small_autoencoders


def sessions(model: Path, folder: Path, graph: str) -> tuple[onnxruntime.InferenceSession, ...]:
    """The graph as it is, and in int8."""
    exported = (folder / f"{graph}.onnx").read_bytes()
    return tuple(onnxruntime.InferenceSession(data) for data in (Bundle.open(model).graph(graph), exported))


@pytest.mark.slow
def test_a_detector_keeps_its_scores(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", 1500, 0)
    model = tmp_path / "pump.aezm"
    trained = run("train", "series", tmp_path / "train.csv", "-o", model, "--family", "gaussian")
    assert trained.exit_code == 0, trained.stderr
    made = run("models", "export", model, "-o", tmp_path / "out", "--int8", "--example", "python")
    assert made.exit_code == 0, made.stderr
    whole, small = sessions(model, tmp_path / "out", "detector")
    assert len((tmp_path / "out" / "detector.onnx").read_bytes()) < 0.7 * len(Bundle.open(model).graph("detector"))
    said = small.get_modelmeta().custom_metadata_map
    assert said["precision"] == "int8"
    assert said["event_rule"] == whole.get_modelmeta().custom_metadata_map["event_rule"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["coding"]["precision"] == "int8"
    assert manifest["id"] != manifest["provenance"]["int8"]["of"] == Bundle.open(model).id
    probe = np.load(tmp_path / "out" / "probe_window.npy").astype(np.float32)
    np.testing.assert_allclose(small.run(["score"], {"window": probe})[0], json.loads(said["probe_score"]), rtol=1e-3)
    length = probe.shape[1]
    rng = np.random.default_rng(3)
    rows = np.sin(2 * np.pi * np.arange(200)[:, None] / 23 + np.arange(3)) + 0.1 * rng.normal(size=(200, 3))
    rows = (rows * [2, 50, 0.01] + [20, 900, 0.5]).astype(np.float32)
    for at in range(0, 200 - length, 10):
        window = {"window": rows[None, at : at + length]}
        (expected,), (found,) = whole.run(["score"], window), small.run(["score"], window)
        assert abs(float(found[0]) - float(expected[0])) < 0.05


def test_autoencoders_keep_their_codes(made_once: MadeOnce, tmp_path: Path) -> None:
    model = small_autoencoders(made_once)["dense"]
    made = run("models", "export", model, "-o", tmp_path / "out", "--int8")
    assert made.exit_code == 0, made.stderr
    whole, small = sessions(model, tmp_path / "out", "encoder")
    items = items_for("dense").values[:50].astype(np.float32)
    expected, found = (session.run(["mean"], {"x": items})[0] for session in (whole, small))
    assert 0 < np.abs(found - expected).max() < 0.1 * expected.std()
    assert (tmp_path / "out" / "encoder.onnx").stat().st_size < 0.5 * len(Bundle.open(model).graph("encoder"))


def test_what_cannot_be_int8_is_refused(tmp_path: Path) -> None:
    refused = run("models", "export", "photo-fast", "-o", tmp_path / "out", "--int8")
    assert refused.exit_code == 2
    assert "only detectors of series and autoencoders are written in int8" in refused.stderr
    both = run("models", "export", "photo-fast", "-o", tmp_path / "half.aezm", "--int8", "--decoder")
    assert both.exit_code == 2
    assert not [*tmp_path.iterdir()]
