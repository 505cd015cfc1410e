"""`SeriesDetector`: both conventions, scikit-learn's own checks, saving and loading."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from aez.codec.detect.detector import load_detector
from aez.codec.errors import InvalidArgument, ModelError, VersionError
from aez.codec.series.core import Series
from aez.export import SeriesDetector

Array = np.ndarray[Any, np.dtype[Any]]
FAULT = slice(700, 760)


def values(n: int = 1500, seed: int = 0) -> Array:
    """Noisy sines of three sensors, period 25, in units of their own."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(n)[:, None] / 25 + np.arange(3))
    return (waves + 0.1 * rng.normal(size=(n, 3))) * [1, 50, 1e-3] + [0, 900, 0]


def faulty() -> Array:
    rows = values(1200, seed=5)
    rows[FAULT, 1] += 150
    return rows


@pytest.fixture(scope="module")
def detector() -> SeriesDetector:
    return SeriesDetector("pca").fit(values())


@pytest.mark.slow
def test_it_comes_from_the_package_without_loading_torch_before() -> None:
    script = """
import sys
import aez.export
assert not {"torch", "sklearn"} & set(sys.modules)
from aez.export import SeriesDetector
assert SeriesDetector.__module__ == "aez.export"
try:
    aez.export.Detektor
except AttributeError as error:
    assert "Detektor" in str(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_defaults_do_well_without_an_argument() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector = SeriesDetector().fit(values(3000))
    labels = np.zeros(1200)
    labels[FAULT] = 1
    scores = detector.anomaly_score(faulty())
    assert roc_auc_score(labels, scores) > 0.97
    assert (detector.predict(faulty())[710:760] == -1).all()
    assert (detector.predict(faulty())[:690] == 1).mean() > 0.98


def test_attributes_are_those_that_pyods_users_know(detector: SeriesDetector) -> None:
    assert detector.threshold_ == 1.0
    assert detector.decision_scores_.shape == (1500,)
    assert set(np.unique(detector.labels_)) <= {0, 1}
    assert np.array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)
    assert detector.labels_.mean() < 0.05
    assert np.array_equal(detector.decision_scores_, detector.anomaly_score(values()))
    assert (detector.window_, detector.n_features_in_) == (25, 3)


def test_scikit_learns_convention(detector: SeriesDetector) -> None:
    scores = detector.anomaly_score(faulty())
    assert (scores >= 0).all()
    assert np.array_equal(detector.score_samples(faulty()), -scores)
    decision = detector.decision_function(faulty())
    assert decision == pytest.approx(detector.score_samples(faulty()) - detector.offset_)
    predicted = detector.predict(faulty())
    assert set(np.unique(predicted)) == {-1, 1}
    assert np.array_equal(predicted == 1, decision >= 0)
    assert (predicted[710:760] == -1).all()
    assert np.array_equal(clone(detector).fit_predict(values()), detector.predict(values()))


def test_pyods_convention(detector: SeriesDetector) -> None:
    other = SeriesDetector("pca", convention="pyod").fit(values())
    assert np.array_equal(other.decision_function(faulty()), detector.anomaly_score(faulty()))
    predicted = other.predict(faulty())
    assert set(np.unique(predicted)) == {0, 1}
    assert np.array_equal(predicted == 1, other.decision_function(faulty()) > other.threshold_)
    assert np.array_equal(predicted == 1, detector.predict(faulty()) == -1)
    assert np.array_equal(other.predict(values()), other.labels_)
    assert np.array_equal(other.score_samples(faulty()), detector.score_samples(faulty()))


def test_the_channel_to_blame_stands_out(detector: SeriesDetector) -> None:
    blame = detector.channel_scores(faulty())
    assert blame.shape == (1200, 3)
    assert (blame[710:760].argmax(axis=1) == 1).all()


def test_scores_and_their_causes_come_together(detector: SeriesDetector) -> None:
    found = detector.explain(faulty())
    assert np.array_equal(found.score, detector.anomaly_score(faulty()))
    assert np.array_equal(found.channel_score, detector.channel_scores(faulty()))


def test_held_out_scores_are_those_that_set_the_limit(detector: SeriesDetector) -> None:
    held_out = detector.held_out_scores_
    assert held_out.shape == (1500 - 1050 - 25 - 24,)  # 30 % of the rows, after a gap of one window
    assert held_out == pytest.approx(detector.decision_scores_[-len(held_out) :], rel=1e-5)


def test_rows_before_the_first_window_have_its_score(detector: SeriesDetector) -> None:
    scores = detector.anomaly_score(faulty())
    assert (scores[:24] == scores[24]).all()
    assert scores[25] != scores[24]


def test_a_row_is_judged_by_the_window_that_ends_there(detector: SeriesDetector) -> None:
    rows = faulty()
    whole = detector.anomaly_score(rows)
    for row in (24, 400, 705, 1199):
        assert detector.anomaly_score(rows[row - 24 : row + 1])[-1] == pytest.approx(whole[row], rel=1e-4)


def test_missing_samples_are_no_outliers(detector: SeriesDetector) -> None:
    rows = values(1200, seed=5)
    whole = (detector.predict(rows) == -1).mean()
    rows[300:340] = np.nan
    rows[600:700, 2] = np.nan
    assert (detector.predict(rows) == -1).mean() < whole + 0.01
    assert np.isfinite(detector.anomaly_score(rows)).all()


def test_gaps_that_come_regularly_in_training_are_normal_later_and_whole_rows_are_too() -> None:
    gaps, fresh = values(), values(1200, seed=5)
    gaps[::9, 1] = np.nan
    learned = SeriesDetector("pca").fit(gaps)
    assert (learned.predict(fresh) == 1).mean() > 0.95
    fresh[::9, 1] = np.nan
    assert (learned.predict(fresh) == 1).mean() > 0.95


def test_parameters_reach_what_they_name() -> None:
    made = SeriesDetector(
        "pca",
        window=8,
        options={"components": 2},
        score_kind="reconstruction+mahalanobis",
        rule="max",
        tail=3,
        threshold="percentile",
        percentile=95.0,
    ).fit(values())
    graph = made._fitted.graph  # type: ignore[union-attr]
    assert (graph.window, graph.network.latent, graph.tail) == (8, 2, 3)
    assert (graph.score_name, graph.options.rule) == ("reconstruction+mahalanobis", "max")
    assert np.mean(made.labels_[-400:]) == pytest.approx(0.05, abs=0.02)
    strict = SeriesDetector("pca", alarms=0.0, period=60.0).fit(values())
    assert strict.labels_[-400:].mean() < 0.01
    plain, wide = (SeriesDetector(margin=margin).fit(values()) for margin in (1.0, 3.0))
    assert plain.held_out_scores_ == pytest.approx(3 * wide.held_out_scores_, rel=1e-5)


def test_equal_seeds_give_equal_scores() -> None:
    scores = [
        SeriesDetector("dense", steps=15, random_state=seed, window=10).fit(values()).anomaly_score(faulty())
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_a_random_state_is_what_it_is_for_scikit_learn() -> None:
    rows = values(400)

    def scores(**given: Any) -> Array:
        return SeriesDetector("dense", steps=3, window=8, **given).fit(rows).decision_scores_

    one, again = (scores(random_state=np.random.RandomState(5)) for _ in range(2))
    assert np.array_equal(one, again)
    state = np.random.RandomState(5)
    assert np.array_equal(scores(random_state=state), one)
    assert not np.array_equal(scores(random_state=state), one)  # it goes on
    np.random.seed(5)  # noqa: NPY002 - what None draws from
    assert np.array_equal(scores(random_state=None), one)
    with pytest.warns(FutureWarning, match="seed is called random_state now"):
        older = scores(seed=3)
    assert np.array_equal(older, scores(random_state=3))
    with pytest.raises(ValueError, match="seed"):
        scores(random_state="three")


def test_faults_in_the_training_rows_are_warned_about() -> None:
    rows = values()
    rows[200:230] = 0
    with pytest.warns(UserWarning, match=r"the training data: rows \d+ to \d+ look like faults"):
        SeriesDetector("pca").fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SeriesDetector("pca", robust=False).fit(rows)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"convention": "weka"}, "convention 'weka' is unknown"),
        ({"family": "dance"}, "family 'dance' is unknown"),
        ({"options": {"latents": 2}}, "family pca has no option latents"),
        ({"score_kind": "elbo"}, "family pca has no ELBO"),
        ({"score_kind": "error"}, "score 'error' is unknown"),
        ({"rule": "median"}, "rule 'median' is unknown"),
        ({"threshold": "best"}, "threshold 'best' is unknown"),
        ({"window": 400}, "n_samples = 1500 rows are too few for windows of 400; give 3428 or more"),
        ({"held_out": 0.0}, "held_out 0 is outside"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        SeriesDetector(**({"family": "pca"} | parameters)).fit(values())


def test_wrong_data_are_named(detector: SeriesDetector) -> None:
    with pytest.raises(ValueError, match="3 features"):
        detector.predict(values()[:, :2])
    with pytest.raises(InvalidArgument, match="10 rows are fewer than a window of 25"):
        detector.predict(values()[:10])
    with pytest.raises(ValueError, match="infinity"):
        detector.predict(np.full((50, 3), np.inf))


# -- scikit-learn -----------------------------------------------------------------------------------------------------


CHECKS = list(estimator_checks_generator(SeriesDetector()))


@pytest.mark.parametrize(
    ("estimator", "check"),
    [pair for pair in CHECKS if pair[1].func.__name__ != "check_array_api_input"],  # below, in a process of its own
    ids=lambda value: getattr(getattr(value, "func", value), "__name__", type(value).__name__),
)
def test_scikit_learns_estimator_checks(estimator: SeriesDetector, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks fit on noise and constants, of which users are told
        check(estimator)


@pytest.mark.slow
def test_all_of_scikit_learns_checks_pass_with_none_skipped_or_expected_to_fail() -> None:
    """With the variable that SciPy has to see when it is imported; so the array API is checked, too."""
    script = """
import warnings
from sklearn.utils.estimator_checks import check_estimator
from aez.export import SeriesDetector
warnings.simplefilter("ignore")
found = check_estimator(SeriesDetector(), on_skip=None, on_fail=None)
assert len(found) > 40, len(found)
bad = [(one["check_name"], one["status"], one["exception"]) for one in found if one["status"] != "passed"]
assert not bad, bad
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr


def test_it_works_in_a_pipeline() -> None:
    pipeline = make_pipeline(StandardScaler(), SeriesDetector("pca"))
    assert (pipeline.fit(values()).predict(faulty())[710:760] == -1).all()


# -- saving -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(detector: SeriesDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "plant.aezm"
    bundle = detector.save(path)
    assert (bundle.name, bundle.task) == ("plant", "detector")
    return path


def test_a_loaded_detector_scores_as_the_saved_one(detector: SeriesDetector, saved: Path) -> None:
    loaded = SeriesDetector.load(saved)
    assert loaded.anomaly_score(faulty()) == pytest.approx(detector.anomaly_score(faulty()), rel=1e-4, abs=1e-4)
    assert np.array_equal(loaded.predict(faulty()), detector.predict(faulty()))
    assert (loaded.family, loaded.window_, loaded.threshold_, loaded.n_features_in_) == ("pca", 25, 1.0, 3)
    pyod = SeriesDetector.load(saved, convention="pyod")
    assert set(np.unique(pyod.predict(faulty()))) == {0, 1}
    with pytest.raises(ValueError, match="3 features"):
        loaded.predict(values()[:, :2])


def test_a_loaded_detector_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    SeriesDetector.load(saved).save(tmp_path / "again.aezm")
    assert (tmp_path / "again.aezm").read_bytes() == saved.read_bytes()


def test_a_saved_detector_needs_no_torch(detector: SeriesDetector, saved: Path) -> None:
    opened = load_detector(saved)
    assert opened.channels == ("0", "1", "2")
    rows = faulty()
    found = opened.score(Series(rows, opened.channels))
    assert found.score[24:] == pytest.approx(detector.anomaly_score(rows)[24:], rel=1e-4, abs=1e-4)


def test_detectors_can_be_pickled(detector: SeriesDetector, saved: Path) -> None:
    for one in (detector, SeriesDetector.load(saved)):
        one.predict(faulty())
        copied = pickle.loads(pickle.dumps(one))
        assert np.array_equal(copied.predict(faulty()), one.predict(faulty()))


def test_a_pickle_holds_no_name_of_a_file_of_the_package(detector: SeriesDetector, saved: Path) -> None:
    """So that files can move: of aez it names the face alone."""
    for one in (detector, SeriesDetector.load(saved), detector.explain(faulty())):
        named = re.findall(rb"aez(?:\.\w+)+", pickle.dumps(one))
        assert set(named) == {b"aez.export"}


@pytest.mark.parametrize(
    ("family", "options"),
    [("dense", {}), ("denoising", {}), ("ensemble", {"of": ("pca", ("dense", {"latent": 4}))}), ("variational", {})],
)
def test_a_pickled_detector_scores_and_saves_as_the_one_it_was(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    kind = {"score_kind": "reconstruction+elbo+mahalanobis"} if family == "variational" else {}
    made = SeriesDetector(family, options=options, window=10, steps=5, rule="max", tail=4, period=60.0, **kind)
    made.fit(values(600))
    copied = pickle.loads(pickle.dumps(made))
    assert np.array_equal(copied.explain(faulty()).channel_score, made.explain(faulty()).channel_score)
    assert np.array_equal(copied.predict_proba(faulty(), "unify"), made.predict_proba(faulty(), "unify"))
    if family == "dense":
        made.save(tmp_path / "made.aezm", "one")
        copied.save(tmp_path / "copied.aezm", "one")
        assert (tmp_path / "copied.aezm").read_bytes() == (tmp_path / "made.aezm").read_bytes()


def test_pickles_of_older_versions_end_in_a_sentence_that_says_what_to_do(detector: SeriesDetector) -> None:
    oldest = b"caez.export.series_detector\nSeriesDetector\n."
    for _ in range(2):
        with pytest.raises(VersionError, match=r"^this pickle of a SeriesDetector .* SeriesDetector\.load\(.*\) here$"):
            pickle.loads(oldest)
    state = detector.__getstate__()
    for changes in ({"format": 1}, {"weights": {}}, {"family": "gone"}):
        other = state | {"_fitted": state["_fitted"] | changes}
        with pytest.raises(ModelError, match=r"made by another version of aez .* SeriesDetector\.load"):
            SeriesDetector().__setstate__(other)


@pytest.mark.slow
def test_a_refitted_detector_saves_what_it_learned_last(saved: Path, tmp_path: Path) -> None:
    again = SeriesDetector.load(saved).fit(values(2000, seed=3))
    path = tmp_path / "again.aezm"
    again.save(path)
    assert load_detector(path).bundle.id != load_detector(saved).bundle.id


def test_names_of_a_tables_columns_become_the_channels() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values(), columns=["flow", "heat", "load"])
    made = SeriesDetector("pca").fit(table)
    assert made._fitted.channels == ("flow", "heat", "load")  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="feature names"):
        made.predict(table.rename(columns={"heat": "cold"}))


def test_what_is_no_detector_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "x.aezm").write_bytes(b"nothing")
    with pytest.raises(ModelError):
        SeriesDetector.load(tmp_path / "x.aezm")


def test_fitting_leaves_torchs_random_numbers_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1).item()
    torch.manual_seed(3)
    SeriesDetector("dense", steps=5, window=10).fit(values(400))
    assert torch.rand(1).item() == wanted
