"""The page about a collection: one HTML file with the figures, the curves and the contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aez.codec.common.files import write_whole
from aez.codec.common.words import format_duration
from aez.codec.errors import OutputError
from aez.codec.report.pages import Figure, html_page
from aez.commands.collection.measuring import CURVES, FIGURES, MEASURED, SHEET, saving, share
from aez.commands.collection.state import Collection

PAGE = "collection.html"
_FAILURES_SHOWN = 100
_WON, _NOT_WON = "#2e7d4f", "#d99a00"


def write(collection: Collection, figures: Mapping[str, Any] | None) -> None:
    """Write the page and the contact sheet into OUT; `figures` are totals, once all is encoded. Raises OutputError."""
    write_whole(collection.out / SHEET, _drawing(collection, SHEET), force=True)
    write_whole(collection.out / PAGE, _html(collection, figures).encode(), force=True)


def verdict(collection: Collection) -> Iterator[str]:
    """What was found out, in sentences."""
    measured, projected = collection.measured or {}, collection.projected or {}
    trained, base = f"aez {collection.name}", f"aez {collection.base}"
    if measured["trained_wins"]:
        yield f"trained for it, {trained} needs fewer bytes than {base} at equal {_figure(measured)}"
    else:
        yield f"trained for it, {trained} does not win: {base} needs no more bytes at equal {_figure(measured)}"
    yield (
        f"{projected['files']:,} pictures, {projected['bytes_in']:,} bytes, come to about {projected['bytes_out']:,} "
        f"({share(projected['bytes_out'], projected['bytes_in'])}) with {measured['model']}, in about "
        f"{format_duration(projected['seconds'])}"
    )
    own, other = measured["model_bytes"], projected["peers"].get(base, {}).get(measured["figure"])
    if own and other is not None and other - projected["bytes_out"] < own:
        yield (
            f"the model itself takes {own:,} bytes, more than it saves over {base} in so few pictures "
            f"({max(other - projected['bytes_out'], 0):,}); --take shipped encodes without it"
        )


def outcome(collection: Collection, figures: Mapping[str, Any]) -> str:
    """What all came to, in one sentence."""
    measured = collection.measured or {}
    own = f", and the model's {measured['model_bytes']:,} bytes once" if measured["model_bytes"] else ""
    failed = f"; {len(figures['failed']):,} failed" if figures["failed"] else ""
    return (
        f"{figures['files']:,} pictures are in {collection.out}: {figures['bytes_in']:,} bytes became "
        f"{figures['bytes_out']:,} ({share(figures['bytes_out'], figures['bytes_in'])}){own}{failed}"
    )


def _figure(measured: Mapping[str, Any]) -> str:
    return "SSIMULACRA 2" if measured["figure"] == "ssimulacra2" else "PSNR"


def _drawing(collection: Collection, name: str) -> bytes:
    path = collection.work / MEASURED / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path} is gone ({error.strerror or error}); begin anew in another folder") from error


def _html(collection: Collection, figures: Mapping[str, Any] | None) -> str:
    measured = collection.measured or {}
    sentences = [outcome(collection, figures)] if figures else []
    sentences += verdict(collection)
    failed = figures["failed"] if figures else []
    return html_page(
        "page.html",
        Path(__file__).parent,
        title=f"{collection.folder.name}: {'encoded' if figures else 'what encoding would come to'}",
        folder_name=str(collection.folder),
        said=[one[:1].upper() + one[1:] for one in sentences],
        colour=_WON if measured["trained_wins"] else _NOT_WON,
        rows=list(_rows(collection)),
        measured_on=measured["pictures"],
        curves=Figure(_drawing(collection, CURVES), "Curves of the models and the other formats"),
        sheet=Figure(_drawing(collection, SHEET), "Crops as each format gives them back"),
        sheet_name=SHEET,
        failed=failed[:_FAILURES_SHOWN],
        failures=len(failed),
        facts_of_all=list(_facts(collection, figures)),
    )


def _rows(collection: Collection) -> Iterator[tuple[str, ...]]:
    """Name, bytes, share of the sources and what `aez` takes of it, the model that encodes first."""
    measured, projected = collection.measured or {}, collection.projected or {}
    whole, out = projected["bytes_in"], projected["bytes_out"]
    yield measured["model"], f"{out:,}", share(out, whole), "", ""
    for name, of in projected["peers"].items():
        size = of[measured["figure"]]
        ratios = [saving(measured["peers"][name][figure]) for figure in FIGURES]
        yield name, "-" if size is None else f"{size:,}", share(size, whole), *ratios
    yield "the sources", f"{whole:,}", "", "", ""


def _facts(collection: Collection, figures: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    measured, settings = collection.measured or {}, collection.settings
    yield "target", ", ".join(f"{name} {value:g}" for name, value in collection.target.items())
    eye = measured["ssimulacra2"]
    score = "" if eye is None else f", SSIMULACRA 2 {eye:.1f}"
    yield "on pictures kept out", f"{measured['bpp']:.3f} bits per pixel, {measured['psnr']:.2f} dB{score}"
    if figures and figures["psnr"] is not None:
        yield "mean PSNR of all", f"{figures['psnr']:.2f} dB"
    yield "model", f"{measured['model']}, id {measured['id']}"
    yield "trained from", f"{collection.base}, for {settings['minutes']:g} minutes, by the loss {settings['loss']}"
    yield "on", f"{len(collection.training):,} pictures, drawn with seed {settings['seed']}"
    if figures:
        yield "files", f"{figures['files']:,}, listed in manifest.csv"
