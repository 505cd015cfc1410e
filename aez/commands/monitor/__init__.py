"""`aez monitor`: watch streams with a detector, and everything around it."""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from aez import messages
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.commands import options
from aez.commands.monitor import control as monitor_control
from aez.commands.monitor import events as monitor_events
from aez.commands.monitor import mutes as monitor_mutes
from aez.commands.monitor import option_list as monitor_options
from aez.commands.monitor import shadow as monitor_shadow
from aez.commands.monitor import simulate as monitor_simulate
from aez.commands.monitor import streams as monitor_streams
from aez.commands.monitor import tap as monitor_tap
from aez.commands.monitor import top as monitor_top
from aez.commands.monitor.config import config_argument, load_config, needs_monitor
from aez.commands.monitor.events import all_events, event_line


@click.group()
def monitor() -> None:
    """Watch streams of telemetry with detectors; needs `pip install 'aez[monitor]'`."""


for _part in (
    *(monitor_control, monitor_events, monitor_mutes, monitor_options, monitor_shadow),
    *(monitor_simulate, monitor_streams, monitor_tap, monitor_top),
):
    for _command in _part.COMMANDS:
        monitor.add_command(_command)


@monitor.command()
@config_argument
@click.option("--deep", is_flag=True, help="Open the models, the sources' brokers and the sinks, too.")
@options.as_json
def check(config: Path, deep: bool, as_json: bool) -> None:
    """Say whether a configuration can be used; names file, line and key of what is wrong. Starts nothing."""
    with needs_monitor():
        from aez.daemon.config.reader import ConfigError, load

        try:
            found = load(config)
            from aez.daemon.config.certificates import certificate_warnings
            from aez.daemon.config.own_files import pattern_warnings
            from aez.daemon.config.unreadable import unreadable
            from aez.daemon.tools.check import deep_check, shallow_check

            logging.getLogger("aez").addHandler(logging.NullHandler())  # what a trial finds is told below
            shallow_check(found)
            if past := found.past_mutes(time.time_ns()):
                raise ConfigError(past)
            transforms = [f"source {one.name}: {each}" for one in found.sources for each in one.parse.transforms]
            lines = deep_check(found) if deep else []
            warnings = certificate_warnings(found) + pattern_warnings(found)
            warnings += [f"{found.label}:{one.line}: source {one.name}: {why}" for one, why in unreadable(found)]
        except ConfigError as error:
            if not as_json:
                for fault in error.faults[:-1]:
                    messages.error(str(fault))
                raise InvalidArgument(str(error.faults[-1])) from error
            faults = [vars(fault) for fault in error.faults]
            messages.result(json.dumps({"ok": False, "faults": faults}, ensure_ascii=False))
            sys.exit(error.exit_code)
    if as_json:
        told = {"ok": True, "version": found.version, "transforms": transforms, "tried": lines, "warnings": warnings}
        messages.result(json.dumps(told, ensure_ascii=False))
        return
    for warning in warnings:
        messages.warning(warning)
    for line in transforms + lines:
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
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.common.memory import keep_freed_memory, leave_alone
        from aez.daemon.observe import logs
        from aez.daemon.service.monitor import Monitor

        logs.set_up(found.service.log, found.service.log_level)
        keep_freed_memory()
        sys.exit(Monitor(found, once=once, opened=leave_alone).run())


@monitor.command()
@config_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--source", metavar="NAME", help="Read them as this source of the configuration would; the first one.")
@click.option(
    "--speed",
    type=options.Finite(0, min_open=True),
    metavar="X",
    help="Seconds of the data's own time in a second, 1 for real time; by default as fast as it goes.",
)
@options.as_json
def replay(config: Path, files: tuple[Path, ...], source: str | None, speed: float | None, as_json: bool) -> None:
    """Score recorded FILEs and print the events; state and sinks stay untouched.

    With --speed each step of an event is printed when it happens, without it each event at the end.
    """
    found = load_config(config)
    for path in files:
        if path.is_dir():
            raise UnsupportedInput(f"{path} is a folder; name the files in it")
        if not path.is_file():
            pipe = path.exists() or str(path) == "-"
            what = "is a pipe or device, and a replay reads files" if pipe else "does not exist"
            raise UnsupportedInput(f"{path} {what}")
    with needs_monitor():
        from aez.daemon.common.memory import keep_freed_memory
        from aez.daemon.config.reader import SinkConfig
        from aez.daemon.observe import logs
        from aez.daemon.sinks.console import ConsoleOptions
        from aez.daemon.state.store import Store
        from aez.daemon.tools.replay import replay as play

        logs.set_up(found.service.log, "warning")
        keep_freed_memory()
        with tempfile.TemporaryDirectory(prefix="aez-replay-") as folder:
            started = time.perf_counter()
            steps = SinkConfig("console", "console", ConsoleOptions(format="json" if as_json else "text"))
            done = play(found, files, source, Path(folder), speed=speed, sinks=() if speed is None else (steps,))
            seconds = time.perf_counter() - started
            with Store(Path(folder) / "monitor.db") as store:
                events = list(all_events(store))
    for event in reversed(events) if speed is None else ():
        messages.result(json.dumps(event.as_dict()) if as_json else event_line(event))
    said = (
        f"{done.rows:,} rows in {seconds:.1f} s ({done.rows / max(seconds, 1e-9):,.0f} a second), {len(events)} events"
    )
    messages.summary(said + (f", {done.refused:,} messages could not be used" if done.refused else ""))
    if done.interrupted:
        messages.error("interrupted before the end of the files; these are the events until there")
        sys.exit(128 + signal.SIGINT)
    if done.unread or (done.refused and not done.rows):
        raise UnsupportedInput(done.unread or "nothing of what was read can be used, as said above")
    if not done.rows:
        messages.warning("there is no row in what was read")
