"""From rows to a detector bundle: splits, windows, faults in training data, limits, early stopping, the whole run."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import Dataset

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import load_detector
from aez.codec.detect.events import EventRule, find_events
from aez.codec.detect.thresholds import alarm_budget, peaks_over_threshold, percentile
from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.codec.series.core import Series
from aez.export.common.batches import Batches, Shuffled, spread
from aez.export.common.trainer import Trainer, TrainOptions, load_checkpoint
from aez.export.series import train as train_series
from aez.export.series.data.faults import find_faults
from aez.export.series.scaling import fit_scaling
from aez.export.series.train import (
    DetectorConfig,
    Fitted,
    LimitOptions,
    default_options,
    fit_detector,
    main,
    make_bundle,
    prepare_rows,
)
from aez.export.series.windows import (
    ROWS_PER_WINDOW,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    WINDOW_MIN,
    Windows,
    shortest_series,
    split_rows,
    suggest_window,
)
from tests.kit.places import TINY

Array = np.ndarray[Any, np.dtype[Any]]
MINUTE = 60_000_000_000


def values(n: int = 1500, channels: int = 3, period: int = 20, seed: int = 0) -> Array:
    """Noisy sines of one period, float64 [n, channels]."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(n)[:, None] / period + np.arange(channels))
    return 10.0 * (1 + np.arange(channels)) + waves + 0.1 * rng.normal(size=(n, channels))


def series(rows: Array, name: str = "plant", channels: tuple[str, ...] | None = None) -> Series:
    time = np.arange(len(rows), dtype=np.int64) * MINUTE
    return Series(rows, channels or tuple(f"c{i}" for i in range(rows.shape[1])), time, name=name)


def fit(rows: Array | list[Array], folder: Path, changes: dict[str, Any] | None = None, **config: Any) -> Fitted:
    several = rows if isinstance(rows, list) else [rows]
    config = {"family": "pca"} | config
    many = [series(one, f"s{i}") for i, one in enumerate(several)]
    return fit_detector(many, DetectorConfig(**config), folder, {"quiet": True, **(changes or {})})


def numbered(n: int) -> Array:
    return np.arange(n, dtype=np.float32)[:, None]


# -- windows ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(1, 6))
def test_windows_are_all_those_of_each_run_in_order(lengths: list[int], window: int) -> None:
    starts = np.cumsum([0, *lengths])
    runs = [numbered(1000)[start:end] for start, end in itertools.pairwise(starts)]
    windows = Windows(runs, window)
    wanted = [run[i : i + window] for run in runs for i in range(len(run) - window + 1)]
    assert len(windows) == len(wanted)
    if wanted:
        assert np.array_equal(windows.take(np.arange(len(wanted))).numpy(), np.stack(wanted))
        backwards = windows.take(np.arange(len(wanted))[::-1]).numpy()
        assert np.array_equal(backwards, np.stack(wanted)[::-1])
        assert np.array_equal(torch.cat(list(Batches(windows, 3))).numpy(), np.stack(wanted))
        assert len(spread(windows, 4)) == min(4, len(wanted))


def test_shuffled_windows_come_once_an_epoch_and_depend_on_seed_and_number_alone() -> None:
    windows = Windows([numbered(30), numbered(25)], 6)
    data, again, other = (Shuffled(windows, seed) for seed in (1, 1, 2))
    n = len(windows)
    epochs = [torch.stack(data.__getitems__(list(range(e * n, (e + 1) * n)))) for e in (0, 1)]
    everything = windows.take(np.arange(n)).flatten(1).tolist()
    for epoch in epochs:
        assert sorted(epoch.flatten(1).tolist()) == sorted(everything)
    assert not torch.equal(*epochs)
    assert torch.equal(again[n + 3], epochs[1][3])
    assert torch.equal(again[2], epochs[0][2])
    assert not torch.equal(torch.stack(other.__getitems__(list(range(n)))), epochs[0])


def test_a_split_keeps_the_order_of_time_and_a_window_between_its_parts() -> None:
    window = 10
    split = split_rows([numbered(1000)], window, held_out=0.3, validation=0.2)
    (fit_rows,), (validation,), (held_out,) = (part.runs for part in (split.fit, split.validation, split.held_out))
    assert (fit_rows[0, 0], fit_rows[-1, 0]) == (0, 559)
    assert (validation[0, 0], validation[-1, 0]) == (570, 699)
    assert (held_out[0, 0], held_out[-1, 0]) == (710, 999)


def test_every_series_is_split_and_one_too_short_only_fits() -> None:
    split = split_rows([numbered(1000), numbered(60), numbered(500)], 10)
    assert [len(part.runs) for part in (split.fit, split.validation, split.held_out)] == [3, 2, 2]


def test_no_window_touches_rows_that_are_left_out() -> None:
    spans = [[(100, 130), (120, 140), (0, 10), (990, 1000), (700, 720)]]
    split = split_rows([numbered(1000)], 10, 0.3, 0.2, left_out=spans)
    ends = [[(run[0, 0], run[-1, 0]) for run in part.runs] for part in (split.fit, split.validation, split.held_out)]
    assert ends == [[(10, 99), (140, 559)], [(570, 699)], [(720, 989)]]


@pytest.mark.parametrize("window", [1, 7, 64])
def test_the_shortest_series_is_just_long_enough(window: int) -> None:
    shortest = shortest_series(window)
    split = split_rows([numbered(shortest)], window)
    assert all(len(part) for part in (split.fit, split.validation, split.held_out))
    with pytest.raises(UnsupportedInput, match=f"give {shortest} or more, or a shorter window"):
        split_rows([numbered(shortest - 1)], window)


@pytest.mark.parametrize("period", [WINDOW_MIN, 20, 47, 150, WINDOW_MAX])
def test_the_window_is_the_datas_period(period: int) -> None:
    assert suggest_window(values(12_000, 4, period)) == pytest.approx(period, abs=1)


@pytest.mark.parametrize("period", [4, 8, WINDOW_MIN - 1])
def test_of_a_period_that_is_too_short_the_window_holds_several(period: int) -> None:
    window = suggest_window(values(8000, 4, period))
    assert (window >= WINDOW_MIN, window <= 40, window % period) == (True, True, 0)


def test_a_period_is_found_beside_gaps_outliers_and_still_channels() -> None:
    rows = values(4000, 3, 30)
    rows[::11, 0] = np.nan
    rows[100] = 1e9
    rows = np.column_stack([rows, np.full(4000, 3.0), np.full(4000, np.nan)])
    assert suggest_window(rows) == 30


def test_without_a_clear_period_the_window_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    assert suggest_window(rng.normal(size=(4000, 3))) == WINDOW_DEFAULT
    assert suggest_window(rng.normal(size=(4000, 3)).cumsum(0)) == WINDOW_DEFAULT
    assert suggest_window(values(8000, 2, 3)) <= WINDOW_DEFAULT
    assert suggest_window(np.ones((4000, 2))) == WINDOW_DEFAULT


@pytest.mark.parametrize("n", [1, 5, 40, 300])
def test_a_short_series_gets_a_window_that_can_be_learned(n: int) -> None:
    window = suggest_window(values(n, 2, 50))
    assert 1 <= window <= max(1, n // ROWS_PER_WINDOW)
    if n >= shortest_series(1):
        split_rows([numbered(n)], window)


# -- faults in training data ------------------------------------------------------------------------------------------


def test_plain_faults_are_found_where_they_are() -> None:
    spoiled = [values(2000).astype(np.float32), values(1000, seed=1).astype(np.float32)]
    spoiled[0][700:730, 1] += 15
    spoiled[0][1500:1505] = 0
    (faults,) = find_faults(spoiled)
    assert faults.series == 0
    assert faults.times > 8
    (first, second) = faults.rows
    assert (first[0] <= 700, first[1] >= 730) == (True, True)
    assert first[1] - first[0] < 30 + 2 * 16
    assert second[0] <= 1500


@pytest.mark.parametrize("seed", range(3))
def test_normal_noise_and_bursts_are_no_faults(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(3000, 4))
    bursts = noise.copy()
    bursts[rng.random(3000) < 0.05] *= 6
    for rows in (noise, bursts, rng.standard_t(3, size=(3000, 4))):
        assert find_faults([rows.astype(np.float32)]) == []


def test_a_second_way_of_being_normal_is_no_fault() -> None:
    rows = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    rows[1000:2000] += 12
    assert all(end - start < 40 for faults in find_faults([rows]) for start, end in faults.rows)  # its sudden edges


def test_faults_are_not_sought_where_there_is_nothing_to_compare() -> None:
    assert find_faults([values(10).astype(np.float32)]) == []
    assert find_faults([np.full((100, 2), np.nan, np.float32)]) == []
    assert find_faults([]) == []


def test_faults_in_training_data_are_told_and_not_learned(tmp_path: Path) -> None:
    clean, spoiled = values(2000), values(2000)
    spoiled[500:530, 1] += 20
    spoiled[1800:1810] = 0
    with_faults, learned = fit(spoiled, tmp_path), fit(spoiled, tmp_path, robust=False)
    reference = float(fit(clean, tmp_path).graph.threshold)
    assert "s0: rows " in with_faults.notices[0]
    assert "look like faults" in with_faults.notices[0]
    assert learned.notices == []
    assert float(with_faults.graph.threshold) == pytest.approx(reference, rel=0.2)
    fault = torch.from_numpy(spoiled[None, 510:530].astype(np.float32))
    with torch.no_grad():
        assert with_faults.graph(fault)[0] > 3 * learned.graph(fault)[0]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_limits_are_those_of_the_thresholds_module(tmp_path: Path) -> None:
    rows = values(4000)
    by_percentile = fit(rows, tmp_path, limit=LimitOptions("percentile", percentile=99.0))
    assert float(by_percentile.graph.threshold) == pytest.approx(percentile(by_percentile.scores, 99.0))
    by_tail = fit(rows, tmp_path, limit=LimitOptions("pot", risk=1e-3))
    assert float(by_tail.graph.threshold) == pytest.approx(peaks_over_threshold(by_tail.scores, 1e-3))


def test_a_margin_is_a_factor_on_the_limit_of_a_budget_and_on_no_other(tmp_path: Path) -> None:
    rows = values(4000)
    plain, usual, wide = (fit(rows, tmp_path, limit=LimitOptions(**how)) for how in ({"margin": 1}, {}, {"margin": 3}))
    assert np.array_equal(plain.scores, wide.scores)
    assert float(plain.graph.threshold) == pytest.approx(alarm_budget(plain.scores, 1, 1440))
    assert float(usual.graph.threshold) == pytest.approx(1.5 * float(plain.graph.threshold))
    assert float(wide.graph.threshold) == pytest.approx(3 * float(plain.graph.threshold))
    for how in ({"method": "percentile", "percentile": 95.0}, {"method": "pot", "risk": 1e-3}):
        narrow, wide = (fit(rows, tmp_path, limit=LimitOptions(**how, margin=margin)) for margin in (1, 3))
        assert torch.equal(narrow.graph.threshold, wide.graph.threshold)


@pytest.mark.parametrize("alarms", [0.0, 10.0, 40.0])
def test_a_budget_of_alarms_holds_on_the_rows_that_were_held_out(tmp_path: Path, alarms: float) -> None:
    rng = np.random.default_rng(3)
    rows = [values(4000, seed=seed) for seed in (0, 1)]
    for one in rows:
        for start in rng.integers(2800, 3950, 6):
            one[start : start + 12] += rng.normal()
    rule = EventRule(open_after=2, close_after=4)
    fitted = fit(rows, tmp_path, limit=LimitOptions("budget", alarms=alarms), rule=rule, window=10, robust=False)
    windows = fitted.split.held_out
    count = 0
    for part in np.split(fitted.scores, np.cumsum([len(run) - 9 for run in windows.runs])[:-1]):
        count += len(find_events(part / float(fitted.graph.threshold), rule=rule))
    days = len(fitted.scores) / 1440
    assert count <= alarms * days
    assert alarms == 0 or count > 0


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("quantile", {}),
        ("percentile", {"percentile": 101}),
        ("pot", {"risk": 0.5}),
        ("budget", {"alarms": -1}),
        ("budget", {"margin": 0.9}),
    ],
)
def test_limits_out_of_range_are_refused(method: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        LimitOptions(method, **wrong)


# -- fitting ----------------------------------------------------------------------------------------------------------


def test_scaling_and_network_see_the_first_part_alone(tmp_path: Path) -> None:
    rows = values(2000)
    changed = rows.copy()
    changed[1450:] = changed[1450:] * 1.5 + 3
    first, second = fit(rows, tmp_path, window=10), fit(changed, tmp_path, window=10, robust=False)
    assert np.array_equal(first.graph.scaling.scale, second.graph.scaling.scale)
    assert torch.equal(first.graph.network.basis, second.graph.network.basis)  # type: ignore[arg-type]
    assert not torch.equal(first.graph.normal, second.graph.normal)


def test_equal_seeds_give_equal_detectors_and_leave_torchs_seed_alone(tmp_path: Path) -> None:
    fitted = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(5)
        changes = {"steps": 20, "seed": seed}
        fitted.append(fit(values(), tmp_path / str(number), changes, family="dense", window=10))
        assert torch.rand(1).item() == pytest.approx(0.8302, abs=1e-4)
    assert np.array_equal(fitted[0].scores, fitted[1].scores)
    assert not np.array_equal(fitted[0].scores, fitted[2].scores)


def test_training_improves_on_the_start(tmp_path: Path) -> None:
    """Sines of random amplitudes and phases that multiply: no few principal components hold them."""
    rng = np.random.default_rng(0)
    slow = np.sin(np.arange(6000) / 31 + rng.normal(size=6000).cumsum() * 0.02)
    fast = np.sin(np.arange(6000) / 2.3)
    rows = np.stack([slow, fast, slow * fast], axis=1) + 0.02 * rng.normal(size=(6000, 3))
    changes = {"steps": 400, "learning_rate": 3e-3}
    fitted = fit(rows, tmp_path, changes, family="dense", window=16, options={"latent": 4, "drop": 0.0})
    assert fitted.result is not None
    validation = [row["validation"] for row in fitted.result.log if "validation" in row]
    assert min(validation) < 0.7 * validation[0]


def test_what_never_moved_is_told(tmp_path: Path) -> None:
    rows = values(channels=4)
    rows[:, 1:3] = 5.0
    assert fit(rows, tmp_path).notices == ["c1, c2 never moved in the training rows; any movement will score high"]


def test_series_share_the_channels_of_the_first_and_infinite_values_are_missing() -> None:
    first = series(np.array([[1.0, np.inf], [1e300, 4.0]]), channels=("a", "b"))
    second = series(np.array([[5.0, 6.0, 7.0]]), channels=("b", "x", "a"))
    rows, channels = prepare_rows([first, second])
    assert channels == ("a", "b")
    assert np.array_equal(rows[0], [[1, np.nan], [np.nan, 4]], equal_nan=True)
    assert rows[1].tolist() == [[7, 5]]
    with pytest.raises(UnsupportedInput, match="b"):
        prepare_rows([first, series(np.ones((3, 1)), "late", ("a",))])
    with pytest.raises(InvalidArgument, match="there is no series"):
        prepare_rows([])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (values(30), "30 rows are too few to learn and calibrate windows of 10"),
        (np.full((500, 2), np.nan), "channel c0 has no value in the training rows"),
        (np.empty((500, 0)), "has no channel to learn from"),
        (np.full((500, 2), 7.0), "no channel of s0 ever moves, and there is nothing to learn from constant data"),
        (np.where(np.arange(1000).reshape(500, 2) % 3, 7.0, np.nan), "no channel of s0 ever moves"),
    ],
)
def test_data_that_cannot_be_learned_from_are_refused(rows: Array, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match=message):
        fit(rows, tmp_path, window=10)


def test_any_movement_of_a_channel_that_stood_still_is_an_alarm(tmp_path: Path) -> None:
    rows = values(500, 2)
    rows[:, 1] = 7.0
    fitted = fit(rows, tmp_path, window=10)
    fresh = torch.from_numpy(rows[None, -10:].astype(np.float32))
    with torch.no_grad():
        assert fitted.graph(fresh)[0] < 2
        fresh[0, 5:, 1] = 7.5
        assert fitted.graph(fresh)[0] > 5


# -- early stopping ---------------------------------------------------------------------------------------------------


class Zeros(Dataset[Tensor]):
    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(1)


class Scripted:
    """Every step adds 1 to the weight; validation figures come from a list."""

    def __init__(self, figures: list[float]) -> None:
        self.figures, self.asked = figures, 0

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        return [{"params": list(model.parameters()), "lr": learning_rate}]

    def loss(self, model: nn.Module, batch: Tensor, *_: Any) -> tuple[Tensor, dict[str, float]]:
        return -model(batch).sum(), {}

    def validate(self, *_: Any) -> dict[str, float]:
        self.asked += 1
        return {"goal": self.figures[self.asked - 1], "other": 0.0}


def trainer(folder: Path, figures: list[float], **options: Any) -> Trainer:
    torch.manual_seed(0)
    usual = {"device": "cpu", "precision": "32-true", "workers": 0, "batch": 1, "steps": 10, "validate_every": 1}
    usual |= {"ema_decay": 0.0, "warmup_steps": 0, "quiet": True}
    return Trainer(Scripted(figures), nn.Linear(1, 1), Zeros(), folder, TrainOptions(**(usual | options)))


def bias(model: nn.Module) -> float:
    return float(model.bias.detach())  # type: ignore[operator, arg-type]


def test_a_run_stops_when_it_has_not_improved_for_long_enough_and_keeps_its_best(tmp_path: Path) -> None:
    run = trainer(tmp_path, [5, 3, 4, 2, 2, 6, 9, 1, 1, 1], patience=3)
    result = run.run()
    assert result.finished
    assert result.steps == 8  # three validations after the one at step 4, and the step that sees it
    shorter = trainer(tmp_path / "shorter", [1] * 4, steps=10)
    for _ in range(4):
        shorter._train_step(torch.zeros(1, 1))
    assert bias(result.model) == pytest.approx(bias(shorter.average.module))
    assert bias(result.model) < bias(run.model.module)


def test_a_run_that_improves_goes_to_its_end(tmp_path: Path) -> None:
    result = trainer(tmp_path, list(range(10, 0, -1)), patience=1).run()
    assert (result.steps, result.finished) == (10, True)


def test_without_a_patience_the_figures_stop_nothing(tmp_path: Path) -> None:
    run = trainer(tmp_path, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    result = run.run()
    assert result.steps == 10
    assert bias(result.model) == bias(run.average.module)


def test_the_best_weights_survive_a_resumption(tmp_path: Path) -> None:
    figures = [5.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    whole = trainer(tmp_path / "whole", figures, patience=4).run()
    first = trainer(tmp_path / "parts", figures, patience=4)
    task = first.task
    validate = task.validate

    def stop_after_three(*arguments: Any) -> dict[str, float]:
        if task.asked == 2:  # type: ignore[attr-defined]
            first._request_stop()
        return validate(*arguments)

    task.validate = stop_after_three  # type: ignore[method-assign]
    assert not first.run().finished
    done = int(load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"])
    second = trainer(tmp_path / "parts", figures[task.asked :], patience=4).run(resume=True)  # type: ignore[attr-defined]
    assert done < second.steps == whole.steps
    assert bias(second.model) == bias(whole.model)
    again = trainer(tmp_path / "parts", [], patience=4).run(resume=True)
    assert (again.finished, again.steps, bias(again.model)) == (True, whole.steps, bias(whole.model))


def test_a_patience_below_one_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="a patience of 0 validations is none"):
        TrainOptions(steps=1, patience=0)


def test_a_quiet_run_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trainer(tmp_path / "quiet", [1.0] * 10).run()
    assert capfd.readouterr() == ("", "")
    trainer(tmp_path / "loud", [1.0] * 10, quiet=False).run()
    assert "goal 1" in "".join(capfd.readouterr())


def test_options_may_be_changed_one_by_one() -> None:
    assert default_options(1_000).steps == 300
    assert default_options(10**9).steps == 3000
    changed = default_options(1_000, minutes=2.0, seed=4)
    assert (changed.steps, changed.minutes, changed.seed) == (None, 2.0, 4)


# -- the whole run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "plant.aezm"
    two = [series(values(1500), "monday"), series(values(1500, seed=1), "tuesday")]
    config = DetectorConfig("dense", window=10, options={"latent": 4})
    bundle = main(two, output, config=config, changes={"steps": 30, "quiet": True}, units=["bar", "", "K"])
    assert bundle is not None
    return output


def test_a_run_leaves_a_bundle_that_scores_without_torch(trained: Path) -> None:
    detector = load_detector(trained)
    assert (detector.window, detector.channels, detector.units) == (10, ("c0", "c1", "c2"), ("bar", "", "K"))
    assert (detector.period, detector.event_rule) == (60.0, EventRule())
    fresh = values(600, seed=7)
    fresh[300:340, 2] += 8
    found = detector.score(series(fresh))
    assert np.nanmean(found.score[:300] > 1) < 0.02
    assert (found.score[305:340] > 1.5).all()
    assert (found.channel_score[305:340].argmax(axis=1) == 2).all()
    assert detector.notices(series(fresh)) == []
    scaling = fit_scaling(np.concatenate([values(1500)[:892], values(1500, seed=1)[:892]]))
    assert np.array(detector.ranges) == pytest.approx(np.stack([scaling.low, scaling.high], axis=1), rel=1e-5)


def test_the_bundle_says_how_it_was_made(trained: Path) -> None:
    bundle = load_detector(trained).bundle
    manifest = bundle.manifest
    assert (bundle.name, manifest["family"], bundle.task) == ("plant", "dense", "detector")
    provenance = manifest["provenance"]
    assert provenance["data"] == "3,000 rows of 3 channels: monday, tuesday"
    assert provenance["network"] == {"family": "dense", "window": 10, "options": {"latent": 4}}
    assert provenance["threshold"] == {"method": "budget", "alarms": 1.0, "margin": 1.5}
    assert provenance["steps"] == 30
    assert 0 < manifest["figures"]["held_out"]["median_score"] < 1
    assert manifest["figures"]["validation"]["validation"] > 0


def test_a_run_leaves_its_metrics_and_its_curve(trained: Path) -> None:
    folder = trained.with_name("plant.aezm.run")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any("loss" in row for row in rows)
    assert any("validation" in row for row in rows)
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "checkpoint.pt").exists()


@pytest.mark.slow
def test_a_run_that_was_finished_resumes_to_the_same_model(trained: Path) -> None:
    two = [series(values(1500), "monday"), series(values(1500, seed=1), "tuesday")]
    config = DetectorConfig("dense", window=10, options={"latent": 4})
    before = load_detector(trained).bundle
    changes = {"steps": 30, "quiet": True}
    with pytest.raises(InvalidArgument, match="holds a checkpoint"):
        main(two, trained, config=config, changes=changes)
    again = main(two, trained, config=config, changes=changes, resume=True, units=["bar", "", "K"])
    assert again is not None
    assert again.id == before.id


def test_what_the_user_should_know_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_series, "make_bundle", lambda *_: Bundle.open(TINY))  # it is no matter here
    rows = values(1500)
    rows[:, 1] = 5.0
    with caplog.at_level(logging.WARNING):
        main([series(rows)], tmp_path / "still.aezm", config=DetectorConfig("pca", window=10))
    assert [record.getMessage() for record in caplog.records] == [
        "aez: c1 never moved in the training rows; any movement will score high"
    ]


def test_a_model_that_could_not_be_written_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        main([series(values())], tmp_path / "no" / "folder.aezm")
    with pytest.raises(InvalidArgument, match=r"ends in \.aezm"):
        main([series(values())], tmp_path / "model.onnx")
    with pytest.raises(InvalidArgument, match="2 units cannot belong to 3 channels"):
        main([series(values())], tmp_path / "model.aezm", units=["m", "s"])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ensemble", "variational", "lstm"])
def test_other_families_end_in_bundles_too(family: str, tmp_path: Path) -> None:
    fitted = fit(values(), tmp_path, {"steps": 10}, family=family, window=10)
    bundle = make_bundle(fitted, family, "sines")
    detector = load_detector(bundle.to_bytes())
    windows = spread(fitted.split.held_out, 50)
    with torch.no_grad():
        wanted = fitted.graph(windows)[0].numpy()
    assert detector.score_windows(windows.numpy()).score == pytest.approx(wanted, rel=1e-3)
