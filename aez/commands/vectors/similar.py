"""`aez similar`: the items whose codes are nearest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors import opened, shared
from aez.files import Job, check_target, refuse_two_results, write_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aez.codec.vectors.files import VectorFile
    from aez.codec.vectors.items import Items
    from aez.codec.vectors.model import Autoencoder
    from aez.codec.vectors.reading import Reading

#: Queries whose neighbours are listed, and shown on a sheet.
_LISTED, _SHOWN = 20, 10


@dataclass(frozen=True)
class _Index:
    """Vectors to search, and where the pictures of their items are."""

    file: VectorFile
    items: Items | None
    source: str


@click.command()
@click.argument("query", metavar="QUERY")
@click.option(
    "--index", required=True, metavar="VECTORS|DATA", help="A file of `aez embed`, or items such as a folder."
)
@shared.model
@click.option("-k", "--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="Neighbours.")
@click.option("--distance", type=click.Choice(["euclidean", "cosine"]), default="euclidean", show_default=True)
@click.option("--keep-query", is_flag=True, help="List the query itself, too, where it is in the index.")
@click.option("-o", "--output", metavar="OUT.png", help="A contact sheet: a query and its neighbours in each row.")
@shared.reading
@latent_shared.running
@options.as_json
def similar(
    query: str,
    index: str,
    model: str,
    count: int,
    distance: str,
    keep_query: bool,
    output: str | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Find the items that are most like QUERY by the distance of their codes.

    QUERY is an item such as digits.gz#7, a picture, or many items. Of those that are in the index themselves the others
    are found. Where index and query have labels, it says how many
    of the neighbours have the query's. Labels that are given are those of QUERY.
    """
    import numpy as np

    from aez.codec.vectors.neighbours import nearest_others, precision

    if output is not None:
        refuse_two_results(output, as_json)
        check_target(Job(query, output), force)
        latent_shared.format_of(output)
    autoencoder = opened.open_autoencoder(model, device, threads)
    how = shared.reading_of(**reading)
    asked, values = opened.read_for(autoencoder, query, how)
    found = _index(autoencoder, index, shared.without_labels_file(how))
    own = np.full(len(asked), -1) if keep_query else _own(query, asked, found)
    numbers, distances = nearest_others(found.file.vectors, autoencoder.encode(values).mean, count, distance, own)
    share = None
    if asked.labels is not None and found.file.labels is not None:
        share = precision(numbers, found.file.labels, asked.labels)
    if output is not None:
        _write_sheet(output, autoencoder, values, _pictures(autoencoder, found, how), numbers, force)
    if left_out := int((own >= 0).sum()):
        those = "the query is" if len(asked) == 1 else f"{left_out:,} of {len(asked):,} queries are"
        messages.note(f"{those} in the index and not listed as similar to itself; --keep-query lists it")
    _tell(asked, found.file, numbers, distances, share, as_json)


def _index(model: Autoencoder, source: str, how: Reading) -> _Index:
    """The vectors of a file, or of items that are embedded now. Raises AezError."""
    from aez.codec.vectors.files import VectorFile, read_vectors

    if Path(source).suffix.lower() in (".parquet", ".npz") and Path(source).is_file():
        file = read_vectors(Path(source))
        if file.about.get("model_id") != model.bundle.id:
            raise InvalidArgument(
                f"{source} holds vectors of the model {file.about.get('model', 'of another program')}, and those of "
                f"{model.bundle.name} are other ones; embed the items again"
            )
        return _Index(file, None, file.about.get("source", ""))
    items, values = opened.read_for(model, source, how)
    return _Index(VectorFile(items.names, items.labels, model.encode(values).mean, {}), items, source)


def _own(query: str, asked: Items, index: _Index) -> NDArray[Any]:
    """The number of each query in the index where it is the same item, by file and name; -1 where it is not there."""
    import numpy as np

    from aez.codec.vectors.reading import places

    if not index.source:
        return np.full(len(asked), -1)
    numbers = {place: number for number, place in enumerate(places(index.source, index.file.names))}
    return np.array([numbers.get(place, -1) for place in places(query, asked.names)])


def _pictures(model: Autoencoder, index: _Index, how: Reading) -> NDArray[Any]:
    """The values of the indexed items. Raises InvalidArgument where they are not here any more."""
    source = index.source
    if index.items is not None:
        return model.values(index.items)
    if not source or not Path(source).exists():
        raise InvalidArgument(f"the items of the index, {source or 'unknown'}, are not here to be shown; leave out -o")
    items, values = opened.read_for(model, source, shared.without_labels_file(how))
    if items.names != index.file.names:
        raise InvalidArgument(f"{source} holds other items now than those of the index; embed them again")
    return values


def _write_sheet(
    output: str,
    model: Autoencoder,
    asked: NDArray[Any],
    pictures: NDArray[Any],
    numbers: NDArray[Any],
    force: bool,
) -> None:
    from aez.codec.latent.drawing import contact_sheet
    from aez.codec.vectors.drawing import pixels_of

    if model.range is None:
        raise InvalidArgument("vectors are no pictures to put on a sheet; leave out -o")
    shown = []
    for one, near in zip(asked[:_SHOWN], numbers[:_SHOWN], strict=True):
        shown += pixels_of(one[None], model.range[1]) + pixels_of(pictures[near], model.range[1])
    sheet = contact_sheet(shown, numbers.shape[1] + 1)
    write_output(output, picture_bytes(sheet, latent_shared.format_of(output)), force)


def _tell(
    asked: Items,
    file: VectorFile,
    numbers: NDArray[Any],
    distances: NDArray[Any],
    share: float | None,
    as_json: bool,
) -> None:
    """The neighbours of the first queries, and the share that has the query's label."""
    rows = []
    for name, near, far in zip(asked.names[:_LISTED], numbers, distances, strict=False):
        labels = None if file.labels is None else [file.labels[number] for number in near]
        rows.append(
            {"query": name, "names": [file.names[n] for n in near], "distances": far.tolist(), "labels": labels}
        )
    if as_json:
        messages.result(json.dumps({"queries": len(asked), "precision": share, "neighbours": rows}))
        return
    for row in rows:
        messages.result(f"{row['query']}:")
        for place, (name, far) in enumerate(zip(row["names"], row["distances"], strict=True)):
            label = f"  {row['labels'][place]}" if row["labels"] else ""
            messages.result(f"  {far:10.4g}  {name}{label}")
    if len(asked) > len(rows):
        messages.summary(f"listed {len(rows)} of {len(asked):,} queries")
    if share is not None:
        messages.result(f"precision at {numbers.shape[1]} by label: {share:.4f}")
