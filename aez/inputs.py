"""What a command works on: files as they are given, and what lies in folders, none of it passed over without a word."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aez import messages
from aez.codec.errors import InvalidArgument, UnsupportedInput

STDIO = "-"
#: Files of one reason that are named; the others are counted.
_NAMED = 10


@dataclass(frozen=True)
class Found:
    """A file to work on; `place` is its path below the folder that was given, or its own name."""

    path: str
    place: Path


@dataclass(frozen=True)
class LeftOut:
    """A file that is not worked on. `failed`: it should have been, and cannot be read."""

    path: str
    reason: str
    failed: bool = False


#: Why a file in a folder is left out, or None to take it.
Judge = Callable[[Path], LeftOut | None]


@dataclass
class Inputs:
    """Files to work on, in order, and those that are left out."""

    files: list[Found] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    in_folder: bool = False

    @property
    def failed(self) -> list[LeftOut]:
        return [one for one in self.left_out if one.failed]

    def tell(self) -> None:
        """Name what is left out, the first ones of each reason, and count the rest; failures are told elsewhere."""
        aside = [one for one in self.left_out if not one.failed]
        for reason, count in Counter(one.reason for one in aside).items():
            paths = [one.path for one in aside if one.reason == reason]
            more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
            messages.note(f"left out, {reason}: {', '.join(paths[:_NAMED])}{more}")


def judge_coded(path: Path) -> LeftOut | None:
    """None for a file that is called `.aez`; whether it is one, its reader says."""
    return None if path.suffix.lower() == ".aez" else LeftOut(str(path), "no .aez files")


def find_coded(given: Sequence[str], *, recursive: bool, follow_links: bool) -> Inputs:
    """As `find_inputs`, of `.aez` files; what is left out is told."""
    found = find_inputs(given, judge_coded, recursive=recursive, follow_links=follow_links)
    found.tell()
    return found


def find_inputs(given: Sequence[str], judge: Judge, *, recursive: bool = False, follow_links: bool = False) -> Inputs:
    """The files, and in place of each folder what lies in it, or with `recursive` below it.

    In folders, hidden files are left out, and links unless `follow_links`. Raises UnsupportedInput for a folder that
    cannot be read, or holds nothing to work on; InvalidArgument for an empty name, as of a variable that is not set.
    """
    if not all(given):
        raise InvalidArgument("the name of an input is empty; the folder that you are in is .")
    inputs = Inputs()
    for name in given:
        if name == STDIO or not Path(name).is_dir():
            inputs.files.append(Found(name, Path(Path(name).name)))
            continue
        inputs.in_folder = True
        before = len(inputs.files), len(inputs.failed)
        for path, why in _below(Path(name), recursive, follow_links):
            out = why if why is not None else judge(path)
            if out is None:
                inputs.files.append(Found(str(path), path.relative_to(name)))
            else:
                inputs.left_out.append(out)
        if before == (len(inputs.files), len(inputs.failed)):
            inputs.tell()
            inside = "" if recursive else " (folders in it are searched with --recursive)"
            raise UnsupportedInput(f"the folder {name} holds no file for this command{inside}")
    return inputs


def _below(folder: Path, recursive: bool, follow_links: bool) -> Iterator[tuple[Path, LeftOut | None]]:
    """Every entry in a folder, sorted, and why it is left out, if that is plain without looking into it."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            about = here.stat()
            entries = sorted(here.iterdir())
        except OSError as error:
            reason = error.strerror or str(error)
            if here == folder:
                raise UnsupportedInput(f"the folder {folder} cannot be read: {reason}") from error
            yield here, LeftOut(str(here), f"the folder cannot be read: {reason}", failed=True)
            continue
        if (about.st_dev, about.st_ino) in seen:  # a link to a folder above
            continue
        seen.add((about.st_dev, about.st_ino))
        inner = []
        for path in entries:
            if path.name.startswith("."):
                yield path, LeftOut(str(path), "hidden")
            elif path.is_symlink() and not follow_links:
                yield path, LeftOut(str(path), "links (--follow-links)")
            elif path.is_dir():
                if recursive:
                    inner.append(path)
                else:
                    yield path, LeftOut(f"{path}{os.sep}", "folders (--recursive)")
            elif not path.exists():
                yield path, LeftOut(str(path), "the link leads nowhere", failed=True)
            elif not path.is_file():
                yield path, LeftOut(str(path), "no regular files")
            else:
                yield path, None
        waiting += reversed(inner)
