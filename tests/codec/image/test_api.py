"""Files as programs see them: targets, metadata, models, regions, damage, and headers that lie."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.container.chunks import MODEL, TILE
from aez.codec.container.image_header import EXIF, XMP, ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.writer import Writer
from aez.codec.errors import (
    AezError,
    CorruptFile,
    InvalidArgument,
    ModelError,
    TruncatedFile,
    UnsupportedInput,
    VersionError,
)
from aez.codec.image import api
from aez.codec.image.api import encode_picture
from aez.codec.image.decoded import Decoded
from aez.codec.image.decoding import decode_picture, describe
from aez.codec.image.distortion import psnr
from aez.codec.image.region import MISSING_GREY
from tests.kit.places import ROOT
from tests.kit.tiny_pictures import TINY, altered_bundle, lively, photo, tiny

PIXELS = photo(60, 80)
MODEL_ID = bytes.fromhex(tiny().id)[:8]

#: A tile's checksum, no escapes, no words: it decodes, whatever its size, to symbols that fail the checksum.
NONSENSE = bytes(5)


def encode(image: Any = PIXELS, quality: float | None = None, **options: Any) -> bytes:
    """With the model alone; what tiles are coded as beside it is tested in `test_content`."""
    options = {"content": "photo"} | options
    return encode_picture(image, quality, options.pop("model", tiny()), threads=1, **options).data


def decode(data: bytes, region: Any = None, partial: bool = False, **options: Any) -> Decoded:
    return decode_picture(data, region, partial, model=options.pop("model", tiny()), threads=1, **options)


def pixels_of(data: bytes, **options: Any) -> NDArray[np.uint8]:
    return np.asarray(decode(data, **options).image)


def forge(header: ImageHeader, tiles: Mapping[int, bytes] | None = None, **chunks: bytes) -> bytes:
    """A file with sound checksums around whatever it is given; tiles that are not given have words and no meaning."""
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for letter, content in chunks.items():
        writer.add(letter, content)
    for number in range(header.tiles):
        writer.tile(number, (tiles or {}).get(number, NONSENSE))
    writer.close()
    return stream.getvalue()


def contents(data: bytes) -> tuple[ImageHeader, dict[int, bytes], dict[str, bytes]]:
    """Header, tiles and other chunks of a sound file."""
    reader = Reader(io.BytesIO(data))
    chunks = list(reader.chunks())
    tiles = {chunk.tile: chunk.content for chunk in chunks if chunk.type == TILE}
    return reader.header, tiles, {chunk.type: chunk.content for chunk in chunks if chunk.type != TILE}


# -- what goes in comes out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
@pytest.mark.parametrize("tile", [64, 1024])
def test_modes_come_back(mode: str, tile: int) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, PIXELS.shape[:2], dtype=np.uint8)
    image = Image.fromarray(np.dstack((PIXELS, alpha))).convert(mode)
    decoded = decode(encode(image, 90, tile=tile)).image
    assert (decoded.mode, decoded.size) == (mode, (80, 60))
    if mode.endswith("A"):
        np.testing.assert_array_equal(np.asarray(decoded.getchannel("A")), alpha)
    assert psnr(np.asarray(image.convert("RGB")), np.asarray(decoded.convert("RGB"))) > 30


def test_alpha_of_one_pixel_and_of_a_region() -> None:
    assert decode(encode(np.array([[[9, 9, 9, 7]]], np.uint8))).image.getpixel((0, 0))[3] == 7  # type: ignore[index]
    rgba = np.dstack((PIXELS, PIXELS[:, :, 0]))
    part = decode(encode(rgba, tile=64), region=(50, 10, 20, 40)).image
    np.testing.assert_array_equal(np.asarray(part)[:, :, 3], rgba[10:50, 50:70, 3])


def test_metadata_comes_back_or_is_left_out() -> None:
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    given = {"exif": exif.tobytes(), "icc_profile": bytes(range(256)) * 9, "xmp": b"<x:xmpmeta/>"}
    image.info.update(given)
    decoded = decode(encode(image)).image
    assert {key: decoded.info[key] for key in given} == given
    assert decoded.getexif()[0x0112] == 6
    assert decoded.size == image.size
    stripped = decode(encode(image, strip="exif,xmp,icc")).image
    assert set(stripped.info) == {"exif"}  # which has the orientation alone
    assert dict(stripped.getexif()) == {0x0112: 6}
    region = decode(encode(image), region=(0, 0, 5, 5)).image
    assert region.info["icc_profile"] == given["icc_profile"]


def test_notices_are_handed_on() -> None:
    assert "CMYK is converted to RGB" in encode_picture(Image.new("CMYK", (20, 20)), model=tiny()).notices


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert encode(tile=64) == encode(tile=64) == encode(Image.fromarray(PIXELS), tile=64)


def test_the_front_door(tmp_path: Path) -> None:
    data = aez.encode(PIXELS, 60, TINY, tile=64)
    assert data == encode(quality=60, tile=64)
    path = tmp_path / "picture.aez"
    path.write_bytes(data)
    expected = pixels_of(data)
    np.testing.assert_array_equal(np.asarray(aez.decode(data, model=tiny())), expected)
    np.testing.assert_array_equal(np.asarray(aez.open(path, model=str(TINY))), expected)
    assert aez.info(data)["width"] == 80
    assert aez.load(TINY).id == aez.load(tiny()).id == aez.load(TINY.read_bytes()).id


def test_progress_counts_tiles() -> None:
    seen: list[tuple[int, int]] = []
    data = encode(photo(100, 150), tile=64, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]
    seen.clear()
    decode(data, region=(60, 0, 10, 10), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 81, 5), (79, 59, 2, 1), (0, 0, 0, 5), (5, 5, 5, -1), (1, 2)])
def test_regions_outside_the_picture(region: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="region"):
        decode(encode(), region=region)


@pytest.mark.parametrize("options", [{"tile": 100}, {"tile": 16}, {"device": "gpu"}, {"threads": 0}])
def test_arguments_that_do_not_exist(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        encode_picture(PIXELS, model=tiny(), **options)


# -- targets ----------------------------------------------------------------------------------------------------------


def test_size_and_fidelity_grow_with_quality() -> None:
    files = [encode_picture(PIXELS, quality, tiny()) for quality in (1, 10, 25, 50, 75, 90, 100)]
    assert all(low.bpp < high.bpp for low, high in itertools.pairwise(files))
    reached = [psnr(PIXELS, pixels_of(file.data)) for file in files]
    assert all(low < high for low, high in itertools.pairwise(reached))
    assert files[0].bpp == 8 * len(files[0].data) / (60 * 80)


@pytest.mark.parametrize("limit", [700, 1000, 1001, 2000, 10**9])
@pytest.mark.parametrize("tile", [64, 1024])
def test_max_bytes_is_not_exceeded_and_used(limit: int, tile: int) -> None:
    encoded = encode_picture(PIXELS, model=tiny(), max_bytes=limit, tile=tile)
    assert len(encoded.data) <= limit
    if limit == 10**9:
        assert encoded.quality == 100
    else:
        level = Reader(io.BytesIO(encoded.data)).header.level
        finer = encode_picture(PIXELS, 1 + (level + 1) / 2048 * 99, tiny(), tile=tile)
        assert len(encoded.data) >= 0.995 * limit or len(finer.data) > limit


@pytest.mark.parametrize("bpp", [1.2, 2.5, 1e305])
def test_bpp_counts_the_whole_file(bpp: float) -> None:
    image = Image.fromarray(PIXELS)
    image.info["icc_profile"] = np.random.default_rng(0).bytes(60)  # it does not compress
    encoded = encode_picture(image, model=tiny(), bpp=bpp)
    assert encoded.bpp <= bpp
    assert encoded.bpp > 0.95 * bpp or encoded.quality == 100


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("target", [-5, 30.0, 33.3])
def test_psnr_is_reached_and_hardly_exceeded(mode: str, target: float) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    source = np.asarray(image.convert("RGB"))
    encoded = encode_picture(image, model=tiny(), psnr=target)
    reached = psnr(source, np.asarray(decode(encoded.data).image.convert("RGB")))
    assert reached >= target
    if encoded.quality > 1 and reached > target + 0.05:
        coarser = encode_picture(image, encoded.quality - 99 / 2048, tiny())
        assert psnr(source, np.asarray(decode(coarser.data).image.convert("RGB"))) < target


@pytest.mark.parametrize(
    "target",
    [
        {"max_bytes": 10},
        {"max_bytes": 0},
        {"max_bytes": -5},
        {"bpp": 0.001},
        {"bpp": 0.0},
        {"bpp": -1.0},
        {"bpp": float("nan")},
        {"bpp": float("inf")},
        {"psnr": 99.0},
        {"psnr": float("inf")},
        {"psnr": float("nan")},
        {"quality": 0.99},
        {"quality": 101},
        {"quality": float("nan")},
        {"quality": 50, "bpp": 1.0},
        {"psnr": 30.0, "max_bytes": 5000},
    ],
)
def test_targets_that_cannot_be_met(target: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_picture(PIXELS, model=tiny(), **target)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_file_with_its_model_needs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = encode(np.dstack((PIXELS, PIXELS[:, :, 0])), embed_model=True, tile=64)
    expected = pixels_of(data)
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path))
    found = decode_picture(data).image
    np.testing.assert_array_equal(np.asarray(found), expected)
    bundle = Bundle.open(contents(data)[2][MODEL], half=True)
    assert bundle.half
    assert bundle.id == tiny().id
    assert "analysis.onnx" not in bundle.members
    assert describe(data)["model"] == {"id": tiny().id[:16], "name": None, "embedded": True}


def test_the_model_is_found_by_the_id_in_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = encode()
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=f"no model {tiny().id[:16]}"):
        decode_picture(data)
    (tmp_path / "any-name.aezm").write_bytes(TINY.read_bytes())
    np.testing.assert_array_equal(np.asarray(decode_picture(data).image), pixels_of(data))
    assert describe(data)["model"]["name"] == "tiny"


def test_another_model_than_the_file_needs(tmp_path: Path) -> None:
    other = altered_bundle(tmp_path, coding={"quality_range": [1.0, 99.0]})
    for wrong in (lively(), other, tmp_path / "altered.aezm"):
        with pytest.raises(ModelError, match=f"needs model {tiny().id[:16]}"):
            decode(encode(), model=wrong)


def test_a_model_with_other_weights_under_the_same_id_prefix_gives_no_picture() -> None:
    # The header of one model, the tiles of another: the symbols' checksums tell.
    header, tiles, _ = contents(encode(photo(60, 80), 100, model=lively()))
    forged = ImageHeader(header.width, header.height, header.mode, 200, MODEL_ID, header.tile)
    with pytest.raises(CorruptFile, match="tile 0"):
        decode(forge(forged, tiles))


@pytest.mark.parametrize(
    "embedded",
    [b"", b"no zip", tiny().decoding_half()[:-100], tiny().decoding_half()[1000:], lively().decoding_half()],
)
def test_embedded_models_that_are_damaged_or_another(embedded: bytes) -> None:
    header, tiles, _ = contents(encode(tile=64))
    with pytest.raises(ModelError) as caught:
        decode_picture(forge(header, tiles, M=embedded), threads=1)
    assert "\n" not in str(caught.value)


def test_an_embedded_model_for_something_else(tmp_path: Path) -> None:
    other = altered_bundle(tmp_path, task="detector")
    header, tiles, _ = contents(encode(tile=64))
    header = ImageHeader(80, 60, "RGB", header.level, bytes.fromhex(other.id)[:8], 64)
    with pytest.raises(ModelError, match="detector"):
        decode_picture(forge(header, tiles, M=other.decoding_half()), threads=1)


# -- what a file says of itself ---------------------------------------------------------------------------------------


def test_describe_is_plain_json() -> None:
    image = Image.fromarray(np.dstack((PIXELS, PIXELS[:, :, 0])))
    image.info["xmp"] = b"<x/>"
    data = encode(image, 75, tile=64)
    found = json.loads(json.dumps(describe(data)))
    assert {key: found[key] for key in ("kind", "width", "height", "mode", "tile", "tiles", "bytes")} == {
        "kind": "image",
        "width": 80,
        "height": 60,
        "mode": "RGBA",
        "tile": 64,
        "tiles": 2,
        "bytes": len(data),
    }
    assert found["quality"] == pytest.approx(75, abs=0.03)
    assert found["bpp"] == 8 * len(data) / 4800
    assert [chunk["type"] for chunk in found["chunks"]] == ["H", "m", "T", "T", "E"]
    assert sum(chunk["bytes"] for chunk in found["chunks"]) == len(data) - 16  # signature and trailer


# -- damage -----------------------------------------------------------------------------------------------------------


def four_tiles() -> bytes:
    return encode(photo(66, 66), 1, model=lively(), tile=64)


def exact_around(whole: set[int], halo: int) -> NDArray[np.bool_]:
    """Pixels of a 66x66 picture in tiles of 64 that no missing tile touches."""
    mask = np.ones((66, 66), bool)
    for number in {0, 1, 2, 3} - whole:
        left, top, right, bottom = ImageHeader(66, 66, "RGB", 0, bytes(8), 64).box(number)
        mask[max(top - halo, 0) : bottom + halo, max(left - halo, 0) : right + halo] = False
    return mask


def check_partial(data: bytes, whole: set[int], full: NDArray[np.uint8]) -> None:
    """What `partial` gives of a picture of which only these tiles are whole."""
    if not whole:
        with pytest.raises(CorruptFile):
            decode(data, partial=True, model=lively())
        return
    decoded = decode(data, partial=True, model=lively())
    assert decoded.damage
    found = np.asarray(decoded.image)
    exact = exact_around(whole, lively().coding["synthesis_halo"])
    np.testing.assert_array_equal(found[exact], full[exact])
    for number in {0, 1, 2, 3} - whole:
        left, top, right, bottom = ImageHeader(66, 66, "RGB", 0, bytes(8), 64).box(number)
        assert (found[top:bottom, left:right] == MISSING_GREY).all()


def test_a_file_cut_off_at_every_byte() -> None:
    data = four_tiles()
    full = pixels_of(data, model=lively())
    ends = [info.offset + info.length for info in inventory(data) if info.type == TILE]
    for cut in range(len(data)):
        with pytest.raises(TruncatedFile):
            decode(data[:cut], model=lively())
        check_partial(data[:cut], {number for number, end in enumerate(ends) if end <= cut}, full)


def inventory(data: bytes) -> list[Any]:
    reader = Reader(io.BytesIO(data))
    for _ in reader.chunks():
        pass
    return reader.inventory


def test_a_file_with_any_byte_flipped() -> None:
    rgba = Image.fromarray(np.dstack((PIXELS, PIXELS[:, :, 0])))
    rgba.info["exif"] = Image.Exif().tobytes()
    rgba.info["xmp"] = b"<x:xmpmeta/>"
    data = encode(rgba, 1, tile=64)
    rng = np.random.default_rng(0)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.integers(8)
        with pytest.raises((CorruptFile, VersionError, ModelError, UnsupportedInput)) as caught:
            decode(bytes(damaged))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_damaged_tile_leaves_the_others(number: int) -> None:
    data = four_tiles()
    full = pixels_of(data, model=lively())
    info = [info for info in inventory(data) if info.type == TILE][number]
    for position in range(info.offset, info.offset + info.length, 7):
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        check_partial(bytes(damaged), {0, 1, 2, 3} - {number}, full)


def test_a_tile_that_only_its_symbols_give_away() -> None:
    data = four_tiles()
    full = pixels_of(data, model=lively())
    header, tiles, _ = contents(data)
    for position in range(1, len(tiles[2])):  # behind the kind
        changed = bytearray(tiles[2])
        changed[position] ^= 0x04
        forged = forge(header, {**tiles, 2: bytes(changed)})
        with pytest.raises(CorruptFile, match="tile 2") as caught:
            decode(forged, model=lively())
        assert caught.value.chunk == "tile"
        if position % 8 == 0:
            check_partial(forged, {0, 1, 3}, full)


def test_damage_outside_the_tiles_leaves_the_pixels() -> None:
    rgba = Image.fromarray(np.dstack((PIXELS, PIXELS[:, :, 0])))
    exif = Image.Exif()
    exif[0x010E] = "a title"
    rgba.info["exif"], rgba.info["xmp"] = exif.tobytes(), b"<x/>"
    data = encode(rgba, tile=64)
    full = pixels_of(data)
    for info in inventory(data):
        if info.type not in (EXIF, XMP):
            continue
        damaged = bytearray(data)
        damaged[info.offset + info.length - 5] ^= 1
        decoded = decode(bytes(damaged), partial=True)
        assert [error.chunk for error in decoded.damage] == [info.name]
        np.testing.assert_array_equal(np.asarray(decoded.image), full)
        assert {"exif", "xmp"} - set(decoded.image.info) == {EXIF: {"exif"}, XMP: {"xmp"}}[info.type]


def test_a_sound_file_has_no_damage() -> None:
    assert decode(four_tiles(), partial=True, model=lively()).damage == ()


def test_a_region_that_is_wholly_lost() -> None:
    header, tiles, _ = contents(four_tiles())
    forged = forge(header, {**tiles, 3: bytes(20)})
    np.testing.assert_array_equal(
        pixels_of(forged, region=(0, 0, 20, 20), partial=True, model=lively()),
        pixels_of(four_tiles(), region=(0, 0, 20, 20), model=lively()),
    )
    with pytest.raises(CorruptFile):
        decode(forged, region=(64, 64, 2, 2), partial=True, model=lively())


@pytest.mark.parametrize("data", [b"", b"\x89", b"no file at all", bytes(100), TINY.read_bytes()[:100]])
@pytest.mark.parametrize("partial", [True, False])
def test_bytes_that_are_no_file(data: bytes, partial: bool) -> None:
    with pytest.raises(CorruptFile):
        decode(data, partial=partial)


# -- headers that lie -------------------------------------------------------------------------------------------------

SIZE_MAX = (1 << 31) - 1


def header_only(header: ImageHeader, padding: int = 1000) -> bytes:
    """The start of a file, with bytes behind it that are no chunks."""
    stream = io.BytesIO()
    Writer(stream, header)
    return stream.getvalue() + bytes(padding)


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize(
    ("size", "options", "error"),
    [
        ((SIZE_MAX, SIZE_MAX, 1024), {}, UnsupportedInput),
        ((SIZE_MAX, SIZE_MAX, 2048), {"max_pixels": 1 << 62}, TruncatedFile),
        ((SIZE_MAX, 1, 64), {"max_pixels": 1 << 62}, TruncatedFile),
        ((1, SIZE_MAX, 16), {"max_pixels": 1 << 62}, TruncatedFile),
        ((30000, 30000, 16), {}, TruncatedFile),
        ((30000, 30000, 30000 // 16 * 16), {}, CorruptFile),
        ((30000, 30000, 1024), {}, CorruptFile),
        ((30000, 30000, 1 << 30), {}, CorruptFile),
    ],
)
def test_claims_cost_no_memory(size: tuple[int, int, int], options: Any, error: type, partial: bool) -> None:
    header = ImageHeader(size[0], size[1], "RGBA", 100, MODEL_ID)
    object.__setattr__(header, "tile", size[2])  # also what no header may say
    data = header_only(header)
    tiny()
    tracemalloc.start()
    try:
        with pytest.raises(error):
            decode(data, partial=partial, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_picture_is_not_allocated_before_a_tile_of_it_is_decoded() -> None:
    # 900 megapixels in 900 chunks with sound checksums, of which none holds symbols.
    data = forge(ImageHeader(30000, 30000, "RGB", 100, MODEL_ID, 1024))
    assert len(data) < 40_000
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFile, match="tile 0"):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_lying_files_stay_below_a_limit_on_memory() -> None:
    program = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from tests.codec.image import test_api as t
t.decode(t.encode())
for header in [(t.SIZE_MAX, t.SIZE_MAX, 2048), (32000, 32000, 2048), (1 << 20, 1000, 64), (32000, 32000, 1024)]:
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30), -1))
    for data in (t.header_only(t.ImageHeader(*header[:2], "RGBA", 9, t.MODEL_ID, header[2])), t.four_tiles()[:99]):
        for partial in (True, False):
            try:
                t.decode(data, partial=partial)
            except t.AezError:
                continue
            raise SystemExit(f"{header} decoded")
"""
    command = [sys.executable, "-c", program, str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("level", [2049, 65535])
def test_a_level_out_of_range(level: int) -> None:
    data = forge(ImageHeader(80, 60, "RGB", level, MODEL_ID, 64))
    for partial in (True, False):
        with pytest.raises(CorruptFile, match="quality level"):
            decode(data, partial=partial)


def test_pixels_above_the_callers_limit() -> None:
    data = encode()
    assert decode(data, max_pixels=4800).image.size == (80, 60)
    with pytest.raises(UnsupportedInput, match="raise max_pixels"):
        decode(data, max_pixels=4799)


def test_every_other_version_is_refused() -> None:
    data = bytearray(encode())
    for version in range(256):
        data[7] = version
        if version != 2:
            with pytest.raises(VersionError, match="install a newer aez" if version > 2 else "encode it anew"):
                decode(bytes(data))


def test_errors_share_one_root() -> None:
    for kind in (CorruptFile, TruncatedFile, VersionError, ModelError, InvalidArgument, UnsupportedInput):
        assert issubclass(kind, AezError)


def test_without_a_model_the_target_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def found(ref: object) -> Bundle:
        asked.append(ref)
        return tiny()

    monkeypatch.setattr(api, "find_bundle", found)
    encode_picture(PIXELS)
    encode_picture(PIXELS, psnr=20.0)
    assert asked == [None, "photo"]
