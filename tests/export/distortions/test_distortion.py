"""Distortions by worked examples."""

from __future__ import annotations

import pytest
import torch

from aez.export.distortions.colorvideovdp import colorvideovdp
from aez.export.distortions.distortion import (
    DISTORTIONS,
    HUE_SHARE,
    distortion,
    ms_ssim_distortion,
    mse_distortion,
    visual_distortion,
)
from aez.export.distortions.hue import hue_error
from aez.export.distortions.ssimulacra2 import ssimulacra2
from tests.kit.small_photo import make_pictures


def test_mse_is_in_squared_8_bit_steps_per_picture() -> None:
    image = torch.zeros(2, 3, 4, 4)
    decoded = image.clone()
    decoded[0] = 2 / 255
    decoded[1, 0, 0, 0] = 48 / 255  # one of 48 values
    assert mse_distortion(decoded, image).tolist() == pytest.approx([4.0, 48.0])


def test_ms_ssim_is_zero_for_identical_pictures_and_grows_with_noise() -> None:
    image = make_pictures(2, side=176)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    assert ms_ssim_distortion(image, image).abs().max() < 1e-2  # of 2500
    weak, strong = (ms_ssim_distortion(image + size * noise, image) for size in (0.02, 0.2))
    assert weak.shape == (2,)
    assert (weak > 1).all()
    assert (strong > weak).all()
    assert (strong < 2500).all()


def test_ms_ssim_keeps_the_pictures_of_a_batch_apart() -> None:
    image = make_pictures(2, side=176)
    decoded = image.clone()
    decoded[1] = 1 - decoded[1]
    first, second = ms_ssim_distortion(decoded, image).tolist()
    assert first == pytest.approx(0, abs=1e-2)
    assert second > 100


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortions_have_gradients(name: str) -> None:
    image = make_pictures(1, side=176)
    decoded = (0.9 * image + 0.05).requires_grad_()
    distortion(name, decoded, image, torch.tensor([0.01])).sum().backward()
    assert decoded.grad is not None
    assert bool(decoded.grad.isfinite().all())
    assert bool(decoded.grad.any())


@pytest.mark.parametrize("weight", [0.0004, 0.0126, 0.23])
def test_a_visual_point_is_worth_what_codecs_pay_for_one(weight: float) -> None:
    """Of four parts in their shares, a point at 0.218 lambda^0.566 bits per pixel, a JOD at 36.8 lambda^0.82."""
    image = make_pictures(1, side=176)
    weights = torch.tensor([weight])
    for strength in (0.01, 0.05):
        decoded = image + strength * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
        points = 100 - ssimulacra2(decoded, image).item()
        ms_ssim, mse = (measure(decoded, image).item() for measure in (ms_ssim_distortion, mse_distortion))
        jods = 10 - colorvideovdp(decoded, image).item()
        bits = 0.37 * 0.218 * weight**0.566 * points + 0.4 * 36.8 * weight**0.82 * jods
        bits += weight * (0.27 * ms_ssim + 0.1 * mse)
        assert weight * visual_distortion(decoded, image, weights).item() == pytest.approx(bits, rel=1e-4)


def test_visual_distortion_is_nothing_for_equal_pictures_and_each_pictures_own() -> None:
    image = make_pictures(2, side=176)
    decoded = image.clone()
    decoded[1] = (image[1] + 0.1 * torch.randn(image[1].shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    weight = torch.tensor([0.01, 0.1])
    equal, other = visual_distortion(decoded, image, weight).tolist()
    assert equal == pytest.approx(0, abs=0.1)
    assert other == pytest.approx(visual_distortion(decoded[1:], image[1:], weight[1:]).item(), rel=1e-3)
    assert other > 10


@pytest.mark.parametrize("name", DISTORTIONS)
def test_every_distortion_has_its_share_of_wrong_hue(name: str) -> None:
    """Pictures that are smooth, in a tint that squares and structure hardly see."""
    image = torch.full((1, 3, 176, 176), 0.5) + torch.linspace(0, 0.1, 176)
    decoded = image + 0.02 * torch.tensor([1.0, -0.3, -1.0])[:, None, None]
    weight = torch.tensor([0.01])
    plain = {
        "mse": mse_distortion(decoded, image),
        "ms-ssim": ms_ssim_distortion(decoded, image),
        "visual": visual_distortion(decoded, image, weight),
    }
    wrong_hue = distortion(name, decoded, image, weight) - plain[name]
    assert wrong_hue.item() == pytest.approx(HUE_SHARE * hue_error(decoded, image).item(), rel=1e-3)
    assert wrong_hue.item() > mse_distortion(decoded, image).item()
