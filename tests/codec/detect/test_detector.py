"""An opened detector: scores of windows, series and pieces; the probe; what a bundle must say.

Its graph is written by hand: a channel's score is its mean magnitude over the window divided by the threshold, missing
samples count as 0, the reconstruction is the window with 0 where a sample is missing.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aez.codec.bundle.bundle import Bundle, pack_bundle, save_bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.detect.detector import Detector, load_detector
from aez.codec.detect.events import EventRule
from aez.codec.errors import InvalidArgument, ModelError, UnsupportedInput
from aez.codec.series.core import Series
from tests.kit.arrays import npy

WINDOW, CHANNELS, THRESHOLD = 5, ("flow", "heat"), 2.0
Array = np.ndarray[Any, np.dtype[Any]]


def graph_bytes(outputs: int = 3) -> bytes:
    window, channels = WINDOW, len(CHANNELS)
    nodes = [
        helper.make_node("IsNaN", ["window"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "window"], ["reconstruction"]),
        helper.make_node("Abs", ["reconstruction"], ["size"]),
        helper.make_node("ReduceMean", ["size", "time"], ["channel_mean"], keepdims=0),
        helper.make_node("Div", ["channel_mean", "threshold"], ["channel_score"]),
        helper.make_node("ReduceMean", ["channel_score", "time"], ["score"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("threshold", TensorProto.FLOAT, [], [THRESHOLD]),
        helper.make_tensor("time", TensorProto.INT64, [1], [1]),
    ]

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    given = [value("score"), value("channel_score", channels), value("reconstruction", window, channels)]
    graph = helper.make_graph(nodes, "detector", [value("window", window, channels)], given[:outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def scores_of(windows: Array) -> tuple[Array, Array]:
    """The same in NumPy."""
    channel_score = np.abs(np.nan_to_num(windows)).mean(axis=1) / THRESHOLD
    return channel_score.mean(axis=1), channel_score


def manifest(outputs: int = 3) -> dict[str, Any]:
    window = WINDOW

    def tensor(name: str, *shape: Any) -> dict[str, Any]:
        return {"name": name, "shape": ["batch", *shape], "dtype": "float32"}

    count = len(CHANNELS)
    given = [tensor("score"), tensor("channel_score", count), tensor("reconstruction", window, count)]
    return {
        "name": "pump",
        "family": "magnitude",
        "task": "detector",
        "coding": {
            "window": window,
            "channels": list(CHANNELS),
            "units": ["l/s", ""],
            "period_seconds": 60.0,
            "threshold": THRESHOLD,
            "score": "reconstruction",
            "ranges": [[-3.0, 3.0], [10.0, 20.0]],
            "event_rule": asdict(EventRule(open_after=2)),
            "decoder_members": ["detector.onnx", "probe_score.npy", "probe_window.npy"],
        },
        "graphs": {"detector": {"inputs": [tensor("window", window, count)], "outputs": given[:outputs]}},
        "provenance": {},
        "figures": {},
    }


def whole_graph_bytes(factor: float = 1.0) -> bytes:
    """The scores of windows from which nothing is missing, times a factor; NaN where something is."""
    model = onnx.load_from_string(graph_bytes(2))
    del model.graph.node[:2]
    model.graph.node[0].input[0] = "window"
    model.graph.initializer[1].CopyFrom(helper.make_tensor("threshold", TensorProto.FLOAT, [], [THRESHOLD / factor]))
    return model.SerializeToString()


def make_bundle_of_two(factor: float = 1.0) -> Bundle:
    """With a graph of whole windows too."""
    one = make_bundle()
    said = manifest()
    said["graphs"]["detector_whole"] = {
        "inputs": said["graphs"]["detector"]["inputs"],
        "outputs": said["graphs"]["detector"]["outputs"][:2],
    }
    said["coding"]["decoder_members"] = [*said["coding"]["decoder_members"], "detector_whole.onnx"]
    arrays = {f"{name}.npy": npy(one.array(name)) for name in ("probe_window", "probe_score")}
    graphs = {"detector.onnx": graph_bytes(), "detector_whole.onnx": whole_graph_bytes(factor)}
    return pack_bundle(said, graphs | arrays)


def make_bundle(coding: dict[str, Any] | None = None, outputs: int = 3, **members: Array) -> Bundle:
    said = manifest(outputs)
    said["coding"] |= coding or {}
    probe = np.random.default_rng(0).normal(size=(2, WINDOW, len(CHANNELS))).astype(np.float32)
    probe[1, 0, 0] = np.nan
    arrays = {"probe_window": probe, "probe_score": scores_of(probe)[0].astype(np.float32)} | members
    files = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    return pack_bundle(said, {"detector.onnx": graph_bytes(outputs), **files})


def rows(n: int, seed: int = 1) -> Array:
    values = np.random.default_rng(seed).normal(size=(n, len(CHANNELS)))
    values[::7, 1] = np.nan
    return values


def series(values: Array, channels: tuple[str, ...] = CHANNELS, period: float = 60.0) -> Series:
    time = (np.arange(len(values)) * period * 1e9).astype(np.int64)
    return Series(np.asarray(values, np.float64), channels, time, name="plant")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(make_bundle(), device="cpu", threads=1)


def test_it_tells_what_the_bundle_says(detector: Detector) -> None:
    assert (detector.window, detector.channels, detector.units) == (WINDOW, CHANNELS, ("l/s", ""))
    assert (detector.period, detector.threshold, detector.score_kind) == (60.0, THRESHOLD, "reconstruction")
    assert detector.ranges == ((-3.0, 3.0), (10.0, 20.0))
    assert detector.event_rule == EventRule(open_after=2)
    assert detector.device == "cpu"


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 255, 256, 257, 700])
def test_windows_get_their_scores_however_many_they_are(detector: Detector, n: int) -> None:
    windows = np.random.default_rng(n).normal(size=(n, WINDOW, 2)).astype(np.float32)
    found = detector.score_windows(windows)
    score, channel_score = scores_of(windows)
    assert found.score.dtype == found.channel_score.dtype == np.float32
    assert (found.score.shape, found.channel_score.shape) == ((n,), (n, 2))
    assert found.score == pytest.approx(score, rel=1e-5)
    assert found.channel_score == pytest.approx(channel_score, rel=1e-5)
    assert np.array_equal(detector.reconstruct(windows), windows)


def test_the_graph_sees_a_few_batch_shapes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(make_bundle(), device="cpu", threads=1)
    seen = set()
    session = detector._session
    inner = session.run

    class Spy:
        def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
            seen.add(inputs["window"].shape[0])
            return inner(inputs)

    monkeypatch.setattr(detector, "_session", Spy())
    for n in (1, 2, 5, 30, 33, 100, 256, 300, 513):
        detector.score_windows(np.zeros((n, WINDOW, 2), np.float32))
        detector.score(series(rows(n + WINDOW)))
    assert seen == {1, 32, 256}


def test_a_rows_score_is_that_of_the_window_that_ends_there(detector: Detector) -> None:
    values = rows(600)
    found = detector.score(series(values))
    assert found.score.shape == (600,)
    assert found.channel_score.shape == (600, 2)
    assert np.isnan(found.score[: WINDOW - 1]).all()
    assert np.isnan(found.channel_score[: WINDOW - 1]).all()
    for row in (WINDOW - 1, 100, 599):
        score, channel_score = scores_of(values[None, row - WINDOW + 1 : row + 1])
        assert found.score[row] == pytest.approx(score[0], rel=1e-5)
        assert found.channel_score[row] == pytest.approx(channel_score[0], rel=1e-5)


def test_channels_are_found_by_name(detector: Detector) -> None:
    values = rows(20)
    other = series(np.column_stack([values[:, 1], np.arange(20), values[:, 0]]), ("heat", "clock", "flow"))
    assert np.array_equal(detector.score(other).score, detector.score(series(values)).score, equal_nan=True)


def test_a_channel_that_lacks_is_named(detector: Detector) -> None:
    with pytest.raises(UnsupportedInput, match="heat"):
        detector.score(series(rows(20), ("flow", "heart")))


def test_a_series_shorter_than_a_window_is_refused(detector: Detector) -> None:
    with pytest.raises(UnsupportedInput, match="plant has 4 rows, and a window of model pump takes 5; give more rows"):
        detector.score(series(rows(4)))


@pytest.mark.parametrize("sizes", [[600], [1] * 12 + [588], [3, 4, 0, 300, 293], [599, 1]])
def test_a_series_in_pieces_has_the_scores_of_the_whole(detector: Detector, sizes: list[int]) -> None:
    values = rows(600)
    whole = detector.score(series(values))
    ends = np.cumsum(sizes)[:-1]
    pieces = list(detector.score_batches(series(part) for part in np.split(values, ends)))
    assert [len(piece.score) for piece in pieces] == sizes
    for name in ("score", "channel_score"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert np.array_equal(joined, getattr(whole, name), equal_nan=True)


@pytest.mark.parametrize("shape", [(3, WINDOW), (3, WINDOW + 1, 2), (3, WINDOW, 3)])
def test_windows_of_another_shape_are_refused(detector: Detector, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"windows of model pump have the shape \[n, 5, 2\], not"):
        detector.score_windows(np.zeros(shape, np.float32))


def test_values_beyond_float32_and_infinite_ones_count_as_missing(detector: Detector) -> None:
    windows = np.ones((3, WINDOW, 2))
    windows[0, 0, 0], windows[1, 0, 0], windows[2, 0, 0] = np.inf, 1e300, np.nan
    found = detector.score_windows(windows).score
    assert (found == found[2]).all()
    values = np.ones((WINDOW, 2))
    values[0, 0] = -np.inf
    assert detector.score(series(values)).score[-1] == found[2]


def test_another_period_and_other_units_are_noticed(detector: Detector) -> None:
    usual = np.column_stack([np.sin(np.arange(50)), np.full(50, 15.0)])
    assert detector.notices(series(usual)) == []
    (slow,) = detector.notices(series(usual, period=600.0))
    assert slow == "rows come every 600 s, and the model learned from one every 60 s; resample"
    assert [len(detector.notices(series(usual, period=period))) for period in (45.0, 50.0, 70.0, 75.0)] == [1, 0, 0, 1]
    (units,) = detector.notices(series(usual * [1000, 1]))
    assert units.startswith("channel flow has values from -99")
    assert units.endswith("far outside the -3 to 3 l/s of the training data; check its units")
    assert len(detector.notices(series(usual + 273.15))) == 2
    usual[7] = 1e9  # one faulty sample is no other unit
    usual[8] = np.nan
    assert detector.notices(series(usual)) == []


# -- bundles that are not usable --------------------------------------------------------------------------------------


def test_a_probe_that_scores_differently_here_is_refused() -> None:
    probe = np.ones((2, WINDOW, 2), np.float32)
    right = np.full(2, 0.5, np.float32)
    assert Detector(make_bundle(probe_window=probe, probe_score=right * 1.0005))
    for wrong in (right * 1.002, right * np.nan, np.array([0.5, 1.5])):
        with pytest.raises(ModelError, match=r"scores its probe 0\.5, 0\.5 here instead of"):
            Detector(make_bundle(probe_window=probe, probe_score=wrong.astype(np.float32)))


def test_windows_without_gaps_go_through_the_graph_that_is_made_for_them(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Detector(make_bundle_of_two())
    values = np.random.default_rng(2).normal(size=(900, 2))
    for missing in (None, 850):
        if missing is not None:
            values[missing] = np.nan
        found, expected = both.score(series(values)), detector.score(series(values))
        np.testing.assert_allclose(found.score, expected.score, rtol=1e-6)
        np.testing.assert_allclose(found.channel_score, expected.channel_score, rtol=1e-6)
    batch = np.ones((32, WINDOW, 2), np.float32)
    for one in (both, detector):  # who has no such graph takes the other
        assert np.array_equal(one.score_batch(batch, whole=True).score, one.score_batch(batch).score)
    batch[0, 0, 0] = np.nan
    assert np.isfinite(both.score_batch(batch).score).all()
    assert np.isnan(both.score_batch(batch, whole=True).score[0])  # so it was that graph indeed
    monkeypatch.setattr(both, "_session", None)
    assert both.score_windows(np.ones((40, WINDOW, 2))).score == pytest.approx(np.full(40, 0.5))


def test_a_second_graph_that_scores_otherwise_is_refused() -> None:
    with pytest.raises(ModelError, match="scores its probe"):
        Detector(make_bundle_of_two(1.01))


@pytest.mark.parametrize("shape", [(2, WINDOW + 1, 2), (2, WINDOW), (3, WINDOW, 2)])
def test_a_probe_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="probe"):
        Detector(make_bundle(probe_window=np.zeros(shape, np.float32)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", 0),
        ("window", 5.0),
        ("window", True),
        ("window", 10**9),
        ("channels", []),
        ("channels", "flow"),
        ("channels", ["flow", "flow"]),
        ("channels", ["flow", 3]),
        ("units", [""]),
        ("threshold", 0),
        ("threshold", "2"),
        ("period_seconds", -1),
        ("ranges", [[0, 1]]),
        ("ranges", [[1, 0], [0, 1]]),
        ("ranges", None),
        ("longest_rest_rows", [1]),
        ("longest_rest_rows", [1, -1]),
        ("longest_rest_rows", [1, 1.5]),
        ("longest_absence_rows", 3),
        ("sentinels", [[1], "x"]),
        ("sentinels", [[1]]),
        ("sentinels", [[], [None]]),
        ("event_rule", {"open_after": 0}),
        ("event_rule", {"opens_after": 3}),
        ("event_rule", 3),
    ],
    ids=str,
)
def test_a_manifest_that_makes_no_sense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"the model's manifest says {key} = "):
        Detector(make_bundle({key: value}))


def test_a_period_may_be_unknown() -> None:
    detector = Detector(make_bundle({"period_seconds": None}))
    assert detector.period is None
    assert detector.notices(series(np.column_stack([np.zeros(9), np.full(9, 15.0)]), period=1.0)) == []


def test_models_of_other_kinds_are_refused() -> None:
    said = manifest()
    bundle = make_bundle()
    said["task"] = "image-codec"
    other = pack_bundle(said, {name: bundle._members[name] for name in bundle.members})
    with pytest.raises(ModelError, match="model pump is made for image-codec, not for scoring series"):
        Detector(other)


def test_a_graph_without_the_outputs_is_refused() -> None:
    with pytest.raises(ModelError, match="gives score, channel_score, not channel_score, reconstruction, score"):
        Detector(make_bundle(outputs=2))


def test_a_graph_of_another_window_is_refused() -> None:
    said = manifest()
    said["coding"]["window"] = WINDOW + 1
    probe = np.zeros((2, WINDOW + 1, 2), np.float32)
    files = {"probe_window.npy": npy(probe), "probe_score.npy": npy(np.zeros(2, np.float32))}
    with pytest.raises(ModelError, match="could not be run"):
        Detector(pack_bundle(said, {"detector.onnx": graph_bytes(), **files}))


def test_a_detector_is_opened_by_path_and_by_bytes(tmp_path: Path) -> None:
    bundle = make_bundle()
    path = tmp_path / "pump.aezm"
    save_bundle(bundle, path)
    assert path.read_bytes() == bundle.to_bytes()
    for source in (path, str(path), bundle.to_bytes()):
        assert load_detector(source).bundle.id == bundle.id
    assert find_bundle(path).task == "detector"
    with pytest.raises(ModelError, match="there is no model valve"):
        load_detector("valve")


def test_what_is_scored_is_left_as_it_is(detector: Detector) -> None:
    values = rows(50)
    given = series(values)
    before = copy.deepcopy(given.values)
    detector.score(given)
    assert np.array_equal(given.values, before, equal_nan=True)
