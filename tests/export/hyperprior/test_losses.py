"""Distortions and the rate-distortion loss, by worked examples."""

from __future__ import annotations

import pytest
import torch

from aez.export.hyperprior.losses import DISTORTIONS, distortion, ms_ssim_distortion, mse_distortion, rate_distortion
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


def test_rate_distortion_adds_bits_per_pixel_and_weighted_distortion() -> None:
    bits, distortion, weight = torch.tensor([32.0, 64.0]), torch.tensor([10.0, 5.0]), torch.tensor([0.01, 0.1])
    loss = rate_distortion(bits, 16, distortion, weight, balance=0.0)
    assert loss.item() == pytest.approx(((32 / 16 + 0.1) + (64 / 16 + 0.5)) / 2)


def test_the_balance_divides_by_a_power_of_the_weight() -> None:
    bits, distortion = torch.tensor([32.0]), torch.tensor([10.0])
    for weight in (0.0126, 0.1):
        loss = rate_distortion(bits, 16, distortion, torch.tensor([weight]))
        assert loss.item() == pytest.approx((2 + 10 * weight) * (weight / 0.0126) ** -0.4, rel=1e-5)


def test_evenness_lets_relative_gains_count_alike() -> None:
    def gradient(evenness: float) -> list[float]:
        bits = torch.tensor([16.0, 64.0, 0.0], requires_grad=True)  # 1, 4 and 0 bits per pixel
        rate_distortion(bits, 16, torch.zeros(3), torch.ones(3), balance=0.0, evenness=evenness).backward()
        assert bits.grad is not None
        return (bits.grad / bits.grad[0]).tolist()

    assert gradient(0.0) == pytest.approx([1, 1, 1])
    assert gradient(0.5)[:2] == pytest.approx([1, 0.5])
    assert gradient(1.0)[:2] == pytest.approx([1, 0.25])
    assert gradient(1.0)[2] == pytest.approx(20)  # an empty picture counts as one of 0.05
