"""An event for a terminal: what was measured, and its rows drawn with blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aez.commands.monitor.config import plain

__all__ = ["drawn"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 64


def drawn(event: Mapping[str, Any], curve: Mapping[str, Any] | None) -> list[str]:
    """Lines: each channel to blame with measured and expected, then score and channels over the event's rows."""
    lines = [_channel(one) for one in (event.get("channels") or ())[:8] if one.get("measured") is not None]
    if not curve or not curve.get("row"):
        return lines
    rows = curve["row"]
    lines.append(f"rows {rows[0]} to {rows[-1]}, each line from its lowest to its highest value:")
    tracks = [("score", "limits", curve["score"])]
    tracks += [(one["name"], one.get("unit", ""), one["values"]) for one in curve["channels"]]
    width = max(len(plain(name)) for name, _, _ in tracks)
    for name, unit, values in tracks:
        known = [value for value in values if value is not None]
        span = f"{min(known):.4g} to {max(known):.4g} {unit}".rstrip() if known else "nothing"
        lines.append(f"  {plain(name):{width}}  {_track(values)}  {span}")
    return lines


def _channel(one: Mapping[str, Any]) -> str:
    unit = f" {one['unit']}" if one.get("unit") else ""
    expected = one.get("expected")
    wanted = ""
    if expected is not None:
        wanted = f", expected {expected:.4g}{unit} by the {one.get('expected_from')}"
    return f"{plain(one['name'])} {one['share']:.0%}: measured {one['measured']:.4g}{unit}{wanted}"


def _track(values: Sequence[float | None]) -> str:
    """One character for several values, the one that lies furthest from the middle of all."""
    known = [value for value in values if value is not None]
    if not known:
        return " " * min(_WIDTH, len(values))
    low, high = min(known), max(known)
    middle = (low + high) / 2
    count = min(_WIDTH, len(values))
    cells = []
    for cell in range(count):
        part = values[cell * len(values) // count : (cell + 1) * len(values) // count]
        some = [value for value in part if value is not None]
        if not some:
            cells.append(" ")
            continue
        value = max(some, key=lambda one: abs(one - middle))
        share = 0.0 if high == low else (value - low) / (high - low)
        cells.append(_BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))])
    return "".join(cells)
