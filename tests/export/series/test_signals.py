"""How long signals rest and are missing in training, and which values stand for no reading."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from aez.codec.detect.detector import Detector
from aez.codec.series.core import Series
from aez.export.series.arrays.pickling import from_plain_values, plain_values
from aez.export.series.data.signals import SignalFigures, signal_figures, without_sentinels
from aez.export.series.train import DetectorConfig, fit_detector, make_bundle, without_rows

NAMES = ("flow", "heat", "valve")


def rows(count: int = 400, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    values[:, 2] = 0
    values[count // 2 :, 2] = 1
    return values


def test_rests_and_absences_are_the_longest_of_any_series() -> None:
    some, other = rows(), rows(200, 1)
    some[10:16, 0] = 3
    other[50:54, 1] = 5
    other[100:107, 1] = np.nan
    other[150:160] = np.nan  # nothing came at all
    assert signal_figures([some, other], [(), (), ()]) == SignalFigures((6, 4, None), (0, 7, 0), ((), (), ()))


def test_a_rest_goes_on_over_missing_values_and_rows_left_out_teach_nothing() -> None:
    some = rows()
    some[10:16, 0] = 3
    some[12, 0] = np.nan
    some[100:150, 1] = 7
    assert signal_figures([some], [(), (), ()], [[(100, 150)]]).rests == (5, 1, None)


def test_a_channel_that_begins_or_ends_late_is_not_absent_between() -> None:
    some = rows()
    some[:50, 0] = np.nan
    some[-50:, 1] = np.nan
    assert signal_figures([some], [(), (), ()]).absences == (0, 0, 0)


def test_values_far_away_that_are_in_use_for_no_reading_are_taken_out_and_told() -> None:
    some = rows()
    some[[5, 9], 0] = -999
    some[[5, 9], 1] = 9.9e37
    some[7, 2] = -999  # once
    cleaned, found, notices = without_sentinels([some], NAMES)
    assert found == ((-999.0,), (float(np.float32(9.9e37)),), ())
    assert np.isnan(cleaned[0]).sum() == 4
    assert np.isnan(some).sum() == 0
    assert [text.partition(" rows")[0] for text in notices] == ["flow is -999 in 2", "heat is 9.9e+37 in 2"]


@pytest.mark.parametrize(("low", "high"), [(-1500, 0), (-1010, -980), (-999.5, -998.5), (0, 5000)])
def test_a_value_of_the_channels_own_range_is_a_reading(low: float, high: float) -> None:
    some = rows()
    some[:, 0] = np.random.default_rng(1).uniform(low, high, len(some))
    some[[5, 9, 77], 0] = -999
    if high > 0:
        some[:, 0] = np.abs(some[:, 0])  # 999 is one, too
    assert without_sentinels([some], NAMES)[1] == ((), (), ())


def test_the_bundle_says_it_and_a_pickle_keeps_it(tmp_path: Path) -> None:
    some = rows(1500)
    some[:, 2] += some[:, 0]
    some[10:13, 0] = 3
    some[[100, 200], 1] = -999
    data = Series(some.astype(np.float64), NAMES, None, "plant")
    fitted = fit_detector([data], DetectorConfig(window=8), tmp_path)
    assert any("heat is -999" in notice for notice in fitted.notices)
    detector = Detector(make_bundle(fitted, "plant", "rows"), "cpu", 1)
    assert detector.rests == (3, 1, 1)
    assert detector.absences == (0, 1, 0)
    assert detector.sentinels == ((), (-999.0,), ())
    assert detector.ranges[1][0] > -10
    learned = without_rows(fitted, "rows")
    again = from_plain_values(pickle.loads(pickle.dumps(plain_values(learned))))
    assert again.described.signals == fitted.signals is not None
