"""Integer probability tables fitted to the symbols that a trained network really produces.

Every table mixes the counted symbols with a smooth prior (the density of training), so that rare symbols keep sane
probabilities; the residual tables are made symmetric, as zero-mean residuals are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aez.codec.entropy import Tables, TileTables, quantize_table
from aez.codec.quality import KNOTS, LEVEL_MAX, LEVELS_PER_KNOT
from aez.export.integer import SCALES, SIGMA_MIN, SIGMA_STEP
from aez.export.photo import PhotoNetwork

Float = npt.NDArray[np.float64]
#: Weight of the prior, in symbols: with many more counted the table is what was counted.
PRIOR_COUNT = 200.0
#: Largest symbol of a residual table in standard deviations, and in all.
REACH_SIGMAS, REACH_MAX = 8.0, 1500
HYPER_REACH_MAX = 255
#: Symbols are counted one further than tables reach: the outermost counts hold all that lies beyond.
RESIDUAL_SPAN, HYPER_SPAN = REACH_MAX + 1, HYPER_REACH_MAX + 1
#: Probability that a table leaves to the escape beyond what was counted.
ESCAPE_FLOOR = 2.0**-20


@dataclass
class SymbolCounts:
    """Histograms: `residual` [SCALES, 2 * RESIDUAL_SPAN + 1] and `hyper` [KNOTS, channels, 2 * HYPER_SPAN + 1]."""

    residual: npt.NDArray[np.int64]
    hyper: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, hyper_channels: int) -> SymbolCounts:
        return cls(
            np.zeros((SCALES, 2 * RESIDUAL_SPAN + 1), np.int64),
            np.zeros((KNOTS, hyper_channels, 2 * HYPER_SPAN + 1), np.int64),
        )


@torch.no_grad()
def count_symbols(network: PhotoNetwork, batches: Iterable[Tensor], seed: int = 0) -> SymbolCounts:
    """Run the network over batches [B, 3, H, W] at every knot's range of levels and count its symbols."""
    counts = SymbolCounts.empty(network.config.hyper_channels)
    rng = np.random.default_rng(seed)
    for batch in batches:
        for knot in range(KNOTS):
            low = max(knot * LEVELS_PER_KNOT - LEVELS_PER_KNOT // 2, 0)
            high = min(knot * LEVELS_PER_KNOT + LEVELS_PER_KNOT // 2 - 1, LEVEL_MAX)
            level = torch.from_numpy(rng.integers(low, high + 1, len(batch))).float().to(batch.device)
            residual, index, z = network.symbols(batch, level)
            channel = torch.arange(z.shape[1])[None, :, None, None].expand(z.shape)
            _add(counts.hyper[knot], channel, z.cpu(), HYPER_SPAN)
            coded = index > 0
            _add(counts.residual, index[coded].cpu(), residual[coded].cpu(), RESIDUAL_SPAN)
    return counts


def _add(histograms: npt.NDArray[np.int64], row: Tensor, symbol: Tensor, span: int) -> None:
    """Count each symbol in the histogram [rows, 2 * span + 1] of its row."""
    place = symbol.long().clamp(-span, span) + span
    flat = (row.long() * histograms.shape[1] + place).flatten().numpy()
    histograms += np.bincount(flat, minlength=histograms.size).reshape(histograms.shape)


def fit_tables(network: PhotoNetwork, counts: SymbolCounts) -> TileTables:
    """Tables for the residuals (by scale index) and for z (by knot and channel)."""
    residual = Tables.from_list([_residual_table(number, counts.residual[number]) for number in range(SCALES)])
    prior = _hyper_prior(network)
    hyper = [
        _hyper_table(counts.hyper[knot, channel], prior[knot, channel])
        for knot in range(KNOTS)
        for channel in range(network.config.hyper_channels)
    ]
    return TileTables(Tables.from_list(hyper), residual, network.config.hyper_channels)


def _residual_table(number: int, histogram: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    sigma = SIGMA_MIN * np.exp(SIGMA_STEP * number)
    reach = int(min(np.ceil(REACH_SIGMAS * sigma) + 1, REACH_MAX))
    symbols = np.arange(-RESIDUAL_SPAN, RESIDUAL_SPAN + 1)
    # Mostly the Gaussian of training; a tenth of a Laplacian gives the heavier tails that residuals have.
    prior = 0.9 * _bin_mass(symbols, sigma, _gaussian_cdf) + 0.1 * _bin_mass(symbols, sigma, _laplace_cdf)
    even = (histogram + histogram[::-1]) / 2
    return _table(even, prior, reach)


def _hyper_table(histogram: npt.NDArray[np.int64], prior: Float) -> npt.NDArray[np.uint32]:
    seen = np.flatnonzero(histogram)
    extent = int(np.abs(seen - HYPER_SPAN).max()) if seen.size else 0
    return _table(histogram.astype(np.float64), prior, min(extent + 3, HYPER_REACH_MAX))


def _table(counts: Float, prior: Float, reach: int) -> npt.NDArray[np.uint32]:
    """Quantized table of symbols -reach..reach and the escape, from counts and a prior over a wider range."""
    centre = counts.size // 2
    mass = counts + PRIOR_COUNT * prior / prior.sum()
    inside = mass[centre - reach : centre + reach + 1]
    outside = max(mass.sum() - inside.sum(), ESCAPE_FLOOR * mass.sum())
    return quantize_table(np.append(inside, outside))


def _bin_mass(symbols: npt.NDArray[np.int64], sigma: float, cdf: Callable[[Float], Float]) -> Float:
    """Probability of every symbol: the mass of its unit bin, taken in the lower tail, where it keeps its digits."""
    edge = np.abs(symbols) - 0.5
    return cdf(-edge / sigma) - cdf(-(edge + 1) / sigma)


def _gaussian_cdf(x: Float) -> Float:
    distribution: Float = torch.special.ndtr(torch.from_numpy(x)).numpy()
    return distribution


def _laplace_cdf(x: Float) -> Float:
    tail: Float = 0.5 * np.exp(-np.sqrt(2) * np.abs(x))
    return np.where(x < 0, tail, 1 - tail)


@torch.no_grad()
def _hyper_prior(network: PhotoNetwork) -> Float:
    """Probabilities [KNOTS, channels, 2 * HYPER_SPAN + 1] of the training density at the knots."""
    symbols = torch.arange(-HYPER_SPAN, HYPER_SPAN + 1).float()
    channels = network.config.hyper_channels
    z = symbols.repeat(channels, 1)[None, :, :, None].to(network.density.mean.device)
    rows = [
        torch.exp2(-network.density(z, torch.full((1,), float(knot * LEVELS_PER_KNOT), device=z.device)))[0, :, :, 0]
        for knot in range(KNOTS)
    ]
    return torch.stack(rows).double().cpu().numpy()
