"""`aez monitor`: watch streams with a detector, and everything around it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.commands import options
from aez.commands.missing import needs

if TYPE_CHECKING:
    from aez.daemon.config import Configuration
    from aez.daemon.event_store import StoredEvent
    from aez.daemon.store import Store

MONITOR_MODULES = ("aiohttp", "nats", "paho", "prometheus_client", "pyarrow")
INSTALL = "aez[monitor]"
FORMATS = ("json", "csv", "line")
config_argument = click.argument("config", type=click.Path(path_type=Path), metavar="MONITOR.toml")
NANOSECONDS = 1_000_000_000


@click.group()
def monitor() -> None:
    """Watch streams of telemetry with detectors; needs `pip install 'aez[monitor]'`."""


def _load(path: Path) -> Configuration:
    """The configuration; everything that is wrong with it goes to standard error, a line each."""
    with needs(INSTALL, MONITOR_MODULES):
        from aez.daemon.config import ConfigError, load

        try:
            return load(path)
        except ConfigError as error:
            for fault in error.faults[:-1]:
                messages.error(str(fault))
            raise InvalidArgument(str(error.faults[-1])) from error


@monitor.command()
@config_argument
@click.option("--deep", is_flag=True, help="Open the models, the sources' brokers and the sinks, too.")
@options.as_json
def check(config: Path, deep: bool, as_json: bool) -> None:
    """Say whether a configuration can be used; names file, line and key of what is wrong. Starts nothing."""
    with needs(INSTALL, MONITOR_MODULES):
        from aez.daemon.config import ConfigError, load

        try:
            found = load(config)
            from aez.daemon.check import deep_check, shallow_check

            shallow_check(found)
            lines = deep_check(found) if deep else []
        except ConfigError as error:
            if not as_json:
                for fault in error.faults[:-1]:
                    messages.error(str(fault))
                raise InvalidArgument(str(error.faults[-1])) from error
            faults = [vars(fault) for fault in error.faults]
            messages.result(json.dumps({"ok": False, "faults": faults}, ensure_ascii=False))
            sys.exit(error.exit_code)
    if as_json:
        messages.result(json.dumps({"ok": True, "version": found.version, "tried": lines}, ensure_ascii=False))
        return
    for line in lines:
        messages.result(line)
    counts = f"{len(found.models)} models, {len(found.sources)} sources, {len(found.sinks)} sinks"
    messages.result(f"{click.format_filename(config)}: can be used; {counts}")


@monitor.command()
@config_argument
@click.option("--once", is_flag=True, help="End when files and standard input have come to their end.")
def run(config: Path, once: bool) -> None:
    """Watch the streams that a configuration names until SIGTERM or Ctrl+C; SIGHUP reloads it.

    It goes on where it ended, however it ended.
    """
    found = _load(config)
    with needs(INSTALL, MONITOR_MODULES):
        from aez.daemon import logs
        from aez.daemon.service import Monitor

        logs.set_up(found.service["log"], found.service["log_level"])
        sys.exit(Monitor(found, once=once).run())


@monitor.command()
@config_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--source", metavar="NAME", help="Read them as this source of the configuration would; the first one.")
@options.as_json
def replay(config: Path, files: tuple[Path, ...], source: str | None, as_json: bool) -> None:
    """Score recorded FILEs as fast as it goes and print the events; state and sinks stay untouched."""
    found = _load(config)
    for path in files:
        if not path.is_file():
            raise UnsupportedInput(f"there is no file {path}")
    with needs(INSTALL, MONITOR_MODULES):
        from aez.daemon import logs
        from aez.daemon.replay import replay as play
        from aez.daemon.store import Store

        logs.set_up(found.service["log"], "warning")
        with tempfile.TemporaryDirectory(prefix="aez-replay-") as folder:
            started = time.perf_counter()
            figures = play(found, files, source, Path(folder))
            seconds = time.perf_counter() - started
            with Store(Path(folder) / "monitor.db") as store:
                events = list(_all_events(store))
    for event in reversed(events):
        messages.result(json.dumps(event.as_dict()) if as_json else _line(event))
    rows, refused = figures["rows"], figures["refused"]
    said = f"{rows:,} rows in {seconds:.1f} s ({rows / max(seconds, 1e-9):,.0f} a second), {len(events)} events"
    messages.summary(said + (f", {refused:,} messages could not be used" if refused else ""))


@monitor.group()
def events() -> None:
    """Look at the events that a monitor has stored."""


@events.command("list")
@config_argument
@click.option("--stream", metavar="NAME", help="Those of this stream.")
@click.option("--open", "open_only", is_flag=True, help="Those that are open.")
@click.option("--since", metavar="TIME", help="Those that ended later, such as 2026-03-01 or 2026-03-01T12:00Z.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@options.as_json
def list_events(
    config: Path, stream: str | None, open_only: bool, since: str | None, limit: int, as_json: bool
) -> None:
    """List events, the latest first."""
    with _store(config) as store:
        found = _all_events(store, stream=stream, state="open" if open_only else None, since=_moment(since))
        shown = 0
        for event in found:
            if shown == limit:
                break
            messages.result(json.dumps(event.as_dict()) if as_json else _line(event))
            shown += 1
    if not shown and not as_json:
        messages.summary("no events")


@events.command()
@config_argument
@click.argument("event", metavar="ID")
def show(config: Path, event: str) -> None:
    """Print one event with all that is known of it as JSON; ID may be its first 6 or more characters."""
    with _store(config) as store:
        messages.result(json.dumps(_find(store, event).as_dict(), indent=2, ensure_ascii=False))


@events.command()
@config_argument
@click.option("-o", "--output", required=True, metavar="OUT", help="A .jsonl file; - is standard output.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that exists.")
def export(config: Path, output: str, force: bool) -> None:
    """Write all events as JSON Lines, the earliest first."""
    with _store(config) as store:
        lines = [json.dumps(event.as_dict(), ensure_ascii=False) for event in _all_events(store)]
    text = "".join(f"{line}\n" for line in reversed(lines))
    if output == "-":
        for line in reversed(lines):
            messages.result(line)
        return
    from aez.codec.whole_files import write_whole

    write_whole(output, text.encode(), force)
    messages.summary(f"wrote {output}: {len(lines)} events")


@events.command()
@config_argument
@click.argument("event", metavar="ID")
@click.option("--by", default="", metavar="NAME", help="Who says so.")
@click.option("--comment", metavar="TEXT", help="What is to say about it.")
def acknowledge(config: Path, event: str, by: str, comment: str | None) -> None:
    """Note that somebody has seen an event, perhaps with a comment."""
    with _store(config) as store:
        found = _find(store, event)
        store.events.acknowledge(found.id, by)
        if comment:
            store.events.comment(found.id, by, comment)
    messages.summary(f"acknowledged {found.id}")


@monitor.command()
@config_argument
def reload(config: Path) -> None:
    """Let the monitor that runs take its configuration anew; says whether it did and what changed."""
    import urllib.error
    import urllib.request

    found = _load(config)
    web = found.web
    if not web["enabled"] or not web["port"]:
        raise InvalidArgument(f"{config}: reload asks the page of the monitor, and web has no fixed port; send SIGHUP")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(web["host"], web["host"])
    address = f"http://{f'[{host}]' if ':' in host else host}:{web['port']}/api/reload"
    request = urllib.request.Request(address, data=b"", method="POST")
    if web["token"]:
        request.add_header("Authorization", f"Bearer {web['token']}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=90) as answer:
            changes = json.load(answer).get("changes", "")
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(1 << 20)
        raise AezError(f"the monitor kept its old configuration: {_error_text(body)}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise AezError(f"no monitor answers at {address}: {reason}; does it run?") from error
    messages.result(f"reloaded: {changes}")


def _error_text(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "it gave no reason"


@monitor.command()
@click.option("--rows", type=click.IntRange(1), help="So many rows of each stream; without end by default.")
@click.option("--streams", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Satellites.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@click.option("--period", type=click.FloatRange(1e-6), default=1.0, show_default=True, help="Seconds between rows.")
@click.option("--faults", type=click.IntRange(0), default=0, metavar="ROWS", help="A fault every so many rows.")
@click.option("--first-fault", type=click.IntRange(0), default=600, show_default=True, metavar="ROW")
@click.option("--fault-length", type=click.IntRange(1), default=40, show_default=True, metavar="ROWS")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="ROWS", help="Begin behind so many rows.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Rows a second; as fast as it goes by default.")
@click.option("--now", is_flag=True, help="Let the times begin now and not with 2026.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default that of the file's name, or json.")
@click.option("--labels", metavar="OUT.jsonl", help="Write when which fault was put in.")
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="OUT",
    help="A file, - for standard output, http://HOST:PORT/write, or mqtt://HOST:PORT/TOPIC with {stream}.",
)
@click.option("--append", is_flag=True, help="Add to the file.")
def simulate(
    rows: int | None,
    streams: int,
    seed: int,
    period: float,
    faults: int,
    first_fault: int,
    fault_length: int,
    skip: int,
    rate: float | None,
    now: bool,
    kind: str | None,
    labels: str | None,
    output: str,
    append: bool,
) -> None:
    """Make telemetry of satellites that do not exist: eight channels, with faults on a schedule.

    The same options give the same rows. Without --faults all is normal, for training.
    """
    with needs(INSTALL, MONITOR_MODULES):
        from aez.daemon.simulate import START, Simulation, faults_until
        from aez.daemon.simulate_out import kind_of, open_output, send

        simulation = Simulation(
            streams=streams,
            seed=seed,
            period=period,
            start=time.time_ns() if now else START,
            every=faults,
            first=first_fault,
            length=fault_length,
        )
        if labels is not None:
            if rows is None:
                raise InvalidArgument("--labels needs --rows: without end there is no last fault")
            from aez.codec.whole_files import write_whole

            lines = [
                json.dumps(
                    {
                        "stream": name,
                        "fault": fault.kind,
                        "start": fault.start,
                        "end": fault.end,
                        "start_time": simulation.start + int(fault.start * period * NANOSECONDS),
                        "end_time": simulation.start + int(fault.end * period * NANOSECONDS),
                    }
                )
                for name, fault in faults_until(simulation, skip + rows)
            ]
            write_whole(labels, "".join(f"{line}\n" for line in lines).encode(), force=True)
        with open_output(output, kind or kind_of(output), append=append) as target:
            sent = send(simulation, target, rows=rows, skip=skip, rate=rate)
    if output != "-":
        messages.summary(f"wrote {sent:,} rows to {output}")


class _Looking:
    """The store of a configuration, opened to look on while a monitor may run."""

    def __init__(self, config: Path) -> None:
        found = _load(config)
        path = found.resolve(found.state["path"])
        if not path.is_file():
            raise UnsupportedInput(f"{path} does not exist yet; has the monitor run?")
        from aez.daemon.store import Store

        self.store = Store(path, check=False)

    def __enter__(self) -> Store:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def _store(config: Path) -> _Looking:
    return _Looking(config)


def _all_events(store: Store, **wanted: Any) -> Any:
    """All events, the latest first, page by page."""
    after: str | None = None
    while page := store.events.list(limit=1000, after=after, **wanted):
        yield from page
        after = page[-1].id


def _find(store: Store, start: str) -> StoredEvent:
    """The event whose id is, or begins with, `start`."""
    exact = store.events.get(start)
    if exact is not None:
        return exact
    found = [event for event in _all_events(store) if event.id.startswith(start)] if len(start) >= 6 else []
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
    return datetime.fromtimestamp(time_ns / NANOSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(event: StoredEvent) -> str:
    """One line for a person: id, times, stream, how bad, and who is to blame."""
    detail = event.record.event
    blame = ", ".join(f"{one['name']} {one['share']:.0%}" for one in (detail.get("channels") or [])[:3])
    peak = detail.get("peak")
    words = [
        event.id[:12],
        _clock(event.start),
        _clock(event.end),
        f"{event.state:6}",
        f"{event.severity if event.kind == 'anomaly' else event.kind:8}",
        _plain(event.stream),
    ]
    if isinstance(peak, int | float):
        words.append(f"peak {peak:.3g}")
    return "  ".join([*words, *([_plain(blame)] if blame else [])])


def _plain(text: str) -> str:
    """A stream's name may hold anything; a terminal gets what can be printed."""
    return "".join(one if one.isprintable() else "?" for one in text)
