"""`aez monitor top`: the streams of a monitor that runs, as a table that keeps itself up to date."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.errors import AezError
from aez.commands import options
from aez.commands.monitor.config import config_argument, load_config, needs_monitor, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aez.daemon.tools.overview import MonitorOverview, Watcher

_BAR = 10
_COLOURS = {"event": "bold red", "silent": "yellow", "normal": "green"}
_HELD = {"muted": "muted", "incident": "told as one incident", "capped": "beyond their stream's share of the day"}
_TITLES = ("state", "stream", "model", "score/limit", "age", "rows", "event")
_AROUND = 3  # further lines of the screen that are not streams
_SAID = 6  # of what is wrong, above the streams


@click.command()
@config_argument
@click.option("--interval", type=options.Finite(0.2, 3600), default=2.0, show_default=True, help="Seconds between.")
@click.option("--once", is_flag=True, help="Look once, and list all streams.")
@click.option("--sort", type=click.Choice(["score", "stream", "age"]), default="score", show_default=True)
@click.option("--url", metavar="URL", help="Where the monitor's page is; by default as the configuration says.")
@options.as_json
def top(config: Path, interval: float, once: bool, sort: str, url: str | None, as_json: bool) -> None:
    """Show the streams of the monitor that runs: state, score, age, rows, open events; until Ctrl+C.

    Sorted by score those with an open event come first. Where standard output is no terminal, the table is plain text.
    """
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.client import MonitorClient
        from aez.daemon.tools.overview import Watcher

        client = MonitorClient(found, url)
        watcher = Watcher(client)
        seen = watcher.look(sort)
        try:
            if as_json or once or not sys.stdout.isatty():
                while True:
                    messages.result(json.dumps(seen.as_dict()) if as_json else _text(seen, client.address))
                    if once:
                        return
                    time.sleep(interval)
                    seen = watcher.look(sort)
            else:
                _live(watcher, seen, client.address, sort, interval)
        except KeyboardInterrupt:
            return


def _live(watcher: Watcher, seen: MonitorOverview, address: str, sort: str, interval: float) -> None:
    """A table on the whole screen; a monitor that goes away is waited for."""
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        trouble = ""
        while True:
            width, height = live.console.size
            above = len(_shortened(_said(seen), width)) + len(_wrapped(_head(seen, address), width))
            live.update(_table(seen, address, trouble, max(1, height - _AROUND - above), width), refresh=True)
            time.sleep(interval)
            try:
                seen, trouble = watcher.look(sort), ""
            except AezError as error:
                trouble = str(error)


def _table(seen: MonitorOverview, address: str, trouble: str, room: int, width: int = 80) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(expand=True, box=None, pad_edge=False, header_style="bold")
    for title in _TITLES:
        narrow = title in ("age", "rows")
        table.add_column(
            title, justify="right" if narrow else "left", no_wrap=True, ratio=2 if title == "stream" else None
        )
    for one in seen.streams[:room]:
        colour = _COLOURS.get(one["state"], "")
        cells = _cells(one)
        ratio = one["ratio"]
        worst = (
            "bold red"
            if ratio is not None and ratio > 1
            else "green"
            if ratio is not None and ratio < 0.8
            else "yellow"
        )
        bar = Text(_bar(ratio), worst if ratio is not None else "")
        bar.append(f" {cells[3]}")
        table.add_row(Text(cells[0], colour), Text(cells[1]), Text(cells[2]), bar, *(Text(cell) for cell in cells[4:]))
    more = len(seen.streams) - room
    one_line: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    wrong = [(trouble, "bold red")] if trouble else [(text, "yellow") for text in _shortened(_said(seen), width)]
    lines = [Text(text, colour, **one_line) for text, colour in wrong]
    below = [Text(f"and {more:,} more streams", "dim")] if more > 0 else []
    head = [Text(text, "bold", **one_line) for text in _wrapped(_head(seen, address), width)]
    return Group(*head, *lines, table, *below)


def _text(seen: MonitorOverview, address: str) -> str:
    rows = [_TITLES, *(_cells(one) for one in seen.streams)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    right = (_TITLES.index("age"), _TITLES.index("rows"))
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    said = [plain(text) for text in _said(seen)]
    return "\n".join([_head(seen, address), *said, *lines])


def _said(seen: MonitorOverview) -> list[str]:
    """What is wrong or held back, the most urgent first."""
    held = [f"{count:,} {_HELD.get(why, why)}" for why, count in seen.held.items()]
    kept = [f"open events that were not sent: {', '.join(held)}"] if held else []
    return [*seen.problems, *seen.sinks, *seen.unwatched, *seen.losing, *seen.clocks, *seen.stopped, *kept, *seen.mutes]


def _shortened(said: list[str], width: int) -> list[str]:
    """The first of them for a terminal, each on two lines at most."""
    shown = said if len(said) <= _SAID else [*said[: _SAID - 1], f"and {len(said) - _SAID + 1:,} more, see --once"]
    return [line for text in shown for line in _wrapped(plain(text), width)]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width), max_lines=2, placeholder=" …", subsequent_indent="  ")


def _head(seen: MonitorOverview, address: str) -> str:
    states = [one["state"] for one in seen.streams]
    parts = [
        address,
        time.strftime("%H:%M:%SZ", time.gmtime(seen.time / 1e9)),
        f"{len(states):,} streams",
        *(f"{states.count(state):,} {state}" for state in ("event", "silent") if state in states),
        *([f"{len(seen.losing):,} lose samples"] if seen.losing else []),
        *([f"{len(seen.clocks):,} with clocks apart"] if seen.clocks else []),
        *([f"{len(seen.stopped):,} with channels missing or stuck"] if seen.stopped else []),
        f"{seen.rates['rows']:,.0f} rows/s",
    ]
    if seen.rates["dropped"] > 0:
        parts.append(f"{seen.rates['dropped']:,.1f} dropped/s")
    if "lag_seconds" in seen.gauges:
        parts.append(f"lag {seen.gauges['lag_seconds']:.1f} s")
    if "memory_bytes" in seen.gauges:
        parts.append(f"{seen.gauges['memory_bytes'] / (1 << 20):,.0f} MiB")
    return "  ".join(parts)


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    ratio = "-" if one["ratio"] is None else f"{one['ratio']:.2f}"
    event = one["event"]
    return (
        str(one["state"]),
        plain(one["stream"]),
        plain(one["model"]),
        ratio,
        _age(one["age"]),
        f"{one['rows']:,}",
        "" if event is None else plain(event)[:12],
    )


def _bar(ratio: float | None) -> str:
    """Full at the limit."""
    if ratio is None:
        return " " * _BAR
    filled = min(_BAR, round(max(0.0, ratio) * _BAR))
    return "█" * filled + "░" * (_BAR - filled)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


COMMANDS = (top,)
