"""`aez models`: the models that are here, and whether they are sound."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.batch import run_each

if TYPE_CHECKING:
    from aez.codec.bundle import Bundle, Listing


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models that can be used by name: the user's, then those that came with aez."""
    if context.invoked_subcommand is not None:
        return
    from aez.codec.bundle import list_bundles, model_folders

    entries = [_entry(listing) for listing in list_bundles()]
    if as_json:
        for entry in entries:
            messages.result(json.dumps(entry))
    elif entries:
        messages.result("\n".join(line for entry in entries for line in _lines(entry)))
    else:
        messages.note(f"there is no model in {' or '.join(str(folder) for _, folder in model_folders())}")


@models.command()
@click.argument("models", nargs=-1, required=True, metavar="NAME|PATH...")
def verify(models: tuple[str, ...]) -> None:
    """Check models in full: hashes, sizes, operators, tables, and one run of the decoding graphs."""
    sys.exit(run_each(models, _verify))


def _verify(name: str) -> None:
    import numpy as np

    from aez.codec.bundle import find_bundle
    from aez.codec.model import open_model

    bundle = find_bundle(Path(name) if Path(name).is_file() else name)
    bundle.verify()
    model = open_model(bundle, "cpu", 1)
    _ = model.tables
    g = model.geometry
    prediction = model.predict(np.zeros((g.hyper_channels, 1, 1), np.int32), 0)
    y = np.zeros((g.channels, g.cells, g.cells), np.float32)
    for phase in range(len(g.phases)):
        residual = np.zeros(prediction.index().shape, np.int32)
        g.put_phase(y, phase, prediction.mean())
        prediction.learn(residual)
    model.synthesis(y, 0)
    messages.result(f"{click.format_filename(name)}: sound ({bundle.name}, {bundle.id})")


def _entry(listing: Listing) -> dict[str, Any]:
    from aez.codec.bundle import Bundle
    from aez.codec.errors import ModelError

    entry: dict[str, Any] = {"name": listing.name, "path": str(listing.path), "source": listing.source}
    if listing.error:
        return {**entry, "error": listing.error}
    try:
        return {**entry, **_details(Bundle.open(listing.path))}
    except ModelError as error:
        return {**entry, "error": str(error)}


def _details(bundle: Bundle) -> dict[str, Any]:
    summary = bundle.summary()
    summary["quality_range"] = bundle.coding.get("quality_range")
    summary["provenance"] = bundle.manifest["provenance"]
    return summary


def _lines(entry: dict[str, Any]) -> Iterator[str]:
    if "error" in entry:
        yield f"{entry['name']}  NOT USABLE: {entry['error']}"
        return
    yield f"{entry['name']}  {entry['id'][:16]}  {entry['task']}  {entry['bytes']:,} bytes  ({entry['source']})"
    if entry["quality_range"]:
        low, high = entry["quality_range"]
        yield f"  quality {low:g} to {high:g}"
    for key, value in _flat(entry["figures"]):
        yield f"  {key}: {value}"


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested figures as (dotted name, value)."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)
