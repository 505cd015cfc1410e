"""Distortion measures, held against independent implementations and worked examples."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal

from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import ms_ssim, ms_ssim_db, psnr

Picture = npt.NDArray[np.uint8]


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
