"""The hue of smooth areas in torch, held against what the bench measures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from aez.bench.pictures import eye
from aez.export.distortions.hue import BLOCK, SMOOTH, hue_error

Picture = npt.NDArray[np.uint8]


def sky(height: int = 96, width: int = 128) -> Picture:
    """Soft ramps of colour with the grain of a good camera."""
    y, x = np.mgrid[:height, :width] / 128
    ramps = np.stack([90 + 40 * x, 120 + 30 * y, 180 - 30 * x * y], axis=-1)
    return np.rint(ramps + np.random.default_rng(0).normal(0, 1, ramps.shape)).astype(np.uint8)


def tinted(picture: Picture, by: float, colour: tuple[float, float, float] = (1.0, -0.5, 0.2)) -> Picture:
    return np.clip(np.rint(picture + by * np.array(colour)), 0, 255).astype(np.uint8)


def busy(picture: Picture) -> Picture:
    """With texture of a deviation far above what counts as smooth."""
    noise = np.random.default_rng(1).normal(0, 40, (*picture.shape[:2], 1))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def both(picture: Picture, decoded: Picture) -> tuple[float, float]:
    """(root of what training minimises, what the bench shows), both in CIELAB."""
    shown = eye.hue_error(picture, decoded)
    assert shown is not None
    return math.sqrt(hue_error(tensor(decoded), tensor(picture)).item()), shown


def test_both_mean_the_same_blocks() -> None:
    assert (BLOCK, SMOOTH) == (eye.BLOCK, eye.SMOOTH)


@pytest.mark.parametrize("colour", [(1.0, -0.5, 0.2), (-1.0, 0.5, -0.2), (0.0, 0.0, 1.0), (0.3, -1.0, 0.3)], ids=str)
def test_training_and_bench_see_the_same_tint(colour: tuple[float, float, float]) -> None:
    picture = sky()
    pairs = [both(picture, tinted(picture, by, colour)) for by in (2, 4, 8, 16)]
    for trained, shown in pairs:
        assert trained == pytest.approx(shown, rel=0.15)
    assert [shown for _, shown in pairs] == sorted(shown for _, shown in pairs)
    assert pairs[0][1] > 0.5
    assert pairs[-1][1] > 4 * pairs[0][1]


def test_neither_sees_brightness_noise_or_lost_grain() -> None:
    picture = sky()
    tint, _ = both(picture, tinted(picture, 4))
    smoothed = (
        np.asarray(np.rint(picture.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))), np.uint8).repeat(2, 0).repeat(2, 1)
    )
    grey_noise = np.random.default_rng(2).normal(0, 4, (*picture.shape[:2], 1))
    noisy = np.clip(np.rint(picture + grey_noise), 0, 255).astype(np.uint8)
    for decoded in (picture, smoothed, noisy):
        assert max(both(picture, decoded)) < 0.1 * tint


def test_a_busy_block_has_no_weight() -> None:
    picture = busy(sky())
    decoded = tinted(picture, 16)
    assert eye.hue_error(picture, decoded) is None
    in_smooth = hue_error(tensor(tinted(sky(), 16)), tensor(sky())).item()
    assert hue_error(tensor(decoded), tensor(picture)).item() < 1e-5 * in_smooth


def test_a_smooth_half_counts_and_the_busy_one_dilutes_what_training_sees() -> None:
    picture = sky()
    picture[:, 64:] = busy(picture)[:, 64:]
    wrong_in_busy, wrong_in_smooth = picture.copy(), picture.copy()
    wrong_in_busy[:, 64:], wrong_in_smooth[:, :64] = tinted(picture, 16)[:, 64:], tinted(picture, 16)[:, :64]
    assert both(picture, wrong_in_busy) == pytest.approx((0, 0), abs=0.01)
    trained, shown = both(picture, wrong_in_smooth)
    assert trained == pytest.approx(shown * math.sqrt(0.5), rel=0.15)  # a mean over all blocks, of squares


def test_the_error_is_squared_and_each_pictures_own() -> None:
    picture = sky()
    decoded = torch.cat([tensor(tinted(picture, by)) for by in (0, 4, 8)])
    none, once, twice = hue_error(decoded, tensor(picture).expand(3, -1, -1, -1)).tolist()
    assert none == pytest.approx(0, abs=1e-9)
    assert twice == pytest.approx(4 * once, rel=0.1)


def test_gradients_lead_back_to_the_hue_and_are_finite_even_in_black() -> None:
    image = torch.cat([tensor(sky()), torch.zeros(1, 3, 96, 128), torch.ones(1, 3, 96, 128)])
    decoded = (image + 0.03 * torch.tensor([1.0, -1.0, 0.5])[:, None, None]).requires_grad_()
    before = hue_error(decoded, image)
    (gradient,) = torch.autograd.grad(before.sum(), decoded)
    assert bool(gradient.isfinite().all())
    step = 0.01 * gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-9)[:, None, None, None]
    after = hue_error(decoded.detach() - step * math.sqrt(96 * 128), image)
    assert after[0].item() < before[0].item()


def test_equal_pictures_have_no_gradient() -> None:
    image = tensor(sky())
    decoded = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(hue_error(decoded, image).sum(), decoded)
    assert not gradient.any()
