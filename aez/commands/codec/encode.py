"""`aez encode`: pictures to `.aez` files."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import Any

import click

from aez.batch import FileOutcome, Parallel, Progress, run_batch
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.codec.picture_files import is_picture
from aez.files import Job, check_target, plan, read_input, refuse_two_results, write_output

SUFFIX = ".aez"


@dataclass(frozen=True)
class EncodeJob:
    """Encodes one picture after the other with the same `settings`, arguments of `encode_picture`."""

    settings: dict[str, Any]
    force: bool

    def __call__(self, job: Job, progress: Progress) -> FileOutcome:
        from aez.codec.image.api import encode_picture
        from aez.codec.image.pillow import read_image

        check_target(job, self.force)
        source = read_input(job.source)
        image = read_image(io.BytesIO(source), "it")
        encoded = encode_picture(image, **self.settings, progress=progress)
        write_output(job.target, encoded.data, self.force)
        return FileOutcome(
            bytes_in=len(source),
            bytes_out=len(encoded.data),
            coded_bytes=len(encoded.data),
            coded_pixels=encoded.pixels,
            pixels=encoded.pixels,
            details={"width": image.width, "height": image.height, "quality": round(encoded.quality, 2)},
            notices=encoded.notices,
        )


@click.command()
@options.inputs
@options.output
@click.option("-q", "--quality", type=click.FloatRange(1, 100), help="From 1 (small) to 100 (fine); by default 50.")
@click.option("--bpp", type=click.FloatRange(0, min_open=True), help="Largest size in bits per pixel of the file.")
@click.option("--psnr", type=float, help="Least PSNR in dB over RGB; by photo.")
@click.option("--max-bytes", type=click.IntRange(1), help="Largest size in bytes.")
@options.model
@click.option("--tile", type=int, help="Side of the tiles that are coded independently, in pixels; by default 1024.")
@click.option("--embed-model", is_flag=True, help="Store the decoding half of the model in each file.")
@click.option("--no-metadata", is_flag=True, help="Leave out EXIF (also the orientation), ICC profile and XMP.")
@options.running
def encode(
    inputs: tuple[str, ...],
    output: str,
    quality: float | None,
    bpp: float | None,
    psnr: float | None,
    max_bytes: int | None,
    model: str | None,
    tile: int | None,
    embed_model: bool,
    no_metadata: bool,
    device: str,
    threads: int | None,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Encode pictures to .aez files.

    IN is a picture, a folder (the pictures in it; folders inside are left alone) or - for standard input. Give one of
    --quality, --bpp, --psnr and --max-bytes at most. Without --model it is photo-visual, which looks best at equal
    bytes, and with --psnr it is photo, which has the highest PSNR.
    """
    targets = {"quality": quality, "bpp": bpp, "psnr": psnr, "max_bytes": max_bytes}
    _check_targets(targets)
    refuse_two_results(output, as_json)
    jobs = plan(inputs, output, SUFFIX, is_picture)
    parallel = Parallel.choose(len(jobs), workers, threads)
    settings = {
        **targets,
        **_opened(model, psnr, tile, device, parallel.threads),
        "keep_metadata": not no_metadata,
        "embed_model": embed_model,
    }
    sys.exit(run_batch(jobs, EncodeJob(settings, force), "encoded", parallel.workers, as_json))


def _check_targets(targets: dict[str, float | int | None]) -> None:
    given = ["--" + name.replace("_", "-") for name, value in targets.items() if value is not None]
    if len(given) > 1:
        raise InvalidArgument(f"give only one of {' and '.join(given)}")


def _opened(
    model: str | None, psnr: float | None, tile: int | None, device: str, threads: int | None
) -> dict[str, Any]:
    """Settings that concern all files alike, checked once. Raises ModelError, InvalidArgument."""
    import numpy as np

    from aez.codec.image.api import load_for
    from aez.codec.image.model import open_model
    from aez.codec.image.tiles import TILE_DEFAULT, check_tile

    bundle = load_for(model, psnr)
    opened = open_model(bundle, device, threads)
    side = TILE_DEFAULT if tile is None else tile
    check_tile(side, opened.geometry.alignment)
    z = np.zeros((opened.geometry.hyper_channels, 1, 1), np.int32)
    opened.predict(z, 0).index()  # opens a session on the device
    return {"model": bundle, "tile": side, "device": device, "threads": threads}
