"""Autoencoders of pictures and vectors at work: items, codes, their bytes, and their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.codec.vectors.coding import CodeCoder
    from aez.codec.vectors.files import VectorFile, read_vectors
    from aez.codec.vectors.items import Items, items_of_array
    from aez.codec.vectors.model import Autoencoder, Codes, load_autoencoder
    from aez.codec.vectors.neighbours import nearest, precision
    from aez.codec.vectors.reading import Reading, read_items

__all__ = [
    "Autoencoder",
    "CodeCoder",
    "Codes",
    "Items",
    "Reading",
    "VectorFile",
    "items_of_array",
    "load_autoencoder",
    "nearest",
    "precision",
    "read_items",
    "read_vectors",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.vectors.coding": "CodeCoder",
        "aez.codec.vectors.files": "VectorFile read_vectors",
        "aez.codec.vectors.items": "Items items_of_array",
        "aez.codec.vectors.model": "Autoencoder Codes load_autoencoder",
        "aez.codec.vectors.neighbours": "nearest precision",
        "aez.codec.vectors.reading": "Reading read_items",
    },
)
