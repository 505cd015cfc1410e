"""What the page and programs may ask about candidates, and what they may have done with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

__all__ = ["ShadowView", "shadow_routes"]


class ShadowView(Protocol):
    """Candidates of a monitor; called from other threads than the worker's. All raise AezError for what cannot be."""

    def shadows(self) -> Sequence[Mapping[str, Any]]:
        """The comparisons, by model."""

    def start_shadow(self, model: str) -> None:
        """Begin with the candidate that lies in the monitor's folder."""

    def promote_shadow(self, model: str) -> str:
        """Let the candidate take the place of its model; says what changed."""

    def drop_shadow(self, model: str) -> None:
        """Let go of a candidate."""


def shadow_routes(view: ShadowView) -> list[web.RouteDef]:
    """For an application's router."""

    async def compared(request: web.Request) -> web.Response:  # noqa: ARG001 - the shape of a handler
        return _json({"shadows": list(await asyncio.to_thread(view.shadows))})

    async def started(request: web.Request) -> web.Response:
        await asyncio.to_thread(view.start_shadow, request.match_info["model"])
        return _json({"started": request.match_info["model"]})

    async def promoted(request: web.Request) -> web.Response:
        changes = await asyncio.to_thread(view.promote_shadow, request.match_info["model"])
        return _json({"promoted": request.match_info["model"], "changes": changes})

    async def dropped(request: web.Request) -> web.Response:
        await asyncio.to_thread(view.drop_shadow, request.match_info["model"])
        return _json({"dropped": request.match_info["model"]})

    return [
        web.get("/api/shadows", compared),
        web.post("/api/shadows/{model}/start", started),
        web.post("/api/shadows/{model}/promote", promoted),
        web.post("/api/shadows/{model}/drop", dropped),
    ]


def _json(data: Mapping[str, Any]) -> web.Response:
    return web.json_response(data, dumps=lambda found: json.dumps(found, default=str))
