"""Progress where there is no terminal: few lines, each of them whole."""

import io

import pytest

from aez.codec.common import progress


def test_a_log_gets_few_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with progress.progress_bar(total=1000, desc="steps") as bar:
        for _ in range(1000):
            bar.update()
            bar.refresh()
    assert log.getvalue() == ""
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    with progress.progress_bar(total=4, desc="steps") as bar:
        for _ in range(4):
            bar.update()
            bar.refresh()
    lines = log.getvalue().splitlines()
    assert lines
    assert all(line.startswith("steps: ") and "\r" not in line for line in lines)


def test_without_standard_error_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with progress.progress_bar(total=2) as bar:
        bar.update()
