"""`aez bench beta`, `bottleneck` and `noise`: sweeps over autoencoders of pictures and vectors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.commands import options
from aez.commands.bench import shared
from aez.commands.vectors import shared as vectors_shared

_MODULES = ("torch", "lightning_fabric", "onnx", "onnxscript", "matplotlib", "skimage")
#: Of the twenty minutes that a sweep may take, what training has.
_MINUTES = 18.0

_common = options.in_order(
    click.argument("data", metavar="DATA"),
    click.option("--test", metavar="DATA", help="Items to measure on; by default 15% of DATA, not learned from."),
    click.option(
        "--minutes",
        type=options.Finite(0, min_open=True),
        default=_MINUTES,
        show_default=True,
        help="Train for so long, all networks together.",
    ),
    click.option("--steps", type=click.IntRange(1), help="Train each network for so many steps, in place of minutes."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is drawn at random."),
    options.device,
    vectors_shared.reading,
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Write JSON, table and plots there; a sweep that was stopped goes on from what lies there.",
    ),
    shared.as_json,
)


def _numbers(kind: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """What parses numbers with commas; raises BadParameter."""

    def parse(context: click.Context, option: click.Parameter, text: str | None) -> tuple[Any, ...] | None:
        if text is None:
            return None
        try:
            found = tuple(kind(one) for one in text.split(",") if one.strip())
        except ValueError:
            found = ()
        if not found or not all(0 < one < 1e6 for one in found):
            raise click.BadParameter(f"{text!r} are no numbers above 0 with commas between them", context, option)
        return found

    return parse


def _sweep(name: str, data: str, test: str | None, output: Path | None, as_json: bool, given: dict[str, Any]) -> None:
    """Run the sweep of a module of aez.bench.autoencoders and show its report. Raises AezError."""
    reading = {key: given.pop(key) for key in vectors_shared.READING}
    how = vectors_shared.reading_of(**reading)
    shared.import_first("aez[bench,train]", *_MODULES)
    from aez.bench.autoencoders.learning import Budget
    from aez.bench.saving import save_all, texts
    from aez.codec.vectors.reading import read_items

    sweep = import_module(f"aez.bench.autoencoders.{name}")
    items = read_items(data, how)
    vectors_shared.refuse_idle(data, items, how)
    vectors_shared.tell_skipped(items)
    tested = None if test is None else read_items(test, vectors_shared.without_labels_file(how))
    run = {key: given.pop(key) for key in ("minutes", "steps", "seed", "device")}
    budget = Budget(**run, folder=output, progress=sys.stderr.isatty())
    own = {key: value for key, value in given.items() if value is not None}
    report = sweep.run(items, Path(data).name, test=tested, budget=budget, **own)
    if output is not None:
        save_all(output, texts(report, name))
        save_all(output, {f"{name}.png": sweep.plot(report), **report.pictures})
    shared.show(report, as_json)
    if output is not None:
        messages.summary(f"wrote the report and plots to {output}")


@click.command()
@_common
@click.option("--betas", callback=_numbers(float), metavar="A,B", help="By default 0.5,1,2,4,10.")
@click.option("--latent", type=click.IntRange(1, 4096), metavar="N", help="Numbers of the code.")
@click.option("--likelihood", type=click.Choice(["gaussian", "bernoulli"]), help="Of pixels; by default gaussian.")
def beta(data: str, test: str | None, output: Path | None, as_json: bool, **given: Any) -> None:
    """Sweep the price of the divergence of `aez train beta`: error, KL, active units, manifold.

    DATA is as for training.
    """
    _sweep("beta", data, test, output, as_json, given)


@click.command()
@_common
@click.option("--sizes", callback=_numbers(int), metavar="A,B", help="By default 2,4,8 and so on to 256.")
@click.option(
    "--family",
    type=click.Choice(["dense", "conv", "sparse", "contractive", "denoising", "variational"]),
    default="dense",
    show_default=True,
)
def bottleneck(data: str, test: str | None, output: Path | None, as_json: bool, **given: Any) -> None:
    """Sweep the size of the code: PSNR, SSIM and explained variance beside PCA, the elbow, the data's dimension.

    DATA is as for training.
    """
    _sweep("bottleneck", data, test, output, as_json, given)


@click.command()
@_common
@click.option("--levels", callback=_numbers(float), metavar="A,B", help="By default 0.05,0.1,0.2,0.4,0.6.")
@click.option(
    "--learned-level",
    type=options.Finite(0, 0.95, min_open=True),
    default=0.2,
    show_default=True,
    help="The level that the networks learn to remove.",
)
def noise(data: str, test: str | None, output: Path | None, as_json: bool, **given: Any) -> None:
    """Sweep noise over `aez train denoising`: PSNR before and after by kind and level, beside two filters.

    DATA is as for training, pictures.
    """
    _sweep("noise", data, test, output, as_json, given)


COMMANDS = (beta, bottleneck, noise)
