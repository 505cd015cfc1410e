"""`aez train images`: from folders of normal pictures to a detector of pictures that are not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.commands import options
from aez.commands.train import options as train_options
from aez.export.families.registry import PICTURES

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@train_options.output
@click.option("--family", type=click.Choice(list(PICTURES)), default="conv", show_default=True, help="The network.")
@click.option(
    "--size",
    type=click.IntRange(16, 512),
    metavar="PIXELS",
    help="Longer side that pictures are brought to; by default theirs, at most 128.",
)
@train_options.detector_run
@click.option(
    "--flagged",
    type=options.Finite(0, 50),
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
@train_options.detector_result
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
    changes = train_options.detector_changes(output, minutes, steps, resume, force, seed=seed, device=device)
    with needs("aez[train]", train_options.TRAINING_MODULES):
        from aez.export.common.run_files import check_output
        from aez.export.images.train import PictureConfig, main

        config = PictureConfig(family, size, score=tuple(kind.split("+")), flagged=flagged)  # type: ignore[arg-type]
        check_output(output)
        train_options.forget_run(output, force, resume)
        bundle = main(folders, output, name=name, config=config, changes=changes, resume=resume)
    if bundle is None:
        sys.exit(train_options.EXIT_STOPPED)
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
