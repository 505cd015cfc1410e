"""`--report`: what became of each file, a line of CSV each, written as it becomes known."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aez.codec.errors import OutputError, UnsupportedInput
from aez.files import Job
from aez.inputs import Inputs

COLUMNS = ("input", "output", "status", "width", "height", "bytes_in", "bytes_out", "bpp", "quality", "psnr", "seconds")


class FileReport:
    """Lines of COLUMNS and `message`: notices, or why a file failed or was left out. A context manager.

    What was written stays when the program ends early; with `append` lines are added to those of an earlier run.
    Raises OutputError.
    """

    def __init__(self, path: str, force: bool, append: bool = False) -> None:
        self._path = Path(path)
        append = append and self._path.exists()
        try:
            mode = "a" if append else "w" if force else "x"
            self._file = self._path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")
        except FileExistsError:
            raise OutputError(f"{path} exists; give --force to replace it") from None
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
        self._rows = csv.writer(self._file)
        if not append:
            self._write([*COLUMNS, "message"])

    def add(self, record: dict[str, Any]) -> None:
        """A file's record, as `--json` prints it."""
        failed = "error" in record
        status = record.get("status", "failed" if failed else "done")
        said = record["error"] if failed else "; ".join(record.get("notices", ()))
        values = {**record, "status": status}
        self._write([_shown(values.get(name)) for name in COLUMNS] + [said])

    def add_untouched(self, inputs: Inputs, existing: Sequence[Job]) -> None:
        """What is left out, and what has a result already."""
        for one in inputs.left_out:
            if not one.failed:
                self.add({"input": one.path, "status": "left out", "notices": [one.reason]})
        for job in existing:
            self.add({"input": job.source, "output": job.target, "status": "exists"})

    def __enter__(self) -> FileReport:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(self, row: list[Any]) -> None:
        try:
            self._rows.writerow(row)
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error.strerror or error}") from error


def read_report(path: str) -> list[dict[str, str]]:
    """The whole lines of a report by column, none where there is no file; one that was cut off is left out.

    Raises UnsupportedInput for a file that cannot be read or is no report.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnsupportedInput(f"{path} cannot be read: {error.strerror or error}") from error
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    columns = [*COLUMNS, "message"]
    if rows and rows[0] != columns:
        raise UnsupportedInput(f"{path} is no report of aez; its first line should name the columns")
    return [dict(zip(columns, row, strict=True)) for row in rows[1:] if len(row) == len(columns)]


def _shown(value: Any) -> Any:
    return "" if value is None else round(value, 4) if isinstance(value, float) else value
