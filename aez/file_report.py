"""`--report`: what became of each file, a line of CSV each, written as it becomes known."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aez.codec.errors import OutputError
from aez.files import Job
from aez.inputs import Inputs

COLUMNS = ("input", "output", "status", "width", "height", "bytes_in", "bytes_out", "bpp", "quality", "psnr", "seconds")


class FileReport:
    """Lines of COLUMNS and `message`: notices, or why a file failed or was left out. A context manager.

    What was written stays when the program ends early. Raises OutputError.
    """

    def __init__(self, path: str, force: bool) -> None:
        self._path = Path(path)
        try:
            self._file = self._path.open("w" if force else "x", newline="", encoding="utf-8")
        except FileExistsError:
            raise OutputError(f"{path} exists; give --force to replace it") from None
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
        self._rows = csv.writer(self._file)
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


def _shown(value: Any) -> Any:
    return "" if value is None else round(value, 4) if isinstance(value, float) else value
