"""What decodes of a model, alone in a file: it decodes all, encodes nothing, and gives way to the whole model."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import aez
from aez.codec.bundle import library
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import ModelError
from tests.kit.commands import run
from tests.kit.places import TINY, TINY_KL
from tests.kit.tiny_pictures import photo


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The decoding half of `tiny`, as the command writes it, in the user's folder of models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path))
    done = run("models", "export", str(TINY), "--decoder", "-o", "half.aezm")
    assert done.exit_code == 0, done.stderr
    written, whole = Path("half.aezm").stat().st_size, TINY.stat().st_size
    assert f"half.aezm: {written:,} bytes of {whole:,}, id {Bundle.open(TINY).id[:16]}" in done.stderr
    assert written < 0.7 * whole
    return tmp_path / "half.aezm"


def test_it_has_the_id_of_the_whole_and_decodes_the_same(half: Path) -> None:
    data = aez.encode(photo(40, 56), 60, TINY)
    expected = np.asarray(aez.decode(data, model=TINY))
    opened = Bundle.open(half, half=True)
    assert (opened.id, opened.half, opened.to_bytes()) == (Bundle.open(TINY).id, True, half.read_bytes())
    for reference in (half, str(half), half.read_bytes(), opened, "tiny", opened.id[:12], None):
        np.testing.assert_array_equal(np.asarray(aez.decode(data, model=reference)), expected)
    Path("a.aez").write_bytes(data)
    assert run("decode", "a.aez", "-o", "a.png", "-m", "half.aezm").exit_code == 0
    assert "model tiny" in run("verify", "a.aez").stdout


def test_encoding_with_it_is_one_clear_sentence(half: Path) -> None:
    with pytest.raises(ModelError, match=r"decoding half of model tiny .* encoding, takes the whole bundle"):
        aez.encode(photo(16, 16), 60, half)
    Path("a.png").write_bytes(b"")
    aez.decode(aez.encode(photo(16, 16), 60, TINY), model=half).save("a.png")
    done = run("encode", "a.png", "-o", "b.aez", "-m", "tiny")
    assert done.exit_code == 4
    assert done.stderr.count("\n") <= 2
    assert "takes the whole bundle" in done.stderr
    assert not Path("b.aez").exists()


def test_the_whole_model_is_taken_before_a_half_of_it(half: Path) -> None:
    half.with_name("whole.aezm").write_bytes(TINY.read_bytes())  # behind it in the order of names
    assert [listing.half for listing in library.list_bundles() if listing.source == "user"] == [True, False]
    for wanted in ("tiny", Bundle.open(TINY).id):
        assert not library.find_bundle(wanted).half


def test_the_list_tells_which_is_which(half: Path) -> None:
    listed = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert {entry["path"]: entry["half"] for entry in listed}[str(half)] is True
    assert "image-codec, decodes only" in run("models").stdout
    assert "sound (tiny" in run("models", "verify", "half.aezm").stdout


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("-o folder", 2, "folder does not end with .aezm"),
        ("-o half.aezm", 6, "exists"),
        ("-o none/half.aezm", 6, "does not exist"),
        ("-o b.aezm --float16", 2, "only one of --decoder and --float16"),
    ],
)
def test_wrong_arguments(arguments: str, code: int, message: str) -> None:
    done = run("models", "export", str(TINY), "--decoder", *arguments.split())
    assert (done.exit_code, message in done.stderr) == (code, True), done.stderr
    assert {path.name for path in Path().iterdir()} == {"half.aezm"}


@pytest.mark.usefixtures("half")
def test_a_half_is_replaced_when_asked_and_of_a_half_it_is_itself() -> None:
    before = Path("half.aezm").read_bytes()
    assert run("models", "export", "half.aezm", "--decoder", "-o", "half.aezm", "-f").exit_code == 0
    assert Path("half.aezm").read_bytes() == before


def test_the_half_that_encodes(half: Path) -> None:
    """It has all but what makes pictures of latents, and the id of the whole."""
    assert run("models", "export", str(TINY), "--encoder", "-o", "encoder.aezm").exit_code == 0
    with zipfile.ZipFile("encoder.aezm") as archive:
        names, manifest = set(archive.namelist()), json.loads(archive.read("manifest.json"))
    whole = Bundle.open(TINY)
    assert manifest == whole.manifest
    assert {"analysis.onnx", "scale0.onnx", "hyper_weights.npy"} < names < {*whole.members, "manifest.json"}
    assert not names & {"synthesis.onnx", "other_weights.npy"}
    done = run("models", "export", str(half), "--encoder", "-o", "other.aezm")
    assert (done.exit_code, "decoding half of model tiny" in done.stderr) == (4, True), done.stderr
    done = run("models", "export", str(TINY), "--encoder", "--decoder", "-o", "other.aezm")
    assert (done.exit_code, "only one of --decoder and --encoder" in done.stderr) == (2, True), done.stderr


@pytest.mark.usefixtures("half")
def test_of_a_model_with_a_latent() -> None:
    assert run("models", "export", str(TINY_KL), "--decoder", "-o", "kl.aezm").exit_code == 0
    data = aez.encode(photo(24, 24), 60, TINY_KL)
    np.testing.assert_array_equal(
        np.asarray(aez.decode(data, model="kl.aezm")), np.asarray(aez.decode(data, model=TINY_KL))
    )
