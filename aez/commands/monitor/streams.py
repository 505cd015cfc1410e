"""`aez monitor streams`: change what a monitor that runs knows of its streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.codec.errors import AezError
from aez.commands.monitor.config import config_argument, load_config, needs_monitor, plain

_stream = click.argument("stream", metavar="STREAM")
_url = click.option("--url", metavar="URL", help="Where the monitor's page is; by default as the configuration says.")


@click.group()
def streams() -> None:
    """Forget a stream, let its clock begin anew, call it otherwise, or take its level; the monitor must run."""


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


@streams.command()
@config_argument
@_stream
@click.option("--undo", is_flag=True, help="Let the model see its values as they are again.")
@_url
def adopt(config: Path, stream: str, undo: bool, url: str | None) -> None:
    """Take the level of STREAM, which moved for good, as its normal one from now on; its event closes.

    What its sensors say beyond what the model expects is taken from their values before they are scored, so that the
    model stays as sensitive as it was. Refused where more than a few channels moved, or one by more than `adopt_most`.
    """
    shift = _ask(config, url, "adopt", {"stream": stream, "undo": undo}).get("shift", {})
    said = ", ".join(f"{plain(name)} {value:+.4g}" for name, value in shift.items())
    messages.result(f"{stream} is scored at its new level: {said}" if shift else f"{stream} is scored as it is")


def _ask(config: Path, url: str | None, what: str, body: dict[str, Any]) -> dict[str, Any]:
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.client import MonitorClient, Refused

        try:
            return MonitorClient(found, url).post(f"/api/streams/{what}", body)
        except Refused as error:
            raise AezError(str(error)) from error


COMMANDS = (streams,)
