"""Requests that change what the monitor knows of a stream: forget it, let its clock begin anew, call it otherwise.

They are let in as all requests that change something: with the token where there is one, and from no other page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from aez.codec.errors import InvalidArgument
from aez.daemon.web.answers import answer, body_of

__all__ = ["StreamChanges", "stream_routes"]


class StreamChanges(Protocol):
    """What may be changed; each raises InvalidArgument where it cannot be, and then nothing changed."""

    def forget_stream(self, stream: str) -> None:
        """Let go of all that is known of a stream; what is open of it is closed."""

    def reset_stream(self, stream: str) -> None:
        """Let a stream's clock and rows begin with its next sample; what is open of it is closed."""

    def rename_stream(self, stream: str, to: str) -> None:
        """What is known of a stream goes on under another name, which no stream has."""


def stream_routes(view: StreamChanges) -> list[web.RouteDef]:
    """POST /api/streams/forget, reset and rename, with `stream`, and `to`, as JSON."""

    def handler(change: Callable[..., None], done: str, *names: str) -> Callable[[web.Request], object]:
        async def handle(request: web.Request) -> web.Response:
            body = await body_of(request)
            found = [body.get(name) for name in names]
            for name, value in zip(names, found, strict=True):
                if not isinstance(value, str) or not value:
                    raise InvalidArgument(f'say which stream: the body is a JSON object with "{name}"')
            await asyncio.to_thread(change, *found)
            return answer({done: found[0]})

        return handle

    return [
        web.post("/api/streams/forget", handler(view.forget_stream, "forgotten", "stream")),  # type: ignore[arg-type]
        web.post("/api/streams/reset", handler(view.reset_stream, "reset", "stream")),  # type: ignore[arg-type]
        web.post("/api/streams/rename", handler(view.rename_stream, "renamed", "stream", "to")),  # type: ignore[arg-type]
    ]
