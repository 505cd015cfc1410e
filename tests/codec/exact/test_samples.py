"""Exact samples: nothing beyond the bound, by this decoder and by a second one; and what damaged ones end in."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aez.codec.container.varint import write_varint
from aez.codec.errors import CorruptFile, InvalidArgument, VersionError
from aez.codec.exact.samples import Form, bound_of, decode_samples, encode_samples, quantize, step_of, step_within
from aez.codec.exact.shapes import copy_shapes, find_shapes, pack_boxes, unpack_boxes, without_copies
from aez.codec.exact.vp8l import from_vp8l, to_vp8l
from tests.kit.reference_samples import exact_samples
from tests.kit.tiny_pictures import photo

Samples = NDArray[Any]


def signs(channels: int = 3, high: int = 255) -> Samples:
    """A page of a few signs, some of which touch another's box, on two grounds."""
    rng = np.random.default_rng(5)
    page = np.full((96, 128, 3), high, np.uint16 if high > 255 else np.uint8)
    page[64:] = high // 3
    drawn = [rng.integers(0, high // 4, (int(rng.integers(6, 12)), int(rng.integers(4, 9)), 3)) for _ in range(5)]
    for top in range(2, 84, 13):
        left = 3
        while left < 116:
            sign = drawn[int(rng.integers(0, len(drawn)))]
            page[top : top + len(sign), left : left + sign.shape[1]] = sign
            left += sign.shape[1] + int(rng.integers(1, 5))
    return page[:, :, :channels]


RNG = np.random.default_rng(21)


def deep(bits: int, height: int = 31, width: int = 40) -> Samples:
    wide = photo(height, width).astype(np.uint32) * ((1 << bits) - 1) // 255
    return (wide + RNG.integers(0, 2, wide.shape)).clip(0, (1 << bits) - 1).astype(np.uint16)


PICTURES: dict[str, tuple[Samples, int]] = {
    "photo": (photo(31, 40), 8),
    "grey": (photo(31, 40)[:, :, :1], 8),
    "noise": (RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8), 8),
    "1 bit": (RNG.integers(0, 2, (33, 17, 1)).astype(np.uint8) * 255, 8),
    "palette": (RNG.integers(0, 13, (33, 17, 1)).astype(np.uint8).repeat(3, axis=2) * 19, 8),
    "one pixel": (np.full((1, 1, 3), 200, np.uint8), 8),
    "10 bits": (deep(10), 10),
    "16 bits": (deep(16), 16),
    "16 bits grey": (deep(16)[:, :, :1], 16),
    "signs": (signs(), 8),
    "grey signs": (signs(1), 8),
    "deep signs": (signs(3, 4095), 12),
    "few deep values": (RNG.integers(0, 200, (20, 20, 1)).astype(np.uint16) * 300, 16),
}


@pytest.mark.parametrize("bound", [0, 1, 2, 7])
@pytest.mark.parametrize("name", PICTURES)
def test_no_sample_is_beyond_the_bound_by_either_decoder(name: str, bound: int) -> None:
    samples, bits = PICTURES[name]
    step = step_within(bound)
    data = encode_samples(samples, bits, step)
    decoded = decode_samples(data, *samples.shape, bits)
    assert decoded.dtype == samples.dtype
    assert np.abs(decoded.astype(np.int32) - samples.astype(np.int32)).max() <= bound == bound_of(step)
    assert np.array_equal(decoded, quantize(samples, step, bits))
    assert decoded.reshape(-1, samples.shape[2]).tolist() == exact_samples(data, samples.shape[2], bits)
    assert step_of(data) == step


@pytest.mark.parametrize("step", [2, 6, 255, 256])
def test_even_and_huge_steps(step: int) -> None:
    samples = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    decoded = decode_samples(encode_samples(samples, 8, step), 16, 16, 1, 8)
    assert np.abs(decoded.astype(int) - samples.astype(int)).max() <= step // 2


def test_every_form_is_taken_where_it_suits() -> None:
    forms = {name: encode_samples(samples, bits)[5] for name, (samples, bits) in PICTURES.items()}
    assert forms["photo"] == Form.PICTURE
    assert forms["16 bits"] == Form.HALVES
    assert forms["few deep values"] == Form.LISTED
    assert {forms[name] for name in ("signs", "grey signs", "deep signs")} == {Form.SHAPES}


def test_what_occurs_again_is_kept_once() -> None:
    page = signs()
    boxes = find_shapes(page.astype(np.int32))
    assert len({box.shape for box in boxes}) < 25 < len(boxes)
    once = without_copies(page.astype(np.int32), boxes)
    assert len(to_vp8l(once.astype(np.uint8))) < len(to_vp8l(page)) // 2
    copy_shapes(once, boxes)
    assert np.array_equal(once, page)
    assert unpack_boxes(pack_boxes(boxes), *page.shape[:2]) == boxes
    assert not find_shapes(photo(96, 128).astype(np.int32))


def test_what_cannot_be_coded_is_refused() -> None:
    for samples, step in ((photo(4, 4)[:, :, 0], 1), (photo(4, 4)[:, :, :2], 1), (photo(4, 4), 0), (photo(4, 4), 257)):
        with pytest.raises(InvalidArgument, match="are coded"):
            encode_samples(samples, 8, step)


def test_a_bit_stream_of_another_size_takes_no_memory() -> None:
    huge = b"\x2f" + ((1 << 14) - 1 | ((1 << 14) - 1) << 14).to_bytes(4, "little") + bytes(40)
    with pytest.raises(CorruptFile, match="16384x16384 pixels, not 8x8"):
        from_vp8l(huge, 8, 8)
    with pytest.raises(CorruptFile, match="4x5 pixels, not 5x4"):
        from_vp8l(to_vp8l(photo(5, 4)), 4, 5)


def listed(packed: bytes, picture: Samples) -> bytes:
    return bytes(4) + write_varint(1) + bytes([Form.LISTED]) + write_varint(len(packed)) + packed + to_vp8l(picture)


def shaped(*numbers: int) -> bytes:
    packed = deflated(bytes(numbers))
    before = bytes(4) + write_varint(1) + bytes([Form.SHAPES]) + write_varint(len(packed)) + packed
    return before + bytes([Form.PICTURE]) + to_vp8l(photo(4, 4))


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("data", "bits", "message"),
    [
        (b"", 8, "no head"),
        (bytes(4) + b"\x01\x00" + to_vp8l(photo(4, 4)), 8, "the checksum"),
        (bytes(4) + b"\x01", 8, "no head"),
        (bytes(4) + b"\x00\x00" + to_vp8l(photo(4, 4)), 8, "step of 0"),
        (bytes(4) + write_varint(257) + b"\x00" + to_vp8l(photo(4, 4)), 8, "step of 257"),
        (bytes(4) + b"\x01\x00", 8, "no VP8L"),
        (bytes(4) + b"\x01\x00" + to_vp8l(photo(4, 4))[:9], 8, "cannot be read"),
        (bytes(4) + b"\x05\x00" + to_vp8l(np.full((4, 4, 3), 60, np.uint8)), 8, "index 60, above 51"),
        (bytes(4) + b"\x01\x01\x09\x2f", 16, "end too early"),
        (shaped(), 8, "list of shapes cannot be read"),
        (shaped(2, 0), 8, "list of shapes cannot be read: it is cut off"),
        (shaped(1, 0, 0, 4, 2, 2, 9), 8, "more bytes than it needs"),
        (shaped(2, 0, 2, 0, 0, 4, 4, 2, 2), 8, "number 2, and 1 were shown"),
        (shaped(1, 0, 0, 10, 2, 2), 8, "outside the tile"),
        (shaped(1, 0, 1, 4, 2, 2), 8, "outside the tile"),
        (shaped(1, 0, 0, 4, 0, 2), 8, "outside the tile"),
        (shaped(5, 0, 1, 1, 1, 1, 0, 7, 7, 7, 7, 8, 0, 0, 0, 0, 4, 4), 8, "4 times the pixels"),
        (shaped(1, 0, 0, 4, 2, 2), 8, "the checksum"),
        (shaped(0)[:-10], 8, "cannot be read"),
        (shaped(0).replace(bytes([Form.PICTURE]) + b"\x2f", bytes([Form.SHAPES]) + b"\x2f"), 8, "behind shapes"),
        (listed(deflated(bytes(1 << 24)), photo(4, 4)), 16, "does not have 8192 bytes"),
        (listed(deflated(b"\xff" * 33)[:-2], photo(4, 4)), 8, "does not have 32 bytes"),
        (listed(b"\xff" * 9, photo(4, 4)), 8, "does not decompress"),
        (listed(deflated(b"\xff" * 8192), photo(4, 4)), 16, "list of 65536 values"),
        (listed(deflated(b"\xc0" + bytes(31)), np.full((4, 4, 3), 2, np.uint8)), 8, "more values than they list"),
    ],
)
def test_damaged_samples_are_refused(data: bytes, bits: int, message: str) -> None:
    with pytest.raises(CorruptFile, match=message):
        decode_samples(data, 4, 4, 3, bits)


def test_an_unknown_form_needs_a_newer_version() -> None:
    with pytest.raises(VersionError, match="form 9"):
        decode_samples(bytes(4) + b"\x01\x09", 4, 4, 3, 8)


def test_changed_bytes_never_end_badly() -> None:
    rng = random.Random(3)
    for samples, bits in PICTURES.values():
        data = encode_samples(samples, bits)
        for _ in range(60):
            changed = bytearray(data)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            try:
                decoded = decode_samples(bytes(changed[: rng.randint(1, len(data))]), *samples.shape, bits)
                assert decoded.shape == samples.shape
            except (CorruptFile, VersionError):
                pass
