"""SSIMULACRA 2 in torch, held against the package of that name."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from ssimulacra2 import compute_ssimulacra2
from ssimulacra2 import ssimulacra2 as package
from torch import Tensor

from aez.export.distortions.ssimulacra2 import LEAST_SIDE, SCALES, WEIGHTS, ssimulacra2
from tests.kit.small_photo import make_pictures
from tests.kit.tiny_pictures import photo
from tests.kit.toy_codecs import waves

Picture = npt.NDArray[np.uint8]
QUALITIES = (5, 15, 30, 50, 75, 90, 95)


def drawn(name: str, height: int, width: int) -> Picture:
    if name == "photo":
        return photo(height, width, seed=height)
    if name == "waves":
        return waves(height, width, seed=2)
    pixels = make_pictures(1, 256, seed=3)[0, :, :height, :width]
    return (pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def jpeg(picture: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def tensor(*pictures: Picture) -> Tensor:
    return torch.stack([torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255 for picture in pictures])


def reference(picture: Picture, decoded: Picture) -> float:
    files = io.BytesIO(), io.BytesIO()
    for pixels, file in zip((picture, decoded), files, strict=True):
        Image.fromarray(pixels).save(file, "BMP")
    return float(compute_ssimulacra2(*files))


@pytest.mark.parametrize("name", ["photo", "waves", "noisy"])
@pytest.mark.parametrize("size", [(256, 256), (226, 256), (256, 231)], ids=str)
def test_scores_are_those_of_the_package_over_all_qualities(name: str, size: tuple[int, int]) -> None:
    picture = drawn(name, *size)
    decoded = [jpeg(picture, quality) for quality in QUALITIES]
    expected = [reference(picture, one) for one in decoded]
    assert expected[0] < 0 < 80 < expected[-1]  # from ruined to hardly changed
    found = ssimulacra2(tensor(*decoded), tensor(picture).expand(len(decoded), -1, -1, -1)).tolist()
    assert found == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("side", "scales"), [(192, 5), (96, 4), (40, 3)])
def test_a_smaller_picture_has_fewer_scales_which_keep_their_weights(
    side: int, scales: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = package.weights.reshape(3, SCALES, 6)[:, :scales].ravel()
    monkeypatch.setattr(package, "weights", kept)
    picture = drawn("photo", side, side + 10)
    decoded = [jpeg(picture, quality) for quality in QUALITIES]
    expected = [reference(picture, one) for one in decoded]
    found = ssimulacra2(tensor(*decoded), tensor(picture).expand(len(decoded), -1, -1, -1)).tolist()
    assert found == pytest.approx(expected, abs=0.2)


def test_the_weights_are_the_published_ones() -> None:
    assert len(package.weights) == 3 * SCALES * 6
    assert dict(WEIGHTS) == {index: weight for index, weight in enumerate(package.weights.tolist()) if weight}


@pytest.mark.parametrize("side", [LEAST_SIDE, 64, 256])
def test_equal_pictures_have_100_and_finite_gradients(side: int) -> None:
    pictures = [torch.zeros(3, side, side), torch.ones(3, side, side), tensor(photo(side, side))[0]]
    image = torch.stack(pictures)
    decoded = image.clone().requires_grad_()
    scores = ssimulacra2(decoded, image)
    assert scores.tolist() == pytest.approx([100] * 3, abs=1e-3)
    scores.sum().backward()
    assert decoded.grad is not None
    assert bool(decoded.grad.isfinite().all())


def test_descending_along_the_gradient_raises_the_score() -> None:
    picture = drawn("photo", 128, 128)
    image, decoded = tensor(picture), tensor(jpeg(picture, 20)).requires_grad_()
    before = ssimulacra2(decoded, image)
    (gradient,) = torch.autograd.grad(before.sum(), decoded)
    assert bool(gradient.isfinite().all())
    after = ssimulacra2(decoded.detach() + gradient / gradient.norm(), image)
    assert after.item() > before.item() + 1


def test_each_picture_of_a_batch_is_scored_as_if_alone() -> None:
    pictures = [drawn(name, 128, 128) for name in ("photo", "waves", "noisy")]
    decoded = [jpeg(picture, quality) for picture, quality in zip(pictures, (10, 50, 90), strict=True)]
    together = ssimulacra2(tensor(*decoded), tensor(*pictures)).tolist()
    alone = [float(ssimulacra2(tensor(one), tensor(other))) for one, other in zip(decoded, pictures, strict=True)]
    assert together == pytest.approx(alone, abs=1e-2)
