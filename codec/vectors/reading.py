"""From what a person names to items: IDX, NPY, NPZ, tables, a picture, a folder of pictures, and `FILE#7` of these."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.words import listed
from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.codec.image.files import Pixels, is_coloured, list_pictures, read_noticed, to_planes
from aez.codec.vectors.idx import looks_like_idx, read_idx
from aez.codec.vectors.items import Items, items_of_array
from aez.codec.vectors.tables import SUFFIXES, read_table

__all__ = ["Reading", "places", "read_items"]

#: Names of arrays that are taken for the items of an NPZ file that holds several.
_USUAL = ("x", "data", "images", "values", "vectors", "latents", "x_train", "arr_0")

#: What is said at most of what is not kept of pictures: most is the same for all.
_NOTICES = 5
_TAKEN = "pictures, IDX, NPY and NPZ files, and tables (.csv, .tsv, .parquet)"


@dataclass(frozen=True)
class Reading:
    """How to read data.

    label: the column of a table, or the array of an NPZ file, that holds labels. labels: a file of labels. ignore:
    columns to leave out. array: the array of an NPZ file with the items. size: (height, width) that pictures are
    brought to. colours: 1 or 3, what pictures are turned into; by default what they are.
    """

    label: str | None = None
    labels: Path | None = None
    ignore: tuple[str, ...] = ()
    array: str | None = None
    size: tuple[int, int] | None = None
    colours: int | None = None


def read_items(source: str | Path, how: Reading | None = None) -> Items:
    """The items of a file or a folder; `FILE#7` is one of them, counted from 0.

    Raises UnsupportedInput for what cannot be read, InvalidArgument for an item, column or array that is not there.
    """
    how = how or Reading()
    path, number = _parted(str(source))
    if not path.exists():
        raise UnsupportedInput(f"{path} does not exist")
    items = _read(path, how)
    if how.labels is not None:
        items = items.labelled(_read_labels(how.labels, len(items)))
    if number is None:
        return items
    if number >= len(items):
        raise InvalidArgument(f"{path} has the items #0 to #{len(items) - 1}, and no #{number}")
    return items.chosen(np.array([number]))


def places(source: str | Path, names: Sequence[str]) -> list[Path]:
    """Where the items of a source lie, by their names: two of one place are the same item."""
    path, _ = _parted(str(source))
    folder = (path if path.is_dir() else path.parent).resolve()
    return [folder / name for name in names]


def _parted(source: str) -> tuple[Path, int | None]:
    """File and number of `FILE#7`; a file that is called so is itself."""
    head, mark, tail = source.rpartition("#")
    if not mark or not head or not tail.isdecimal() or Path(source).exists():
        return Path(source), None
    return Path(head), int(tail)


def _read(path: Path, how: Reading) -> Items:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_pictures(path, list_pictures(path), how)
    is_idx = looks_like_idx(path)  # whatever it is called
    if suffix == ".npz" and not is_idx:
        return _read_npz(path, how)
    if suffix in SUFFIXES and not is_idx:
        values, columns, labels = read_table(path, how.label, how.ignore)
        return replace(items_of_array(values, path.name, columns), labels=labels)
    if how.label is not None:
        raise InvalidArgument(f"--label names a column, and {path} is no table; give --labels FILE")
    if suffix == ".npy" and not is_idx:
        return _sized(items_of_array(_load(path), path.name), how)
    if is_idx:
        return _sized(items_of_array(read_idx(path), path.name), how)
    return _read_pictures(path.parent, [path], how)


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        said = str(error)
        reason = "it begins as none" if "pickled" in said else said  # NumPy's advice is to trust it
        if "Object arrays" in said:
            reason = "it holds Python objects, and items are numbers"
        raise UnsupportedInput(f"{path} is no sound file of NumPy arrays: {reason}") from error


def _read_npz(path: Path, how: Reading) -> Items:
    with _load(path) as archive:
        names = [name for name in archive.files if name != how.label]
        for wanted in (how.array, how.label):
            if wanted is not None and wanted not in archive.files:
                raise InvalidArgument(f"{path} has no array {wanted!r}; it has {listed(archive.files, 12)}")
        found = how.array or next(
            (name for name in (*_USUAL, *names[:1]) if name in names and _may_be(names, name)), None
        )
        if found is None:
            raise InvalidArgument(f"{path} holds {listed(names, 12)}; name the items with --array")
        items = _sized(items_of_array(_member(archive, found, path), path.name), how)
        if how.label is not None:
            items = items.labelled(_label_texts(_member(archive, how.label, path)))
    return items


def _may_be(names: Sequence[str], name: str) -> bool:
    """Whether an array is the usual one, or the only one."""
    return name in _USUAL or len(names) == 1


def _member(archive: Any, name: str, path: Path) -> Any:
    try:
        return archive[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnsupportedInput(f"{path}: its array {name} cannot be read: {error}") from error


def _read_pictures(root: Path, paths: Sequence[Path], how: Reading) -> Items:
    """Pictures of one size; below sub-folders, the first of these is the label."""
    found: list[Pixels] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    lost: Counter[str] = Counter()
    for path in paths:
        try:
            pixels, notices = read_noticed(path)
            found.append(pixels)
            lost.update(notices)
            names.append(str(path.relative_to(root)))
        except AezError as error:
            if len(paths) == 1:
                raise UnsupportedInput(f"{path}: {error}; items are in {_TAKEN}") from error
            skipped.append((str(path), str(error)))
    if not found:
        raise UnsupportedInput(f"none of the {len(paths)} pictures in {root} can be read: {skipped[0][1]}")
    sizes = sorted({one.shape[:2] for one in found})
    if how.size is None and len(sizes) > 1:
        shown = listed([f"{width}x{height}" for height, width in sizes], 3)
        raise UnsupportedInput(
            f"the pictures in {root} have {len(sizes)} sizes ({shown}); bring them to one with --size WxH"
        )
    height, width = how.size or sizes[0]
    coloured = any(is_coloured(one) for one in found)
    colours = how.colours or (3 if coloured else 1)
    planes = np.stack([to_planes(one, height, width, colours) for one in found])
    values = planes[:, 0] if colours == 1 else np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    changed = _changed(sizes, (height, width), grey=coloured and colours == 1)
    said = tuple(f"{count:,} of {len(found):,} pictures: {text}" for text, count in lost.most_common(_NOTICES))
    items = replace(
        items_of_array(values, root.name), names=tuple(names), skipped=tuple(skipped), notices=said, changed=changed
    )
    folders = tuple(Path(name).parts[0] if len(Path(name).parts) > 1 else "" for name in names)
    return items.labelled(folders) if any(folders) else items


def _changed(sizes: Sequence[tuple[int, ...]], wanted: tuple[int, int], *, grey: bool) -> str:
    """How pictures of these sizes were brought to one and perhaps to grey; nothing where they were so already."""
    if sizes == [wanted] and not grey:
        return ""
    given, made = (listed([f"{width}x{height}" for height, width in some], 3) for some in (sizes, [wanted]))
    return f"{given} in colour to {made} in grey" if grey else f"{given} to {made}"


def _sized(items: Items, how: Reading) -> Items:
    """Pictures of an array, brought to the size and the colours that are asked for."""
    if items.kind == "vectors" or how.size is None:
        return items
    colours = how.colours or (3 if items.values.ndim == 4 else 1)
    if items.shape[:2] == how.size and colours == (3 if items.values.ndim == 4 else 1):
        return items
    if items.values.dtype != np.uint8:
        raise UnsupportedInput(
            f"pictures of {list(items.shape)} in decimals cannot be brought to {list(how.size)}; give bytes"
        )
    rgb = items.values if items.values.ndim == 4 else np.repeat(items.values[..., None], 3, axis=3)
    planes = np.stack([to_planes(one, *how.size, colours) for one in rgb])
    return replace(items, values=planes[:, 0] if colours == 1 else np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))


def _read_labels(path: Path, count: int) -> tuple[str, ...]:
    """Labels of a file: IDX or NPY of one dimension, or text with one a line, perhaps under a heading."""
    if not path.exists():
        raise UnsupportedInput(f"{path} does not exist; name the file of labels")
    if path.suffix.lower() == ".npy":
        return _label_texts(_load(path))
    if looks_like_idx(path):
        return _label_texts(read_idx(path, 1))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedInput(f"{path} cannot be read as labels, one a line: {error}") from error
    lines = [line.strip() for line in lines if line.strip()]
    if path.suffix.lower() in (".csv", ".tsv") and lines and all("," in line or "\t" in line for line in lines):
        raise UnsupportedInput(f"{path} has several columns; give a file with a label a line, in the items' order")
    return tuple(lines[1:] if len(lines) == count + 1 else lines)


def _label_texts(values: NDArray[Any]) -> tuple[str, ...]:
    if values.ndim != 1:
        raise UnsupportedInput(f"labels are an array of one dimension, not {list(values.shape)}")
    return tuple(f"{one:g}" if isinstance(one, float) else str(one) for one in values.tolist())
