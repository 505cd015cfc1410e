"""`aez monitor reload`: tell a monitor that runs to take its configuration anew."""

from __future__ import annotations

from pathlib import Path

import click

from aez import messages
from aez.codec.errors import AezError, InvalidArgument
from aez.commands.monitor.config import config_argument, load_config, needs_monitor

_SECONDS = 180.0  # models are loaded and warmed up, what waits is scored, and brokers are tried


@click.command()
@config_argument
def reload(config: Path) -> None:
    """Let the monitor that runs take its configuration anew; says whether it did and what changed."""
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.client import MonitorClient, Refused

        try:
            client = MonitorClient(found, timeout=_SECONDS)
        except InvalidArgument as error:
            raise InvalidArgument(f"{error}; reload asks the page of the monitor, or send SIGHUP") from error
        try:
            answer = client.post("/api/reload")
        except Refused as error:
            raise AezError(f"the monitor kept its old configuration: {error}") from error
    messages.result(f"reloaded: {answer.get('changes', '')}")


COMMANDS = (reload,)
