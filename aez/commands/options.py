"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _finite(found: float, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
    if not math.isfinite(found):
        raise click.BadParameter(f"{value} is no finite number", ctx, param)
    return found


class Number(click.types.FloatParamType):
    """A number that is one: click takes nan and infinity, too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return _finite(super().convert(value, param, ctx), value, param, ctx)


class Finite(click.FloatRange):
    """The same in a range: click takes nan for any, and infinity where there is no upper bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return _finite(super().convert(value, param, ctx), value, param, ctx)


def in_order(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several decorators as one; `--help` lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


inputs = click.argument("inputs", nargs=-1, required=True, metavar="IN...")
files = click.argument("files", nargs=-1, required=True, metavar="FILE...")
output = click.option(
    "-o", "--output", required=True, metavar="OUT|DIR", help="File or folder for the result; - is standard output."
)
output_or_beside = click.option(
    "-o", "--output", metavar="OUT|DIR", help="File or folder for the result, by default beside IN; - standard output."
)
walking = in_order(
    click.option("-r", "--recursive", is_flag=True, help="Folders inside folders too; the tree is kept below DIR."),
    click.option("--follow-links", is_flag=True, help="Follow symbolic links in folders."),
)
looking = in_order(
    click.option("-r", "--recursive", is_flag=True, help="Folders inside folders too."),
    click.option("--follow-links", is_flag=True, help="Follow symbolic links in folders."),
)
model = click.option(
    "-m", "--model", metavar="NAME|PATH", help="Model by name, by id or as an .aezm file, in place of the usual one."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file.")
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where networks run; auto takes CUDA where it is there.",
)
streams = click.option(
    "--stream", metavar="COLUMN", help="The column that names each row's stream, where a file holds several."
)
series_reading = in_order(
    click.option("--time-column", metavar="NAME", help="The column with the times; by default it is found."),
    click.option(
        "--time-unit",
        type=click.Choice(["s", "ms", "us", "ns", "days"]),
        help="Of times that are numbers, by default told by their size; days are those of spreadsheets.",
    ),
    click.option("--array", metavar="NAME", help="The array of an NPZ file that holds the values."),
    click.option(
        "--resample",
        type=Finite(0, min_open=True),
        metavar="SECONDS",
        help="Put rows on an even clock first: the mean of each so many seconds.",
    ),
)
running = in_order(
    device,
    click.option("--threads", type=click.IntRange(1, 1024), help="Threads for one file; by default all cores, or one."),
    click.option("--workers", type=click.IntRange(1, 256), help="Files at a time; by default one for each core."),
    click.option("-f", "--force", is_flag=True, help="Replace files that exist."),
    as_json,
)
