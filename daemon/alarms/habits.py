"""How often a model's events are told of, and from when on a change counts as one for good."""

from __future__ import annotations

from dataclasses import dataclass

from aez.codec.errors import InvalidArgument

__all__ = ["PLAIN", "Habits"]


@dataclass(frozen=True)
class Habits:
    """Raises InvalidArgument for values that make no sense.

    reopen_within: ns; an event that begins so soon behind the end of the last one goes on with that one; 0 for never.
        From the second time on its end is told only once it stayed quiet for so long.
    repeats: so many events of one cause begin within a day; once there were as many, what begins within a day behind
        the last of them goes on with it; 0 for any number, as where `reopen_within` is 0.
    growth: each pause between two updates of an event is so many times the one before, 1 or more.
    changed_after: ns; an event that has stayed at one level for so long is a lasting change; None for never.
    """

    reopen_within: int = 0
    growth: float = 1.0
    changed_after: int | None = None
    repeats: int = 0

    def __post_init__(self) -> None:
        if self.reopen_within < 0 or not 1 <= self.growth <= 100:
            raise InvalidArgument(
                f"reopen_within is 0 ns or more and growth 1 to 100, not {self.reopen_within} and {self.growth}"
            )
        if self.repeats < 0:
            raise InvalidArgument(f"repeats is 0 or more, not {self.repeats}")
        if self.changed_after is not None and self.changed_after <= 0:
            raise InvalidArgument(f"changed_after is more than 0 ns, not {self.changed_after}")


#: Every event is one of its own, and updates come evenly.
PLAIN = Habits()
