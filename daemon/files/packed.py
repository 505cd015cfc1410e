"""Files packed with gzip, as rotation leaves them: read once, from where the file was read before it was packed."""

from __future__ import annotations

import glob
import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aez.daemon.files.rotation import stream_of
from aez.daemon.sources.lines import CsvLines, LineCutter, Part

__all__ = ["DAMAGED", "PackedFiles"]

_YOUNG = 1_000_000_000  # ns behind its last change in which a file may still be written

#: What reading raises where the file is cut short, damaged, or none of gzip.
DAMAGED = (EOFError, OSError, zlib.error)


class _PackedFile:
    """One file, whose places are those of its unpacked bytes.

    offset: behind the last line that was given. header: the line of column names, of CSV; gone: those that were named
    before and are not any more.
    """

    def __init__(self, path: str, line_bytes: int, with_header: bool, before: Mapping[str, Any] | None) -> None:
        self.path = path
        status = os.stat(path)  # noqa: PTH116 - Path would only wrap the same call
        #: What differs once the file does.
        self.identity = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
        self.modified = status.st_mtime_ns
        going_on = before is not None and before["identity"][:2] == self.identity[:2]
        self.offset: int = before["offset"] if before is not None and going_on else 0
        self.ended = before is not None and before["identity"] == self.identity and before["ended"]
        self._line_bytes, self._with_header = line_bytes, with_header
        self.header: str | None = before["header"] if before is not None and going_on else None
        self.gone: tuple[str, ...] = tuple(before.get("gone", ())) if before is not None and going_on else ()
        self.skipping: bool = before["skipping"] if before is not None and going_on else False

    def state(self) -> dict[str, Any]:
        """What finds this place again after a restart; plain data for JSON."""
        return {
            "identity": self.identity,
            "offset": self.offset,
            "header": self.header,
            "gone": list(self.gone),
            "skipping": self.skipping,
            "ended": self.ended,
        }

    def blocks(self, size: int, known: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """Whole lines, block by block, `offset` behind each.

        known: states of files that were read unpacked; where this is one of them, it is read on from there. Raises
        what `DAMAGED` names; what was given until then is whole.
        """
        with gzip.open(self.path, "rb") as file:
            if not self.offset:
                self.offset = _read_before(file, known)
            if self._with_header and self.header is None and self.offset:
                file.seek(0)
                self.header = file.readline(self._line_bytes).decode("utf-8", "replace").rstrip("\r\n")
            file.seek(self.offset)
            cutter = LineCutter(self._line_bytes, self._with_header, self.skipping, self.header)
            damage: Exception | None = None
            while damage is None:
                data, damage = _read_most(file, size)
                if not data:
                    break
                yield from self._step(cutter, *cutter.feed(data))
            if damage is not None:
                raise damage
            yield from self._step(cutter, *cutter.finish())
        self.ended = True

    def _step(self, cutter: LineCutter, lines: bytes, settled: int) -> Iterator[bytes]:
        self.offset += settled
        self.skipping = cutter.skipping
        self.header = self.header or cutter.header
        if lines:
            yield lines


class PackedFiles:
    """Those that patterns ending in .gz name, each read once; whole lines come as (stream, part).

    reader: of CSV, None for other formats. leaves_out: says of a path whether it is not to be read. states: by path,
    for positions; as it is whenever lines are given, it covers all that was given before, and these once their last
    part is. trouble: what could not be read.
    """

    def __init__(
        self, patterns: Sequence[str], line_bytes: int, reader: CsvLines | None, leaves_out: Callable[[str], bool]
    ) -> None:
        self._patterns = [pattern for pattern in patterns if pattern.endswith(".gz")]
        self._line_bytes, self._reader, self._leaves_out = line_bytes, reader, leaves_out
        self.states: dict[str, Mapping[str, Any]] = {}
        self._troubles: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    @property
    def trouble(self) -> str:
        """One sentence, or nothing."""
        return next(iter(self._troubles.values()), "")

    def read(
        self, size: int, known: Callable[[], Sequence[Mapping[str, Any]]], *, young: bool
    ) -> Iterator[tuple[str, Part]]:
        """What was not read yet. young: of files that were changed a moment ago, too. known: see `_PackedFile`."""
        found = self._found()
        self.states = {path: state for path, state in self.states.items() if path in found}
        self._troubles = {path: said for path, said in self._troubles.items() if path in found}
        for path in found:
            try:
                one = _PackedFile(path, self._line_bytes, self._reader is not None, self.states.get(path))
                wait = not young and 0 <= time.time_ns() - one.modified < _YOUNG
                if one.ended or wait or self._leaves_out(path):
                    continue
                self._troubles.pop(path, None)
                yield from self._parts(one, size, known())
            except FileNotFoundError:
                continue
            except DAMAGED as error:
                reason = getattr(error, "strerror", None) or "it is cut short, damaged, or not packed with gzip"
                self._troubles[path] = f"cannot read {path} to its end: {reason}."
                one.ended = True  # until it changes
                self.states = {**self.states, path: one.state()}

    def _parts(self, one: _PackedFile, size: int, known: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Part]]:
        stream = stream_of(one.path)
        for lines in one.blocks(size, known):
            parts = [Part(one.header, (), lines)]
            if self._reader is not None:
                parts = self._reader.cut(lines, one.header, one.gone)
                one.header, one.gone = parts[-1].header, parts[-1].gone
            for part in parts[:-1]:
                if part.lines:
                    yield stream, part
            self.states = {**self.states, one.path: one.state()}
            if parts[-1].lines:
                yield stream, parts[-1]
        self.states = {**self.states, one.path: one.state()}

    def _found(self) -> list[str]:
        """The oldest first."""
        found: dict[str, int] = {}
        for pattern in self._patterns:
            for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - the pattern is absolute
                try:
                    found[path] = Path(path).stat().st_mtime_ns
                except OSError:
                    continue
        return sorted(found, key=lambda path: (found[path], path))


def _read_most(file: gzip.GzipFile, size: int) -> tuple[bytes, Exception | None]:
    """So many bytes, fewer at the end or where what follows is damaged, and what that raised."""
    parts: list[bytes] = []
    left = size
    try:
        while left and (data := file.read1(left)):
            parts.append(data)
            left -= len(data)
    except DAMAGED as error:
        return b"".join(parts), error
    return b"".join(parts), None


def _read_before(file: gzip.GzipFile, known: Iterable[Mapping[str, Any]]) -> int:
    """How far the contents were read before they were packed: 0 where nobody knows."""
    file.seek(0)
    head = file.read(max((state["head_bytes"] for state in known), default=0))
    found = 0
    for state in known:
        size, mark = state["head_bytes"], state.get("mark_bytes", 0)
        if not size or state["offset"] <= found or hashlib.sha256(head[:size]).hexdigest() != state["head"]:
            continue
        file.seek(state["offset"] - mark)
        passage = file.read(mark)
        if len(passage) == mark and (not mark or hashlib.sha256(passage).hexdigest() == state["mark"]):
            found = int(state["offset"])
    return found
