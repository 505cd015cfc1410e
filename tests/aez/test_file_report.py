"""The report of a batch: read again, cut off, and gone on with."""

from pathlib import Path

import pytest

from aez.codec.errors import OutputError, UnsupportedInput
from aez.file_report import FileReport, read_report


def record(name: str) -> dict[str, object]:
    return {"input": name, "output": f"{name}.aez", "bytes_in": 9, "bytes_out": 3, "psnr": 31.25, "notices": ["a, b"]}


def test_lines_are_read_back_and_added_to(tmp_path: Path) -> None:
    path = str(tmp_path / "report.csv")
    assert read_report(path) == []
    strange = b"caf\xe9\n.png".decode("utf-8", "surrogateescape")
    with FileReport(path, force=False) as report:
        report.add(record("a.png"))
    with FileReport(path, force=False, append=True) as report:
        report.add(record(strange))
        report.add({"input": "c.png", "error": "it is no picture"})
    found = read_report(path)
    assert [row["input"] for row in found] == ["a.png", strange, "c.png"]
    assert [row["status"] for row in found] == ["done", "done", "failed"]
    assert (found[0]["psnr"], found[0]["message"], found[2]["message"]) == ("31.25", "a, b", "it is no picture")
    with pytest.raises(OutputError, match="exists"):
        FileReport(path, force=False)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with FileReport(str(path), force=False, append=True) as report:
        report.add(record("a.png"))
        whole = path.read_bytes()
        report.add(record("b.png"))
    for end in range(len(whole), path.stat().st_size):
        (tmp_path / "cut.csv").write_bytes(path.read_bytes()[:end])
        assert [row["input"] for row in read_report(str(tmp_path / "cut.csv"))] == ["a.png"]


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("name,size\n")
    with pytest.raises(UnsupportedInput, match="is no report of aez"):
        read_report(str(tmp_path / "list.csv"))
    with pytest.raises(UnsupportedInput, match="cannot be read"):
        read_report(str(tmp_path))
