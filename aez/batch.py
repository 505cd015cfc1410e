"""Many files through one function: workers, a progress bar, what went well and what did not, the exit code."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from aez import messages
from aez.codec.common.cores import available_cores
from aez.codec.errors import AezError, UnsupportedInput
from aez.files import Job
from aez.inputs import LeftOut

#: Exit code when several files were given and some of them failed.
EXIT_SOME_FAILED = 1

Progress = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class FileOutcome:
    """A file that was processed.

    `coded_bytes` of `.aez` hold `coded_pixels`; `pixels` went through the networks. `details` are JSON values,
    `damage` an error in spite of which there is a result.
    """

    bytes_in: int
    bytes_out: int
    coded_bytes: int
    coded_pixels: int
    pixels: int
    details: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    damage: AezError | None = None
    written: bool = True


@dataclass(frozen=True)
class FileFailure:
    """A file that was not processed, or `partial`, only in part: what to say, and that error's exit code."""

    source: str
    error: str
    exit_code: int
    partial: bool = False


Work = Callable[[Job, Progress], FileOutcome]


class _Cancelled(Exception):
    """Raised inside a worker when the program is to end."""


@dataclass(frozen=True)
class Parallel:
    """How many files at once, and how many threads ONNX Runtime takes for each (None: all cores)."""

    workers: int
    threads: int | None

    @classmethod
    def choose(cls, files: int, workers: int | None, threads: int | None) -> Parallel:
        """As many workers as cores, and one thread in each; all cores for a file that is alone."""
        count = min(files, workers or available_cores())
        return cls(count, threads if threads is not None or count == 1 else 1)


def run_batch(
    jobs: Sequence[Job],
    work: Work,
    verb: str,
    workers: int = 1,
    as_json: bool = False,
    failed: Sequence[LeftOut] = (),
    each: Callable[[dict[str, Any]], None] | None = None,
) -> int:
    """Do all jobs and report; the exit code: 0, the error's own for a single file, 1 when some of several failed.

    `failed` are files that count as failures before anything is done; `each` gets every file's record. Goes on after a
    file that fails. Notices, a summary and the list of failures go to standard error; with `as_json`,
    one JSON object for each file goes to standard output. An exception that ends the program (Ctrl+C) waits for no
    file: workers stop at their next tile.
    """
    started = time.perf_counter()
    sorted_in = _Sorted(as_json, each)
    for one in failed:
        sorted_in.failure(FileFailure(one.path, one.reason, UnsupportedInput.exit_code))
    bar = _bar(len(jobs))
    with contextlib.closing(bar), contextlib.closing(_results(jobs, work, workers, bar)) as results:
        for job, result in zip(jobs, results, strict=True):
            with bar.external_write_mode(file=sys.stderr):
                sorted_in.add(job, result)
            if len(jobs) > 1:
                bar.update()
    if sorted_in.done:
        messages.summary(_summary(sorted_in.done, verb, time.perf_counter() - started))
    return _list_failures(sorted_in.failures, len(jobs) + len(failed))


def run_each(names: Iterable[str], action: Callable[[str], None], failed: Sequence[LeftOut] = ()) -> int:
    """Call `action` for each file, one after the other; errors and exit code as in `run_batch`."""
    failures = [FileFailure(one.path, one.reason, UnsupportedInput.exit_code) for one in failed]
    names = list(names)
    for name in names:
        result = _attempt(name, partial(action, name))
        if isinstance(result, FileFailure):
            failures.append(result)
    return _list_failures(failures, len(names) + len(failed))


def _bar(jobs: int) -> Any:
    """A bar over files, or over the tiles of a file that is alone."""
    from aez.codec.common.progress import progress_bar

    total, unit = (jobs, "file") if jobs > 1 else (None, "tile")
    return progress_bar(total=total, unit=unit)


def _results(
    jobs: Sequence[Job], work: Work, workers: int, bar: Any
) -> Generator[FileOutcome | FileFailure, None, None]:
    """Results in the order of the jobs; closing the iterator cancels what is not done."""
    if workers <= 1:
        show = _tiles_on(bar) if len(jobs) == 1 else _ignore
        for job in jobs:
            yield _attempt(job.source, partial(work, job, show))
        return
    stop = threading.Event()

    def watch(done: int, total: int) -> None:  # noqa: ARG001 - the shape of a progress callback
        if stop.is_set():
            raise _Cancelled

    def attempt(job: Job) -> FileOutcome | FileFailure:
        watch(0, 0)
        return _attempt(job.source, partial(work, job, watch))

    pool = ThreadPoolExecutor(workers, thread_name_prefix="aez")
    try:
        for future in [pool.submit(attempt, job) for job in jobs]:
            yield future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _ignore(done: int, total: int) -> None:
    """Show nothing."""


def _tiles_on(bar: Any) -> Progress:
    def show(done: int, total: int) -> None:
        bar.total, bar.n = total, done
        bar.refresh()

    return show


def _attempt(name: str, action: Callable[[], T]) -> T | FileFailure:
    """The action's result, or the error as a failure of the file `name`."""
    try:
        return action()
    except (BrokenPipeError, _Cancelled, messages.NoOutput):
        raise
    except AezError as error:
        return FileFailure(name, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - one file must not end the others
        return FileFailure(name, messages.unexpected(error), messages.EXIT_DEFECT)


@dataclass
class _Sorted:
    """Results by what became of them; each is told as it comes."""

    as_json: bool
    each: Callable[[dict[str, Any]], None] | None
    done: list[FileOutcome] = field(default_factory=list)
    failures: list[FileFailure] = field(default_factory=list)

    def add(self, job: Job, result: FileOutcome | FileFailure) -> None:
        if isinstance(result, FileFailure):
            self.failure(result)
            return
        self.done.append(result)
        if result.damage is not None:
            self.failures.append(FileFailure(job.source, str(result.damage), result.damage.exit_code, partial=True))
        for notice in result.notices:
            messages.note(f"{job.source}: {notice}")
        self._tell(_record(job, result))

    def failure(self, failed: FileFailure) -> None:
        self.failures.append(failed)
        self._tell({"input": failed.source, "error": failed.error, "exit_code": failed.exit_code})

    def _tell(self, record: dict[str, Any]) -> None:
        if self.as_json:
            messages.result(json.dumps(record))
        if self.each is not None:
            self.each(record)


def _record(job: Job, outcome: FileOutcome) -> dict[str, Any]:
    return {
        "input": job.source,
        "output": job.target if outcome.written else None,
        "bytes_in": outcome.bytes_in,
        "bytes_out": outcome.bytes_out,
        "bpp": 8 * outcome.coded_bytes / outcome.coded_pixels,
        **outcome.details,
        "notices": list(outcome.notices),
        "damage": None if outcome.damage is None else str(outcome.damage),
    }


def _summary(done: list[FileOutcome], verb: str, seconds: float) -> str:
    bytes_in, bytes_out = sum(o.bytes_in for o in done), sum(o.bytes_out for o in done)
    bpp = 8 * sum(o.coded_bytes for o in done) / sum(o.coded_pixels for o in done)
    speed = 3e-6 * sum(o.pixels for o in done) / max(seconds, 1e-9)
    files = f"{len(done)} file{'s' if len(done) > 1 else ''}"
    unwritten = sum(not o.written for o in done)
    aside = f" ({unwritten} of them not written)" if unwritten else ""
    return (
        f"{verb} {files}{aside}, {bytes_in:,} bytes in, {bytes_out:,} out, {bpp:.3f} bpp, "
        f"{speed:.1f} MB/s of RGB pixels"
    )


def _list_failures(failures: list[FileFailure], total: int) -> int:
    if not failures:
        return 0
    for failure in failures:
        say = messages.warning if failure.partial else messages.error
        say(f"{failure.source}: {failure.error}")
    if total == 1:
        return failures[0].exit_code
    messages.error(f"{len(failures)} of {total} files failed")
    return EXIT_SOME_FAILED
