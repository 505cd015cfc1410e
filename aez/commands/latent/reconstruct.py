"""`aez reconstruct`: pictures beside what a model makes of them, with error maps and figures."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.batch import run_each
from aez.commands import options
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors import shared as vectors_shared
from aez.commands.vectors.opened import is_autoencoder, only_one, refuse_given
from aez.commands.vectors.reconstruct import reconstruct_items
from aez.files import Job, check_target, plan, refuse_two_results, write_output
from aez.inputs import STDIO

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle
    from aez.codec.latent.api import ReconstructedPicture

#: What results are called in a folder, after the names of their pictures.
SUFFIX = ".reconstruct.png"


@dataclass(frozen=True)
class _Figures:
    """PSNR in dB, SSIM and, where the picture is large enough for its five scales, MS-SSIM."""

    psnr: float
    ssim: float
    ms_ssim: float | None

    @classmethod
    def of(cls, found: ReconstructedPicture) -> _Figures:
        from aez.codec.image.distortion import MS_SSIM_SIDE, ms_ssim, psnr, ssim

        pair = found.original, found.result
        return cls(psnr(*pair), ssim(*pair), ms_ssim(*pair) if min(found.original.shape[:2]) >= MS_SSIM_SIDE else None)

    def __str__(self) -> str:
        last = "" if self.ms_ssim is None else f", MS-SSIM {self.ms_ssim:.4f}"
        return f"PSNR {self.psnr:.2f} dB, SSIM {self.ssim:.4f}{last}"


@dataclass
class _Reconstructing:
    """What one call of the command holds."""

    jobs: list[Job]
    bundle: Bundle
    quality: float | None
    device: str
    threads: int | None
    bar: latent_shared.Bar
    force: bool
    as_json: bool
    figures: list[_Figures] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = iter(self.jobs)

    def one(self, name: str) -> None:
        job = next(self._next)
        try:
            with latent_shared.failures_as_json(name, self.as_json):
                self._do(job)
        finally:
            self.bar.advance()

    def _do(self, job: Job) -> None:
        from aez.codec.latent.api import reconstruct_picture
        from aez.codec.latent.drawing import side_by_side

        check_target(job, self.force)
        picture_format = latent_shared.format_of(job.target)
        found = reconstruct_picture(
            latent_shared.read_picture(job.source),
            self.bundle,
            self.quality,
            device=self.device,
            threads=self.threads,
            progress=self.bar.tiles,
        )
        figures = _Figures.of(found)
        self.figures.append(figures)
        title = f"{Path(job.source).name}: {self.bundle.name}, {_how(found)}, {figures}"
        panel = side_by_side(found.original, found.result, title)
        write_output(job.target, picture_bytes(panel, picture_format), self.force)
        self._report(job, found, figures)

    def _report(self, job: Job, found: ReconstructedPicture, figures: _Figures) -> None:
        name = latent_shared.shown(job.source)
        with self.bar.aside():
            for notice in found.notices:
                messages.note(f"{name}: {notice}")
            if self.as_json:
                messages.result(json.dumps(self._record(job, found, figures)))
            else:
                say = messages.summary if job.target == STDIO else messages.result
                say(f"{name}: {_how(found)}, {figures}")

    def _record(self, job: Job, found: ReconstructedPicture, figures: _Figures) -> dict[str, Any]:
        height, width = found.original.shape[:2]
        size = found.coded_bytes
        return {
            "input": job.source,
            "output": job.target,
            "model": self.bundle.name,
            "width": width,
            "height": height,
            "quality": None if found.quality is None else round(found.quality, 2),
            "bytes": size,
            "bpp": None if size is None else 8 * size / (width * height),
            # JSON has no infinity; equal pictures have no error.
            "psnr": figures.psnr if math.isfinite(figures.psnr) else None,
            "ssim": figures.ssim,
            "ms_ssim": figures.ms_ssim,
            "notices": list(found.notices),
        }


@click.command()
@options.inputs
@options.output
@click.option(
    "-q",
    "--quality",
    type=options.Finite(1, 100),
    help="Code the picture; by default a latent stays unquantized, and models without one take 50.",
)
@click.option(
    "--bits",
    type=click.IntRange(1, 8),
    help="Of models of `aez train dense` and its like: code at so many bits a number.",
)
@latent_shared.model
@vectors_shared.reading
@latent_shared.running
@options.as_json
def reconstruct(
    inputs: tuple[str, ...],
    output: str,
    quality: float | None,
    bits: int | None,
    model: str,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Show pictures beside what a model makes of them, with a map of the error, PSNR, SSIM and MS-SSIM.

    IN is a picture, a folder (the pictures in it; folders inside are left alone) or - for standard input. Pictures are
    turned as EXIF says. In a folder, results are called NAME.reconstruct.png.

    With a model of `aez train dense` and its like, IN is one DATA as they take it; OUT is a sheet of originals above
    what comes back, or all that comes back as .npy, .npz, .csv or .parquet.
    """
    refuse_two_results(output, as_json)
    if is_autoencoder(model):
        refuse_given(model, quality=quality)
        given = {"bits": bits, "force": force, "as_json": as_json, **reading}
        reconstruct_items(only_one(inputs), output, model, device, threads, **given)
        return
    refuse_given(model, bits=bits, **reading)
    found = latent_shared.all_inputs(inputs)
    jobs = plan(found, output, SUFFIX)
    bundle = _opened(model, device, threads)
    with latent_shared.progress_bar(len(jobs)) as bar:
        work = _Reconstructing(jobs, bundle, quality, device, threads, bar, force, as_json)
        code = run_each([job.source for job in jobs], work.one, found.failed)
    if len(work.figures) > 1:
        messages.summary(f"{len(work.figures)} pictures with {bundle.name}, on average {_mean(work.figures)}")
    sys.exit(code)


def _opened(ref: str, device: str, threads: int | None) -> Bundle:
    """The model, whose device and task are tried before any file. Raises AezError."""
    import numpy as np

    from aez.codec.image.api import load
    from aez.codec.latent.api import reconstruct_picture

    bundle = load(ref)
    reconstruct_picture(np.zeros((1, 1, 3), np.uint8), bundle, device=device, threads=threads)
    return bundle


def _how(found: ReconstructedPicture) -> str:
    if found.quality is None or found.coded_bytes is None:
        return "unquantized"
    height, width = found.original.shape[:2]
    bpp = 8 * found.coded_bytes / (width * height)
    return f"quality {found.quality:.4g}, {found.coded_bytes:,} bytes ({bpp:.3f} bpp)"


def _mean(figures: list[_Figures]) -> _Figures:
    """Means over the pictures; of MS-SSIM over those that have it."""
    multi = [one.ms_ssim for one in figures if one.ms_ssim is not None]
    return _Figures(
        sum(one.psnr for one in figures) / len(figures),
        sum(one.ssim for one in figures) / len(figures),
        sum(multi) / len(multi) if multi else None,
    )
