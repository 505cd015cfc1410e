"""Formats that Pillow reads with a plugin: loaded where one is installed, named where none is."""

from __future__ import annotations

import functools
import importlib
from typing import NamedTuple

__all__ = ["load_plugins", "unread_format"]


class _Plugin(NamedTuple):
    module: str
    register: str | None  # a function that tells Pillow, where the import alone does not
    package: str
    name: str


_HEIF = _Plugin("pillow_heif", "register_heif_opener", "pillow-heif", "HEIC")
_JPEG_XL = _Plugin("pillow_jxl", None, "pillow-jxl-plugin", "JPEG XL")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_JPEG_XL_STARTS = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")


@functools.cache
def load_plugins() -> None:
    """Let Pillow read HEIC and JPEG XL where their plugins are installed; the first call does it."""
    for plugin in (_HEIF, _JPEG_XL):
        try:
            module = importlib.import_module(plugin.module)
        except ImportError:  # not installed, or its library does not load
            continue
        if plugin.register is not None:
            getattr(module, plugin.register)()


def unread_format(head: bytes) -> str:
    """What to say of a picture that a plugin would read, by its first 16 bytes; empty for anything else."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return _advice(_HEIF)
    return _advice(_JPEG_XL) if head.startswith(_JPEG_XL_STARTS) else ""


def _advice(plugin: _Plugin) -> str:
    return f"{plugin.name}, which takes `pip install {plugin.package}`"
