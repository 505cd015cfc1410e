"""`aez models export`: the graphs are those of the bundle, in other names, ranges and types, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import onnxruntime
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from aez.cli import main
from aez.codec.bundle.bundle import Bundle, pack_bundle
from aez.codec.errors import ModelError
from aez.codec.latent.model import LatentModel
from aez.commands.codec.models_export import LATENT_FILES
from aez.export.latent.parts import latent_files
from tests.kit.arrays import npy
from tests.kit.places import DATA

TINY_KL, TINY = DATA / "tiny-kl.aezm", DATA / "tiny.aezm"
TOLERANCE = {"float32": 1e-4, "float16": 0.02}


def run(*arguments: str | Path) -> Result:
    command = ["models", "export", *map(str, arguments)]
    return CliRunner().invoke(main, command, catch_exceptions=False, prog_name="aez")


def call(path: Path, **inputs: Any) -> Any:
    """The one output of a model file, and its name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (output.name for output in session.get_outputs())
    (result,) = session.run([name], inputs)
    return name, result


def image(height: int, width: int) -> Any:
    y, x = np.mgrid[:height, :width] / 11
    waves = 0.5 + 0.3 * np.sin(x + np.arange(3)[:, None, None]) + 0.2 * np.cos(y)
    return np.stack([waves, 1 - waves]).astype(np.float32).clip(0, 1)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_graphs_do_what_the_bundle_does(dtype: str, tmp_path: Path) -> None:
    out = tmp_path / "onnx"
    done = run(TINY_KL, "-o", out, *(["--float16"] if dtype == "float16" else []))
    assert done.exit_code == 0, done.stderr
    pixels = image(40, 24)
    sample = (2 * pixels - 1).astype(dtype)
    model = LatentModel(Bundle.open(TINY_KL), "cpu", 1)
    encoded = [model.encode(np.rint(one.transpose(1, 2, 0) * 255).astype(np.uint8)) for one in pixels]
    name, parameters = call(out / "vae_encoder" / "model.onnx", sample=sample)
    assert (name, parameters.dtype, parameters.shape) == ("latent_parameters", np.dtype(dtype), (2, 8, 5, 3))
    # The bundle saw pictures of 8 bits.
    assert parameters[:, :4] == pytest.approx(np.stack([e.mean for e in encoded]), abs=0.05)
    assert parameters[:, 4:] == pytest.approx(np.stack([e.log_variance for e in encoded]), abs=0.05)
    latent = parameters[:, :4]
    name, decoded = call(out / "vae_decoder" / "model.onnx", latent_sample=latent)
    assert (name, decoded.dtype, decoded.shape) == ("sample", np.dtype(dtype), (2, 3, 40, 24))
    wanted = np.stack([model.decode(one.astype(np.float32)) for one in latent]).transpose(0, 3, 1, 2) / 127.5 - 1
    assert decoded == pytest.approx(wanted, abs=1 / 255 + TOLERANCE[dtype])
    name, round_trip = call(out / "autoencoder" / "model.onnx", sample=sample)
    assert (name, round_trip.dtype) == ("out_sample", np.dtype(dtype))
    assert round_trip == pytest.approx(decoded, abs=TOLERANCE[dtype])


def test_the_configuration_says_what_pipelines_ask() -> None:
    files = latent_files(Bundle.open(TINY_KL))
    config = json.loads(files["config.json"])
    assert config["latent_channels"] == 4
    assert (config["scaling_factor"], config["shift_factor"]) == (1.0, 0.0)
    assert 2 ** (len(config["block_out_channels"]) - 1) == config["stride"] == 8
    assert config["model_id"] == Bundle.open(TINY_KL).id
    assert files.keys() == LATENT_FILES
    assert files["vae_decoder/config.json"] == files["vae_encoder/config.json"] == files["config.json"]


def test_weights_in_float16_take_half_the_bytes() -> None:
    bundle = Bundle.open(TINY_KL)
    single, half = latent_files(bundle), latent_files(bundle, float16=True)
    for name in ("vae_encoder/model.onnx", "vae_decoder/model.onnx", "autoencoder/model.onnx"):
        assert len(half[name]) < 0.6 * len(single[name])
        weights = onnx.load_from_string(half[name]).graph.initializer
        assert all(w.data_type == TensorProto.FLOAT16 for w in weights if numpy_helper.to_array(w).size > 8)


def test_the_encoder_of_the_round_trip_has_no_weights_for_the_variance() -> None:
    files = latent_files(Bundle.open(TINY_KL))
    names = [node.op_type for node in onnx.load_from_string(files["autoencoder/model.onnx"]).graph.node]
    assert "Exp" not in names
    assert len(files["autoencoder/model.onnx"]) < sum(
        len(files[f"{name}/model.onnx"]) for name in ("vae_encoder", "vae_decoder")
    )


def with_decoder(bundle: Bundle, decoder: bytes) -> Bundle:
    arrays = {}
    for name in bundle.members:
        stem, _, suffix = name.rpartition(".")
        arrays[name] = bundle.graph(stem) if suffix == "onnx" else npy(bundle.array(stem))
    manifest = {key: value for key, value in bundle.manifest.items() if key not in ("format", "members")}
    return pack_bundle(manifest, arrays | {"decoder.onnx": decoder})


def changed_decoder(factor: float) -> Bundle:
    """The tiny model with a decoder that passes through numbers `factor` times as large."""
    bundle = Bundle.open(TINY_KL)
    model = onnx.load_from_string(bundle.graph("decoder"))
    for node in model.graph.node:
        for number, name in enumerate(node.input):
            if name == "latent":
                node.input[number] = "smaller"
    constants = {"up": np.float32(factor), "down": np.float32(1 / factor)}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    model.graph.node.insert(0, helper.make_node("Mul", ["larger", "down"], ["smaller"]))
    model.graph.node.insert(0, helper.make_node("Mul", ["latent", "up"], ["larger"]))
    return with_decoder(bundle, model.SerializeToString())


def test_a_graph_that_float16_cannot_hold_is_refused() -> None:
    bundle = changed_decoder(1e6)
    assert latent_files(bundle)
    with pytest.raises(ModelError, match=r"vae_decoder .* leave out --float16"):
        latent_files(bundle, float16=True)


def test_graphs_that_do_not_fit_are_refused() -> None:
    bundle = Bundle.open(TINY_KL)
    model = onnx.load_from_string(bundle.graph("decoder"))
    model.graph.node[-1].output[0] = "elsewhere"
    with pytest.raises(ModelError, match="not those of a latent model"):
        latent_files(with_decoder(bundle, model.SerializeToString()))


def test_other_models_are_written_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "photo"
    assert run(TINY, "-o", out).exit_code == 0
    bundle = Bundle.open(TINY)
    assert sorted(p.name for p in out.iterdir()) == sorted([*bundle.members, "manifest.json"])
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest.pop("id") == bundle.id
    assert manifest == bundle.manifest
    for name in bundle.members:
        assert len((out / name).read_bytes()) == bundle.manifest["members"][name]["bytes"]
    assert (out / "synthesis.onnx").read_bytes() == bundle.graph("synthesis")
    refused = run(TINY, "-o", tmp_path / "half", "--float16")
    assert refused.exit_code == 2
    assert not (tmp_path / "half").exists()


def test_a_folder_is_replaced_only_where_it_holds_an_export(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert run(TINY, "-o", out).exit_code == 0  # an empty folder is as good as none
    again = run(TINY_KL, "-o", out)
    assert again.exit_code == 6
    assert "--force" in again.stderr
    assert (out / "synthesis.onnx").exists()
    assert run(TINY_KL, "-o", out, "-f").exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == ["autoencoder", "config.json", "vae_decoder", "vae_encoder"]
    (out / "vae_encoder" / "notes.txt").write_text("mine")
    refused = run(TINY_KL, "-o", out, "-f")
    assert refused.exit_code == 6
    assert "vae_encoder/notes.txt" in refused.stderr
    assert (out / "vae_encoder" / "notes.txt").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.onnx").write_bytes(b"mine")
    assert run(TINY, "-o", other, "-f").exit_code == 6
    assert (other / "mine.onnx").read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "out"]


def test_places_that_are_no_folders_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for target, reason in ((file, "is a file"), (tmp_path / "no" / "such", "does not exist")):
        refused = run(TINY, "-o", target)
        assert refused.exit_code == 6
        assert reason in refused.stderr
    assert run("no-such-model", "-o", tmp_path / "out").exit_code == 4
