"""The transforms of one source, by the columns that they are for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.transform.conversion import Conversion
from aez.daemon.transform.table import Transform
from aez.daemon.transform.words import Words

__all__ = ["Transforms", "of_source", "shadowed"]

#: Names of columns that are remembered.
_REMEMBERED = 10_000


class Transforms:
    """Those of one source, in the order in which they stand."""

    def __init__(self, transforms: Iterable[Transform] = ()) -> None:
        self._all = tuple(transforms)
        self._of: dict[str, tuple[Transform, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def of(self, name: str) -> tuple[Transform, ...]:
        """Those for a column, by its name in the message."""
        if not self._all:
            return ()
        found = self._of.get(name)
        if found is None:
            if len(self._of) >= _REMEMBERED:
                self._of.clear()
            own = [one for one in self._all if one.fits(name)]
            new = next((new for one in own if (new := one.renamed(name))), name)
            own += [one for one in self._all if isinstance(one, Words) and new != name and one.fits(new)]
            found = self._of[name] = tuple(own)
        return found

    def renamed(self, name: str) -> str:
        """What the column is called."""
        return next((new for one in self.of(name) if (new := one.renamed(name))), name)

    def conversion(self, name: str) -> Conversion | None:
        """What becomes of the column's numbers; None for nothing."""
        found = next((one.conversion for one in self.of(name) if one.unit is None), None)
        return None if found is None or found.idle else found

    def plain(self, name: str) -> bool:
        """Whether no transform reads the column's texts in a way of its own."""
        return all(one.plain for one in self.of(name))

    def number(self, name: str, text: str) -> float:
        """A text of a column as a number, converted; NaN where it is none."""
        for one in self.of(name):
            value = one.read(text)
            if value is not None:
                return one.conversion.one(value)
        return math.nan

    def check(self, columns: Sequence[str]) -> None:
        """Raise InvalidArgument where two columns would get one name. `columns`: those that are taken; () for all."""
        names = [one.columns[0] for one in self._all if one.rename and "*" not in one.rename]
        names = list(dict.fromkeys([*names, *columns]))
        by_name: dict[str, str] = {}
        for name in names:
            new = self.renamed(name)
            if new in by_name:
                raise InvalidArgument(f"rename: {by_name[new]} and {name} would both be called {new!r}")
            by_name[new] = name


def of_source(transforms: Sequence[Transform], source: str) -> tuple[Transform, ...]:
    """The transforms that are for a source."""
    return tuple(one for one in transforms if not one.source or source in one.source)


def shadowed(transforms: Mapping[Any, Transform]) -> list[tuple[Any, Any]]:
    """(Place, place of the one before it) of transforms that would never be used, as one before takes all of theirs."""
    found = []
    places = list(transforms.items())
    for number, (place, one) in enumerate(places):
        for earlier, other in places[:number]:
            wider = not other.source or (one.source and set(one.source) <= set(other.source))
            known = all(any(own in (mine, "*") for own in other.columns) for mine in one.columns)
            if wider and known and one.unit == other.unit and not (one.rename and not other.rename):
                found.append((place, earlier))
                break
    return found
