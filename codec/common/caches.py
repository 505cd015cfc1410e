"""What this process keeps for later calls: made when it is first needed, and let go of all at once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from aez.codec.common.forks import set_aside

__all__ = ["cached", "clear_caches"]

V = TypeVar("V")

_lock = threading.Lock()
#: By the name of the cache; each holds its values by key, the one that was asked for last at the end.
_caches: dict[str, OrderedDict[Hashable, Any]] = {}


def cached(cache: str, most: int, key: Hashable, make: Callable[[], V]) -> V:
    """The value of `key` in a cache of the last `most` values, which `make` makes where it is not there.

    cache: its name, that of the function that asks. Threads that ask at once get one value, though each may make it.
    """
    with _lock:
        values = _caches.get(cache)
        if values is not None and key in values:
            values.move_to_end(key)
            found: V = values[key]
            return found
    made = make()  # without the lock: it may take long, fail, or ask for something cached itself
    dropped = []
    with _lock:
        values = _caches.setdefault(cache, OrderedDict())
        kept: V = values.setdefault(key, made)
        values.move_to_end(key)
        while len(values) > most:
            dropped.append(values.popitem(last=False))
    dropped.clear()  # outside the lock: what ends here may ask for it
    return kept


def clear_caches() -> None:
    """Let go of all that is kept: opened models with their sessions, bundles, threads. What is in use lives on."""
    with _lock:
        held = list(_caches.values())
        _caches.clear()
    held.clear()  # outside the lock, as above


def _leave_to_the_parent() -> None:
    """In a forked child: another thread of the parent may have held the lock, and the values' threads are not here."""
    global _lock, _caches
    set_aside(_caches)
    _lock, _caches = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
