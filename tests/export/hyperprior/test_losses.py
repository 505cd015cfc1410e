"""The rate-distortion loss, by worked examples."""

from __future__ import annotations

import pytest
import torch

from aez.export.hyperprior.losses import rate_distortion


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
