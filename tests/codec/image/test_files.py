"""Pictures for detectors: what a person sees of a file, squeezed to a model's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.files import is_coloured, list_pictures, read_picture, seen, to_planes

RAMP = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))[..., None].repeat(3, axis=2)


def test_a_picture_of_the_size_keeps_its_pixels() -> None:
    assert np.array_equal(to_planes(RAMP, 16, 24, 3), RAMP.transpose(2, 0, 1))
    assert np.array_equal(to_planes(RAMP, 16, 24, 1), RAMP[None, :, :, 0])


def test_squeezing_keeps_places_and_cuts_nothing_off() -> None:
    spot = np.zeros((40, 80, 3), np.uint8)
    spot[30:40, 60:80] = 255
    small = to_planes(spot, 8, 8, 1)[0]
    assert np.all(small[6:, 6:] > 200)
    assert small[:5, :5].max() < 20
    assert to_planes(RAMP, 5, 7, 3).shape == (3, 5, 7)


@pytest.mark.parametrize("colours", [0, 2, 4])
def test_other_numbers_of_colours_are_refused(colours: int) -> None:
    with pytest.raises(InvalidArgument, match=f"not {colours}"):
        to_planes(RAMP, 4, 4, colours)


def test_what_is_transparent_lies_over_white() -> None:
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 128, 255]
    assert seen(rgba)[0, :, 0].tolist() == [255, 127, 0]
    assert np.all(seen(rgba)[1] == 255)


def test_a_turned_photograph_is_turned_back(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown a quarter to the right
    Image.fromarray(RAMP).save(tmp_path / "turned.png", exif=exif)
    shown = read_picture(tmp_path / "turned.png")
    assert shown.shape == (24, 16, 3)
    assert np.array_equal(shown, np.rot90(RAMP, -1))


def test_grey_may_have_the_noise_of_a_colour_camera() -> None:
    noise = np.random.default_rng(0).integers(0, 3, RAMP.shape, dtype=np.uint8)
    assert not is_coloured(RAMP + noise)
    assert not is_coloured((RAMP + noise).transpose(2, 0, 1))
    coloured = RAMP.copy()
    coloured[3, 4, 0] += 30
    assert is_coloured(coloured)
    assert is_coloured(coloured.transpose(2, 0, 1))


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("not a picture")
    with pytest.raises(UnsupportedInput, match="it is not a picture"):
        read_picture(tmp_path / "note.png")
    with pytest.raises(UnsupportedInput, match="it does not exist"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(UnsupportedInput, match="it is a folder"):
        read_picture(tmp_path)
    Image.fromarray(RAMP).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    with pytest.raises(UnsupportedInput):
        read_picture(tmp_path / "half.png")


def test_folders_are_searched_for_pictures_alone(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_pictures(tmp_path)] == ["b.png", "a.JPG"]
    with pytest.raises(UnsupportedInput, match="no pictures found"):
        list_pictures(tmp_path / "none")
