"""aez.codec: the runtime that turns pictures into `.aez` files and back.

`container` is the byte format, `entropy` the coding of symbols, `bundle` the models. Needs numpy, onnxruntime and
constriction, never torch. Importing this package loads none of them: names are imported at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aez.codec.errors import (
    AezError,
    CorruptFile,
    InvalidArgument,
    ModelError,
    OutputError,
    TruncatedFile,
    UnsupportedInput,
    VersionError,
)

if TYPE_CHECKING:
    from aez.codec.bundle import Bundle, find_bundle, list_bundles, write_bundle
    from aez.codec.container import ImageHeader, Reader, Writer
    from aez.codec.picture_detector import PictureDetector, load_picture_detector

_LAZY = {
    "Bundle": "bundle",
    "PictureDetector": "picture_detector",
    "find_bundle": "bundle",
    "list_bundles": "bundle",
    "load_picture_detector": "picture_detector",
    "write_bundle": "bundle",
    "ImageHeader": "container",
    "Reader": "container",
    "Writer": "container",
}

__all__ = [
    "AezError",
    "Bundle",
    "CorruptFile",
    "ImageHeader",
    "InvalidArgument",
    "ModelError",
    "OutputError",
    "PictureDetector",
    "Reader",
    "TruncatedFile",
    "UnsupportedInput",
    "VersionError",
    "Writer",
    "find_bundle",
    "list_bundles",
    "load_picture_detector",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    """Import a public name at first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
