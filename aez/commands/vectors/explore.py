"""`aez explore`: an autoencoder's latent in the browser, from a port of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    from aez.commands.page_server import PageServer

PAGE = "/pages/latent/index.html"
#: More points than these are drawn by nobody; they are spread evenly over the file.
POINTS_MAX = 20_000
#: What the page is made of, below the JavaScript package.
_FOLDERS = ("dist", "pages", "pages/latent", "pages/series")


@click.command()
@click.argument("model", metavar="NAME|PATH")
@click.argument("vectors", required=False, type=click.Path(path_type=Path), metavar="[VECTORS]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; by default one that is free.")
@click.option("--no-browser", is_flag=True, help="Open no browser; the address is printed in any case.")
def explore(model: str, vectors: Path | None, port: int, no_browser: bool) -> None:
    """Look into the latent of an autoencoder in the browser: a map, sliders, ways from one item to another.

    VECTORS are points of the map with their labels, as `aez embed` writes them (.parquet, .npz). The page decodes by
    itself. It and the model come from 127.0.0.1 until Ctrl+C, and nothing goes anywhere else.
    """
    from aez.commands.page_server import show

    with explorer(model, vectors, port) as server:
        show(server, no_browser)


def explorer(model: str, vectors: Path | None, port: int = 0) -> PageServer:
    """The page with a model and points. Raises ModelError, UnsupportedInput, InvalidArgument."""
    from aez.codec.bundle.library import find_bundle
    from aez.codec.vectors.model import Autoencoder
    from aez.commands.page_server import JSON, PageServer, Served

    opened = Autoencoder(find_bundle(Path(model) if Path(model).is_file() else model), "cpu", 1)
    others = {"/model.aezm": Served(opened.bundle.to_bytes())}
    start = f"{PAGE}?model=/model.aezm"
    if vectors is not None:
        others["/vectors.json"] = Served(_points(vectors, opened), JSON)
        start += "&vectors=/vectors.json"
    return PageServer(start, _FOLDERS, port, others)


def _points(path: Path, opened: Any) -> bytes:
    from aez.codec.vectors.files import read_vectors

    file = read_vectors(path)
    if file.vectors.ndim != 2 or file.vectors.shape[1] != opened.dimensions:
        raise InvalidArgument(
            f"{path} has vectors of the shape {list(file.vectors.shape[1:])}, and codes of model "
            f"{opened.bundle.name} have {opened.dimensions} numbers"
        )
    count = len(file.vectors)
    chosen = range(count) if count <= POINTS_MAX else [at * count // POINTS_MAX for at in range(POINTS_MAX)]
    if count > POINTS_MAX:
        messages.note(f"{POINTS_MAX:,} of {count:,} vectors are shown, evenly spread")
    vectors = [[round(float(one), 5) for one in file.vectors[at]] for at in chosen]
    labels = None if file.labels is None else [file.labels[at] for at in chosen]
    return json.dumps({"vectors": vectors, "labels": labels}).encode()
