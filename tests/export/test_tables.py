"""Probability tables: what is counted, and how well the fitted tables code it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from small_photo import make_network, make_pictures

from aez.codec.entropy import TOTAL, TileTables
from aez.codec.quality import KNOTS, nearest_knot
from aez.export.integer import SCALES, index_to_sigma
from aez.export.photo import PhotoNetwork
from aez.export.tables import (
    HYPER_REACH_MAX,
    HYPER_SPAN,
    REACH_MAX,
    RESIDUAL_SPAN,
    SymbolCounts,
    count_symbols,
    fit_tables,
)

HYPER = 4


@pytest.fixture(scope="module")
def network() -> PhotoNetwork:
    return make_network()


@pytest.fixture(scope="module")
def counts(network: PhotoNetwork) -> SymbolCounts:
    return count_symbols(network, make_pictures(8).split(4))


@pytest.fixture(scope="module")
def tables(network: PhotoNetwork, counts: SymbolCounts) -> TileTables:
    return fit_tables(network, counts)


def drawn_counts(seed: int = 0, count: int = 400_000) -> SymbolCounts:
    """Symbols in plenty: Gaussian residuals at some indices, skewed hyper-latents in every channel at every knot."""
    rng = np.random.default_rng(seed)
    counts = SymbolCounts.empty(HYPER)
    for index in (1, 20, 40, 55):
        sigma = float(index_to_sigma(torch.tensor(float(index))))
        values = np.round(rng.normal(0, 1.3 * sigma, count)).astype(np.int64)
        counts.residual[index] += np.bincount(values + RESIDUAL_SPAN, minlength=2 * RESIDUAL_SPAN + 1)
    for knot in range(KNOTS):
        for channel in range(HYPER):
            values = rng.poisson(2 + channel, count) - knot
            counts.hyper[knot, channel] += np.bincount(values + HYPER_SPAN, minlength=2 * HYPER_SPAN + 1)
    return counts


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
    assert counts.hyper.shape == (KNOTS, HYPER, 2 * HYPER_SPAN + 1)
    assert (counts.hyper.sum(axis=2) == 8 * 4 * 4).all()  # 8 pictures of 64 x 64 pixels
    assert counts.residual.shape == (SCALES, 2 * RESIDUAL_SPAN + 1)
    assert not counts.residual[0].any()
    assert 0 < counts.residual.sum() < KNOTS * 8 * 192 * 8 * 8


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
        assert seen(counts.hyper[knot], HYPER_SPAN) == hyper


def test_tables_sum_to_the_total_and_hold_every_symbol(tables: TileTables) -> None:
    assert len(tables.residual) == SCALES
    assert len(tables.hyper) == KNOTS * HYPER
    assert tables.hyper_channels == HYPER
    for part in (tables.residual, tables.hyper):
        for number in range(len(part)):
            assert int(part[number].sum()) == TOTAL
            assert part[number].min() >= 1


def test_residual_tables_are_symmetric_and_reach_eight_standard_deviations(tables: TileTables) -> None:
    for number in range(SCALES):
        weights = tables.residual[number][:-1].astype(np.int64)
        assert np.abs(weights - weights[::-1]).max() <= 1  # units left over by rounding go to one side
        sigma = float(index_to_sigma(torch.tensor(float(number))))
        assert tables.residual.reach[number] >= min(8 * sigma, REACH_MAX)


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
        coded_and_ideal(counts.hyper[knot, channel], tables.hyper[knot * HYPER + channel])
        for knot in range(KNOTS)
        for channel in range(HYPER)
    ]
    for coded, ideal in pairs:
        assert ideal <= coded <= 1.01 * ideal


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
    counts.hyper[2, 1, [0, HYPER_SPAN]] = 5 * 10**5
    tables = fit_tables(network, counts)
    assert tables.residual.reach[SCALES - 1] == REACH_MAX
    assert tables.residual[SCALES - 1][-1] > 0.99 * TOTAL
    assert tables.hyper.reach[2 * HYPER + 1] == HYPER_REACH_MAX
    assert tables.hyper[2 * HYPER + 1][-1] == pytest.approx(TOTAL / 2, rel=0.01)


def test_hyper_tables_are_as_wide_as_what_was_seen(network: PhotoNetwork) -> None:
    counts = SymbolCounts.empty(HYPER)
    counts.hyper[4, 2, HYPER_SPAN - 17] = 1
    tables = fit_tables(network, counts)
    assert tables.hyper.reach[4 * HYPER + 2] == 17 + 3
    assert tables.hyper.reach[0] == 3


def test_equal_pictures_give_equal_tables(network: PhotoNetwork, counts: SymbolCounts) -> None:
    again = count_symbols(network, make_pictures(8).split(4))
    assert np.array_equal(again.residual, counts.residual)
    assert np.array_equal(again.hyper, counts.hyper)
