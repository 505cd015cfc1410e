"""`[[transform]]`: what becomes of columns on the way in.

Nothing is guessed: a text is a number only where a transform names its column, and by that transform's signs; what
cannot be read by any of them is a missing value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

from aez.codec.errors import InvalidArgument
from aez.daemon.common.options import Options, about
from aez.daemon.transform.conversion import TRUTH, Conversion

__all__ = ["Transform"]

_WILD = re.compile(r"[*?\[]")
#: What people write for a blank between thousands, and for a minus.
_BLANKS, _MINUS = "[ \u00a0\u2009\u202f]", "\u2212"


@dataclass(frozen=True, kw_only=True)
class Transform(Options):
    """`[[transform]]`. Raises InvalidArgument, naming the option, for what cannot be.

    Of several that fit a column the first holds, with a `unit` only for texts that end with it; a number, and a text
    without a unit, is for the first one without.
    """

    columns: Sequence[str] = field(metadata=about("columns by their names in the message, or patterns (*, ?, [ab])"))
    source: Sequence[str] = field(default=(), metadata=about("names of the sources that it is for; all by default"))
    rename: str | None = field(
        default=None,
        metadata=about(
            "what the one column is called from here on; of a pattern such as fields.*, * is what it stood for"
        ),
    )
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
        if self.rename is not None:
            self._check_rename()
        if self.decimal == self.thousands:
            raise InvalidArgument(f"thousands: {self.thousands!r} is the decimal sign, too")
        if not self.scale or not math.isfinite(self.scale):
            raise InvalidArgument("scale: it is a number other than 0")
        if self.unit is not None and (not self.unit.strip() or re.search(r"\d\s*$", self.unit)):
            raise InvalidArgument(f"unit: {self.unit!r} is none")

    def _check_rename(self) -> None:
        pattern, stars = self.columns[0], str(self.rename).count("*")
        if len(self.columns) > 1 or (bool(_WILD.search(pattern)) != bool(stars)):
            raise InvalidArgument(
                "rename: it is for one column, or for one pattern with a * that stands in the new name, too; columns "
                f"is {', '.join(self.columns)}"
            )
        if stars and (stars > 1 or len(_WILD.findall(pattern)) > 1 or "*" not in pattern):
            raise InvalidArgument(f"rename: one * in {pattern!r} and one in the new name, and no other pattern")

    def renamed(self, name: str) -> str | None:
        """The new name of a column that fits; None where it keeps its own."""
        if self.rename is None or "*" not in self.rename:
            return self.rename
        before, _, after = self.columns[0].partition("*")
        return self.rename.replace("*", name[len(before) : len(name) - len(after)])

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
        """The number in a text, before scale and offset; None where it is none for this transform.

        Without a unit true and on, in any case, are 1, and false and off are 0.
        """
        text = text.strip()
        if self.unit is None and (truth := TRUTH.get(text.lower())) is not None:
            return truth
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
