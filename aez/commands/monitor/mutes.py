"""`aez monitor mute`, `mutes` and `unmute`: streams whose events are recorded and not sent for a time."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.words import NANOSECONDS, iso_time
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.commands import options
from aez.commands.monitor.config import config_argument, load_config, needs_monitor, plain

if TYPE_CHECKING:
    from aez.daemon.config.reader import Configuration
    from aez.daemon.state.store import Store

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,9})\s*(s|m|min|h|d)")


@click.command()
@config_argument
@click.argument("pattern", metavar="PATTERN")
@click.option("--for", "span", metavar="TIME", help="For so long from now on, such as 90min, 8h or 2d.")
@click.option("--until", metavar="TIME", help="Until then, such as 2026-12-01T06:00; UTC where it names no zone.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands with each event.")
@click.option("--by", default="", metavar="NAME", help="Who says so.")
def mute(config: Path, pattern: str, span: str | None, until: str | None, reason: str, by: str) -> None:
    """Record, and do not send, events of the streams of PATTERN, whether the monitor runs or not.

    What is still open at its end is sent then.
    """
    from aez.daemon.mutes import stored

    found = load_config(config)
    end = _end(span, until)
    with _opened(found) as store:
        made = store.change(lambda connection: stored.add(connection, pattern, end, reason, by))
    messages.result(f"mute {made.number}: {plain(pattern)} until {iso_time(made.until, decimals=0)}")


@click.command()
@config_argument
@options.as_json
def mutes(config: Path, as_json: bool) -> None:
    """List mutes by hand that hold, and the maintenance windows of the configuration."""
    from aez.daemon.mutes import stored

    found = load_config(config)
    now = time.time_ns()
    with _opened(found) as store:
        by_hand = store.look(lambda connection: stored.in_force(connection, now))
    windows = [(one.window, one.window.until(now)) for one in found.mutes]
    if as_json:
        listed = [window.as_dict() | {"until": until} for window, until in windows]
        messages.result(json.dumps({"by_hand": [one.as_dict() for one in by_hand], "windows": listed}))
        return
    for one in by_hand:
        by = f"  by {plain(one.author)}" if one.author else ""
        until = iso_time(one.until, decimals=0)
        messages.result(f"{one.number:>4}  {plain(one.pattern)}  until {until}  {plain(one.reason)}{by}")
    for window, end in windows:
        now_said = "not now" if end is None else f"until {iso_time(end, decimals=0)}"
        messages.result(f"file  {plain(', '.join(window.patterns))}  {now_said}  {plain(window.reason)}")
    if not by_hand and not windows:
        messages.summary("no mutes")


@click.command()
@config_argument
@click.argument("number", type=click.IntRange(1))
def unmute(config: Path, number: int) -> None:
    """End the mute of a NUMBER, as `mutes` names it; a window of the configuration ends there."""
    from aez.daemon.mutes import stored

    with _opened(load_config(config)) as store:
        ended = store.change(lambda connection: stored.end(connection, number))
    messages.result(f"ended mute {number} of {plain(ended.pattern)}")


def _opened(found: Configuration) -> Store:
    path = found.resolve(found.state.path)
    if not path.is_file():
        raise UnsupportedInput(f"{path} does not exist yet; has the monitor run?")
    with needs_monitor():
        from aez.daemon.state.store import Store

        return Store(path, check=False)


def _end(span: str | None, until: str | None) -> int:
    if (span is None) == (until is None):
        raise InvalidArgument("say how long: --for 8h or --until 2026-12-01T06:00, one of them")
    if until is not None:
        from aez.daemon.mutes.window import moment_of

        return _named("--until", until, moment_of)
    return time.time_ns() + _named("--for", span or "", _span) * NANOSECONDS


def _named(option: str, text: str, read: Any) -> int:
    try:
        return int(read(text))
    except InvalidArgument as error:
        raise InvalidArgument(f"{option}: {error}") from error


def _span(text: str) -> int:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(f"{text[:40]!r} is no time; write 90min, 8h or 2d")
    return int(found[1]) * _UNITS[found[2]]


COMMANDS = (mute, mutes, unmute)
