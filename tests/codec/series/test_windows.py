"""Windows of a series, against slices cut by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.codec.series.windows import sliding_windows, window_batches


def ramp(rows: int, channels: int) -> npt.NDArray[np.float64]:
    return np.arange(rows * channels, dtype=np.float64).reshape(rows, channels)


def by_hand(values: npt.NDArray[np.float64], window: int, stride: int) -> npt.NDArray[np.float64]:
    return np.stack([values[start : start + window] for start in range(0, len(values) - window + 1, stride)])


sizes = st.tuples(
    st.integers(1, 40), st.integers(1, 4), st.integers(1, 12), st.integers(1, 9), st.integers(1, 8)
).filter(lambda size: size[2] <= size[0])


@given(sizes)
def test_views_and_batches_equal_slices(size: tuple[int, int, int, int, int]) -> None:
    rows, channels, window, stride, batch = size
    values = ramp(rows, channels)
    expected = by_hand(values, window, stride)
    np.testing.assert_array_equal(sliding_windows(values, window, stride), expected)

    found, ends = [], []
    for part in window_batches(values, window, batch, stride):
        assert part.windows.shape == (batch, window, channels)
        assert part.windows.dtype == np.float32
        assert part.windows.flags.c_contiguous
        assert 1 <= part.real <= batch
        assert np.array_equal(
            part.windows[part.real :], np.repeat(part.windows[part.real - 1][None], batch - part.real, 0)
        )
        found.append(part.windows[: part.real])
        ends += [part.row + i * stride for i in range(part.real)]
    np.testing.assert_array_equal(np.concatenate(found), expected)
    np.testing.assert_array_equal(values[ends], expected[:, -1])


def test_a_view_takes_no_memory_and_cannot_be_written() -> None:
    values = ramp(100, 3)
    windows = sliding_windows(values, 10)
    assert np.shares_memory(windows, values)
    with pytest.raises(ValueError, match="read-only"):
        windows[0, 0, 0] = 1


def test_batches_are_the_callers_own() -> None:
    values = ramp(20, 2)
    for part in window_batches(values, 5, 4):
        part.windows[:] = -1
    np.testing.assert_array_equal(values, ramp(20, 2))


def test_infinite_and_too_large_values_become_missing_in_batches() -> None:
    values = np.array([[1.0], [np.inf], [-np.inf], [1e300], [np.nan], [2.0]])
    (part,) = window_batches(values, 6, 1)
    np.testing.assert_array_equal(part.windows[0, :, 0], np.float32([1, np.nan, np.nan, np.nan, np.nan, 2]))


def test_batches_read_a_memory_map_part_by_part(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ramp(50, 2))
    values = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert sum(part.real for part in window_batches(values, 7, 8)) == 44


@pytest.mark.parametrize(
    ("shape", "window", "stride", "message"),
    [
        ((5, 2), 6, 1, "6 rows is longer than the series of 5"),
        ((0, 2), 1, 1, "longer than the series of 0"),
        ((5, 2), 0, 1, "at least 1, not 0 and 1"),
        ((5, 2), 2, 0, "at least 1, not 2 and 0"),
        ((5,), 2, 1, r"not of shape \(5,\)"),
    ],
)
def test_impossible_windows_are_refused_at_the_call(
    shape: tuple[int, ...], window: int, stride: int, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        sliding_windows(np.zeros(shape), window, stride)
    with pytest.raises(InvalidArgument, match=message):
        window_batches(np.zeros(shape), window, 4, stride)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 1 window, not 0"):
        window_batches(np.zeros((5, 1)), 2, 0)
