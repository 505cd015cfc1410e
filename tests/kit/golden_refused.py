"""Files that every reader refuses, one reason each; the rest of each is right, checksums and index too."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aez.codec.bundle.bundle import Bundle
from aez.codec.container.deflate import deflate
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.varint import write_varint
from aez.codec.errors import AezError, CorruptFile, ModelError, TruncatedFile, VersionError
from aez.codec.exact.samples import encode_samples, encode_with_alpha
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ImageModel
from aez.codec.image.tiles import encode_tile_pixels
from tests.kit.tiny_pictures import photo

PIXELS = photo(12, 20)
SIGNATURE = b"\x89AEZ\r\n\x1a\x02"
Made = tuple[type[AezError], bytes]


def framed(letter: str, payload: bytes) -> bytes:
    body = letter.encode() + write_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def ended(chunks: list[bytes]) -> bytes:
    index = b"".join(chunk[:1] + write_varint(len(chunk)) for chunk in chunks[1:])
    end = framed("E", index)
    return SIGNATURE + b"".join(chunks) + end + (len(end) + 8).to_bytes(4, "little") + b"AEZ\x1a"


def exact(form: int = 0, step: int = 1, **changed: Any) -> bytes:
    """A tile of exact samples of `PIXELS`, with other bytes in places."""
    whole = encode_samples(changed.get("pixels", PIXELS), 8)
    checksum = changed.get("checksum", whole[:4])
    return b"\1" + checksum + write_varint(step) + bytes([form]) + changed.get("indices", whole[6:])


class _Parts:
    """A right file in parts that are changed one at a time."""

    def __init__(self, g: Bundle) -> None:
        self.id = bytes.fromhex(g.id)[:8]
        header = ImageHeader(20, 12, "RGB", 1000, self.id, 64)
        self.learned = encode_tile_pixels(ImageModel(g, "cpu", 1), PIXELS, header, 0)

    def file(
        self, tile: bytes | None = None, header: bytes | None = None, extras: list[bytes] | None = None, **fields: Any
    ) -> bytes:
        said: dict[str, Any] = {
            "width": 20,
            "height": 12,
            "mode": "RGB",
            "level": 1000,
            "model_id": self.id,
            "tile": 64,
        }
        payload = ImageHeader(**{**said, **fields}).pack() if header is None else header
        content = b"\0" + (exact() if tile is None else tile)
        return ended([framed("H", payload), *(extras or []), framed("T", content)])

    def symbols(self, change: Callable[[bytes], bytes]) -> bytes:
        return self.file(b"\0" + change(self.learned[1:]))


def _framing(p: _Parts) -> dict[str, Made]:
    whole = p.file()
    header, tile = framed("H", ImageHeader(20, 12, "RGB", 0, p.id, 64).pack()), framed("T", b"\0" + exact())
    plain = ImageHeader(20, 12, "RGB", 1000, p.id, 64).pack()
    wide = framed("H", ImageHeader(20, 12, "RGB", 0, p.id, 16).pack())
    two = [
        framed("T", bytes([number]) + exact(pixels=part))
        for number, part in enumerate((PIXELS[:, :16], PIXELS[:, 16:]))
    ]
    return {
        "signature": (CorruptFile, b"\x88" + whole[1:]),
        "version_3": (VersionError, whole[:7] + b"\3" + whole[8:]),
        "cut_off": (TruncatedFile, whole[:-1]),
        "cut_in_a_tile": (TruncatedFile, whole[:60]),
        "bytes_behind": (CorruptFile, whole + b"\0"),
        "checksum_of_a_chunk": (CorruptFile, whole.replace(tile, tile[:-1] + bytes([tile[-1] ^ 1]))),
        "index_of_another_file": (
            CorruptFile,
            SIGNATURE + header + tile + framed("E", b"T\x05") + (16).to_bytes(4, "little") + b"AEZ\x1a",
        ),
        "unknown_upper_case_chunk": (VersionError, p.file(extras=[framed("Q", b"")])),
        "two_of_a_chunk": (CorruptFile, p.file(extras=[framed("m", deflate(b"a"))] * 2)),
        "metadata_behind_a_tile": (CorruptFile, ended([wide, two[0], framed("m", deflate(b"a")), two[1]])),
        "tiles_in_another_order": (CorruptFile, ended([wide, two[1], two[0]])),
        "a_tile_too_few": (CorruptFile, ended([wide, two[0]])),
        "deflate_goes_on": (CorruptFile, p.file(extras=[framed("m", deflate(b"a") + b"\0")])),
        "deflate_does_not_end": (CorruptFile, p.file(extras=[framed("m", deflate(b"a" * 99)[:-1])])),
        "kind_array": (VersionError, p.file(header=b"\1" + plain[1:])),
        "kind_series": (VersionError, p.file(header=b"\2" + plain[1:])),
        "pixel_mode_4": (VersionError, p.file(header=b"\x40" + plain[1:])),
        "reserved_field": (VersionError, p.file(header=plain[:1] + b"\x80" + plain[2:])),
        "padded_number": (CorruptFile, p.file(header=plain[:2] + b"\x94\0" + plain[3:])),
        "a_byte_behind_the_header": (CorruptFile, p.file(header=plain + b"\0")),
        "width_0": (CorruptFile, p.file(header=plain[:2] + b"\0" + plain[3:])),
        "tile_of_2064_pixels": (CorruptFile, p.file(header=plain[:-1] + b"\x81\1")),
        "bits_8_said": (CorruptFile, p.file(header=plain[:1] + b"\x08" + plain[2:] + b"\x08")),
        "bits_17": (CorruptFile, p.file(header=plain[:1] + b"\x08" + plain[2:] + b"\x11")),
        "range_upside_down": (CorruptFile, p.file(header=plain[:1] + b"\x20" + plain[2:] + struct.pack("<2f", 1, 0))),
        "profile_beside_code_points": (CorruptFile, p.file(extras=[framed("i", deflate(b"a"))], cicp=(1, 13, 1))),
    }


def _tiles(p: _Parts, g: Bundle) -> dict[str, Made]:
    small = encode_samples(PIXELS[:, :19], 8)
    high = encode_samples(np.full_like(PIXELS, 200), 8)
    mask = write_varint(3) + deflate(b"\xff")
    return {
        "empty_tile": (CorruptFile, p.file(b"")),
        "kind_9": (VersionError, p.file(b"\x09")),
        "form_5": (VersionError, p.file(exact(form=5))),
        "step_0": (CorruptFile, p.file(exact(step=0))),
        "step_257": (CorruptFile, p.file(exact(step=257))),
        "checksum_of_samples": (CorruptFile, p.file(exact(checksum=bytes(4)))),
        "picture_of_another_size": (CorruptFile, p.file(exact(indices=small[6:]))),
        "no_vp8l": (CorruptFile, p.file(exact(indices=b"RIFF" + bytes(20)))),
        "index_beyond_the_last": (CorruptFile, p.file(exact(step=2, indices=high[6:]))),
        "mask_beyond_the_tile": (CorruptFile, p.file(b"\2" + mask + write_varint(4) + bytes(4) + p.learned[1:])),
        "symbols_checksum": (CorruptFile, p.symbols(lambda data: bytes(4) + data[4:])),
        "a_word_too_many": (CorruptFile, p.symbols(lambda data: data + b"\1\0\0\0")),
        "half_a_word": (CorruptFile, p.symbols(lambda data: data + b"\1\0")),
        "last_word_zero": (CorruptFile, p.symbols(lambda data: data + bytes(4))),
        "an_escape_too_many": (CorruptFile, p.symbols(lambda data: data[:4] + b"\1\0" + data[5:])),
        "level_2049": (CorruptFile, p.file(p.learned, level=2049)),
        "model_that_is_not_here": (ModelError, p.file(p.learned, model_id=b"\1" * 8)),
        "no_model_said": (ModelError, p.file(p.learned, model_id=bytes(8))),
        "embedded_model_of_another_id": (
            ModelError,
            p.file(p.learned, model_id=b"\1" * 8, extras=[framed("M", g.decoding_half())]),
        ),
    }


def _alphas(p: _Parts) -> dict[str, Made]:
    plane = PIXELS[:, :, :1]
    alone, whole = encode_samples(plane, 8), exact()
    together = encode_with_alpha(PIXELS, plane[:, :, 0])

    def tile(alpha: bytes, rest: bytes) -> bytes:
        return p.file(rest[:1] + write_varint(len(alpha)) + alpha + rest[1:], mode="RGBA")

    return {
        "alpha_beyond_the_tile": (CorruptFile, p.file(b"\1" + write_varint(9999) + alone, mode="RGBA")),
        "alpha_of_another_size": (CorruptFile, tile(encode_samples(plane[:, :19], 8), whole)),
        "alpha_checksum": (CorruptFile, tile(bytes(4) + alone[4:], whole)),
        "alpha_twice": (CorruptFile, tile(alone, b"\1" + together)),
        "alpha_held_without_a_mode": (CorruptFile, p.file(b"\1" + together)),
        "alpha_held_by_alpha": (CorruptFile, tile(encode_with_alpha(plane, plane[:, :, 0]), whole)),
        "alpha_held_by_other_samples": (CorruptFile, tile(b"", b"\1" + together[:5] + b"\0" + together[6:])),
        "alpha_held_by_none": (CorruptFile, tile(b"", b"\1" + whole[1:6] + b"\4" + whole[7:])),
    }


def _bundles(example: Bundle) -> dict[str, Made]:
    """Of the example of FORMAT.md."""
    with zipfile.ZipFile(io.BytesIO(example.to_bytes())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["manifest.json"].decode()

    def zipped(method: int = zipfile.ZIP_STORED, **changed: bytes) -> Made:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in {**members, **{key.replace("_", "."): value for key, value in changed.items()}}.items():
                if data:
                    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, method)
        return ModelError, buffer.getvalue()

    return {
        "member_changed": zipped(a_npy=members["a.npy"][:-1] + b"\4"),
        "member_missing": zipped(a_npy=b""),
        "member_not_listed": zipped(b_npy=members["a.npy"]),
        "member_compressed": zipped(zipfile.ZIP_DEFLATED),
        "member_of_another_name": zipped(a_txt=b"a"),
        "manifest_number_spelled_otherwise": zipped(manifest_json=text.replace("100.0", "1e2").encode()),
        "manifest_name_twice": zipped(manifest_json=text.replace('"name":', '"name": "a", "name":', 1).encode()),
        "manifest_format_2": zipped(manifest_json=text.replace('"format": 1', '"format": 2').encode()),
    }


def verdict(path: Path, model: Path) -> AezError | None:
    """What reading a file of either kind raises."""
    try:
        data = path.read_bytes()
        if path.suffix == ".aezm":
            Bundle.open(data)
        else:
            decode_picture(data, model=None if b"PK\3\4" in data else model, device="cpu", threads=1)
    except AezError as error:
        return error
    return None


def write_all(folder: Path, g: Bundle) -> None:
    """Write all files, and what refuses them."""
    folder.mkdir(exist_ok=True)
    p = _Parts(g)
    made = {f"{name}.aez": one for name, one in {**_framing(p), **_tiles(p, g), **_alphas(p)}.items()}
    made |= {f"{name}.aezm": one for name, one in _bundles(Bundle.open(folder.parent / "example.aezm")).items()}
    entries = []
    for name, (error, data) in made.items():
        path = folder / name
        if not path.exists():
            path.write_bytes(data)
        raised = verdict(path, folder.parent / "golden.aezm")
        assert type(raised) is error, (name, raised)
        entries.append({"file": name, "error": error.__name__, "code": error.exit_code, "aez_says": str(raised)})
    text = ",\n".join(" " + json.dumps(entry) for entry in entries)
    (folder / "refused.json").write_text(f"[\n{text}\n]\n")
