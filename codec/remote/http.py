"""Ranges of a file on a web server, over connections that stay open; several ranges are asked for at once.

More ranges than two are one request where the server knows such (RFC 9110, multipart/byteranges), and one each where it
does not.

Guarantees: what is given back is exactly what was asked for, and of one version of the file: each answer's status,
range, size and ETag (or date) are checked. Redirects are followed; proxies are taken from the environment.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aez.codec.common.extras import library
from aez.codec.errors import UnsupportedInput
from aez.codec.remote.address import shown

__all__ = ["HttpRanges"]

#: To connect, and between two pieces of an answer.
TIMEOUT_SECONDS = 30.0
#: Ranges that are a request each.
_SINGLE_MAX = 2
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_REASONS = {401: "it wants a user", 403: "the server refuses it", 404: "it does not exist", 410: "it is gone"}


class HttpRanges:
    """A file behind `http://` or `https://`. Needs fsspec and aiohttp. Raises UnsupportedInput, AezError without them.

    One thread at a time.
    """

    def __init__(self, url: str) -> None:
        library("fsspec", "remote")
        self._aiohttp = library("aiohttp", "remote")
        self._files = library("fsspec.implementations.http", "remote").HTTPFileSystem()
        self._sync = library("fsspec.asyn", "remote").sync
        self._url, self._name = url, shown(url)
        self._version: tuple[int, str] | None = None
        self._joins = True  # as far as is known

    def begin(self, count: int) -> tuple[bytes, int]:
        """The first `count` bytes, or all where there are fewer, and the size of the whole."""
        (data,) = self.fetch([(0, count)])
        assert self._version is not None
        return data, self._version[0]

    def fetch(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (start, stop), all of them at once."""

        async def all_of_them() -> list[bytes]:
            joined = await self._get_joined(spans) if self._joins and len(spans) > _SINGLE_MAX else None
            return joined or list(await asyncio.gather(*(self._get(start, stop) for start, stop in spans)))

        found: list[bytes] = self._sync(self._files.loop, all_of_them)
        return found

    async def _get(self, start: int, stop: int) -> bytes:
        async with self._asked([(start, stop)]) as answer:
            stop = self._check(answer, start, stop)
            data: bytes = await answer.content.readexactly(stop - start)
            return data

    async def _get_joined(self, spans: Sequence[tuple[int, int]]) -> list[bytes] | None:
        """The bytes of all spans in one answer; None where the server does not know such."""
        async with self._asked(spans) as answer:
            self._joins = answer.status == 206 and answer.content_type == "multipart/byteranges"
            if not self._joins:
                return None
            found: dict[tuple[int, int], bytes] = {}
            async for part in self._aiohttp.MultipartReader.from_response(answer):
                start, stop = self._span(part.headers, answer.headers)
                data = bytearray()
                while piece := await part.read_chunk():
                    data += piece
                    if len(data) > stop - start:
                        raise self._fault(f"the server sends more than bytes {start} to {stop - 1}")
                found[start, stop] = bytes(data)
        self._joins = all(len(found.get((start, stop), b"")) == stop - start for start, stop in spans)
        return [found[span] for span in spans] if self._joins else None

    @asynccontextmanager
    async def _asked(self, spans: Sequence[tuple[int, int]]) -> AsyncIterator[Any]:
        """The answer for spans. Raises UnsupportedInput where it does not come, or not whole."""
        timeout = self._aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=TIMEOUT_SECONDS)
        ranges = ",".join(f"{start}-{stop - 1}" for start, stop in spans)
        headers = {"Range": f"bytes={ranges}", "Accept-Encoding": "identity"}
        try:
            session = await self._files.set_session()
            address = self._files.encode_url(self._url)
            async with session.get(address, headers=headers, timeout=timeout) as answer:
                yield answer
        except TimeoutError:
            raise self._fault(f"the server did not answer within {TIMEOUT_SECONDS:g} seconds") from None
        except (asyncio.IncompleteReadError, self._aiohttp.ClientPayloadError) as error:
            within = f"{spans[0][0]} to {spans[-1][1] - 1}"
            raise self._fault(f"the answer was cut off within bytes {within}") from error
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            raise self._fault(f"there is no way to it: {str(error) or type(error).__name__}") from error

    def _check(self, answer: Any, start: int, stop: int) -> int:
        """The end of what comes. Raises UnsupportedInput for another answer than the one that was asked for."""
        if answer.status == 416:
            raise self._fault("it is empty" if start == 0 else "it changed while it was read; open it anew")
        if answer.status == 200:
            raise self._fault("the server sends whole files alone, and no ranges; download the file first")
        if answer.status != 206:
            reason = _REASONS.get(answer.status, answer.reason or "no reason is given")
            raise self._fault(f"{reason} (status {answer.status})")
        first, end = self._span(answer.headers, answer.headers)
        assert self._version is not None
        if (first, end) != (start, min(stop, self._version[0])):
            raise self._fault(f"the server sends bytes {first} to {end - 1}, not {start} to {stop - 1}")
        return end

    def _span(self, headers: Mapping[str, str], whole: Mapping[str, str]) -> tuple[int, int]:
        """The (start, stop) of an answer or of a part of one, of the version of the file that was there before."""
        said = headers.get("Content-Range", "")
        found = _CONTENT_RANGE.fullmatch(said)
        if found is None:
            raise self._fault(f"the server does not tell the file's size: its Content-Range is {said!r}")
        self._watch(int(found[3]), whole.get("ETag") or whole.get("Last-Modified", ""))
        return int(found[1]), int(found[2]) + 1

    def _watch(self, size: int, mark: str) -> None:
        """Raises UnsupportedInput where this is another version of the file than before."""
        self._version = self._version or (size, mark)
        if self._version != (size, mark):
            raise self._fault("it changed while it was read; open it anew")

    def _fault(self, reason: str) -> UnsupportedInput:
        return UnsupportedInput(f"{self._name} cannot be read: {reason}")
