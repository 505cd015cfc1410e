"""`aez train dense` and its like: from pictures or vectors to a bundle with encoder and decoder."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.vectors.items import Items, items_of_array, range_of
from aez.codec.vectors.reading import read_items
from aez.export.autoencoders.base import Network, Subject
from aez.export.autoencoders.bundle import pack_autoencoder
from aez.export.autoencoders.figures import DRAWS, figures_of
from aez.export.autoencoders.networks.variational import Variational, active_units
from aez.export.autoencoders.registry import build, family_class
from aez.export.common.batches import Numbered, Shuffled, spread
from aez.export.common.run_files import check_output, run_folder
from aez.export.common.trainer import Result, Trainer, TrainOptions
from aez.export.families.base import Figures
from aez.export.families.training import best_validation, effort, is_finished

logger = logging.getLogger(__name__)

#: Fewer items tell nothing.
FEWEST = 20
#: Of the items, the share that tells how the training goes, and at most so many.
HELD_OUT, HELD_OUT_MAX = 0.05, 2000
EPOCHS, STEPS_LEAST, BATCH = 20, 1000, 256
#: Items from which units, closed forms and tables are taken.
_MEASURED = 20_000
_VALIDATIONS = 20
#: A share of copies among the held-out items that nobody should take for chance.
_COPIES = 0.2


@dataclass(frozen=True)
class AutoencoderConfig:
    """What to learn: the family by its name, and its options, those of its constructor."""

    family: str
    options: Mapping[str, Any] = field(default_factory=dict)


AutoencoderConfig.__module__ = "aez.export"  # where pickles find it, wherever this file lies


@dataclass(frozen=True, eq=False)
class Taken:
    """Items by their numbers, as the trainer takes them: raw float32 [n, *shape]."""

    values: NDArray[Any]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, numbers: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(self.values[self.numbers[numbers]].astype(np.float32))


@dataclass
class LearnedAutoencoder:
    """A trained network, and what it was made from; `result` None: nothing was left to train."""

    network: Network
    config: AutoencoderConfig
    items: Items
    held_out: Taken
    learned: Taken
    result: Result | None


@dataclass
class _Task:
    """Training of a network, validated on raw items [n, *shape]."""

    held_out: Tensor
    quiet: bool = False
    collapsed: bool = False

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        return [{"params": [one for one in model.parameters() if one.requires_grad], "lr": learning_rate}]

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        return cast(tuple[Tensor, Figures], model(batch, generator, progress))

    def validate(self, model: nn.Module, device: torch.device) -> Figures:
        """The loss on what is held out, with noise that is the same at every call, and what it is made of."""
        network = cast(Network, model)
        generator = torch.Generator().manual_seed(0)
        totals: dict[str, float] = {}
        codes: list[Tensor] = []
        for raw in self.held_out.split(500):
            loss, figures = network(raw.to(device), generator, 1.0)
            for key, value in {"validation": float(loss), **{f"validation_{k}": v for k, v in figures.items()}}.items():
                totals[key] = totals.get(key, 0.0) + value * len(raw) / len(self.held_out)
            if isinstance(network, Variational):
                codes.append(network.encode(network.unit(raw.to(device))).cpu())
        if codes:
            totals["active_units"] = active_units(torch.cat(codes))
            self._warn_of_collapse(network.latent, int(totals["active_units"]))
        return totals

    def _warn_of_collapse(self, latent: int, active: int) -> None:
        """Once, when hardly any number of the code says anything."""
        if not self.collapsed and active <= latent // 4:
            self.collapsed = True
            logger.warning(
                "aez: warning: the posterior collapses: %d of %d numbers of the code vary over the items; give a lower "
                "--beta, a longer --warm, --free-bits or --skip",
                active,
                latent,
            )


def default_options(family: str, items: int, epochs: float | None = None, **changes: Any) -> TrainOptions:
    """How to train a family on so many items; `epochs` counts passes, and `changes` replace what is given."""
    convolving = family in ("conv", "denoising")
    batch = min(changes.pop("batch", None) or (BATCH // 2 if convolving else BATCH), items)
    usual: dict[str, Any] = {
        "steps": None if "minutes" in changes else max(1, math.ceil((epochs or EPOCHS) * items / batch)),
        "batch": batch,
        "learning_rate": 2e-3 if convolving else 4e-3,
        "ema_decay": 0.99,
        "precision": "32-true" if family == "contractive" else "auto",
        "devices": 1,
        "workers": 0,
    }
    if epochs is None and usual["steps"] is not None:
        usual["steps"] = max(usual["steps"], STEPS_LEAST)
    options = {**usual, **changes}
    steps = options["steps"] or 2000
    by_steps = {"warmup_steps": min(200, steps // 10), "validate_every": max(1, steps // _VALIDATIONS)}
    return TrainOptions(**{**by_steps, **options})


def learn_autoencoder(
    items: Items,
    config: AutoencoderConfig,
    folder: Path,
    *,
    epochs: float | None = None,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> LearnedAutoencoder:
    """Learn from items; `changes` are those to `default_options`, and the checkpoint lies in `folder`.

    Raises UnsupportedInput for too few items, equal ones, and pictures in no known range; InvalidArgument.
    """
    if len(items) < FEWEST:
        said = f"{len(items)} {items.kind} are" if len(items) > 1 else f"1 {items.kind.removesuffix('s')} is"
        raise UnsupportedInput(f"{said} too few to learn from; give {FEWEST} or more")
    if not np.any(items.values != items.values[0]):
        raise UnsupportedInput(f"all {items.kind} are the same, and there is nothing to learn from them")
    value_range = range_of(items)
    order = np.random.default_rng(0).permutation(len(items))
    count = min(max(1, round(HELD_OUT * len(items))), HELD_OUT_MAX)
    held_out, learned = Taken(items.values, np.sort(order[:count])), Taken(items.values, np.sort(order[count:]))
    _tell_copies(held_out, learned)
    options = default_options(config.family, len(learned), epochs, **(changes or {}))
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = build(config.family, Subject(items.shape), config.options)
        for notice in network.notices():
            logger.warning("aez: warning: %s", notice)
        some = spread(cast(Numbered, learned), _MEASURED)
        network.measure(some, None if value_range is None else value_range[1])
        with torch.no_grad():
            network.fit(network.unit(some))
        result = None
        if network.trained:
            task = _Task(spread(held_out, HELD_OUT_MAX))
            result = Trainer(task, network, Shuffled(learned, options.seed), folder, options).run(resume)
            network = cast(Network, result.model)
    return LearnedAutoencoder(network.cpu().eval(), config, items, held_out, learned, result)


def _tell_copies(held_out: Taken, learned: Taken) -> None:
    """Warn where what is held out was mostly learned all the same, as copies."""
    known = {hash(learned.values[number].tobytes()) for number in learned.numbers}
    copies = sum(hash(held_out.values[number].tobytes()) in known for number in held_out.numbers)
    if copies > _COPIES * len(held_out):
        logger.warning(
            "aez: warning: %d of %d held-out items are copies of items that are learned from: their error says little "
            "about new ones; leave copies out, or give others with --test",
            copies,
            len(held_out),
        )


def make_bundle(
    learned: LearnedAutoencoder, name: str, data: str, test: Items | None = None, draws: int = DRAWS
) -> Bundle:
    """The bundle of a trained network, in memory; `data` says what it learned from.

    `test` is for its figures; bounds of variational ones are estimated by so many `draws`. Raises ModelError.
    """
    network, config = learned.network, learned.config
    provenance = {
        "data": data,
        "network": {"family": config.family, "options": dict(config.options)},
        **effort(learned.result),
    }
    figures: dict[str, Any] = {"held_out": figures_of(network, learned.held_out), **best_validation(learned.result)}
    if test is not None:
        _check_test(test, learned.items)
        figures["test"] = figures_of(network, Taken(test.values, np.arange(len(test))), draws)
    some = spread(learned.learned, _MEASURED)
    return pack_autoencoder(network, name, some, range_of(learned.items), learned.items.columns, provenance, figures)


def _check_test(test: Items, items: Items) -> None:
    """Raise InvalidArgument for items to test that are not of the shape and the range of those to learn from."""
    if test.shape != items.shape:
        raise InvalidArgument(
            f"items to test have the shape {list(test.shape)}, and those to learn from {list(items.shape)}"
        )
    wanted, found = range_of(items), range_of(test)
    if wanted is not None and found is not None and wanted != found:
        raise InvalidArgument(
            f"pictures to test lie in 0..{found[1]:g}, and those to learn from in 0..{wanted[1]:g}; scale one of them"
        )


def learn_items(
    items: Items | NDArray[Any] | str | os.PathLike[str],
    config: AutoencoderConfig | str = "dense",
    *,
    name: str = "autoencoder",
    epochs: float | None = None,
    **changes: Any,
) -> Bundle:
    """An autoencoder of items, for `aez.codec.vectors.load_autoencoder`.

    Args:
        items: items, an array [n, numbers], [n, height, width] or [n, height, width, 3], or what `read_items` takes.
        config: the family with its options, or its name.
        name: the model's name.
        epochs: passes over the items, in place of `steps` or `minutes`.
        changes: TrainOptions by name (steps, minutes, seed, device ...).

    `aez.codec.bundle.save_bundle` writes it to a file. Raises AezError subclasses.
    """
    if isinstance(items, np.ndarray):
        items = items_of_array(items)
    elif not isinstance(items, Items):
        items = read_items(Path(items))
    config = AutoencoderConfig(config) if isinstance(config, str) else config
    with TemporaryDirectory() as folder:
        learned = learn_autoencoder(items, config, Path(folder), epochs=epochs, changes={"quiet": True, **changes})
    return make_bundle(learned, name, f"{len(items):,} {items.kind}")


def main(
    items: Items,
    output: Path,
    *,
    config: AutoencoderConfig,
    name: str | None = None,
    data: str = "",
    test: Items | None = None,
    draws: int = DRAWS,
    epochs: float | None = None,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Bundle | None:
    """Learn from items and write the bundle `output`; None when a signal stopped the run early.

    Checkpoint, metrics and loss curve lie in `<output>.run/`; `resume` goes on from the checkpoint. Raises AezError
    subclasses.
    """
    family_class(config.family)
    check_output(output)
    if test is not None:  # before the minutes of training
        _check_test(test, items)
    learned = learn_autoencoder(items, config, run_folder(output), epochs=epochs, changes=changes, resume=resume)
    if not is_finished(learned.result, output):
        return None
    bundle = make_bundle(learned, name or output.stem, data or f"{len(items):,} {items.kind}", test, draws)
    save_bundle(bundle, output)
    return bundle
