"""Pictures at a half, a quarter or an eighth of their size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import aez
import aez.pillow
from aez.codec.errors import InvalidArgument
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ImageModel
from aez.codec.image.reducing import reduced, scale_for
from tests.kit.commands import run
from tests.kit.places import TINY

either_depth = pytest.mark.parametrize("kind", [np.uint8, np.uint16])


def picture(width: int, height: int, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth structure with some grain."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(x / (17 + 5 * n) + n) * np.cos(y / (23 + 3 * n)) for n in range(channels)]
    grain = np.random.default_rng(3).normal(0, 3, (height, width, channels))
    return np.clip(np.stack(planes, axis=2) + grain, 0, 255).astype(np.uint8)


def by_hand(samples: NDArray[Any], scale: int) -> NDArray[Any]:
    height, width = samples.shape[:2]
    rows = [
        [
            samples[top : top + scale, left : left + scale].reshape(-1, *samples.shape[2:]).astype(float).mean(axis=0)
            for left in range(0, width, scale)
        ]
        for top in range(0, height, scale)
    ]
    return np.floor(np.array(rows) + 0.5).astype(samples.dtype)


@either_depth
@pytest.mark.parametrize("shape", [(16, 24, 3), (13, 30), (1, 1, 1), (9, 7, 2)])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_every_pixel_is_the_mean_of_its_block(kind: type, shape: tuple[int, ...], scale: int) -> None:
    samples = np.random.default_rng(1).integers(0, np.iinfo(kind).max, shape, endpoint=True).astype(kind)
    found = reduced(samples, scale)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, by_hand(samples, scale))


def test_the_scale_leaves_the_side_that_is_asked_for() -> None:
    assert [scale_for(1000, 600, side) for side in (1000, 501, 500, 251, 250, 125, 1)] == [1, 1, 2, 2, 4, 8, 8]
    assert scale_for(40, 30, 100) == 1


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("options", [{"model": TINY}, {"lossless": True}, {"model": TINY, "content": "graphics"}])
def test_a_picture_to_scale_is_the_whole_one_reduced(scale: int, options: dict[str, Any]) -> None:
    data = aez.encode(picture(150, 203, 4), tile=64, **options)
    model = options.get("model")
    whole, small = (decode_picture(data, model=model, scale=one) for one in (1, scale))
    assert whole.alpha is not None
    assert small.alpha is not None
    np.testing.assert_array_equal(small.pixels, reduced(whole.pixels, scale))
    np.testing.assert_array_equal(small.alpha, reduced(whole.alpha, scale))
    assert small.image.size == (-(-150 // scale), -(-203 // scale))


def test_regions_to_scale_begin_on_whole_blocks() -> None:
    data = aez.encode(picture(150, 203), tile=64, model=TINY)
    whole = decode_picture(data, model=TINY).pixels
    part = decode_picture(data, (40, 72, 77, 100), model=TINY, scale=8).pixels
    np.testing.assert_array_equal(part, reduced(whole[72:172, 40:117], 8))
    with pytest.raises(InvalidArgument, match="begins at 41,72, which are no multiples of 8"):
        decode_picture(data, (41, 72, 77, 100), model=TINY, scale=8)
    with pytest.raises(InvalidArgument, match="scale of 1/3"):
        decode_picture(data, model=TINY, scale=3)


def test_an_eighth_of_a_photograph_needs_no_synthesis(monkeypatch: pytest.MonkeyPatch) -> None:
    data = aez.encode(picture(300, 200), model="photo-fast", tile=128)
    wanted = reduced(decode_picture(data).pixels, 8).astype(float)

    monkeypatch.delattr(ImageModel, "synthesis")
    found = decode_picture(data, scale=8).pixels
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 1.5
    assert np.abs(found - wanted).max() < 12  # across tiles, too


def test_thumbnails_of_pillow_are_decoded_to_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    data = aez.encode(picture(300, 200), model="photo-fast")
    monkeypatch.delattr(ImageModel, "synthesis")
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((12, 12))  # Pillow asks for twice as many
        assert image.size == (12, 8)
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (301, 10)) is None
        assert image.size == (300, 200)


def test_the_command_writes_pictures_to_scale(tmp_path: Path) -> None:
    source = tmp_path / "a.aez"
    source.write_bytes(aez.encode(picture(150, 203), model=TINY))
    sizes = {}
    for option in ("--scale 1/4", "--fit 64", "--fit 900", "--region 8,16,50,20 --scale 1/2"):
        out = tmp_path / "out.png"
        done = run("decode", str(source), "-o", str(out), "-m", str(TINY), "-f", *option.split())
        assert done.exit_code == 0, done.stderr
        with Image.open(out) as image:
            sizes[option] = image.size
    assert list(sizes.values()) == [(38, 51), (47, 64), (150, 203), (25, 10)]
    for wrong in ("--scale 1/3", "--scale 1/2 --fit 9", "--fit 0"):
        assert run("decode", str(source), "-o", str(tmp_path / "b.png"), *wrong.split()).exit_code == 2
