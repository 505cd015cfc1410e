"""What becomes of columns on the way in: texts that are numbers, units, scale and offset, other names.

Nothing is guessed: a text is a number only where a transform names its column, and by that transform's signs; what
cannot be read by any of them is a missing value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.common.options import Options, about
from aez.daemon.parse.numbers import is_no_reading

__all__ = ["Conversion", "Transform", "Transforms", "of_source", "shadowed"]

_WILD = re.compile(r"[*?\[]")
#: What people write for a blank between thousands, and for a minus.
_BLANKS, _MINUS = "[ \u00a0\u2009\u202f]", "\u2212"
#: Names of columns that are remembered.
_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True)
class Transform(Options):
    """`[[transform]]`. Raises InvalidArgument, naming the option, for what cannot be.

    Of several that fit a column the first holds, with a `unit` only for texts that end with it; a number, and a text
    without a unit, is for the first one without.
    """

    columns: Sequence[str] = field(metadata=about("columns by their names in the message, or patterns (*, ?, [ab])"))
    source: Sequence[str] = field(default=(), metadata=about("names of the sources that it is for; all by default"))
    rename: str | None = field(default=None, metadata=about("what the one column is called from here on"))
    unit: str | None = field(
        default=None, metadata=about("of texts such as 21.5 °C: the unit behind the number; other texts are left alone")
    )
    decimal: Literal[".", ","] = field(default=".", metadata=about("of texts: what stands before the decimals"))
    thousands: Literal[".", ",", " ", "'", "_"] | None = field(
        default=None, metadata=about("of texts: what stands between thousands")
    )
    scale: float = field(default=1.0, metadata=about("the value is multiplied by it"))
    offset: float = field(default=0.0, metadata=about("and this is added"))
    no_reading: Sequence[float] = field(
        default=(), metadata=about("values, as they come, that mean that there is no reading")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.columns or not all(self.columns):
            raise InvalidArgument("columns: name one or more; * stands for all")
        if self.rename is not None and (len(self.columns) > 1 or _WILD.search(self.columns[0])):
            raise InvalidArgument("rename: it is for one column without a pattern, and columns names more")
        if self.decimal == self.thousands:
            raise InvalidArgument(f"thousands: {self.thousands!r} is the decimal sign, too")
        if not self.scale or not math.isfinite(self.scale):
            raise InvalidArgument("scale: it is a number other than 0")
        if self.unit is not None and (not self.unit.strip() or re.search(r"\d\s*$", self.unit)):
            raise InvalidArgument(f"unit: {self.unit!r} is none")

    def fits(self, name: str) -> bool:
        """Whether it is for a column."""
        return any(fnmatchcase(name, pattern) for pattern in self.columns)

    @property
    def plain(self) -> bool:
        """Whether texts are numbers as programs write them."""
        return self.unit is None and self.decimal == "." and self.thousands is None

    @cached_property
    def conversion(self) -> Conversion:
        """What becomes of numbers."""
        return Conversion(self.scale, self.offset, tuple(self.no_reading))

    @cached_property
    def _number(self) -> re.Pattern[str]:
        sign = {None: "", " ": _BLANKS}.get(self.thousands, re.escape(self.thousands or ""))
        groups = rf"\d{{1,3}}(?:{sign}\d{{3}})+|" if self.thousands else ""
        point = re.escape(self.decimal)
        return re.compile(rf"[+-]?(?:(?:{groups}\d+)(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)

    def read(self, text: str) -> float | None:
        """The number in a text, before scale and offset; None where it is none for this transform."""
        text = text.strip()
        if self.unit is not None:
            if not text.endswith(self.unit.strip()):
                return None
            text = text.removesuffix(self.unit.strip()).rstrip()
        text = text.replace(_MINUS, "-")
        if not self._number.fullmatch(text):
            return None
        if self.thousands:
            text = re.sub(_BLANKS if self.thousands == " " else re.escape(self.thousands), "", text)
        return float(text.replace(self.decimal, "."))

    def __str__(self) -> str:
        """What it does, for people."""
        parts = [", ".join(self.columns) + (f" becomes {self.rename}" if self.rename else "")]
        if not self.plain:
            grouped = "1234" if self.thousands is None else f"1{self.thousands}234"
            parts.append(f"texts such as {grouped}{self.decimal}5{f' {self.unit}' if self.unit else ''}")
        if self.scale != 1:
            parts.append(f"times {self.scale:g}")
        if self.offset:
            parts.append(f"{'plus' if self.offset > 0 else 'minus'} {abs(self.offset):g}")
        if self.no_reading:
            parts.append(f"{', '.join(f'{value:g}' for value in self.no_reading)} for no reading")
        return "; ".join(parts)


@dataclass(frozen=True)
class Conversion:
    """value * scale + offset, NaN for what is no reading; the same for one and for many."""

    scale: float
    offset: float
    no_reading: tuple[float, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.scale == 1 and not self.offset and not self.no_reading

    def one(self, value: float) -> float:
        if value in self.no_reading or is_no_reading(value):
            return math.nan
        return value * self.scale + self.offset

    def many(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore", invalid="ignore"):
            found: NDArray[np.float64] = values * self.scale + self.offset
        return np.where(np.isin(values, self.no_reading) | is_no_reading(values), np.nan, found)


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
            found = self._of[name] = tuple(one for one in self._all if one.fits(name))
        return found

    def renamed(self, name: str) -> str:
        """What the column is called."""
        return next((one.rename for one in self.of(name) if one.rename), name)

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
        names = [one.columns[0] for one in self._all if one.rename]
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
