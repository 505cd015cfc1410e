"""What the commands of `aez bench` share."""

from __future__ import annotations

import importlib
from typing import Protocol

import click

from aez import messages
from aez.codec.common.extras import needs

__all__ = ["as_json", "import_first", "models", "peer_names", "show"]

as_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
models = click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="NAME|PATH",
    default=("photo-visual", "photo"),
    show_default="photo-visual and photo",
    help="A model; may be repeated.",
)


class _Report(Protocol):
    def to_json(self) -> str:
        """For programs."""

    def table(self) -> str:
        """For people."""


def show(report: _Report, as_json: bool) -> None:
    """Print a report as its table or as JSON."""
    messages.result((report.to_json() if as_json else report.table()).rstrip("\n"))


def import_first(install: str, *modules: str) -> None:
    """Import what is needed behind the measurements, which take minutes. Raises AezError that says what to install."""
    with needs(install, modules):
        for module in modules:
            importlib.import_module(module)


def peer_names(peers: str | None) -> list[str] | None:
    """The names in a list with commas; None for all."""
    if peers is None or peers.strip().lower() == "all":
        return None
    return [name.strip() for name in peers.split(",") if name.strip() and name.strip().lower() != "none"]
