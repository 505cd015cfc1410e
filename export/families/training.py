"""What the training of every family shares, on windows of series as on pictures: loss, start, options, figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from aez.export.common.batches import Numbered, Shuffled, spread, spread_lazily
from aez.export.common.plots import plot_losses
from aez.export.common.run_files import is_complete, run_folder
from aez.export.common.trainer import Result, Trainer, TrainOptions
from aez.export.families.base import Family, Figures

#: Closed forms see at most so many windows, and so many numbers.
CLOSED_FORM_WINDOWS, CLOSED_FORM_NUMBERS = 20_000, 24_000_000
_BATCH = 1024


class FamilyLoss(nn.Module, ABC):
    """A family's loss on raw windows or pictures, as a module: what the trainer trains."""

    def __init__(self, network: Family) -> None:
        super().__init__()
        self.network = network

    @abstractmethod
    def scaled(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """(Windows as the network sees them, what is present), each [batch, time, channels]."""

    @abstractmethod
    def forward(self, raw: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """As `Family.loss`, perhaps of corrupted windows."""

    @torch.no_grad()
    def close_form(self, items: Numbered) -> None:
        """Set what the family finds in closed form, from items spread over all."""
        numbers = self.network.window * self.network.channels
        most = max(2, min(CLOSED_FORM_WINDOWS, CLOSED_FORM_NUMBERS // numbers))
        self.network.fit(*self._scaled_in_parts(spread_lazily(items, most)))

    def _scaled_in_parts(self, items: Numbered) -> tuple[Tensor, Tensor]:
        """`scaled` of all items, with no more than its results in memory; what is present takes none where all is."""
        x, present = (part.new_empty(len(items), *part.shape[1:]) for part in self.scaled(items.take(np.arange(1))))
        for start in range(0, len(items), _BATCH):
            end = min(start + _BATCH, len(items))
            x[start:end], present[start:end] = self.scaled(items.take(np.arange(start, end)))
        return x, present.new_ones(()).expand_as(x) if bool((present == 1).all()) else present


@dataclass
class FamilyTask:
    """Training of a family by its `FamilyLoss`; `held_out` [n, ...], raw, tells when to stop."""

    held_out: Tensor

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        return [{"params": list(model.parameters()), "lr": learning_rate}]

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        return cast(tuple[Tensor, Figures], model(batch, generator, progress))

    def validate(self, model: nn.Module, device: torch.device) -> Figures:
        """The loss on what is held out, with noise that is the same at every call."""
        generator = torch.Generator().manual_seed(0)
        total, count = 0.0, 0
        for batch in self.held_out.split(_BATCH):
            loss, _ = model(batch.to(device), generator, 1.0)
            total, count = total + float(loss) * len(batch), count + len(batch)
        return {"validation": total / count}


def short_run(
    items: int, passes: float, steps: tuple[int, int], usual: Mapping[str, Any], changes: Mapping[str, Any]
) -> TrainOptions:
    """How to train a family, which has a good start, on so many items: a few passes, between `steps` (fewest, most).

    `usual` are batch, learning rate and patience; `changes` replace whatever is given.
    """
    count = None if "minutes" in changes else int(np.clip(passes * items / usual["batch"], *steps))
    shared: dict[str, Any] = {
        "steps": count,
        "warmup_steps": 50,
        "ema_decay": 0.99,
        "validate_every": max(25, (count or 2000) // 20),
        "precision": "32-true",
        "devices": 1,
        "workers": 0,
    }
    return TrainOptions(**{**shared, **usual, **changes})


def learn(
    model: FamilyLoss,
    fit: Numbered,
    validation: Numbered,
    shown: int,
    options: TrainOptions,
    folder: Path,
    resume: bool = False,
) -> tuple[Family, Result | None]:
    """Set what has a closed form from `fit`, and train what else there is: the network, on the CPU, and the run.

    At most `shown` items of `validation` tell when to stop. The run is None where nothing is left to train. Random
    numbers are drawn from torch's global state, too, so callers fork it. Raises as `Trainer.run`.
    """
    model.close_form(fit)
    network, result = model.network, None
    if network.trained:
        task = FamilyTask(spread(validation, shown))
        result = Trainer(task, model, Shuffled(fit, options.seed), folder, options).run(resume)
        network = cast(FamilyLoss, result.model).network
    return network.cpu().eval(), result


def is_finished(result: Result | None, output: Path) -> bool:
    """Draw the losses of the run whose bundle will be `output`; False, with a warning, where a signal stopped it."""
    if result is None:
        return True
    plot_losses(result.log, run_folder(output) / "training.png")
    return is_complete(result)


def effort(result: Result | None) -> dict[str, Any]:
    """Steps and minutes of a run, for a bundle's provenance."""
    return {"steps": result.steps if result else 0, "minutes": round(result.seconds / 60, 2) if result else 0.0}


def best_validation(result: Result | None) -> dict[str, Any]:
    """The row of a run's log with the lowest validation loss, for a bundle's figures; empty where there is none."""
    rows = [row for row in (result.log if result else []) if "validation" in row]
    return {"validation": min(rows, key=lambda row: row["validation"])} if rows else {}
