"""What a sink is, and the two ways in which one fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from aez.codec.errors import AezError
from aez.daemon.common import options as common
from aez.daemon.common.records import EventRecord

__all__ = ["Rejected", "Sink", "SinkError"]


class SinkError(AezError):
    """The sink did not take the records; they may be tried again."""

    exit_code = 6


class Rejected(SinkError):
    """The sink refuses these very records and would do so again; the connection is sound."""


class Sink(ABC):
    """Somewhere that event records go; each kind's module declares its options beside its class.

    One thread at a time uses a sink. Making one checks its options and connects to nothing. What it is given as token,
    password or secret stands in no repr, log or error.

    Raises InvalidArgument for options that do not go together, AezError where a library is missing.
    """

    #: What the kind can be told.
    Options: ClassVar[type[common.Options]]

    @abstractmethod
    def __init__(self, options: Any) -> None: ...

    #: A delivery takes no longer than that where all is well; beyond it the sink counts as one that hangs.
    timeout_seconds: float = 30.0
    #: How often `refresh` wants to be called; None: never.
    refresh_seconds: float | None = None
    #: Whether records are to come with their events' curves.
    curves: bool = False

    @abstractmethod
    def deliver(self, records: Sequence[EventRecord]) -> None:
        """Hand over records in their order; when it returns, the other side has them all.

        Raises SinkError when it may not have them all (it may then have some, and gets them again), and Rejected
        when it will never take them.
        """

    def refresh(self, records: Sequence[EventRecord]) -> None:  # noqa: B027 most sinks have nothing to do
        """The last records of all events that are open now, for sinks that forget. Raises as `deliver` does."""

    def check(self) -> None:  # noqa: B027
        """Try whether the other side answers, and hand over nothing. Raises SinkError."""

    def close(self) -> None:  # noqa: B027
        """Let go of connections; may be called again, and raises nothing."""
