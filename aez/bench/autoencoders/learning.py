"""The networks of a sweep: each learned in the time that it has, kept beside the others, and not learned again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.bench.progress import progress_bar
from aez.bench.saving import make_folder
from aez.codec.common.files import write_whole
from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.codec.vectors.items import Items
from aez.codec.vectors.model import Autoencoder, load_autoencoder
from aez.export.autoencoders.train import AutoencoderConfig, learn_autoencoder, make_bundle

__all__ = ["BUDGET", "Budget", "Sweep", "Trained", "parted", "sweeping"]

#: Of the items, the share that figures are measured on where none are given, and at most so many.
_TESTED, TESTED_MAX = 0.15, 2000
FEWEST = 40


class SweepStopped(AezError):
    """A signal stopped a sweep; what is done is kept."""

    exit_code = 130


@dataclass(frozen=True, eq=False)
class Trained:
    """An opened network, and the seconds that its training took."""

    model: Autoencoder
    seconds: float


@dataclass(frozen=True)
class Budget:
    """How long the networks of a sweep train, `minutes` all together or `steps` each, by which seed, and where.

    They are kept below `folder` and not learned again; nowhere without one.
    """

    minutes: float = 18.0
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    folder: Path | None = None
    progress: bool = False


#: What a sweep may take by default: 18 of twenty minutes, as exporting and measuring take the rest.
BUDGET = Budget()


@dataclass(frozen=True)
class Sweep:
    """How networks of a sweep are trained: in `folder`, with at most `minutes` each, or so many `steps`.

    `advance` says that one is done.
    """

    folder: Path
    minutes: float | None
    steps: int | None
    seed: int
    device: str
    advance: Callable[[str], None]

    def train(self, items: Items, label: str, family: str, options: dict[str, Any]) -> Trained:
        """The network; one that lies in the folder with the same settings and items is opened.

        Raises SweepStopped where a signal stops it; it goes on from there another time.
        """
        settings = {"family": family, "options": options, "minutes": self.minutes, "steps": self.steps}
        settings |= {"seed": self.seed, "items": len(items), "sum": _sum(items.values)}
        name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        place = self.folder / f"{label.replace(' ', '-')}-{name}"
        # Not with_suffix, which would cut the label "beta 0.5" and the sum of its settings at the point.
        bundle_path, record_path, run = (place.with_name(place.name + end) for end in (".aezm", ".json", ".run"))
        if bundle_path.exists() and record_path.exists():
            with contextlib.suppress(OSError, ValueError, KeyError):
                return Trained(load_autoencoder(bundle_path), float(json.loads(record_path.read_text())["seconds"]))
        bound = {"steps": self.steps} if self.minutes is None else {"minutes": self.minutes}
        changes = {**bound, "seed": self.seed, "device": self.device, "quiet": True}
        start = time.monotonic()
        resume = (run / "checkpoint.pt").exists()
        learned = learn_autoencoder(items, AutoencoderConfig(family, options), run, changes=changes, resume=resume)
        if learned.result is not None and not learned.result.finished:
            raise SweepStopped(f"stopped at {label}; the same command goes on from there")
        seconds = time.monotonic() - start if learned.result is None else learned.result.seconds
        data = make_bundle(learned, label.replace(" ", "-"), f"{len(items):,} {items.kind}").to_bytes()
        write_whole(bundle_path, data, force=True)
        write_whole(record_path, (json.dumps(settings | {"seconds": seconds}) + "\n").encode(), force=True)
        return Trained(load_autoencoder(data), seconds)


@contextmanager
def sweeping(budget: Budget, networks: int) -> Iterator[Sweep]:
    """The sweep of so many networks, which share the budget's minutes. Raises OutputError."""
    minutes = None if budget.steps is not None else budget.minutes / networks
    with _workplace(budget.folder) as place, progress_bar(networks, "network", budget.progress) as advance:
        yield Sweep(place, minutes, budget.steps, budget.seed, budget.device, advance)


@contextmanager
def _workplace(folder: Path | None) -> Iterator[Path]:
    """Where the networks of a sweep lie: below the folder of its report, or nowhere that stays. Raises OutputError."""
    if folder is not None:
        yield make_folder(folder / "networks")
        return
    with TemporaryDirectory() as place:
        yield Path(place)


def parted(items: Items, test: Items | None, seed: int = 0) -> tuple[Items, Items]:
    """(Items to learn from, items to measure on): those given, or a share of the items that is drawn.

    Raises UnsupportedInput for too few, InvalidArgument for items of another shape.
    """
    rng = np.random.default_rng(seed)
    if test is not None:
        if test.shape != items.shape:
            raise InvalidArgument(
                f"items to test have the shape {list(test.shape)}, and the others {list(items.shape)}"
            )
        few = np.sort(rng.permutation(len(test))[:TESTED_MAX])
        return items, test.chosen(few)
    if len(items) < FEWEST:
        said = f"{len(items)} {items.kind} are" if len(items) > 1 else f"1 {items.kind.removesuffix('s')} is"
        raise UnsupportedInput(f"{said} too few for a sweep; give {FEWEST} or more")
    order = rng.permutation(len(items))
    count = min(max(1, round(_TESTED * len(items))), TESTED_MAX)
    return items.chosen(np.sort(order[count:])), items.chosen(np.sort(order[:count]))


def _sum(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]
