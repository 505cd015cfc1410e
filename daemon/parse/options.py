"""How the messages of a source are read: which column is the time, which name the stream, which are values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aez.codec.errors import InvalidArgument
from aez.codec.series.zones import zone
from aez.daemon.common import options
from aez.daemon.common.options import about
from aez.daemon.transform.columns import Transforms
from aez.daemon.transform.table import Transform

__all__ = ["UNITS", "Options"]

#: ns in each unit of time.
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_HOLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """Column mapping by name. Raises InvalidArgument, naming the option, for what cannot be.

    time: a message without the column is malformed; a template, of CSV and JSON, puts it together from several. None:
        `time`, `timestamp` or `ts`, also in capitals, whichever comes first, or else the time of arrival.
    timezone: of texts, and of timestamps of Arrow, that name none; None: UTC.
    time_unit: "auto" tells seconds, milli-, micro- or nanoseconds since 1970 apart by magnitude, and takes none from
        before 1973: small numbers are as well days of spreadsheets, or counts. Texts are ISO 8601 in any case, or such
        numbers of 9 digits and more. Of line protocol the default is "ns".
    stream: `{topic}`, `{topic[0]}` (its levels, between `/`, or `.` where it has none), `{source}` and, of line
        protocol, `{measurement}` stand for what is not in a column. None: the topic or the file's name, if the source
        gives one, else the source's name; of line protocol measurement and tags as in `cpu,host=a,rack=1`.
    channel: what the value of a message is called, with holes as of `stream`; where it has several values, each is
        called so, a point, and its column. None: as its column.
    columns: they must be numbers, true, false or missing. Empty: all that are; texts are passed over.
    transforms: what becomes of columns on the way in; a configuration has them in tables of their own.
    """

    time: str | None = field(
        default=None, metadata=about("the column with the time, or a template such as {Date} {Time} of CSV and JSON")
    )
    time_unit: Literal["auto", "s", "ms", "us", "ns", "days"] | None = field(
        default=None,
        metadata=about(
            "of times that are numbers, days being those of spreadsheets; told by their magnitude by default"
        ),
    )
    timezone: str | None = field(
        default=None, metadata=about("of times that name no zone, such as Europe/Berlin; UTC by default")
    )
    stream: str | None = field(
        default=None,
        metadata=about(
            "the column with the stream's name, or a template such as {site}/{machine}; of the levels of a topic, or "
            "of the folder of a picture, {topic[0]}-{topic[1]}"
        ),
    )
    streams: Sequence[str] = field(
        default=(), metadata=about("patterns (*, ?, [ab]) of streams to take; others are malformed")
    )
    columns: Sequence[str] = field(
        default=(), metadata=about("values to take, by their names in the message; all that are numbers by default")
    )
    complete: bool = field(default=False, metadata=about("refuse messages without one of the columns"))
    tags: Sequence[str] = field(default=(), metadata=about("further columns to keep with the stream, as text"))
    value: str | None = field(default=None, metadata=about("what a JSON message that is a bare number is called"))
    channel: str | None = field(
        default=None,
        metadata=about(
            "of messages that have one value each, the column with its name, or a template such as {topic[2]}; the "
            "value is the column that columns names"
        ),
    )
    header: Sequence[str] = field(default=(), metadata=about("names of the columns of CSV without a line of them"))
    separator: str = field(default=",", metadata=about("of CSV, one character"))
    measurement_prefix: bool = field(default=False, metadata=about("call line protocol's columns measurement.field"))
    transforms: Sequence[Transform] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("columns", "tags", "header"):
            value = getattr(self, name)
            if len(set(value)) < len(value):
                raise InvalidArgument(f"option {name} names a column twice: {', '.join(value)}")
        Transforms(self.transforms).check(self.columns)
        if self.timezone is not None:
            try:
                zone(self.timezone)
            except InvalidArgument as error:
                raise InvalidArgument(f"option timezone: {error}") from error
        if len(self.separator) != 1 or not self.separator.isascii() or self.separator in '"\n\r\\':
            raise InvalidArgument(f"option separator must be one character, not {self.separator!r}")
        if self.complete and not self.columns:
            raise InvalidArgument("option complete needs columns, which name what a message must have")
        for name in ("stream", "value", "channel", "time"):
            if re.search(r"[{}]", _HOLE.sub("", getattr(self, name) or "")):
                raise InvalidArgument(f"option {name} has a brace without its partner: {getattr(self, name)!r}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Options:
        """The options from a table of a configuration, and `transforms`; raises InvalidArgument for an unknown name."""
        rest = {name: value for name, value in values.items() if name != "transforms"}
        return replace(cls.of(**rest), transforms=tuple(values.get("transforms", ())))
