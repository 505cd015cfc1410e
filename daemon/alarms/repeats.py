"""How often a stream had events of one cause lately, so that one that comes back all day is not told as new each time.

Guarantee: what is found depends on the events alone, and on no clock.
"""

from __future__ import annotations

from typing import Any

from aez.codec.common.plain import JsonText, json_text
from aez.codec.detect.events import Event
from aez.codec.errors import InvalidArgument

__all__ = ["DAY", "Repeats"]

#: ns; what began longer ago counts no more.
DAY = 86_400 * 10**9
#: Channels that an event is known by; and the share from which on one is among them.
_CHANNELS, _SHARE = 3, 0.15
#: Events that are remembered of a stream at most.
_MOST = 32


Known = tuple[str, ...]


def _alike(one: Known, other: Known) -> bool:
    """Whether what one event is known by first is among what the other is known by; or neither is by anything."""
    return one[0] in other or other[0] in one if one and other else one == other


class Repeats:
    """The events that a stream began within a day, by what each is known by."""

    def __init__(self) -> None:
        self._begun: list[tuple[int, Known]] = []  # (start, ns; channels)
        self._written: JsonText | None = None

    def begin(self, event: Event) -> int:
        """A new event; returns how many of its cause began within a day up to it, itself among them.

        A fault that is blamed on one channel, then on another, and on the first again, is one cause where events
        between them are known by both.
        """
        start = event.start_time or 0
        self._begun = [one for one in self._begun if start - one[0] < DAY][1 - _MOST :]
        self._begun.append((start, known_by(event)))
        self._written = None
        return len(self._kin())

    def same_cause(self, event: Event) -> bool:
        """Whether an event that has not begun here is of the cause of the latest one that did."""
        return any(_alike(known_by(event), one) for one in self._kin())

    def _kin(self) -> list[Known]:
        """What the latest event and those of its cause are known by: all that are alike, one way or another."""
        others = [known for _, known in self._begun]
        found = [others.pop()] if others else []
        for one in found:  # which grows
            found += [other for other in others if _alike(one, other)]
            others = [other for other in others if not _alike(one, other)]
        return found

    def end(self, event: Event) -> None:
        """The latest event has ended, and its channels are known in full."""
        if self._begun:
            self._begun[-1] = (self._begun[-1][0], known_by(event))
            self._written = None

    def state(self) -> list[list[Any]]:
        """Everything it knows, as plain data for JSON."""
        return [[start, *channels] for start, channels in self._begun]

    def text(self) -> JsonText:
        """The same as JSON, written once for as long as it stands."""
        if self._written is None:
            self._written = json_text(self.state())
        return self._written

    @classmethod
    def from_state(cls, state: Any) -> Repeats:
        """What `state()` described. Raises InvalidArgument."""
        found = cls()
        try:
            found._begun = [(int(start), tuple(map(str, channels))) for start, *channels in state]
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved state of a stream's events cannot be read: {error!r}") from error
        return found


def known_by(event: Event) -> tuple[str, ...]:
    """The names of the channels most to blame, three at most."""
    names = [name for name, share in event.channels[:_CHANNELS] if share >= _SHARE]
    return tuple(names or [name for name, _ in event.channels[:1]])
