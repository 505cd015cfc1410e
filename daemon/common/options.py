"""Options: what a part of the monitor can be told, each declared once, as a field of a frozen dataclass.

    @dataclass(frozen=True, kw_only=True)
    class PigeonOptions(Options):
        loft: str = field(metadata=about("where it flies to"))
        rest_seconds: float = field(default=60.0, metadata=about("how long it rests", low=0, high=3600))
        token: str | None = field(default=None, repr=False, metadata=secret("the word at the loft"))

The field's type says what values there are (`Literal` its choices), its default what holds without; a field without a
default is required. A secret stands in a configuration as NAME_env or NAME_file, never as itself.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from aez.codec.errors import InvalidArgument

__all__ = [
    "About",
    "Bounds",
    "Kind",
    "Option",
    "Options",
    "Secret",
    "about",
    "nearest",
    "options_of",
    "resolved",
    "secret",
]

#: What a value is. Lists of texts may be given as one text; a path begins at the configuration's folder.
Kind = Literal["text", "whole", "number", "flag", "texts", "map", "numbers", "list", "bounds", "path", "paths"]


class Bounds:
    """In an annotation: how long something may last, of all channels or by a pattern of them.

    True or false, rows as a whole number, a time as a text such as "10 min", or a table of these. Its values are
    mappings from patterns to None (as it is learned), infinity (for ever), rows as int, or seconds as float.
    """


class Secret(str):
    """Text that does not show itself in logs and tracebacks; `str(secret)` is still the text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)"


@dataclass(frozen=True)
class About:
    """What a field's metadata say of an option beside its type and default.

    low, high: of numbers. path: the text is a path, or the texts are. secret: it comes from NAME_env or NAME_file.
    listens: it is a port that is opened here, so that nobody else may have it. live: one of the process's own options
    that a reload takes; the others wait for a restart. was: former names, each with what else is different under the
    new one, as a clause that goes on behind a comma, or nothing. check: of a text, of each where there are several,
    or of a table as a whole: one clause about what is wrong with it, empty where nothing is.
    """

    help: str
    low: float = -math.inf
    high: float = math.inf
    path: bool = False
    secret: bool = False
    listens: bool = False
    live: bool = False
    was: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Any], str] | None = None


def about(
    help: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    path: bool = False,
    listens: bool = False,
    live: bool = False,
    was: str | Mapping[str, str] = "",
    check: Callable[[Any], str] | None = None,
) -> Mapping[str, About]:
    """The metadata of an option's field; see `About`. `was` may be one name alone."""
    former = ({was: ""} if was else {}) if isinstance(was, str) else was
    return {"about": About(help, low, high, path=path, listens=listens, live=live, was=former, check=check)}


def secret(help: str, check: Callable[[Any], str] | None = None) -> Mapping[str, About]:
    """The metadata of an option that is a secret; the field has `repr=False`. check: as of `About`, of the secret."""
    return {"about": About(help, secret=True, check=check)}


@dataclass(frozen=True)
class Option:
    """One option. default: None stands for no value. choices: of texts; empty where any goes."""

    name: str
    kind: Kind
    default: Any
    required: bool
    choices: tuple[str, ...]
    about: About

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names in a configuration."""
        return (f"{self.name}_env", f"{self.name}_file") if self.about.secret else (self.name,)

    @property
    def values(self) -> str:
        """What values there are, for people."""
        if self.choices:
            return ", ".join(self.choices)
        low, high = self.about.low, self.about.high
        if self.kind in ("whole", "number") and (low, high) != (-math.inf, math.inf):
            return f"{'whole, ' if self.kind == 'whole' else ''}{_range(low, high)}"
        return _SHORT[self.kind]

    def wrong(self, value: Any) -> str:
        """One clause about what is wrong with a value; empty where nothing is."""
        if not _IS[self.kind](value):
            shown = "" if self.about.secret else f", not {_shown(value)}"
            return f"it is {_WORDS[self.kind]}{shown}"
        if self.choices and value not in self.choices:
            return f"it is one of {', '.join(self.choices)}, not {_shown(value)}"
        if self.kind in ("whole", "number") and not self.about.low <= value <= self.about.high:
            return f"it is {_range(self.about.low, self.about.high)}, not {_shown(value)}"
        if self.kind == "numbers":
            for name, one in value.items():
                if not self.about.low <= one <= self.about.high:
                    return f"that of {_shown(name)} is {_range(self.about.low, self.about.high)}, not {_shown(one)}"
        if self.kind in ("text", "path") and not value:
            return "it is empty"
        if self.kind in ("text", "texts", "path", "paths") and any("\0" in one for one in value):
            return "it holds a null character"
        return "" if self.about.secret else self.unfit(value)

    def unfit(self, value: Any) -> str:
        """What the option's own check says of a value of the right type."""
        if self.about.check is None:
            return ""
        several = self.kind in ("texts", "paths") and not isinstance(value, str)
        return next(filter(None, map(self.about.check, value if several else (value,))), "")

    def plain(self, value: Any, folder: Path) -> Any:
        """The value as the rest of the program takes it; paths begin at `folder`."""
        if self.kind in ("path", "paths"):
            given = [value] if isinstance(value, str) else value
            found = tuple(str(resolved(folder, one)) for one in given)
            return found[0] if self.kind == "path" else found
        if self.kind == "number":
            return float(value)
        if self.kind == "list":
            return tuple(map(float, value)) if isinstance(value, (list, tuple)) else (float(value),)
        if self.kind == "bounds":
            return {pattern: _bound(one) for pattern, one in _table(value).items()}
        if self.kind == "texts":
            return (value,) if isinstance(value, str) else tuple(value)
        return value


def resolved(folder: Path, name: str) -> Path:
    """The path that a configuration in `folder` means: ~ is somebody's home, and stays as it is where nobody has it."""
    with contextlib.suppress(RuntimeError):
        name = str(Path(name).expanduser())
    return (folder / name).absolute()


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one part. Raises InvalidArgument, naming the option, for a value that is none."""

    def __post_init__(self) -> None:
        for option in options_of(type(self)).values():
            value = getattr(self, option.name)
            if not option.required and (value == option.default or (not value and option.default == ())):
                continue
            reason = option.wrong(value)
            if not reason and option.kind in ("texts", "paths") and isinstance(value, str):
                reason = f"it is a list here, not {_shown(value)}"  # a configuration's one text was made one before
            if not reason and option.about.secret:
                reason = option.unfit(value)
            if reason:
                raise InvalidArgument(f"{option.name}: {reason}")

    @classmethod
    def of(cls, **given: Any) -> Self:
        """The options by their names. Raises InvalidArgument for one that there is not, or that is missing."""
        known = options_of(cls)
        for name in given:
            if name not in known:
                raise InvalidArgument(f"there is no option {name!r}{nearest(name, known)}")
        for name, option in known.items():
            if option.required and name not in given:
                raise InvalidArgument(f"{name}: it is missing")
        return cls(**given)


def options_of(cls: type[Any]) -> Mapping[str, Option]:
    """The options that a dataclass declares, by name: its own first, then those of its bases."""
    declaring: Any = cls  # whose hash type checkers do not see
    found: Mapping[str, Option] = _options_of(declaring)
    return found


@cache
def _options_of(cls: Any) -> Mapping[str, Option]:
    hints = typing.get_type_hints(cls)
    declared = {one.name: one for one in fields(cls) if "about" in one.metadata}
    order = dict.fromkeys(name for base in cls.__mro__ for name in inspect.get_annotations(base))
    found = {}
    for name in order:
        if name not in declared:
            continue
        one = declared[name]
        told: About = one.metadata["about"]
        kind, choices = _kind(hints[name], told.path)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        required = default is MISSING
        found[name] = Option(name, kind, None if required else default, required, choices, told)
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names what may have been meant; empty where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _kind(hint: Any, path: bool) -> tuple[Kind, tuple[str, ...]]:
    """What the values of an annotation are, and its choices."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "text", arguments
    if origin is not None and issubclass(origin, Mapping):
        kinds: Mapping[Any, Kind] = {str: "map", float: "numbers", Bounds: "bounds"}
        return kinds[arguments[1]], ()
    if origin is not None and issubclass(origin, Sequence) and arguments[0] is float:
        return "list", ()
    if origin is not None and issubclass(origin, Sequence):
        return ("paths" if path else "texts"), ()
    if hint is str:
        return ("path" if path else "text"), ()
    return _KINDS[hint], ()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_text, value))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_number_list(value: Any) -> bool:
    given = value if isinstance(value, (list, tuple)) else [value]
    return all(_is_number(one) for one in given)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"*": value}


def _bound(value: Any) -> float | None:
    """None for as it is learned, infinity for ever, rows as int, seconds as float. Raises ValueError for no bound."""
    if value is None or value is True:
        return None
    if value is False or value == math.inf:
        return math.inf
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(\w+)", value.strip(), re.ASCII)
        if match and match[2] in _UNITS and float(match[1]) > 0:
            return float(match[1]) * _UNITS[match[2]]
    elif isinstance(value, (int, float)) and value > 0 and (isinstance(value, int) or math.isfinite(value)):
        return value
    raise ValueError(value)


def _is_bounds(value: Any) -> bool:
    try:
        return all(isinstance(_bound(one), (int, float, type(None))) for one in _table(value).values())
    except ValueError:
        return False


#: Seconds in each unit of a time.
_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_KINDS: Mapping[Any, Kind] = {bool: "flag", int: "whole", float: "number"}
_IS: Mapping[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "whole": _is_whole,
    "number": _is_number,
    "flag": lambda value: isinstance(value, bool),
    "texts": lambda value: _is_text(value) or _is_list(value),
    "map": _is_map,
    "numbers": _is_numbers,
    "list": _is_number_list,
    "bounds": _is_bounds,
    "path": _is_text,
    "paths": lambda value: _is_text(value) or _is_list(value),
}
_WORDS = {
    "text": "a text in quotes",
    "whole": "a whole number",
    "number": "a number",
    "flag": "true or false",
    "texts": "a text or a list of texts",
    "map": "a table of texts",
    "numbers": "a table of numbers",
    "list": "a number or a list of numbers",
    "bounds": 'true, false, a number of rows, a time such as "10 min", or a table of these by channel',
    "path": "a path in quotes",
    "paths": "a path or a list of paths",
}
_SHORT = {
    "text": "text",
    "whole": "whole number",
    "number": "number",
    "flag": "true, false",
    "texts": "texts",
    "map": "table of texts",
    "numbers": "table of numbers",
    "list": "numbers",
    "bounds": 'true, false, rows, "10 min", or a table of these',
    "path": "path",
    "paths": "paths",
}


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _range(low: float, high: float) -> str:
    if high == math.inf:
        return f"{_number(low)} or more"
    return f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
