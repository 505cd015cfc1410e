"""What an engine is made of: models, the streams that each of them watches, and how it does so."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aez.codec.detect.events import Event, EventRule
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.habits import PLAIN, Habits
from aez.daemon.alarms.learned_limit import LearnedLimit
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.scorer import WindowModel
from aez.daemon.rows.columns import Float, Ints
from aez.daemon.signals.rules import SignalRules

__all__ = ["SECOND", "Identified", "StreamModel", "Watched"]

#: ns.
SECOND = 1_000_000_000
#: A sample may lie so many periods ahead of its stream's newest, at least.
_JUMP_PERIODS = 30


class Identified(Protocol):
    """What a model is known by: its bundle."""

    @property
    def id(self) -> str: ...


class StreamModel(WindowModel, Protocol):
    """What streams are scored with: a `Detector` of `aez.codec.detect`, or a model of `aez.daemon.frames`."""

    @property
    def bundle(self) -> Identified: ...

    period: float | None
    event_rule: EventRule


@dataclass(frozen=True)
class Watched:
    """One model and the streams that it scores. Raises InvalidArgument for settings that make no sense.

    name: in records. detector: the model. streams: patterns (`*`, `?`, `[...]`) of names; a stream belongs to the first
        model with one that fits.
    columns: the column of a channel, where their names differ.
    period: seconds between rows; by default the model's; 0 for rows without a clock, one for each time that occurs.
    lateness: seconds that a sample may be older than the newest of its stream; None: rows wait for the channels that
        are due, see `aez.daemon.rows.fronts`.
    jump: seconds that a sample may lie ahead of its stream's newest; one further ahead is put aside until others
        follow, see `aez.daemon.rows.jumps`. It is never fewer than 30 periods; 0 for any.
    silent_after: seconds without a newer sample until a stream is silent; None for never.
    warm_up: scored rows of a stream before its first event may begin.
    limits: pattern -> limit of its streams, in thresholds of the model; 1.0 where none fits.
    rule: when events open and close; by default the model's.
    update_every: rows between two updates of an open event, at least.
    signals: when channels count as missing or stuck; None for never.
    habits: how often events are told of, see there.
    adopt: who takes the level of a stream that moved for good; by at most `adopt_most` times the range of a channel
        that training saw.
    learn: rows of a stream that teach its limit, for models without a threshold, and open no event; 0 for none.
    illustrate: gets a stream, the times and scores (1 is its limit) of rows, the records that follow from them and the
        event that is open behind them; returns the records in full.
    """

    name: str
    detector: StreamModel
    streams: Sequence[str] = ("*",)
    columns: Mapping[str, str] = field(default_factory=dict)
    period: float | None = None
    lateness: float | None = None
    jump: float = 300.0
    silent_after: float | None = None
    warm_up: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)
    rule: EventRule | None = None
    update_every: int = 60
    signals: SignalRules | None = None
    habits: Habits = PLAIN
    adopt: Literal["by_hand", "when_changed"] = "by_hand"
    adopt_most: float = 1.0
    learn: int = 0
    illustrate: Callable[[str, Ints, Float, Sequence[EventRecord], Event | None], list[EventRecord]] | None = None

    def __post_init__(self) -> None:
        numbers = {
            "period": self.period,
            "lateness": self.lateness,
            "silent_after": self.silent_after,
            "jump": self.jump,
        }
        for name, value in numbers.items():
            if value is not None and not 0 <= value <= 1e9:
                raise InvalidArgument(f"{name} of model {self.name} is a number of seconds, not {value}")
        if self.warm_up < 0 or self.update_every < 1:
            raise InvalidArgument(f"warm_up of model {self.name} is 0 rows or more and update_every 1 or more")
        for pattern, limit in self.limits.items():
            if not 0 < limit < math.inf:
                raise InvalidArgument(f"the limit of {pattern} for model {self.name} is above 0, not {limit}")
        if self.learn:
            LearnedLimit(self.learn)

    @property
    def period_ns(self) -> int | None:
        """Nanoseconds between rows; None without a clock."""
        period = self.detector.period if self.period is None else self.period
        return max(1, round(period * SECOND)) if period else None

    @property
    def held(self) -> int:
        """Rows that a channel's last value stands for at most; 0 where no channel is held."""
        return 0 if self.signals is None else int(self.signals.holds().max(initial=0))

    @property
    def jump_ns(self) -> int | None:
        """Nanoseconds that a sample may lie ahead; None for any."""
        return max(round(self.jump * SECOND), _JUMP_PERIODS * (self.period_ns or 0)) if self.jump else None
