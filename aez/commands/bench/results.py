"""`aez bench weak|page|sheet|results`: where models lose, pages, contact sheets, and the document of all reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.bench import shared


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@shared.models
@click.option("--quick", is_flag=True, help="One picture of each kind, at most three of DIR.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write weak.json and table there.")
@shared.as_json
def weak(folder: Path | None, models: tuple[str, ...], quick: bool, output: Path | None, as_json: bool) -> None:
    """Where models lose: text, line art, screens, noise, tiny pictures, and nearly lossless rates (also over DIR).

    Bytes that models, JPEG, WebP and AVIF take to reach the same PSNR, beside PNG and lossless WebP.
    """
    from aez.bench.saving import save_all, texts
    from aez.bench.weak.run import run

    report = run(models, folder, quick=quick, progress=sys.stderr.isatty())
    shared.show(report, as_json)
    if output is not None:
        save_all(output, texts(report, "weak"))
        messages.summary(f"wrote weak.json and weak.txt to {output}")


@click.command()
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="PHOTOGRAPH...")
@click.option("-m", "--model", "models", multiple=True, metavar="NAME|PATH", default=("photo-visual",), help="A model.")
@shared.as_json
def page(pictures: tuple[Path, ...], models: tuple[str, ...], as_json: bool) -> None:
    """A page of text around a photograph: bytes of aez and of AVIF 4:4:4 at SSIMULACRA 2 scores of 70 and 85.

    Needs `pip install 'aez[bench]'`.
    """
    shared.import_first("aez[bench]", "ssimulacra2")
    from aez.bench.weak.page_scores import measure_pages

    shared.show(measure_pages(pictures, models), as_json)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@shared.models
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT.png", help="The sheet.")
@click.option(
    "--bpp", "bpps", multiple=True, type=options.Number(), help="A rate in bits per pixel; by default 0.15 and 0.3."
)
@click.option("--count", type=click.IntRange(1, 24), default=3, show_default=True, help="Pictures, spread over DIR.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that exists.")
def sheet(
    folder: Path, models: tuple[str, ...], output: Path, bpps: tuple[float, ...], count: int, force: bool
) -> None:
    """Crops of some lossless pictures in DIR at equal bytes: original, models, JPEG, WebP, AVIF."""
    from aez.bench.pictures.contact_sheets import BPPS, folder_sheet_png
    from aez.codec.common.files import whole_file

    if output.suffix.lower() != ".png":
        raise InvalidArgument(f"a contact sheet is a .png file, not {output.name}; change the name after -o")
    with whole_file(output, force) as partial:  # which refuses before the work
        data = folder_sheet_png(folder, models, bpps or BPPS, count)
        partial.write_bytes(data)
    messages.summary(f"wrote {output}, {len(data):,} bytes")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT.md", help="By default FOLDER.md.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that this command did not make.")
@click.option("--json", "as_json", is_flag=True, help="Print which reports were used and which were not.")
def results(folder: Path, output: Path | None, force: bool, as_json: bool) -> None:
    """Make one Markdown document of the JSON reports in FOLDER: rd.json, and whatever other reports are there.

    Needs `pip install 'aez[bench]'`.
    """
    from aez.bench.results.document import document, is_made
    from aez.codec.common.files import write_whole

    target = output or folder.resolve().with_suffix(".md")
    made = document(folder, target.parent)
    write_whole(target, made.text.encode(), force=force or is_made(target))
    if as_json:
        messages.result(json.dumps({"output": str(target), "used": made.used, "unused": made.unused}))
        return
    for name in made.unused:
        messages.note(f"{folder / name} is no report that the document shows; it was left out")
    messages.summary(f"wrote {target} from {len(made.used)} report{'s' if len(made.used) != 1 else ''}")


COMMANDS = (weak, page, sheet, results)
