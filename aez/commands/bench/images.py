"""`aez bench images`: figures of the picture detectors."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands.bench import shared

_MODULES = ("torch", "sklearn", "lightning_fabric", "onnx", "onnxscript", "matplotlib")


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="FOLDER")
@click.option(
    "--model-family", "families", multiple=True, metavar="NAME", help="A family of ours, by default conv; repeatable."
)
@click.option("--peers", metavar="NAME,NAME", help="Which detectors of others to set beside; all by default, or none.")
@click.option("--score", metavar="KIND", help="What our score is made of, as in `aez train images`.")
@click.option(
    "--size", type=click.IntRange(16, 512), default=64, show_default=True, help="Side of pictures out of folders."
)
@click.option("--steps", type=click.IntRange(1), help="Train for so many steps; by default a few passes.")
@click.option("--quick", is_flag=True, help="Three classes, at most 1000 pictures to learn from, 2000 to judge on.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write JSON, table and plot there."
)
@shared.as_json
def images(
    folder: Path | None,
    families: tuple[str, ...],
    peers: str | None,
    score: str | None,
    size: int,
    steps: int | None,
    quick: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """One class of pictures against the others: AUROC for each class, beside other detectors.

    FOLDER has the files of MNIST or Fashion-MNIST (train-images-idx3-ubyte.gz ...), or a folder of pictures for each
    class. Needs `pip install 'aez[bench,train]'`.
    """
    if folder is None:
        raise InvalidArgument("name a folder with the files of Fashion-MNIST, or a folder of pictures for each class")
    if output is not None:
        shared.import_first("aez[bench,train]", "matplotlib")
    with needs("aez[bench,train]", _MODULES):
        from aez.bench.images.figures import save_report
        from aez.bench.images.run import run
        from aez.export.images.train import DEFAULT_FAMILY

        report = run(
            folder,
            families or (DEFAULT_FAMILY,),
            shared.peer_names(peers),
            score=score,
            size=size,
            steps=steps,
            quick=quick,
            progress=sys.stderr.isatty(),
        )
    shared.show(report, as_json)
    if output is not None:
        save_report(report, output)
        messages.summary(f"wrote the report and plot to {output}")


COMMANDS = (images,)
