"""What people are told of clocks that are apart: whose, by how much, and what to set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from aez.codec.common.words import format_duration, listed

__all__ = ["FURTHEST", "Apart", "Side", "likely", "machine_apart", "senders_apart", "western"]

_MINUTE = 60 * 10**9
#: Zones differ by quarters of an hour, from one another by at most this, and behind UTC are they for so long; ns.
_QUARTER, FURTHEST, _WEST = 15 * _MINUTE, 26 * 60 * _MINUTE, 12 * 60 * _MINUTE


@dataclass(frozen=True)
class Apart:
    """kind: what is apart, see `aez.daemon.rows.clocks`. text: of which one says it behind the stream's name."""

    kind: str
    text: str


@dataclass(frozen=True)
class Side:
    """One of two clocks. channels: what comes by it; sources: by which of the configuration, where known.

    ahead: of this machine's clock, ns.
    """

    channels: Collection[str]
    sources: Collection[str]
    ahead: int


def zone_like(distance: int, chance: int = 0) -> bool:
    """Whether clocks so far apart, ns, may be those of two zones; chance: by how much they may differ beside that."""
    zones = round(distance / _QUARTER) * _QUARTER
    return zones != 0 and abs(zones) <= FURTHEST and abs(distance - zones) <= _MINUTE + min(chance, _QUARTER // 3)


def likely(least: int, most: int) -> int:
    """Of a distance that was seen between these: that of two zones, where one is among them, else the middle."""
    zones = round((least + most) / 2 / _QUARTER) * _QUARTER
    return zones if least - _MINUTE <= zones <= most + _MINUTE and zones else (least + most) // 2


def western(distance: int, chance: int) -> bool:
    """Whether a clock so far from this machine's, ns, is as one of a zone behind UTC; it may be a minute old."""
    zones = round(distance / (2 * _QUARTER)) * 2 * _QUARTER
    return -_WEST <= zones < -_QUARTER and chance <= _QUARTER // 3 and -_MINUTE - chance <= distance - zones <= chance


def senders_apart(kind: str, low: Side, high: Side, distance: int, apart: int, chance: int) -> Apart:
    """Of two clocks of one stream, the one behind and the one ahead, which may be so far from right and still be."""
    right = [abs(side.ahead) <= apart for side in (low, high)]
    if right[0] == right[1]:
        right = [len(low.channels) > len(high.channels), len(low.channels) <= len(high.channels)]
    wrong, other = (high, low) if right[0] else (low, high)
    way = "ahead of" if wrong is high else "behind"
    span = _span(distance)
    if kind == "senders":
        said = f"two senders with clocks about {span} apart{_by(low, high)} use its name"
        more = "; where they are two machines give each a name of its own"
    else:
        names, rest = listed(list(wrong.channels), 4), listed(list(other.channels), 4)
        said = f"{names} come with times about {span} {way} those of {rest}{_by(wrong, other)}: their clocks are apart"
        more = ""
    return Apart(kind, f"{said}; {_remedy(distance, chance, wrong is low, wrong, other)}{more}")


def _by(one: Side, other: Side) -> str:
    if not (one.sources and other.sources):
        return ""
    if set(one.sources) == set(other.sources):
        return f" (all by source {listed(sorted(one.sources), 2)})"
    return f" (by source {listed(sorted(one.sources), 2)}, and by {listed(sorted(other.sources), 2)})"


def _remedy(distance: int, chance: int, behind: bool, wrong: Side, other: Side) -> str:
    late = ", or its values come so much later" if behind else ""
    if not zone_like(distance, chance):
        return f"set the sender's clock{late}"
    if wrong.sources and not set(wrong.sources) & set(other.sources):
        where = f"name their timezone for source {listed(sorted(wrong.sources), 2)}"
    else:
        where = "give their sender a source of its own with its timezone"
    return f"where these are local times that name no zone {where}, else set the sender's clock{late}"


def machine_apart(distance: int, kept: bool) -> Apart:
    """Of a stream so far ahead of this machine's clock, ns; kept: it went with it before."""
    way = "ahead of" if distance > 0 else "behind"
    before = ", which they kept before" if kept else ""
    late = "" if distance > 0 else ", or what it sends comes so much later"
    look = f"look at the clocks of its sender and of this machine{late}"
    if zone_like(distance):
        look = f"where these are local times that name no zone set timezone of its source, else {look}"
    return Apart("machine", f"its times are about {_span(distance)} {way} this machine's clock{before}; {look}")


def _span(distance: int) -> str:
    """To a minute, so that streams with one cause say the same."""
    minutes = max(1, round(abs(distance) / _MINUTE))
    if minutes >= 2 * 1440:
        return f"{round(minutes / 1440)} days"
    if minutes >= 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h" if not rest else f"{hours} h {rest} min"
    return format_duration(60 * minutes)
