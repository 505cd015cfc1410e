"""The training loop that every network shares: schedule, clipping, weight averaging, checkpoints, progress.

Devices, precision and several processes come from Lightning Fabric. A step depends on (seed, step) alone, so a run
that is killed and resumed continues bit for bit as if it had not been (with `steps`; with `minutes` the schedule
follows the clock).
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler

from aez.codec.common.progress import progress_bar
from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.export.common.fabric import open_fabric

CHECKPOINT, CHECKPOINT_FORMAT = "checkpoint.pt", 1
Tensors = tuple[Tensor, ...] | list[Tensor]
SEED_MAX = 2**32 - 1
#: The log gets a row of means after so many steps.
REPORT_EVERY = 100
#: A run ends in an error after so many steps in a row without a finite gradient.
BAD_STEPS_MAX = 100


@dataclass(frozen=True)
class TrainOptions:
    """How long and how to train. Exactly one of `steps` and `minutes` bounds the run.

    `batch` counts the items of a step in each process; `final_rate` is relative to `learning_rate`; `precision` is one
    of Fabric's, or `auto`: bfloat16 autocast where the hardware has it. `patience` ends a run after so many validations
    in a row without a lower first figure, and makes the result the averaged weights that had the lowest. `quiet` shows
    no progress. Raises InvalidArgument.
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 8
    learning_rate: float = 2e-3
    final_rate: float = 0.01
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    device: str = "auto"
    devices: int | str = "auto"
    precision: str = "auto"
    workers: int = 1
    validate_every: int = 1000
    checkpoint_seconds: float = 120.0
    patience: int | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise InvalidArgument("give either steps or minutes")
        if (self.steps or self.minutes or 0) <= 0 or self.batch < 1 or not self.learning_rate > 0:
            raise InvalidArgument("steps, minutes, batch and learning rate must be positive")
        if not 0 <= self.seed <= SEED_MAX:
            raise InvalidArgument(f"seed {self.seed} is outside 0..{SEED_MAX}")
        if self.patience is not None and self.patience < 1:
            raise InvalidArgument(f"a patience of {self.patience} validations is none; give 1 or more")


class Task(Protocol):
    """What the trainer needs of a family of networks."""

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Optimizer groups; each may carry its own `lr`, and `until`: the progress from which it stands still."""

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss to minimise and figures to show; `progress` is the share of the run that is done, 0..1."""

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Figures on held-out data; gradients are off. With a patience the first is the one that shall fall."""


@dataclass
class _Best:
    """The lowest validation figure so far, the averaged weights that had it, and how many were not lower since."""

    value: float = math.inf
    weights: dict[str, Tensor] | None = None
    worse: int = 0


@dataclass
class Result:
    """What a run leaves: the averaged weights, how far it got, and its log."""

    model: nn.Module
    steps: int
    seconds: float
    finished: bool
    log: list[dict[str, float]]


class Trainer:
    """Runs a `Task` in `folder` (checkpoint.pt, metrics.jsonl). Call `run` once.

    `data` holds items without end: step s of process r takes the `batch` items from (s * processes + r) * batch on.
    """

    def __init__(
        self, task: Task, model: nn.Module, data: Dataset[Tensor], folder: Path, options: TrainOptions
    ) -> None:
        self.task, self.folder, self.options, self.data = task, folder, options, data
        self.fabric = open_fabric(options.device, options.devices, options.precision)
        self.fabric.launch()
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = task.parameter_groups(model, options.learning_rate)
        optimizer = torch.optim.Adam(groups, lr=options.learning_rate, fused=True)
        self._base_rates = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = self.fabric.setup(model, optimizer)
        self.average = AveragedModel(
            self.model.module, multi_avg_fn=moving_average(options.ema_decay), use_buffers=False
        )
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        self._stop, self._enough = False, False
        self._best = _Best()
        self._bad_steps = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files; with one device it always is."""
        return bool(self.fabric.is_global_zero)

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def _metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        if self.options.steps is not None:
            return min(self.step / self.options.steps, 1.0)
        return min(self.seconds / (60 * cast(float, self.options.minutes)), 1.0)

    def rate_factor(self) -> float:
        """Learning rate relative to its peak: linear warm-up, then a half cosine down to `final_rate`."""
        warm = min((self.step + 1) / max(self.options.warmup_steps, 1), 1.0)
        low = self.options.final_rate
        return warm * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * self.progress())))

    def run(self, resume: bool = False) -> Result:
        """Train to the end, or to the first SIGINT or SIGTERM (then a checkpoint is kept and `finished` is False).

        Raises UnsupportedInput or InvalidArgument for a checkpoint that is missing, damaged, in the way or of another
        network; InvalidArgument for a run that diverges; OutputError where the folder cannot be written.
        """
        check_checkpoint(self.folder, resume)
        if resume:
            self._load()
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.is_main:  # rows written after the checkpoint are written again
                self._metrics_path.write_text("".join(json.dumps(row) + "\n" for row in self.log))
        if not self._complete():
            with _no_denormals(), _stop_on_signal(self._request_stop), progress_bar(**self._bar()) as bar:
                self._loop(bar)
            self._save()
        if self._best.weights is not None:
            self.average.module.load_state_dict(self._best.weights)
        return Result(self.average.module, self.step, self.seconds, self._complete(), self.log)

    def _complete(self) -> bool:
        """Whether the run is at its end, early or not."""
        return self.progress() >= 1 or self._enough

    def _bar(self) -> dict[str, Any]:
        shown = {"disable": not self.is_main or self.options.quiet, "dynamic_ncols": True, "mininterval": 1.0}
        if self.options.steps is not None:
            return shown | {"total": self.options.steps, "initial": self._shown_progress(), "unit": "step"}
        layout = "{percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} min [{elapsed}<{remaining}{postfix}]"
        return shown | {"total": self.options.minutes, "initial": self._shown_progress(), "bar_format": layout}

    def _shown_progress(self) -> float:
        """What the bar counts: steps, or minutes up to their end."""
        return self.step if self.options.steps is not None else self.progress() * cast(float, self.options.minutes)

    def _loop(self, bar: Any) -> None:
        saved = mark = time.monotonic()
        window: list[dict[str, float]] = []
        shown = False
        for batch in self._batches():
            figures = self._train_step(batch)
            if all(map(math.isfinite, figures.values())):
                window.append(figures)
            now = time.monotonic()
            self.seconds += now - mark
            mark = now
            self._agree()
            bar.n = self._shown_progress()
            if window and not self.log:  # something to see before the first row of means, from the first step on
                self._show(bar, window[-1])
                if not shown:
                    bar.refresh()
                shown = True
            bar.update(0)  # draws, at most once a second
            done = self._complete() or self._stop
            if window and (self.step % REPORT_EVERY == 0 or done):
                self._report(bar, window)
                window = []
            due = self.step % self.options.validate_every == 0 or (self.progress() >= 1 and not self._stop)
            if due and not self._enough:
                self._validate(bar)
            if now - saved > self.options.checkpoint_seconds:
                self._save()
                saved = now
            if done:
                return

    def _batches(self) -> Iterator[Tensor]:
        order = _Order(self.step, self.fabric.world_size, self.fabric.global_rank, self.options.batch)
        loader: DataLoader[Tensor] = DataLoader(
            self.data, batch_sampler=order, num_workers=self.options.workers, worker_init_fn=_quiet_worker
        )
        for batch in loader:
            layout = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
            yield self.fabric.to_device(batch).contiguous(memory_format=layout)

    def _agree(self) -> None:
        """Let the main process's clock and signals decide for all, so that no process waits for one that has ended."""
        if self.fabric.world_size > 1:
            self.seconds, self._stop, self._enough = self.fabric.broadcast((self.seconds, self._stop, self._enough))

    def _train_step(self, batch: Tensor) -> dict[str, float]:
        factor = self.rate_factor()
        for group, rate in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor if self.progress() < group.get("until", math.inf) else 0.0
        seed = (self.options.seed * 1_000_003 + self.step) * 1009 + self.fabric.global_rank
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        loss, figures = self.task.loss(self.model, batch, generator, self.progress())
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.options.clip_norm, error_if_nonfinite=False
        )
        if torch.isfinite(cast(Tensor, norm)):  # one bad batch must not poison the weights
            self.optimizer.step()
            self.average.update_parameters(self.model.module)
            self._bad_steps = 0
        else:
            self._bad_steps += 1
        self.optimizer.zero_grad()
        self.step += 1
        if self._bad_steps == BAD_STEPS_MAX:
            raise InvalidArgument(f"the last {BAD_STEPS_MAX} of {self.step} steps diverged; give a lower learning rate")
        return {"loss": float(loss.detach()), **figures, "norm": min(float(cast(Tensor, norm)), 1e6), "rate": factor}

    def _report(self, bar: Any, window: list[dict[str, float]]) -> None:
        mean = {key: sum(row[key] for row in window) / len(window) for key in window[0]}
        self._record({"step": self.step, "seconds": round(self.seconds, 1), **mean})
        self._show(bar, mean)

    @staticmethod
    def _show(bar: Any, figures: Mapping[str, float]) -> None:
        bar.set_postfix({key: f"{value:.4g}" for key, value in figures.items()}, refresh=False)

    def _validate(self, bar: Any) -> None:
        if not self.is_main:
            return
        self.average.eval()
        with torch.no_grad():
            figures = self.task.validate(self.average.module, self.fabric.device)
        self._record({"step": self.step, "seconds": round(self.seconds, 1), **figures})
        if self.options.patience is not None:
            self._judge(next(iter(figures.values())), self.options.patience)
        if not self.options.quiet:
            bar.write(f"step {self.step}: " + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))

    def _judge(self, value: float, patience: int) -> None:
        """Keep the weights if the figure is the lowest so far; end the run if it has not been for long enough."""
        if value < self._best.value:
            weights = {key: tensor.clone() for key, tensor in self.average.module.state_dict().items()}
            self._best = _Best(value, weights)
        else:
            self._best.worse += 1
        self._enough = self._best.worse >= patience  # seen by all processes after the next step

    def _record(self, row: dict[str, float]) -> None:
        self.log.append(row)
        if self.is_main:
            with self._writing(), self._metrics_path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _save(self) -> None:
        if not self.is_main:
            return
        state = {
            "format": CHECKPOINT_FORMAT,
            "model": self.model.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
            "best": dict(vars(self._best)),
            "enough": self._enough,
        }
        serialized = io.BytesIO()  # in memory, so that a full disk is an OSError and nothing else
        torch.save(state, serialized)
        temporary = self.checkpoint_path.with_suffix(".part")
        with self._writing():
            try:
                with temporary.open("wb") as file:
                    file.write(serialized.getbuffer())
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.checkpoint_path)
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written to: {error.strerror or error}") from error

    def _load(self) -> None:
        state = load_checkpoint(self.checkpoint_path)
        try:
            self.model.module.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
            self._best, self._enough = _Best(**state.get("best", {})), state.get("enough", False)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(
                f"{self.checkpoint_path}: belongs to a network of other sizes; resume with the options it began with"
            ) from error

    def _request_stop(self) -> None:
        self._stop = True


@dataclass(frozen=True)
class _Order(Sampler[list[int]]):
    """Item numbers of the batches from step `first` on, without end; every process takes its own slice of a step."""

    first: int
    processes: int
    rank: int
    batch: int

    def __iter__(self) -> Iterator[list[int]]:
        for step in itertools.count(self.first):
            start = (step * self.processes + self.rank) * self.batch
            yield list(range(start, start + self.batch))


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Flush numbers to 0 that mean nothing and slow a processor down; a caller's own arithmetic stays as it is."""
    smallest = torch.tensor(5e-324, dtype=torch.float64)
    flushed = not bool(smallest * 1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


@contextmanager
def _stop_on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a call; the second has its usual effect.

    In another thread than the main one, where Python allows no handlers, signals keep their effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: object) -> None:
        stop()
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average of weights whose decay grows to `decay`, so that short runs forget their start."""

    @torch.no_grad()
    def update(average: Tensors, current: Tensors, count: Tensor | int) -> None:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(average, current, 1 - kept)

    return update


def check_checkpoint(folder: Path, resume: bool) -> None:
    """Raise InvalidArgument for a checkpoint that is in the way, UnsupportedInput for none to resume from."""
    there = (folder / CHECKPOINT).exists()
    if there and not resume:
        raise InvalidArgument(f"{folder} holds a checkpoint; give --resume to go on or remove it")
    if resume and not there:
        raise UnsupportedInput(f"{folder / CHECKPOINT}: no checkpoint to resume from; train without --resume")


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """A checkpoint as the trainer wrote it. Raises UnsupportedInput when it is missing or not one."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UnsupportedInput(f"{path}: no checkpoint to resume from; train without --resume") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UnsupportedInput(f"{path}: not a readable checkpoint; remove it and train without --resume") from error
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise UnsupportedInput(f"{path}: not a checkpoint of this version; remove it and train without --resume")
    return state


def _quiet_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides when to stop
    torch.set_num_threads(1)
