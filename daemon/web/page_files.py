"""The files of the page, read once: requests choose among them by name, and no path reaches the file system."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

__all__ = ["PageFile", "page_files"]

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file: its bytes, its Content-Type, and a tag that changes with them."""

    data: bytes
    kind: str
    tag: str


def page_files() -> Mapping[str, PageFile]:
    """All files of the page by their name, such as `style.css`, the vendored ones among them."""
    found = {}
    for folder in (files("aez.daemon.web") / "page", files("aez.daemon.web") / "page" / "vendor"):
        for file in folder.iterdir():
            kind = _TYPES.get(file.name[file.name.rfind(".") :])
            if kind is not None and file.is_file():
                data = file.read_bytes()
                found[file.name] = PageFile(data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    return found
