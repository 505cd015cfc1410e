"""Reports as files: whole ones or none, and one error where that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from aez.bench.saving import make_folder, save_all, texts
from aez.codec.errors import OutputError


class Report:
    def to_json(self) -> str:
        return "{}"

    def table(self) -> str:
        return "nothing was measured"


def test_files_are_written_over_those_of_old_into_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "today"
    for _ in range(2):
        save_all(folder, texts(Report(), "none"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "none.json": "{}",
        "none.txt": "nothing was measured",
    }


def test_an_unwritable_output_is_one_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"here")
    with pytest.raises(OutputError, match="cannot make the folder"):
        save_all(blocked, {"rd.json": b"{}"})
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_folder(blocked / "below")
    with pytest.raises(OutputError, match="is a folder"):
        save_all(tmp_path.parent, {tmp_path.name: b"{}"})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
