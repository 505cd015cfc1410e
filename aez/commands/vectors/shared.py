"""What the commands about autoencoders of items share: options of reading, and what is told of what was read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.common.words import listed
from aez.codec.errors import InvalidArgument
from aez.commands import options

if TYPE_CHECKING:
    from aez.codec.vectors.items import Items
    from aez.codec.vectors.reading import Reading

#: Names of what `reading` gives.
READING = ("label", "labels", "ignore", "array", "size")


def _parse_size(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(height, width) from WxH; raises BadParameter."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if not found or not all(1 <= int(side) <= 512 for side in found.groups()):
        raise click.BadParameter(f"{text!r} is not WIDTHxHEIGHT with 1..512 pixels a side", context, option)
    return int(found[2]), int(found[1])


model = click.option(
    "-m", "--model", required=True, metavar="NAME|PATH", help="Model of `aez train dense` and its like."
)
label = click.option("--label", metavar="COLUMN", help="The column, or the array of an NPZ file, that holds labels.")
labels = click.option("--labels", metavar="FILE", help="A file of labels: IDX, NPY, or one a line.")
ignore = click.option("--ignore", metavar="A,B", help="Columns to leave out.")
array = click.option("--array", metavar="NAME", help="The array of an NPZ file that holds the items.")
size = click.option("--size", callback=_parse_size, metavar="WxH", help="Bring pictures to this size.")
reading = options.in_order(label, labels, ignore, array, size)


def reading_of(
    label: str | None = None,
    labels: str | None = None,
    ignore: str | None = None,
    array: str | None = None,
    size: tuple[int, int] | None = None,
) -> Reading:
    """How to read data, from the options."""
    from aez.codec.vectors.reading import Reading

    left_out = tuple(name.strip() for name in (ignore or "").split(",") if name.strip())
    return Reading(label, None if labels is None else Path(labels), left_out, array, size)


def without_labels_file(how: Reading) -> Reading:
    """The same for another file, whose labels are others."""
    return replace(how, labels=None)


def refuse_idle(data: str, items: Items, how: Reading) -> None:
    """Refuse options of reading that say nothing to these data. Raises InvalidArgument."""
    from aez.codec.vectors.tables import SUFFIXES

    suffix = Path(data).suffix.lower()
    for option, given, idle in (
        ("--size is for pictures", how.size, items.kind == "vectors"),
        ("--ignore is for tables", how.ignore, suffix not in SUFFIXES),
        ("--array is for .npz files", how.array, suffix != ".npz"),
    ):
        if given and idle:
            raise InvalidArgument(f"{option}, and {data} is something else; leave it out")


def tell_skipped(items: Items) -> None:
    """Say which pictures could not be read, and what was not kept of the others."""
    for notice in items.notices:
        messages.note(notice)
    if items.skipped:
        names = listed([path for path, _ in items.skipped], 5)
        count = len(items.skipped)
        said = "1 picture cannot be read and is" if count == 1 else f"{count:,} pictures cannot be read and are"
        messages.warning(f"{said} left out: {names}")
