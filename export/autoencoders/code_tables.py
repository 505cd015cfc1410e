"""Steps and integer tables for codes: how finely each dimension is rounded, and how its symbols are coded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aez.codec.entropy.tables import Tables, quantize_table
from aez.codec.vectors.coding import BITS_MAX
from aez.export.autoencoders.base import Network

#: Codes that are moved to see how much the decoder answers, by this share of a deviation.
_MOVED, _SHARE = 64, 0.1
#: Codes of more numbers are not moved one number at a time: slopes of so many random projections tell the same.
_ONE_BY_ONE, _PROJECTIONS = 512, 16
#: Entropy of a normal distribution that is rounded to steps, in bits: log2(deviation / step) + this.
_NORMAL_BITS = math.log2(math.sqrt(2 * math.pi * math.e))
#: Dimensions whose items hardly move, beside the largest, are not counted where bits are shared out.
_STILL = 1e-3
#: A dimension whose deviation is below this share of its step says nothing, and stays at its mean.
_SILENT = 0.25
#: Deviations of the tables in steps, two for each octave, and their largest symbols in deviations.
_SCALES = tuple(0.15 * 2 ** (k / 2) for k in range(30))
_REACH = 8.0
_FLOOR = 2.0**-20
#: Bits of a table's whole, and about those of a symbol beyond its reach.
_PRECISION, _ESCAPED_BITS = 24, 16
#: Numbers of codes that are counted for tables, items that they are of at least, and numbers counted at a time.
_COUNTED, _COUNTED_LEAST, _TOGETHER = 1 << 25, 4096, 1 << 18


@torch.no_grad()
def code_members(network: Network, codes: Tensor) -> dict[str, NDArray[Any]]:
    """The arrays by which `aez.codec.vectors.coding` codes, from codes [n, dimensions] of training items.

    A step is smaller where the decoder answers more to a change; over the dimensions that move the symbols take so many
    bits a number on average.
    """
    mean, deviation = codes.mean(0), codes.std(0, correction=0)
    gain = _gains(network, codes, deviation)
    shown = (deviation * gain).double().numpy()
    steps = np.zeros((BITS_MAX, codes.shape[1]), np.float32)
    for bits in range(1, BITS_MAX + 1):
        noise = _noise_of(shown, bits)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = noise / gain.double().numpy()
        steps[bits - 1] = np.where(shown > _SILENT * noise, step, 0)
    tables = list(_tables())
    away = _counted(codes - mean)
    numbers = np.stack([_best_tables(away, step, tables) for step in steps])
    kept = [0, *sorted(set(numbers.ravel().tolist()) - {0})]
    packed = Tables.from_list([tables[number] for number in kept])
    return {
        "code_mean": mean.numpy().astype(np.float32),
        "code_steps": steps,
        "code_tables": np.searchsorted(kept, numbers).astype(np.uint8),
        "code_weights": packed.weights,
        "code_starts": packed.starts,
    }


def _gains(network: Network, codes: Tensor, deviation: Tensor) -> Tensor:
    """How far unit items move, as a root of squares, for each unit that a dimension of the code moves, [dimensions]."""
    some = codes[torch.linspace(0, len(codes) - 1, min(_MOVED, len(codes))).long()]
    if codes.shape[1] > _ONE_BY_ONE:
        return _projected_gains(network, some)
    usual = network.decode(some)
    found = torch.zeros(codes.shape[1])
    for number in (deviation > 0).nonzero().flatten().tolist():
        moved = some.clone()
        delta = _SHARE * deviation[number]
        moved[:, number] += delta
        found[number] = (network.decode(moved) - usual).square().flatten(1).sum(1).mean().sqrt() / delta
    return found


def _projected_gains(network: Network, some: Tensor) -> Tensor:
    """The same by E (J^T s)^2 = |J|^2 of each column, for signs s drawn at random (Hutchinson 1989)."""
    generator = torch.Generator().manual_seed(0)
    found = torch.zeros(some.shape[1])
    for _ in range(_PROJECTIONS):
        with torch.enable_grad():
            code = some.clone().requires_grad_()
            made = network.decode(code)
            signs = 2.0 * torch.randint(0, 2, made.shape, generator=generator) - 1
            (slope,) = torch.autograd.grad((made * signs).sum(), code)
        found += slope.square().mean(0) / _PROJECTIONS
    return found.sqrt()


def _noise_of(shown: NDArray[np.float64], bits: int) -> float:
    """The step, as unit items see it, at which dimensions of these deviations take so many bits on average."""
    largest = max(float(shown.max()), 1e-9)
    shown = shown[shown > _STILL * largest] if shown.max() > 0 else shown
    low, high = 1e-9 * largest, 10 * largest
    for _ in range(60):
        middle = math.sqrt(low * high)
        taken = np.log2(np.maximum(shown / middle, 1e-12)) + _NORMAL_BITS
        low, high = (middle, high) if np.maximum(taken, 0).mean() > bits else (low, middle)
    return high


def _tables() -> Iterator[NDArray[np.uint32]]:
    """Integer tables of normal and Laplace distributions of all scales; the first stands where nothing is coded."""
    yield quantize_table(np.ones(2))
    for cumulated in (_normal, _laplace):
        for scale in _SCALES:
            reach = max(1, math.ceil(_REACH * scale))
            edges = (np.arange(-reach, reach + 2) - 0.5) / scale
            share = np.diff(np.array([cumulated(edge) for edge in edges]))
            yield quantize_table(np.append(share, max(1 - share.sum(), _FLOOR)))


def _normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def _laplace(x: float) -> float:
    tail = math.exp(-math.sqrt(2) * abs(x)) / 2
    return tail if x < 0 else 1 - tail


def _counted(centred: Tensor) -> NDArray[np.float32]:
    """Magnitudes [dimensions, items] of codes, for `_best_tables`.

    Of very many numbers those of evenly spread items: the shape of a distribution is known from them.
    """
    stride = max(1, min(len(centred) // _COUNTED_LEAST, -(-centred.numel() // _COUNTED)))
    away: NDArray[np.float32] = centred[::stride].abs().T.contiguous().numpy()
    return away


def _best_tables(
    away: NDArray[np.float32], step: NDArray[np.float32], tables: Sequence[NDArray[np.uint32]]
) -> NDArray[np.int64]:
    """For each dimension the number of the table that codes its symbols in the fewest bits; 0 without a step."""
    found = np.zeros(step.size, np.int64)
    used = np.flatnonzero(step > 0)
    costs = _costs(tables)
    # Dimensions of about the same reach are counted together, so that none pays for the longest tail of all.
    widest = np.rint(away.max(1)[used] / step[used]).clip(max=len(costs) - 1).astype(np.int64)
    order = np.argsort(widest, kind="stable")
    used, widest = used[order], widest[order]
    start = 0
    while start < used.size:
        count, most = 1, min(used.size - start, max(1, _TOGETHER // away.shape[1]))
        while count < most and (count + 1) * (widest[start + count] + 1) <= _TOGETHER:
            count += 1
        here, places = used[start : start + count], int(widest[start + count - 1]) + 1
        symbols = np.rint(away[here] / step[here, None]).clip(max=places - 1)
        symbols += np.arange(0, count * places, places, dtype=np.float32)[:, None]  # exact below 2^24
        counts = np.bincount(symbols.astype(np.int64).ravel(), minlength=count * places).reshape(count, places)
        found[here] = 1 + np.argmin(counts @ costs[:places], axis=1)
        start += count
    return found


def _costs(tables: Sequence[NDArray[np.uint32]]) -> NDArray[np.float64]:
    """Bits of each symbol's absolute value, [values, tables but the first]; the last value stands for all above it."""
    reaches = [(len(table) - 2) // 2 for table in tables[1:]]
    costs = np.empty((max(reaches) + 2, len(reaches)))
    for number, (table, reach) in enumerate(zip(tables[1:], reaches, strict=True)):
        bits = _PRECISION - np.log2(table.astype(np.float64))
        costs[: reach + 1, number] = bits[reach:-1]
        costs[reach + 1 :, number] = bits[-1] + _ESCAPED_BITS
    return costs
