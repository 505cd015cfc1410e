"""Models: `.aezm` archives, the library of them, and the one door to ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle, save_bundle, write_bundle
    from aez.codec.bundle.library import ListedBundle, find_bundle, list_bundles

__all__ = ["Bundle", "ListedBundle", "find_bundle", "list_bundles", "save_bundle", "write_bundle"]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.bundle.bundle": "Bundle save_bundle write_bundle",
        "aez.codec.bundle.library": "ListedBundle find_bundle list_bundles",
    },
)
