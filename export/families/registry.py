"""Names of the families, and how to make one by its name. Importing this loads no torch.

A new family is a file beside the others and a line here, in the table of what it learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    from aez.export.families.base import Family

#: Of windows of series: name -> module:class.
SERIES = {
    "contractive": "aez.export.families.windows.contractive:Contractive",
    "conv": "aez.export.families.windows.conv:Conv",
    "denoising": "aez.export.families.windows.denoising:Denoising",
    "dense": "aez.export.families.windows.dense:Dense",
    "ensemble": "aez.export.families.windows.ensemble:Ensemble",
    "gaussian": "aez.export.families.windows.gaussian:Gaussian",
    "lstm": "aez.export.families.windows.lstm:Lstm",
    "pca": "aez.export.families.windows.pca:PCA",
    "sparse": "aez.export.families.windows.sparse:Sparse",
    "variational": "aez.export.families.windows.variational:Variational",
}
#: Of pictures: one made for them, and those of windows that take a picture row by row.
PICTURES = {
    "conv": "aez.export.families.pictures.conv:PictureConv",
    "dense": "aez.export.families.windows.dense:Dense",
    "pca": "aez.export.families.windows.pca:PCA",
    "variational": "aez.export.families.windows.variational:Variational",
}
#: Names of the families of series.
NAMES = tuple(SERIES)


def family_class(name: str, among: Mapping[str, str] = SERIES) -> type[Family]:
    """The class of a family of series, or of another table. Raises InvalidArgument for a name that is not in it."""
    if name not in among:
        raise InvalidArgument(f"family {name!r} is unknown; use one of {', '.join(among)}")
    module, _, attribute = among[name].partition(":")
    found: type[Family] = getattr(import_module(module), attribute)
    return found


def build(name: str, window: int, channels: int, **options: Any) -> Family:
    """A new network of the family `name` for windows [time, channels].

    Raises InvalidArgument for a family or an option that does not exist, or has a value out of range.
    """
    made = family_class(name)
    check_options(name, made, options)
    return made(window, channels, **options)


def build_for_pictures(name: str, height: int, width: int, colours: int, options: Mapping[str, Any]) -> Family:
    """A new network of the family `name` for pictures.

    A large picture gets fewer components, so that a bundle holds them. Raises InvalidArgument for a family or an option
    that does not exist, or has a value out of range.
    """
    made = family_class(name, PICTURES)
    check_options(name, made, options)
    return made(height, width * colours, **{**made.options_for_pictures(height * width, colours), **options})


def check_options(name: str, made: type[Family], options: Mapping[str, Any]) -> None:
    """Raise InvalidArgument for an option that the family's constructor does not take."""
    known = made.__init__.__kwdefaults__ or {}
    if unknown := set(options) - set(known):
        raise InvalidArgument(f"family {name} has no option {min(unknown)}; it has {', '.join(known)}")
