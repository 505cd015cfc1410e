"""Samples above 8 bits: how many bits values really have, and values of any kind as samples and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import UnsupportedInput

__all__ = ["Depth", "Samples", "from_numbers", "from_values", "holds_integers", "to_8_bits", "to_values"]

Samples = NDArray[np.uint8] | NDArray[np.uint16]
_TOP = 65535
#: Bits that cameras, scanners and microscopes store in the lower part of 16; colour is judged with more care.
_LOW_BITS = {True: (10, 12, 14), False: (10, 12)}
#: Ranges that floating-point pictures without one are taken to have, if their values lie within.
_USUAL_RANGES = ((0.0, 1.0), (0.0, 255.0), (0.0, 65535.0))


@dataclass(frozen=True)
class Depth:
    """`samples` of `bits` 8..16, uint8 or uint16; `value_range`: what the samples 0 and 2^bits - 1 stand for."""

    samples: Samples
    bits: int
    value_range: tuple[float, float] | None = None


def from_values(
    values: NDArray[np.uint16], grey: bool, white: int | None, significant: int | None, notices: list[str]
) -> Depth:
    """16-bit values with the bits that they really have: fewer, where the file or all of the values say so.

    `white` is the value of white and `significant` the bits, where the file tells.
    """
    top = int(values.max())
    if white is not None:
        bits = (white + 1).bit_length() - 1
        if white + 1 == 1 << bits and bits > 8 and top <= white:
            return Depth(values, bits)
        return from_values(_scaled(np.minimum(values, white), white, _TOP), grey, None, None, notices)
    if bool((values % 257 == 0).all()):
        notices.append("its 16 bits a channel hold 8, and are kept as 8")
        return Depth((values // 257).astype(np.uint8), 8)
    if significant is not None and significant > 8:
        upper = values >> np.uint16(16 - significant)
        if _is_filled(values, upper, significant):
            return Depth(upper, significant)
    if top < 256:
        notices.append(f"its 16-bit values up to {top} are kept as 8 bits of 0..255")
        return Depth(values.astype(np.uint8), 8)
    container = next((bits for bits in _LOW_BITS[grey] if top < 1 << bits), 16)
    if container < 16:
        notices.append(f"its 16-bit values up to {top} are kept as {container} bits of 0..{(1 << container) - 1}")
    used = int(np.bitwise_or.reduce(values, axis=None))
    unused = min((used & -used).bit_length() - 1, container - 9)  # lower bits that are zero everywhere
    if container == 16 and unused < 2:
        return Depth(values, 16)
    bits = container - unused
    return Depth(values >> np.uint16(unused), bits, (0.0, float(((1 << bits) - 1) << unused)))


def _is_filled(values: NDArray[np.uint16], upper: NDArray[np.uint16], bits: int) -> bool:
    """Whether the lower bits repeat the upper ones, scale them, or are zero: they say nothing more."""
    shift = 16 - bits
    repeated = upper.astype(np.uint32) << shift | upper.astype(np.uint32) >> (2 * bits - 16)
    return any(np.array_equal(values, one) for one in (repeated, upper << shift, _scaled(upper, (1 << bits) - 1, _TOP)))


def from_numbers(values: NDArray[Any], value_range: tuple[float, float] | None, notices: list[str]) -> Depth:
    """Floating-point numbers or integers as 16 bits over a range.

    Without one it is 0..1, 0..255 or 0..65535 if all values lie within, or else from the least to the largest. Raises
    UnsupportedInput for numbers that are none, and values outside the range.
    """
    least, most = float(values.min()), float(values.max())
    if not np.isfinite([least, most]).all():
        raise UnsupportedInput("a floating-point picture with NaN or infinite pixels cannot be encoded")
    if value_range is None:
        fitting = (one for one in _USUAL_RANGES if one[0] <= least and most <= one[1])
        low, high = next(fitting, (least, most))
        if low == high:
            high = float(np.nextafter(np.float32(low), np.float32(np.inf)))
        notices.append(f"its floating-point values are kept as 16 bits of the range {low:g}..{high:g}")
    else:
        low, high = value_range
        if least < low or most > high:
            raise UnsupportedInput(
                f"its values from {least:g} to {most:g} are not within the range {low:g}..{high:g}; give a wider one"
            )
    low, high = float(np.float32(low)), float(np.float32(high))
    scaled = (values.astype(np.float64) - low) * (_TOP / (high - low))
    return Depth(np.rint(np.clip(scaled, 0, _TOP)).astype(np.uint16), 16, (low, high))


def to_values(samples: Samples, bits: int, value_range: tuple[float, float] | None) -> NDArray[Any]:
    """What samples stand for: uint8, uint16 over the whole range where no `value_range` says otherwise, or float32.

    Values are integers too where a range makes each of them one (uint8 if none is above 255).
    """
    top = (1 << bits) - 1
    if value_range is None:
        return samples if bits == 8 else _scaled(samples, top, _TOP)
    low, high = value_range
    step = (high - low) / top
    if holds_integers(bits, value_range):
        return (samples * np.uint32(step) + np.uint32(low)).astype(np.uint8 if high < 256 else np.uint16)
    return (samples * np.float64(step) + low).astype(np.float32)


def holds_integers(bits: int, value_range: tuple[float, float] | None) -> bool:
    """Whether every value is a whole number of 0..65535."""
    if value_range is None:
        return True
    low, high = value_range
    return ((high - low) / ((1 << bits) - 1)).is_integer() and low.is_integer() and low >= 0 and high <= _TOP


def to_8_bits(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """The nearest of 256 levels."""
    return samples.astype(np.uint8) if bits == 8 else _scaled(samples, (1 << bits) - 1, 255).astype(np.uint8)


def _scaled(samples: Samples, top: int, wanted: int) -> NDArray[np.uint16]:
    """Samples of 0..top as those of 0..wanted, rounded."""
    if top == wanted:
        return samples.astype(np.uint16)
    scaled: NDArray[np.uint16] = ((samples.astype(np.uint32) * np.uint32(wanted) + top // 2) // top).astype(np.uint16)
    return scaled
