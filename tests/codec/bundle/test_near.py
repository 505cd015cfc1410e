"""A model that lies beside the file that needs it, or above it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aez
import aez.pillow
from aez.codec.bundle import library
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import ModelError
from tests.kit.commands import run
from tests.kit.places import TINY
from tests.kit.tiny_pictures import lively, photo, tiny

WANTED = bytes.fromhex(tiny().id)[:8]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `tiny` under another name, a file of its three folders below, and no model elsewhere."""
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path / "none"))
    top = tmp_path / "archive"
    (top / "2019" / "05" / "17").mkdir(parents=True)
    (top / "of-the-archive.aezm").write_bytes(Path(TINY).read_bytes())
    (top / "2019" / "05" / "17" / "a.aez").write_bytes(aez.encode(photo(40, 56), model=TINY))
    monkeypatch.chdir(top / "2019")
    return top


def test_it_is_found_above_the_file_and_nowhere_else(archive: Path) -> None:
    file = archive / "2019" / "05" / "17" / "a.aez"
    assert library.find_bundle(model_id=WANTED, beside=file).id == tiny().id
    assert library.find_bundle(model_id=WANTED, beside="05/17/a.aez").id == tiny().id
    with pytest.raises(ModelError, match="no model"):
        library.find_bundle(model_id=WANTED)
    with pytest.raises(ModelError, match=rf"nor beside {archive.parent}/b.aez and in the folders above it"):
        library.find_bundle(model_id=WANTED, beside=archive.parent / "b.aez")


@pytest.mark.usefixtures("archive")
def test_every_way_to_open_a_file_finds_it() -> None:
    name = "05/17/a.aez"
    data = Path(name).read_bytes()
    expected = np.asarray(aez.decode(data, model=TINY))
    with pytest.raises(ModelError):
        aez.decode(data)
    np.testing.assert_array_equal(np.asarray(aez.decode(data, beside=name)), expected)
    np.testing.assert_array_equal(np.asarray(aez.open(name)), expected)
    with Image.open(name) as image:
        np.testing.assert_array_equal(np.asarray(image), expected)
    with Path(name).open("rb") as stream, Image.open(stream) as image, pytest.raises(OSError, match="no model"):
        image.load()
    done = run("decode", name, "-o", "a.png")
    assert done.exit_code == 0, done.stderr
    assert "(tiny)" in run("info", name).stdout
    assert "model tiny" in run("verify", name).stdout


def test_only_a_bundle_of_that_id_is_taken(archive: Path) -> None:
    inner = archive / "2019" / "05"
    (inner / "a.aezm").write_bytes(lively().to_bytes())
    (inner / "b.aezm").write_bytes(b"no bundle")
    (inner / "c.aezm").mkdir()
    os.mkfifo(inner / "d.aezm")
    (inner / "17" / "tiny.zip").write_bytes(Path(TINY).read_bytes())
    file = inner / "17" / "b.aez"
    assert library.find_bundle(model_id=WANTED, beside=file).id == tiny().id
    (archive / "of-the-archive.aezm").unlink()
    with pytest.raises(ModelError, match="no model"):
        library.find_bundle(model_id=WANTED, beside=file)


def test_a_decoding_half_suffices(archive: Path) -> None:
    (archive / "of-the-archive.aezm").write_bytes(Bundle.open(TINY).decoding_half())
    found = library.find_bundle(model_id=WANTED, beside=archive / "2019" / "a.aez")
    assert (found.id, found.half) == (tiny().id, True)
    assert aez.open("05/17/a.aez").size == (56, 40)


def test_the_search_is_bounded(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = archive / "2019" / "05" / "17" / "a.aez"
    monkeypatch.setattr(library, "_FOLDERS_SEARCHED", 3)
    with pytest.raises(ModelError):
        library.find_bundle(model_id=WANTED, beside=file)
    monkeypatch.setattr(library, "_FOLDERS_SEARCHED", 4)
    assert library.find_bundle(model_id=WANTED, beside=file)
    for number in range(3):
        (archive / f"{number}.aezm").write_bytes(b"no bundle")
    monkeypatch.setattr(library, "_BUNDLES_SEARCHED", 3)
    with pytest.raises(ModelError):
        library.find_bundle(model_id=WANTED, beside=file)
