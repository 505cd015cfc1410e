"""Files of the command line: reading, names of results, and writing that leaves a whole file or none.

`-` stands for standard input and output.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from aez.codec.common.files import write_whole
from aez.codec.errors import AezError, InvalidArgument, OutputError, UnsupportedInput
from aez.inputs import STDIO, Inputs


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; `error` says why it cannot be done."""

    source: str
    target: str
    error: AezError | None = None


def read_input(name: str, signature: bytes = b"") -> bytes:
    """All bytes of a file or of standard input; of one that does not begin with `signature` only enough to tell.

    Raises UnsupportedInput.
    """
    if name == STDIO and sys.stdin is None:
        raise UnsupportedInput("standard input is closed")
    try:
        with nullcontext(sys.stdin.buffer) if name == STDIO else Path(name).open("rb") as file:
            head = file.read(len(signature) + 1)
            return head + file.read() if head.startswith(signature) else head
    except OSError as error:
        raise UnsupportedInput(f"it cannot be read: {_reason(error)}") from error


def plan(inputs: Inputs, output: str | None, suffix: str, *, make_folders: bool = True) -> list[Job]:
    """One job for each file of `inputs`.

    `output` is a file for one input, or a folder, which is made when missing: where it is one already, ends with a
    slash, or has several inputs to hold; None puts each result beside its input. Results are named after their inputs
    with `suffix`, those in a folder at the same place below `output`; where two would have one name, or names that are
    one where upper and lower case are, both keep the suffix of their input (`a.jpg.aez`, `A.png.aez`). Raises
    InvalidArgument, OutputError.
    """
    if output == "":
        raise InvalidArgument("the name of the result is empty")
    files = inputs.files
    several = len(files) > 1 or inputs.in_folder
    if output == STDIO:
        if several:
            raise InvalidArgument("standard output takes one file; name a folder with -o for several")
        return [Job(files[0].path, STDIO)]
    if output is not None and not several and not output.endswith(("/", os.sep)) and not Path(output).is_dir():
        return [Job(files[0].path, output)]
    if output is None and not several and files[0].path == STDIO:
        return [Job(STDIO, STDIO)]
    if any(found.path == STDIO for found in files):
        raise InvalidArgument("a result in a folder is named after its input; name a file with -o for standard input")
    places = [Path(found.path) if output is None else Path(output) / found.place for found in files]
    short = [str(_renamed(place, suffix)) for place in places]
    taken = Counter(
        _one(target) for _, target in {(found.path, target) for found, target in zip(files, short, strict=True)}
    )
    jobs: list[Job] = []
    owners: dict[str, str] = {}
    for found, place, target in zip(files, places, short, strict=True):
        name = target if taken[_one(target)] == 1 else f"{place}{suffix}"
        error = _clash(name, found.path, owners[name]) if name in owners else None
        owners.setdefault(name, found.path)
        jobs.append(Job(found.path, name, error))
    if make_folders and output is not None:
        for folder in {Path(output), *(Path(job.target).parent for job in jobs)}:
            _make_folder(folder)
    return jobs


def _one(target: str) -> str:
    """What is the same for names that some systems take for one."""
    return unicodedata.normalize("NFC", target).casefold()


def _clash(name: str, source: str, owner: str) -> InvalidArgument:
    return InvalidArgument("it is given twice" if source == owner else f"{name} is the result of {owner}; rename one")


def _renamed(place: Path, suffix: str) -> Path:
    """`a.jpg` and `a.png.aez` with `.png`: `a.png`."""
    return place.with_suffix("" if place.stem.lower().endswith(suffix) else suffix)


def refuse_two_results(output: str, as_json: bool) -> None:
    """Refuse a result and JSON on one stream. Raises InvalidArgument."""
    if as_json and output == STDIO:
        raise InvalidArgument("--json and -o - both take standard output; choose one")


def check_target(job: Job, force: bool) -> None:
    """Refuse early what `write_output` would refuse, and a result in place of its own input.

    Raises OutputError, InvalidArgument.
    """
    if job.error is not None:
        raise job.error
    if job.target == STDIO:
        return
    target = Path(job.target)
    if target.is_dir():
        raise OutputError(f"{target} is a folder")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist")
    if job.source != STDIO and target.is_file() and Path(job.source).exists() and target.samefile(job.source):
        raise InvalidArgument(f"{target} is the input itself; give the result another name")
    _refuse_existing(target, force)


def write_output(target: str, data: bytes, force: bool = False) -> None:
    """Write a file as `write_whole` does; `-` and devices are written directly.

    Raises OutputError, and BrokenPipeError from standard output.
    """
    try:
        if target == STDIO:
            if sys.stdout is None:
                raise OutputError("standard output is closed")
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        path = Path(target)
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)
            return
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "standard output" if target == STDIO else target
        raise OutputError(f"{name} cannot be written: {_reason(error)}") from error
    write_whole(target, data, force)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InvalidArgument(f"{folder} is a file, and several results need a folder") from None
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {_reason(error)}") from error


def _refuse_existing(path: Path, force: bool) -> None:
    if path.is_file() and not force:
        raise OutputError(f"{path} exists; give --force to replace it")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
