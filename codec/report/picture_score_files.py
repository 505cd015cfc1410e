"""Scores of pictures as files: CSV, Parquet, JSON Lines or a JSON list, one row for each picture; whole or not at all.

Columns: file, score, verdict (normal or abnormal), severity (empty for normal ones), peak (the highest value of the
error map), peak_x, peak_y (where, in pixels of the picture), share_above (of the picture, where the map exceeds 1),
width, height, notices.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aez.codec.common.extras import library
from aez.codec.common.files import whole_file, write_whole
from aez.codec.detect.score_pictures import FIELDS
from aez.codec.report.score_files import check_suffix

__all__ = ["PICTURE_SUFFIXES", "write_picture_scores"]

PICTURE_SUFFIXES = (".csv", ".parquet", ".jsonl", ".json")


def write_picture_scores(path: str | Path, rows: Sequence[Mapping[str, Any]], force: bool = False) -> None:
    """Write what `ScoredPicture.as_dict` gave, in the format that the suffix names.

    Raises InvalidArgument for another suffix, OutputError, AezError where pyarrow is not installed.
    """
    suffix = check_suffix(path, PICTURE_SUFFIXES)
    if suffix == ".parquet":
        pa, parquet = library("pyarrow", "monitor"), library("pyarrow.parquet", "monitor")
        text, whole, number = pa.string(), pa.int64(), pa.float64()
        kinds = (text, number, text, text, number, whole, whole, number, whole, whole, pa.list_(text))
        columns = [pa.array([row[name] for row in rows], kind) for name, kind in zip(FIELDS, kinds, strict=True)]
        with whole_file(path, force) as partial:
            parquet.write_table(pa.table(columns, names=list(FIELDS)), partial)
        return
    if suffix == ".csv":
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows([_cell(row[name]) for name in FIELDS] for row in rows)
        written = table.getvalue()
    elif suffix == ".jsonl":
        written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        written = json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n"
    write_whole(path, written.encode(), force)


def _cell(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, list) else value
