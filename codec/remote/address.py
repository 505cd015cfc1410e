"""Addresses of files, and how they are told: without names, passwords and signatures."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TypeGuard
from urllib.parse import unquote, urlsplit

__all__ = ["file_name", "is_url", "shown"]

#: Two letters at least: one is a drive.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(source: object) -> TypeGuard[str]:
    """Whether this is text that begins as `https://` does."""
    return isinstance(source, str) and _SCHEME.match(source) is not None


def shown(url: str) -> str:
    """The address as messages have it: without user, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def file_name(url: str) -> str:
    """The last part of an address's path, `picture` where it has none."""
    return PurePosixPath(unquote(urlsplit(url).path).replace("\\", "/")).name or "picture"
