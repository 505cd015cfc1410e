"""`aez train images`: from folders of normal pictures to a detector of pictures that are not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument, OutputError
from aez.commands import options

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle

TRAINING_MODULES = ("torch", "torchmetrics", "lightning_fabric", "onnx", "onnxscript", "matplotlib")
#: As in aez.export.images.train, which cannot be imported without torch.
FAMILIES = ("conv", "dense", "pca", "variational")
#: Exit code of a run that a signal stopped before its end.
EXIT_STOPPED = 130


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="MODEL.aezm", help="The model.")
@click.option("--family", type=click.Choice(FAMILIES), default="conv", show_default=True, help="The network.")
@click.option(
    "--size",
    type=click.IntRange(16, 512),
    metavar="PIXELS",
    help="Longer side that pictures are brought to; by default theirs, at most 128.",
)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train for so long.")
@click.option("--steps", type=click.IntRange(1), help="Train for so many steps; by default a few passes.")
@click.option("--resume", is_flag=True, help="Go on with the run that was stopped.")
@click.option(
    "--flagged",
    type=click.FloatRange(0, 50),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="Share of normal pictures that may score above the threshold.",
)
@click.option(
    "--score",
    "kind",
    default="edges+spots",
    show_default=True,
    metavar="KIND",
    help="edges, spots, reconstruction, mahalanobis, or several joined by +; the largest counts.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is drawn at random.")
@options.device
@click.option("--name", help="The model's name; by default its file's.")
@click.option("-f", "--force", is_flag=True, help="Replace a model that exists, and the run that made it.")
def images(
    folders: tuple[Path, ...],
    output: Path,
    family: str,
    size: int | None,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    flagged: float,
    kind: str,
    seed: int,
    device: str,
    name: str | None,
    force: bool,
) -> None:
    """Train a detector on the normal pictures in FOLDERs, for `aez score`.

    Pictures of all sizes are squeezed to one; folders in folders are searched. 30 % of the pictures, drawn at random,
    set the threshold. Checkpoint, figures and loss curve lie in MODEL.aezm.run; after Ctrl+C --resume goes on from
    there.
    """
    if minutes is not None and steps is not None:
        raise InvalidArgument("give only one of --minutes and --steps")
    if output.exists() and not (force or resume):
        raise OutputError(f"{output} exists; give --force to replace it")
    changes: dict[str, Any] = {"seed": seed, "device": device, "quiet": not sys.stderr.isatty()}
    if minutes is not None:
        changes["minutes"] = minutes
    if steps is not None:
        changes |= {"steps": steps, "validate_every": max(1, min(steps // 20, 150))}
    with needs("aez[train]", TRAINING_MODULES):
        from aez.export.common.run_files import check_output, run_folder
        from aez.export.images.train import PictureConfig, main

        config = PictureConfig(family, size, score=tuple(kind.split("+")), flagged=flagged)  # type: ignore[arg-type]
        check_output(output)
        if force and not resume:
            (run_folder(output) / "checkpoint.pt").unlink(missing_ok=True)
        bundle = main(folders, output, name=name, config=config, changes=changes, resume=resume)
    if bundle is None:
        sys.exit(EXIT_STOPPED)
    messages.summary(_done(bundle, output))


def _done(bundle: Bundle, output: Path) -> str:
    """One line: the model, what it works at, and how many held-out pictures it flags."""
    coding, held_out = bundle.coding, bundle.manifest["figures"]["held_out"]
    flagged = round(held_out["share_above_1"] * held_out["pictures"])
    colours = "grey" if coding["colours"] == 1 else "colour"
    return (
        f"wrote {output}: model {bundle.name} ({bundle.manifest['family']}), {coding['width']} x {coding['height']} "
        f"pixels, {colours}, {flagged} of {held_out['pictures']:,} held-out pictures above the threshold"
    )
