"""Seasons where each stream has a scale of its own: one rhythm, in each stream's widths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import Detector
from aez.codec.detect.events import find_events
from aez.codec.series.core import Series
from aez.export import SeriesDetector
from aez.export.series.train import make_bundle
from tests.kit.rhythm import as_saturday
from tests.kit.shops import SIZES, fitted_shops, shop


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(fitted_shops(tmp_path_factory.mktemp("shops")), "shops", "three")


def test_the_wrong_weekday_is_found_in_shops_of_any_size(bundle: Bundle) -> None:
    names = [entry["name"] for entry in bundle.manifest["graphs"]["detector"]["inputs"]]
    assert names == ["window", "centre", "width", "phase", "level"]
    detector = Detector(bundle, "cpu", 1)
    assert detector.seasons is not None
    assert detector.seasons.calendar.seasons[0].kind == "week"
    assert detector.scales is not None
    assert detector.scales.rows >= 168
    new = ("harbour", 20.0)
    for name, size in (*SIZES.items(), new):
        usual = shop(name, 28, first=42, size=size)
        wrong = detector.score(as_saturday(usual, 16)).score  # a Wednesday
        assert (wrong[24 * 16 + 9 : 24 * 16 + 17] > 1).mean() > 0.7, name
        assert len(find_events(detector.score(usual).score)) == 0, name


def test_what_was_calibrated_is_what_the_estimator_and_the_bundle_give(tmp_path: Path) -> None:
    frames = {name: frame_of(shop(name, 42)) for name in SIZES}
    made = SeriesDetector(window=3, per_stream_scale=True).fit(list(frames.values()), streams=list(frames))
    test = shop("middle", 14, first=42)
    scores = made.anomaly_score(frame_of(test), streams=["middle"] * len(test))
    made.save(tmp_path / "m.aezm")
    detector = Detector(Bundle.open((tmp_path / "m.aezm").read_bytes()))
    assert detector.seasons is not None
    np.testing.assert_allclose(detector.score(test).score[2:], scores[2:], rtol=1e-3)


def test_pieces_of_a_file_get_the_scores_of_the_whole(bundle: Bundle) -> None:
    detector, test = Detector(bundle, "cpu", 1), shop("large", 10, first=42)
    assert test.time is not None
    pieces = [
        replace(test, values=test.values[low:high], time=test.time[low:high]) for low, high in ((0, 100), (100, 240))
    ]
    joined = np.concatenate([part.score for part in detector.score_batches(pieces)])
    np.testing.assert_allclose(joined, detector.score(test).score, rtol=1e-5)


def frame_of(series: Series) -> pd.DataFrame:
    return pd.DataFrame(series.values, columns=list(series.channels), index=pd.to_datetime(series.time, utc=True))
