"""`aez decode`: `.aez` files to pictures of any format that Pillow writes."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aez.batch import FileOutcome, Parallel, Progress, run_batch
from aez.codec.errors import CorruptFile
from aez.commands import options
from aez.commands.codec.picture_files import METADATA, TAKE_METADATA, find_format, picture_bytes
from aez.files import Job, check_target, plan, read_input, refuse_two_results, write_output
from aez.inputs import STDIO, LeftOut, find_inputs


@dataclass(frozen=True)
class DecodeJob:
    """Decodes one file after the other with the same `settings`, arguments of `decode_picture`."""

    settings: dict[str, Any]
    suffix: str | None
    force: bool

    def __call__(self, job: Job, progress: Progress) -> FileOutcome:
        from aez.codec.container.image_header import ImageHeader
        from aez.codec.container.reader import Reader
        from aez.codec.image.api import decode_picture

        check_target(job, self.force)
        picture_format = find_format(self.suffix or (Path(job.target).suffix if job.target != STDIO else ".png"))
        data = read_input(job.source)
        try:
            decoded = decode_picture(data, **self.settings, progress=progress)
        except CorruptFile as error:
            if self.settings["partial"] or error.chunk in ("header", "signature"):
                raise
            raise CorruptFile(f"{error}; --partial writes what is whole", error.chunk) from error
        image = decoded.image
        written = picture_bytes(image, picture_format)
        write_output(job.target, written, self.force)
        header = Reader(io.BytesIO(data), ImageHeader).header
        lost = [] if picture_format in TAKE_METADATA else [key for key in METADATA if image.info.get(key)]
        return FileOutcome(
            bytes_in=len(data),
            bytes_out=len(written),
            coded_bytes=len(data),
            coded_pixels=header.width * header.height,
            pixels=image.width * image.height,
            details={"width": image.width, "height": image.height, "mode": image.mode},
            notices=(f"{picture_format} does not take {', '.join(lost)}",) if lost else (),
            damage=_summed(decoded.damage),
        )


Region = tuple[int, int, int, int]


def parse_region(context: click.Context, option: click.Parameter, text: str | None) -> Region | None:
    """Four integers from x,y,width,height in pixels; raises BadParameter."""
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not four integers x,y,w,h", context, option) from None
    return x, y, width, height


@click.command()
@options.inputs
@options.output_or_beside
@options.walking
@click.option("--format", "suffix", metavar="png|jpg|...", help="Format of the pictures; by default OUT's, or png.")
@click.option("--region", callback=parse_region, metavar="X,Y,W,H", help="Decode this rectangle alone.")
@click.option("--partial", is_flag=True, help="Write what is whole of a damaged file, the rest grey; ends with code 3.")
@options.model
@click.option("--max-pixels", type=click.IntRange(1), help="Refuse larger pictures; by default 2^30.")
@options.running
def decode(
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    follow_links: bool,
    suffix: str | None,
    region: Region | None,
    partial: bool,
    model: str | None,
    max_pixels: int | None,
    device: str,
    threads: int | None,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Decode .aez files to pictures.

    IN is an .aez file, a folder (the .aez files in it) or - for standard input. Without -o results lie beside their
    inputs. The format follows from OUT's suffix; in a folder it is png. EXIF, ICC profile and XMP go along where the
    format takes them. Lossy formats are written at quality 95.
    """
    from aez.codec.image.api import MAX_PIXELS

    refuse_two_results(output or "", as_json)
    if suffix is not None:
        suffix = f".{suffix.lower().lstrip('.')}"
        find_format(suffix)
    found = find_inputs(inputs, _coded, recursive=recursive, follow_links=follow_links)
    found.tell()
    jobs = plan(found, output, suffix or ".png")
    parallel = Parallel.choose(len(jobs), workers, threads)
    settings = {
        "region": region,
        "partial": partial,
        "model": model,
        "device": device,
        "threads": parallel.threads,
        "max_pixels": max_pixels or MAX_PIXELS,
    }
    work = DecodeJob(settings, suffix, force)
    sys.exit(run_batch(jobs, work, "decoded", parallel.workers, as_json, failed=found.failed))


def _coded(path: Path) -> LeftOut | None:
    return None if path.suffix.lower() == ".aez" else LeftOut(str(path), "no .aez files")


def _summed(damage: tuple[CorruptFile, ...]) -> CorruptFile | None:
    """All damage of a file as one error."""
    if not damage:
        return None
    more = f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""
    return CorruptFile(f"only what is whole was written: {damage[0]}{more}", damage[0].chunk)
