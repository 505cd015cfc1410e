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

from aez.codec.entropy.hyper_context import CONTEXTS, PHASES, contexts
from aez.codec.entropy.quality import KNOTS, LEVEL_MAX, LEVELS_PER_KNOT
from aez.codec.entropy.tables import Tables, TileTables, quantize_table
from aez.export.hyperprior.integer import SCALES, SIGMA_MIN, SIGMA_STEP
from aez.export.hyperprior.network import HyperpriorNetwork

Float = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
#: Weight of the prior, in symbols: with many more counted the table is what was counted.
PRIOR_COUNT = 200.0
#: The same for a hyper-latent in one context, whose prior is its channel without contexts.
CONTEXT_PRIOR_COUNT = 20.0
#: Tables that all hyper-latents share: 255 lose next to nothing against one for each of 9 knots, 8 contexts and 64
#: channels (on photographs 0.1 % of z's bits; 96 tables lose 1 %, 48 lose 2 %).
HYPER_TABLES, CLUSTER_ROUNDS = 255, 20
#: Rows that lose less than this with a shared table need none of their own.
CLUSTER_BITS = 1e-3
#: Largest symbol of a residual table in standard deviations, and in all.
REACH_SIGMAS, REACH_MAX = 8.0, 1500
HYPER_REACH_MAX = 255
#: Symbols are counted one further than tables reach: the outermost counts hold all that lies beyond.
RESIDUAL_SPAN, HYPER_SPAN = REACH_MAX + 1, HYPER_REACH_MAX + 1
#: Probability that a table leaves to the escape beyond what was counted.
ESCAPE_FLOOR = 2.0**-20
#: Significant bits of a table's weights.
TABLE_BITS = 6


@dataclass
class SymbolCounts:
    """Histograms: `residual` [SCALES, symbols] and `hyper` [KNOTS, CONTEXTS, channels, symbols].

    Symbols are -span..span, with RESIDUAL_SPAN and HYPER_SPAN.
    """

    residual: npt.NDArray[np.int64]
    hyper: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, hyper_channels: int) -> SymbolCounts:
        return cls(
            np.zeros((SCALES, 2 * RESIDUAL_SPAN + 1), np.int64),
            np.zeros((KNOTS, CONTEXTS, hyper_channels, 2 * HYPER_SPAN + 1), np.int64),
        )


@torch.no_grad()
def count_symbols(network: HyperpriorNetwork, batches: Iterable[Tensor], seed: int = 0) -> SymbolCounts:
    """Run the network over batches [B, 3, H, W] at every knot's range of levels and count its symbols."""
    counts = SymbolCounts.empty(network.config.hyper_channels)
    rng = np.random.default_rng(seed)
    for batch in batches:
        for knot in range(KNOTS):
            low = max(knot * LEVELS_PER_KNOT - LEVELS_PER_KNOT // 2, 0)
            high = min(knot * LEVELS_PER_KNOT + LEVELS_PER_KNOT // 2 - 1, LEVEL_MAX)
            level = torch.from_numpy(rng.integers(low, high + 1, len(batch))).float().to(batch.device)
            residual, index, z = network.symbols(batch, level)
            _add_hyper(counts.hyper[knot], z.int().cpu().numpy())
            coded = index > 0
            _add(counts.residual, index[coded].cpu().numpy(), residual[coded].cpu().numpy(), RESIDUAL_SPAN)
    return counts


def _add_hyper(histograms: Counts, z: npt.NDArray[np.int32]) -> None:
    """Count z [batch, channels, h, w] in [CONTEXTS, channels, 2 * HYPER_SPAN + 1]."""
    channels = histograms.shape[1]
    rows = histograms.reshape(CONTEXTS * channels, -1)
    channel = np.arange(channels)[:, None, None]
    for phase in range(PHASES):
        for row, column, context in contexts(z, phase):
            _add(rows, context * channels + channel, z[..., row::2, column::2], HYPER_SPAN)


def _add(histograms: Counts, row: npt.NDArray[np.integer], symbol: npt.NDArray[np.number], span: int) -> None:
    """Count each symbol in the histogram [rows, 2 * span + 1] of its row."""
    place = np.clip(symbol, -span, span).astype(np.int64) + span
    flat = row.astype(np.int64) * histograms.shape[1] + place
    histograms += np.bincount(flat.ravel(), minlength=histograms.size).reshape(histograms.shape)


def fit_tables(network: HyperpriorNetwork, counts: SymbolCounts) -> TileTables:
    """Tables for the residuals (by scale index) and for z (shared by knots, contexts and channels)."""
    residual = Tables.from_list([_residual_table(number, counts.residual[number]) for number in range(SCALES)])
    hyper, numbers = _hyper_tables(counts.hyper, _hyper_prior(network))
    return TileTables(hyper, numbers, residual)


def _hyper_tables(counts: Counts, prior: Float) -> tuple[Tables, npt.NDArray[np.uint8]]:
    """At most HYPER_TABLES shared tables besides number 0, and which of them each knot, context and channel takes.

    A context's own counts are mixed with those of its channel at all contexts, and these with the prior.
    """
    channel = counts.sum(1, keepdims=True)
    usual = channel + PRIOR_COUNT * prior[:, None] / prior.sum(-1)[:, None, :, None]
    usual /= usual.sum(-1, keepdims=True)
    mass = (counts + CONTEXT_PRIOR_COUNT * usual).reshape(-1, counts.shape[-1])
    chosen, shared = _cluster(mass, HYPER_TABLES)
    extent = np.abs(np.arange(counts.shape[-1]) - HYPER_SPAN)
    seen = np.zeros((len(shared), counts.shape[-1]), np.int64)
    np.add.at(seen, chosen, counts.reshape(mass.shape))
    reach = np.minimum(np.where(seen > 0, extent, 0).max(1) + 3, HYPER_REACH_MAX)
    unused = quantize_table(np.ones(2))
    tables = [unused, *(_table(row, int(most)) for row, most in zip(shared, reach, strict=True))]
    return Tables.from_list(tables), (chosen + 1).astype(np.uint8).reshape(counts.shape[:-1])


def _cluster(mass: Float, most: int) -> tuple[npt.NDArray[np.intp], Float]:
    """(which table each row takes, tables [k, symbols] of sum 1) for rows [n, symbols] of positive weights.

    k-means with the bits lost as the distance; each new centre is the row that loses most so far.
    """
    rows = mass / mass.sum(-1, keepdims=True)
    entropy = (mass * np.log2(rows)).sum(-1)
    centres = [rows[np.argmax(mass.sum(-1))]]
    lost = entropy - mass @ np.log2(centres[0])
    while len(centres) < most and lost.max() > CLUSTER_BITS:
        centres.append(rows[np.argmax(lost)])
        lost = np.minimum(lost, entropy - mass @ np.log2(centres[-1]))
    tables = np.array(centres)
    for _ in range(CLUSTER_ROUNDS):
        chosen = np.argmax(mass @ np.log2(tables).T, axis=1)
        used, chosen = np.unique(chosen, return_inverse=True)
        tables = np.zeros((len(used), mass.shape[1]))
        np.add.at(tables, chosen, mass)
        tables /= tables.sum(-1, keepdims=True)
    return chosen, tables


def _residual_table(number: int, histogram: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    sigma = SIGMA_MIN * np.exp(SIGMA_STEP * number)
    reach = int(min(np.ceil(REACH_SIGMAS * sigma) + 1, REACH_MAX))
    symbols = np.arange(-RESIDUAL_SPAN, RESIDUAL_SPAN + 1)
    # Mostly the Gaussian of training; a tenth of a Laplacian gives the heavier tails that residuals have.
    prior = 0.9 * _bin_mass(symbols, sigma, _gaussian_cdf) + 0.1 * _bin_mass(symbols, sigma, _laplace_cdf)
    even = (histogram + histogram[::-1]) / 2
    return _table(even + PRIOR_COUNT * prior / prior.sum(), reach)


def _table(mass: Float, reach: int) -> npt.NDArray[np.uint32]:
    """Quantized table of symbols -reach..reach and the escape, from the weights of a wider range."""
    centre = mass.size // 2
    inside = mass[centre - reach : centre + reach + 1]
    outside = max(mass.sum() - inside.sum(), ESCAPE_FLOOR * mass.sum())
    return _compressible(quantize_table(np.append(inside, outside)))


def _compressible(weights: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """A table with `TABLE_BITS` significant bits in nearly every weight, which is half of what tables add to a model.

    From both ends on, what rounding adds or takes goes to the next weights, and what is left over to the middle one or,
    where that is small, to the largest. The escape stays exact.
    """
    symbols = weights[:-1].astype(np.int64)
    kept = len(symbols) // 2
    if 4 * symbols[kept] < symbols.max():
        kept = int(np.argmax(symbols))
    for side in (symbols[:kept], symbols[:kept:-1]):  # views
        carried = 0
        for place, weight in enumerate(side.tolist()):
            wanted = weight + min(max(carried, -(weight // 32)), weight // 32)
            shift = max(wanted.bit_length() - TABLE_BITS, 0)
            side[place] = ((wanted + (1 << shift) // 2) >> shift) << shift
            carried += weight - int(side[place])
    symbols[kept] += int(weights[:-1].sum(dtype=np.int64)) - int(symbols.sum())
    return np.append(symbols, weights[-1]).astype(np.uint32)


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
def _hyper_prior(network: HyperpriorNetwork) -> Float:
    """Probabilities [KNOTS, channels, 2 * HYPER_SPAN + 1] of the training density at the knots."""
    symbols = torch.arange(-HYPER_SPAN, HYPER_SPAN + 1).float()
    channels = network.config.hyper_channels
    z = symbols.repeat(channels, 1)[None, :, :, None].to(network.density.mean.device)
    rows = [
        torch.exp2(-network.density(z, torch.full((1,), float(knot * LEVELS_PER_KNOT), device=z.device)))[0, :, :, 0]
        for knot in range(KNOTS)
    ]
    return torch.stack(rows).double().cpu().numpy()
