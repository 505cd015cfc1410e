"""`aez monitor streams`: change what a monitor that runs knows of its streams."""

from __future__ import annotations

from pathlib import Path

import click

from aez import messages
from aez.codec.errors import AezError
from aez.commands.monitor.config import config_argument, load_config, needs_monitor

_stream = click.argument("stream", metavar="STREAM")
_url = click.option("--url", metavar="URL", help="Where the monitor's page is; by default as the configuration says.")


@click.group()
def streams() -> None:
    """Forget a stream, let its clock begin anew, or call it otherwise; the monitor must run."""


@streams.command()
@config_argument
@_stream
@_url
def forget(config: Path, stream: str, url: str | None) -> None:
    """Let go of all that is known of STREAM; an event of it that is open is closed. It may come again."""
    _ask(config, url, "forget", {"stream": stream})
    messages.result(f"forgot {stream}")


@streams.command()
@config_argument
@_stream
@_url
def reset(config: Path, stream: str, url: str | None) -> None:
    """Let the clock of STREAM begin with its next sample, as where its own was ahead; what it learned stays."""
    _ask(config, url, "reset", {"stream": stream})
    messages.result(f"{stream} begins anew with its next sample")


@streams.command()
@config_argument
@_stream
@click.argument("to", metavar="NAME")
@_url
def rename(config: Path, stream: str, to: str, url: str | None) -> None:
    """Let STREAM go on as NAME, which no stream may have; its events keep the old name."""
    _ask(config, url, "rename", {"stream": stream, "to": to})
    messages.result(f"{stream} goes on as {to}")


def _ask(config: Path, url: str | None, what: str, body: dict[str, str]) -> None:
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.client import MonitorClient, Refused

        try:
            MonitorClient(found, url).post(f"/api/streams/{what}", body)
        except Refused as error:
            raise AezError(str(error)) from error


COMMANDS = (streams,)
