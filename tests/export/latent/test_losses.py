"""Losses of the KL autoencoder."""

from __future__ import annotations

import pytest
import torch

from aez.export.latent.losses import PIXEL_LOSSES, PatchDiscriminator, Reconstruction, adversarial_losses
from tests.kit.small_photo import make_pictures


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_pixel_losses_are_zero_for_equal_pictures_and_grow_with_the_error(name: str) -> None:
    pictures = make_pictures(2)
    loss = Reconstruction(name)
    assert float(loss(pictures, pictures).abs().max()) == 0
    small, large = loss(pictures + 0.01, pictures), loss(pictures + 0.1, pictures)
    assert small.shape == (2,)
    assert bool((large > small).all())


def test_pixel_losses_agree_at_the_error_that_they_are_scaled_for() -> None:
    picture = torch.full((1, 3, 64, 64), 0.5)
    generator = torch.Generator().manual_seed(0)
    # Errors of pictures have heavier tails than a Gaussian: mean absolute error 0.03 where the deviation is 0.047.
    noise = torch.distributions.Laplace(0.0, 0.033).icdf(torch.rand(picture.shape, generator=generator) * 0.998 + 0.001)
    values = [float(Reconstruction(name)(picture + noise, picture)) for name in PIXEL_LOSSES]
    assert max(values) < 1.5 * min(values)


def test_a_perceptual_distance_of_ones_own_is_added_with_its_weight() -> None:
    pictures = make_pictures(2)
    plain = Reconstruction()(pictures * 0.9, pictures)
    loss = Reconstruction(
        perceptual=lambda decoded, original: (decoded - original).mean(dim=(1, 2, 3)), perceptual_weight=7
    )
    torch.testing.assert_close(
        loss(pictures * 0.9, pictures), plain + 7 * (pictures * 0.9 - pictures).mean(dim=(1, 2, 3))
    )


def test_ms_ssim_is_added_with_its_weight() -> None:
    pictures = make_pictures(2, 176)
    worse = (pictures + 0.05 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    plain, half, whole = (Reconstruction(ms_ssim=weight)(worse, pictures) for weight in (0, 0.5, 1))
    torch.testing.assert_close(whole - plain, 2 * (half - plain))
    assert bool((half > plain).all())


def test_neither_side_of_the_game_teaches_the_other() -> None:
    torch.manual_seed(0)
    discriminator, decoded = PatchDiscriminator(16), make_pictures(2).requires_grad_()
    fooled, told = adversarial_losses(discriminator, decoded, make_pictures(2, seed=1))
    (gradient,) = torch.autograd.grad(fooled, decoded, retain_graph=True)
    assert bool(gradient.any())
    assert all(
        part is None for part in torch.autograd.grad(fooled, list(discriminator.parameters()), allow_unused=True)
    )
    fooled, told = adversarial_losses(discriminator, decoded, make_pictures(2, seed=1))
    assert torch.autograd.grad(told, decoded, allow_unused=True, retain_graph=True) == (None,)
    (first,) = torch.autograd.grad(told, [next(discriminator.parameters())])
    assert bool(first.any())


def test_the_discriminator_learns_to_tell_noise_from_pictures() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(16)
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-3)
    for seed in range(15):
        _, told = adversarial_losses(discriminator, torch.rand(4, 3, 64, 64), make_pictures(4, seed=seed))
        optimizer.zero_grad()
        told.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(told.detach()) < 0.3
