"""A web server that sends ranges, and misbehaves when asked."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from aez.bench.remote.server import Answer, RangeServer, serving


@dataclass
class OddServer(RangeServer):
    """The switches are what real servers do wrong; `moved/NAME` leads to NAME."""

    etag: str = '"1"'
    #: Whole files alone.
    ranges: bool = True
    #: Of several ranges: all of them in one answer, or the first alone, or the whole file.
    several: Literal["all", "first", "none"] = "all"
    #: No more than so many bytes of each answer, whatever its length says.
    cut: int | None = None
    #: The first so many answers are sound.
    sound: int = 0
    #: Seconds before each later answer.
    wait: float = 0.0
    #: In place of 206.
    status: int | None = None
    #: In place of the right Content-Range.
    content_range: str | None = None

    def answer(self, path: str, wanted: str) -> Answer:
        if path.startswith("moved/"):
            return Answer(302, {"Location": f"/{path.removeprefix('moved/')}"})
        if "," in wanted and self.several != "all":
            wanted = wanted.partition(",")[0] if self.several == "first" else ""
        right = super().answer(path, wanted if self.ranges else "")
        right = dataclasses.replace(right, headers={**right.headers, "ETag": self.etag})
        if len(self.answers) < self.sound:
            return right
        time.sleep(self.wait)
        if right.status != 206 or self.status is not None:
            return Answer(self.status or right.status, right.headers, right.body)
        headers = dict(right.headers)
        if self.content_range is not None:
            headers["Content-Range"] = self.content_range
        return Answer(206, headers, right.body[: self.cut], right.spans, len(right.body))


@contextmanager
def serve(data: bytes, name: str = "a.aez") -> Iterator[OddServer]:
    """A server with one file, until the block ends."""
    with serving(OddServer({name: data})) as server:
        assert isinstance(server, OddServer)
        yield server
