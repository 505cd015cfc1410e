"""Samples of one model, gathered until they are taken up, in the order of their arrival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aez.daemon.rows.columns import Flags, Float, Ints

__all__ = ["Part", "concatenated", "join"]


class Part(NamedTuple):
    """Samples: stream and time int64 [n], values float32 [n, channels].

    order: int64 [n], places in the order of arrival, where several sets of columns were read together; else None.
    bare: which of them have none of the channels, [n]; None for none.
    """

    stream: Ints
    time: Ints
    values: Float
    order: Ints | None
    bare: Flags | None = None


def concatenated(parts: Sequence[Part]) -> Part:
    """One behind the other."""
    if len(parts) == 1:
        return parts[0]
    stream, time, values = (np.concatenate([part[at] for part in parts]) for at in range(3))
    flags = [np.zeros(len(part.stream), bool) if part.bare is None else part.bare for part in parts]
    bare = None if all(part.bare is None for part in parts) else np.concatenate(flags)
    return Part(stream, time, values, None, bare)


def join(together: list[list[Part]], gathered: list[list[Part]]) -> None:
    """Put what was read together, set of columns by set of columns, into the order in which it came."""
    for parts, into in zip(together, gathered, strict=True):
        if parts:
            whole, orders = concatenated(parts), [part.order for part in parts if part.order is not None]
            rank = np.argsort(np.concatenate(orders), kind="stable")
            bare = None if whole.bare is None else whole.bare[rank]
            into.append(Part(whole.stream[rank], whole.time[rank], whole.values[rank], None, bare))
            parts.clear()
