"""`aez collection`: from a folder of pictures of one kind to an archive with a model of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.batch import Parallel
from aez.codec.common.extras import needs
from aez.codec.common.words import format_duration
from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.commands import options
from aez.commands.codec.picture_files import judge_picture
from aez.commands.collection.state import DEFAULTS, Collection, held, open_collection
from aez.commands.train.options import TRAINING_MODULES
from aez.files import plan
from aez.inputs import Inputs, find_inputs

#: What this needs of the extra: training, and the lines between measured points.
_MODULES = (*TRAINING_MODULES, "scipy")
_TARGETS = ("quality", "bpp", "psnr", "ssimulacra2")
_QUALITY = 50.0
_TAKES = ("auto", "trained", "shipped")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--minutes", type=options.Finite(0, min_open=True), help=f"Train for so long, by default {DEFAULTS['minutes']:g}."
)
@click.option("-q", "--quality", type=options.Finite(1, 100), help="From 1 (small) to 100 (fine); by default 50.")
@click.option("--bpp", type=options.Finite(0, min_open=True), help="Largest size in bits per pixel of each file.")
@click.option("--psnr", type=options.Number(), help="Least PSNR in dB over RGB.")
@click.option("--ssimulacra2", type=options.Number(), help="Least score of SSIMULACRA 2; needs aez[bench].")
@click.option(
    "--loss",
    type=click.Choice(["mse", "visual"]),
    help="Train for PSNR from photo (mse), or for the eye from photo-visual.",
)
@click.option(
    "--sample", type=click.IntRange(1), help=f"Pictures to train on at most, by default {DEFAULTS['sample']:,}."
)
@click.option("--keep-out", type=click.IntRange(2), help="Pictures to measure on, by default 16 or a fifth of all.")
@click.option("--seed", type=click.IntRange(0), help="Seed of the sample and the training.")
@click.option(
    "--take",
    type=click.Choice(_TAKES),
    help="The model that encodes: by default the trained one where it needs fewer bytes, the shipped one otherwise.",
)
@click.option("--follow-links", is_flag=True, help="Follow symbolic links in folders.")
@click.option("-y", "--yes", is_flag=True, help="Encode all without asking.")
@click.option("--dry-run", is_flag=True, help="End before encoding, with the projected size.")
@options.device
@click.option("--workers", type=click.IntRange(1, 256), help="Files at a time; by default one for each core.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all figures at the end.")
def collection(
    folder: Path,
    out: Path,
    follow_links: bool,
    take: str | None,
    yes: bool,
    dry_run: bool,
    device: str,
    workers: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Give the pictures of one kind in FOLDER a model of their own, and encode all of them into OUT with it.

    A sample is drawn and trained on, the model is measured beside JPEG, WebP and AVIF on pictures that were kept out
    of training, the size of the whole is projected, and after a yes every picture is encoded, decoded again and listed
    in OUT/manifest.csv; OUT/collection.html shows all of it. The same command goes on where it was stopped or killed,
    and takes in what is new in FOLDER. Nothing in FOLDER is changed. Needs `pip install 'aez[train]'`.
    """
    target = {name: given.pop(name) for name in _TARGETS}
    if len(wanted := [f"--{name}" for name, value in target.items() if value is not None]) > 1:
        raise InvalidArgument(f"give only one of {' and '.join(wanted)}")
    _check_installed(target["ssimulacra2"] is not None)
    if not folder.is_dir():
        raise UnsupportedInput(f"{folder} is no folder of pictures")
    open_collection(folder, out, given)  # refuses before anything is made
    with held(Path(os.path.realpath(out))):
        ours = open_collection(folder, out, given)
        found = find_inputs([str(ours.folder)], judge_picture, recursive=True, follow_links=follow_links)
        found.tell()
        _settle(ours, {name: value for name, value in target.items() if value is not None}, take)
        _prepare(ours, found, device)
        parallel = Parallel.choose(len(found.files), workers, None)
        if ours.taken is None:
            _project(ours, found, device, parallel, as_json)
            if dry_run or not (yes or _agreed(ours)):
                messages.summary(f"nothing was encoded; without --dry-run the same command goes on from {ours.out}")
                _tell(ours, None, as_json)
                return
        elif dry_run:
            raise InvalidArgument(f"{ours.out} is being encoded already; leave --dry-run out to go on")
        sys.exit(_encode(ours, found, device, parallel, as_json))


def _check_installed(eye: bool) -> None:
    """Import what is needed in half an hour. Raises AezError that says what to install."""
    import importlib

    with needs("aez[train]", _MODULES):
        for module in _MODULES:
            importlib.import_module(module)
    if eye:
        with needs("aez[bench]", ["ssimulacra2"]):
            importlib.import_module("ssimulacra2")


def _settle(ours: Collection, target: dict[str, float], take: str | None) -> None:
    """Take the target and the choice of a model from what was asked for, or from the former run.

    Raises InvalidArgument where encoding began with others.
    """
    wanted = target or ours.target or {"quality": _QUALITY}
    choice = take or ours.take
    if (wanted, choice) == (ours.target, ours.take):
        return
    if ours.taken is not None:
        begun = " ".join(f"--{name} {value:g}" for name, value in ours.target.items())
        raise InvalidArgument(
            f"{ours.out} is being encoded with {begun} --take {ours.take}; leave that out, or give a new folder"
        )
    ours.target, ours.take, ours.measured = wanted, choice, None


def _prepare(ours: Collection, found: Inputs, device: str) -> None:
    """Sample, training and measurement, as far as they are not done."""
    from aez.commands.collection import learning, measuring, sample

    if ours.taken is not None:
        return
    if not ours.training:
        sample.draw(ours, found)
        ours.save()
    if not ours.model.exists():
        messages.summary(f"1 sample: {len(ours.training):,} pictures to train on, {len(ours.kept_out)} to measure on")
        sample.cut(ours, sample.TRAINING)
        messages.summary(f"2 training from {ours.base}: {ours.settings['minutes']:g} minutes")
        learning.learn(ours, device)
    ours.drop(sample.TRAINING)
    if ours.measured is None:
        sample.cut(ours, sample.KEPT_OUT)
        messages.summary("3 measurement: the model and its rivals on pictures kept out of training")
        ours.measured, ours.projected = measuring.measure(ours, ours.target, ours.take), None
        ours.save()


def _settings(ours: Collection, device: str, parallel: Parallel, model: Any) -> dict[str, Any]:
    return {**ours.target, "model": model, "device": device, "threads": parallel.threads}


def _project(ours: Collection, found: Inputs, device: str, parallel: Parallel, as_json: bool) -> None:
    """Say what the whole would come to, and write the page."""
    from aez.codec.bundle.library import find_bundle
    from aez.commands.collection import measuring, page

    measured = ours.measured or {}
    model = find_bundle(ours.model if measured["is_trained"] else ours.base)
    jobs = plan(found, str(ours.out), ".aez", make_folders=False)
    settings = _settings(ours, device, parallel, model)
    ours.projected = measuring.project(ours, jobs, settings, parallel.workers, measured)
    ours.save()
    page.write(ours, None)
    for line in page.verdict(ours):
        messages.summary(line)
    messages.summary(f"look at {ours.out / measuring.SHEET} and {ours.out / page.PAGE}")
    if not as_json:
        messages.result("\n".join(measuring.table(measured, ours.projected)))


def _agreed(ours: Collection) -> bool:
    """Ask. Raises InvalidArgument where nobody is there to answer."""
    projected, measured = ours.projected or {}, ours.measured or {}
    question = (
        f"Encode all {projected['files']:,} pictures with {measured['model']}, in about "
        f"{format_duration(projected['seconds'])}?"
    )
    try:
        return bool(click.confirm(question, err=True))
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        raise InvalidArgument(
            f"nobody is there to answer; {ours.out} keeps what is done, and the same command with --yes goes on"
        ) from None


def _encode(ours: Collection, found: Inputs, device: str, parallel: Parallel, as_json: bool) -> int:
    """Encode what is left, with the model in OUT; the exit code."""
    from aez.commands.collection import archive, page, sample

    _take(ours)
    ours.drop(sample.KEPT_OUT, f"{ours.name}.aezm.run")
    bundle = ours.chosen()
    work = archive.look(ours, found, bundle.id)
    if work.kept:
        messages.note(f"{work.kept:,} pictures are encoded already and are left as they are")
    settings = _settings(ours, device, parallel, bundle)
    code = archive.encode(ours, found, work, settings, parallel.workers)
    archive.stands_alone(ours)
    figures = archive.totals(ours)
    page.write(ours, figures)
    messages.summary(page.outcome(ours, figures))
    messages.summary(f"wrote {ours.out / archive.MANIFEST} and {ours.out / page.PAGE}")
    _tell(ours, figures, as_json)
    return code


def _take(ours: Collection) -> None:
    """Decide for good, and put a trained model where decoding finds it. Raises OutputError."""
    measured = ours.measured or {}
    if ours.taken is None:
        ours.taken = measured["id"]
        ours.save()
    place = ours.out / ours.model.name
    if measured["is_trained"] and not place.exists():
        try:
            ours.model.replace(place)
        except OSError as error:
            raise OutputError(f"{place} cannot be written: {error.strerror or error}") from error


def _tell(ours: Collection, figures: dict[str, Any] | None, as_json: bool) -> None:
    if as_json:
        about = {"folder": str(ours.folder), "output": str(ours.out), "target": ours.target, **ours.settings}
        found = {"measured": ours.measured, "projected": ours.projected, "encoded": figures}
        messages.result(json.dumps(about | found))
