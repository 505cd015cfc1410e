"""Requests about alarms: an event's curve, several events at once, mutes, and levels that are taken.

Those that change something are let in as all such requests: with the token where there is one, and from no other page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from aez.codec.errors import InvalidArgument
from aez.daemon.web.answers import answer, body_of, fault, whole

__all__ = ["AlarmView", "alarm_routes"]

_EVENTS_MOST = 1000
_NS = 1_000_000_000


class AlarmView(Protocol):
    """What may be asked and changed; what changes something raises InvalidArgument where it cannot."""

    def curve(self, event_id: str) -> Mapping[str, Any] | None:
        """The rows of an event; None where none are kept."""

    def acknowledge_all(self, events: Sequence[str], by: str, comment: str) -> list[str]:
        """Note that a person has seen events; those of them that there are."""

    def adopt_stream(self, stream: str, undo: bool) -> Mapping[str, float]:
        """Take a stream's level as its normal one, or give it up; what is taken from its channels' values."""

    def mutes(self) -> Mapping[str, Any]:
        """Mutes `by_hand` that hold, and `windows` of the configuration with the end of the one that holds, or None."""

    def mute(self, pattern: str, until: int, reason: str, by: str) -> Mapping[str, Any]:
        """Mute the streams of a pattern until a time, ns since 1970 UTC."""

    def unmute(self, number: int) -> Mapping[str, Any]:
        """End a mute by hand."""


def alarm_routes(view: AlarmView) -> list[web.RouteDef]:
    """The routes below /api: events/ID/curve, acknowledge, streams/adopt, mutes, mutes/NUMBER/end."""

    async def curve(request: web.Request) -> web.Response:
        found = await asyncio.to_thread(view.curve, request.match_info["id"])
        return (
            fault(404, "there is no curve of an event of that id, or it is no longer kept")
            if found is None
            else answer(found)
        )

    async def acknowledge(request: web.Request) -> web.Response:
        body = await body_of(request)
        events = body.get("events")
        if (
            not isinstance(events, list)
            or not all(isinstance(one, str) for one in events)
            or len(events) > _EVENTS_MOST
        ):
            raise InvalidArgument(f'say which events: "events" is a list of at most {_EVENTS_MOST} ids')
        by, comment = str(body.get("by", ""))[:200], str(body.get("comment", ""))[:4000]
        return answer({"acknowledged": await asyncio.to_thread(view.acknowledge_all, events, by, comment)})

    async def adopt(request: web.Request) -> web.Response:
        body = await body_of(request)
        stream, undo = body.get("stream"), bool(body.get("undo", False))
        if not isinstance(stream, str) or not stream:
            raise InvalidArgument('say which stream: the body is a JSON object with "stream"')
        return answer({"stream": stream, "shift": await asyncio.to_thread(view.adopt_stream, stream, undo)})

    async def mutes(request: web.Request) -> web.Response:  # noqa: ARG001 - the shape of a handler
        return answer(await asyncio.to_thread(view.mutes))

    async def mute(request: web.Request) -> web.Response:
        body = await body_of(request)
        seconds = body.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 1e9:
            raise InvalidArgument('say for how long: "seconds" is a number above 0')
        until = time.time_ns() + int(seconds * _NS)
        words = [str(body.get(name, "")) for name in ("pattern", "reason", "by")]
        return answer(await asyncio.to_thread(view.mute, words[0], until, words[1], words[2]))

    async def unmute(request: web.Request) -> web.Response:
        number = whole(request.match_info["number"], "the number of a mute", 1, 999_999_999)
        return answer(await asyncio.to_thread(view.unmute, number))

    return [
        web.get("/api/events/{id}/curve", curve),
        web.post("/api/acknowledge", acknowledge),
        web.post("/api/streams/adopt", adopt),
        web.get("/api/mutes", mutes),
        web.post("/api/mutes", mute),
        web.post("/api/mutes/{number}/end", unmute),
    ]
