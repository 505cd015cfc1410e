"""The recipes in samples/detect: their data are what they say, and they find what they say they find."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aez.codec.series.reader import read_series
from tests.kit.places import SAMPLES

FOLDER = SAMPLES / "detect"
Load = Callable[[str], ModuleType]
Figures = dict[str, Any]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Import a module of the recipes, which lie on no path."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


def ran(name: str, *arguments: object) -> str:
    """What a script of the recipes prints."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recipe(name: str, out: Path) -> tuple[str, Figures]:
    """What a recipe prints, and the figures it leaves beside its picture."""
    said = ran(name, "--quick", "--out", out)
    with Image.open(out / f"{name}.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**24)) > 50
    figures = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    assert figures["quick"] is True
    assert all(peer in said and peer in figures["detectors"] for peer in ("aez", "PCA", "isolation forest", "random"))
    return said, figures


# The recipes


@pytest.mark.slow
def test_satellite_finds_faults_that_chance_does_not_and_names_the_channel(tmp_path: Path) -> None:
    said, figures = recipe("satellite", tmp_path)
    ours, chance = figures["detectors"]["aez"], figures["detectors"]["random"]
    assert ours["all"]["labelled"] == 12
    assert ours["all"]["found"] >= chance["all"]["found"] + 4
    assert ours["false_alarms_per_day"] < 2
    assert ours["all"]["right_channel"] > ours["all"]["found"] / 2
    missed = next(line for line in said.splitlines() if line.startswith("aez missed: "))
    assert missed.count(" of ") == ours["all"]["labelled"] - ours["all"]["found"]


@pytest.mark.slow
def test_network_flows_of_floods_and_scans_are_flagged_and_normal_ones_are_not(tmp_path: Path) -> None:
    _, figures = recipe("network_flows", tmp_path)
    ours, chance = figures["detectors"]["aez"], figures["detectors"]["random"]
    assert min(ours["flagged"][attack] for attack in ("udp_flood", "port_scan")) > 0.9
    assert ours["flagged"]["syn_flood"] > 0.3
    assert ours["flagged"]["normal"] < 0.005
    assert ours["auc_pr"] > 0.9
    assert chance["auc_pr"] < 0.25
    assert max(chance["flagged"].values()) < 0.1


@pytest.mark.slow
def test_card_fraud_ranks_far_above_chance_and_not_far_from_a_classifier_with_labels(tmp_path: Path) -> None:
    _, figures = recipe("card_fraud", tmp_path)
    found = {name: one["auc_pr"] for name, one in figures["detectors"].items()}
    assert found["aez"] > 5 * found["random"]
    assert found["classifier with labels"] > 0.95 * found["aez"]  # of so few payments labels tell little more


@pytest.mark.slow
def test_factory_line_is_watched_from_the_command_line(tmp_path: Path) -> None:
    said, figures = recipe("factory_line", tmp_path)
    ours, chance = figures["detectors"]["aez"], figures["detectors"]["random"]
    assert ours["all"]["found"] > chance["all"]["found"]
    assert ours["false_alarms"] <= 3
    assert said.count("$ aez ") == 2
    assert all((tmp_path / name).stat().st_size for name in ("line.aezm", "line-report.html", "line-events.csv"))


@pytest.mark.slow
def test_blood_panels_of_healthy_people_stay_below_the_limit(tmp_path: Path) -> None:
    _, figures = recipe("blood_panels", tmp_path)
    ours, rule = figures["detectors"]["aez"], figures["detectors"]["any value outside its range"]
    assert ours["flagged"]["healthy"] < 0.025
    assert ours["flagged"]["rare"] > 4 * ours["flagged"]["healthy"]
    assert ours["auroc"] > 0.65
    assert rule["flagged"]["healthy"] > 0.4


# Their data


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("satellite_data", (1, 4, 1)),
        ("network_flows_data", (500, 1000)),
        ("card_fraud_data", (3000,)),
        ("factory_line_data", (8000,)),
        ("blood_panels_data", (300, 1000)),
    ],
)
def test_data_are_the_same_at_every_run_and_others_with_another_seed(
    load: Load, name: str, sizes: tuple[int, ...]
) -> None:
    make = load(name).make
    first, again, other = (_numbers(make(*sizes, seed=seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))
    assert not all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=True) for a, b in zip(first, other, strict=True)
    )


def _numbers(made: Any) -> list[np.ndarray[Any, Any]]:
    parts = made if isinstance(made, tuple) else (made,)
    arrays = [value for part in parts for value in vars(part).values() if isinstance(value, np.ndarray)]
    return [array for array in arrays if array.dtype == np.float64]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "features", "period"),
    [
        ("satellite_data", "test.csv", "CHANNELS", 60),
        ("network_flows_data", "train.csv", "FEATURES", None),
        ("card_fraud_data", "payments.csv", "FEATURES", None),
        ("factory_line_data", "production.parquet", "CHANNELS", 1),
        ("blood_panels_data", "patients.csv", "MEASUREMENTS", None),
    ],
)
def test_a_generator_writes_files_that_aez_reads(
    load: Load, tmp_path: Path, name: str, file: str, features: str, period: float | None
) -> None:
    ran(name, tmp_path)
    names = getattr(load(name), features)
    series, about = read_series(tmp_path / file, channels=names)
    assert series.channels == names
    assert len(series) == about.rows > 10_000
    assert period is None or about.period_seconds == period
    assert np.isfinite(series.values).mean() > 0.96


def test_faults_of_the_satellite_touch_their_rows_and_their_channel_only(load: Load) -> None:
    data = load("satellite_data")
    faulty, whole = data.make(1, 6, 2, seed=3), data.make(1, 6, 0, seed=3)
    changed = (faulty.test != whole.test) & np.isfinite(faulty.test) & np.isfinite(whole.test)
    allowed = np.zeros_like(changed)
    for fault in faulty.faults:
        allowed[fault.start : fault.end, fault.channel] = True
    assert changed.any()
    assert not (changed & ~allowed).any()
    assert sorted(fault.kind for fault in faulty.faults) == sorted([*data.KINDS, *data.KINDS])
    assert np.array_equal(faulty.labels, allowed.any(axis=1))
    assert all(a.end < b.start for a, b in zip(faulty.faults, faulty.faults[1:], strict=False))


def test_a_satellite_lives_from_the_sun(load: Load) -> None:
    data = load("satellite_data")
    values = data.make(3, 3, 0).train
    voltage, charge, array, panel = (
        values[:, data.CHANNELS.index(name)]
        for name in ("bus_voltage", "battery_charge", "array_current", "panel_temperature")
    )
    shadow = array[:-10] < 0.1
    assert 0.25 < np.nanmean(shadow) < 0.45
    assert np.nanmean((charge[10:] - charge[:-10])[shadow]) < -0.5
    assert np.nanmean((charge[10:] - charge[:-10])[~shadow]) > 0.2
    assert np.nanmean((panel[10:] - panel[:-10])[shadow]) < 0
    seen = np.isfinite(voltage)
    assert np.corrcoef(voltage[seen], charge[seen])[0, 1] > 0.7
    assert 0.005 < 1 - seen.mean() < 0.02


def test_counts_over_neighbouring_flows_are_those_counted_one_by_one(load: Load) -> None:
    data = load("network_flows_data")
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 60, 150))
    flows = [
        data._Flow(time, int(rng.integers(4)), int(rng.integers(3)), int(rng.integers(5)), "web")
        for time in times.tolist()
    ]
    answered = rng.random(len(flows)) < 0.7
    found = data._counts(flows, answered)
    for at, flow in enumerate(flows):
        near = [i for i in range(at + 1) if flows[i].time >= flow.time - 2]
        own = [i for i in range(at + 1) if flows[i].time >= flow.time - 30 and flows[i].source == flow.source]
        expected = {
            "to_destination": sum(flows[i].destination == flow.destination for i in near),
            "from_source": sum(flows[i].source == flow.source for i in near),
            "ports_of_source": len({flows[i].port for i in own}),
            "hosts_of_source": len({flows[i].destination for i in own}),
            "failed_of_source": sum(not answered[i] for i in own) / len(own),
        }
        assert {name: values[at] for name, values in found.items()} == pytest.approx(expected)


def test_sums_over_a_cards_past_are_those_added_one_by_one(load: Load) -> None:
    data = load("card_fraud_data")
    rng = np.random.default_rng(0)
    card, time, amount = rng.integers(5, size=120), np.sort(rng.uniform(0, 100, 120)), rng.uniform(1, 9, 120)
    past = data._Past(card, time)
    counts, totals, since, change = past.count(24), past.total(amount, 24), past.since_last(), past.change(amount)
    for at in range(120):
        own = [i for i in range(at + 1) if card[i] == card[at]]
        near = [i for i in own if time[i] >= time[at] - 24]
        assert counts[at] == len(near)
        assert totals[at] == pytest.approx(amount[near].sum())
        assert since[at] == pytest.approx(time[at] - time[own[-2]] if len(own) > 1 else 720)
        assert change[at] == pytest.approx(amount[at] - amount[own[-2]] if len(own) > 1 else 0)


def test_fraud_is_one_payment_in_two_hundred(load: Load) -> None:
    data = load("card_fraud_data")
    made = data.make(10_000)
    assert (made.kinds != data.NORMAL).mean() == pytest.approx(data.FRAUD_SHARE, rel=0.02)
    assert set(np.unique(made.kinds)) == {data.NORMAL, *data.FRAUDS}
    assert made.values.shape == (10_050, len(data.FEATURES)) == (10_050, 30)
    assert np.isfinite(made.values).all()


def test_one_reading_of_the_line_in_a_thousand_is_faulty(load: Load) -> None:
    data = load("factory_line_data")
    line = data.make(50_000)
    faulty = sum(fault.end - fault.start for fault in line.faults)
    assert faulty / 50_000 == pytest.approx(data.FAULT_SHARE, rel=0.1)
    spoilt = (line.spoilt != line.training).any(axis=1)
    assert spoilt.mean() == pytest.approx(data.FAULT_SHARE, rel=0.3)
    assert line.training.shape == (20_000, 50)
    assert len(line.training) + len(line.production) == 50_000
    loose = [fault for fault in line.faults if fault.kind == "loose"]
    for fault in loose:
        station = line.production[fault.start : fault.end, 10 * fault.station : 10 * fault.station + 10]
        assert (station == 0).all(axis=0).sum() == 1


def test_blood_counts_add_up_and_the_rare_disease_is_rare(load: Load) -> None:
    data = load("blood_panels_data")
    healthy, people = data.make(500, 5000)
    white, *parts = (
        people.values[:, data.MEASUREMENTS.index(name)]
        for name in ("white_cells", "neutrophils", "lymphocytes", "eosinophils")
    )
    whole = np.isfinite([white, *parts]).all(axis=0)
    assert (white > sum(parts))[whole].all()
    assert (healthy.kinds == "healthy").all()
    assert (people.kinds == "rare").sum() == 10
    assert np.isnan(people.values).mean() == pytest.approx(1 / 30, abs=0.005)
    assert (people.values[np.isfinite(people.values)] > 0).all()


# What they share


def test_a_peers_limit_comes_from_training_rows_that_it_did_not_learn_from(load: Load) -> None:
    seen = []

    class First:
        """The score is the first channel."""

        def fit(self, train: np.ndarray[Any, Any]) -> First:
            seen.extend(train[:, 0])
            return self

        def score(self, test: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return test[:, 0]

    train, test = np.arange(100.0)[:, None], np.array([[50.0], [198.0]])
    found = load("recipe").relative_scores(First(), train, test, np.max)
    assert max(seen) == 69
    assert found == pytest.approx([50 / 99, 2])


def test_tables_line_up(load: Load) -> None:
    said = load("recipe").table([["name", "share"], ["aez", "7 %"], ["chance", "10 %"]])
    assert said == "name    share\n-------------\naez       7 %\nchance   10 %"
    assert load("recipe").percent(0.0123) == "1.2 %"
    assert load("recipe").percent(float("nan")) == "-"
