"""Names of the families, and how to make one by its name. Importing this loads no torch.

A new family is a file beside the others and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    from aez.export.autoencoders.base import Network, Subject

#: Name -> module:class.
FAMILIES = {
    "dense": "aez.export.autoencoders.networks.dense:Dense",
    "conv": "aez.export.autoencoders.networks.conv:Conv",
    "denoising": "aez.export.autoencoders.networks.denoising:Denoising",
    "sparse": "aez.export.autoencoders.networks.sparse:Sparse",
    "contractive": "aez.export.autoencoders.networks.contractive:Contractive",
    "variational": "aez.export.autoencoders.networks.variational:Variational",
    "beta": "aez.export.autoencoders.networks.beta:Beta",
    "pca": "aez.export.autoencoders.networks.pca:PCA",
}


def family_class(name: str) -> type[Network]:
    """The class of a family. Raises InvalidArgument for a name that is unknown."""
    if name not in FAMILIES:
        raise InvalidArgument(f"family {name!r} is unknown; use one of {', '.join(FAMILIES)}")
    module, _, attribute = FAMILIES[name].partition(":")
    found: type[Network] = getattr(import_module(module), attribute)
    return found


def build(name: str, subject: Subject, options: Mapping[str, Any]) -> Network:
    """A new network of the family `name`.

    Raises InvalidArgument for a family or an option that does not exist, or has a value out of range.
    """
    made = family_class(name)
    known = made.__init__.__kwdefaults__ or {}
    if unknown := set(options) - set(known):
        raise InvalidArgument(f"family {name} has no option {min(unknown)}; it has {', '.join(known)}")
    return made(subject, **options)
