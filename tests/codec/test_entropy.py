"""Entropy coding: exact, compact, and an error for anything that was not encoded so."""

from __future__ import annotations

import itertools
import math
import random
import zlib

import constriction
import numpy as np
import pytest
import reference_decoder
import small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aez.codec.entropy import (
    SYMBOL_LIMIT,
    TOTAL,
    PhaseSymbols,
    Tables,
    TileDecoder,
    TileTables,
    encode_tile,
    ideal_bits,
    quantize_table,
)
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError

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
    hyper = [TABLES.hyper[number].tolist() for number in TABLES.hyper_numbers(level)]
    assert oracle.hyper(hyper, height * width) == z.reshape(z.shape[0], -1).tolist()
    tables = [TABLES.residual[number].tolist() for number in range(len(TABLES.residual))]
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
    oracle.hyper([TABLES.hyper[number].tolist() for number in TABLES.hyper_numbers(level)], height * width)
    tables = [TABLES.residual[number].tolist() for number in range(len(TABLES.residual))]
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


def test_knots_choose_the_hyper_tables() -> None:
    assert TABLES.hyper_numbers(0) == range(4)
    assert TABLES.hyper_numbers(127) == range(4)
    assert TABLES.hyper_numbers(128) == range(4, 8)
    assert TABLES.hyper_numbers(2048) == range(32, 36)


def photo_like() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], TileTables]:
    """A tile with a real model's shape and statistics: 64 scales, one position in five coded."""
    rng = np.random.default_rng(1)
    spreads = 0.3 * 1.1 ** np.arange(64)
    tables = []
    for spread in spreads:
        values = np.arange(-int(8 * spread + 2), int(8 * spread + 3))
        tables.append(quantize_table(np.append(np.exp(-np.abs(values) / spread), 1e-5)))
    hyper = Tables.from_list([tables[20]] * 9 * 64)
    index = np.where(rng.random((192, 16, 24)) < 0.2, rng.integers(1, 64, (192, 16, 24)), 0).astype(np.uint8)
    residual = np.where(index > 0, np.rint(rng.laplace(0, 1, index.shape) * spreads[index]), 0).astype(np.int32)
    z = np.rint(rng.laplace(0, spreads[20], (64, 8, 12))).astype(np.int32)
    return z, residual, index, TileTables(hyper, Tables.from_list(tables), 64)


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
    coded = [(TABLES.hyper[numbers[c]], v) for c, plane in enumerate(z) for v in plane.ravel().tolist()]
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


def test_random_bytes_are_an_error() -> None:
    rng = random.Random(5)
    for _ in range(500):
        with pytest.raises(CorruptFile):
            decode(rng.randbytes(rng.randrange(80)), (4, 2, 2))


def test_surplus_words_or_escapes_are_an_error() -> None:
    z, residual = small_model.make_symbols(11, 2, 2)
    z = np.clip(z, -3, 3)  # no escapes
    index = small_model.scale_index(z)
    checksum_of_z = zlib.crc32(z.astype("<i4").tobytes()).to_bytes(4, "little")
    skipped = np.zeros(index.shape, np.uint8)
    without = encode(z, np.zeros(index.shape, np.int32), skipped)
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
        "residual_weights": TABLES.residual.weights,
        "residual_starts": TABLES.residual.starts,
    }
    loaded = TileTables.load(arrays.__getitem__, small_model.HYPER_CHANNELS)
    payload, shape = small_payload()
    decode(payload, shape, tables=loaded)
    with pytest.raises(ModelError, match="5 channels"):
        TileTables.load(arrays.__getitem__, 5)


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
