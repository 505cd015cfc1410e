"""Bits that values really have, and values of any kind as samples and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aez.codec.errors import UnsupportedInput
from aez.codec.pixels.depth import from_numbers, from_values, holds_integers, to_8_bits, to_values

RNG = np.random.default_rng(0)


def spread(bits: int) -> Any:
    """Values over all of `bits`, both ends and odd ones among them."""
    values = RNG.integers(0, 1 << bits, (40, 50), dtype=np.uint16)
    values[0, :3] = 0, (1 << bits) - 1, 1
    return values


@pytest.mark.parametrize(
    ("values", "grey", "bits", "value_range"),
    [
        (spread(16), True, 16, None),
        (spread(12), True, 12, (0, 4095)),
        (spread(12), False, 12, (0, 4095)),
        (spread(11), True, 12, (0, 4095)),
        (spread(10), False, 10, (0, 1023)),
        (spread(14), True, 14, (0, 16383)),
        (spread(14), False, 16, None),  # a dark photograph, as likely
        (spread(15), True, 16, None),
        (spread(12) << 4, True, 12, (0, 65520)),
        (spread(10) << 2, True, 10, (0, 4092)),
        (spread(8), True, 8, None),
        (spread(8) * 257, True, 8, None),
    ],
)
def test_values_come_back_whatever_bits_they_have(
    values: Any, grey: bool, bits: int, value_range: tuple[float, float] | None
) -> None:
    notices: list[str] = []
    depth = from_values(values, grey, None, None, notices)
    assert (depth.bits, depth.value_range) == (bits, value_range)
    assert depth.samples.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert depth.samples.max() < 1 << bits
    back = to_values(depth.samples, depth.bits, depth.value_range)
    if bits == 8 and values.max() > 255:
        back = back * np.uint16(257)
    np.testing.assert_array_equal(back, values)
    assert len(notices) == ((values.max() < 16384 and bits < 16) or bits == 8)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_significant_bits_that_the_file_says(bits: int) -> None:
    low = spread(bits)
    filled = (low << 16 - bits) | (low >> (2 * bits - 16))
    depth = from_values(filled, False, None, bits, [])
    assert (depth.bits, depth.value_range) == (bits, None)
    np.testing.assert_array_equal(depth.samples, low)
    np.testing.assert_array_equal(to_values(depth.samples, bits, None) >> 16 - bits, low)
    assert from_values(spread(16), False, None, bits, []).bits == 16  # the values say otherwise


@pytest.mark.parametrize(("white", "bits"), [(1023, 10), (4095, 12), (1000, 16)])
def test_white_that_the_file_says(white: int, bits: int) -> None:
    values = RNG.integers(0, white + 1, (9, 9), dtype=np.uint16)
    values[0, :2] = white, 1
    depth = from_values(values, True, white, None, [])
    assert depth.bits == bits
    assert to_8_bits(depth.samples, depth.bits)[0, 0] == 255


def test_12_bits_in_16_are_not_black() -> None:
    depth = from_values(spread(12), True, None, None, [])
    assert to_8_bits(depth.samples, depth.bits).mean() > 100


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 1.0], (0, 1)),
        ([0.0, 2.0, 255.0], (0, 255)),
        ([0.0, 300.0], (0, 65535)),
        ([-3.0, 70.5], (-3, 70.5)),
        ([7e9, 8e9], (7e9, 8e9)),
        ([-5.0], (-5, np.nextafter(np.float32(-5), np.float32(np.inf)))),
    ],
)
def test_ranges_that_numbers_are_taken_to_have(values: list[float], expected: tuple[float, float]) -> None:
    notices: list[str] = []
    given = np.array([values], np.float32)
    depth = from_numbers(given, None, notices)
    assert (depth.bits, depth.value_range) == (16, expected)
    assert len(notices) == 1
    step = (expected[1] - expected[0]) / 65535
    np.testing.assert_allclose(to_values(depth.samples, 16, depth.value_range), given, atol=step, rtol=1e-6)


def test_a_range_that_was_asked_for() -> None:
    depth = from_numbers(np.array([[0.5, 2.0]], np.float32), (0.0, 2.0), [])
    assert depth.samples.tolist() == [[16384, 65535]]
    with pytest.raises(UnsupportedInput, match=r"from 0.5 to 2 are not within the range 0..1.5"):
        from_numbers(np.array([[0.5, 2.0]], np.float32), (0.0, 1.5), [])
    with pytest.raises(UnsupportedInput, match="NaN or infinite"):
        from_numbers(np.array([[0.5, np.nan]], np.float32), (0.0, 1.5), [])


def test_values_are_integers_where_the_range_makes_them_some() -> None:
    assert to_values(np.array([[7, 1023]], np.uint16), 10, (0.0, 4092.0)).tolist() == [[28, 4092]]
    assert holds_integers(8, (0.0, 255.0))
    assert not holds_integers(16, (0.0, 1.0))
    assert not holds_integers(16, (-1.0, 65534.0))
    assert to_values(np.array([[0, 65535]], np.uint16), 16, (-1.0, 1.0)).dtype == np.float32
