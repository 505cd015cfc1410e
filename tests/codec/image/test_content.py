"""What tiles are coded as, and that lossless is."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aez.codec.container.image_header import ImageHeader
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.errors import CorruptFile, InvalidArgument, VersionError
from aez.codec.image.api import encode_picture
from aez.codec.image.content.blocks import look_at
from aez.codec.image.content.choice import ModelTiles
from aez.codec.image.content.estimate import exact_may_win
from aez.codec.image.content.weights import least_psnr, weight_at
from aez.codec.image.decoding import decode_picture, describe
from aez.codec.image.distortion import psnr
from aez.codec.image.region import RegionDecoder, payload_of
from aez.codec.image.tile_kinds import BLOCK, TileKind, TileParts, join_parts, split_parts
from aez.codec.image.tiles import Box, check_tile_content
from tests.kit.tiny_pictures import lively, lively_model, photo, tiny

Pixels = NDArray[np.uint8]


def text(height: int = 128, width: int = 192) -> Pixels:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for top in range(4, height - 12, 14):
        draw.text((6, top), "The quick brown fox jumps over", "black")
    return np.asarray(image)


def page() -> Pixels:
    pixels = text(256, 256).copy()
    pixels[64:192, 80:208] = photo(128, 128)
    return pixels


def kinds(data: bytes) -> dict[str, int]:
    return dict(describe(data)["kinds"])


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 2), (40, 50, 3), (40, 50, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bound", [0, 3])
def test_no_sample_of_any_mode_and_depth_is_beyond_the_bound(
    shape: tuple[int, ...], dtype: type, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("aez.codec.image.api.open_model", refuse)
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    values[0, 0] = 0  # with alpha, hidden and not grey
    data = encode_picture(values, lossless=not bound, max_error=bound or None, tile=64).data
    decoded = decode_picture(data)
    assert np.abs(decoded.values.astype(int) - values.astype(int)).max() <= bound
    assert decoded.values.dtype == dtype
    assert describe(data)["max_error"] == bound
    assert set(kinds(data)) == {"exact"}


def test_a_region_and_a_damaged_file_of_exact_tiles() -> None:
    pixels = photo(130, 150)
    data = encode_picture(pixels, lossless=True, tile=64).data
    assert np.array_equal(decode_picture(data, (50, 60, 70, 65)).pixels, pixels[60:125, 50:120])
    cut = data[: len(data) // 2]
    decoded = decode_picture(cut, partial=True)
    assert decoded.damage
    assert np.array_equal(decoded.pixels[:64, :64], pixels[:64, :64])
    assert (decoded.pixels[128:, 128:] == 128).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lossless": True, "quality": 50}, "lossless goes without quality"),
        ({"lossless": True, "bpp": 1}, "lossless goes without bpp"),
        ({"max_error": 1, "psnr": 40}, "max_error goes without psnr"),
        ({"lossless": True, "max_error": 1}, "give one of them"),
        ({"max_error": -1}, "no whole number"),
        ({"max_error": 1.5}, "no whole number"),
        ({"max_error": 70000}, "no whole number"),
        ({"lossless": True, "content": "photo"}, "goes without content"),
        ({"lossless": True, "embed_model": True}, "goes without embed_model"),
        ({"lossless": True, "model": "photo"}, "goes without model"),
        ({"lossless": True, "alpha_quality": 50}, "alpha quality"),
        ({"content": "text"}, "is none of auto, photo, graphics"),
        ({"lossless": True, "tile": 50}, "not a multiple"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        encode_picture(photo(20, 20), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_largest_error_of_nothing_is_lossless() -> None:
    assert encode_picture(photo(20, 20), max_error=0).data == encode_picture(photo(20, 20), lossless=True).data


def test_text_is_exact_and_never_larger_than_its_lossless_form() -> None:
    lossless = len(encode_picture(text(), lossless=True).data)
    for quality in (1, 30, 70, 100):
        data = encode_picture(text(), quality, tiny()).data
        assert kinds(data) == {"exact": 1}
        assert len(data) <= lossless


def test_a_photograph_with_a_black_edge_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("another form was tried")

    monkeypatch.setattr(ModelTiles, "_exact_one", refuse)
    monkeypatch.setattr("aez.codec.image.content.choice.exact_may_win", lambda *_: False)
    pixels = photo(480, 480)
    pixels[:, :16] = 0
    pixels[::3, 8:16] = 255
    blocks = look_at(pixels, 8)
    assert blocks.drawn.mean() > 0.03
    assert kinds(encode_picture(pixels, 50, tiny()).data) == {"learned": 1}


def test_a_few_places_tell_that_exact_samples_cannot_win() -> None:
    for level in (200, 1000, 1700):
        assert not exact_may_win(photo(200, 300), 8, level, 0.2)
        assert exact_may_win(text(), 8, level, 1.0)


def test_content_can_be_chosen() -> None:
    assert kinds(encode_picture(text(), 50, tiny(), content="photo").data) == {"learned": 1}
    assert kinds(encode_picture(photo(200, 200), 50, tiny(), content="graphics").data) == {"exact": 1}
    assert kinds(encode_picture(photo(200, 200), 50, tiny()).data) == {"learned": 1}


def test_a_page_gets_both_and_keeps_its_text() -> None:
    pixels = page()
    data = encode_picture(pixels, 20, lively(), tile=256).data
    assert kinds(data) == {"mixed": 1}
    decoded = decode_picture(data, model=lively())
    assert np.abs(decoded.pixels[:48].astype(int) - pixels[:48]).max() <= 2
    assert not np.array_equal(decoded.pixels[64:192, 80:208], pixels[64:192, 80:208])
    part = decode_picture(data, (70, 50, 60, 70), model=lively())
    assert np.abs(part.pixels.astype(int) - decoded.pixels[50:120, 70:130].astype(int)).max() <= 1


def test_blocks_of_a_page_are_told_apart() -> None:
    blocks = look_at(page(), 8)
    assert blocks.photo[5:11, 6:12].all()
    assert not blocks.photo[:3].any()
    assert blocks.drawn[:3].any()
    assert not look_at(photo(128, 128), 8).drawn.any()


def test_quality_100_reaches_45_db_on_every_picture() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    before = 0.0
    for pixels in (noise, photo(200, 200), text()):
        for quality in (96, 98, 100):
            decoded = decode_picture(encode_picture(pixels, quality, tiny()).data, model=tiny())
            reached = psnr(pixels, decoded.pixels)
            assert reached >= min(45, before) or quality == 96
            before = reached
        assert reached >= 45
    assert least_psnr(LEVEL_MAX) > 45 > least_psnr(LEVEL_MAX - 10) > 0 == least_psnr(1000)


def test_bytes_rise_in_small_steps_to_quality_100() -> None:
    pixels = photo(256, 320)
    encoded = [encode_picture(pixels, quality, tiny()).data for quality in (96, 97, 98, 99, 99.5, 100)]
    sizes = [len(data) for data in encoded]
    assert all(small <= large for small, large in itertools.pairwise(sizes))
    assert sizes[-1] > 1.5 * sizes[0]
    assert max(large / small for small, large in itertools.pairwise(sizes)) < sizes[-1] / sizes[0]
    assert kinds(encoded[3]) == {"mixed": 1}
    reached = [psnr(pixels, decode_picture(data, model=tiny()).pixels) for data in encoded]
    assert all(worse <= better for worse, better in itertools.pairwise(reached))


def test_errors_weigh_more_as_quality_rises() -> None:
    weights = [weight_at(level) for level in range(0, LEVEL_MAX + 1, 64)]
    assert all(a < b for a, b in itertools.pairwise(weights))


def test_latents_of_exact_neighbours_are_stretched() -> None:
    # Where a neighbour has no latents a tile's own go on, so that no seam shows.
    pixels, model = photo(128, 256), lively_model()
    header = ImageHeader(256, 128, "RGB", 1000, bytes.fromhex(lively().id)[:8], 128)
    learned = ModelTiles(model, "photo").encode(pixels, header, 0)
    content = ModelTiles(model, "graphics").encode(pixels, header, 1)
    assert content[0] == TileKind.EXACT
    decoded = RegionDecoder(model, header, payload_of({0: learned, 1: content})).decode(Box(0, 0, 256, 128))
    alone = RegionDecoder(model, header, payload_of({0: learned}), []).decode(Box(0, 0, 256, 128))
    assert np.array_equal(decoded[:, :128], alone[:, :128])


def test_damaged_mixed_tiles_are_refused() -> None:
    header = ImageHeader(40, 40, "RGB", 1000, bytes(8), 64)
    mask = np.ones((3, 3), np.bool_)
    whole = join_parts(TileParts(b"symbols", b"CRC.\x00samples", mask))
    parts = split_parts(whole, 40, 40)
    assert (parts.symbols, parts.exact) == (b"symbols", b"CRC.\x00samples")
    assert np.array_equal(parts.mask, mask)
    for size in range(2, whole.index(b"CRC") + 11):
        with pytest.raises(CorruptFile):
            split_parts(whole[:size], 40, 40)
    with pytest.raises(CorruptFile, match="does not have"):
        split_parts(whole, 40, 40 + 64)
    with pytest.raises(CorruptFile, match="outside the tile"):
        split_parts(join_parts(TileParts(b"", b"", np.ones((3, 5), np.bool_))), 40, 40)
    with pytest.raises(CorruptFile, match="step of"):
        check_tile_content(None, whole, header, 0)
    with pytest.raises(VersionError, match="kind 7"):
        split_parts(b"\x07", 40, 40)


def test_symbols_without_a_model_are_damage() -> None:
    pixels = photo(64, 64)
    header = ImageHeader(64, 64, "RGB", 1000, bytes.fromhex(lively().id)[:8], 64)
    content = ModelTiles(lively_model(), "photo").encode(pixels, header, 0)
    nameless = dataclasses.replace(header, model_id=bytes(8))
    with pytest.raises(CorruptFile, match="names none"):
        RegionDecoder(None, nameless, payload_of({0: content})).decode(Box(0, 0, 64, 64))
    assert BLOCK == 16
