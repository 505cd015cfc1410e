"""What the command line says: results on standard output, everything else on standard error, a sentence each."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback

import click

from aez.codec.errors import OutputError

#: Exit code of a defect, as `sysexits.h` has it.
EXIT_DEFECT = 70
DEBUG = "AEZ_DEBUG"
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class NoOutput(OutputError):
    """Standard output takes nothing more, so that no further file can succeed."""


def result(text: str) -> None:
    """Print a line on standard output. Raises NoOutput when it does not take it, BrokenPipeError from a pipe."""
    try:
        if sys.stdout is None:
            raise NoOutput("standard output is closed")
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NoOutput(f"standard output cannot be written: {error.strerror or error}") from error


def error(text: str) -> None:
    """Say what went wrong."""
    _say(f"aez: error: {text}")


def warning(text: str) -> None:
    """Say that a result is not what it should be."""
    _say(f"aez: warning: {text}")


def note(text: str) -> None:
    """Say what somebody may want to know, and need not act on."""
    _say(f"aez: note: {text}")


def summary(text: str, *below: str) -> None:
    """Say what was done, with more lines below."""
    _say(f"aez: {text}")
    for line in below:
        _say(f"  {line}")


def _say(line: str) -> None:
    """A line on standard error; one that is full or closed ends no work.

    Line breaks and what else steers a terminal, which names of files may hold, are spelled out.
    """
    with contextlib.suppress(OSError):
        click.echo(_STEERING.sub(lambda found: repr(found[0])[1:-1], line), err=True)


def unexpected(problem: BaseException) -> str:
    """One sentence about an error that nobody foresaw; with AEZ_DEBUG set, its traceback goes to standard error."""
    if os.environ.get(DEBUG):
        click.echo("".join(traceback.format_exception(problem)), err=True, nl=False)
    if isinstance(problem, MemoryError):
        return "the memory does not suffice (MemoryError); use smaller tiles or fewer workers"
    hint = "" if os.environ.get(DEBUG) else f"; set {DEBUG}=1 for the traceback"
    first_line = (str(problem).strip().splitlines() or ["no message"])[0]
    return f"unexpected {type(problem).__name__}: {first_line}{hint}"
