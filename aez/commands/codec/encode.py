"""`aez encode`: pictures to `.aez` files."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.batch import Parallel, run_batch
from aez.codec.common.words import format_duration
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.codec.encode_job import HOW, AfterEncoding, EncodeJob
from aez.commands.codec.picture_files import judge_picture
from aez.file_report import FileReport
from aez.files import Job, plan, refuse_two_results
from aez.inputs import STDIO, Inputs, LeftOut, find_inputs

SUFFIX = ".aez"
LOSSLESS_ALPHA = 100
TARGETS = ("quality", "bpp", "psnr", "ssimulacra2", "max_bytes")


@click.command()
@options.inputs
@options.output_or_beside
@options.walking
@click.option("-q", "--quality", type=options.Finite(1, 100), help="From 1 (small) to 100 (fine); by default 50.")
@click.option("--bpp", type=options.Finite(0, min_open=True), help="Largest size in bits per pixel of the file.")
@click.option("--psnr", type=options.Number(), help="Least PSNR in dB over RGB; by photo.")
@click.option("--ssimulacra2", type=options.Number(), help="Least score of SSIMULACRA 2; needs aez[bench].")
@click.option("--max-bytes", type=click.IntRange(1), help="Largest size in bytes.")
@click.option("--lossless", is_flag=True, help="Keep every sample as it is.")
@click.option("--max-error", type=int, metavar="N", help="Keep every sample within N levels of what it is.")
@click.option(
    "--content",
    type=click.Choice(["auto", "photo", "graphics"]),
    default="auto",
    show_default=True,
    help="Code tiles as photographs, as graphics, or as is cheapest.",
)
@options.model
@click.option(
    "--tile",
    type=int,
    help="Side of the independently coded tiles in pixels; by default 1024, without a model or if thin 2048.",
)
@click.option("--embed-model", is_flag=True, help="Store the decoding half of the model in each file.")
@click.option(
    "--strip",
    multiple=True,
    metavar="WORD,...",
    help="Leave out any of gps, exif, xmp, icc (colours become sRGB) and dpi, or all. Pictures stay upright.",
)
@click.option("--no-metadata", is_flag=True, help="The old name of --strip all.")
@click.option("--keep-hidden", is_flag=True, help="Code colours under alpha 0 as they are, which nobody sees.")
@click.option("--alpha-quality", type=click.IntRange(1, 100), default=100, help="Below 100, alpha of fewer levels.")
@click.option(
    "--range",
    "value_range",
    type=(float, float),
    metavar="LOW HIGH",
    help="Values of floating-point pictures that become 0 and 65535; others are refused.",
)
@click.option("--max-pixels", type=click.IntRange(1), help="Refuse larger pictures; by default about 179 million.")
@click.option("--only-smaller", is_flag=True, help="Write no file that is not smaller than its source.")
@click.option("--skip-existing", is_flag=True, help="Leave out pictures whose results exist.")
@click.option("--keep-times", is_flag=True, help="Give results the modification times of their sources.")
@click.option("--delete-source", is_flag=True, help="Delete each source once its result has been decoded whole.")
@click.option("--report", metavar="OUT.csv", help="Write what became of each file, or of a dry run what would.")
@click.option("--dry-run", is_flag=True, help="Write no picture; estimate bytes and time from a few of them.")
@options.running
def encode(
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    follow_links: bool,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Encode pictures to .aez files.

    IN is a picture, a folder (the pictures in it, known by their content; below it with --recursive) or - for standard
    input. What else lies there is named and counted. Without -o results lie beside their sources. Give at most one of
    --quality, --bpp, --psnr, --ssimulacra2, --max-bytes, --lossless and --max-error. Without --model it is
    photo-visual, which looks best at equal bytes, and with --psnr it is photo, which has the highest PSNR.
    """
    targets = {name: given[name] for name in TARGETS}
    _check_targets(targets)
    exact = _exact(given, targets)
    how = _how(given)
    if output is not None:
        refuse_two_results(output, as_json)
    found = find_inputs(inputs, judge_picture, recursive=recursive, follow_links=follow_links)
    found.tell()
    jobs, existing = _planned(found, output, given["skip_existing"], not given["dry_run"])
    report: str | None = given["report"]
    after = AfterEncoding(given["only_smaller"], given["keep_times"], given["delete_source"], report is not None)
    _check_after(after, jobs, report)
    parallel = Parallel.choose(len(jobs), given["workers"], given["threads"])
    settings = {
        **targets,
        **(_opened(given, parallel.threads) if exact is None else _exact_settings(given, exact, parallel.threads)),
        **how,
    }
    with contextlib.ExitStack() as stack:
        lines = None if report is None else stack.enter_context(FileReport(report, force))
        if lines is not None:
            lines.add_untouched(found, existing)
        each = None if lines is None else lines.add
        if given["dry_run"]:
            _estimate(jobs, found.failed, settings, given["max_pixels"], parallel.workers, as_json, each)
            return
        work = EncodeJob(settings, force, given["max_pixels"], after)
        sys.exit(run_batch(jobs, work, "encoded", parallel.workers, as_json, found.failed, each))


def _planned(found: Inputs, output: str | None, skip_existing: bool, make_folders: bool) -> tuple[list[Job], list[Job]]:
    """(What to do, what is left out because its result exists)."""
    jobs = plan(found, output, SUFFIX, make_folders=make_folders)
    if not skip_existing:
        return jobs, []
    existing = [job for job in jobs if job.target != STDIO and job.error is None and Path(job.target).is_file()]
    if existing:
        messages.note(f"{len(existing):,} of {len(jobs):,} results exist and were left as they are")
    kept = set(map(id, existing))
    return [job for job in jobs if id(job) not in kept], existing


def _check_after(after: AfterEncoding, jobs: list[Job], report: str | None) -> None:
    """Refuse what cannot be done beside. Raises InvalidArgument."""
    streams = any(STDIO in (job.source, job.target) for job in jobs)
    for name, asked in (("--delete-source", after.delete_source), ("--keep-times", after.keep_times)):
        if asked and streams:
            raise InvalidArgument(f"{name} goes with files, not with standard input or output")
    if report == STDIO:
        raise InvalidArgument("the report is a file; lines on standard output are those of --json")
    if report is not None and any(Path(report).resolve() == Path(job.target).resolve() for job in jobs):
        raise InvalidArgument(f"{report} is the result of a picture; give the report another name")


def _estimate(
    jobs: list[Job],
    failed: Sequence[LeftOut],
    settings: dict[str, Any],
    max_pixels: int | None,
    workers: int,
    as_json: bool,
    each: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Tell what the batch would come to; what would fail is named, and is no failure of the estimate."""
    from aez.commands.codec.estimate import estimate

    def told(record: dict[str, Any]) -> None:
        if "error" in record:
            messages.warning(f"{record['input']}: {record['error']}")
        if each is not None:
            each(record)

    for one in failed:
        told({"input": one.path, "error": one.reason})
    found = estimate(jobs, settings, max_pixels, workers, each=told)
    if as_json:
        messages.result(json.dumps(found))
        return
    messages.result(
        f"would encode {found['files']:,} files, {found['bytes_in']:,} bytes, to about {found['bytes_out']:,} in about "
        f"{format_duration(found['seconds'])}; from {found['tried']} that were tried. No picture was written."
    )


def _check_targets(targets: dict[str, float | int | None]) -> None:
    given = ["--" + name.replace("_", "-") for name, value in targets.items() if value is not None]
    if len(given) > 1:
        raise InvalidArgument(f"give only one of {' and '.join(given)}")


def _exact(given: Mapping[str, Any], targets: Mapping[str, float | int | None]) -> int | None:
    """The largest error of a sample where one is asked for. Raises InvalidArgument for what does not go with it."""
    if not given["lossless"] and given["max_error"] is None:
        return None
    from aez.codec.image.api import check_exact

    others = {**targets, "model": given["model"], "embed_model": given["embed_model"] or None}
    others["content"] = None if given["content"] == "auto" else given["content"]
    others["alpha_quality"] = None if given["alpha_quality"] == LOSSLESS_ALPHA else given["alpha_quality"]
    named = [f"--{name.replace('_', '-')}" for name, value in others.items() if value is not None]
    return check_exact(given["lossless"], given["max_error"], named)


def _exact_settings(given: Mapping[str, Any], bound: int, threads: int | None) -> dict[str, Any]:
    """As `_opened`, without a model. Raises InvalidArgument."""
    from aez.codec.container.image_header import TILE_UNIT
    from aez.codec.image.tiles import check_tile

    if given["tile"] is not None:
        check_tile(given["tile"], TILE_UNIT)
    _lift_bound(given["max_pixels"])
    return {"max_error": bound, "tile": given["tile"], "model": None, "device": given["device"], "threads": threads}


def _lift_bound(max_pixels: int | None) -> None:
    """What is asked for holds in place of Pillow's bound, until the command ends."""
    if max_pixels is not None:
        from PIL import Image

        bound = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        click.get_current_context().call_on_close(lambda: setattr(Image, "MAX_IMAGE_PIXELS", bound))


def _how(given: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures are taken apart, checked once. Raises InvalidArgument."""
    from aez.codec.image.api import choices_of
    from aez.codec.pixels.strip import ALL

    if given["no_metadata"]:
        messages.note("--no-metadata is now --strip all")
    how = {name: given[name] for name in HOW} | {"strip": ALL if given["no_metadata"] else given["strip"]}
    choices_of(**how)
    return how


def _opened(given: Mapping[str, Any], threads: int | None) -> dict[str, Any]:
    """Settings that concern all files alike, checked once. Raises ModelError, InvalidArgument."""
    import numpy as np

    from aez.codec.image.api import load_for
    from aez.codec.image.model import open_model
    from aez.codec.image.tiles import TILE_DEFAULT, check_tile

    tile, device = given["tile"], given["device"]
    _lift_bound(given["max_pixels"])
    bundle = load_for(given["model"], given["psnr"])
    opened = open_model(bundle, device, threads)
    check_tile(TILE_DEFAULT if tile is None else tile, opened.geometry.alignment)
    z = np.zeros((opened.geometry.hyper_channels, 1, 1), np.int32)
    opened.predict(z, 0).index()  # opens a session on the device
    return {
        "model": bundle,
        "tile": tile,
        "device": device,
        "threads": threads,
        "content": given["content"],
        "embed_model": given["embed_model"],
    }
