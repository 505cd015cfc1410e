"""Distortion measures and Bjøntegaard differences, held against independent implementations and worked examples."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, interpolate, signal

from aez.bench.pictures.bd_rate import Pchip, bd_psnr, bd_rate
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import ms_ssim, ms_ssim_db, psnr

Picture = npt.NDArray[np.uint8]

# Two measured curves of a video codec, kbit/s and dB.
RATE_A, PSNR_A = [1358.24, 2486.44, 4593.60, 9487.76], [34.851, 36.845, 38.615, 40.037]
RATE_B, PSNR_B = [1356.24, 2451.52, 4469.00, 9787.80], [34.987, 36.970, 38.651, 40.121]


def picture(height: int, width: int, seed: int = 0) -> Picture:
    """Smooth structure under noise, uint8 [height, width, 3]."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / (7 + c) + c) + np.cos(y / (11 - c)) for c in range(3)], axis=-1)
    return np.clip(128 + 50 * waves + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def noisy(image: Picture, sigma: float, seed: int = 1) -> Picture:
    noise = np.random.RandomState(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def slow_ms_ssim(x: Picture, y: Picture) -> float:
    """The definition in float64 with two-dimensional windows."""
    offset = np.arange(11) - 5
    row = np.exp(-(offset**2) / 4.5)
    window = np.outer(row, row) / row.sum() ** 2
    result = []
    for c in range(3):
        a, b = x[:, :, c] / 255.0, y[:, :, c] / 255.0
        value = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            ma, mb, aa, bb, ab = (signal.convolve2d(p, window, "valid") for p in (a, b, a * a, b * b, a * b))
            cs = (2 * (ab - ma * mb) + 9e-4) / (aa - ma**2 + bb - mb**2 + 9e-4)
            full = cs * (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
            value *= max(0.0, float(np.mean(full if scale == 4 else cs))) ** weight
            a, b = (np.pad(p, [(side % 2, 0) for side in p.shape]) for p in (a, b))
            a, b = (sum(p[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4 for p in (a, b))
        result.append(value)
    return float(np.mean(result))


def test_psnr_of_a_known_error() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    one_channel = black.copy()
    one_channel[:, :, 1] = 255  # mean squared error 255^2 / 3
    assert psnr(black, one_channel) == pytest.approx(10 * math.log10(3))
    assert psnr(one_channel, black) == psnr(black, one_channel)
    assert psnr(black, black) == math.inf


@pytest.mark.parametrize("sigma", [3, 12, 40])
@pytest.mark.parametrize("size", [(192, 256), (161, 175), (203, 166)])
def test_ms_ssim_equals_its_definition(size: tuple[int, int], sigma: float) -> None:
    image = picture(*size)
    distorted = noisy(image, sigma)
    assert ms_ssim(image, distorted) == pytest.approx(slow_ms_ssim(image, distorted), abs=2e-6)


@pytest.mark.parametrize("sigma", [4, 20])
def test_ms_ssim_agrees_with_torchmetrics(sigma: float) -> None:
    torch = pytest.importorskip("torch")
    image_metrics = pytest.importorskip("torchmetrics.functional.image")
    image = picture(256, 384)
    distorted = noisy(image, sigma)
    planes = [torch.from_numpy(p).permute(2, 0, 1)[None].double() / 255 for p in (distorted, image)]
    expected = image_metrics.multiscale_structural_similarity_index_measure(*planes, data_range=1.0)
    assert ms_ssim(image, distorted) == pytest.approx(float(expected), abs=1e-3)


def test_ms_ssim_falls_as_noise_grows() -> None:
    image = picture(176, 176)
    values = [ms_ssim(image, noisy(image, sigma)) for sigma in (2, 8, 32)]
    assert ms_ssim(image, image) == pytest.approx(1, abs=1e-6)
    assert 1 > values[0] > values[1] > values[2] > 0


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (10, 10), (11, 11), (21, 40), (160, 160), (161, 161)])
def test_ms_ssim_of_small_pictures_ranks_distortions(size: tuple[int, int]) -> None:
    image = picture(*size)
    inverted = (255 - image).astype(np.uint8)
    assert ms_ssim(image, image) == pytest.approx(1, abs=1e-6)
    assert 0 <= ms_ssim(image, inverted) < ms_ssim(image, noisy(image, 3)) <= 1


def test_grey_pictures_count_as_one_channel() -> None:
    image = picture(170, 180)
    distorted = noisy(image, 10)
    grey, grey_distorted = image[:, :, 0], distorted[:, :, 0]
    repeated = [np.repeat(p[:, :, None], 3, axis=2) for p in (grey, grey_distorted)]
    assert ms_ssim(grey, grey_distorted) == pytest.approx(ms_ssim(*repeated))
    assert psnr(grey, grey_distorted) == pytest.approx(psnr(*repeated))


@pytest.mark.parametrize("measure", [psnr, ms_ssim])
def test_unlike_pictures_are_refused(measure: object) -> None:
    assert callable(measure)
    image = picture(12, 12)
    with pytest.raises(InvalidArgument, match=r"\(12, 12, 3\) and \(12, 11, 3\)"):
        measure(image, image[:, :11])
    with pytest.raises(InvalidArgument, match="float64"):
        measure(image, image / 255)


def test_ms_ssim_in_decibels() -> None:
    assert ms_ssim_db(0.99) == pytest.approx(20)
    assert ms_ssim_db(1.0) == math.inf


curves = st.lists(
    st.tuples(st.floats(0.01, 5), st.floats(-20, 20).map(lambda y: round(y, 9))), min_size=2, max_size=12
)  # (step of x, y), y in any order; slopes near the smallest float overflow, in scipy as here


@given(curves)
@settings(max_examples=150, deadline=None)
def test_pchip_equals_scipy(points: list[tuple[float, float]]) -> None:
    x = np.cumsum([step for step, _ in points])
    y = np.array([value for _, value in points])
    ours, scipys = Pchip.fit(x, y), interpolate.PchipInterpolator(x, y)
    at = np.linspace(x[0], x[-1], 301)
    np.testing.assert_allclose(ours(at), scipys(at), rtol=1e-9, atol=1e-9)
    low, high = x[0] + 0.1 * (x[-1] - x[0]), x[0] + 0.85 * (x[-1] - x[0])
    assert ours.integral(low, high) == pytest.approx(float(scipys.integrate(low, high)), rel=1e-9, abs=1e-9)


def test_pchip_wants_rising_points() -> None:
    with pytest.raises(InvalidArgument, match="rising x"):
        Pchip.fit([0, 2, 2], [1, 2, 3])


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
