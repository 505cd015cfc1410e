"""Samples of 8 to 16 bits to bytes and back: exact, or each within a bound.

What is coded are indices: a sample x becomes floor((x + floor(step / 2)) / step), and the index q stands for
min(q * step, 2^bits - 1), so that no sample is off by more than floor(step / 2). A step of 1 is without loss.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import CorruptFile, InvalidArgument, VersionError
from aez.codec.exact.bits import pack_bits, unpack_bits
from aez.codec.exact.shapes import ShapeBox, copy_shapes, find_shapes, pack_boxes, unpack_boxes, without_copies
from aez.codec.exact.vp8l import from_vp8l, to_vp8l

__all__ = [
    "Form",
    "bound_of",
    "decode_samples",
    "encode_samples",
    "encode_with_alpha",
    "quantize",
    "step_of",
    "step_within",
]

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Indices = NDArray[np.int32]
#: The largest number that one byte of a picture holds.
_OCTET = 255
_CHECKSUM_BYTES = 4


class Form(IntEnum):
    """How indices are written, by the number in files."""

    #: One VP8L picture.
    PICTURE = 0
    #: Two: of the upper and of the lower eight bits.
    HALVES = 1
    #: A list of the indices that occur, at most 256, and a VP8L picture of places in it.
    LISTED = 2
    #: Boxes with shapes that occur several times, and one of the other forms, in which each of them is once.
    SHAPES = 3
    #: A VP8L picture with alpha, which is that of the samples.
    WITH_ALPHA = 4


def step_within(max_error: int) -> int:
    """The largest step whose samples are at most `max_error` off."""
    return 2 * max_error + 1


def bound_of(step: int) -> int:
    """The largest error of a sample."""
    return step // 2


def quantize(samples: Samples, step: int, bits: int) -> Samples:
    """What comes back of samples that are coded with a step."""
    if step == 1:
        return samples
    return _restored(_indices(samples, step), step, bits)


def _indices(samples: Samples, step: int) -> Indices:
    indices: Indices = (samples.astype(np.int32) + step // 2) // step
    return indices


def _restored(indices: Indices, step: int, bits: int) -> Samples:
    """Samples of indices, which are at most 2^16 - 1."""
    top = (1 << bits) - 1
    restored = np.minimum(indices.astype(np.int64) * step, top)
    return restored.astype(np.uint8) if bits == 8 else restored.astype(np.uint16)


def encode_samples(samples: Samples, bits: int, step: int = 1, quick: bool = False) -> bytes:
    """Samples of `bits` 8..16, uint8 or uint16 [height, width, 1 or 3], in the smallest of the forms.

    `quick` bytes are about a tenth more, and good to compare.
    """
    if samples.ndim != 3 or samples.shape[2] not in (1, 3) or not 1 <= step <= 1 << bits:
        raise InvalidArgument(f"samples [height, width, 1 or 3] and a step are coded, not {samples.shape} and {step}")
    indices = _indices(samples, step)
    head = _checksum(_restored(indices, step, bits)) + write_varint(step)
    boxes = find_shapes(indices)
    if not boxes:
        return head + _encode(indices, bits, step, quick)
    packed = pack_boxes(boxes)
    before = bytes([Form.SHAPES]) + write_varint(len(packed)) + packed
    once = without_copies(indices, boxes)
    with_shapes, without = before + _encode(once, bits, step, quick=True), _encode(indices, bits, step, quick=True)
    if quick:
        return head + min(with_shapes, without, key=len)
    return head + (
        before + _encode(once, bits, step) if len(with_shapes) < len(without) else _encode(indices, bits, step)
    )


def encode_with_alpha(samples: NDArray[np.uint8], alpha: NDArray[np.uint8], step: int = 1) -> bytes:
    """Samples [height, width, 1 or 3] of 8 bits together with their alpha [height, width], of which some is no 255."""
    indices = _indices(samples, step)
    restored: NDArray[np.uint8] = np.dstack([_restored(indices, step, 8), alpha]).astype(np.uint8)
    coded = to_vp8l(np.dstack([_in_colour(indices), alpha]))
    return _checksum(restored) + write_varint(step) + bytes([Form.WITH_ALPHA]) + coded


def _encode(indices: Indices, bits: int, step: int, quick: bool = False) -> bytes:
    """Indices in the smallest form without shapes, that form first."""
    if int(indices.max()) <= _OCTET:
        return bytes([Form.PICTURE]) + to_vp8l(_in_colour(indices), quick)
    upper, lower = to_vp8l(_in_colour(indices >> 8), quick), to_vp8l(_in_colour(indices & _OCTET), quick)
    halves = bytes([Form.HALVES]) + write_varint(len(upper)) + upper + lower
    listed = _encode_listed(indices, bits, step, quick)
    return halves if listed is None else min(halves, listed, key=len)


def _checksum(samples: Samples) -> bytes:
    """CRC-32 of samples in raster order, channel by channel in each pixel, little-endian."""
    octets = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).data
    return zlib.crc32(octets).to_bytes(_CHECKSUM_BYTES, "little")


def _in_colour(indices: Indices) -> NDArray[np.uint8]:
    octets = indices.astype(np.uint8)
    return np.repeat(octets, 3, axis=2) if octets.shape[2] == 1 else octets


def _encode_listed(indices: Indices, bits: int, step: int, quick: bool) -> bytes | None:
    """None where more than 256 indices occur."""
    used = np.bincount(indices.reshape(-1), minlength=_index_max(bits, step) + 1) > 0
    if np.count_nonzero(used) > _OCTET + 1:
        return None
    packed = pack_bits(used)
    places = (np.cumsum(used) - 1)[indices].astype(np.int32)
    return bytes([Form.LISTED]) + write_varint(len(packed)) + packed + to_vp8l(_in_colour(places), quick)


def _index_max(bits: int, step: int) -> int:
    return ((1 << bits) - 1 + step // 2) // step


def step_of(data: bytes) -> int:
    """The step of coded samples. Raises CorruptFile."""
    return _head(Fields(data), 16)[1]


def _head(fields: Fields, bits: int) -> tuple[bytes, int, Form]:
    """(checksum, step, form)."""
    try:
        checksum = fields.take(_CHECKSUM_BYTES)
        step = fields.varint()
        (number,) = fields.take(1)
    except ValueError as error:
        raise CorruptFile(f"exact samples have no head: {error}", "tile") from error
    if not 1 <= step <= 1 << bits:
        raise CorruptFile(f"exact samples have a step of {step}, outside 1..{1 << bits}", "tile")
    return checksum, step, _form(number)


def _form(number: int) -> Form:
    try:
        return Form(number)
    except ValueError:
        raise VersionError(f"the file has exact samples of form {number}, which need a newer aez") from None


def decode_samples(
    data: bytes, height: int, width: int, channels: int, bits: int, may_hold_alpha: bool = False
) -> Samples:
    """Samples [height, width, channels] of `encode_samples`; memory is taken for no more than those.

    Those of `encode_with_alpha`, which 8 bits alone may be, have alpha as one channel more. Raises CorruptFile,
    VersionError for a form that is not known.
    """
    fields = Fields(data)
    checksum, step, form = _head(fields, bits)
    top = _index_max(bits, step)
    boxes: list[ShapeBox] = []
    try:
        if form == Form.SHAPES:
            boxes = unpack_boxes(fields.take(fields.varint()), height, width)
            form = _form(*fields.take(1))
            if form in (Form.SHAPES, Form.WITH_ALPHA):
                raise CorruptFile(f"exact samples have form {form} behind shapes", "tile")
        if form == Form.WITH_ALPHA and not (may_hold_alpha and bits == 8):
            raise CorruptFile("exact samples hold alpha where there is none", "tile")
        indices = _decode(fields, form, (height, width, channels), top)
    except ValueError as error:
        raise CorruptFile(f"exact samples end too early: {error}", "tile") from error
    colours = indices[:, :, :channels]
    if int(colours.max()) > top:
        raise CorruptFile(f"exact samples have the index {int(colours.max())}, above {top}", "tile")
    copy_shapes(indices, boxes)
    samples = _restored(colours, step, bits)
    if form == Form.WITH_ALPHA:
        samples = np.dstack([samples, indices[:, :, channels]]).astype(np.uint8)
    if _checksum(samples) != checksum:
        raise CorruptFile("exact samples do not have the checksum that they should", "tile")
    return samples


def _decode(fields: Fields, form: Form, shape: tuple[int, int, int], top: int) -> Indices:
    """Indices of a form without shapes, and alpha behind them where it holds that.

    Raises CorruptFile, ValueError where fields end.
    """
    if form == Form.PICTURE:
        return _from_colour(fields.take(fields.rest), *shape)
    if form == Form.WITH_ALPHA:
        picture = from_vp8l(fields.take(fields.rest), shape[0], shape[1], alpha=True)
        return (picture[:, :, 1::2] if shape[2] == 1 else picture).astype(np.int32)
    if form == Form.HALVES:
        upper = _from_colour(fields.take(fields.varint()), *shape)
        return upper << 8 | _from_colour(fields.take(fields.rest), *shape)
    listed = _listed(fields.take(fields.varint()), top)
    places = _from_colour(fields.take(fields.rest), *shape)
    if int(places.max()) >= listed.size:
        raise CorruptFile("exact samples name more values than they list", "tile")
    indices: Indices = listed[places]
    return indices


def _from_colour(data: bytes, height: int, width: int, channels: int) -> Indices:
    picture = from_vp8l(data, height, width)
    return (picture[:, :, 1:2] if channels == 1 else picture).astype(np.int32)


def _listed(packed: bytes, top: int) -> Indices:
    """The indices up to `top` that occur, ascending. Raises CorruptFile."""
    listed: Indices = np.flatnonzero(unpack_bits(packed, top + 1, "the list of values", "its range")).astype(np.int32)
    if not 1 <= listed.size <= _OCTET + 1:
        raise CorruptFile(f"a list of {listed.size} values is not one of 1..{_OCTET + 1}", "tile")
    return listed
