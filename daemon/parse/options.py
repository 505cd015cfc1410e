"""How the messages of a source are read: which column is the time, which name the stream, which are values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.settings import from_table

__all__ = ["UNITS", "Options"]

#: ns in each unit of time.
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_HOLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Options:
    """Column mapping by name. Raises InvalidArgument, naming the option, for what cannot be.

    time: column of the time; a message without it is malformed. None: `time`, `timestamp` or `ts`, whichever comes
        first, or else the time of arrival.
    time_unit: "s", "ms", "us", "ns", or "auto": seconds, milli-, micro- or nanoseconds since 1970, told apart by
        magnitude. Texts are ISO 8601 in any case, UTC where they name no zone. Of line protocol the default is "ns".
    stream: a column's name, or a template such as `{site}/{machine}`; `{topic}`, `{topic[0]}` (its levels,
        between `/`, or `.` where it has none),
        `{source}` and, of line protocol, `{measurement}` stand for what is not in a column. None: the topic or the
        file's name, if the source gives one, else the source's name; of line protocol measurement and tags as in
        `cpu,host=a,rack=1`.
    streams: patterns (`*`, `?`, `[ab]`) of names; other streams are malformed. Empty: all.
    columns: values to take, by their names in the message, which must be numbers, true, false or missing. Empty: all
        that are; texts are passed over.
    complete: a message without one of `columns` is malformed; else it is missing.
    rename: new names by names in the message.
    tags: further columns to keep, as text, with the stream.
    value: JSON messages that are a bare number are values of the column with this name or template.
    header: names of the columns of CSV without a line of them.
    separator: of CSV, one character.
    measurement_prefix: columns of line protocol are called `measurement.field`.
    """

    time: str | None = None
    time_unit: str | None = None
    stream: str | None = None
    streams: Sequence[str] = ()
    columns: Sequence[str] = ()
    complete: bool = False
    rename: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    value: str | None = None
    header: Sequence[str] = ()
    separator: str = ","
    measurement_prefix: bool = False

    def __post_init__(self) -> None:
        for name in ("time", "stream", "value"):
            value: Any = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidArgument(f"option {name} must be a text, not {value!r}")
        for name in ("streams", "columns", "tags", "header"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
                raise InvalidArgument(f"option {name} must be a list of texts, not {value!r}")
            if name != "streams" and len(set(value)) < len(value):
                raise InvalidArgument(f"option {name} names a column twice: {', '.join(value)}")
        for name in ("complete", "measurement_prefix"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgument(f"option {name} must be true or false, not {getattr(self, name)!r}")
        self._check_rename()
        if self.time_unit not in (None, "auto", *UNITS):
            raise InvalidArgument(f"option time_unit must be auto, s, ms, us or ns, not {self.time_unit!r}")
        separator: Any = self.separator
        one = isinstance(separator, str) and len(separator) == 1
        if not one or not separator.isascii() or separator in '"\n\r\\':
            raise InvalidArgument(f"option separator must be one character, not {self.separator!r}")
        if self.complete and not self.columns:
            raise InvalidArgument("option complete needs columns, which name what a message must have")
        for name in ("stream", "value"):
            if re.search(r"[{}]", _HOLE.sub("", getattr(self, name) or "")):
                raise InvalidArgument(f"option {name} has a brace without its partner: {getattr(self, name)!r}")

    def _check_rename(self) -> None:
        rename: Any = self.rename
        pairs = rename.items() if isinstance(rename, Mapping) else [(None, None)]
        if not all(isinstance(old, str) and isinstance(new, str) and new for old, new in pairs):
            raise InvalidArgument(f"option rename must be a table of texts, not {self.rename!r}")
        names = [self.rename.get(name, name) for name in self.columns or self.rename]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidArgument(f"option rename gives two columns the name {twice[0]!r}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Options:
        """The options from a table of a configuration; raises InvalidArgument for an unknown name."""
        return from_table(cls, values, "option")
