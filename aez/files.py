"""Files of the command line: inputs, names of outputs, and writing that leaves a whole file or none.

`-` stands for standard input and output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aez.codec.common.files import write_whole
from aez.codec.errors import AezError, InvalidArgument, OutputError, UnsupportedInput

STDIO = "-"


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; `error` says why it cannot be done."""

    source: str
    target: str
    error: AezError | None = None


def read_input(name: str) -> bytes:
    """All bytes of a file or of standard input. Raises UnsupportedInput."""
    try:
        return sys.stdin.buffer.read() if name == STDIO else Path(name).read_bytes()
    except OSError as error:
        raise UnsupportedInput(f"it cannot be read: {_reason(error)}") from error


def plan(inputs: Sequence[str], output: str, suffix: str, accepts: Callable[[Path], bool]) -> list[Job]:
    """One job for each input, and for each file directly in an input folder that `accepts` names.

    `output` is a file for one input, or a folder, which is made when missing: where it is one already, ends with a
    slash, or has several inputs to hold; results are named after their inputs with `suffix`. A second input of the same
    name gets an error. Raises InvalidArgument, UnsupportedInput for a folder without files, OutputError.
    """
    sources = [name for given in inputs for name in expand(given, accepts)]
    several = len(sources) > 1 or sources != list(inputs)
    if output == STDIO:
        if several:
            raise InvalidArgument("standard output takes one file; name a folder with -o for several")
        return [Job(sources[0], STDIO)]
    if not several and not output.endswith(("/", os.sep)) and not Path(output).is_dir():
        return [Job(sources[0], output)]
    if STDIO in sources:
        raise InvalidArgument("a result in a folder is named after its input; name a file with -o for standard input")
    _make_folder(Path(output))
    jobs: list[Job] = []
    owners: dict[str, str] = {}
    for source in sources:
        target = str(Path(output) / (Path(source).stem + suffix))
        taken = InvalidArgument(f"{target} is the result of {owners[target]}; rename one") if target in owners else None
        owners.setdefault(target, source)
        jobs.append(Job(source, target, taken))
    return jobs


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


def expand(given: str, accepts: Callable[[Path], bool]) -> list[str]:
    """A file's name as it is, or the files directly in a folder that `accepts` names. Raises UnsupportedInput."""
    if given == STDIO or not Path(given).is_dir():
        return [given]
    try:
        found = sorted(path for path in Path(given).iterdir() if not path.name.startswith(".") and accepts(path))
    except OSError as error:
        raise UnsupportedInput(f"the folder {given} cannot be read: {_reason(error)}") from error
    if not found:
        raise UnsupportedInput(f"the folder {given} holds no file for this command (folders in it are not searched)")
    return [str(path) for path in found]


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
