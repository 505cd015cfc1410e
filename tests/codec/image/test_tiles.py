"""Tiles, halos and symbols: what is exact, and what holds within a stated bound."""

from __future__ import annotations

import dataclasses
import io
import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.entropy.tile import PhaseSymbols, TileDecoder, ideal_bits, symbol_bytes
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture
from aez.codec.image.distortion import psnr
from aez.codec.image.model import ImageModel
from aez.codec.image.region import MISSING_GREY, RegionDecoder, payload_of
from aez.codec.image.tile_kinds import split_kind
from aez.codec.image.tiles import (
    Box,
    TileSymbols,
    check_plausible,
    check_tile,
    decode_latents,
    encode_tile_pixels,
    ideal_bytes,
    tile_latents,
    tile_symbols,
)
from tests.kit import reference_decoder
from tests.kit.tiny_pictures import coarse, coarse_model, lively, lively_model, photo, tiny, tiny_model

LEVEL = 1000
ONE_TILE = 2048
#: Models with the hyper-latent on the grid of the cells, at 1/16, and with one at half of that.
either_model = pytest.mark.parametrize("opened", [lively_model, coarse_model])


def header_of(pixels: NDArray[np.uint8], tile: int, level: int = LEVEL) -> ImageHeader:
    return ImageHeader(pixels.shape[1], pixels.shape[0], "RGB", level, bytes.fromhex(tiny().id)[:8], tile)


def encode_tiles(model: ImageModel, pixels: NDArray[np.uint8], header: ImageHeader) -> dict[int, bytes]:
    return {number: encode_tile_pixels(model, pixels, header, number) for number in range(header.tiles)}


def decode_symbols(model: ImageModel, payload: bytes, header: ImageHeader, number: int) -> TileSymbols:
    """The symbols of one tile."""
    left, top, right, bottom = header.box(number)
    decoder, stride = TileDecoder(split_kind(payload)[1], model.tables, header.level), model.geometry.hyper_stride
    z = decoder.hyper((model.geometry.hyper_channels, -(-(bottom - top) // stride), -(-(right - left) // stride)))
    prediction = model.predict(z, header.level)
    phases = []
    for _ in model.geometry.phases:
        index = prediction.index()
        phases.append(PhaseSymbols(decoder.residual(index), index))
        prediction.learn(phases[-1].residual)
    decoder.finish()
    return TileSymbols(z, phases)


def whole(header: ImageHeader) -> Box:
    return Box(0, 0, header.width, header.height)


@pytest.mark.parametrize("bundle", [tiny, partial(coarse, tiny)])
@pytest.mark.parametrize("tile", [64, 1024])
@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (1, 100), (100, 1), (2, 3), (15, 16), (16, 16), (17, 33), (63, 65), (64, 64), (65, 63), (128, 17)],
)
def test_every_size_comes_back(width: int, height: int, tile: int, bundle: Callable[[], Bundle]) -> None:
    pixels = photo(height, width, seed=width)
    data = encode_picture(pixels, 100, bundle(), tile=tile).data
    header = Reader(io.BytesIO(data)).header
    decoded = np.asarray(decode_picture(data, model=bundle()).image)
    assert (header.width, header.height, header.tile) == (width, height, tile)
    assert decoded.shape == pixels.shape
    assert psnr(pixels, decoded) > 30


@either_model
def test_symbols_are_the_same_whatever_the_threads_the_optimisation_and_the_order(
    opened: Callable[..., ImageModel],
) -> None:
    pixels = photo(150, 200)
    header = header_of(pixels, 64)
    tiles = encode_tiles(opened(), pixels, header)
    encoded = {number: tile_symbols(opened(), pixels, header, number) for number in tiles}
    order = list(tiles)
    for seed, threads, optimize in [(1, 1, True), (2, 2, True), (3, 1, False), (4, 2, False)]:
        model = opened(threads, optimize)
        random.Random(seed).shuffle(order)
        for number in order:
            found = decode_symbols(model, tiles[number], header, number)
            np.testing.assert_array_equal(found.z, encoded[number].z)
            for one, other in zip(found.phases, encoded[number].phases, strict=True):
                np.testing.assert_array_equal(one.index, other.index)
                np.testing.assert_array_equal(one.residual, other.residual)


@either_model
def test_every_phase_of_a_tile_has_symbols(opened: Callable[..., ImageModel]) -> None:
    pixels = photo(64, 64)
    symbols = tile_symbols(opened(), pixels, header_of(pixels, 64), 0)
    side = 64 // opened().geometry.hyper_stride
    assert symbols.z.shape == (4, side, side)
    assert [phase.index.shape for phase in symbols.phases] == [(192, 4, 4), (192, 4, 4), (384, 4, 4)]
    for phase in symbols.phases:
        assert phase.residual.any()
        assert not phase.residual[phase.index == 0].any()


@either_model
@pytest.mark.parametrize("level", [0, LEVEL, 2048])
def test_decoded_latents_are_those_of_the_encoder_within_half_a_step(
    level: int, opened: Callable[..., ImageModel]
) -> None:
    pixels, model = photo(70, 100), opened()
    header = header_of(pixels, 64, level)
    for number, payload in encode_tiles(model, pixels, header).items():
        y, _ = tile_latents(model, pixels, header, number)
        decoded = decode_latents(model, payload, header, number)
        coded = np.zeros(y.shape, bool)
        for phase, symbols in enumerate(tile_symbols(model, pixels, header, number).phases):
            model.geometry.put_phase(coded, phase, symbols.index > 0)
        assert coded.mean() > 0.01
        assert np.abs(decoded - y)[coded].max() < 0.51


@either_model
@pytest.mark.parametrize("size", [3, 1 << 19])
@pytest.mark.parametrize("level", [0, 1, 777, 2048])
def test_indices_of_any_symbols_are_the_same_whatever_the_threads_and_the_optimisation(
    level: int, size: int, opened: Callable[..., ImageModel]
) -> None:
    rng, g = np.random.default_rng(level), opened().geometry
    shapes = [(len(positions) * g.channels, 9 * g.hyper_cells, 7 * g.hyper_cells) for positions in g.phases]
    shapes.insert(0, (g.hyper_channels, 9, 7))
    z, *residuals = (rng.integers(-size, size + 1, shape).astype(np.int32) for shape in shapes)

    def indices(threads: int, optimize: bool) -> list[NDArray[np.uint8]]:
        prediction = opened(threads, optimize).predict(z, level)
        found = []
        for residual in residuals:
            found.append(prediction.index())
            prediction.learn(residual)
        return found

    expected = indices(1, True)
    assert all(np.unique(index).size > 8 for index in expected)
    for threads, optimize in [(2, True), (1, False), (2, False)]:
        for found, wanted in zip(indices(threads, optimize), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@either_model
@pytest.mark.parametrize("level", [0, LEVEL, 2048])
def test_the_reference_decoder_reads_the_same_symbols(level: int, opened: Callable[..., ImageModel]) -> None:
    model, pixels = opened(), photo(40, 70)
    header = header_of(pixels, 64, level)
    weights = model.tables
    residual_tables = [weights.residual[i].tolist() for i in range(len(weights.residual))]
    hyper_tables = [weights.hyper[i].tolist() for i in range(len(weights.hyper))]
    for number, payload in encode_tiles(model, pixels, header).items():
        symbols = tile_symbols(model, pixels, header, number)
        tile = reference_decoder.Tile(payload[1:])
        z = tile.hyper(hyper_tables, weights.numbers.tolist(), level, *symbols.z.shape[1:])
        assert z == symbols.z.tolist()
        prediction = model.predict(np.array(z, np.int32), level)
        for phase in symbols.phases:
            index = prediction.index()
            residual = tile.residual(residual_tables, index.ravel().tolist())
            assert residual == phase.residual.ravel().tolist()
            prediction.learn(np.array(residual, np.int32).reshape(index.shape))
        tile.finish()


@either_model
@pytest.mark.parametrize("tile", [64, 128])
def test_latents_inside_a_tile_are_those_of_the_untiled_picture(tile: int, opened: Callable[..., ImageModel]) -> None:
    pixels, model = photo(200, 300), opened()
    stride = model.geometry.hyper_stride
    y, z = tile_latents(model, pixels, header_of(pixels, ONE_TILE), 0)
    header = header_of(pixels, tile)
    for number in range(header.tiles):
        left, top, _, _ = header.box(number)
        part, z_part = tile_latents(model, pixels, header, number)
        rows, columns = slice(top // 8, top // 8 + part.shape[1]), slice(left // 8, left // 8 + part.shape[2])
        np.testing.assert_allclose(part, y[:, rows, columns], atol=1e-4)
        row, column = top // stride, left // stride
        np.testing.assert_array_equal(z_part, z[:, row : row + z_part.shape[1], column : column + z_part.shape[2]])


def test_latents_at_a_tile_border_need_the_halo() -> None:
    # That the test above holds for lack of a halo's effect is ruled out here.
    pixels, model = photo(64, 128), ImageModel(lively(), "cpu", 1)
    with_halo, _ = tile_latents(model, pixels, header_of(pixels, 64), 0)
    model.geometry = dataclasses.replace(model.geometry, analysis_halo=0)
    without, _ = tile_latents(model, pixels, header_of(pixels, 64), 0)
    assert np.abs(with_halo - without).max() > 0.1


@pytest.mark.parametrize(("opened", "width"), [(lively_model, 208), (coarse_model, 224)])
def test_tiles_are_synthesized_as_the_whole_picture_is(opened: Callable[..., ImageModel], width: int) -> None:
    pixels, model = photo(150, 200), opened()
    header = header_of(pixels, 64)
    tiles = encode_tiles(model, pixels, header)
    y = np.zeros((model.geometry.channels, 160 // 8, width // 8), np.float32)
    for number, payload in tiles.items():
        left, top, _, _ = header.box(number)
        part = decode_latents(model, payload, header, number)
        y[:, top // 8 : top // 8 + part.shape[1], left // 8 : left // 8 + part.shape[2]] = part
    expected = model.synthesis(y, LEVEL)[:, :150, :200].transpose(1, 2, 0) * 255
    decoded = RegionDecoder(model, header, payload_of(tiles)).decode(whole(header))
    assert np.abs(decoded - expected).max() < 0.51  # half a step of rounding


@pytest.mark.parametrize("bundle", [lively, coarse])
@pytest.mark.parametrize("tile", [64, 128])
def test_tile_borders_show_no_seams(tile: int, bundle: Callable[[], Bundle]) -> None:
    pixels = photo(300, 300)
    near_border = np.zeros(pixels.shape[:2], bool)
    for place in range(tile, 300, tile):
        near_border[place - 8 : place + 8] = near_border[:, place - 8 : place + 8] = True
    squared = {}
    for side in (tile, ONE_TILE):
        data = encode_picture(pixels, 50, bundle(), tile=side).data
        decoded = np.asarray(decode_picture(data, model=bundle()).image)
        squared[side] = np.square(decoded.astype(np.float64) - pixels).mean(axis=2)
    assert squared[tile][near_border].mean() < 1.05 * squared[ONE_TILE][near_border].mean()
    assert abs(squared[tile].mean() / squared[ONE_TILE].mean() - 1) < 0.01


def random_box(rng: random.Random, width: int, height: int) -> Box:
    left, top = rng.randrange(width), rng.randrange(height)
    return Box(left, top, rng.randint(left + 1, width), rng.randint(top + 1, height))


@either_model
def test_a_region_is_the_crop_of_the_whole(opened: Callable[..., ImageModel]) -> None:
    pixels, model = photo(150, 200), opened()
    header = header_of(pixels, 64)
    decoder = RegionDecoder(model, header, payload_of(encode_tiles(model, pixels, header)))
    full = decoder.decode(whole(header)).astype(np.int16)
    rng = random.Random(5)
    at_borders = [Box(63, 63, 65, 65), Box(64, 64, 128, 128), Box(0, 64, 200, 65), Box(127, 0, 128, 150)]
    corners = [Box(0, 0, 1, 1), Box(199, 149, 200, 150), Box(0, 0, 200, 150)]
    for box in at_borders + corners + [random_box(rng, 200, 150) for _ in range(40)]:
        region = decoder.decode(box).astype(np.int16)
        assert np.abs(region - full[box.top : box.bottom, box.left : box.right]).max() <= 1, box


def test_a_region_reads_only_the_tiles_around_it() -> None:
    pixels, model = photo(64, 400), lively_model()
    header = header_of(pixels, 64)
    tiles = encode_tiles(model, pixels, header)
    asked: list[int] = []

    def payload(number: int) -> bytes:
        asked.append(number)
        return tiles[number]

    RegionDecoder(model, header, payload).decode(Box(130, 10, 140, 20))
    assert sorted(asked) == [1, 2]


@pytest.mark.parametrize("tile", [16, 64])
def test_each_tile_is_read_once_and_reported_once(tile: int) -> None:
    # With tiles of 16 the synthesis reaches over two neighbours on each side.
    pixels, model = photo(96, 80), lively_model()
    header = header_of(pixels, tile)
    tiles = encode_tiles(model, pixels, header)
    lost = header.tiles // 2
    asked: list[int] = []

    def payload(number: int) -> bytes:
        asked.append(number)
        if number == lost:
            raise CorruptFile("it is not there", "tile")
        return tiles[number]

    missing: list[CorruptFile] = []
    RegionDecoder(model, header, payload, missing).decode(whole(header))
    assert sorted(asked) == list(range(header.tiles))
    assert [str(error) for error in missing] == [f"tile {lost}: it is not there"]


def test_missing_tiles_are_grey_and_leave_the_others_alone() -> None:
    pixels, model = photo(192, 192), lively_model()
    header = header_of(pixels, 64)
    tiles = encode_tiles(model, pixels, header)
    full = RegionDecoder(model, header, payload_of(tiles)).decode(whole(header))
    del tiles[4]  # the one in the middle
    missing: list[CorruptFile] = []
    decoded = RegionDecoder(model, header, payload_of(tiles), missing).decode(whole(header))
    halo = model.geometry.synthesis_halo
    apart = np.ones((192, 192), bool)
    apart[64 - halo : 128 + halo, 64 - halo : 128 + halo] = False
    assert (decoded[64:128, 64:128] == MISSING_GREY).all()
    np.testing.assert_array_equal(decoded[apart], full[apart])
    assert len(missing) == 1


def test_a_picture_without_any_whole_tile_is_an_error() -> None:
    header = header_of(photo(64, 128), 64)
    with pytest.raises(CorruptFile, match="no tile"):
        RegionDecoder(lively_model(), header, payload_of({}), []).decode(whole(header))
    with pytest.raises(CorruptFile, match="tile 0: it is not in the file"):
        RegionDecoder(lively_model(), header, payload_of({})).decode(whole(header))


def test_a_tile_of_another_place_does_not_decode() -> None:
    pixels, model = photo(64, 100), lively_model()
    header = header_of(pixels, 64)
    first, second = encode_tiles(model, pixels, header).values()
    for wrong in (payload_of({0: second, 1: first}), payload_of({0: first, 1: first})):
        with pytest.raises(CorruptFile):
            RegionDecoder(model, header, wrong).decode(whole(header))


def test_ideal_size_is_near_the_coded_one() -> None:
    pixels, model = photo(256, 256), tiny_model()
    header = header_of(pixels, 128, 2048)
    tiles = encode_tiles(model, pixels, header)
    ideal, coded = ideal_bytes(model, pixels, header), sum(symbol_bytes(split_kind(tile)[1]) for tile in tiles.values())
    assert ideal <= coded + 4 * len(tiles) < 1.01 * ideal + 12 * len(tiles)
    symbols = tile_symbols(model, pixels, header, 0)
    assert ideal_bits(symbols.z, symbols.phases, 2048, model.tables) < 8 * ideal


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e7])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (1, 0)])
def test_latents_that_cannot_be_coded_are_refused(
    place: tuple[int, int], value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pixels = ImageModel(lively(), "cpu", 1), photo(16, 16)
    y, z = model.analysis(np.zeros((3, 16, 16), np.float32), LEVEL)
    y[3, *place] = value
    monkeypatch.setattr(model, "analysis", lambda *_: (y, z))
    with pytest.raises(ModelError, match="latents"):
        encode_tile_pixels(model, pixels, header_of(pixels, 64), 0)


def test_pixels_that_are_no_numbers_are_refused_and_others_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels = ImageModel(lively(), "cpu", 1), photo(16, 16)
    header = header_of(pixels, 64)
    decoder = RegionDecoder(model, header, payload_of(encode_tiles(model, pixels, header)))
    image = np.full((3, 16, 16), 0.5, np.float32)
    image[0, 0, 0], image[1, 0, 0], image[2, 0, 0] = -3, 7, 1.01
    monkeypatch.setattr(model, "synthesis", lambda *_: image)
    decoded = decoder.decode(whole(header))
    assert decoded[0, 0].tolist() == [0, 255, 255]
    assert decoded[1, 1].tolist() == [128, 128, 128]
    image[2, 5, 5] = np.nan
    with pytest.raises(ModelError, match="not numbers"):
        decoder.decode(whole(header))


@pytest.mark.parametrize("tile", [0, 16, 63, 65, 4096])
def test_tile_sizes_that_are_not_written(tile: int) -> None:
    with pytest.raises(InvalidArgument, match="tile size"):
        check_tile(tile, 16)


@pytest.mark.parametrize(("width", "height", "tiles"), [(2048, 20, 1), (20, 2049, 2), (1025, 129, 2)])
def test_thin_pictures_have_longer_tiles(width: int, height: int, tiles: int) -> None:
    data = encode_picture(photo(height, width), model=tiny()).data
    assert Reader(io.BytesIO(data), ImageHeader).header.tiles == tiles


def test_headers_that_no_file_can_back() -> None:
    def header(width: int, height: int, tile: int = 1024) -> ImageHeader:
        return ImageHeader(width, height, "RGB", LEVEL, bytes(8), tile)

    check_plausible(header(1000, 1000), 100, 1_000_000)
    with pytest.raises(UnsupportedInput, match="limit"):
        check_plausible(header(1001, 1000), 100, 1_000_000)
    with pytest.raises(TruncatedFile, match="cannot hold"):
        check_plausible(header(1000, 1000, 16), 100, 1_000_000)


@pytest.mark.parametrize(("level", "tile", "alignment"), [(2049, 64, 16), (65535, 64, 16), (LEVEL, 48, 32)])
def test_headers_that_do_not_fit_the_model(level: int, tile: int, alignment: int) -> None:
    model = ImageModel(lively(), "cpu", 1)
    model.geometry = dataclasses.replace(model.geometry, alignment=alignment)
    header = ImageHeader(64, 64, "RGB", level, bytes(8), tile)
    for decode in (
        lambda: decode_latents(model, bytes(20), header, 0),
        lambda: RegionDecoder(model, header, payload_of({}), []).decode(whole(header)),
    ):
        with pytest.raises(CorruptFile, match="the header says") as caught:
            decode()
        assert caught.value.chunk == "header"
