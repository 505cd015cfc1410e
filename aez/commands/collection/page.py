"""The page about a collection: one HTML file with the figures, the curves and the contact sheet."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from aez.codec.common.files import write_whole
from aez.codec.common.words import format_duration
from aez.codec.errors import OutputError
from aez.codec.report.html_page import facts_table, html_page
from aez.commands.collection.measuring import CURVES, FIGURES, MEASURED, SHEET, saving, share
from aez.commands.collection.state import Collection

PAGE = "collection.html"
_FAILURES_SHOWN = 100
_WON, _NOT_WON = "#2e7d4f", "#d99a00"
_STYLE = """
.bytes td, .bytes th { border-bottom: 1px solid #e3e6ea; } .bytes .number { text-align: right; }
.bytes tr.ours td { font-weight: 600; } .curves img { max-width: 60rem; }
"""


def write(collection: Collection, figures: Mapping[str, Any] | None) -> None:
    """Write the page and the contact sheet into OUT; `figures` are totals, once all is encoded. Raises OutputError."""
    write_whole(collection.out / SHEET, _drawing(collection, SHEET), force=True)
    write_whole(collection.out / PAGE, _html(collection, figures).encode("utf-8", "replace"), force=True)


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
    title = f"{collection.folder.name}: {'encoded' if figures else 'what encoding would come to'}"
    sentences = [outcome(collection, figures)] if figures else []
    sentences += verdict(collection)
    colour = _WON if measured["trained_wins"] else _NOT_WON
    said = "".join(f"<div>{escape(one[:1].upper() + one[1:])}.</div>" for one in sentences)
    curves = _image("Curves of the models and the other formats", _drawing(collection, CURVES))
    sheet = _image("Crops as each format gives them back", _drawing(collection, SHEET))
    measured_on = (
        f"<p>Measured on {measured['pictures']} pictures that were kept out of training, on the middle of large ones; "
        "bytes of all are projected from these.</p>"
    )
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">{escape(str(collection.folder))}</p>',
        f'<div class="verdict" style="border-color: {colour}">{said}</div>',
        "<h2>Bytes at equal quality</h2>",
        _bytes_table(collection),
        measured_on,
        "<h2>Rate and distortion</h2>",
        f'<div class="curves">{curves}</div>',
        "<h2>To look at</h2>",
        f"<p>Crops of pictures kept out of training, every format at most at the same bytes; {SHEET} is larger.</p>",
        f'<div class="sheet">{sheet}</div>',
    ]
    if figures and figures["failed"]:
        shown = figures["failed"][:_FAILURES_SHOWN]
        body += [f"<h2>Failed: {len(figures['failed']):,}</h2>", facts_table(shown)]
    body += ["<h2>How it was made</h2>", facts_table(_facts(collection, figures))]
    body.append(
        "<footer>Files decode with `aez decode`: the model is looked for beside a file and in the folders above it. "
        "Each result was decoded once after it was written; manifest.csv has its PSNR.</footer>"
    )
    return html_page(title, body, _STYLE)


def _bytes_table(collection: Collection) -> str:
    measured, projected = collection.measured or {}, collection.projected or {}
    whole = projected["bytes_in"]
    head = "".join(
        f'<th class="number">{name}</th>'
        for name in ("bytes of all", "of the sources", "aez at equal PSNR", "aez at equal SSIMULACRA 2")
    )
    out = projected["bytes_out"]
    rows = [f'<tr class="ours">{_cells(measured["model"], f"{out:,}", share(out, whole), "", "")}</tr>']
    for name, of in projected["peers"].items():
        size = of[measured["figure"]]
        ratios = [saving(measured["peers"][name][figure]) for figure in FIGURES]
        rows.append(f"<tr>{_cells(name, '-' if size is None else f'{size:,}', share(size, whole), *ratios)}</tr>")
    rows.append(f"<tr>{_cells('the sources', f'{whole:,}', '', '', '')}</tr>")
    return f'<div class="scroll"><table class="bytes"><tr><th></th>{head}</tr>\n' + "\n".join(rows) + "</table></div>"


def _cells(name: str, *numbers: str) -> str:
    return f"<td>{escape(name)}</td>" + "".join(f'<td class="number">{escape(text)}</td>' for text in numbers)


def _image(about: str, png: bytes) -> str:
    return f'<img alt="{about}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


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
