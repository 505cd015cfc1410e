"""`aez monitor events`: what a monitor has stored, listed, shown, written to files and acknowledged."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.words import NANOSECONDS, iso_time
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.commands import options
from aez.commands.monitor.config import config_argument, load_config, plain

if TYPE_CHECKING:
    from aez.daemon.config.reader import Configuration
    from aez.daemon.sinks.postgres import PostgresSink
    from aez.daemon.state.event_store import StoredEvent
    from aez.daemon.state.store import Store

_EXPORTS = (".jsonl", ".csv", ".parquet")


@click.group()
def events() -> None:
    """Look at the events that a monitor has stored."""


_filters = options.in_order(
    click.option("--stream", metavar="NAME", help="Those of this stream."),
    click.option("--open", "open_only", is_flag=True, help="Those that are open."),
    click.option("--unacknowledged", "unseen", is_flag=True, help="Those that nobody acknowledged."),
    click.option("--since", metavar="TIME", help="Those that ended later, such as 2026-03-01 or 2026-03-01T12:00Z."),
)


_from_sink = click.option(
    "--from-sink", "sink", metavar="NAME", help="Look into the database of this sink, and not into the monitor's file."
)


@events.command("list")
@config_argument
@_filters
@_from_sink
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@options.as_json
def list_events(
    config: Path,
    stream: str | None,
    open_only: bool,
    unseen: bool,
    since: str | None,
    sink: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List events, the latest first."""
    with _Looking(config, sink) as store:
        found = all_events(store, **_wanted(stream, open_only, since, unseen))
        shown = 0
        for event in found:
            if shown == limit:
                break
            messages.result(json.dumps(event.as_dict()) if as_json else event_line(event))
            shown += 1
    if not shown and not as_json:
        messages.summary("no events")


@events.command()
@config_argument
@click.argument("event", metavar="ID")
@click.option("--draw/--no-draw", default=None, help="Draw its rows, too; by default in a terminal.")
@_from_sink
def show(config: Path, event: str, draw: bool | None, sink: str | None) -> None:
    """Print one event with all that is known of it as JSON; ID may be its first 6 or more characters."""
    from aez.commands.monitor.event_drawing import drawn

    with _Looking(config, sink) as store:
        found = _find(store, event)
        curve = store.curve(found.id) if sink is None else None  # type: ignore[union-attr]
    whole = found.as_dict() | ({} if curve is None else {"curve": curve})
    messages.result(json.dumps(whole, indent=2, ensure_ascii=False))
    if draw if draw is not None else sys.stdout.isatty():
        for line in drawn(found.record.event, curve):
            messages.result(line)


@events.command()
@config_argument
@_filters
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="A .jsonl, .csv or .parquet file; - is standard output, as JSON Lines.",
)
@click.option("-f", "--force", is_flag=True, help="Replace a file that exists.")
@_from_sink
def export(
    config: Path,
    stream: str | None,
    open_only: bool,
    unseen: bool,
    since: str | None,
    output: str,
    force: bool,
    sink: str | None,
) -> None:
    """Write events with their comments, the earliest first, in the format of the file's name."""
    suffix = ".jsonl" if output == "-" else Path(output).suffix.lower()
    if suffix not in _EXPORTS:
        raise InvalidArgument(f"{output}: events are written as {', '.join(_EXPORTS)}; give the file such a name")
    with _Looking(config, sink) as store:
        listed = list(all_events(store, **_wanted(stream, open_only, since, unseen)))
        found = [(store.events.get(one.id) or one) if one.comment_count else one for one in reversed(listed)]
    if output == "-":
        for one in found:
            messages.result(json.dumps(one.as_dict(), ensure_ascii=False))
        return
    from aez.codec.common.files import whole_file

    with whole_file(output, force) as partial:
        _write(found, suffix, partial)
    messages.summary(f"wrote {output}: {len(found)} events")


def _write(events: list[StoredEvent], suffix: str, path: Path) -> None:
    from aez.daemon.state.event_table import write_csv, write_parquet

    match suffix:
        case ".csv":
            write_csv(events, path)
        case ".parquet":
            write_parquet(events, path)
        case _:
            lines = (json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in events)
            path.write_text("".join(lines), encoding="utf-8")


@events.command()
@config_argument
@click.argument("event", nargs=-1, metavar="ID...")
@_filters
@click.option("--all", "everything", is_flag=True, help="In place of IDs all that the filters leave.")
@click.option("--by", default="", metavar="NAME", help="Who says so.")
@click.option("--comment", metavar="TEXT", help="What is to say about it.")
@_from_sink
def acknowledge(
    config: Path,
    event: tuple[str, ...],
    stream: str | None,
    open_only: bool,
    unseen: bool,
    since: str | None,
    everything: bool,
    by: str,
    comment: str | None,
    sink: str | None,
) -> None:
    """Note that somebody has seen events, perhaps with a comment; sinks get no updates of them any more."""
    filtered = stream is not None or open_only or unseen or since is not None
    if bool(event) == everything or (event and filtered):
        raise InvalidArgument("name the events by their IDs, or say --all, perhaps with --stream, --open or --since")
    with _Looking(config, sink) as store:
        if everything:
            found = list(all_events(store, **_wanted(stream, open_only, since, True)))
        else:
            found = [_find(store, one) for one in event]
        for one in found:
            store.events.acknowledge(one.id, by)
            if comment:
                store.events.comment(one.id, by, comment)
    messages.summary(f"acknowledged {found[0].id}" if len(found) == 1 else f"acknowledged {len(found)} events")


class _Looking:
    """The store of a configuration, or the database of its sink, opened to look on while a monitor may run."""

    def __init__(self, config: Path, sink: str | None) -> None:
        found = load_config(config)
        self.store: Store | PostgresSink
        if sink is not None:
            self.store = _database(config, found, sink)
            return
        path = found.resolve(found.state.path)
        if not path.is_file():
            raise UnsupportedInput(f"{path} does not exist yet; has the monitor run?")
        from aez.daemon.state.store import Store

        self.store = Store(path, check=False)

    def __enter__(self) -> Store | PostgresSink:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def _database(config: Path, found: Configuration, name: str) -> PostgresSink:
    from aez.daemon.build.parts import sinks
    from aez.daemon.sinks.postgres import PostgresSink

    databases = {key: one for key, one in sinks(found).items() if isinstance(one, PostgresSink)}
    if name not in databases:
        known = f"it has {', '.join(databases)}" if databases else "it has none"
        raise InvalidArgument(f"{config} has no sink {name!r} of the kind postgres; {known}")
    return databases[name]


def _wanted(stream: str | None, open_only: bool, since: str | None, unseen: bool) -> dict[str, Any]:
    """The filters as the store takes them."""
    return {
        "stream": stream,
        "state": "open" if open_only else None,
        "since": _moment(since),
        "acknowledged": False if unseen else None,
    }


def all_events(store: Store | PostgresSink, **wanted: Any) -> Any:
    """All events, the latest first, page by page."""
    after: str | None = None
    while page := store.events.list(limit=1000, after=after, **wanted):
        yield from page
        after = page[-1].id


def _find(store: Store | PostgresSink, start: str) -> StoredEvent:
    """The event whose id is, or begins with, `start`."""
    exact = store.events.get(start)
    if exact is not None:
        return exact
    found = [event for event in all_events(store) if event.id.startswith(start)] if len(start) >= 6 else []
    if len(found) != 1:
        said = "no event has" if not found else f"{len(found)} events have"
        raise InvalidArgument(f"{said} an id that begins with {start!r}; `events list` names them")
    whole = store.events.get(found[0].id)
    assert whole is not None
    return whole


def _moment(text: str | None) -> int | None:
    """Ns since 1970 UTC of an ISO 8601 time; UTC where it names no zone."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(f"--since takes a time such as 2026-03-01T12:00Z, not {text!r}") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * NANOSECONDS)


def _clock(time_ns: int | None) -> str:
    if time_ns is None:
        return "now" + " " * 17
    return iso_time(time_ns, decimals=0)


def event_line(event: StoredEvent) -> str:
    """One line for a person: id, times, stream, how bad, who is to blame, and why it was not sent."""
    from aez.daemon.sinks.wire import about, blamed

    detail = event.record.event
    blame = blamed(detail)
    peak = detail.get("peak")
    words = [
        event.id[:12],
        _clock(event.start),
        _clock(event.end),
        f"{event.state:6}",
        f"{event.severity if event.kind == 'anomaly' else event.kind:8}",
        plain(event.stream),
    ]
    if isinstance(peak, int | float):
        words.append(f"peak {peak:.3g}")
    marks = [f"[{mark}]" for mark in ("muted", "incident", "capped") if detail.get(mark) and event.kind != "incident"]
    return "  ".join([*words, *([plain(one) for one in (blame, about(event.record)) if one]), *marks])


COMMANDS = (events,)
