"""Bjøntegaard differences, held against quadrature, worked examples, and the figures of reports made before."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import pytest
from scipy import integrate, interpolate

from aez.bench.pictures.bd_rate import bd_psnr, bd_rate, rate_at
from aez.bench.pictures.rd_report import RdReport
from aez.codec.errors import AezError, InvalidArgument
from tests.kit.places import ROOT

# Two measured curves of a video codec, kbit/s and dB.
RATE_A, PSNR_A = [1358.24, 2486.44, 4593.60, 9487.76], [34.851, 36.845, 38.615, 40.037]
RATE_B, PSNR_B = [1356.24, 2451.52, 4469.00, 9787.80], [34.987, 36.970, 38.651, 40.121]


def stored() -> list[dict[str, Any]]:
    """The rate-distortion reports of docs/results, and those over sheets in them."""
    found = [json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "results").glob("*.json"))]
    reports = [report for report in found if "comparisons" in report]
    return [*reports, *(report["sheet"] for report in reports if report["sheet"] is not None)]


def test_stored_reports_have_the_same_figures_again() -> None:
    reports = stored()
    if not reports:
        pytest.skip("the reports are part of the source tree only")
    compared = 0
    for report in reports:
        again = RdReport.from_json(json.dumps(report)).comparisons
        assert len(again) == len(report["comparisons"])
        for old, new in zip(report["comparisons"], again, strict=True):
            for name in ("bd_rate_psnr", "bd_rate_ms_ssim", "bd_psnr"):
                found, expected = getattr(new, name), old[name]
                assert (found is None) == (expected is None)
                if expected is not None:
                    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), (old["codec"], old["peer"], name)
                    compared += 1
    assert compared > 100


def test_without_scipy_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.interpolate", None)  # as where it is not installed
    with pytest.raises(AezError, match=r"needs scipy, which is not installed: pip install 'aez\[bench\]'"):
        bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B)


def test_bd_of_a_worked_example() -> None:
    # Two points a curve make straight lines: 3 dB for each doubling, the second curve 2 dB above the first.
    rate, first, second = [1, 4], [30, 36], [32, 38]
    assert bd_rate(rate, first, rate, second) == pytest.approx(100 * (2 ** (-2 / 3) - 1))
    assert bd_psnr(rate, first, rate, second) == pytest.approx(2)


def test_bd_of_curves_that_differ_by_a_factor() -> None:
    fewer = [0.8 * rate for rate in RATE_A]
    assert bd_rate(RATE_A, PSNR_A, fewer, PSNR_A) == pytest.approx(-20)
    assert bd_rate(fewer, PSNR_A, RATE_A, PSNR_A) == pytest.approx(25)
    assert bd_rate(RATE_A, PSNR_A, RATE_A, PSNR_A) == pytest.approx(0, abs=1e-12)


def test_bd_equals_quadrature_over_scipys_interpolant() -> None:
    curve_a = interpolate.PchipInterpolator(PSNR_A, np.log10(RATE_A))
    curve_b = interpolate.PchipInterpolator(PSNR_B, np.log10(RATE_B))
    low, high = max(PSNR_A[0], PSNR_B[0]), min(PSNR_A[-1], PSNR_B[-1])
    area = integrate.quad(lambda q: float(curve_b(q) - curve_a(q)), low, high, points=PSNR_A[1:3] + PSNR_B[1:3])[0]
    assert bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B) == pytest.approx(100 * (10 ** (area / (high - low)) - 1), rel=1e-6)


def test_a_bd_rate_may_end_below_where_the_curves_do() -> None:
    quality = np.array([30.0, 32, 35, 37, 40])
    rate = 2 ** ((quality - 30) / 3)
    other = rate * 2 ** ((quality - 32) / 10)  # a gap that grows in a straight line, which the interpolation keeps
    for highest, middle in ((34.0, 32), (36.5, 33.25), (40.0, 35), (99.0, 35), (math.inf, 35)):
        expected = 100 * (2 ** ((middle - 32) / 10) - 1)
        assert bd_rate(rate, quality, other, quality, highest) == pytest.approx(expected, abs=1e-9)
    assert bd_rate(rate, quality, other, quality, 40) == bd_rate(rate, quality, other, quality)


@pytest.mark.parametrize(
    ("highest", "message"), [(None, "no such rate"), (30.0, "share no range"), (9.0, "share no range")]
)
def test_a_bd_rate_that_would_end_before_it_begins(highest: float | None, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        bd_rate([1, 2, 4], [30, 33, 36], [1, 2, 4], [30, 33, 36], highest)


def test_bd_takes_points_in_any_order_and_leaves_out_worse_ones() -> None:
    expected = bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B)
    shuffled = [2, 0, 3, 1]
    rates, qualities = [RATE_B[i] for i in shuffled], [PSNR_B[i] for i in shuffled]
    assert bd_rate(RATE_A, PSNR_A, rates, qualities) == pytest.approx(expected)
    # Dearer than the second point and no better; and as dear as the first, but worse.
    assert bd_rate(RATE_A, PSNR_A, [*RATE_B, 3000, RATE_B[0]], [*PSNR_B, 36.5, 30]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rate", "quality", "message"),
    [
        ([1, 2], [90, 91], "share no range of quality"),
        ([1, 2], [36, 35], "two points"),
        ([1], [36], "two points"),
        ([1, 0], [35, 36], "positive"),
        ([1, 2], [35, math.inf], "finite"),
        ([1, 2, 3], [35, 36], "one length"),
    ],
)
def test_bd_refuses_curves_that_cannot_be_compared(rate: list[float], quality: list[float], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        bd_rate(RATE_A, PSNR_A, rate, quality)


def test_bd_psnr_refuses_curves_without_a_common_rate() -> None:
    with pytest.raises(InvalidArgument, match="share no range of rate"):
        bd_psnr(RATE_A, PSNR_A, [1, 2], [35, 36])


def test_rate_at_a_quality_lies_on_the_curve() -> None:
    rate, quality = [0.1, 0.2, 0.4, 0.8], [30.0, 33.0, 36.0, 39.0]
    for bits, decibels in zip(rate, quality, strict=True):
        assert rate_at(rate, quality, decibels) == pytest.approx(bits)
    assert rate_at(rate, quality, 34.5) == pytest.approx(0.2 * 2**0.5)  # log rate is a line over quality
    assert rate_at(rate, quality, 29.9) is None
    assert rate_at(rate, quality, 39.1) is None
    with pytest.raises(InvalidArgument):
        rate_at([0.1], [30.0], 30.0)
