"""`aez` as a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from aez.cli import main


def run(*arguments: str | int | Path, given: bytes | None = None) -> Result:
    """`aez` with these arguments, in this process; `given` is its standard input."""
    return CliRunner().invoke(main, [str(a) for a in arguments], input=given, catch_exceptions=False, prog_name="aez")


def process(*arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
    """`aez` with these arguments, as a process of its own that has ended."""
    command = [sys.executable, "-m", "aez", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
