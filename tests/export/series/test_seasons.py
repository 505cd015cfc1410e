"""Seasons are found where they are, and nowhere else; a model with them takes phase and level, everywhere alike."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import Detector
from aez.codec.detect.rhythm.seasons import SEASON_CENTRE, SEASON_WIDTH
from aez.codec.detect.rhythm.values import read_seasons
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.series.core import Series
from aez.export import SeriesDetector
from aez.export.series.seasons.finding import FittedSeasons, find_seasons
from aez.export.series.seasons.profiles import fill_grid, profile
from aez.export.series.train import DetectorConfig, Fitted, fit_detector, make_bundle
from tests.kit.rhythm import HOUR, START, as_saturday, fitted_rhythm, rhythmic


def found(*series: Series, period: float = 3600.0) -> FittedSeasons | None:
    return find_seasons(series, [one.values.astype(np.float32) for one in series], period)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted_rhythm(tmp_path_factory.mktemp("rhythm"))


@pytest.fixture(scope="module")
def bundle(fitted: Fitted) -> Bundle:
    return make_bundle(fitted, "rhythm", "hours")


def test_a_week_is_found_and_leaves_noise_of_unit_width() -> None:
    season = found(rhythmic(42))
    assert season is not None
    assert [(one.kind, one.bins) for one in season.seasons.calendar.seasons] == [("week", 168)]
    assert season.explained[0] > 0.9
    assert 0.8 < np.std(season.left[0]) < 1.2
    assert not season.seasons.multiplies.any()  # nothing grows


def test_where_weeks_are_too_few_the_day_is_found() -> None:
    season = found(rhythmic(12))
    assert season is not None
    assert season.seasons.calendar.seasons[0].kind == "day"


def test_a_rhythm_that_grows_has_a_level_that_multiplies() -> None:
    season = found(rhythmic(84, trend=0.6))
    assert season is not None
    assert season.seasons.multiplies.tolist() == [True]
    (known,) = season.seasons.streams.values()
    assert known.levels[1][0] - known.levels[0][0] > 0.3
    late = season.left[0][-168:]
    assert abs(late.mean()) < 0.5


def test_without_a_clock_the_day_is_a_cycle() -> None:
    season = found(replace(rhythmic(42), time=None))
    assert season is not None
    assert [(one.kind, one.bins) for one in season.seasons.calendar.seasons] == [("cycle", 24)]


def test_nothing_is_found_in_noise_and_drift() -> None:
    rng = np.random.default_rng(0)
    usual = rhythmic(42)
    walk = replace(usual, values=np.cumsum(rng.normal(size=usual.values.shape), axis=0))
    orbit = replace(usual, values=np.sin(np.arange(len(usual)) * 2 * np.pi / 17.3)[:, None])
    for other in (replace(usual, values=rng.normal(size=usual.values.shape)), walk, orbit):
        assert found(other) is None
    assert found(rhythmic(2)) is None
    assert found(usual, period=43_200.0) is None  # two rows a day


def test_what_comes_back_many_times_a_day_is_no_matter_of_the_hour() -> None:
    time = START + HOUR // 60 * np.arange(8 * 1440, dtype=np.int64)
    wave = np.sin(2 * np.pi * np.arange(len(time)) / 20)[:, None]
    short = Series(wave + 0.1 * np.random.default_rng(0).normal(size=wave.shape), ("a",), time, "UTC")
    assert found(short, period=60.0) is None
    tide = replace(short, values=np.sin(2 * np.pi * np.arange(len(time)) / 720)[:, None] + 0.1 * wave)
    assert found(tide, period=60.0) is not None  # twice a day is


def test_channels_without_a_season_are_left_as_they_are() -> None:
    two = rhythmic(42, channels=2)
    values = two.values.copy()
    values[:, 1] = np.random.default_rng(3).normal(50, 4, len(values))
    season = found(replace(two, values=values))
    assert season is not None
    assert season.seasons.follows.tolist() == [True, False]
    assert np.ptp(season.seasons.centre[0][:, 1]) == np.ptp(season.seasons.width[:, 1]) == 0
    assert season.seasons.streams["shop"].levels[1][1] == 0


def test_anomalies_in_training_do_not_make_the_profile() -> None:
    clean, dirty = rhythmic(70), rhythmic(70)
    dirty.values[24 * 33 : 24 * 34] = 500.0
    tables = [season.seasons.centre[0] for season in (found(clean), found(dirty)) if season is not None]
    assert np.abs(tables[0] - tables[1]).max() < 3.0


def test_a_profile_passes_over_bins_without_values() -> None:
    rows = rhythmic(21).values.astype(np.float32)
    assert rhythmic(21).time is not None
    rows[np.arange(len(rows)) % 24 == 5] = np.nan
    grid = fill_grid([START + HOUR * np.arange(len(rows))], [rows], 24, 1)
    assert np.isfinite(profile(grid.values, 1)).all()


def test_widths_follow_noise_that_depends_on_the_hour() -> None:
    usual = rhythmic(84)
    size = np.where(np.arange(len(usual)) % 24 < 12, 1.0, 6.0)
    season = found(
        replace(usual, values=usual.values + size[:, None] * np.random.default_rng(5).normal(size=(len(usual), 1)))
    )
    assert season is not None
    width = season.seasons.width[1:, 0].reshape(7, 24)
    assert width[:, 15:21].mean() > 1.5 * width[:, 3:9].mean()


def test_the_wrong_weekday_is_found_and_other_days_are_quiet(bundle: Bundle) -> None:
    detector = Detector(bundle)
    test = rhythmic(28, first=42, channels=2)
    score = detector.score(as_saturday(test, 9)).score
    day = score[24 * 9 + 8 : 24 * 9 + 18]
    assert (day > 1).all()
    rest = np.delete(score, slice(24 * 9, 24 * 10 + 3))
    assert np.nanmean(rest > 1) < 0.01
    plain = detector.score(test).score
    assert np.nanmax(plain[24 * 9 : 24 * 10]) < 1


def test_the_graph_says_what_it_takes_and_what_stands_for_nothing_known(bundle: Bundle) -> None:
    assert [entry["name"] for entry in bundle.manifest["graphs"]["detector"]["inputs"]] == ["window", "phase", "level"]
    about = {one.key: one.value for one in onnx.load_from_string(bundle.graph("detector")).metadata_props}
    seasons = json.loads(about["seasons"])
    assert seasons["seasons"] == [{"kind": "week", "bins": 168}]
    assert seasons["neutral"] == {"phase": 0.0, "level": 0.0}
    assert {"timezone", "memory_rows", "block_seconds", "follows", "multiplies", "holidays", "streams"} <= set(seasons)


def test_without_a_phase_a_window_is_held_against_all_hours(bundle: Bundle) -> None:
    detector = Detector(bundle)
    windows = np.full((2, detector.window, 2), 40.0)
    assert detector.score_windows(windows).score.shape == (2,)
    assert np.isfinite(detector.score_windows(windows).score).all()


def test_pieces_of_a_series_get_the_scores_of_the_whole(bundle: Bundle) -> None:
    detector, test = Detector(bundle), rhythmic(14, first=42, channels=2)
    pieces = [
        replace(test, values=test.values[low:high], time=None if test.time is None else test.time[low:high])
        for low, high in ((0, 100), (100, 101), (101, len(test)))
    ]
    joined = np.concatenate([part.score for part in detector.score_batches(pieces)])
    np.testing.assert_allclose(joined, detector.score(test).score, rtol=1e-5)


@pytest.mark.parametrize(
    "change", [{"seasons": []}, {"timezone": "Mars/Base"}, {"memory_rows": 0}, {"follows": [True]}]
)
def test_a_bundle_that_contradicts_itself_is_refused(bundle: Bundle, change: dict[str, object]) -> None:
    about, tables = bundle.coding["seasons"], (bundle.array(SEASON_CENTRE), bundle.array(SEASON_WIDTH))
    assert read_seasons(about, *tables, 2, "rhythm").count == 1
    with pytest.raises(ModelError):
        read_seasons(about | change, *tables, 2, "rhythm")
    with pytest.raises(ModelError, match="season_width"):
        read_seasons(about, tables[0], tables[1][1:], 2, "rhythm")


def test_the_estimator_gives_the_same_scores_before_and_after_pickling_and_saving(tmp_path: Path) -> None:
    train, test = rhythmic(42), rhythmic(7, first=42)
    frames = [
        pd.DataFrame(one.values, columns=list(one.channels), index=pd.to_datetime(one.time, utc=True))
        for one in (train, test)
    ]
    made = SeriesDetector(window=3).fit(frames[0])
    scores = made.anomaly_score(frames[1])
    np.testing.assert_allclose(pickle.loads(pickle.dumps(made)).anomaly_score(frames[1]), scores, rtol=1e-6)
    made.save(tmp_path / "m.aezm")
    detector = Detector(Bundle.open((tmp_path / "m.aezm").read_bytes()))
    assert detector.seasons is not None
    np.testing.assert_allclose(detector.score(test).score[2:], scores[2:], rtol=1e-3)
    bare = SeriesDetector(window=3, period=3600.0).fit(train.values)
    assert np.isfinite(bare.anomaly_score(test.values)).all()  # rows without a clock have no hours


def test_the_estimator_takes_zone_and_holidays_and_loaded_ones_tell_them(tmp_path: Path) -> None:
    train = rhythmic(42)
    frame = pd.DataFrame(train.values, columns=list(train.channels), index=pd.to_datetime(train.time, utc=True))
    days = ["2024-12-25", date(2025, 1, 1)]
    made = SeriesDetector(window=3, timezone="Europe/Berlin", holidays=days).fit(frame)
    about = made.save(tmp_path / "m.aezm").coding["seasons"]
    assert (about["timezone"], about["holidays"]) == ("Europe/Berlin", ["2024-12-25", "2025-01-01"])
    again = SeriesDetector.load(tmp_path / "m.aezm")
    assert (again.timezone, again.holidays) == ("Europe/Berlin", ["2024-12-25", "2025-01-01"])


@pytest.mark.parametrize(
    ("given", "message"),
    [({"timezone": "Mars/Base"}, "Mars/Base"), ({"holidays": ["Christmas"]}, "holiday 'Christmas' is no date")],
)
def test_the_estimator_refuses_zones_and_dates_that_are_none(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        SeriesDetector(window=3, **given).fit(np.random.default_rng(0).normal(size=(300, 2)))


def test_none_are_looked_for_where_nobody_wants_any(tmp_path: Path) -> None:
    config = DetectorConfig(seasons="none", window=8)
    assert fit_detector([rhythmic(42)], config, tmp_path).seasons is None
