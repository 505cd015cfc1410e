"""Integer probability tables fitted to the symbols that a trained network really produces.

Every table mixes the counted symbols with a smooth prior (the density of training), so that rare symbols keep sane
probabilities; the residual tables are made symmetric, as zero-mean residuals are.
"""

from __future__ import annotations

from collections.abc import Iterable
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
#: Probability that a table leaves to the escape beyond what was counted.
ESCAPE_FLOOR = 2.0**-20


@dataclass
class SymbolCounts:
    """Histograms: `residual` [SCALES, 2 * REACH_MAX + 1] and `hyper` [KNOTS, channels, 2 * HYPER_REACH_MAX + 1]."""

    residual: npt.NDArray[np.int64]
    hyper: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, hyper_channels: int) -> SymbolCounts:
        return cls(
            np.zeros((SCALES, 2 * REACH_MAX + 1), np.int64),
            np.zeros((KNOTS, hyper_channels, 2 * HYPER_REACH_MAX + 1), np.int64),
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
            _add(counts.hyper[knot], z.transpose(0, 1).flatten(1), HYPER_REACH_MAX)
            coded = index > 0
            number = index[coded].long().cpu().numpy()
            value = residual[coded].long().cpu().numpy().clip(-REACH_MAX, REACH_MAX) + REACH_MAX
            width = counts.residual.shape[1]
            flat = np.bincount(number * width + value, minlength=SCALES * width)
            counts.residual += flat.reshape(SCALES, width)
    return counts


def _add(histograms: npt.NDArray[np.int64], rows: Tensor, reach: int) -> None:
    values = rows.long().cpu().numpy().clip(-reach, reach) + reach
    for histogram, row in zip(histograms, values, strict=True):
        histogram += np.bincount(row, minlength=histogram.size)


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
    symbols = np.arange(-REACH_MAX, REACH_MAX + 1)
    # Mostly the Gaussian of training; a tenth of a Laplacian gives the heavier tails that residuals have.
    prior = 0.9 * _bin_mass(symbols, sigma, _gaussian_cdf) + 0.1 * _bin_mass(symbols, sigma, _laplace_cdf)
    even = (histogram + histogram[::-1]) / 2
    return _table(even, prior, reach)


def _hyper_table(histogram: npt.NDArray[np.int64], prior: Float) -> npt.NDArray[np.uint32]:
    seen = np.flatnonzero(histogram)
    extent = int(np.abs(seen - HYPER_REACH_MAX).max()) if seen.size else 0
    return _table(histogram.astype(np.float64), prior, min(extent + 3, HYPER_REACH_MAX))


def _table(counts: Float, prior: Float, reach: int) -> npt.NDArray[np.uint32]:
    """Quantized table of symbols -reach..reach and the escape, from counts and a prior over a wider range."""
    centre = counts.size // 2
    mass = counts + PRIOR_COUNT * prior / prior.sum()
    inside = mass[centre - reach : centre + reach + 1]
    outside = max(mass.sum() - inside.sum(), ESCAPE_FLOOR * mass.sum())
    return quantize_table(np.append(inside, outside))


def _bin_mass(symbols: npt.NDArray[np.int64], sigma: float, cdf: object) -> Float:
    assert callable(cdf)
    edge = np.abs(symbols) - 0.5
    return np.asarray(cdf(-edge / sigma) - cdf(-(edge + 1) / sigma), np.float64)


def _gaussian_cdf(x: Float) -> Float:
    return torch.special.ndtr(torch.from_numpy(x)).numpy()


def _laplace_cdf(x: Float) -> Float:
    scaled = x * np.sqrt(2)
    return np.where(scaled < 0, 0.5 * np.exp(np.minimum(scaled, 0)), 1 - 0.5 * np.exp(-np.maximum(scaled, 0)))


@torch.no_grad()
def _hyper_prior(network: PhotoNetwork) -> Float:
    """Probabilities [KNOTS, channels, 2 * HYPER_REACH_MAX + 1] of the training density at the knots."""
    symbols = torch.arange(-HYPER_REACH_MAX, HYPER_REACH_MAX + 1).float()
    channels = network.config.hyper_channels
    z = symbols.repeat(channels, 1)[None, :, :, None].to(network.density.mean.device)
    rows = [
        torch.exp2(-network.density(z, torch.full((1,), float(knot * LEVELS_PER_KNOT), device=z.device)))[0, :, :, 0]
        for knot in range(KNOTS)
    ]
    return torch.stack(rows).double().cpu().numpy()
