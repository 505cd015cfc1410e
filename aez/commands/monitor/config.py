"""What the commands of `aez monitor` begin with: the configuration's argument, and loading it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    from aez.daemon.config.reader import Configuration

_MODULES = ("aiohttp", "nats", "paho", "prometheus_client", "pyarrow", "rich")
config_argument = click.argument("config", type=click.Path(path_type=Path), metavar="MONITOR.toml")


def needs_monitor() -> AbstractContextManager[None]:
    """What to install where a package of the monitor is missing; its modules are imported within."""
    return needs("aez[monitor]", _MODULES)


def load_config(path: Path) -> Configuration:
    """The configuration; everything that is wrong with it goes to standard error, a line each."""
    with needs_monitor():
        from aez.daemon.config.reader import ConfigError, load

        try:
            return load(path)
        except ConfigError as error:
            for fault in error.faults[:-1]:
                messages.error(str(fault))
            raise InvalidArgument(str(error.faults[-1])) from error


def plain(text: str) -> str:
    """A stream's name may hold anything; a terminal gets what can be printed."""
    return "".join(one if one.isprintable() else "?" for one in text)
