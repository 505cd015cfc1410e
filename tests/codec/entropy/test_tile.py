"""Entropy coding: exact, compact, and an error for anything that was not encoded so."""

from __future__ import annotations

import itertools
import math
import random

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aez.codec.entropy.tables import SYMBOL_LIMIT, TOTAL, Tables, TileTables, quantize_table
from aez.codec.entropy.tile import PhaseSymbols, TileDecoder, encode_tile, ideal_bits
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError
from tests.kit import reference_decoder, small_model

TABLES = small_model.make_tables()
LEVEL = 700
#: Channels at which `make_phases` cuts its phases apart.
CUTS = (0, 1, 3, 6)


def encode(
    z: NDArray[np.int32],
    residual: NDArray[np.int32],
    index: NDArray[np.uint8],
    level: int = LEVEL,
    tables: TileTables = TABLES,
) -> bytes:
    """A tile of one phase."""
    return encode_tile(z, [PhaseSymbols(residual, index)], level, tables)


def decode(
    payload: bytes, shape: tuple[int, ...], level: int = LEVEL, tables: TileTables = TABLES
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    decoder = TileDecoder(payload, tables, level)
    z = decoder.hyper((shape[0], shape[1], shape[2]))
    residual = decoder.residual(small_model.scale_index(z))
    decoder.finish()
    return z, residual


def as_lists(tables: Tables) -> list[list[int]]:
    return [tables[number].tolist() for number in range(len(tables))]


def random_table(rng: np.random.Generator, reach: int) -> NDArray[np.uint32]:
    """A table with weights of all sizes, most of them tiny."""
    return quantize_table(rng.random(2 * reach + 2) ** rng.integers(1, 40))


EXTREME_TABLES = [
    np.array([1, TOTAL - 1], np.uint32),
    np.array([TOTAL - 1, 1], np.uint32),
    np.array([1, 1, TOTAL - 3, 1], np.uint32),
    np.array([TOTAL // 4] * 4, np.uint32),
    np.array([1] * 4095 + [TOTAL - 4095], np.uint32),
    np.array([TOTAL - 4095] + [1] * 4095, np.uint32),
    np.array([TOTAL // 65536] * 65536, np.uint32),
]


@pytest.mark.parametrize("case", range(40))
def test_the_coder_uses_the_integer_tables_exactly(case: int) -> None:
    """At every boundary between symbols, on both sides, coder and integers agree."""
    rng = np.random.default_rng(case)
    table = EXTREME_TABLES[case] if case < len(EXTREME_TABLES) else random_table(rng, int(rng.integers(0, 300)))
    model = Tables.from_list([table]).model(0)
    edges = np.concatenate(([0], np.cumsum(table.astype(np.int64))))
    chosen = rng.choice(table.size, min(table.size, 60), replace=False)
    for entry in [0, table.size - 1, *chosen.tolist()]:
        for quantile in (edges[entry], edges[entry + 1] - 1):
            words = np.array([quantile, 7], np.uint32)
            assert constriction.stream.stack.AnsCoder(words).decode(model, 1)[0] == entry


@pytest.mark.parametrize("seed", range(5))
def test_random_words_decode_as_the_integer_decoder_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reach = int(rng.integers(1, 40))
    table = random_table(rng, reach)
    words = rng.integers(1, 2**32, 300, dtype=np.uint32)
    found = constriction.stream.stack.AnsCoder(words).decode(Tables.from_list([table]).model(0), 500)
    escapes = bytes(500)  # enough zeros, so that the oracle takes an escape for the value next to the table
    oracle = reference_decoder.Tile(bytes(4) + b"\xf4\x03" + escapes + words.astype("<u4").tobytes())
    weights = table.tolist()
    assert (found - reach).tolist() == [oracle.symbol(weights) for _ in range(500)]


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2048))
@settings(max_examples=60, deadline=None)
def test_round_trip_and_the_reference_decoder(seed: int, height: int, width: int, level: int) -> None:
    z, residual = small_model.make_symbols(seed, height, width)
    index = small_model.scale_index(z)
    payload = encode(z, residual, index, level)
    found_z, found_residual = decode(payload, z.shape, level)
    np.testing.assert_array_equal(found_z, z)
    np.testing.assert_array_equal(found_residual, residual)

    oracle = reference_decoder.Tile(payload)
    assert oracle.hyper(as_lists(TABLES.hyper), TABLES.numbers.tolist(), level, height, width) == z.tolist()
    tables = as_lists(TABLES.residual)
    assert oracle.residual(tables, index.reshape(-1).tolist()) == residual.reshape(-1).tolist()
    oracle.finish()


def make_phases(seed: int, height: int, width: int) -> tuple[NDArray[np.int32], list[PhaseSymbols]]:
    """(z, symbols in three phases of one, two and three channels)."""
    z, values = small_model.make_symbols(seed, height, width)
    phases: list[PhaseSymbols] = []
    for first, end in itertools.pairwise(CUTS):
        index = next_index(z, [phase.residual for phase in phases])
        phases.append(PhaseSymbols(np.where(index > 0, values[first:end], 0).astype(np.int32), index))
    return z, phases


def next_index(z: NDArray[np.int32], seen: list[NDArray[np.int32]]) -> NDArray[np.uint8]:
    """Indices of the phase after those that were seen; any other residual there would give others."""
    index = small_model.scale_index(z)[CUTS[len(seen)] : CUTS[len(seen) + 1]]
    return ((index + sum(np.abs(residual).sum(axis=0) for residual in seen)) % small_model.SCALES).astype(np.uint8)


def decode_phases(payload: bytes, shape: tuple[int, ...], level: int = LEVEL) -> list[NDArray[np.int32]]:
    """[z, residuals of every phase]."""
    decoder = TileDecoder(payload, TABLES, level)
    z = decoder.hyper((shape[0], shape[1], shape[2]))
    seen: list[NDArray[np.int32]] = []
    for _ in itertools.pairwise(CUTS):
        seen.append(decoder.residual(next_index(z, seen)))
    decoder.finish()
    return [z, *seen]


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2048))
@settings(max_examples=40, deadline=None)
def test_phases_come_back_one_after_the_other(seed: int, height: int, width: int, level: int) -> None:
    z, phases = make_phases(seed, height, width)
    payload = encode_tile(z, phases, level, TABLES)
    for found, expected in zip(
        decode_phases(payload, z.shape, level), [z, *(phase.residual for phase in phases)], strict=True
    ):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)

    oracle = reference_decoder.Tile(payload)
    assert oracle.hyper(as_lists(TABLES.hyper), TABLES.numbers.tolist(), level, height, width) == z.tolist()
    tables = as_lists(TABLES.residual)
    for phase in phases:
        assert oracle.residual(tables, phase.index.reshape(-1).tolist()) == phase.residual.reshape(-1).tolist()
    oracle.finish()


def test_phases_cost_what_their_symbols_do_and_no_more() -> None:
    z, phases = make_phases(3, 3, 4)
    one_by_one = [ideal_bits(z, phases[:count], LEVEL, TABLES) for count in range(len(phases) + 1)]
    assert one_by_one == sorted(one_by_one)
    alone = [ideal_bits(z, [phase], LEVEL, TABLES) - one_by_one[0] for phase in phases]
    assert np.diff(one_by_one).tolist() == pytest.approx(alone)
    assert min(alone) > 0
    # A phase more, of which nothing is coded, changes no byte.
    skipped = PhaseSymbols(np.zeros((2, 3, 4), np.int32), np.zeros((2, 3, 4), np.uint8))
    assert encode_tile(z, [skipped, *phases, skipped], LEVEL, TABLES) == encode_tile(z, phases, LEVEL, TABLES)


def test_phases_in_another_order_or_too_few_are_an_error() -> None:
    z, phases = make_phases(3, 3, 4)
    payload = encode_tile(z, phases, LEVEL, TABLES)
    first, second, third = phases
    for wrong in ([], [first], [first, second], [second, first, third], [first, third, second], [*phases, third]):
        decoder = TileDecoder(payload, TABLES, LEVEL)
        decoder.hyper((4, 3, 4))
        with pytest.raises(CorruptFile):  # noqa: PT012 - at the latest when it finishes
            for phase in wrong:
                decoder.residual(phase.index)
            decoder.finish()


def test_damage_at_any_byte_of_a_tile_with_phases_is_an_error() -> None:
    z, phases = make_phases(11, 2, 2)
    payload = encode_tile(z, phases, LEVEL, TABLES)
    for position in range(len(payload)):
        flipped = bytearray(payload)
        flipped[position] ^= 1 << position % 8
        for damaged in (payload[:position], bytes(flipped)):
            with pytest.raises(CorruptFile):
                decode_phases(damaged, z.shape)


@pytest.mark.parametrize("number", range(len(CUTS) - 1))
def test_a_phase_that_cannot_be_coded_is_refused(number: int) -> None:
    z, phases = make_phases(11, 2, 2)
    sound = phases[number]
    for residual, message in (
        (np.where(sound.index == 0, 1, sound.residual).astype(np.int32), "scale index is 0"),
        (sound.residual.astype(np.int64), "int32"),
        (sound.residual[:, 1:], "int32"),
        (np.where(sound.index > 0, SYMBOL_LIMIT, 0).astype(np.int32), str(SYMBOL_LIMIT)),
    ):
        phases[number] = PhaseSymbols(residual, sound.index)
        for use in (encode_tile, ideal_bits):
            with pytest.raises(InvalidArgument, match=message):
                use(z, phases, LEVEL, TABLES)


@pytest.mark.parametrize("magnitude", [SYMBOL_LIMIT - 1, 20_000, 200, 63, 1])
def test_escapes_of_every_size(magnitude: int) -> None:
    z = np.zeros((4, 1, 2), np.int32)
    z[0] = [[magnitude, -magnitude]]
    residual = np.where(small_model.scale_index(z) > 0, -magnitude, 0).astype(np.int32)
    payload = encode(z, residual, small_model.scale_index(z))
    found_z, found_residual = decode(payload, z.shape)
    np.testing.assert_array_equal(found_z, z)
    np.testing.assert_array_equal(found_residual, residual)


def test_where_everything_is_skipped_only_z_is_coded() -> None:
    z = np.ones((4, 2, 2), np.int32)
    index = np.zeros((6, 4, 4), np.uint8)
    payload = encode(z, np.zeros(index.shape, np.int32), index)
    decoder = TileDecoder(payload, TABLES, LEVEL)
    np.testing.assert_array_equal(decoder.hyper((4, 2, 2)), z)
    assert not decoder.residual(index).any()
    decoder.finish()


@pytest.mark.parametrize(
    ("level", "knot"), [(0, 0), (127, 0), (128, 1), (383, 1), (384, 2), (1919, 7), (1920, 8), (2048, 8)]
)
def test_knots_choose_the_hyper_tables(level: int, knot: int) -> None:
    np.testing.assert_array_equal(TABLES.hyper_numbers(level), TABLES.numbers[knot])


def test_a_hyper_latent_is_coded_with_the_table_of_its_knot_channel_and_context() -> None:
    # Each table is nearly certain of one symbol, so that any other table would cost eight bits more.
    certain = []
    for symbol in range(-3, 4):
        weights = np.full(8, TOTAL // 256, np.uint32)
        weights[symbol + 3] += TOTAL - int(weights.sum())
        certain.append(weights)
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 8, (9, 8, 2)).astype(np.uint8)
    tables = TileTables(Tables.from_list([certain[0], *certain]), numbers, TABLES.residual)
    for level in (0, 1024, 2048):
        z = np.zeros((2, 5, 6), np.int32)
        for phase in range(3):
            for channel, row, column in np.ndindex(z.shape):
                if reference_decoder.hyper_phase(row, column) == phase:
                    context = reference_decoder.hyper_context(z[channel].tolist(), row, column)
                    z[channel, row, column] = int(numbers[(level + 128) // 256, context, channel]) - 4
        bits = ideal_bits(z, [], level, tables)
        assert bits == pytest.approx(z.size * -math.log2(1 - 7 / 256), rel=1e-9)
        assert len(encode_tile(z, [], level, tables)) <= 5 + 8
        assert ideal_bits(z[:, :, ::-1].copy(), [], level, tables) > bits + 100


def test_hyper_latents_are_coded_by_phase_then_by_table() -> None:
    """The order that FORMAT.md states, seen in the order of the escapes: all others are symbols within the tables."""
    numbers = np.ones((1, 8, 2), np.uint8)
    numbers[0, 0, 0] = 2  # channel 0 comes after channel 1 in the first phase
    table = small_model.falling_table(1, 1)
    tables = TileTables(Tables.from_list([table] * 3), numbers, TABLES.residual)
    z = np.array([[[2, 6, 3], [8, 5, 9]], [[12, 16, 13], [18, 15, 19]]], np.int32)
    payload = encode_tile(z, [], 0, tables)
    assert payload[4] == z.size
    assert [2 + octet // 2 for octet in payload[5 : 5 + z.size]] == [12, 13, 2, 3, 5, 15, 6, 8, 9, 16, 18, 19]


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 1, 2), (4, 2, 1), (4, 1, 9), (4, 9, 1), (4, 2, 2), (4, 7, 3)])
def test_hyper_latents_of_every_shape_come_back(shape: tuple[int, int, int]) -> None:
    z = np.random.default_rng(0).integers(-4, 5, shape).astype(np.int32)
    payload = encode_tile(z, [], LEVEL, TABLES)
    decoder = TileDecoder(payload, TABLES, LEVEL)
    found = decoder.hyper(shape)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, z)
    decoder.finish()


@pytest.mark.parametrize("shape", [(3, 2, 2), (5, 2, 2), (4, 0, 2), (4, 2, 0)])
def test_hyper_latents_of_another_shape_are_not_asked_for(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgument, match="4 channels"):
        TileDecoder(small_payload()[0], TABLES, LEVEL).hyper(shape)


def photo_like() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], TileTables]:
    """A tile with a real model's shape and statistics: 64 scales, one position in five coded."""
    rng = np.random.default_rng(1)
    spreads = 0.3 * 1.1 ** np.arange(64)
    tables = []
    for spread in spreads:
        values = np.arange(-int(8 * spread + 2), int(8 * spread + 3))
        tables.append(quantize_table(np.append(np.exp(-np.abs(values) / spread), 1e-5)))
    hyper = Tables.from_list([tables[20]] * 4)
    numbers = rng.integers(1, 4, (9, 8, 64)).astype(np.uint8)
    index = np.where(rng.random((192, 16, 24)) < 0.2, rng.integers(1, 64, (192, 16, 24)), 0).astype(np.uint8)
    residual = np.where(index > 0, np.rint(rng.laplace(0, 1, index.shape) * spreads[index]), 0).astype(np.int32)
    z = np.rint(rng.laplace(0, spreads[20], (64, 8, 12))).astype(np.int32)
    return z, residual, index, TileTables(hyper, numbers, Tables.from_list(tables))


def test_the_size_is_ideal_within_one_percent() -> None:
    z, residual, index, tables = photo_like()
    cuts = zip(np.split(residual, [48, 96]), np.split(index, [48, 96]), strict=True)
    for phases in ([PhaseSymbols(residual, index)], [PhaseSymbols(*part) for part in cuts]):
        payload = encode_tile(z, phases, 2048, tables)
        assert len(payload) > 10_000
        assert 8 * len(payload) < 1.01 * ideal_bits(z, phases, 2048, tables)


def test_ideal_bits_is_the_sum_over_symbols() -> None:
    z, residual = small_model.make_symbols(3, 2, 3)
    index = small_model.scale_index(z)
    numbers = TABLES.hyper_numbers(LEVEL)
    coded = [
        (TABLES.hyper[numbers[reference_decoder.hyper_context(z[c].tolist(), row, column), c]], int(z[c, row, column]))
        for c, row, column in np.ndindex(z.shape)
    ]
    coded += [
        (TABLES.residual[i], v) for i, v in zip(index.ravel().tolist(), residual.ravel().tolist(), strict=True) if i
    ]
    bits = 0.0
    for table, value in coded:
        reach = table.size // 2 - 1
        if abs(value) <= reach:
            bits -= math.log2(int(table[value + reach]) / TOTAL)
        else:
            excess = 2 * (abs(value) - reach - 1) + (value < 0)
            bits += 8 * max(1, -(-excess.bit_length() // 7)) - math.log2(int(table[-1]) / TOTAL)
    assert ideal_bits(z, [PhaseSymbols(residual, index)], LEVEL, TABLES) == pytest.approx(bits, rel=1e-12)


def test_without_escapes_they_cost_one_byte() -> None:
    z = np.zeros((4, 1, 1), np.int32)
    index = np.zeros((6, 2, 2), np.uint8)
    payload = encode(z, np.zeros(index.shape, np.int32), index)
    assert payload[4] == 0
    assert len(payload) <= 5 + 8


def small_payload() -> tuple[bytes, tuple[int, ...]]:
    z, residual = small_model.make_symbols(11, 2, 2)
    return encode(z, residual, small_model.scale_index(z)), z.shape


def test_truncation_at_every_byte_is_an_error() -> None:
    payload, shape = small_payload()
    for size in range(len(payload)):
        with pytest.raises(CorruptFile):
            decode(payload[:size], shape)


def test_every_flipped_bit_is_an_error() -> None:
    payload, shape = small_payload()
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFile):
            decode(bytes(damaged), shape)


def test_damage_to_hyper_latents_alone_is_an_error() -> None:
    """A wrong symbol changes the contexts of later ones, and with them how many symbols each table is asked for."""
    z, _ = small_model.make_symbols(4, 5, 3)
    payload = encode_tile(z, [], LEVEL, TABLES)
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        for content in (bytes(damaged), payload[: bit // 8]):
            with pytest.raises(CorruptFile):  # noqa: PT012 - at the latest when it finishes
                decoder = TileDecoder(content, TABLES, LEVEL)
                decoder.hyper((4, 5, 3))
                decoder.finish()


def test_random_bytes_are_an_error() -> None:
    rng = random.Random(5)
    for _ in range(500):
        with pytest.raises(CorruptFile):
            decode(rng.randbytes(rng.randrange(80)), (4, 2, 2))


def test_surplus_words_or_escapes_are_an_error() -> None:
    z, residual = small_model.make_symbols(11, 2, 2)
    z = np.clip(z, -3, 3)  # no escapes
    index = small_model.scale_index(z)
    skipped = np.zeros(index.shape, np.uint8)
    without = encode(z, np.zeros(index.shape, np.int32), skipped)
    checksum_of_z = without[:4]
    within_reach = np.clip(residual, -1, 1) * (index > 0)
    words = encode(z, within_reach, index)[4:]
    for payload in (checksum_of_z + words, checksum_of_z + b"\x01\x05" + without[5:]):
        decoder = TileDecoder(payload, TABLES, LEVEL)
        np.testing.assert_array_equal(decoder.hyper((4, 2, 2)), z)
        decoder.residual(skipped)
        with pytest.raises(CorruptFile, match="more data"):
            decoder.finish()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"residual": np.ones((6, 4, 4), np.int32)}, "scale index is 0"),
        ({"residual": np.zeros((6, 4, 4), np.int64)}, "int32"),
        ({"residual": np.zeros((6, 4, 5), np.int32)}, r"\[6, 4, 4\]"),
        ({"residual": np.zeros((6, 2, 8), np.int32)}, r"\[6, 4, 4\]"),
        ({"z": np.zeros((3, 2, 2), np.int32)}, "z must be"),
        ({"z": np.zeros((4, 0, 2), np.int32)}, "z must be"),
        ({"z": np.full((4, 2, 2), SYMBOL_LIMIT, np.int32)}, str(SYMBOL_LIMIT)),
        ({"z": np.full((4, 2, 2), -(2**31), np.int32)}, str(SYMBOL_LIMIT)),
        ({"index": np.zeros((6, 4, 4), np.int32)}, "uint8"),
        ({"level": 2049}, "2049"),
        ({"level": -1}, "-1"),
    ],
)
def test_what_cannot_be_coded_is_refused(change: dict[str, NDArray[np.int32]], message: str) -> None:
    index = np.zeros((6, 4, 4), np.uint8)
    index[0, 0, 0] = 7
    arguments = {"z": np.zeros((4, 2, 2), np.int32), "residual": np.zeros((6, 4, 4), np.int32), "index": index}
    with pytest.raises(InvalidArgument, match=message):
        encode(**{**arguments, **change})  # type: ignore[arg-type]


def test_an_index_without_a_table_is_the_models_fault() -> None:
    decoder = TileDecoder(small_payload()[0], TABLES, LEVEL)
    decoder.hyper((4, 2, 2))
    with pytest.raises(ModelError, match="index 8"):
        decoder.residual(np.full((6, 4, 4), 8, np.uint8))


@pytest.mark.parametrize(
    ("weights", "starts"),
    [
        (np.array([1, TOTAL - 1], np.int64), np.array([0, 2], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([0, 2], np.int32)),
        (np.array([[1, TOTAL - 1]], np.uint32), np.array([0, 2], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([0], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([0, 1], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([1, 2], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([0, 2, 2], np.int64)),
        (np.array([1, TOTAL - 1], np.uint32), np.array([0, 2, 0, 2], np.int64)),
        (np.array([1, 1, TOTAL - 2], np.uint32), np.array([0, 3], np.int64)),
        (np.array([0, TOTAL], np.uint32), np.array([0, 2], np.int64)),
        (np.array([1, TOTAL], np.uint32), np.array([0, 2], np.int64)),
        (np.array([TOTAL, 2**32 - 1, 1, 1], np.uint32), np.array([0, 4], np.int64)),
    ],
)
def test_unsound_tables_are_refused(weights: NDArray[np.uint32], starts: NDArray[np.int64]) -> None:
    with pytest.raises(ModelError):
        Tables(weights, starts)


def test_tables_load_by_the_names_of_a_bundles_members() -> None:
    arrays = {
        "hyper_weights": TABLES.hyper.weights,
        "hyper_starts": TABLES.hyper.starts,
        "hyper_numbers": TABLES.numbers,
        "residual_weights": TABLES.residual.weights,
        "residual_starts": TABLES.residual.starts,
    }
    loaded = TileTables.load(arrays.__getitem__, small_model.HYPER_CHANNELS)
    payload, shape = small_payload()
    decode(payload, shape, tables=loaded)
    with pytest.raises(ModelError, match="for 4 channels, not 5"):
        TileTables.load(arrays.__getitem__, 5)


@pytest.mark.parametrize(
    "numbers",
    [
        TABLES.numbers.astype(np.int64),
        TABLES.numbers.astype(np.int8),
        TABLES.numbers[0],
        TABLES.numbers[:, :, :, None],
        TABLES.numbers[:, :7],
        np.concatenate((TABLES.numbers, TABLES.numbers[:, :1]), axis=1),
        TABLES.numbers.transpose(0, 2, 1),
        TABLES.numbers[:0],
        TABLES.numbers[:, :, :0],
    ],
    ids=lambda numbers: f"{numbers.dtype} {numbers.shape}",
)
def test_numbers_of_hyper_tables_of_another_shape_or_type_are_refused(numbers: NDArray[np.uint8]) -> None:
    with pytest.raises(ModelError, match=r"uint8 \[knots, 8, channels\]"):
        TileTables(TABLES.hyper, numbers, TABLES.residual)


@pytest.mark.parametrize(("number", "message"), [(0, r"1\.\.15, not 0\.\."), (16, r"\.\.16"), (255, r"\.\.255")])
def test_numbers_without_a_hyper_table_are_refused(number: int, message: str) -> None:
    numbers = TABLES.numbers.copy()
    numbers[8, 7, 3] = number
    with pytest.raises(ModelError, match=message):
        TileTables(TABLES.hyper, numbers, TABLES.residual)


def test_there_are_at_most_256_tables_of_a_kind() -> None:
    table = small_model.falling_table(0, 1)
    for count, fits in ((256, True), (257, False)):
        many = Tables.from_list([table] * count)
        for name, hyper, residual in (("hyper", many, TABLES.residual), ("residual", TABLES.hyper, many)):
            if fits:
                TileTables(hyper, TABLES.numbers, residual)
            else:
                with pytest.raises(ModelError, match=f"257 {name} tables"):
                    TileTables(hyper, TABLES.numbers, residual)


def test_the_last_of_256_hyper_tables_codes_too() -> None:
    table = small_model.falling_table(2, 1)
    numbers = np.full((1, 8, 1), 255, np.uint8)
    tables = TileTables(Tables.from_list([table] * 256), numbers, TABLES.residual)
    z = np.array([[[1, -2, 7], [0, 2, -1]]], np.int32)
    decoder = TileDecoder(encode_tile(z, [], 0, tables), tables, 0)
    np.testing.assert_array_equal(decoder.hyper((1, 2, 3)), z)
    decoder.finish()


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=300).filter(lambda pmf: sum(pmf) > 0))
@settings(deadline=None)
def test_quantized_tables_are_sound_and_near(pmf: list[float]) -> None:
    weights = quantize_table(np.array(pmf)).astype(np.int64)
    assert weights.sum() == TOTAL
    assert weights.min() >= 1
    exact = np.array(pmf) / math.fsum(pmf) * (TOTAL - len(pmf)) + 1
    assert np.abs(weights - exact).max() <= 1 + 1e-6


def test_quantized_tables_are_pinned() -> None:
    """Training anywhere gives the same tables; ties go to the first."""
    assert quantize_table(np.array([1.0, 1.0, 1.0])).tolist() == [5592406, 5592405, 5592405]
    assert quantize_table(np.array([0.0, 1.0])).tolist() == [1, TOTAL - 1]
    for size in (1e-300, 1e308):
        assert quantize_table(np.array([size, size])).tolist() == [TOTAL // 2] * 2


@pytest.mark.parametrize(
    "pmf", [[], [1.0], [0.0, 0.0], [1.0, -0.1], [1.0, math.nan], [1.0, math.inf], [math.inf, -1.0], [[0.5, 0.5]]]
)
def test_what_is_no_distribution_is_refused(pmf: list[float]) -> None:
    with pytest.raises(InvalidArgument):
        quantize_table(np.array(pmf))
