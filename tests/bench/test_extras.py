"""Without what the extra `bench` brings, a bench ends in one sentence before it measures anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from aez.cli import main


@pytest.mark.parametrize(
    ("library", "command", "extras"),
    [
        ("scipy", "rd .", "bench"),
        ("matplotlib", "rd . -o out", "bench"),
        ("ssimulacra2", "rd . --eye", "bench"),
        ("matplotlib", "latent . -o out", "bench"),
        ("psutil", "soak", "bench"),
        ("psutil", "monitor throughput", "bench,monitor"),
    ],
)
def test_what_is_missing_is_named(
    library: str, command: str, extras: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)  # as where it is not installed
    done = CliRunner().invoke(main, ["bench", *command.split()])
    assert done.exit_code == 1
    assert done.stderr == f"aez: error: this needs {library}, which is not installed: pip install 'aez[{extras}]'\n"
    assert not (tmp_path / "out").exists()
