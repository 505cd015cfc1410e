"""ICC profiles that say no more than a matrix and curves: read, and made in a few hundred bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CURVE_SAMPLES", "D50", "Profile", "adapted_to_d50", "make_profile", "parse_profile", "space_of"]

Floats = NDArray[np.float64]
#: Curves are compared and applied by so many samples over 0..1.
CURVE_SAMPLES = 4096
D50 = np.array([0.96420288, 1.0, 0.82490540])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_HEADER, _TAG_MAX = 128, 200
_FIXED = 65536
#: Parameters of a `parametricCurveType` by its function.
_PARAMETERS = (1, 3, 4, 5, 7)


@dataclass(frozen=True)
class Profile:
    """What a profile says. `space` is its colour space in four letters; `cicp` its code points where it has them.

    `matrix` has the D50 XYZ of red, green and blue as columns, `curves` the linear value of CURVE_SAMPLES codes over
    0..1 for each channel: both None where the profile works by tables.
    """

    space: str
    cicp: tuple[int, int, int] | None
    matrix: Floats | None
    curves: tuple[Floats, ...] | None


def space_of(icc: bytes) -> str | None:
    """The colour space of a profile in four letters; None for what is no profile."""
    if len(icc) < _HEADER + 4 or icc[36:40] != b"acsp":
        return None
    return icc[16:20].decode("latin-1")


def parse_profile(icc: bytes) -> Profile | None:
    """What is simple in a profile; None for what is no profile, or a damaged one."""
    space = space_of(icc)
    if space is None:
        return None
    try:
        tags = _tags(icc)
        matrix, curves = None, None
        if icc[20:24] == b"XYZ " and not any(name[:3] in (b"A2B", b"D2B") for name in tags):
            if space == "RGB " and all(name in tags for name in (b"rXYZ", b"gXYZ", b"bXYZ")):
                matrix = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
                curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
            elif space == "GRAY":
                curves = (_curve(tags[b"kTRC"]),)
        return Profile(space, _code_points(tags.get(b"cicp")), matrix, curves)
    except (struct.error, KeyError, ValueError, IndexError):
        return None


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, _HEADER)
    if count > _TAG_MAX:
        raise ValueError(f"{count} tags")
    found = {}
    for number in range(count):
        name, start, size = struct.unpack_from(">4sII", icc, _HEADER + 4 + 12 * number)
        if start + size > len(icc):
            raise ValueError("a tag is cut off")
        found[name] = icc[start : start + size]
    return found


def _code_points(tag: bytes | None) -> tuple[int, int, int] | None:
    return (tag[8], tag[9], tag[11]) if tag is not None and tag[:4] == b"cicp" and tag[11] <= 1 else None


def _xyz(tag: bytes) -> Floats:
    return np.array(struct.unpack_from(">3i", tag, 8), np.float64) / _FIXED


def _curve(tag: bytes) -> Floats:
    """Linear values of CURVE_SAMPLES codes."""
    x = np.linspace(0, 1, CURVE_SAMPLES)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        values = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        return x ** (values[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError(f"a curve of type {tag[:4]!r}")
    (function,) = struct.unpack_from(">H", tag, 8)
    p = np.array(struct.unpack_from(f">{_PARAMETERS[function]}i", tag, 12), np.float64) / _FIXED
    g, a, b, c, d, e, f = (float(p[at]) if at < len(p) else 0.0 for at in range(7))
    if function == 0:
        return np.asarray(x**g)
    power = np.maximum(a * x + b, 0) ** g
    if function == 1:
        return np.where(a * x + b >= 0, power, 0)
    if function == 2:
        return np.where(a * x + b >= 0, power + c, c)
    return np.where(x >= d, power + e, c * x + f)


def adapted_to_d50(xyz: Floats, white: Floats) -> Floats:
    """XYZ [3, ...] under the light `white` as they look under D50 (Bradford)."""
    scale = np.diag((_BRADFORD @ D50) / (_BRADFORD @ white))
    adapted: Floats = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ xyz
    return adapted


def make_profile(name: str, curve: bytes, matrix: Floats | None, cicp: tuple[int, int, int] | None = None) -> bytes:
    """A display profile with one `curve` (a `curv` or `para` tag) for all channels; without a `matrix`, of grey."""
    space = b"GRAY" if matrix is None else b"RGB "
    tags = {b"desc": _text(name), b"cprt": _text("CC0"), b"wtpt": _xyz_tag(D50)}
    if matrix is None:
        tags[b"kTRC"] = curve
    else:
        tags |= {letter + b"XYZ": _xyz_tag(matrix[:, at]) for at, letter in enumerate((b"r", b"g", b"b"))}
        tags |= {letter + b"TRC": curve for letter in (b"r", b"g", b"b")}
    if cicp is not None:
        tags[b"cicp"] = b"cicp" + bytes(4) + bytes([cicp[0], cicp[1], 0, cicp[2]])
    body = bytearray()
    table = b""
    begin = _HEADER + 4 + 12 * len(tags)
    placed: dict[bytes, int] = {}
    for letters, content in tags.items():
        if content not in placed:
            placed[content] = begin + len(body)
            body += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", letters, placed[content], len(content))
    head = struct.pack(">I4sI4s4s4s", begin + len(body), b"", 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz_tag(D50)[8:]
    return head + bytes(_HEADER - len(head)) + struct.pack(">I", len(tags)) + table + bytes(body)


def _text(text: str) -> bytes:
    letters = text.encode("utf-16-be")
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(letters), 28) + letters


def _xyz_tag(xyz: Floats) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * _FIXED) for value in xyz))
