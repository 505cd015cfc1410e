"""`aez decode`: `.aez` files to pictures of any format that Pillow writes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez.batch import FileOutcome, Parallel, Progress, run_batch
from aez.codec.errors import CorruptFile, InvalidArgument
from aez.codec.remote.address import file_name, is_url
from aez.commands import options
from aez.commands.codec.picture_files import Background, decoded_bytes, find_format
from aez.files import Job, check_target, plan, read_input, refuse_two_results, write_output
from aez.inputs import STDIO, Found, Inputs, find_coded

if TYPE_CHECKING:
    from aez.codec.image.decoded import Decoded


@dataclass(frozen=True)
class DecodeJob:
    """Decodes one file after the other with the same `settings`, arguments of `decode_picture`."""

    settings: dict[str, Any]
    suffix: str | None
    force: bool
    background: Background | None = None
    fit: int | None = None

    def __call__(self, job: Job, progress: Progress) -> FileOutcome:
        check_target(job, self.force)
        picture_format = find_format(self.suffix or (Path(job.target).suffix if job.target != STDIO else ".png"))
        try:
            decoded, size = self._decoded(job.source, progress)
        except CorruptFile as error:
            if self.settings["partial"] or error.chunk in ("header", "signature"):
                raise
            raise CorruptFile(f"{error}; --partial writes what is whole", error.chunk) from error
        if self.fit is not None:
            decoded = decoded.fitted(self.fit)
        written, notices = decoded_bytes(decoded, picture_format, self.background)
        write_output(job.target, written, self.force)
        header, (height, width) = decoded.header, decoded.pixels.shape[:2]
        return FileOutcome(
            bytes_in=size,
            bytes_out=len(written),
            coded_bytes=size,
            coded_pixels=header.width * header.height,
            pixels=width * height,
            details={"width": width, "height": height, "mode": decoded.image.mode},
            notices=notices,
            damage=_summed(decoded.damage),
        )

    def _decoded(self, source: str, progress: Progress) -> tuple[Decoded, int]:
        """The picture, and the bytes of its file; for a region of a file far away, only what it needs is read."""
        from aez.codec.container.chunks import SIGNATURE
        from aez.codec.image.decoding import decode_picture, decode_region

        beside = None if source == STDIO or is_url(source) else source
        if is_url(source):
            from aez.codec.remote.file import open_url

            with open_url(source) as far:
                if self.settings["region"] is not None and self.settings["scale"] == 1 and self.fit is None:
                    settings = {name: value for name, value in self.settings.items() if name != "scale"}
                    return decode_region(far, **settings), far.seek(0, os.SEEK_END)
                data = far.read()
        else:
            data = read_input(source, SIGNATURE[:-1])
        settings = {**self.settings, **self._scale(data), "beside": beside, "progress": progress}
        return decode_picture(data, **settings), len(data)

    def _scale(self, data: bytes) -> dict[str, int]:
        """The scale at which the picture still has the side that is asked for."""
        if self.fit is None:
            return {}
        from aez.codec.image.decoding import shown_size
        from aez.codec.image.reducing import scale_for

        return {"scale": scale_for(*shown_size(data, self.settings["region"]), self.fit)}


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


def parse_scale(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """8 for 1/8 and so on; raises BadParameter."""
    if text is None:
        return None
    if text not in ("1/2", "1/4", "1/8"):
        raise click.BadParameter(f"{text!r} is none of 1/2, 1/4 and 1/8", context, option)
    return int(text[2:])


def parse_colour(context: click.Context, option: click.Parameter, text: str | None) -> Background | None:
    """RGB of a colour's name or number as CSS has them; raises BadParameter."""
    if text is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no colour, such as white or #20a0ff", context, option) from None
    return red, green, blue


@click.command()
@options.inputs
@options.output_or_beside
@options.walking
@click.option("--format", "suffix", metavar="png|jpg|...", help="Format of the pictures; by default OUT's, or png.")
@click.option(
    "--region", callback=parse_region, metavar="X,Y,W,H", help="Decode this rectangle of the stored pixels alone."
)
@click.option("--scale", callback=parse_scale, metavar="1/2|1/4|1/8", help="Decode at this part of the size.")
@click.option(
    "--fit", type=click.IntRange(1), metavar="PIXELS", help="Scale pictures down whose longer side has more pixels."
)
@click.option("--background", callback=parse_colour, metavar="COLOUR", help="Put transparent pictures over a colour.")
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
    scale: int | None,
    fit: int | None,
    background: Background | None,
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

    IN is an .aez file, a folder (the .aez files in it), a URL (needs aez[remote]; of a region, only what it needs is
    read) or - for standard input. Without -o results lie beside their
    inputs. The format follows from OUT's suffix; in a folder it is png. EXIF, ICC profile and XMP go along where the
    format takes them; PNG and TIFF have all bits of deep pictures; where a format cannot say the orientation, pixels
    are turned. Lossy formats are written at quality 95.
    """
    from aez.codec.image.decoding import MAX_PIXELS

    refuse_two_results(output or "", as_json)
    if scale is not None and fit is not None:
        raise InvalidArgument("give only one of --scale and --fit")
    if suffix is not None:
        suffix = f".{suffix.lower().lstrip('.')}"
        find_format(suffix)
    found = find_coded(inputs, recursive=recursive, follow_links=follow_links)
    _name_urls(found, output)
    jobs = plan(found, output, suffix or ".png")
    parallel = Parallel.choose(len(jobs), workers, threads)
    settings = {
        "region": region,
        "partial": partial,
        "model": model,
        "device": device,
        "threads": parallel.threads,
        "max_pixels": max_pixels or MAX_PIXELS,
        "scale": scale or 1,
    }
    work = DecodeJob(settings, suffix, force, background, fit)
    sys.exit(run_batch(jobs, work, "decoded", parallel.workers, as_json, failed=found.failed))


def _name_urls(found: Inputs, output: str | None) -> None:
    """Name the results of URLs after their files. Raises InvalidArgument where they have no place."""
    for number, one in enumerate(found.files):
        if is_url(one.path):
            if output is None:
                raise InvalidArgument("nothing is written beside a URL: name a file or a folder with -o")
            found.files[number] = Found(one.path, Path(file_name(one.path)))


def _summed(damage: tuple[CorruptFile, ...]) -> CorruptFile | None:
    """All damage of a file as one error."""
    if not damage:
        return None
    more = f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""
    return CorruptFile(f"only what is whole was written: {damage[0]}{more}", damage[0].chunk)
