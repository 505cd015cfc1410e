"""Training pictures: found, brought to one size, split, spoilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.export.images.edges import CELLS, cell_of
from aez.export.images.pictures import (
    SIDE_SUGGESTED,
    find_training_pictures,
    pictures_of_array,
    read_training_pictures,
    split_pictures,
    spoil,
    working_size,
)

RNG = np.random.default_rng(0)


def write(folder: Path, count: int = 24, size: tuple[int, int] = (40, 30), colour: bool = False) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for path in paths:
        pixels = RNG.integers(0, 256, (size[1], size[0], 3 if colour else 1), dtype=np.uint8)
        Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))).save(path)
    return paths


def test_grey_pictures_have_one_colour_and_one_coloured_one_gives_three(tmp_path: Path) -> None:
    paths = write(tmp_path / "grey")
    assert read_training_pictures(paths).planes.shape == (24, 1, 32, 40)
    paths += write(tmp_path / "colour", 1, colour=True)
    found = read_training_pictures(paths)
    assert found.planes.shape == (25, 3, 32, 40)
    assert found.names == tuple(map(str, paths))
    assert np.array_equal(found.planes[0, 0], found.planes[0, 2])


def test_unreadable_files_are_named_and_skipped(tmp_path: Path) -> None:
    paths = write(tmp_path / "some")
    for broken in (paths[3], paths[20]):
        broken.write_bytes(broken.read_bytes()[:50])
    found = read_training_pictures(find_training_pictures([tmp_path]))
    assert len(found) == 22
    assert [path for path, _ in found.skipped] == [str(paths[3]), str(paths[20])]


def test_too_few_the_same_and_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="does not exist"):
        find_training_pictures([tmp_path / "none"])
    with pytest.raises(UnsupportedInput, match="no pictures found"):
        find_training_pictures([tmp_path])
    paths = write(tmp_path / "some", 21)
    paths[0].write_text("")
    paths[1].write_text("")
    with pytest.raises(UnsupportedInput, match="19 pictures are too few to learn from; give 20 or more; 2 could not"):
        read_training_pictures(paths)
    for path in paths:
        Image.new("L", (20, 20), 100).save(path)
    with pytest.raises(UnsupportedInput, match="all pictures are the same"):
        read_training_pictures(paths)
    for path in paths:
        path.write_text("no picture")
    with pytest.raises(UnsupportedInput, match="none of 21 pictures can be read"):
        read_training_pictures(paths)


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    paths = write(tmp_path / "some")
    assert find_training_pictures([tmp_path, tmp_path / "some", paths[0]]) == paths


def test_arrays_are_sets_too() -> None:
    array = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    assert np.array_equal(pictures_of_array(array).planes[:, 0], array)
    assert np.array_equal(pictures_of_array(array[..., None]).planes[:, 0], array)
    assert pictures_of_array(RNG.integers(0, 256, (20, 50, 200, 3), np.uint8)).planes.shape == (20, 3, 32, 128)
    for wrong in (array.astype(float), array[0], array[..., None].repeat(2, axis=3), array[:0]):
        with pytest.raises(InvalidArgument, match="pictures are uint8"):
            pictures_of_array(wrong)
    with pytest.raises(UnsupportedInput, match="too few"):
        pictures_of_array(array[:19])


@given(
    sizes=st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=9),
    longer=st.none() | st.integers(16, 512),
)
def test_working_sizes_are_whole_cells_and_no_larger_than_asked(
    sizes: list[tuple[int, int]], longer: int | None
) -> None:
    height, width = working_size(sizes, longer)
    cell = cell_of(height, width)
    assert height % cell == width % cell == 0
    assert min(height, width) >= 2 * cell
    assert max(height, width) <= 1.5 * (longer or SIDE_SUGGESTED)
    assert CELLS / 2 <= max(height, width) / cell <= 1.5 * CELLS


@pytest.mark.parametrize(
    ("size", "longer", "wanted"),
    [
        ((28, 28), None, (28, 28)),
        ((480, 640), None, (96, 128)),
        ((640, 480), None, (128, 96)),
        ((480, 640), 64, (48, 64)),
        ((64, 64), None, (64, 64)),
        ((10, 10), None, (16, 16)),
        ((100, 3000), None, (32, 128)),
    ],
)
def test_sizes_that_people_have(size: tuple[int, int], longer: int | None, wanted: tuple[int, int]) -> None:
    assert working_size([size], longer) == wanted


def test_sizes_out_of_range_are_refused() -> None:
    for longer in (15, 513):
        with pytest.raises(InvalidArgument, match=f"size {longer} is outside 16..512"):
            working_size([(30, 30)], longer)


@given(count=st.integers(20, 500), held_out=st.floats(0.05, 0.9))
def test_parts_are_disjoint_and_hold_everything(count: int, held_out: float) -> None:
    parts = split_pictures(count, held_out, 0.1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert len(parts[2]) == max(1, round(held_out * count))
    assert len(parts[1]) >= 1
    assert all(np.array_equal(a, b) for a, b in zip(parts, split_pictures(count, held_out, 0.1), strict=True))


def test_half_of_a_batch_is_spoilt_in_one_rectangle_and_the_rest_is_as_it_was() -> None:
    pictures = torch.rand(64, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    changed = (spoil(pictures, torch.Generator().manual_seed(1)) != pictures).any(1)
    assert not changed[32:].any()
    assert changed[:32].flatten(1).any(1).all()
    for one in changed[:32]:
        rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert height <= 9
        assert width <= 13
        assert one.sum() > 0.9 * height * width
    again = spoil(pictures, torch.Generator().manual_seed(1))
    assert torch.equal(again, spoil(pictures, torch.Generator().manual_seed(1)))
    assert 0 <= again.min() <= again.max() <= 1
