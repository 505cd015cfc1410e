"""What the numbers of a picture mean as colours: code points, chromaticities with a gamma, or an ICC profile."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.codec.pixels.icc import CURVE_SAMPLES, Profile, adapted_to_d50, make_profile, parse_profile

__all__ = ["SRGB", "Colour", "check_numbers", "of_png_numbers", "of_profile"]

Floats = NDArray[np.float64]
SRGB_POINTS = (1, 13, 1)
#: Chromaticities x, y of white, red, green and blue by their number in H.273.
_D65, _DCI = (0.3127, 0.3290), (0.314, 0.351)
_PRIMARIES = {
    1: (_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    5: (_D65, (0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (_DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_NAMES = {1: "BT.709", 5: "BT.470 BG", 6: "BT.601", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 8: "linear", 13: "sRGB", 16: "PQ", 18: "HLG"}
_PQ, _HLG = 16, 18
#: Transfers with the curve of another one.
_SAME_CURVE = {6: 1, 14: 1, 15: 1}
#: Profiles that differ by less are one: in the matrix (XYZ, white is 1), and in the linear light of a curve.
_MATRIX_NEAR, _CURVE_NEAR = 0.0015, 0.0006
#: Gamma and chromaticities as PNG has them, times 100000.
_SCALE = 100000
_NUMBERS = struct.Struct("<9I")


@dataclass(frozen=True)
class Colour:
    """At most one of `cicp` (primaries, transfer, full range), `numbers` (a `c` chunk) and `icc` is given."""

    cicp: tuple[int, int, int] | None = None
    numbers: bytes | None = None
    icc: bytes | None = None

    def __bool__(self) -> bool:
        """Whether anything is said; else it is sRGB."""
        return not (self.cicp is None and self.numbers is None and self.icc is None)

    @property
    def is_srgb(self) -> bool:
        """Whether it says nothing, or that the colours are sRGB."""
        return not self or self.cicp == SRGB_POINTS

    @property
    def is_hdr(self) -> bool:
        """Whether the numbers stand for light beyond the white of a page (PQ, HLG)."""
        return self.cicp is not None and self.cicp[1] in (_PQ, _HLG)

    def profile(self, grey: bool) -> bytes | None:
        """An ICC profile of the same colours; None where there is nothing to say, or none can say it."""
        return self.icc if self.icc is not None else _made(self.cicp, self.numbers, grey)

    def png_numbers(self) -> tuple[int, tuple[int, ...]] | None:
        """(gamma, the eight chromaticities) as PNG's gAMA and cHRM have them, times 100000."""
        if self.numbers is None:
            return None
        gamma, *points = _NUMBERS.unpack(self.numbers)
        return gamma, tuple(points)

    def describe(self) -> str:
        """In words, for people."""
        if self.cicp is not None:
            primaries, transfer, _ = self.cicp
            if self.cicp == SRGB_POINTS:
                return "sRGB"
            named = _NAMES.get(primaries, f"primaries {primaries}")
            curve = _TRANSFERS.get(_SAME_CURVE.get(transfer, transfer), f"transfer {transfer}")
            return named if (primaries, transfer) == (12, 13) else f"{named}, {curve}"
        if self.numbers is not None:
            return f"gamma {_SCALE / max(1, _NUMBERS.unpack(self.numbers)[0]):.3g} with chromaticities"
        return "sRGB" if self.icc is None else "an ICC profile"


SRGB = Colour(SRGB_POINTS)


def check_numbers(content: bytes) -> bool:
    """Whether the content of a `c` chunk can be meant."""
    if len(content) != _NUMBERS.size:
        return False
    gamma, *points = _NUMBERS.unpack(content)
    return 1000 <= gamma <= 10 * _SCALE and _matrix_of(points) is not None


def of_png_numbers(gamma: float | None, chromaticity: tuple[float, ...] | None) -> Colour:
    """The colours of a PNG with gAMA (the encoding exponent) and cHRM (x, y of white, red, green, blue), or one."""
    primaries = (
        _PRIMARIES[1] if chromaticity is None else tuple(zip(chromaticity[0::2], chromaticity[1::2], strict=True))
    )
    number = (
        0 if chromaticity is None else next((n for n, known in _PRIMARIES.items() if _near(known, primaries)), None)
    )
    if number == 0:
        number = 1
    if number is not None:
        if gamma is None:
            return Colour((number, 13, 1))
        for transfer, exponent in ((4, 1 / 2.2), (5, 1 / 2.8), (8, 1.0)):
            if abs(gamma - exponent) < 2e-5:
                return Colour((number, transfer, 1))
    points = [round(value * _SCALE) for pair in primaries for value in pair]
    exponent = round((1 / 2.2 if gamma is None else gamma) * _SCALE)
    if not all(0 <= value < 1 << 32 for value in (exponent, *points)):
        return Colour()
    content = _NUMBERS.pack(exponent, *points)
    return Colour(numbers=content) if check_numbers(content) else Colour()


def _near(known: tuple[tuple[float, float], ...], given: tuple[tuple[float, float], ...]) -> bool:
    return all(abs(a - b) < 6e-4 for k, g in zip(known, given, strict=True) for a, b in zip(k, g, strict=True))


@functools.lru_cache(maxsize=32)
def of_profile(icc: bytes) -> Colour:
    """What says the same as a profile in the fewest bytes: code points, numbers, or the profile itself."""
    profile = parse_profile(icc)
    if profile is None:
        return Colour(icc=icc)
    if profile.cicp is not None:
        return Colour(profile.cicp)
    if profile.curves is None or any(np.abs(c - profile.curves[0]).max() > _CURVE_NEAR for c in profile.curves):
        return Colour(icc=icc)
    curve = profile.curves[0]
    number = 1 if profile.matrix is None else _primaries_of(profile.matrix)
    transfer = next((t for t in (13, 4, 8, 1, 5) if np.abs(_linear(t) - curve).max() < _CURVE_NEAR), None)
    if number is not None and transfer is not None:
        return Colour((number, transfer, 1))
    gamma = _gamma_of(curve)
    if gamma is None:
        return Colour(icc=icc)
    points = _points_of(profile)
    found = None if points is None else of_png_numbers(1 / gamma, points)
    return found if found is not None and found.numbers is not None else Colour(icc=icc)


def _primaries_of(matrix: Floats) -> int | None:
    return next((n for n in _PRIMARIES if np.abs(_named_matrix(n) - matrix).max() < _MATRIX_NEAR), None)


def _points_of(profile: Profile) -> tuple[float, ...] | None:
    """Chromaticities of the white D50 and the primaries under it."""
    if profile.matrix is None:
        return tuple(value for point in _PRIMARIES[1] for value in point)
    columns = [profile.matrix.sum(axis=1), *profile.matrix.T]
    points: list[float] = []
    for column in columns:
        total = float(column.sum())
        if total <= 0 or column[0] < 0 or column[1] < 0:
            return None
        points += [float(column[0]) / total, float(column[1]) / total]
    return tuple(points)


def _gamma_of(curve: Floats) -> float | None:
    """The exponent of a curve that is one."""
    x = np.linspace(0, 1, CURVE_SAMPLES)
    middle = CURVE_SAMPLES // 2
    if not 0 < curve[middle] < 1:
        return None
    gamma = float(np.log(curve[middle]) / np.log(x[middle]))
    gamma = round(gamma * 256) / 256 if abs(gamma * 256 - round(gamma * 256)) < 0.02 else gamma
    return gamma if 0.2 < gamma < 5 and np.abs(x**gamma - curve).max() < _CURVE_NEAR / 10 else None


def _matrix_of(points: list[int]) -> Floats | None:
    """The D50 matrix of chromaticities times 100000: white, red, green, blue."""
    xy = np.array(points, np.float64).reshape(4, 2) / _SCALE
    if (xy[:, 1] <= 1e-4).any() or xy.max() > 2:
        return None
    xyz = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(axis=1)) / xy[:, 1]])
    white, primaries = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(primaries)) < 1e-6:
        return None
    return adapted_to_d50(primaries * np.linalg.solve(primaries, white), white)


@functools.cache
def _named_matrix(number: int) -> Floats:
    matrix = _matrix_of([round(value * _SCALE) for point in _PRIMARIES[number] for value in point])
    assert matrix is not None
    return matrix


@functools.cache
def _linear(transfer: int) -> Floats:
    """Linear light of CURVE_SAMPLES codes; that of PQ and HLG is 1 at their peak."""
    x = np.linspace(0, 1, CURVE_SAMPLES)
    if transfer == 13:
        return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    if transfer == 1:
        return np.where(x < 0.0812429, x / 4.5, ((x + 0.0992968) / 1.0992968) ** (1 / 0.45))
    if transfer == _PQ:
        power = x ** (32 / 2523)
        return np.asarray((np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (16384 / 2610))
    if transfer == _HLG:
        return np.where(x <= 0.5, x**2 / 3, (np.exp((x - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return np.asarray(x ** {4: 2.2, 5: 2.8, 8: 1.0}[transfer])


@functools.lru_cache(maxsize=64)
def _made(cicp: tuple[int, int, int] | None, numbers: bytes | None, grey: bool) -> bytes | None:
    if numbers is not None:
        gamma, *points = _NUMBERS.unpack(numbers)
        matrix = _matrix_of(points)
        return None if matrix is None else make_profile("gamma", _parametric(_SCALE / gamma), None if grey else matrix)
    if cicp is None:
        return None
    primaries, transfer, full = cicp
    transfer = _SAME_CURVE.get(transfer, transfer)
    if not full or primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return None
    curves = {
        1: _parametric(1 / 0.45, 1 / 1.0992968, 0.0992968 / 1.0992968, 1 / 4.5, 0.0812429),
        13: _parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
        4: _parametric(2.2),
        5: _parametric(2.8),
        8: _parametric(1.0),
    }
    curve = curves.get(transfer) or _table(_linear(transfer))
    name = Colour(cicp).describe()
    return make_profile(name, curve, None if grey else _named_matrix(primaries), cicp)


def _parametric(*parameters: float) -> bytes:
    function = {1: 0, 5: 3}[len(parameters)]
    fixed = [round(value * 65536) for value in parameters]
    return struct.pack(f">4sIHH{len(fixed)}i", b"para", 0, function, 0, *fixed)


def _table(curve: Floats) -> bytes:
    values = np.rint(curve * 65535).astype(">u2")
    return struct.pack(">4sII", b"curv", 0, len(values)) + values.tobytes()
