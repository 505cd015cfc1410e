"""The file of messages that could not be used: bounded, one JSON object a line.

Guarantee: it and the one before it together never take more than the bound; what goes wrong with it is logged once and
stops nothing.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from aez.daemon.common.files import private, try_file
from aez.daemon.common.records import Malformed

__all__ = ["DeadLetters"]

_log = logging.getLogger(__name__)
#: So many of one batch are kept; the counters count all.
_PER_CALL = 100


class DeadLetters:
    """Appends to `path`; at half of `limit` bytes the file becomes `path`.1 and a new one begins. 0 keeps nothing."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self.kept = 0
        self._broken = False

    def try_to_write(self) -> None:
        """Find out whether there could be letters, and leave nothing behind. Raises OutputError."""
        if self.limit > 0:
            try_file(self.path, "dead letters")

    def add(self, source: str, letters: Iterable[Malformed]) -> None:
        """Keep the first of them."""
        if self.limit <= 0:
            return
        now = time.time_ns()
        lines = [_line(source, letter, now) for letter, _ in zip(letters, range(_PER_CALL), strict=False)]
        data = b"".join(line for line in lines if len(line) <= self.limit // 2)
        if not data:
            return
        try:
            self._write(data[: self.limit // 2] if len(data) <= self.limit // 2 else _whole(data, self.limit // 2))
        except OSError as error:
            if not self._broken:
                _log.warning("dead letters cannot be written to %s: %s", self.path, error.strerror or error)
            self._broken = True
            return
        self._broken = False
        self.kept += len(lines)

    def _write(self, data: bytes) -> None:
        with open(self.path, "ab", opener=private) as file:
            if file.tell() and file.tell() + len(data) > self.limit // 2:
                file.close()
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                with open(self.path, "wb", opener=private) as fresh:
                    fresh.write(data)
                return
            file.write(data)


def _whole(data: bytes, limit: int) -> bytes:
    """The whole lines among the first `limit` bytes."""
    return data[: data.rfind(b"\n", 0, limit) + 1]


def _line(source: str, letter: Malformed, now: int) -> bytes:
    entry: dict[str, object] = {"time": now, "source": source, "reason": letter.reason, "detail": letter.detail}
    try:
        entry["data"] = letter.data.decode()
    except UnicodeDecodeError:
        entry["data_base64"] = base64.b64encode(letter.data).decode()
    return json.dumps(entry).encode() + b"\n"
