"""Opening an autoencoder and the items for it, as every command about them does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands.vectors import shared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aez.codec.vectors.items import Items
    from aez.codec.vectors.model import Autoencoder
    from aez.codec.vectors.reading import Reading


def is_autoencoder(ref: str) -> bool:
    """Whether a model's task is that of `aez train dense` and its like. Raises ModelError where there is no model."""
    from aez.codec.bundle.library import find_bundle
    from aez.commands.latent.shared import LATENT_MODEL

    if ref == LATENT_MODEL:  # most calls, and opening it takes a moment
        return False
    return find_bundle(ref).task == "autoencoder"


def open_autoencoder(ref: str, device: str, threads: int | None) -> Autoencoder:
    """The model. Raises AezError."""
    from aez.codec.vectors.model import load_autoencoder

    return load_autoencoder(ref, device, threads)


def read_for(model: Autoencoder, source: str, how: Reading) -> tuple[Items, NDArray[Any]]:
    """(Items, their values in the model's units); says what is left out or squeezed. Raises AezError."""
    from aez.codec.vectors.reading import read_items

    items = read_items(source, model.reading(how))
    shared.tell_skipped(items)
    if items.changed:
        messages.note(f"pictures are squeezed for model {model.bundle.name}: {items.changed}")
    return items, model.values(items)


def refuse_given(model: str, **given: object) -> None:
    """Refuse options that say nothing to the model that was asked for. Raises InvalidArgument."""
    if named := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        raise InvalidArgument(f"{named[0]} is not for the model {model}; leave it out")


def only_one(inputs: tuple[str, ...]) -> str:
    """The data of a command that takes several pictures from other models. Raises InvalidArgument."""
    if len(inputs) > 1:
        raise InvalidArgument(
            f"an autoencoder takes one DATA at a time, and {len(inputs)} are given; name their folder"
        )
    return inputs[0]


def some_of(count: int, most: int) -> NDArray[np.int64]:
    """At most so many numbers of items, evenly spread."""
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def counted(items: int, shown: int | None = None) -> str:
    """So many items in words; on a sheet `shown` of them."""
    said = "1 item" if items == 1 else f"{items:,} items"
    return said if shown in (None, items) else f"{shown:,} of {said}, evenly spread,"


def say_wrote(output: str, what: str) -> None:
    """One line about the result."""
    messages.summary(f"wrote {what} to {output}")
