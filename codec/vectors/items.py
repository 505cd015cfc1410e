"""Items to learn from and to work on, pictures or vectors, as arrays in the data's own units, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument, UnsupportedInput

__all__ = ["Items", "Kind", "items_of_array", "range_of"]

Kind = Literal["pictures", "vectors"]
#: Largest side of a picture, and count of a vector's numbers.
SIDE_MAX, NUMBERS_MAX = 512, 1 << 20


@dataclass(frozen=True, eq=False)
class Items:
    """n items of one shape.

    values: [n, height, width], [n, height, width, 3] (pictures), or [n, numbers] (vectors), uint8 or float32, finite.
    names: of each, such as `digits.gz#7`. labels: of each, or None. columns: names of a vector's numbers, where the
    data has them. skipped: what could not be read, and why. notices: what was not kept of pictures, a sentence each.
    changed: how pictures of files were brought to one shape,
    such as `120x90 in colour to 28x28 in grey`, or nothing.
    """

    values: NDArray[Any]
    kind: Kind
    names: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    columns: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()
    changed: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one item."""
        return self.values.shape[1:]

    def chosen(self, numbers: NDArray[np.integer]) -> Items:
        """Some of the items."""
        labels = None if self.labels is None else tuple(self.labels[number] for number in numbers)
        return replace(self, values=self.values[numbers], names=tuple(self.names[n] for n in numbers), labels=labels)

    def labelled(self, labels: Sequence[str]) -> Items:
        """The items with labels. Raises InvalidArgument for another count."""
        if len(labels) != len(self):
            raise InvalidArgument(
                f"there are {len(labels):,} labels and {len(self):,} items; give one for each item, in their order"
            )
        return replace(self, labels=tuple(labels))


def items_of_array(values: NDArray[Any], name: str = "array", columns: Sequence[str] = ()) -> Items:
    """The items of an array [n, numbers], [n, height, width] or [n, height, width, 1 or 3]; of 1 colour it is dropped.

    Colours that come first, as in PyTorch, are put last. uint8 stays as it is, and other numbers become float32. Raises
    UnsupportedInput for arrays of other ranks and types, empty ones, NaN and infinity.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "buif":
        raise UnsupportedInput(f"{name} holds {_said(values.dtype)}, and items are numbers")
    if values.ndim == 4:
        values = _colours_last(values, name)
    if values.ndim not in (2, 3, 4):
        raise UnsupportedInput(
            f"{name} has the shape {list(values.shape)}; give vectors [n, numbers] or pictures [n, height, width] or "
            "[n, height, width, 3]"
        )
    if 0 in values.shape:
        raise UnsupportedInput(f"{name} has the shape {list(values.shape)}, and nothing is in it")
    kind: Kind = "vectors" if values.ndim == 2 else "pictures"
    if (kind == "pictures" and max(values.shape[1:3]) > SIDE_MAX) or int(np.prod(values.shape[1:])) > NUMBERS_MAX:
        raise UnsupportedInput(
            f"{name} has items of {'x'.join(map(str, values.shape[1:]))} numbers; sides have at most {SIDE_MAX}, "
            f"vectors {NUMBERS_MAX:,}"
        )
    if values.dtype != np.uint8:
        values = _finite(values, name)
    return Items(values, kind, tuple(f"{name}#{number}" for number in range(len(values))), columns=tuple(columns))


def _colours_last(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Pictures [n, height, width, 3], or of one colour [n, height, width]. Raises UnsupportedInput."""
    if values.shape[3] not in (1, 3) and values.shape[1] in (1, 3):
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    if values.shape[3] not in (1, 3):
        raise UnsupportedInput(f"{name} has the shape {list(values.shape)}, and pictures have 1 colour or 3")
    return values[..., 0] if values.shape[3] == 1 else values


def range_of(items: Items) -> tuple[float, float] | None:
    """(0, 255) or (0, 1) of pictures, whichever their values lie in; None of vectors.

    Raises UnsupportedInput for pictures whose values lie in neither.
    """
    if items.kind == "vectors":
        return None
    if items.values.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(items.values.min()), float(items.values.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high <= 255:
        return 0.0, 255.0
    raise UnsupportedInput(
        f"pictures have values in 0..1 or 0..255, and these lie in {low:.4g}..{high:.4g}; scale them, or give them as "
        "vectors [n, numbers]"
    )


def _finite(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        numbers: NDArray[np.float32] = values.astype(np.float32)
    bad = ~np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if bad.any():
        raise UnsupportedInput(
            f"{name}: {int(bad.sum()):,} of {len(numbers):,} items hold NaN or infinity, the first is "
            f"#{int(bad.argmax())}; fill these in or leave them out"
        )
    return numbers


def _said(dtype: np.dtype[Any]) -> str:
    return {"c": "complex numbers", "U": "text", "S": "text", "O": "objects", "M": "times"}.get(dtype.kind, str(dtype))
