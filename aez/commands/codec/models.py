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
from aez.codec.common.words import listed
from aez.commands.codec.models_export import export

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle
    from aez.codec.bundle.library import ListedBundle

#: As in codec.detect.detector, codec.detect.pictures and codec.vectors.model, which bring more than a listing needs.
DETECTOR, PICTURE_DETECTOR, AUTOENCODER = "detector", "picture-detector", "autoencoder"
#: What a listing tells of a detector.
DETECTOR_FACTS = ("window", "channels", "period_seconds", "threshold", "score", "event_rule")
AUTOENCODER_FACTS = ("kind", "shape", "dimensions", "prior", "removes")
PICTURE_FACTS = ("height", "width", "colours", "threshold", "score")
CHANNELS_SHOWN = 4


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models that can be used by name: the user's, then those that came with aez."""
    if context.invoked_subcommand is not None:
        return
    from aez.codec.bundle.library import list_bundles, model_folders

    entries = [_entry(listing) for listing in list_bundles()]
    if as_json:
        for entry in entries:
            messages.result(json.dumps(entry))
    elif entries:
        messages.result("\n".join(line for entry in entries for line in _lines(entry)))
    else:
        messages.note(f"there is no model in {' or '.join(str(folder) for _, folder in model_folders())}")


models.add_command(export)


@models.command()
@click.argument("models", nargs=-1, required=True, metavar="NAME|PATH...")
def verify(models: tuple[str, ...]) -> None:
    """Check models in full: hashes, sizes, operators, tables, and one run of the graphs."""
    sys.exit(run_each(models, _verify))


def _verify(name: str) -> None:
    from aez.codec.bundle.library import find_bundle

    bundle = find_bundle(Path(name) if Path(name).is_file() else name)
    bundle.verify()
    if bundle.task == DETECTOR:
        from aez.codec.detect.detector import Detector

        Detector(bundle, "cpu", 1)  # runs the probe, whose scores must be those that the bundle promises
    elif bundle.task == PICTURE_DETECTOR:
        from aez.codec.detect.pictures import PictureDetector

        PictureDetector(bundle, "cpu", 1)
    elif bundle.task == AUTOENCODER:
        import numpy as np

        from aez.codec.vectors.model import Autoencoder

        opened = Autoencoder(bundle, "cpu", 1)  # as detectors do
        opened.decode(np.zeros((1, opened.dimensions), np.float32))
    else:
        _run_codec(bundle)
    messages.result(f"{click.format_filename(name)}: sound ({bundle.name}, {bundle.id})")


def _run_codec(bundle: Bundle) -> None:
    """Run what decodes a picture once."""
    import numpy as np

    from aez.codec.image.model import open_model

    model = open_model(bundle, "cpu", 1)
    _ = model.tables
    g = model.geometry
    prediction = model.predict(np.zeros((g.hyper_channels, 1, 1), np.int32), 0)
    side = g.hyper_cells * g.cells
    y = np.zeros((g.channels, side, side), np.float32)
    for phase in range(len(g.phases)):
        residual = np.zeros(prediction.index().shape, np.int32)
        g.put_phase(y, phase, prediction.mean())
        prediction.learn(residual)
    model.synthesis(y, 0)


def _entry(listing: ListedBundle) -> dict[str, Any]:
    from aez.codec.bundle.bundle import Bundle
    from aez.codec.errors import ModelError

    entry: dict[str, Any] = {"name": listing.name, "path": str(listing.path), "source": listing.source}
    if listing.error:
        return {**entry, "error": listing.error}
    try:
        return {**entry, **_details(Bundle.open(listing.path, half=True))}
    except ModelError as error:
        return {**entry, "error": str(error)}


def _details(bundle: Bundle) -> dict[str, Any]:
    summary = bundle.summary()
    summary["quality_range"] = bundle.coding.get("quality_range")
    if bundle.task == DETECTOR:
        summary |= {name: bundle.coding.get(name) for name in DETECTOR_FACTS}
    elif bundle.task == PICTURE_DETECTOR:
        summary |= {name: bundle.coding.get(name) for name in PICTURE_FACTS}
    elif bundle.task == AUTOENCODER:
        summary |= {name: bundle.coding.get(name) for name in AUTOENCODER_FACTS}
    summary["provenance"] = bundle.manifest["provenance"]
    return summary


def _lines(entry: dict[str, Any]) -> Iterator[str]:
    if "error" in entry:
        yield f"{entry['name']}  NOT USABLE: {entry['error']}"
        return
    half = ", decodes only" if entry["half"] else ""
    yield f"{entry['name']}  {entry['id'][:16]}  {entry['task']}{half}  {entry['bytes']:,} bytes  ({entry['source']})"
    if entry["quality_range"]:
        low, high = entry["quality_range"]
        yield f"  quality {low:g} to {high:g}"
    if entry["task"] == DETECTOR:
        yield from _detector_lines(entry)
    elif entry["task"] == PICTURE_DETECTOR:
        colours = "grey" if entry["colours"] == 1 else "colour"
        yield f"  pictures of {entry['width']} x {entry['height']} pixels, {colours}"
        yield f"  threshold {entry['threshold']:.4g} of {entry['score']}, family {entry['family']}"
    elif entry["task"] == AUTOENCODER:
        shape = "x".join(map(str, entry["shape"]))
        yield f"  {entry['kind']} of {shape} in {entry['dimensions']:,} numbers, family {entry['family']}"
    for key, value in _flat(entry["figures"]):
        yield f"  {key}: {value}"


def _detector_lines(entry: dict[str, Any]) -> Iterator[str]:
    names = entry["channels"] or []
    every = f", one every {entry['period_seconds']:g} s" if entry["period_seconds"] else ""
    yield f"  window {entry['window']} rows{every}"
    yield f"  {len(names)} channels: {listed([str(name) for name in names], CHANNELS_SHOWN)}"
    yield f"  threshold {entry['threshold']:.4g} of {entry['score']}, family {entry['family']}"


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested figures as (dotted name, value)."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)
