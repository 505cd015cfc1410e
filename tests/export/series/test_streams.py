"""Training on several streams: windows of one stream without holes, one period, a model that takes each one's scale."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aez.codec.bundle.bundle import Bundle, pack_bundle
from aez.codec.detect.detector import Detector, load_detector
from aez.codec.detect.score_series import Reading, score_streams
from aez.codec.errors import InvalidArgument, ModelError, UnsupportedInput
from aez.codec.series.core import Series
from aez.daemon.common.records import Samples
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.watched import Watched
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS as SIMULATED
from aez.daemon.simulate.satellites import Simulation, faults_until
from aez.export.series.arrays.estimator import SeriesDetector
from aez.export.series.streams import fit_scales, same_period
from aez.export.series.train import DetectorConfig, Fitted, fit_detector, make_bundle
from tests.kit.arrays import npy
from tests.kit.commands import run

Array = np.ndarray[Any, np.dtype[Any]]
SECOND = 10**9
CHANNELS = ("flow", "heat", "load")


def values(rows: int = 1500, seed: int = 0, phase: float = 0.0) -> Array:
    """Noisy sines of one period, float64 [rows, 3]."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(rows)[:, None] / 20 + np.arange(3) + phase)
    return 10 + waves + 0.1 * rng.normal(size=(rows, 3))


def stream(rows: Array, name: str = "a", period: float = 1.0, time: Array | None = None) -> Series:
    time = np.arange(len(rows)) * period if time is None else time
    return Series(rows, CHANNELS, np.round(time * SECOND).astype(np.int64), name=name)


def fit(folder: Path, *series: Series, **config: Any) -> Fitted:
    return fit_detector(series, DetectorConfig(**{"window": 20, **config}), folder, {"quiet": True})


def numbered(rows: int, first: float) -> Array:
    """Rows that say where they belong, too small a part of a sine to look like a fault."""
    found = values(rows)
    found[:, 0] = first + np.arange(rows)
    return found


# -- windows ----------------------------------------------------------------------------------------------------------


def test_windows_cross_neither_streams_nor_holes_and_each_stream_is_split_by_itself(tmp_path: Path) -> None:
    time = np.arange(1000.0)
    time[600:] += 7200  # two hours are missing
    given = [stream(numbered(1000, 0), "a", time=time), stream(numbered(900, 10_000), "b")]
    split = fit(tmp_path, *given, robust=False).split
    for windows in (split.fit, split.held_out):
        rows = np.concatenate([windows.take(np.arange(len(windows))).numpy()])[:, :, 0]
        assert (np.diff(rows, axis=1) == 1).all()  # each window is so many rows of one stream, one behind the other
        assert not ((rows[:, 0] < 600) & (rows[:, -1] >= 600)).any()
        assert {bool(row >= 10_000) for row in rows[:, 0]} == {False, True}
    last = {float(run[-1, 0]) for run in split.held_out.runs}
    assert last == {999.0, 10_899.0}


def test_a_hole_is_no_fault(tmp_path: Path) -> None:
    time = np.arange(1500.0)
    time[700:] += 3600
    rows = values(1500)
    rows[700:] += 6  # it came back at another level
    found = fit(tmp_path, stream(rows, time=time))
    assert not found.notices


def test_holes_everywhere_are_told_with_what_helps(tmp_path: Path) -> None:
    time = np.concatenate([100.0 * run + np.arange(15) for run in range(100)])
    with pytest.raises(UnsupportedInput, match=r"holes in the clock.*--resample SECONDS"):
        fit(tmp_path, stream(values(1500), time=time))


def test_a_stream_of_another_period_is_named_and_left_out(tmp_path: Path) -> None:
    series = [stream(values(1500, seed), name, period) for seed, (name, period) in enumerate(
        [("a", 1.0), ("b", 1.1), ("slow", 5.0), ("slower", 60.0)]
    )]  # fmt: skip
    kept, period, notices = same_period(series)
    assert ([one.name for one in kept], period) == (["a", "b"], 1.0)
    assert [notice.partition(";")[0] for notice in notices] == [
        "slow has a row every 5 s and the others one every 1 s",
        "slower has a row every 60 s and the others one every 1 s",
    ]
    found = fit(tmp_path, *series)
    assert (found.period, found.notices) == (1.0, notices)
    clockless = Series(values(100), CHANNELS)
    assert same_period([clockless, series[0]]) == ([clockless, series[0]], 1.0, [])
    assert same_period([clockless]) == ([clockless], None, [])


def test_a_stream_too_short_to_learn_from_is_named(tmp_path: Path) -> None:
    found = fit(tmp_path, stream(values(1500)), stream(values(12), "short"))
    assert found.notices == ["short: fewer rows than a window of 20, and nothing to learn from"]


# -- a scale for each stream -------------------------------------------------------------------------------------------

OFFSET, WIDTH = {"a": 0.0, "b": 500.0, "c": -90.0}, {"a": 1.0, "b": 4.0, "c": 0.5}


def machine(name: str, rows: int = 1500, seed: int = 0, fault: int | None = None) -> Array:
    """The same machine in units of its own."""
    found = values(rows, seed, phase=seed)
    if fault is not None:
        found[fault : fault + 40, 1] += 2.0
    return OFFSET[name] + WIDTH[name] * found


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("scaled")
    series = [stream(machine(name, seed=seed), name) for seed, name in enumerate("ab")]
    return make_bundle(fit(folder, *series, per_stream_scale=True), "alike", "two machines")


def test_the_graph_takes_the_scale_and_the_manifest_says_so(scaled: Bundle) -> None:
    for name in ("detector", "detector_whole"):
        inputs = {one["name"]: one["shape"] for one in scaled.manifest["graphs"][name]["inputs"]}
        assert inputs == {"window": ["batch", 20, 3], "centre": ["batch", 3], "width": ["batch", 3]}
    assert scaled.coding["stream_scale"] == {"rows": 256, "streams": ["a", "b"]}
    centre, width = scaled.array("stream_centre"), scaled.array("stream_width")
    assert centre[1:].mean(axis=1) == pytest.approx([10, 540], rel=0.02)
    assert (width[2] / width[1]).tolist() == pytest.approx([4, 4, 4], rel=0.05)
    assert centre[0].tolist() == np.median(centre[1:], axis=0).tolist()


def test_alike_machines_score_alike_whatever_their_units(scaled: Bundle) -> None:
    detector = Detector(scaled, "cpu", 1)
    found = {}
    for name in "abc":  # c was not in training: its first rows say what is usual
        score = detector.score(stream(machine(name, 900, seed=5, fault=600), name)).score
        found[name] = score
        assert np.nanmax(score[:600]) < 1
        assert np.nanmin(score[615:635]) > 1
    assert found["b"] == pytest.approx(found["a"], rel=0.4, abs=0.1, nan_ok=True)
    assert found["c"] == pytest.approx(found["a"], rel=0.4, abs=0.1, nan_ok=True)


def test_the_reconstruction_is_in_the_stream_s_own_units(scaled: Bundle) -> None:
    detector = Detector(scaled, "cpu", 1)
    rows = machine("b", 100, seed=3)
    windows = np.lib.stride_tricks.sliding_window_view(rows, 20, axis=0).swapaxes(1, 2)
    made = detector.reconstruct(windows, detector.scale_of("b", rows))
    assert np.abs(made - windows).mean() < 5
    assert detector.score_windows(windows).score.min() > 10  # by the median of the two it would be far off


def test_the_monitor_learns_the_scale_of_a_new_stream(scaled: Bundle) -> None:
    def events(name: str, rows: Array, **options: Any) -> list[tuple[str, int]]:
        engine = Engine([Watched("m", Detector(scaled, "cpu", 1), **options)])
        time = 1_700_000_000 * SECOND + np.arange(len(rows)) * SECOND
        one = Samples([name], np.zeros(len(rows), np.int32), time, CHANNELS, rows)
        return [(record.action, record.event["start"]) for record in engine.process([one])]

    for name in "abc":
        found = events(name, machine(name, 900, seed=6, fault=600))
        assert [action for action, _ in found if action != "update"] == ["open", "close"]
        assert 590 < found[0][1] < 620
    assert events("a", machine("a", 300, seed=6, fault=100))  # known from the first row on
    assert not events("c", machine("c", 250, seed=6, fault=100))  # it learns yet
    assert not events("c", machine("c", 790, seed=6, fault=600), warm_up=800)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stream_width": np.zeros((3, 3), np.float32)}, "a width"),
        ({"stream_centre": np.zeros((2, 3), np.float32)}, r"no finite float32 \[3, 3\]"),
        ({"probe_centre": np.full((2, 3), np.nan, np.float32)}, "no finite float32"),
    ],
)
def test_a_bundle_with_damaged_scales_is_refused(scaled: Bundle, change: dict[str, Array], said: str) -> None:
    graphs = {name: scaled.graph(name.removesuffix(".onnx")) for name in scaled.members if name.endswith(".onnx")}
    arrays = {name: scaled.array(name) for name in ("probe_window", "probe_score", "probe_centre", "probe_width")}
    arrays |= {name: scaled.array(name) for name in ("stream_centre", "stream_width")}
    members = {**graphs, **{f"{name}.npy": npy(array) for name, array in {**arrays, **change}.items()}}
    manifest = {key: value for key, value in scaled.manifest.items() if key != "members"}
    with pytest.raises(ModelError, match=said):
        Detector(pack_bundle(manifest, members), "cpu", 1)


def test_a_channel_that_a_stream_lacks_is_taken_as_the_others_have_it() -> None:
    part = values(100).astype(np.float32)
    part[:, 1] = np.nan
    scales = fit_scales(["a", "b"], [values(100).astype(np.float32), part], 20, CHANNELS)
    assert scales.known["b"].centre[1] == scales.known["a"].centre[1] == scales.usual.centre[1]
    with pytest.raises(UnsupportedInput, match="channel heat has no value"):
        fit_scales(["b"], [part], 20, CHANNELS)


# -- from Python -------------------------------------------------------------------------------------------------------


def interleaved(names: str, rows: int, **options: Any) -> tuple[Array, Array]:
    """Rows of several machines in turn, and the name of each row's."""
    each = np.stack([machine(name, rows, seed=seed, **options) for seed, name in enumerate(names)], axis=1)
    return each.reshape(-1, 3), np.tile(list(names), rows)


def test_the_estimator_takes_the_streams_of_rows(tmp_path: Path) -> None:
    rows, streams = interleaved("ab", 1500)
    detector = SeriesDetector(window=20, per_stream_scale=True).fit(rows, streams=streams)
    assert detector.labels_.mean() < 0.02
    assert len(detector.held_out_scores_) == 2 * (450 - 20 - 19)  # of each stream by itself
    fresh, names = interleaved("abc", 900, fault=600)
    found = detector.predict(fresh, streams=names).reshape(-1, 3)
    assert (found[615:635] == -1).all()
    assert (found[:600] == 1).mean() > 0.98
    alone = detector.anomaly_score(fresh[1::3], streams=names[1::3])
    together = detector.anomaly_score(fresh, streams=names)[1::3]
    assert np.array_equal(alone, together)
    detector.save(tmp_path / "alike.aezm")
    for other in (SeriesDetector.load(tmp_path / "alike.aezm"), pickle.loads(pickle.dumps(detector))):
        assert other.anomaly_score(fresh, streams=names) == pytest.approx(
            detector.anomaly_score(fresh, streams=names), rel=1e-3
        )


def test_streams_that_do_not_fit_the_rows_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="the stream of each of 300 rows"):
        SeriesDetector(window=5).fit(values(300), streams=["a"] * 299)
    with pytest.raises(InvalidArgument, match="of the longest stream are too few"):
        SeriesDetector(window=20).fit(values(1000), streams=np.arange(1000) % 100)


# -- machines in one file, as in the field -----------------------------------------------------------------------------


@pytest.mark.slow
def test_machines_mixed_in_a_file_are_learned_apart_and_their_faults_found(tmp_path: Path) -> None:
    """Clocks beside each other and temperatures far apart: mixed without a word, none of 12 faults was found."""
    beside, add = {"sat-01": 0, "sat-02": 337, "sat-03": 671}, {"sat-01": 0.0, "sat-02": 30.0, "sat-03": -25.0}

    def write(path: Path, simulation: Simulation, rows: int, shifted: bool) -> Path:
        lines = []
        for block in simulation.blocks(rows):
            values = block.values.copy()
            values[:, 2] += add[block.stream]
            time = block.time + (beside[block.stream] * 1_000_000 if shifted else 0)
            lines += encode(replace(block, time=time, values=values), "csv").decode().splitlines()
        path.write_text("\n".join([f"time,stream,{','.join(SIMULATED)}", *sorted(lines)]) + "\n")
        return path

    normal = write(tmp_path / "normal.csv", Simulation(streams=3), 6000, shifted=True)
    faulty = write(tmp_path / "faulty.csv", Simulation(streams=3, seed=4, every=700), 3000, shifted=False)
    done = run("train", "series", normal, "-o", tmp_path / "mj.aezm", "--stream", "stream")
    assert done.exit_code == 0, done.output
    found = score_streams(load_detector(tmp_path / "mj.aezm", "cpu"), faulty, Reading(stream="stream"))
    labels = faults_until(Simulation(streams=3, seed=4, every=700), 3000)
    assert len(labels) == 12
    for one in found:
        mine = [fault for name, fault in labels if name == one.stream]
        assert len(one.events) == len(mine)
        for event, fault in zip(one.events, mine, strict=True):
            assert fault.start - 5 <= event.start <= fault.end
