"""ColorVideoVDP in torch, held against figures of the package `cvvdp` 0.5.7."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from aez.export.distortions.colorvideovdp import colorvideovdp
from tests.kit.tiny_pictures import photo

Picture = npt.NDArray[np.uint8]


def blurred(picture: Picture) -> Picture:
    wide = np.pad(picture.astype(int), ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = picture.shape[:2]
    parts = [wide[row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return (sum(parts) // 9).astype(np.uint8)


def noisy(picture: Picture) -> Picture:
    noise = np.random.default_rng(1).integers(-24, 25, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def coarse(picture: Picture) -> Picture:
    return picture // 32 * 32 + 16


def redder(picture: Picture) -> Picture:
    return np.clip(picture.astype(int) + np.array([8, 0, -8]), 0, 255).astype(np.uint8)


def in_blocks(picture: Picture) -> Picture:
    return picture[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)


#: JOD by `pycvvdp.cvvdp(display_name="standard_fhd").predict(changed, picture, dim_order="HWC")` of sides 256 x 384,
#: 192 x 192 and 64 x 32.
JODS: dict[Callable[[Picture], Picture], tuple[float, float, float]] = {
    blurred: (9.7955, 9.7687, 9.5417),
    noisy: (8.8762, 8.9949, 9.2438),
    coarse: (8.9913, 9.1946, 9.6045),
    redder: (9.6438, 9.6826, 9.6295),
    in_blocks: (7.9311, 7.8652, 7.5905),
}


def tensor(*pictures: Picture) -> Tensor:
    return torch.stack([torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255 for picture in pictures])


@pytest.mark.parametrize("change", JODS)
def test_jods_are_those_of_the_package(change: Callable[[Picture], Picture]) -> None:
    for (height, width), expected in zip(((256, 384), (192, 192), (64, 32)), JODS[change], strict=True):
        picture = photo(height, width, seed=height)
        found = colorvideovdp(tensor(change(picture)), tensor(picture)).item()
        assert found == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("side", [16, 33, 192])
def test_equal_pictures_have_10_and_finite_gradients(side: int) -> None:
    image = torch.stack([torch.zeros(3, side, side), torch.ones(3, side, side), tensor(photo(side, side))[0]])
    decoded = image.clone().requires_grad_()
    jods = colorvideovdp(decoded, image)
    assert jods.tolist() == pytest.approx([10] * 3, abs=1e-3)
    jods.sum().backward()
    assert decoded.grad is not None
    assert bool(decoded.grad.isfinite().all())


def test_descending_along_the_gradient_raises_the_quality() -> None:
    picture = photo(128, 128, seed=3)
    image, decoded = tensor(picture), tensor(in_blocks(picture)).requires_grad_()
    before = colorvideovdp(decoded, image)
    (gradient,) = torch.autograd.grad(before.sum(), decoded)
    after = colorvideovdp(decoded.detach() + gradient / gradient.norm(), image)
    assert after.item() > before.item() + 0.05


def test_each_picture_of_a_batch_is_judged_as_if_alone() -> None:
    pictures = [photo(96, 128, seed=seed) for seed in range(3)]
    decoded = [change(picture) for change, picture in zip((blurred, noisy, coarse), pictures, strict=True)]
    together = colorvideovdp(tensor(*decoded), tensor(*pictures)).tolist()
    alone = [colorvideovdp(tensor(one), tensor(other)).item() for one, other in zip(decoded, pictures, strict=True)]
    assert together == pytest.approx(alone, abs=1e-3)
