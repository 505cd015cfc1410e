"""`SeriesDetector` beside its peers: PyOD's probabilities, scikit-learn's parameters and searches, frames and lists."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series
from aez.export import SeriesDetector
from aez.export.series.arrays.tables import without_clock
from aez.export.series.arrays.training_scores import TrainingScores, limit_factor
from aez.export.series.train import main

Array = np.ndarray[Any, np.dtype[Any]]
NAMES = ["flow", "heat", "load"]
FAULT = slice(500, 540)


def values(n: int = 900, seed: int = 0) -> Array:
    """Noisy sines of three sensors, period 20."""
    rng = np.random.default_rng(seed)
    return np.sin(2 * np.pi * np.arange(n)[:, None] / 20 + np.arange(3)) + 0.1 * rng.normal(size=(n, 3))


def faulty() -> Array:
    rows = values(seed=5)
    rows[FAULT, 1] += 3
    return rows


@pytest.fixture(scope="module")
def detector() -> SeriesDetector:
    return SeriesDetector(window=20).fit(values())


# -- PyOD --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pyod_base() -> Any:
    return pytest.importorskip("pyod.models.base").BaseDetector


def as_pyods(base: Any, scores: Array, contamination: float) -> Any:
    """A detector of PyOD's with these scores of its training rows; what it is asked about are scores, [n, 1]."""

    class Peer(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(contamination=contamination)
            self._set_n_classes(None)
            self.decision_scores_ = scores
            self._process_decision_scores()

        def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
            """Nothing is left to fit."""

        def decision_function(self, X: Any) -> Any:  # noqa: N803
            return X[:, 0]

    return Peer()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_probabilities_and_confidence_are_pyods_own(pyod_base: Any, share: float) -> None:
    made = SeriesDetector(window=20, contamination=share, convention="pyod").fit(values())
    peer = as_pyods(pyod_base, made.decision_scores_, share)
    assert np.array_equal(made.labels_, peer.labels_)
    assert made.threshold_ == pytest.approx(peer.threshold_, rel=1e-5)
    rows = faulty()
    scores = made.decision_function(rows)[:, None]
    for method in ("linear", "unify"):
        found, sure = made.predict_proba(rows, method, return_confidence=True)
        wanted, sure_too = peer.predict_proba(scores, method, return_confidence=True)
        assert found == pytest.approx(wanted, abs=1e-9)
        assert sure == pytest.approx(sure_too, abs=0.02)  # a few of the training scores stand for all
        assert np.array_equal(sure, made.predict_confidence(rows))
    outlier, sure = made.predict(rows, return_confidence=True)
    assert np.array_equal(outlier, made.predict(rows))
    assert ((sure >= 0) & (sure <= 1)).all()
    assert sure[FAULT].min() > 0.99


def test_few_numbers_stand_for_many_training_scores(pyod_base: Any) -> None:
    rng = np.random.default_rng(0)
    scores = rng.gamma(2.0, size=20_000)
    kept = TrainingScores.of(scores, 0.05)
    assert len(kept.scores) <= 224
    assert TrainingScores.from_plain(kept.plain()) == kept

    peer = as_pyods(pyod_base, scores, 0.05)
    asked = np.concatenate([np.linspace(0, 12, 200), np.quantile(scores, np.linspace(0.94, 0.96, 200))])
    wanted = peer.predict_confidence(asked[:, None])
    assert kept.confidence(asked, asked > peer.threshold_) == pytest.approx(wanted, abs=0.02)


def test_contamination_is_the_share_of_the_training_rows_that_is_flagged() -> None:
    for share in (0.05, 0.5):
        made = SeriesDetector(window=20, contamination=share).fit(values())
        assert made.labels_.mean() == share
        assert np.array_equal(made.predict(values()) == -1, made.labels_ == 1)
    for wrong in (0.0, 0.6, -0.1, "some"):
        with pytest.raises(InvalidArgument, match=r"contamination is 'auto', or above 0 and up to 0.5"):
            SeriesDetector(contamination=wrong).fit(values())  # type: ignore[arg-type]


def test_rows_that_voices_beside_the_network_flag_are_among_the_contaminated() -> None:
    rng = np.random.default_rng(0)
    network, beside = rng.gamma(2, size=1000), np.zeros(1000)
    beside[:30] = 2.0
    scores = np.maximum(network, beside)
    for share, flagged in ((0.05, 0.05), (0.2, 0.2), (0.01, 0.03)):
        factor = limit_factor(scores, share, 0.0, beside)
        assert factor is not None
        assert np.mean(np.maximum(network / factor, beside) > 1) == pytest.approx(flagged, abs=0.0011)
    assert limit_factor(network, 0.05, 0.0, np.zeros(1000)) == limit_factor(network, 0.05, 0.0)
    made = SeriesDetector(window=20, contamination=0.035)
    stuck = values(2000)
    stuck[1000:1060, 1] = 0.3  # forty windows or so in which a sensor stands still
    stuck[400:430, 0] += 4  # and fifty that are louder
    with pytest.warns(UserWarning, match="look like faults"):
        made.fit(stuck)
    assert made.labels_.mean() == pytest.approx(0.035, abs=0.001)
    assert made.labels_[1025:1060].all()


def test_a_limit_for_rows_is_exceeded_by_the_loudest_where_some_should_exceed_it() -> None:
    rows = shuffle(make_blobs(n_samples=300, random_state=0)[0], random_state=7)
    made = SeriesDetector(rows=True).fit(rows)
    assert 1 <= made.labels_.sum() <= 6
    assert made.predict(rows)[np.argmax(made.decision_scores_)] == -1
    with pytest.warns(UserWarning, match="too few to see a limit that 0.1 % of the rows exceed"):
        SeriesDetector(rows=True, threshold="percentile", percentile=99.9).fit(rows)


def test_an_unknown_way_to_a_probability_is_refused(detector: SeriesDetector) -> None:
    with pytest.raises(InvalidArgument, match="method 'sigmoid' is unknown; use linear or unify"):
        detector.predict_proba(values(), "sigmoid")


# -- scikit-learn ------------------------------------------------------------------------------------------------------


def test_parameters_make_the_round() -> None:
    made = SeriesDetector("dense", 12, options={"latent": 3}, contamination=0.1, random_state=None, margin=2.0)
    other = SeriesDetector().set_params(**made.get_params())
    assert other.get_params() == made.get_params() == clone(made).get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'windows'"):
        made.set_params(windows=3)


def test_a_grid_is_searched_in_a_pipeline() -> None:
    rows, labels = faulty(), np.ones(900)
    rows[250:270, 0] -= 3
    labels[FAULT] = labels[250:270] = -1
    labels[750:760], rows[750:760] = -1, 4.0
    pipeline = Pipeline([("scale", StandardScaler()), ("detect", SeriesDetector(window=10))])
    grid = {"detect__window": [4, 16], "detect__margin": [1.0, 1.5]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the faults are named
        search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=TimeSeriesSplit(2)).fit(rows, labels)
    assert search.best_score_ > 0.9
    assert search.best_estimator_["detect"].window_ == search.best_params_["detect__window"]


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pandas() -> Any:
    return pytest.importorskip("pandas")


def test_the_index_of_a_frame_is_its_clock(pandas: Any) -> None:
    index = pandas.date_range("2024-03-30", periods=900, freq="5min", tz="Europe/Berlin")
    table = pandas.DataFrame(values(), columns=NAMES, index=index)
    clocked = without_clock(table)
    assert clocked.table is table
    assert (clocked.timezone, clocked.left_out) == ("Europe/Berlin", ())
    assert clocked.time is not None
    assert clocked.time[0] == 1711753200 * 10**9  # 2024-03-29 23:00 UTC
    assert (np.diff(clocked.time) == 300 * 10**9).all()
    made = SeriesDetector(window=20).fit(table)
    assert made.feature_names_in_.tolist() == NAMES
    assert made._fitted.described.period == 300.0  # type: ignore[union-attr]
    assert np.isfinite(made.predict_proba(table)).all()


def test_rows_of_a_frame_are_put_in_order_of_time(pandas: Any) -> None:
    index = pandas.date_range("2024-03-30", periods=900, freq="5min")
    table = pandas.DataFrame(values(), columns=NAMES, index=index)
    order = np.random.default_rng(0).permutation(900)
    made, mixed = (SeriesDetector(window=20).fit(one) for one in (table, table.iloc[order]))
    assert np.array_equal(mixed.decision_scores_, made.decision_scores_[order])
    assert np.array_equal(made.anomaly_score(table.iloc[order]), made.anomaly_score(table)[order])
    assert np.array_equal(
        made.channel_scores(table.iloc[order], streams=["a"] * 900), made.channel_scores(table)[order]
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_column_of_timestamps_is_the_clock(pandas: Any, unit: str) -> None:
    times = pandas.date_range("2024-03-30", periods=900, freq="5min", tz="UTC").as_unit(unit)
    table = pandas.DataFrame({"at": times, **dict(zip(NAMES, values().T, strict=True))})
    made = SeriesDetector(window=20).fit(table)
    assert (made.n_features_in_, made.feature_names_in_.tolist()) == (3, NAMES)
    assert made._fitted.described.period == 300.0  # type: ignore[union-attr]
    late = table.assign(seen=times)
    with pytest.warns(UserWarning, match="seen: times beside the clock; left out"):
        assert np.array_equal(made.anomaly_score(late), made.decision_scores_)
    late.loc[7, "at"] = pandas.NaT
    with pytest.raises(InvalidArgument, match="column 'at' has no time in row 7"):
        made.predict(late)


def test_windows_of_training_cross_no_hole_in_the_clock_of_a_frame(pandas: Any) -> None:
    index = pandas.date_range("2024-03-30", periods=900, freq="5min")
    table = pandas.DataFrame(values(), columns=NAMES, index=index)
    whole, cut = (SeriesDetector(window=20).fit(one) for one in (table, table.drop(index=index[800:810])))
    assert (
        len(cut.held_out_scores_) == len(whole.held_out_scores_) + 19 - 3 - 2 * 19
    )  # 30 % of the ten are gone, and there are two runs


def test_frames_of_polars_are_read_too() -> None:
    import polars as pl

    times = np.datetime64("2024-03-30", "us") + np.arange(900) * np.timedelta64(300, "s")
    table = pl.DataFrame({"at": times, **dict(zip(NAMES, values().T, strict=True))})
    made = SeriesDetector(window=20).fit(table)
    assert made.feature_names_in_.tolist() == NAMES
    assert made._fitted.described.period == 300.0  # type: ignore[union-attr]
    assert np.array_equal(made.anomaly_score(table), made.decision_scores_)


# -- several series ----------------------------------------------------------------------------------------------------


def test_lists_of_series_and_arrays_of_them_come_back_as_they_were(detector: SeriesDetector) -> None:
    stack = np.stack([values(seed=seed) for seed in range(3)])
    made = SeriesDetector(window=20).fit(stack)
    same = SeriesDetector(window=20).fit(list(stack))
    as_streams = SeriesDetector(window=20).fit(stack.reshape(-1, 3), streams=np.repeat([0, 1, 2], 900))
    assert made.decision_scores_.shape == (2700,)
    assert np.array_equal(made.decision_scores_, same.decision_scores_)
    assert np.array_equal(made.decision_scores_, as_streams.decision_scores_)
    assert made.predict(stack).shape == (3, 900)
    assert made.explain(stack).channel_score.shape == (3, 900, 3)
    several = [values(), values(300, seed=2).tolist()]
    found = detector.predict_proba(several)
    assert [one.shape for one in found] == [(900, 2), (300, 2)]
    alone = detector.anomaly_score(values(300, seed=2))
    assert np.array_equal(detector.anomaly_score(several)[1], alone)
    with pytest.raises(InvalidArgument, match="the stream of each of 2 series"):
        detector.predict(several, streams=["a"])
    with pytest.raises(ValueError, match="3 features"):
        detector.predict([values(), values()[:, :2]])


def test_series_of_a_list_may_be_named_for_their_scales() -> None:
    low, high = values(), 100 + 50 * values(seed=1)
    made = SeriesDetector(window=20, per_stream_scale=True).fit([low, high], streams=["low", "high"])
    as_streams = SeriesDetector(window=20, per_stream_scale=True).fit(
        np.concatenate([low, high]), streams=np.repeat(["low", "high"], 900)
    )
    assert np.array_equal(made.decision_scores_, as_streams.decision_scores_)
    assert np.array_equal(made.anomaly_score([high], streams=["high"])[0], made.decision_scores_[900:])


# -- saved and pickled -------------------------------------------------------------------------------------------------


def test_a_loaded_detector_has_the_names_and_parameters_it_was_saved_with(pandas: Any, tmp_path: Path) -> None:
    table = pandas.DataFrame(values(), columns=NAMES)
    state = np.random.RandomState(3)
    made = SeriesDetector("dense", steps=5, options={"latent": 4}, rule="max", random_state=state, contamination=0.02)
    made.fit(table).save(tmp_path / "made.aezm")
    loaded = SeriesDetector.load(tmp_path / "made.aezm")
    assert loaded.feature_names_in_.tolist() == NAMES
    assert loaded.get_params() == {**made.get_params(), "random_state": loaded.random_state}
    assert isinstance(loaded.random_state, int)  # the number that was drawn
    assert loaded.predict_proba(table) == pytest.approx(made.predict_proba(table), abs=1e-3)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table.rename(columns={"heat": "cold"}))
    again = SeriesDetector.load(tmp_path / "made.aezm", rule="mean").fit(table)
    assert again.options == {"latent": 4}
    assert np.array_equal(loaded.fit(table).decision_scores_, made.decision_scores_)


def test_a_model_of_the_command_line_tells_what_it_knows(pandas: Any, tmp_path: Path) -> None:
    series = Series(values(), ("flow", "heat", "load"), np.arange(900, dtype=np.int64) * 10**10)
    main([series], tmp_path / "made.aezm")
    loaded = SeriesDetector.load(tmp_path / "made.aezm")
    assert (loaded.period, loaded.threshold, loaded.alarms, loaded.held_out) == (10.0, "budget", 1.0, 0.3)
    assert loaded.feature_names_in_.tolist() == NAMES
    with pytest.raises(UnsupportedInput, match="the scores of the training rows are not known"):
        loaded.predict_proba(pandas.DataFrame(values(), columns=NAMES))


@pytest.mark.parametrize(("channels", "family"), [(3, "pca"), (30, "pca"), (3, "dense")])
def test_a_pickle_is_small_and_holds_nothing_for_each_row(channels: int, family: str, tmp_path: Path) -> None:
    rows = np.tile(values(3000), channels // 3) + 0.05 * np.random.default_rng(1).normal(size=(3000, channels))
    made = SeriesDetector(family, window=24, steps=5).fit(rows)
    bundle = len(made.save(tmp_path / "made.aezm").to_bytes())
    for one in (made, SeriesDetector.load(tmp_path / "made.aezm")):
        pickled = pickle.dumps(one)
        assert len(pickled) < 1.5 * bundle
        copied = pickle.loads(pickled)
        assert not {"decision_scores_", "labels_", "held_out_scores_"} & set(vars(copied))
        assert np.array_equal(copied.predict_proba(rows[:100]), one.predict_proba(rows[:100]))
        assert copied.get_params() == one.get_params()
    assert made.decision_scores_.shape == (3000,)  # the one that was pickled keeps them
