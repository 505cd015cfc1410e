"""The folders of detection benchmarks, read as `Case`s: SKAB, SMD, NAB, and any folder of a simple form.

A case is one series: rows to learn from, rows to judge on, labels. Nothing is scaled, resampled or left out, so that
each benchmark's own protocol can be followed to the row.
"""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.bench.detect.nab import nab_probation
from aez.codec.errors import UnsupportedInput
from aez.codec.series.core import Series, select_channels
from aez.codec.series.reader import read_series

__all__ = ["LOADERS", "Case", "benchmark_kind", "load_folder", "load_nab", "load_skab", "load_smd"]

Values = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.uint8]

SKAB_TRAIN_ROWS = 400
_SMD_PERIOD = 60.0
_MARK_COLUMNS = ("anomaly", "changepoint")
_LABEL_COLUMNS = ("anomaly", "label", "labels", "is_anomaly")


@dataclass(frozen=True)
class Case:
    """One series of a benchmark.

    name: as the benchmark calls it.
    train: float [rows, channels], the sensors' units, NaN where missing.
    test: float [time, channels].
    labels: uint8 [time], 1 in an anomaly.
    changepoints: uint8 [time], 1 at a changepoint; None where the benchmark has none.
    causes: (start, end exclusive, channel numbers from 0) of labelled anomalies; None where they are not known.
    period_seconds: time between rows; None when the data has no clock.
    channels: names.
    time: int64 [time], ns since 1970 UTC of the test's rows; None when the data has no clock.

    Raises UnsupportedInput when the parts do not belong together.
    """

    name: str
    train: Values
    test: Values
    labels: Labels
    changepoints: Labels | None
    causes: tuple[tuple[int, int, tuple[int, ...]], ...] | None
    period_seconds: float | None
    channels: tuple[str, ...]
    time: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        shapes = f"train {self.train.shape}, test {self.test.shape}"
        if self.train.ndim != 2 or self.test.ndim != 2 or self.train.shape[1] != self.test.shape[1]:
            raise UnsupportedInput(
                f"{self.name}: train and test are [time, channels] of the same channels, not {shapes}"
            )
        if len(self.channels) != self.test.shape[1]:
            raise UnsupportedInput(f"{self.name}: {len(self.channels)} channel names for {shapes}")
        for what, rows in (("labels", self.labels), ("changepoints", self.changepoints), ("times", self.time)):
            if rows is not None and rows.shape != (len(self.test),):
                raise UnsupportedInput(f"{self.name}: {len(self.test)} test rows and {what} of shape {rows.shape}")
        if not np.isin(self.labels, (0, 1)).all():
            raise UnsupportedInput(f"{self.name}: labels are 0 or 1, and one is {int(self.labels.max())}")


def load_skab(folder: str | Path, train_rows: int = SKAB_TRAIN_ROWS) -> Iterator[Case]:
    """SKAB by its protocol: a case per labelled file, its first `train_rows` rows to learn from, the rest to judge on.

    `folder` is the benchmark's data folder, with `valve1/`, `valve2/`, `other/`; `anomaly-free` is left out, as the
    protocol does. Separated by `;`, with the columns datetime, sensors, anomaly, changepoint.

    Raises UnsupportedInput when there is no such file, or one without its columns or too short.
    """
    root = _folder(folder)
    paths = sorted(
        (p for p in root.rglob("*.csv") if "anomaly-free" not in p.relative_to(root).as_posix()), key=_natural
    )
    if not paths:
        raise UnsupportedInput(f"{root} has no csv files besides anomaly-free; give SKAB's data folder")
    for path in paths:
        series, _ = read_series(path, separator=";")
        sensors, marks = _split(series, _MARK_COLUMNS, path)
        if len(sensors.values) <= train_rows:
            raise UnsupportedInput(f"{path} has {len(sensors.values)} rows, and {train_rows} of them are to learn from")
        yield Case(
            name=path.relative_to(root).with_suffix("").as_posix(),
            train=sensors.values[:train_rows],
            test=sensors.values[train_rows:],
            labels=_labels(marks["anomaly"][train_rows:], path),
            changepoints=_labels(marks["changepoint"][train_rows:], path),
            causes=None,
            period_seconds=sensors.period,
            channels=sensors.channels,
            time=None if sensors.time is None else sensors.time[train_rows:],
        )


def load_smd(folder: str | Path) -> Iterator[Case]:
    """SMD: one case per machine, a row a minute.

    `folder` holds `machine-*.npz` (train and test [time, channels], test_label [time]) and, where causes are wanted,
    `interpretation_label/machine-*.txt` with lines `start-end:dim,dim`, end exclusive, dimensions counted from 1.

    Raises UnsupportedInput when there is no machine, or a file that is damaged or lacks an array.
    """
    root = _folder(folder)
    paths = sorted(root.glob("machine-*.npz"), key=_natural)
    if not paths:
        raise UnsupportedInput(f"{root} has no files machine-*.npz; give SMD's folder")
    for path in paths:
        arrays = _arrays(path)
        lacking = [name for name in ("train", "test", "test_label") if name not in arrays]
        if lacking:
            raise UnsupportedInput(f"{path} lacks {', '.join(lacking)}; it has {', '.join(arrays)}")
        test = arrays["test"]
        causes = root / "interpretation_label" / f"{path.stem}.txt"
        yield Case(
            name=path.stem,
            train=arrays["train"],
            test=test,
            labels=_labels(arrays["test_label"], path),
            changepoints=None,
            causes=_read_causes(causes, test.shape[-1]) if causes.exists() else None,
            period_seconds=_SMD_PERIOD,
            channels=tuple(f"dim {number}" for number in range(1, test.shape[-1] + 1)),
        )


def load_nab(folder: str | Path) -> Iterator[Case]:
    """NAB: one case per file that `labels/combined_windows.json` names and the folder has, one channel each.

    `folder` holds `labels/` and the folders of csv files (timestamp, value), beside it or under `data/`; upper and
    lower case of names do not matter. The probationary rows, which NAB does not score, are the ones to learn from;
    labels are 1 within a window, both ends included.

    Raises UnsupportedInput when the labels or all files are missing, or a file cannot be read.
    """
    root = _folder(folder)
    labels_path = root / "labels" / "combined_windows.json"
    try:
        windows = json.loads(labels_path.read_text(encoding="utf-8"))
        named = {key.lower(): [(_nanoseconds(a), _nanoseconds(b)) for a, b in value] for key, value in windows.items()}
    except FileNotFoundError as error:
        raise UnsupportedInput(f"{labels_path} is missing; give NAB's folder with its labels") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UnsupportedInput(f"{labels_path} is no list of NAB's windows: {error}") from error
    data = root / "data" if (root / "data").is_dir() else root
    found = [(p.relative_to(data).with_suffix("").as_posix(), p) for p in data.rglob("*.csv")]
    files = sorted(
        ((name, path) for name, path in found if f"{name.lower()}.csv" in named), key=lambda f: _natural(f[1])
    )
    if not files:
        raise UnsupportedInput(f"{data} has none of the {len(named)} files that {labels_path} names")
    for name, path in files:
        series, _ = read_series(path, channels=["value"])
        if series.time is None:
            raise UnsupportedInput(f"{path} has no column of times, and NAB's windows are times")
        labels = np.zeros(len(series.values), np.uint8)
        for start, end in named[f"{name.lower()}.csv"]:
            labels[(series.time >= start) & (series.time <= end)] = 1
        skip = nab_probation(len(series.values))
        yield Case(
            name=name,
            train=series.values[:skip],
            test=series.values[skip:],
            labels=labels[skip:],
            changepoints=None,
            causes=None,
            period_seconds=series.period,
            channels=series.channels,
            time=series.time[skip:],
        )


def load_folder(folder: str | Path) -> Iterator[Case]:
    """Any data in the simple form: one case per subfolder with a `train.*`, or the folder itself when it has one.

    train.*, test.*: whatever `read_series` takes, with the same channels. Labels 0 or 1 by row of the test: a column
    `anomaly` of the test, or labels.csv (one column, or one called anomaly or label), labels.npy, labels.npz. A column
    `changepoint` of the test becomes the case's changepoints.

    Raises UnsupportedInput when there is no case, or one lacks a part.
    """
    root = _folder(folder)
    places = [root] if _part(root, "train") else sorted((p for p in root.iterdir() if p.is_dir()), key=_natural)
    places = [place for place in places if _part(place, "train")]
    if not places:
        raise UnsupportedInput(
            f"{root} has no train.csv, nor a folder with one; a case is train.*, test.* and labels.*"
        )
    for place in places:
        yield _simple_case(place)


#: By the name that `aez bench detect` takes.
LOADERS: dict[str, Callable[[str | Path], Iterator[Case]]] = {
    "skab": load_skab,
    "smd": load_smd,
    "nab": load_nab,
    "folder": load_folder,
}


def benchmark_kind(folder: str | Path) -> str:
    """Which of `LOADERS` a folder is for, by what lies in it; raises UnsupportedInput when by none."""
    root = _folder(folder)
    if (root / "labels" / "combined_windows.json").exists():
        return "nab"
    if any(root.glob("machine-*.npz")):
        return "smd"
    if any((root / part).is_dir() for part in ("valve1", "valve2", "other")):
        return "skab"
    if _part(root, "train") or any(_part(place, "train") for place in root.iterdir() if place.is_dir()):
        return "folder"
    raise UnsupportedInput(f"{root} is not SKAB, SMD, NAB, or folders with train.*, test.* and labels.*")


def _simple_case(place: Path) -> Case:
    train_path, test_path, labels_path = (_part(place, name) for name in ("train", "test", "labels"))
    if train_path is None or test_path is None:
        raise UnsupportedInput(f"{place} has a train.* and no test.*; a case has both")
    train, _ = read_series(train_path)
    test, _ = read_series(test_path)
    marks = {name: test.values[:, at] for at, name in enumerate(test.channels) if name in _MARK_COLUMNS}
    if labels_path is None and "anomaly" not in marks:
        raise UnsupportedInput(f"{place} has no labels: give labels.csv, or a column anomaly in {test_path.name}")
    names = tuple(name for name in train.channels if name not in _MARK_COLUMNS)
    labels = _read_labels(labels_path) if labels_path is not None else marks["anomaly"]
    return Case(
        name=place.name,
        train=select_channels(train, names).values,
        test=select_channels(test, names).values,
        labels=_labels(labels, labels_path or test_path),
        changepoints=_labels(marks["changepoint"], test_path) if "changepoint" in marks else None,
        causes=None,
        period_seconds=test.period,
        channels=names,
        time=test.time,
    )


def _folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.is_dir():
        raise UnsupportedInput(f"{root} is not a folder")
    return root


def _part(place: Path, stem: str) -> Path | None:
    """The file called `stem`, whatever its suffix; raises UnsupportedInput when there are several."""
    found = sorted(path for path in place.glob(f"{stem}.*") if path.is_file())
    if len(found) > 1:
        raise UnsupportedInput(f"{place} has {found[0].name} and {found[1].name}; leave one")
    return found[0] if found else None


def _split(series: Series, marks: Sequence[str], path: Path) -> tuple[Series, dict[str, npt.NDArray[np.float64]]]:
    """The sensors, and the columns `marks` apart."""
    lacking = [name for name in marks if name not in series.channels]
    if lacking:
        raise UnsupportedInput(f"{path} has no column {', '.join(lacking)}; it has {', '.join(series.channels)}")
    sensors = select_channels(series, [name for name in series.channels if name not in marks])
    return sensors, {name: np.asarray(series.values[:, series.channels.index(name)], np.float64) for name in marks}


def _labels(values: npt.NDArray[Any], path: Path) -> Labels:
    """0 or 1 as uint8 from any kind of number."""
    marks = np.asarray(values)
    if marks.ndim == 2 and marks.shape[1] == 1:
        marks = marks[:, 0]
    if marks.ndim != 1 or marks.dtype.kind not in "biuf" or not np.isin(marks, (0, 1)).all():
        raise UnsupportedInput(f"the labels in {path} are not one row of 0 and 1")
    return marks.astype(np.uint8)


def _read_labels(path: Path) -> npt.NDArray[Any]:
    """Labels by row from labels.csv, .npy or .npz."""
    if path.suffix in (".npz", ".npy"):
        arrays = _arrays(path)
        named = next((name for name in _LABEL_COLUMNS if name in arrays), None)
        if named is None and len(arrays) != 1:
            raise UnsupportedInput(f"{path} has the arrays {', '.join(arrays)}; call the labels {_LABEL_COLUMNS[2]}")
        return arrays[named] if named else next(iter(arrays.values()))
    if path.suffix != ".csv":
        raise UnsupportedInput(f"{path} is not labels.csv, labels.npy or labels.npz")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
        header = [name.strip().lower() for name in rows[0]]
        named = next((name for name in _LABEL_COLUMNS if name in header), None)
        if named is None and len(header) != 1:
            raise UnsupportedInput(f"{path} has the columns {', '.join(rows[0])}; call the labels {_LABEL_COLUMNS[0]}")
        column = header.index(named) if named else 0
        has_header = re.fullmatch(r"[01](\.0*)?", header[column]) is None
        return np.array([float(row[column]) for row in rows[has_header:]])
    except (OSError, ValueError, IndexError) as error:
        raise UnsupportedInput(f"the labels in {path} cannot be read: {error}") from error


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file, or the one of an npy file as `values`."""
    try:
        with path.open("rb") as file:  # of a damaged file that it opens itself, NumPy leaves the handle open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"values": loaded}
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnsupportedInput(f"{path} cannot be read as NumPy arrays: {error}") from error


def _read_causes(path: Path, channels: int) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """SMD's causes: lines `start-end:dim,dim`, end exclusive, dimensions from 1."""
    causes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(\d+)-(\d+)\s*:\s*(\d+(?:\s*,\s*\d+)*)\s*", line)
        dims = tuple(int(dim) - 1 for dim in match[3].split(",")) if match else ()
        if match is None or not all(0 <= dim < channels for dim in dims):
            raise UnsupportedInput(f"{path}, line {number}: not start-end:dim,dim with 1 to {channels}: {line!r}")
        causes.append((int(match[1]), int(match[2]), dims))
    return tuple(causes)


def _nanoseconds(text: str) -> int:
    """Ns since 1970 of a time as NAB writes it, which has no zone."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 10**9 + moment.microsecond * 1000


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order by the numbers in a path: 2.csv before 10.csv."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.as_posix())]
