"""Labelled pictures for measuring detectors: the files of MNIST and Fashion-MNIST, or a folder for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import AezError, UnsupportedInput
from aez.codec.image.files import Pixels, is_coloured, list_pictures, read_picture, to_planes
from aez.codec.vectors.idx import read_idx

__all__ = ["PictureClasses", "load_picture_classes"]

_IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
#: Of each class's folder, every third picture in a drawn order is for the test.
_TEST_EVERY = 3
_FEWEST = 30


@dataclass(frozen=True, eq=False)
class PictureClasses:
    """Pictures of several classes, to learn from and to judge on.

    train, test: uint8 [n, height, width, 1 or 3]. train_labels, test_labels: int64 [n], numbers of `names`.
    """

    names: tuple[str, ...]
    train: Pixels
    train_labels: NDArray[np.int64]
    test: Pixels
    test_labels: NDArray[np.int64]
    skipped: tuple[str, ...] = ()


def load_picture_classes(folder: str | Path, size: int = 64) -> PictureClasses:
    """A folder with train-images-idx3-ubyte and so on, or those with .gz; or with a folder of pictures for each class.

    Pictures of folders are squeezed to `size` x `size`, and of each class a third, drawn and always the same, is for
    the test. Raises UnsupportedInput for a folder of neither kind, damaged files, and fewer than two classes.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UnsupportedInput(f"{path} is not a folder")
    if _idx_file(path, _IDX["train"][0]) is not None:
        return _load_idx(path)
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise UnsupportedInput(
            f"{path} holds neither train-images-idx3-ubyte.gz and its like nor a folder of pictures for each class"
        )
    return _load_folders(classes, size)


def _load_idx(folder: Path) -> PictureClasses:
    pictures, labels = {}, {}
    for part, (images, classes) in _IDX.items():
        pictures[part] = _read_idx(folder, images, 3)[..., None]
        labels[part] = _read_idx(folder, classes, 1).astype(np.int64)
        if len(pictures[part]) != len(labels[part]) or not len(labels[part]):
            raise UnsupportedInput(
                f"{folder}: {len(pictures[part])} pictures and {len(labels[part])} labels of the {part} part do not "
                "belong together"
            )
    names = tuple(str(number) for number in range(int(max(part.max() for part in labels.values())) + 1))
    return PictureClasses(names, pictures["train"], labels["train"], pictures["test"], labels["test"])


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _read_idx(folder: Path, name: str, dimensions: int) -> Pixels:
    """Bytes of an IDX file in the folder, gzipped or not. Raises UnsupportedInput."""
    path = _idx_file(folder, name)
    if path is None:
        raise UnsupportedInput(f"{folder} has no {name}.gz")
    values: Pixels = read_idx(path)
    if values.dtype != np.uint8 or values.ndim != dimensions:
        raise UnsupportedInput(f"{path} is no IDX file of bytes with {dimensions} dimensions")
    return values


def _load_folders(folders: list[Path], size: int) -> PictureClasses:
    planes: list[Pixels] = []
    labels: list[int] = []
    testing: list[NDArray[np.bool_]] = []
    skipped: list[str] = []
    for number, folder in enumerate(folders):
        found = []
        for path in list_pictures(folder):
            try:
                found.append(to_planes(read_picture(path), size, size, 3))
            except AezError as error:
                skipped.append(f"{path}: {error}")
        if len(found) < _FEWEST:
            raise UnsupportedInput(f"{folder} has {len(found)} pictures that can be read; give {_FEWEST} or more")
        planes += found
        labels += [number] * len(found)
        testing.append(np.random.default_rng(0).permutation(len(found)) % _TEST_EVERY == 0)
    pictures = np.stack(planes).transpose(0, 2, 3, 1)
    if not any(is_coloured(one) for one in pictures):
        pictures = pictures[..., 1:2]
    test, numbers = np.concatenate(testing), np.array(labels)
    names = tuple(folder.name for folder in folders)
    return PictureClasses(names, pictures[~test], numbers[~test], pictures[test], numbers[test], tuple(skipped))
