"""Training pictures: what is found, what is skipped, and which crops are drawn."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from aez.codec.errors import UnsupportedInput
from aez.export.hyperprior.pictures import PictureFolder, RandomCrops, centre_crops, is_validation, list_pictures


def make_pixels(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save(path: Path, height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    pixels = make_pixels(height, width, seed)
    Image.fromarray(pixels).save(path)
    return pixels


def folder_of(folder: Path, *sizes: tuple[int, int]) -> PictureFolder:
    for number, (height, width) in enumerate(sizes):
        save(folder / f"{number}.png", height, width, number)
    return PictureFolder(list_pictures(folder))


def test_pictures_are_found_in_subfolders_and_other_files_left_out(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    for name in ("b.PNG", "a.jpg", "deep/c.webp", "deep/er/d.avif"):
        save(tmp_path / name, 8, 8)
    found = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "deep/c.webp", "deep/er/d.avif"]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_pictures_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsupportedInput, match=f"{name}: no pictures found"):
        list_pictures(tmp_path / name)


def test_the_validation_split_is_a_hash_of_the_name_and_never_changes() -> None:
    names = [f"{number}.png" for number in range(4000)]
    chosen = [name for name in names if is_validation(name)]
    assert 80 < len(chosen) < 160  # 3 % of 4000 are 120
    assert chosen[:3] == ["68.png", "124.png", "187.png"]
    assert is_validation("bild-ä.jpg") is (hashlib.sha256("bild-ä.jpg".encode()).digest()[0] < 7)
    assert is_validation("not utf-8: \udce4.jpg") in (True, False)


def test_pictures_of_all_modes_come_as_rgb(tmp_path: Path) -> None:
    for mode in ("L", "LA", "P", "RGBA", "CMYK", "1", "I;16"):
        path = tmp_path / f"{mode.replace(';', '')}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (9, 7)).save(path)
    folder = PictureFolder(list_pictures(tmp_path))
    for path in folder.paths:
        pixels = folder.load(path)
        assert pixels is not None
        assert (pixels.shape, pixels.dtype) == ((7, 9, 3), np.uint8)
    assert folder.skipped == []


def test_unreadable_files_are_named_once_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = save(tmp_path / "good.png", 40, 40)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no JPEG")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:600])
    folder = PictureFolder(list_pictures(tmp_path))
    crops = RandomCrops(folder, 40, seed=0, scales=(1, 1))
    with caplog.at_level(logging.WARNING):
        for index in range(40):
            pixels = (crops[index] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            assert np.array_equal(pixels, good) or np.array_equal(pixels[:, ::-1], good)
    named = sorted(line.partition(": ")[0] for line in folder.skipped)
    assert named == [str(tmp_path / name) for name in ("cut.png", "empty.png", "text.jpg")]
    assert len(caplog.messages) == 3
    assert all(any(name in message for message in caplog.messages) for name in named)


def test_a_folder_of_damaged_pictures_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"damaged")
    with pytest.raises(UnsupportedInput, match="could not be read"):
        RandomCrops(PictureFolder(list_pictures(tmp_path)), 16, seed=0)[0]


def test_decoded_pictures_are_kept_up_to_the_limit(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, (10, 10), (10, 10))
    folder.cache_bytes = 400  # one picture takes 300
    first, second = (folder.load(path) for path in folder.paths)
    assert folder.load(folder.paths[0]) is first
    again = folder.load(folder.paths[1])
    assert again is not second
    assert np.array_equal(again, second)  # type: ignore[arg-type]


def test_crops_depend_on_seed_and_index_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, (60, 50), (64, 90), (45, 47))
    forwards = [RandomCrops(folder, 32, seed=5)[index] for index in range(20)]
    fresh = RandomCrops(PictureFolder(folder.paths, cache_bytes=0), 32, seed=5)
    for index in reversed(range(20)):
        assert torch.equal(fresh[index], forwards[index])
    assert len({crop.numpy().tobytes() for crop in forwards}) == 20
    other = RandomCrops(folder, 32, seed=6)
    assert not any(torch.equal(other[index], forwards[index]) for index in range(20))


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (31, 32), (32, 32), (33, 33), (500, 40)], ids=str)
def test_crops_have_the_asked_size_whatever_the_picture(tmp_path: Path, size: tuple[int, int]) -> None:
    crops = RandomCrops(folder_of(tmp_path, size), 32, seed=0)
    for index in range(30):
        crop = crops[index]
        assert (crop.shape, crop.dtype) == ((3, 32, 32), torch.float32)
        assert 0 <= crop.min() <= crop.max() <= 1


def test_tiny_pictures_are_enlarged(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (10, 200, 60)).save(tmp_path / "a.png")
    crop = RandomCrops(PictureFolder(list_pictures(tmp_path)), 16, seed=0)[0]
    expected = torch.tensor([10, 200, 60])[:, None, None].expand(3, 16, 16) / 255
    torch.testing.assert_close(crop, expected)


def test_at_their_own_scale_small_pictures_repeat_their_edges(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    crops = RandomCrops(PictureFolder(list_pictures(tmp_path)), 32, seed=0, scales=(1, 1))
    padded = np.pad(pixels, ((0, 4), (0, 12), (0, 0)), mode="edge")
    found = {(crops[index] * 255).round().byte().permute(1, 2, 0).numpy().tobytes() for index in range(10)}
    assert found == {padded.tobytes(), np.ascontiguousarray(padded[:, ::-1]).tobytes()}


def test_crops_vary_in_place_scale_and_direction(tmp_path: Path) -> None:
    ramp = np.zeros((64, 256, 3), np.uint8)
    ramp[:] = np.arange(256, dtype=np.uint8)[None, :, None]  # the slope tells scale and direction
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    crops = RandomCrops(PictureFolder(list_pictures(tmp_path)), 32, seed=0)
    slopes, means = [], []
    for index in range(200):
        row = crops[index][0, 16].double() * 255
        slopes.append(float(row[24] - row[8]) / 16)
        means.append(float(row.mean()))
    steps = np.abs(slopes)
    assert 1 / 1.6 - 0.02 < steps.min() < 0.7
    assert 1.25 < steps.max() < 1 / 0.75 + 0.02
    assert 50 < sum(abs(step - 1) < 1e-4 for step in steps) < 110  # keep their pixels
    assert 60 < sum(slope < 0 for slope in slopes) < 140
    assert max(means) - min(means) > 100
    smaller = RandomCrops(PictureFolder(list_pictures(tmp_path)), 32, seed=0, scales=(0.4, 0.5))
    for index in range(20):
        row = smaller[index][0, 16].double() * 255
        assert 1.95 < abs(float(row[24] - row[8]) / 16) < 2.55


def test_centre_crops_take_the_middle_of_pictures_that_are_large_enough(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, (40, 36), (31, 90), (32, 32), (50, 50))
    crops = centre_crops(folder, 32, limit=2)
    assert crops.shape == (2, 3, 32, 32)
    expected = make_pixels(40, 36, 0)[4:36, 2:34].astype(np.float32) / 255
    np.testing.assert_array_equal(crops[0].permute(1, 2, 0).numpy(), expected)
    np.testing.assert_array_equal(crops[1].permute(1, 2, 0).numpy(), make_pixels(32, 32, 2).astype(np.float32) / 255)
    with pytest.raises(UnsupportedInput, match="at least 64 x 64 pixels"):
        centre_crops(folder, 64, limit=2)
