"""Probability tables: what is counted, and how well the fitted tables code it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from aez.codec.entropy.hyper_context import CONTEXTS
from aez.codec.entropy.quality import KNOTS, nearest_knot
from aez.codec.entropy.tables import TOTAL, TileTables, quantize_table
from aez.export.hyperprior import tables as export_tables
from aez.export.hyperprior.integer import SCALES, index_to_sigma
from aez.export.hyperprior.tables import (
    HYPER_REACH_MAX,
    HYPER_SPAN,
    REACH_MAX,
    RESIDUAL_SPAN,
    SymbolCounts,
    count_symbols,
    fit_tables,
)
from aez.export.photo.network import PhotoNetwork
from tests.kit.small_photo import make_network, make_pictures

HYPER = 4


@pytest.fixture(scope="module")
def network() -> PhotoNetwork:
    return make_network()


@pytest.fixture(scope="module")
def counts(network: PhotoNetwork) -> SymbolCounts:
    return count_symbols(network, make_pictures(8, side=128).split(4))


@pytest.fixture(scope="module")
def tables(network: PhotoNetwork, counts: SymbolCounts) -> TileTables:
    return fit_tables(network, counts)


def drawn_counts(seed: int = 0, count: int = 400_000) -> SymbolCounts:
    """Symbols in plenty: Gaussian residuals at some indices, hyper-latents skewed otherwise in all 288 places."""
    rng = np.random.default_rng(seed)
    counts = SymbolCounts.empty(HYPER)
    for index in (1, 20, 40, 55):
        sigma = float(index_to_sigma(torch.tensor(float(index))))
        values = np.round(rng.normal(0, 1.3 * sigma, count)).astype(np.int64)
        counts.residual[index] += np.bincount(values + RESIDUAL_SPAN, minlength=2 * RESIDUAL_SPAN + 1)
    for knot, context, channel in np.ndindex(KNOTS, CONTEXTS, HYPER):
        values = rng.poisson(1 + channel + 0.3 * context, count // 10) - knot
        counts.hyper[knot, context, channel] = np.bincount(values + HYPER_SPAN, minlength=2 * HYPER_SPAN + 1)
    return counts


def alike_in_all_but_parity() -> SymbolCounts:
    """Hyper-latents that are large in odd contexts and small in even ones, whatever the knot and channel."""
    counts = SymbolCounts.empty(HYPER)
    for context in range(CONTEXTS):
        counts.hyper[:, context, :, HYPER_SPAN : HYPER_SPAN + 2] = (10**4, 10**5) if context % 2 else (10**5, 10**3)
    return counts


def lost_share(counts: SymbolCounts, tables: TileTables) -> float:
    """Bits that z takes over its empirical entropy within knots, contexts and channels, as a share of that."""
    places = np.ndindex(*tables.numbers.shape)
    pairs = [coded_and_ideal(counts.hyper[place], tables.hyper[int(tables.numbers[place])]) for place in places]
    coded, ideal = np.sum(pairs, axis=0)
    return float(coded / ideal - 1)


def coded_and_ideal(histogram: npt.NDArray[np.int64], weights: npt.NDArray[np.uint32]) -> tuple[float, float]:
    """(bits under the table, empirical entropy) of all symbols counted; none may lie beyond the table."""
    reach = (len(weights) - 2) // 2
    centre = len(histogram) // 2
    inside = histogram[centre - reach : centre + reach + 1]
    assert inside.sum() == histogram.sum()
    seen = inside > 0
    share = inside[seen] / inside.sum()
    coded = -(inside[seen] * np.log2(weights[:-1][seen] / TOTAL)).sum()
    return float(coded), float(-(inside[seen] * np.log2(share)).sum())


def seen(histograms: npt.NDArray[np.int64], span: int) -> list[tuple[int, int]]:
    """(row, symbol) of everything counted, sorted, as often as it was."""
    found = np.argwhere(histograms).tolist()
    return [(row, place - span) for row, place in found for _ in range(histograms[row, place])]


def test_every_symbol_of_every_knot_is_counted(counts: SymbolCounts) -> None:
    assert counts.hyper.shape == (KNOTS, CONTEXTS, HYPER, 2 * HYPER_SPAN + 1)
    assert (counts.hyper.sum(axis=(1, 3)) == 8 * 4 * 4).all()  # 8 pictures of 128 x 128 pixels
    assert (counts.hyper[:, 0].sum(axis=2) == 8 * 2 * 2).all()  # a quarter is coded first, without context
    assert counts.residual.shape == (SCALES, 2 * RESIDUAL_SPAN + 1)
    assert not counts.residual[0].any()
    assert 0 < counts.residual.sum() < KNOTS * 8 * 96 * 16 * 16


def test_counts_are_those_of_the_networks_symbols(network: PhotoNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    residual = torch.tensor([[-2.0, 0.0, 5000.0], [7.0, -9000.0, 0.0]]).reshape(2, 3, 1, 1)
    index = torch.tensor([[3.0, 0.0, 3.0], [9.0, 9.0, 9.0]]).reshape(2, 3, 1, 1)
    z = torch.tensor([[1.0, -999.0, 0.0, 4.0], [1.0, 0.0, 300.0, 5.0]]).reshape(2, 4, 1, 1)
    levels: list[int] = []

    def symbols(_: torch.Tensor, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        levels.extend(level.int().tolist())
        return residual, index, z

    monkeypatch.setattr(network, "symbols", symbols)
    counts = count_symbols(network, [make_pictures(2)])
    assert [nearest_knot(level) for level in levels] == [knot for knot in range(KNOTS) for _ in range(2)]
    coded = [(3, -2), (3, RESIDUAL_SPAN), (9, 7), (9, -RESIDUAL_SPAN), (9, 0)]
    assert seen(counts.residual, RESIDUAL_SPAN) == sorted(coded * KNOTS)
    hyper = [(0, 1), (0, 1), (1, -HYPER_SPAN), (1, 0), (2, 0), (2, HYPER_SPAN), (3, 4), (3, 5)]
    for knot in range(KNOTS):
        assert seen(counts.hyper[knot, 0], HYPER_SPAN) == hyper
        assert not counts.hyper[knot, 1:].any()


def test_hyper_latents_are_counted_in_their_contexts(network: PhotoNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.zeros(2, 4, 2, 2)
    z[0, 2] = torch.tensor([[1.0, -8.0], [9.0, 2.0]])
    nothing = torch.zeros(2, 3, 1, 1)
    monkeypatch.setattr(network, "symbols", lambda *_: (nothing, nothing, z))
    counts = count_symbols(network, [make_pictures(2)])
    expected = np.zeros((CONTEXTS, HYPER, 2 * HYPER_SPAN + 1), np.int64)
    expected[[0, 4], :, HYPER_SPAN] += np.array([[2], [6]])
    # In channel 2 of the first picture, 2 has the neighbour 1, and both others have 1 and 2.
    expected[[0, 4], 2, HYPER_SPAN] -= np.array([1, 3])
    for context, symbol in ((0, 1), (6, 2), (7, -8), (7, 9)):
        expected[context, 2, HYPER_SPAN + symbol] += 1
    for knot in range(KNOTS):
        np.testing.assert_array_equal(counts.hyper[knot], expected)


def test_tables_sum_to_the_total_and_hold_every_symbol(tables: TileTables) -> None:
    assert len(tables.residual) == SCALES
    assert 1 < len(tables.hyper) <= 256
    assert tables.numbers.shape == (KNOTS, CONTEXTS, HYPER)
    assert set(tables.numbers.ravel().tolist()) == set(range(1, len(tables.hyper)))  # each is of use
    for part in (tables.residual, tables.hyper):
        for number in range(len(part)):
            assert int(part[number].sum()) == TOTAL
            assert part[number].min() >= 1


def test_residual_tables_are_symmetric_and_reach_eight_standard_deviations(tables: TileTables) -> None:
    for number in range(SCALES):
        weights = tables.residual[number][:-1].astype(np.int64)
        # Units that rounding left over go to one side, and weights have six bits.
        assert (np.abs(weights - weights[::-1]) <= np.maximum(2, weights / 32)).all()
        sigma = float(index_to_sigma(torch.tensor(float(number))))
        assert tables.residual.reach[number] >= min(8 * sigma, REACH_MAX)


def test_weights_but_the_largest_have_six_bits_and_cost_next_to_nothing(tables: TileTables) -> None:
    for part in (tables.residual, tables.hyper):
        for number in range(1, len(part)):
            weights = part[number][:-1].astype(np.int64)
            lowest = weights & -weights
            assert np.sum(weights >= 64 * lowest) <= 1, number
    rng = np.random.default_rng(3)
    for size in (3, 17, 400, 2001):
        exact = quantize_table(rng.gamma(0.5, size=size))
        rounded = export_tables._compressible(exact)
        assert rounded.min() >= 1
        assert int(rounded.sum()) == TOTAL
        share = exact / TOTAL
        assert abs((share * np.log2(exact / rounded)).sum()) < 3e-4


def test_without_counts_a_residual_table_is_close_to_the_density_of_training(network: PhotoNetwork) -> None:
    tables = fit_tables(network, SymbolCounts.empty(HYPER))
    for number in (1, 15, 30):
        sigma = float(index_to_sigma(torch.tensor(float(number))))
        reach = int(tables.residual.reach[number])
        symbols = np.arange(-reach, reach + 1)
        mass = np.diff(stats.norm(scale=sigma).cdf(np.append(symbols - 0.5, reach + 0.5)))
        share = tables.residual[number] / TOTAL
        likely = mass > 1e-3
        divergence = (mass[likely] * np.log2(mass[likely] / share[:-1][likely])).sum()
        assert abs(divergence) < 0.03
        assert share[-1] < 1e-3


def test_fitted_tables_code_what_was_counted_within_one_percent_of_its_entropy(network: PhotoNetwork) -> None:
    counts = drawn_counts()
    tables = fit_tables(network, counts)
    pairs = [coded_and_ideal(counts.residual[index], tables.residual[index]) for index in (1, 20, 40, 55)]
    pairs += [
        coded_and_ideal(counts.hyper[place], tables.hyper[int(tables.numbers[place])])
        for place in np.ndindex(KNOTS, CONTEXTS, HYPER)
    ]
    for coded, ideal in pairs:
        assert ideal <= coded <= 1.01 * ideal


def test_the_fewer_the_tables_the_more_bits_are_lost(network: PhotoNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = drawn_counts()
    lost = []
    for most in (255, 96, 24, 4):  # for 288 places
        monkeypatch.setattr(export_tables, "HYPER_TABLES", most)
        tables = fit_tables(network, counts)
        assert len(tables.hyper) == most + 1
        lost.append(lost_share(counts, tables))
    assert lost == sorted(lost)
    assert lost[0] < 0.001
    assert lost[1] < 0.01
    assert lost[-1] > 0.05


def test_hyper_latents_that_are_distributed_alike_share_a_table(
    network: PhotoNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = alike_in_all_but_parity()
    tables = fit_tables(network, counts)
    # Contexts 0, 2, 4, 6 of a channel are counted and mixed with the prior alike, and so are 1, 3, 5, 7.
    for parity in (0, 1):
        same = tables.numbers[:, parity::2]
        assert (same == same[:, :1]).all()
    assert lost_share(counts, tables) < 0.001

    monkeypatch.setattr(export_tables, "HYPER_TABLES", 2)
    two = fit_tables(network, counts)
    assert len(two.hyper) == 3
    for parity in (0, 1):
        assert np.unique(two.numbers[:, parity::2]).size == 1
    assert two.numbers[0, 0, 0] != two.numbers[0, 1, 0]
    assert lost_share(counts, two) < 0.001


def test_without_counts_contexts_have_the_table_of_their_channel(network: PhotoNetwork) -> None:
    tables = fit_tables(network, SymbolCounts.empty(HYPER))
    assert (tables.numbers == tables.numbers[:, :1]).all()
    assert len(tables.hyper) <= KNOTS * HYPER + 1
    assert (tables.hyper.reach[1:] == 3).all()


def test_a_context_with_few_counts_leans_on_its_channel(network: PhotoNetwork) -> None:
    counts = SymbolCounts.empty(HYPER)
    counts.hyper[3, 0, 1, HYPER_SPAN + 2] = 10**6
    counts.hyper[3, 5, 1, HYPER_SPAN + 1] = 5
    tables = fit_tables(network, counts)

    def probability(context: int, symbol: int) -> float:
        number = int(tables.numbers[3, context, 1])
        return float(tables.hyper[number][int(tables.hyper.reach[number]) + symbol]) / TOTAL

    assert probability(0, 2) > 0.999
    assert probability(4, 2) > 0.99  # not counted at all: as its channel
    assert probability(5, 1) == pytest.approx(5 / 25, rel=0.02)
    assert probability(5, 2) == pytest.approx(20 / 25, rel=0.02)


def test_rare_symbols_keep_a_probability(network: PhotoNetwork) -> None:
    counts = SymbolCounts.empty(HYPER)
    counts.residual[20, RESIDUAL_SPAN] = 10**6
    tables = fit_tables(network, counts)
    weights = tables.residual[20]
    centre = int(tables.residual.reach[20])
    assert weights[centre] > 0.999 * TOTAL
    assert weights[centre + 1] > weights[centre + 5] >= 1
    assert weights[-1] > 1  # so is the escape


def test_symbols_beyond_the_largest_table_count_as_escapes(network: PhotoNetwork) -> None:
    counts = SymbolCounts.empty(HYPER)
    counts.residual[SCALES - 1, [0, -1]] = 5 * 10**5
    counts.hyper[2, 5, 1, [0, HYPER_SPAN]] = 5 * 10**5
    tables = fit_tables(network, counts)
    assert tables.residual.reach[SCALES - 1] == REACH_MAX
    assert tables.residual[SCALES - 1][-1] > 0.99 * TOTAL
    number = int(tables.numbers[2, 5, 1])
    assert tables.hyper.reach[number] == HYPER_REACH_MAX
    assert tables.hyper[number][-1] == pytest.approx(TOTAL / 2, rel=0.01)


def test_hyper_tables_are_as_wide_as_what_was_seen(network: PhotoNetwork) -> None:
    counts = SymbolCounts.empty(HYPER)
    counts.hyper[4, 6, 2, HYPER_SPAN - 17] = 1
    tables = fit_tables(network, counts)
    number = int(tables.numbers[4, 6, 2])
    assert tables.hyper.reach[number] == 17 + 3
    assert (np.delete(tables.hyper.reach, [0, number]) == 3).all()


def test_equal_pictures_give_equal_tables(network: PhotoNetwork, counts: SymbolCounts) -> None:
    again = count_symbols(network, make_pictures(8, side=128).split(4))
    assert np.array_equal(again.residual, counts.residual)
    assert np.array_equal(again.hyper, counts.hyper)
    one, other = fit_tables(network, counts), fit_tables(network, again)
    assert np.array_equal(one.hyper.weights, other.hyper.weights)
    assert np.array_equal(one.numbers, other.numbers)
