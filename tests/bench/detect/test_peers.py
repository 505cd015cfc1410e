"""The peers: each tells plain outliers from normal rows, and equals the library or the rule that it stands for."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from aez.bench.detect.peers import (
    STANDARD_PEERS,
    AllOnes,
    IsolationForest,
    PeerDetector,
    PrincipalComponents,
    PyodAutoEncoder,
    Random,
    Scaler,
    WindowedGaussian,
    skab_isolation_forest,
)
from aez.codec.errors import AezError, InvalidArgument

Floats = npt.NDArray[np.float64]


def normal_rows(rows: int, seed: int) -> Floats:
    """Four channels on a plane, two factors and little noise, in very different units; the fifth is constant."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rows, 2))
    mixed = factors @ np.array([[1, 2, -1, 0.5], [0.5, -1, 1, 2]]) + 0.05 * rng.normal(size=(rows, 4))
    return np.column_stack([mixed * [1, 1e3, 1e-3, 1] + [0, 5e4, 0, 3], np.full(rows, 7.0)])


TRAIN, TEST = normal_rows(600, 1), normal_rows(200, 2)
BROKEN = TEST.copy()
BROKEN[50:60, 1] += 3e4
BROKEN[120:130] *= [-30, 1, 1, 3, 1]
BROKEN[120:130, 0] += 15

PEERS: list[Callable[[], PeerDetector]] = [
    PrincipalComponents,
    lambda: PrincipalComponents(window=5),
    IsolationForest,
    lambda: IsolationForest(window=3),
    pytest.param(lambda: PyodAutoEncoder(epochs=3), marks=pytest.mark.slow),  # type: ignore[list-item]
]


def available(make: Callable[[], PeerDetector]) -> PeerDetector:
    peer = make()
    for kind, module in ((IsolationForest, "sklearn"), (PyodAutoEncoder, "pyod"), (PyodAutoEncoder, "torch")):
        if isinstance(peer, kind):
            pytest.importorskip(module)
    return peer


@pytest.mark.filterwarnings("default")  # PyOD's dependencies
@pytest.mark.parametrize("make", PEERS)
def test_peers_tell_outliers_from_normal_rows(make: Callable[[], PeerDetector]) -> None:
    peer = available(make)
    assert peer.fit(TRAIN) is peer
    scores = peer.score(BROKEN)
    assert scores.shape == (200,)
    assert scores.dtype == np.float64
    broken = np.zeros(200, bool)
    broken[50:60] = broken[120:130] = True
    near = broken | np.roll(broken, 1) | np.roll(broken, 2) | np.roll(broken, 3) | np.roll(broken, 4)
    assert np.median(scores[broken]) > np.percentile(scores[~near], 95)
    np.testing.assert_array_equal(peer.score(BROKEN), scores)
    with_gaps = BROKEN.copy()
    with_gaps[::7, 2] = math.nan
    assert np.isfinite(peer.score(with_gaps)).all()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("make", PEERS)
def test_peers_do_not_see_units(make: Callable[[], PeerDetector]) -> None:
    units, zeros = np.array([1e-3, 1e4, 5, 1, 100]), np.array([3, -7e5, 0, 1, 0])
    ours = available(make).fit(TRAIN).score(BROKEN)
    converted = available(make).fit(TRAIN * units + zeros).score(BROKEN * units + zeros)
    # A tree's split or a network's rounding may fall the other way for a row or two.
    assert np.corrcoef(ours, converted)[0, 1] > 0.999


@pytest.mark.parametrize("make", [Random, AllOnes])
def test_the_know_nothings_score_every_row(make: Callable[[], PeerDetector]) -> None:
    scores = make().fit(TRAIN).score(TEST)
    np.testing.assert_array_equal(make().fit(BROKEN).score(TEST), scores)
    assert scores.shape == (200,)
    assert (scores.std() > 0.2) == (make is Random)


def test_pca_is_the_error_of_scikit_learns() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    scale = Scaler.fit(TRAIN)
    rows, tests = scale(TRAIN), scale(BROKEN)
    pca = decomposition.PCA(0.9, svd_solver="full").fit(rows)
    error = np.square(tests - pca.inverse_transform(pca.transform(tests))).mean(axis=1)
    np.testing.assert_allclose(PrincipalComponents().fit(TRAIN).score(BROKEN), error, rtol=1e-6, atol=1e-9)


def test_a_window_puts_rows_side_by_side() -> None:
    # A stretch played backwards holds no value that was not seen before, only a new order.
    wave = np.sin(2 * np.pi * np.arange(1200) / 40)[:, None]
    train, test = wave[:800], wave[800:].copy()
    test[205:225] = test[205:225][::-1]
    alone, side_by_side = (PrincipalComponents(0.99, window).fit(train).score(test) for window in (1, 16))
    assert alone.max() < 1e-12
    assert side_by_side[205:240].max() > 0.1
    assert side_by_side[16:205].max() < 1e-12  # the first rows look at the first one repeated
    # A row's score does not depend on what follows it.
    np.testing.assert_allclose(PrincipalComponents(0.99, 16).fit(train).score(test[:210]), side_by_side[:210])


def test_the_scaler_keeps_constant_channels_and_passes_over_gaps() -> None:
    rows = np.array([[1.0, 5.0, 0.1, math.nan], [3.0, 5.0, 0.1, math.nan], [math.nan, 5.0, 0.1, math.nan]])
    scale = Scaler.fit(rows)
    np.testing.assert_allclose(scale.mean, [2, 5, 0.1, 0])
    np.testing.assert_allclose(scale.deviation, [1, 1, 1, 1])
    np.testing.assert_allclose(scale([[4, 6, 1.1, 2]]), [[2, 1, 1, 2]])
    assert scale([[math.nan] * 4]).tolist() == [[0, 0, 0, 0]]


def slow_gaussian(values: list[float], memory: int, step: int) -> list[float]:
    """NAB's rule, a value at a time."""
    window: list[float] = []
    buffer: list[float] = []
    mean, deviation, scores = 0.0, 1.0, []
    for value in values:
        tail = 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2))
        scores.append(1 - tail if window else 0.0)
        if len(window) < memory:
            window.append(value)
        else:
            buffer.append(value)
            if len(buffer) < step:
                continue
            window, buffer = [*window[step:], *buffer], []
        mean, deviation = float(np.mean(window)), float(np.std(window)) or 1e-6
    return scores


@pytest.mark.parametrize(("memory", "step"), [(6400, 100), (50, 7), (10, 1)])
def test_the_windowed_gaussian_follows_nabs_rule(memory: int, step: int) -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([np.full(5, 2.0), rng.normal(size=200), rng.normal(3, 2, size=100)])
    ours = WindowedGaussian(memory, step).fit(values[:40, None]).score(values[40:, None])
    np.testing.assert_allclose(ours, slow_gaussian(values.tolist(), memory, step)[40:], atol=1e-12)


def test_the_windowed_gaussian_passes_over_gaps() -> None:
    values = np.random.default_rng(5).normal(size=60)
    gaps = np.insert(values, 30, math.nan)
    ours = WindowedGaussian().fit(gaps[:20, None]).score(gaps[20:, None])
    assert ours[10] == 0
    np.testing.assert_allclose(np.delete(ours, 10), WindowedGaussian().fit(values[:20, None]).score(values[20:, None]))
    with pytest.raises(InvalidArgument, match="one channel"):
        WindowedGaussian().fit(TRAIN)


def test_skabs_forest_is_what_scikit_learn_predicts_smoothed_over_three_rows() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    test = TEST.copy()
    test[[0, 1, 80, 81, 83, 120, 150, 152], :4] = 3 * TRAIN[:, :4].max(axis=0)  # far out in every channel
    forest = ensemble.IsolationForest(random_state=0, contamination=0.0005).fit(TRAIN)
    loud = forest.predict(test) == -1
    expected = [row >= 2 and bool(np.median(loud[row - 2 : row + 1]) == 1) for row in range(200)]
    flags, held = skab_isolation_forest(TRAIN, test)
    assert flags.tolist() == expected
    assert np.flatnonzero(flags).tolist() == [2, 81, 82, 83, 152]
    assert np.flatnonzero(held).tolist() == [*range(29, 32), *range(81, 113), *range(152, 182)]


def test_peers_refuse_what_is_no_series() -> None:
    for make in (Random, AllOnes, PrincipalComponents):
        with pytest.raises(InvalidArgument, match="time, channels"):
            make().fit(np.ones(5))
    with pytest.raises(InvalidArgument, match="before score"):
        PrincipalComponents().score(TEST)
    with pytest.raises(InvalidArgument, match="5 channels and gets 3"):
        PrincipalComponents().fit(TRAIN).score(TEST[:, :3])
    with pytest.raises(InvalidArgument, match="window of 700"):
        PrincipalComponents(window=700).fit(TRAIN)
    with pytest.raises(InvalidArgument, match="variance"):
        PrincipalComponents(variance=1.5).fit(TRAIN)


@pytest.mark.parametrize(
    ("peer", "module", "extra"),
    [(IsolationForest(), "sklearn.ensemble", "bench"), (PyodAutoEncoder(), "pyod.models.auto_encoder", "bench,train")],
)
def test_a_missing_library_is_named_with_its_extra(
    peer: PeerDetector, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(AezError, match=rf"needs {module.partition('.')[0]}, .*aez\[{extra}\]"):
        peer.fit(TRAIN)


def test_the_standard_peers_are_those_that_the_benchmark_names() -> None:
    assert list(STANDARD_PEERS) == ["random", "all ones", "PCA", "isolation forest", "PyOD AutoEncoder"]
    assert isinstance(STANDARD_PEERS["PCA"](), PrincipalComponents)
