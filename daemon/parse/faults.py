"""Messages that could not be used, gathered while a chunk is parsed."""

from __future__ import annotations

from collections import Counter

from aez.daemon.common.records import Malformed

__all__ = ["REASONS", "Fault", "Faults"]

#: Every reason of a Malformed, for counters.
REASONS = (
    "too_long",  # more bytes than a message may have
    "encoding",  # not UTF-8
    "syntax",  # not of the format
    "too_deep",  # objects within objects
    "not_an_object",  # JSON, but neither an object nor a list of them
    "too_many_columns",
    "bad_name",  # of a column: too long
    "no_values",  # nothing in it that is taken
    "missing_column",  # one that every message must have
    "wrong_type",  # text where a number belongs
    "not_finite",  # NaN as a value, or an infinity
    "too_large",  # a number beyond the limit on magnitudes
    "no_time",
    "bad_time",
    "no_stream",  # it lacks what the stream's name is made from
    "bad_stream",  # a name that is empty, too long or has control characters
    "unknown_stream",  # none of the configured patterns
    "too_many_streams",
    "bad_image",  # damaged, or of no format that is read here
    "too_many_pixels",
    "no_model",  # an image of a stream that no model of pictures watches
)
_KEPT_BYTES = 1000


class Fault(Exception):
    """What is wrong with one message; caught within the parser."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Faults:
    """The malformed messages of one chunk: the first `kept` of each reason one by one, of the rest their number."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._counts: Counter[str] = Counter()
        self._list: list[Malformed] = []

    def add(self, reason: str, detail: str, data: bytes, count: int = 1) -> None:
        if self._counts[reason] < self._kept:
            self._list.append(Malformed(reason, detail, data[:_KEPT_BYTES], count))
        self._counts[reason] += count

    def result(self) -> list[Malformed]:
        rest = self._counts.copy()
        for one in self._list:
            rest[one.reason] -= one.count
        more = [Malformed(reason, f"{count} more", b"", count) for reason, count in rest.items() if count]
        return self._list + more
