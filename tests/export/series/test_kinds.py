"""What channels are: recognised, left out, differenced, conditioning; what is quiet, rare, or moves at last."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from aez.codec.detect.detector import Detector, load_detector
from aez.codec.detect.score_series import Reading, score_file, score_streams
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series
from aez.codec.series.reader import read_series
from aez.export.channels.kinds import FEW, find_kinds
from aez.export.channels.quiet import least_motion
from aez.export.channels.states import TOP as RARE_TOP
from aez.export.channels.still import COMMAND_TOP
from aez.export.channels.still import TOP as STILL_TOP
from aez.export.channels.words import shared_words
from aez.export.series.arrays.estimator import SeriesDetector
from aez.export.series.arrays.pickling import from_plain_values, plain_values
from aez.export.series.bundle import Learned
from aez.export.series.train import DetectorConfig, Fitted, fit_detector, main, make_bundle, without_rows
from tests.kit.hostile import COLUMNS
from tests.kit.modes import write_words

Array = np.ndarray[Any, np.dtype[Any]]
N = 4000


def kind_of(column: Array, windowed: bool = True, **given: str) -> tuple[str, list[str]]:
    """The kind of a column beside one that is measured, and what is said."""
    rows = np.column_stack([column, np.sin(np.arange(len(column)))])
    kinds, notices = find_kinds([rows.astype(np.float32)], [rows], ["it", "other"], given, windowed)
    assert kinds.names[1] == "measured"
    return kinds.names[0], notices


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("noise", "measured", None),
        ("walk", "measured", None),
        ("heavy", "measured", None),
        ("gaps", "measured", None),
        ("constant", "constant", None),
        ("on/off", "state", "it is a state of two or few values"),
        ("switch", "state", "it is a state of two or few values"),
        ("mode", "state", "it is a state of two or few values"),
        ("rows", "left-out", "it counts on evenly, as row numbers do, and is left out"),
        ("clock", "left-out", "it holds times, as a clock counts them, and is left out"),
        ("identifier", "left-out", "it holds identifiers, a new one nearly every row, and is left out"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_kinds_are_recognised_and_told(name: str, kind: str, said: str | None, seed: int) -> None:
    found, notices = kind_of(COLUMNS[name](np.random.default_rng(seed), 1000))
    assert found == kind
    assert [notice.startswith(said or "") for notice in notices] == [True] * (said is not None)


def test_a_counter_is_learned_by_its_steps_where_32_bits_show_them() -> None:
    steps = np.random.default_rng(0).integers(0, 1000, 1000).cumsum().astype(float)
    found, notices = kind_of(steps)
    assert (found, notices) == ("counter", ["it counts up, and its steps from row to row are learned instead"])
    restarted = np.concatenate([steps[:600], steps[:400]])
    assert kind_of(restarted)[0] == "counter"
    found, notices = kind_of(steps + 1e13)
    assert found == "left-out"
    assert "in steps too small for 32 bits, and is left out; give its rate" in notices[0]
    assert kind_of(steps, windowed=False)[0] == "left-out"


def test_a_coarse_sensor_and_short_data_are_measured() -> None:
    coarse = np.rint(2.5 + 2 * np.sin(np.arange(1000) / 20))
    assert kind_of(coarse)[0] == "measured"
    assert kind_of(np.arange(14) % 2.0)[0] == "measured"
    assert kind_of(np.arange(1000) % 2.0, windowed=False)[0] == "measured"


@pytest.mark.parametrize("usual", [0.5, 0.7, 1.0])
def test_counts_of_errors_are_measured(usual: float) -> None:
    errors = np.random.default_rng(0).poisson(usual, 4000).astype(float)
    assert len(np.unique(errors)) <= FEW
    assert kind_of(errors) == ("measured", [])
    assert kind_of(np.repeat(errors, 20))[0] == "state"  # what stays is a state


def test_a_user_says_what_a_channel_is() -> None:
    column = COLUMNS["on/off"](np.random.default_rng(0), 1000)
    assert kind_of(column, it="measured") == ("measured", [])
    assert kind_of(column, it="left-out") == ("left-out", [])
    for given, message in (
        ({"it": "sensor"}, "kind 'sensor' of it is unknown; use measured, state, counter, left-out"),
        ({"pump": "state"}, "there is no channel 'pump' to take as state; it has it, other"),
    ):
        with pytest.raises(InvalidArgument, match=re.escape(message)):
            kind_of(column, **given)
    with pytest.raises(InvalidArgument, match="other has 1000 values, and a state has at most 64"):
        kind_of(COLUMNS["noise"](np.random.default_rng(0), 1000), other="state")
    rows = np.arange(1000.0)[:, None]
    with pytest.raises(UnsupportedInput, match="nothing is left to learn from: it counts on evenly"):
        find_kinds([rows.astype(np.float32)], [rows], ["it"], {})
    with pytest.raises(InvalidArgument, match="give no kinds"):
        DetectorConfig(per_stream_scale=True, kinds={"it": "state"})


def test_states_alone_are_measured() -> None:
    rows = np.column_stack([COLUMNS["on/off"](np.random.default_rng(seed), 1000) for seed in (0, 3)])
    kinds, _ = find_kinds([rows.astype(np.float32)], [rows], ["a", "b"], {})
    assert kinds.plain


def learn(rows: Array, folder: Path, **config: Any) -> Fitted:
    series = Series(rows, tuple(f"c{place}" for place in range(rows.shape[1])), None, name="plant")
    return fit_detector(
        [series], DetectorConfig(**{"window": 32, "seasons": "none", **config}), folder, {"quiet": True}
    )


def score(fitted: Fitted | Learned, rows: Array) -> tuple[Array, Array]:
    """Scores and blame of the windows that end in the rows from the window's length on."""
    window = fitted.graph.window
    view = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float32), window, axis=0).swapaxes(1, 2)
    with torch.no_grad():
        found, blame, _ = fitted.graph(torch.from_numpy(view.copy()))
    return found.numpy(), blame.numpy()


def sensors(n: int, count: int = 20, seed: int = 0) -> Array:
    return 50 + np.random.default_rng(seed).normal(size=(n, count))


def test_one_stuck_sensor_of_twenty_alarms_and_is_blamed(tmp_path: Path) -> None:
    fitted = learn(sensors(N), tmp_path)
    fresh = sensors(1000, seed=1)
    assert np.mean(score(fitted, fresh)[0] > 1) < 0.01
    for stuck in (np.full(200, fresh[500, 7]), 50 + 0.02 * sensors(200, 1, 2)[:, 0] - 1):
        broken = fresh.copy()
        broken[500:700, 7] = stuck
        found, blame = score(fitted, broken)
        assert (found[500:669] > 1).all()
        assert (blame[500:669].argmax(1) == 7).all()


def test_a_dead_sensor_is_heard_without_a_word_of_the_network(tmp_path: Path) -> None:
    """The voice itself: the score of a stuck one falls to that of the network without it."""
    fitted = learn(sensors(N), tmp_path)
    broken = sensors(300, seed=1)
    broken[:, 3] = 50
    found, _ = score(fitted, broken)
    fitted.graph.voices.quiet.set(np.zeros(20))
    assert (found > 1).all()
    assert (score(fitted, broken)[0] < found).all()


def test_channels_that_rest_now_and_then_are_not_called_quiet() -> None:
    rng = np.random.default_rng(0)
    steady, resting = rng.normal(size=N), rng.normal(size=N)
    resting[::100] = 0
    resting[2000:2040] = 0.1
    calm = rng.normal(size=N) * np.exp(np.sin(np.arange(N) / 300) * 2)
    coarse = np.rint(rng.normal(size=N))
    rows = np.stack([steady, resting, calm, coarse, np.full(N, np.nan)], axis=1).astype(np.float32)
    found = least_motion([rows], 32, np.zeros(5), np.ones(5))
    assert found[0] > 0.5
    assert found[1] == found[2] == found[3] == 0
    assert np.isnan(found[4])
    assert np.isnan(least_motion([rows], 4, np.zeros(5), np.ones(5))).all()


def commanded(n: int, seed: int = 0, deaf: bool = False) -> Array:
    """A value that follows a command, another that always is the opposite, and a third that says nothing."""
    rng = np.random.default_rng(seed)
    command = (np.sin(np.arange(n) / 37 + rng.uniform(0, 6)) > 0.6).astype(float)
    idle = (rng.random(n) < 0.2).astype(float)
    value = rng.normal(size=n) + (0 if deaf else 8 * command)
    return np.column_stack([value, command, 1 - command, idle, np.zeros(n), np.full(n, 7.0)])


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return learn(commanded(N), tmp_path_factory.mktemp("plant"))


def test_states_condition_and_do_not_vote(plant: Fitted) -> None:
    assert plant.graph.channel_kinds.names == ("measured", "state", "state", "state", "constant", "constant")
    assert plant.graph.effect.speaks
    found, blame = score(plant, commanded(1000, 1))
    assert np.mean(found > 1) < 0.02
    deaf, _ = score(plant, commanded(1000, 1, deaf=True))
    assert (deaf[commanded(1000, 1)[31:, 1] > 0] > 1).mean() > 0.9
    assert blame.shape == (969, 6)


def test_a_combination_that_never_was_alarms_within_bounds(plant: Fitted) -> None:
    rows = commanded(200, 1)
    rows[100:110, 2] = rows[100:110, 1]
    found, blame = score(plant, rows)
    assert (found[69:79] >= RARE_TOP - 1e-3).all()
    windows = torch.from_numpy(rows.astype(np.float32))[:, None]
    assert plant.graph.voices.rare(windows)[0].max().item() == pytest.approx(RARE_TOP)
    assert (blame[69:79, 1:4].max(1) > 0).all()
    usual = commanded(200, 1)
    usual[100:110, 1] = np.nan  # what is missing contradicts nothing
    assert (score(plant, usual)[0][69:79] < 1).all()


def test_what_never_moved_is_heard_within_bounds(plant: Fitted) -> None:
    rows = commanded(200, 1)
    before = score(plant, rows)[0]
    for channel, top in ((5, STILL_TOP), (4, COMMAND_TOP)):  # 0 is a value of three states
        moved = rows.copy()
        moved[100:, channel] += 1e5
        found, blame = score(plant, moved)
        assert found[69:] - before[69:] == pytest.approx(top, abs=1e-3)
        assert np.array_equal(found[:69], before[:69])
        assert (blame[69:, channel] > 0).all()
    moved[150:, 4] = np.nan
    assert score(plant, moved)[0][120:] == pytest.approx(before[120:])


def counting(n: int, seed: int = 0) -> Array:
    """A counter, identifiers, an on/off channel, a sensor, in one table."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1 << 40, 1 << 50, n).astype(float)
    on = (np.arange(n) // 50 % 2).astype(float)
    return np.column_stack([rng.poisson(20, n).cumsum() + 1e4, ids, on, rng.normal(size=n)])


def test_counters_count_by_their_steps_and_may_start_again(tmp_path: Path) -> None:
    fitted = learn(counting(3000), tmp_path)
    assert fitted.graph.channel_kinds.names == ("counter", "left-out", "state", "measured")
    rows = counting(600, 1)
    rows[300:, 0] -= rows[300, 0]  # it starts again
    found, blame = score(fitted, rows)
    assert np.mean(found > 1) < 0.02
    assert not blame[:, 1].any()
    rows[400:500, 0] = rows[400, 0]  # it stands still
    found, blame = score(fitted, rows)
    assert (found[400:469] > 1).all()
    assert (blame[400:469].argmax(1) == 0).all()


def test_a_bundle_and_a_pickle_of_mixed_kinds_score_the_same(tmp_path: Path) -> None:
    fitted = learn(counting(3000), tmp_path)
    rows = counting(400, 2)
    rows[100:150, 0] = np.nan
    found, blame = score(fitted, rows)
    bundle = make_bundle(fitted, "mixed", "a test")
    assert bundle.coding["kinds"] == ["counter", "left-out", "state", "measured"]
    detector = Detector(bundle)
    series = Series(rows, detector.channels, None)
    scored = detector.score(series)
    assert scored.score[31:] == pytest.approx(found, rel=1e-3, abs=1e-4)
    assert scored.channel_score[31:] == pytest.approx(blame, rel=1e-3, abs=1e-3)
    again = from_plain_values(pickle.loads(pickle.dumps(plain_values(without_rows(fitted, "a test")))))
    assert np.array_equal(score(again, rows)[0], found)


def test_whole_windows_have_a_factor_of_exactly_1_whatever_the_channels_sizes(tmp_path: Path) -> None:
    rows = np.column_stack([counting(1500), 1e15 * np.ones(1500), 1e9 + sensors(1500, 1)])
    factor = learn(rows, tmp_path).graph.gap_factor
    assert factor(torch.ones(2)).tolist() == [1.0, 1.0]
    factor.set(torch.tensor([1e30, 1e30, 1e20, 1e10, 5, 4, 3, 2, 1e-20]))
    assert factor(torch.ones(2)).tolist() == [1.0, 1.0]
    assert bool((factor(torch.linspace(0, 1, 101)) >= 1).all())


def test_words_are_states_and_an_unknown_one_is_the_rarest(tmp_path: Path) -> None:
    files = [write_words(tmp_path / f"{seed}.csv", 3000, seed) for seed in range(2)]
    series = [read_series(path, categories=True)[0] for path in files]
    bundle = main(series, tmp_path / "plant.aezm", config=DetectorConfig(window=16), changes={"quiet": True})
    assert bundle is not None
    detector = load_detector(tmp_path / "plant.aezm")
    assert detector.words == {"mode": ("run", "idle", "rinse")}
    assert detector.kinds == ("measured", "state")
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(bundle.graph("detector")).metadata_props}
    assert json.loads(metadata["words"]) == {"mode": ["run", "idle", "rinse"]}
    usual = score_file(detector, write_words(tmp_path / "usual.csv", 600, 5))
    assert (usual.events, usual.notices) == ((), ())
    strange = score_file(detector, write_words(tmp_path / "strange.csv", 600, 5, strange=True))
    assert strange.notices == (
        "channel mode has words in 30 rows that training never showed; they count as its rarest",
    )
    lines = (tmp_path / "strange.csv").read_text().splitlines()
    named = [f"{'two' if 150 <= row < 450 else 'one'},{line}" for row, line in enumerate(lines[1:])]
    (tmp_path / "streams.csv").write_text("\n".join([f"plant,{lines[0]}", *named]) + "\n")
    one, two = score_streams(detector, tmp_path / "streams.csv", Reading(stream="plant"))
    assert not [notice for notice in one.notices if "words" in notice]
    assert strange.notices[0] in two.notices


def test_words_of_several_series_share_a_table() -> None:
    one = Series(np.array([[0.0], [1.0], [1.0]]), ("mode",), words={"mode": ("idle", "run")}, name="one")
    two = Series(np.array([[0.0], [np.nan], [0.0]]), ("mode",), words={"mode": ("rinse",)}, name="two")
    three = Series(np.array([[0.0], [0.0], [0.0]]), ("mode",), words={"mode": ("run",)}, name="three")
    found, words = shared_words([one, two, three])
    assert words == {"mode": ("run", "rinse", "idle")}
    assert [series.values[:, 0].tolist() for series in found[::2]] == [[2, 0, 0], [0, 0, 0]]
    assert np.array_equal(found[1].values[:, 0], [1, np.nan, 1], equal_nan=True)
    with pytest.raises(InvalidArgument, match="channel mode holds text in one series and numbers in four"):
        shared_words([one, Series(np.zeros((3, 1)), ("mode",), name="four")])


def test_days_are_taken_out_of_measurements_and_states_stay_as_they_are(tmp_path: Path) -> None:
    rows = counting(24 * 40)
    hour = np.arange(len(rows)) % 24
    rows = np.column_stack([rows, np.full(len(rows), 7.0), 10 * np.sin(hour * np.pi / 12) + rows[:, 3] * 0.3])
    time = np.datetime64("2024-01-01", "ns").astype(np.int64) + np.arange(len(rows)) * 3_600_000_000_000
    data = Series(rows, ("count", "id", "on", "noise", "still", "load"), time, "UTC", "plant")
    fitted = fit_detector([data], DetectorConfig(window=12), tmp_path, {"quiet": True})
    assert fitted.seasons is not None
    assert fitted.seasons.seasons.follows.tolist() == [False] * 5 + [True]
    assert fitted.graph.channel_kinds.names == ("counter", "left-out", "state", "measured", "constant", "measured")
    detector = Detector(make_bundle(fitted, "plant", "a test"), "cpu", 1)
    usual = detector.score(data)
    assert np.nanmean(usual.score > 1) < 0.02
    moved = rows.copy()
    moved[800:820, 4] = 8
    found = detector.score(Series(moved, data.channels, time, "UTC", "plant"))
    assert (found.score[800:820] > 1).all()
    assert (found.channel_score[800:820].argmax(1) == 4).all()


def test_a_detector_of_arrays_takes_kinds() -> None:
    with pytest.warns(UserWarning, match="0 counts up|1 holds identifiers"):
        detector = SeriesDetector(window=16, kinds={"2": "measured"}).fit(counting(3000))
    learned = detector._fitted
    assert learned is not None
    assert learned.graph.channel_kinds.names == ("counter", "left-out", "measured", "measured")
