"""Names of the families, and how to make one by its name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.export.families.base import Family

#: Name -> (module, class).
_FAMILIES = {
    "contractive": ("contractive", "Contractive"),
    "conv": ("conv", "Conv"),
    "denoising": ("denoising", "Denoising"),
    "dense": ("dense", "Dense"),
    "ensemble": ("ensemble", "Ensemble"),
    "lstm": ("lstm", "Lstm"),
    "pca": ("pca", "PCA"),
    "sparse": ("sparse", "Sparse"),
    "variational": ("variational", "Variational"),
}
NAMES = tuple(_FAMILIES)


def family_class(name: str) -> type[Family]:
    """The class of a family. Raises InvalidArgument for a name that does not exist."""
    if name not in _FAMILIES:
        raise InvalidArgument(f"family {name!r} is unknown; use one of {', '.join(NAMES)}")
    module, attribute = _FAMILIES[name]
    found: type[Family] = getattr(import_module(f"aez.export.families.{module}"), attribute)
    return found


def build(name: str, window: int, channels: int, **options: Any) -> Family:
    """A new network of the family `name` for windows [time, channels].

    Raises InvalidArgument for a family or an option that does not exist, or has a value out of range.
    """
    made = family_class(name)
    unknown = set(options) - set(made.__init__.__kwdefaults__ or {})
    if unknown:
        known = ", ".join(made.__init__.__kwdefaults__ or {})
        raise InvalidArgument(f"family {name} has no option {min(unknown)}; it has {known}")
    return made(window, channels, **options)
