"""The training loop, on a problem of four numbers: what it draws, keeps, resumes and refuses."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset

from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.export.common.trainer import BAD_STEPS_MAX, SEED_MAX, Trainer, TrainOptions, load_checkpoint
from tests.kit.places import ROOT


class Numbers(Dataset[Tensor]):
    """Item i: four numbers drawn from i."""

    def __getitem__(self, index: int) -> Tensor:
        return torch.randn(4, generator=torch.Generator().manual_seed(index))


class Regression:
    """Learns x -> 3x with noise of its own; `hook` is called before every loss."""

    def __init__(self, hook: Callable[[int], float | None] = lambda _: None) -> None:
        self.hook = hook
        self.steps: list[int] = []
        self.progress: list[float] = []
        self.validated = 0
        self._next = itertools.count()

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        weight, bias = model.parameters()
        return [{"params": [weight], "lr": learning_rate}, {"params": [bias], "lr": 2 * learning_rate}]

    def loss(
        self, model: nn.Module, batch: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        factor = self.hook(next(self._next))
        self.progress.append(progress)
        noise = 0.1 * torch.randn(batch.shape, generator=generator) + 0.1 * torch.rand_like(batch)
        error = (model(batch) - 3 * batch + noise).square().mean()
        return error if factor is None else error * factor, {"error": float(error.detach())}

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        assert not model.training
        self.validated += 1
        return {"distance": float((next(model.parameters()) - 3 * torch.eye(4, device=device)).norm())}


def make_trainer(folder: Path, task: Regression | None = None, width: int = 4, **options: Any) -> Trainer:
    torch.manual_seed(0)
    settings = {"device": "cpu", "precision": "32-true", "workers": 0, "batch": 3, "warmup_steps": 5} | options
    return Trainer(task or Regression(), nn.Linear(width, width), Numbers(), folder, TrainOptions(**settings))


def same(first: Any, second: Any) -> bool:
    """Whether two nested states agree in every bit."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def assert_same_state(folder: Path, other: Path) -> None:
    first, second = (load_checkpoint(path / "checkpoint.pt") for path in (folder, other))
    for key in ("model", "average", "optimizer", "step"):
        assert same(first[key], second[key]), key


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A run of 40 steps without a stop."""
    folder = tmp_path / "reference"
    assert make_trainer(folder, steps=40).run().finished
    return folder


def test_a_run_learns_and_leaves_metrics_and_a_checkpoint(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, steps=300, learning_rate=0.05, validate_every=100, ema_decay=0.9)
    result = trainer.run()
    assert (result.finished, result.steps) == (True, 300)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == result.log
    assert [row["step"] for row in rows if "loss" in row] == [100, 200, 300]
    distances = [row["distance"] for row in rows if "distance" in row]
    assert len(distances) == 3
    assert distances[-1] < 0.3 < distances[0] + 0.3
    assert rows[-2]["loss"] < rows[0]["loss"] / 3
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 300
    assert not list(tmp_path.glob("*.part"))


def test_the_result_is_the_average_of_the_weights(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, steps=30, ema_decay=0.8)
    model = trainer.run().model
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert torch.equal(model.state_dict()["weight"], state["average"]["module.weight"])
    assert not torch.equal(model.state_dict()["weight"], state["model"]["weight"])


def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path: Path, reference: Path) -> None:
    make_trainer(tmp_path / "again", steps=40).run()
    make_trainer(tmp_path / "other", steps=40, seed=1).run()
    assert_same_state(reference, tmp_path / "again")
    with pytest.raises(AssertionError, match="model"):
        assert_same_state(reference, tmp_path / "other")


@pytest.mark.parametrize("crash_at", [1, 17, 39])
def test_a_run_that_died_resumes_bit_for_bit(tmp_path: Path, reference: Path, crash_at: int) -> None:
    def crash(step: int) -> None:
        if step == crash_at:
            raise ZeroDivisionError

    folder = tmp_path / "died"
    with pytest.raises(ZeroDivisionError):
        make_trainer(folder, Regression(crash), steps=40, checkpoint_seconds=0.0).run()
    assert load_checkpoint(folder / "checkpoint.pt")["step"] == crash_at
    result = make_trainer(folder, steps=40).run(resume=True)
    assert (result.finished, result.steps) == (True, 40)
    assert_same_state(folder, reference)


def test_a_resumed_run_writes_rows_after_the_checkpoint_again(tmp_path: Path) -> None:
    def crash(step: int) -> None:
        if step == 150:
            raise ZeroDivisionError

    trainer = make_trainer(tmp_path, Regression(crash), steps=200)
    trainer._save()  # the only checkpoint, at step 0
    (tmp_path / "checkpoint.pt").rename(tmp_path / "kept")
    with pytest.raises(ZeroDivisionError):
        trainer.run()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    (tmp_path / "kept").rename(tmp_path / "checkpoint.pt")
    result = make_trainer(tmp_path, steps=200).run(resume=True)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == result.log
    assert [row["step"] for row in rows if "loss" in row] == [100, 200]


@pytest.mark.slow
def test_a_killed_process_resumes_bit_for_bit(tmp_path: Path, reference: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.export.common.test_trainer import Regression, make_trainer
make_trainer(Path({str(tmp_path / "killed")!r}), Regression(lambda _: time.sleep(0.05)), steps=40,
             checkpoint_seconds=0.0).run()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)
    process.kill()
    process.wait()
    assert 0 < load_checkpoint(checkpoint)["step"] < 40
    make_trainer(tmp_path / "killed", steps=40).run(resume=True)
    assert_same_state(tmp_path / "killed", reference)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forking with threads
def test_loading_in_another_process_changes_nothing(tmp_path: Path, reference: Path) -> None:
    make_trainer(tmp_path / "workers", steps=40, workers=1).run()
    assert_same_state(tmp_path / "workers", reference)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_and_keeps_a_checkpoint(
    tmp_path: Path, reference: Path, number: signal.Signals
) -> None:
    def send(step: int) -> None:
        if step == 11:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    folder = tmp_path / "stopped"
    result = make_trainer(folder, Regression(send), steps=40).run()
    assert (result.finished, result.steps) == (False, 12)
    assert load_checkpoint(folder / "checkpoint.pt")["step"] == 12
    assert signal.getsignal(number) is before
    assert make_trainer(folder, steps=40).run(resume=True).finished
    assert_same_state(folder, reference)


def test_a_second_interrupt_is_not_held_up(tmp_path: Path) -> None:
    def send(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, Regression(send), steps=40).run()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_not_trained_further(reference: Path) -> None:
    task = Regression()
    before = (reference / "checkpoint.pt").read_bytes()
    result = make_trainer(reference, task, steps=40).run(resume=True)
    assert (result.finished, result.steps, task.progress) == (True, 40, [])
    assert (reference / "checkpoint.pt").read_bytes() == before


def test_a_run_in_minutes_ends_by_the_clock(tmp_path: Path) -> None:
    task = Regression(lambda _: time.sleep(0.01))
    started = time.monotonic()
    result = make_trainer(tmp_path, task, minutes=0.4 / 60).run()
    assert result.finished
    assert 0.4 <= result.seconds <= time.monotonic() - started < 20
    assert 1 < result.steps < 60
    assert task.progress == sorted(task.progress)
    assert 0 == task.progress[0] < task.progress[-1] < 1
    assert task.validated == 1


def test_the_clock_of_a_resumed_run_goes_on(tmp_path: Path) -> None:
    def stop(step: int) -> None:
        time.sleep(0.01)
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    first = make_trainer(tmp_path, Regression(stop), minutes=0.5 / 60).run()
    second = make_trainer(tmp_path, Regression(lambda _: time.sleep(0.01)), minutes=0.5 / 60).run(resume=True)
    assert not first.finished
    assert second.finished
    assert 0.5 <= second.seconds < 20
    assert second.steps > first.steps


def test_the_rate_warms_up_and_falls_as_half_a_cosine(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, steps=1000, warmup_steps=10, final_rate=0.1)
    factors = {}
    for trainer.step in (0, 4, 9, 250, 500, 1000):
        factors[trainer.step] = trainer.rate_factor()
    cosine = {step: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 1000)) for step in factors}
    assert factors[0] == pytest.approx(0.1 * cosine[0])
    assert factors[4] == pytest.approx(0.5 * cosine[4])
    for step in (9, 250, 500, 1000):
        assert factors[step] == pytest.approx(cosine[step])
    assert factors[500] == pytest.approx(0.55)
    assert factors[1000] == pytest.approx(0.1)


def test_groups_keep_the_ratio_of_their_rates(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, steps=20, learning_rate=0.01, final_rate=0.5)
    trainer.run()
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    assert rates[1] == pytest.approx(2 * rates[0])
    assert 0.005 <= rates[0] < 0.0052


def test_a_step_without_finite_gradients_changes_no_weight(tmp_path: Path) -> None:
    result = make_trainer(tmp_path, Regression(lambda step: math.nan if step == 5 else None), steps=100).run()
    assert all(bool(value.isfinite().all()) for value in result.model.state_dict().values())
    assert all(math.isfinite(value) for row in result.log for value in row.values())
    assert result.steps == 100


def test_a_run_that_diverged_ends_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgument, match=f"last {BAD_STEPS_MAX} of 103 steps diverged; give a lower learning rate"
    ):
        make_trainer(tmp_path, Regression(lambda step: math.inf if step > 2 else None), steps=1000).run()


def test_gradients_are_clipped(tmp_path: Path) -> None:
    class Norms(Regression):
        def loss(self, model: nn.Module, *rest: Any) -> tuple[Tensor, dict[str, float]]:
            before = next(model.parameters()).detach().clone()
            error, _ = super().loss(model, *rest)
            return error * 1e6, {"moved": float(before.abs().sum())}

    result = make_trainer(tmp_path, Norms(), steps=10, clip_norm=1e-3).run()
    assert result.log[0]["norm"] > 1e3  # the norm before clipping is what the log shows


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match=r"checkpoint\.pt: no checkpoint to resume from"):
        make_trainer(tmp_path / "new", steps=5).run(resume=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_checkpoint_is_refused(reference: Path, damage: str) -> None:
    path = reference / "checkpoint.pt"
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "noise": os.urandom(500), "empty": b""}[damage])
    with pytest.raises(UnsupportedInput, match=r"checkpoint\.pt: not a readable checkpoint"):
        make_trainer(reference, steps=40).run(resume=True)


@pytest.mark.parametrize("content", [[1, 2], {"format": 999}], ids=str)
def test_other_files_of_torch_are_no_checkpoints(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(UnsupportedInput, match="not a checkpoint of this version"):
        make_trainer(tmp_path, steps=40).run(resume=True)


def test_a_checkpoint_executes_no_code(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"format": 1, "model": Harmful()}, tmp_path / "checkpoint.pt")
    with pytest.raises(UnsupportedInput, match="not a readable checkpoint"):
        make_trainer(tmp_path, steps=40).run(resume=True)
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_of_another_network_is_refused(reference: Path) -> None:
    with pytest.raises(InvalidArgument, match="belongs to a network of other sizes"):
        make_trainer(reference, steps=40, width=5).run(resume=True)


def test_a_new_run_does_not_overwrite_an_old_one(reference: Path) -> None:
    with pytest.raises(InvalidArgument, match="give --resume to go on or remove it"):
        make_trainer(reference, steps=40).run()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file cannot be written to"):
        make_trainer(tmp_path / "file", steps=5).run()


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = (reference / "checkpoint.pt").read_bytes()
    trainer = make_trainer(reference, steps=50)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="reference cannot be written to: No space left on device"):
        trainer.run(resume=True)
    assert (reference / "checkpoint.pt").read_bytes() == before
    assert not list(reference.glob("*.part"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either steps or minutes"),
        ({"steps": 5, "minutes": 1.0}, "either steps or minutes"),
        ({"steps": 0}, "must be positive"),
        ({"minutes": -1.0}, "must be positive"),
        ({"steps": 5, "batch": 0}, "must be positive"),
        ({"steps": 5, "learning_rate": math.nan}, "must be positive"),
        ({"steps": 5, "seed": -1}, "seed -1 is outside"),
        ({"steps": 5, "seed": SEED_MAX + 1}, "is outside"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        TrainOptions(**options)


def test_the_largest_seed_works(tmp_path: Path) -> None:
    assert make_trainer(tmp_path, steps=2, seed=SEED_MAX).run().finished


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_cuda_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="torch finds no CUDA device; use auto or cpu"):
        make_trainer(tmp_path, steps=2, device="cuda")


def test_processes_share_the_items_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for rank in range(2):
        trainer = make_trainer(tmp_path, steps=3)
        with monkeypatch.context() as patch:
            patch.setattr(Fabric, "world_size", 2)
            patch.setattr(Fabric, "global_rank", rank)
            drawn.append(list(itertools.islice(trainer._batches(), 2)))
    rows = torch.cat([drawn[0][0], drawn[1][0], drawn[0][1], drawn[1][1]])
    assert torch.equal(rows, torch.stack([Numbers()[index] for index in range(12)]))
