"""Labelled pictures: IDX files, whole and damaged, and folders with one sub-folder for each class."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.bench.images.classes import load_picture_classes
from aez.codec.errors import UnsupportedInput

RNG = np.random.default_rng(0)
PICTURES = {
    "train": RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8),
    "t10k": RNG.integers(0, 256, (9, 6, 5), np.uint8),
}


def packed(data: bytes) -> bytes:
    """The same at any time, for the names of tests."""
    return gzip.compress(data, mtime=0)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, compress: bool = True) -> Path:
    for part, pictures in PICTURES.items():
        labels = np.arange(len(pictures)) % 3
        for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            data = idx(array)
            path = folder / f"{part}-{kind}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(packed(data) if compress else data)
    return folder


@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_are_read_to_the_byte(tmp_path: Path, compress: bool) -> None:
    found = load_picture_classes(write_idx(tmp_path, compress))
    assert found.names == ("0", "1", "2")
    assert np.array_equal(found.train[..., 0], PICTURES["train"])
    assert np.array_equal(found.test[..., 0], PICTURES["t10k"])
    assert found.train_labels.tolist() == [number % 3 for number in range(40)]
    assert len(found.test_labels) == 9


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t10k-images-idx3-ubyte.gz", None, "has no t10k-images-idx3-ubyte.gz"),
        ("t10k-images-idx3-ubyte.gz", b"no gzip", "is no IDX file"),
        ("train-images-idx3-ubyte.gz", packed(b""), "is no IDX file"),
        ("train-images-idx3-ubyte.gz", packed(idx(np.zeros(40))), "is no IDX file of bytes with 3 dimensions"),
        ("train-images-idx3-ubyte.gz", packed(idx(PICTURES["train"])[:-1]), "is cut off or damaged"),
        ("train-images-idx3-ubyte.gz", packed(idx(PICTURES["train"]))[:-20], "cannot be read"),
        ("train-labels-idx1-ubyte.gz", packed(idx(np.zeros(39))), "40 pictures and 39 labels of the train part"),
        (
            "train-images-idx3-ubyte.gz",
            packed(struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1)),
            "is cut off or damaged",
        ),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    path = write_idx(tmp_path) / name
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UnsupportedInput, match=message):
        load_picture_classes(tmp_path)


def write_class(folder: Path, count: int, colour: tuple[int, int, int]) -> None:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (20, 10), colour).save(folder / f"{number:03d}.png")


def test_folders_are_classes_and_a_third_is_for_the_test(tmp_path: Path) -> None:
    write_class(tmp_path / "red", 60, (200, 10, 10))
    write_class(tmp_path / "blue", 33, (10, 10, 200))
    (tmp_path / "red" / "broken.png").write_text("no")
    (tmp_path / ".hidden").mkdir()
    found = load_picture_classes(tmp_path, 16)
    assert found.names == ("blue", "red")
    assert found.train.shape == (62, 16, 16, 3)
    assert np.bincount(found.test_labels).tolist() == [11, 20]
    assert np.all(found.test[found.test_labels == 1] == [200, 10, 10])
    assert np.all(found.train[found.train_labels == 0] == [10, 10, 200])
    assert len(found.skipped) == 1
    assert "broken.png" in found.skipped[0]


def test_grey_classes_have_one_colour(tmp_path: Path) -> None:
    write_class(tmp_path / "dark", 30, (20, 20, 20))
    write_class(tmp_path / "light", 30, (220, 220, 220))
    assert load_picture_classes(tmp_path, 8).train.shape[3] == 1


def test_folders_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="is not a folder"):
        load_picture_classes(tmp_path / "none")
    with pytest.raises(UnsupportedInput, match="holds neither"):
        load_picture_classes(tmp_path)
    write_class(tmp_path / "one", 30, (1, 2, 3))
    write_class(tmp_path / "two", 5, (1, 2, 3))
    with pytest.raises(UnsupportedInput, match="two has 5 pictures that can be read; give 30"):
        load_picture_classes(tmp_path)
