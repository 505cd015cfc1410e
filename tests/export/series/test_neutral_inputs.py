"""What a graph takes beside windows may be left out, and what then stands for it raises nothing that is normal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import Detector
from aez.codec.detect.events import find_events
from aez.codec.series.core import Series
from aez.codec.series.windows import sliding_windows
from aez.export.series.seasons.cycles import find_cycle
from aez.export.series.train import DetectorConfig, fit_detector, make_bundle
from tests.kit.cycles import BINS, cycling, fitted_cycle
from tests.kit.rhythm import fitted_rhythm, rhythmic


def session_of(bundle: Bundle, graph: str = "detector") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(bundle.graph(graph), options, providers=["CPUExecutionProvider"])


def square(rows: int, begin: float, seed: int) -> Series:
    """A machine that is on for half of its period of 40 rows."""
    on = (begin + np.arange(rows) / 40) % 1 < 0.5
    return Series((6 * on + 0.5 * np.random.default_rng(seed).normal(size=rows))[:, None], ("load",))


@pytest.fixture(scope="module")
def cycle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(fitted_cycle(tmp_path_factory.mktemp("cycle")), "press", "periods")


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(fitted_rhythm(tmp_path_factory.mktemp("week")), "shop", "hours")


@pytest.mark.parametrize("which", ["cycle", "week"])
def test_a_program_may_give_windows_alone(which: str, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(which)
    detector, session = Detector(bundle, "cpu", 1), session_of(bundle)
    assert [one.name for one in session.get_inputs()] == ["window"]
    assert [one.name for one in session.get_overridable_initializers()] == ["phase", "level"]
    rows = (cycling(10 * BINS, 0.4, seed=9) if which == "cycle" else rhythmic(21, first=42, channels=2)).values
    strange = rows.copy()
    strange[100:120] += 20 * np.ptp(rows)
    for given, loud in ((rows, False), (strange, True)):
        windows = np.ascontiguousarray(sliding_windows(given.astype(np.float32), detector.window))
        left_out, blame = session.run(["score", "channel_score"], {"window": windows})
        zeros = {
            "phase": np.zeros((len(windows), detector.window, 1), np.float32),
            "level": np.zeros((len(windows), given.shape[1]), np.float32),
        }
        np.testing.assert_array_equal(left_out, session.run(["score"], {"window": windows, **zeros})[0])
        np.testing.assert_allclose(detector.score_windows(windows).score, left_out, rtol=1e-5)
        assert ((left_out > 1).any(), (blame > 1).any()) == (loud, loud)
        if loud:
            assert (left_out[100 : 121 - detector.window] > 1).all()


def test_one_input_may_be_given_without_the_other(cycle: Bundle) -> None:
    detector, session = Detector(cycle, "cpu", 1), session_of(cycle)
    test = cycling(4 * BINS, seed=9)
    stream = detector.season_stream()
    assert stream is not None
    windows = np.ascontiguousarray(sliding_windows(test.values.astype(np.float32), detector.window))
    given = stream.take(test.values, None).at(slice(detector.window - 1, None))
    (both,) = session.run(["score"], {"window": windows, "phase": given.phase, "level": given.level})
    (one,) = session.run(["score"], {"window": windows, "phase": given.phase})
    np.testing.assert_allclose(one, both, atol=0.5)


def test_windows_of_known_and_of_unknown_phase_in_one_batch_score_as_alone(cycle: Bundle) -> None:
    detector = Detector(cycle, "cpu", 1)
    test = cycling(2 * BINS, 0.4, seed=9)  # the first half of unknown phase
    stream = detector.season_stream()
    assert stream is not None
    given = stream.take(test.values, None)
    assert {float(phase.min()) > 0 for phase in given.phase} == {False, True}
    whole = detector.score(test).score
    for row in (BINS // 2, BINS + 1, 2 * BINS - 1):
        window = test.values[None, row - detector.window + 1 : row + 1]
        np.testing.assert_allclose(detector.score_windows(window, given.at([row])).score, whole[row], rtol=1e-5)
    (nothing, _) = session_of(cycle, "detector_whole").run(
        None,
        {
            "window": np.zeros((1, detector.window, 1), np.float32),
            "phase": np.zeros((1, detector.window, 1), np.float32),
            "level": np.zeros((1, 1), np.float32),
        },
    )
    assert np.isnan(nothing).all()


def test_the_first_rows_of_a_small_square_wave_raise_nothing(tmp_path: Path) -> None:
    bundle = make_bundle(fit_detector([square(560, 0.0, 0)], DetectorConfig(), tmp_path), "machine", "14 periods")
    detector = Detector(bundle, "cpu", 1)
    assert detector.seasons is not None
    assert detector.seasons.cycle == 40
    for begin in (0.0, 0.3, 0.55, 0.9):
        score = detector.score(square(400, begin, 7)).score
        assert not find_events(score)
        assert np.nanmax(score[:40]) < 1


def test_twice_a_short_period_is_none() -> None:
    wave = np.sin(2 * np.pi * np.arange(2000) / 20)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(2000, 1))
    assert find_cycle([wave.astype(np.float32)], np.ones(1, bool)) is None


def test_a_scale_that_is_left_out_is_the_median_of_the_training_streams(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(2000) / 3)[:, None]
    streams = [
        Series(size * (wave + 0.1 * rng.normal(size=(2000, 1))) + 10 * size, ("a",), None, None, f"m{size}")
        for size in (1, 3, 9)
    ]
    config = DetectorConfig(per_stream_scale=True, window=8)
    bundle = make_bundle(fit_detector(streams, config, tmp_path), "machines", "three")
    detector = Detector(bundle, "cpu", 1)
    windows = np.ascontiguousarray(sliding_windows(streams[1].values.astype(np.float32)[:200], 8))
    for graph in ("detector", "detector_whole"):
        (found,) = session_of(bundle, graph).run(["score"], {"window": windows})
        np.testing.assert_allclose(found, detector.score_windows(windows).score, rtol=1e-4)
