"""`aez train dense`, `conv`, `denoising`, `sparse`, `contractive`, `variational`, `beta` and `pca`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.common.words import listed
from aez.codec.errors import InvalidArgument, OutputError
from aez.commands import options
from aez.commands.train import options as train_options
from aez.commands.vectors import shared as vectors_shared

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle
    from aez.codec.vectors.items import Items

Function = Callable[..., None]
#: What columns are called that number rows in any order.
_NUMBERING = ("id", "index", "key", "nr", "no", "number", "row", "unnamed: 0")


def _widths(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Widths of layers from 256,128; raises BadParameter."""
    if text is None:
        return None
    try:
        widths = tuple(int(one) for one in text.split(",") if one.strip())
    except ValueError:
        widths = ()
    if not widths:
        raise click.BadParameter(f"{text!r} are no widths of layers, such as 256,128", context, option)
    return widths


_latent = click.option("--latent", type=click.IntRange(1, 1 << 16), metavar="N", help="Numbers of a code.")
_layers = click.option(
    "--layers",
    callback=_widths,
    metavar="A,B",
    help="Widths of the hidden layers, by default from the data's dimension.",
)
_network = click.option(
    "--network", type=click.Choice(["dense", "conv"]), help="Full layers, or convolutions of pictures."
)
_binarise = click.option("--binarise", is_flag=True, help="Draw black and white pixels anew at each step.")
_variational = (
    _layers,
    _network,
    click.option(
        "--likelihood",
        type=click.Choice(["gaussian", "bernoulli"]),
        default="gaussian",
        show_default=True,
        help="Squared error, or binary cross-entropy of pictures.",
    ),
    _binarise,
    click.option("--skip", is_flag=True, help="Give the code to every layer of the decoder, against collapse."),
    click.option(
        "--draws",
        type=click.IntRange(1, 100_000),
        default=16,
        show_default=True,
        help="Codes for each item by which the importance-weighted bound of --test is estimated.",
    ),
    click.option("--drawing", callback=_widths, metavar="A,B", help="Widths of a weaker decoder, against collapse."),
)


def _warm(share: float) -> Callable[[Function], Function]:
    return click.option(
        "--warm",
        type=options.Finite(0, 1),
        default=share,
        show_default=True,
        metavar="SHARE",
        help="Share of the run in which the divergence's weight rises from 0.",
    )


#: Family -> (what it is, in a sentence; its own options).
_FAMILIES: dict[str, tuple[str, tuple[Callable[[Function], Function], ...]]] = {
    "dense": (
        "Full layers down to a few numbers, and back.",
        (_layers, click.option("--linear", is_flag=True, help="No hidden layers and no curves: PCA by descent.")),
    ),
    "conv": (
        "Strided convolutions of pictures to a few numbers, and back.",
        (
            click.option(
                "--channels", type=click.IntRange(1, 512), default=16, show_default=True, help="Of stage one."
            ),
            click.option("--hidden", type=click.IntRange(1, 8192), default=256, show_default=True, help="Full layer."),
        ),
    ),
    "denoising": (
        "A network that gives the clean item from a spoilt one.",
        (
            _layers,
            _network,
            click.option(
                "--noise",
                type=click.Choice(["gaussian", "salt-and-pepper", "speckle", "masking", "rician"]),
                default="gaussian",
                show_default=True,
            ),
            click.option(
                "--level",
                type=options.Number(),
                default=0.4,
                show_default=True,
                help="Deviation, or share of the numbers; of pictures in 0..1, of vectors in deviations.",
            ),
        ),
    ),
    "sparse": (
        "Many units, of which few are active for an item.",
        (
            _layers,
            click.option("--penalty", type=click.Choice(["l1", "kl"]), default="l1", show_default=True),
            click.option("--weight", type=options.Finite(0, 1000), help="Price of activity."),
            click.option(
                "--target", type=options.Number(), default=0.05, show_default=True, help="Mean activity, for kl."
            ),
        ),
    ),
    "contractive": (
        "A code that hardly moves when the item does.",
        (
            _layers,
            click.option("--weight", type=options.Finite(0, 1000), default=1e-3, show_default=True, help="Its price."),
        ),
    ),
    "variational": ("A Gaussian code that items are drawn from.", (*_variational, _warm(0.1))),
    "beta": (
        "As variational, with the divergence at a price.",
        (
            *_variational,
            _warm(0.3),
            click.option("--beta", type=options.Finite(0, 1000), default=4.0, show_default=True, help="The price."),
            click.option(
                "--free-bits",
                "free",
                type=options.Finite(0, 100),
                default=0.0,
                show_default=True,
                metavar="NATS",
                help="Of each number's divergence, what costs nothing.",
            ),
        ),
    ),
    "pca": ("Principal components, in closed form.", ()),
}
_RUN = (
    click.option("--epochs", type=options.Finite(0, min_open=True), help="Train for so many passes; by default 20."),
    click.option("--minutes", type=options.Finite(0, min_open=True), help="Train for so long."),
    click.option("--steps", type=click.IntRange(1), help="Train for so many steps."),
    click.option("--batch", type=click.IntRange(1, 65536), help="Items in a step."),
    click.option("--lr", type=options.Finite(0, min_open=True), help="Learning rate."),
    click.option("--resume", is_flag=True, help="Go on with the run that was stopped."),
)


def _train(
    family: str,
    data: str,
    output: Path,
    latent: int | None,
    test: str | None,
    seed: int,
    device: str,
    name: str | None,
    force: bool,
    reading: dict[str, Any],
    run: dict[str, Any],
    chosen: dict[str, Any],
) -> None:
    resume = bool(run.pop("resume", False))
    epochs, rate, batch = (run.pop(key, None) for key in ("epochs", "lr", "batch"))
    if output.exists() and not (force or resume):
        raise OutputError(f"{output} exists; give --force to replace it")
    if sum(value is not None for value in (epochs, *run.values())) > 1:
        raise InvalidArgument("give only one of --epochs, --minutes and --steps")
    changes = {key: value for key, value in {**run, "learning_rate": rate, "batch": batch}.items() if value is not None}
    changes |= {"seed": seed, "device": device, "quiet": not sys.stderr.isatty()}
    how = vectors_shared.reading_of(**reading)
    with needs("aez[train]", train_options.TRAINING_MODULES):
        from aez.codec.vectors.reading import read_items
        from aez.export.autoencoders.figures import DRAWS
        from aez.export.autoencoders.train import AutoencoderConfig, main
        from aez.export.common.run_files import check_output, run_folder
        from aez.export.common.trainer import check_checkpoint

        check_output(output)
        if _is_trained(family) and (resume or not force):
            check_checkpoint(run_folder(output), resume)
        items = read_items(data, how)
        vectors_shared.refuse_idle(data, items, how)
        tested = None if test is None else read_items(test, vectors_shared.without_labels_file(how))
        vectors_shared.tell_skipped(items)
        _tell_numbering(items)
        train_options.forget_run(output, force, resume)
        draws = chosen.pop("draws", DRAWS)
        given = {key: value for key, value in {"latent": latent, **chosen}.items() if value is not None}
        bundle = main(
            items,
            output,
            config=AutoencoderConfig(family, given),
            name=name,
            data=f"{len(items):,} {items.kind} of {Path(data).name}",
            test=tested,
            draws=draws,
            epochs=epochs,
            changes=changes,
            resume=resume,
        )
    if bundle is None:
        sys.exit(train_options.EXIT_STOPPED)
    messages.summary(_done(bundle, output))


def _tell_numbering(items: Items) -> None:
    """Say which columns seem to number the rows: nothing is to be learned from them."""
    import numpy as np

    from aez.export.channels.kinds import numbers_rows

    found = []
    for place, name in enumerate(items.columns):
        column = items.values[:, place].astype(np.float64)
        named = name.lower() in _NUMBERING or name.lower().endswith(("_id", " id"))
        if numbers_rows(column) or (named and len(np.unique(column)) == len(column) and not (column % 1).any()):
            found.append(name)
    if found:
        said = f"column {found[0]!r} seems" if len(found) == 1 else f"columns {listed(found, 5)} seem"
        messages.warning(f"{said} to number the rows; leave out what means nothing with --ignore {','.join(found)}")


def _done(bundle: Bundle, output: Path) -> str:
    """One line: the model, its code, and its figures on the items to test, or on those held out."""
    figures, coding = bundle.manifest["figures"], bundle.coding
    which = "test" if "test" in figures else "held_out"
    found = figures[which]
    said = [f"{key.replace('_', ' ')} {value:,}" for key, value in found.items() if key not in ("items", "draws")]
    where = "items to test" if which == "test" else "held-out items"
    return (
        f"wrote {output}: model {bundle.name} ({bundle.manifest['family']}), {coding['kind']} of "
        f"{'x'.join(map(str, coding['shape']))} in {coding['dimensions']:,} numbers; of {found['items']:,} {where}: "
        f"{', '.join(said)}"
    )


def _is_trained(family: str) -> bool:
    """Whether a family learns step by step; the other has a closed form."""
    return family != "pca"


def _command(family: str) -> click.Command:
    """The command of a family."""
    said, own = _FAMILIES[family]
    trained = _is_trained(family)

    def run(**given: Any) -> None:
        reading = {key: given.pop(key) for key in vectors_shared.READING}
        running = {key: given.pop(key) for key in ("epochs", "minutes", "steps", "batch", "lr", "resume") if trained}
        common = {
            key: given.pop(key) for key in ("data", "output", "latent", "test", "seed", "device", "name", "force")
        }
        _train(family, **common, reading=reading, run=running, chosen=given)

    run.__doc__ = f"""{said}

    DATA is an IDX file such as MNIST's, gzipped or not, an NPY or NPZ array, a folder of pictures, or a table of
    vectors (CSV, Parquet). The bundle works with `aez reconstruct`, `embed`, `interpolate`, `similar`
    and other commands, and
    its graphs `encoder` and `decoder` in any ONNX Runtime.
    """
    decorated = options.in_order(
        click.argument("data", metavar="DATA"),
        train_options.output,
        _latent,
        *own,
        *(_RUN if trained else ()),
        vectors_shared.reading,
        click.option("--test", metavar="DATA", help="Items for the figures in the bundle, which are not learned from."),
        train_options.detector_result,
    )(run)
    return click.command(family, short_help=said)(decorated)


FAMILY_COMMANDS = tuple(_command(family) for family in _FAMILIES)
