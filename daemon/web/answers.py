"""Answers to requests, and what requests bring, checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from aez.codec.errors import InvalidArgument

__all__ = ["answer", "body_of", "fault", "whole"]

#: A body comes within so many seconds.
_BODY_SECONDS = 10.0


def answer(data: Mapping[str, Any], status: int = 200) -> web.Response:
    """JSON."""
    return web.json_response(data, status=status, dumps=lambda found: json.dumps(found, default=str))


def fault(status: int, text: str) -> web.Response:
    """What is wrong, as JSON."""
    return answer({"error": text}, status)


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises InvalidArgument."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.json() if request.can_read_body else {}
    except TimeoutError as error:
        raise InvalidArgument(f"the body took longer than {_BODY_SECONDS:g} s") from error
    except ValueError as error:
        raise InvalidArgument("the body is no JSON") from error
    if not isinstance(body, dict):
        raise InvalidArgument("the body is a JSON object")
    return body


def whole(text: str, name: str, low: int, high: int) -> int:
    """The number that a request gives. Raises InvalidArgument."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise InvalidArgument(f"{name} is a whole number from {low} to {high}, not {text[:40]!r}")
    return int(text)
