"""States: what they say of the measurements beside them, and how rare a combination of them is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.export.channels.kinds import Kinds

__all__ = ["RareStates", "StateEffect", "fit_effect"]

#: What states say passes through so many numbers at most, and is learned from so many block means of them.
_RANK, _BLOCKS_MOST = 16, 768
#: Shares of the states' variance that are added to it before its inverse is taken; the best on the last windows stays.
_RIDGES = (1e-2, 1e-1, 1.0)
#: States are left aside unless they take this share off the measurements' squares in windows that did not teach them.
_WORTH, _TOLD = 0.02, 0.25
#: Numbers of the windows that teach.
_NUMBERS = 20_000_000

#: Combinations that are told apart, the most frequent ones; any other counts as new.
COMBINATIONS = 256
#: The score of a combination as rare as the rarest that was held out, and of one that is new where none was.
HELD_OUT_TOP, TOP = 0.8, 1.25
#: Combinations as rare as this share of the held-out rows, and rarer ones, have a voice.
_RARE = 0.01
#: So many rows must be held out before a combination counts as unheard of.
_ROWS = 1000


class Stored(nn.Module):
    """A module whose buffers take the shapes of those that are loaded."""

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        for name, buffer in list(self._buffers.items()):
            stored = state_dict.get(prefix + name)
            if buffer is not None and stored is not None and stored.shape != buffer.shape:
                self._buffers[name] = torch.zeros_like(stored)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class StateEffect(Stored):
    """window float32 [batch, time, channels], raw -> what its states say of it [batch, time, learned], in scaled units.

    Linear in the flags of the window (one for each value of a state but the most frequent), of low rank; 0 until `set`.
    A missing state says nothing.
    """

    columns: Tensor
    values: Tensor
    down: Tensor
    up: Tensor

    def __init__(self, kinds: Kinds, window: int) -> None:
        super().__init__()
        pairs = [(place, value) for place in kinds.places("state") for value in kinds.values[place][1:]]
        self.window, self.learned, self.flags = window, len(kinds.learned), len(pairs)
        self.register_buffer(
            "columns", torch.tensor([place for place, _ in pairs], dtype=torch.int64), persistent=False
        )
        self.register_buffer("values", torch.tensor([value for _, value in pairs]), persistent=False)
        self.register_buffer("down", torch.zeros(window * len(pairs), 0))
        self.register_buffer("up", torch.zeros(0, window * self.learned))

    @property
    def speaks(self) -> bool:
        """Whether there is any effect."""
        return self.up.shape[0] > 0

    def flagged(self, window: Tensor) -> Tensor:
        """[batch, time, flags], 1 where a state has that value."""
        return (window.index_select(2, self.columns) == self.values).to(window.dtype)

    def forward(self, window: Tensor) -> Tensor:
        said = self.flagged(window).flatten(1) @ self.down @ self.up
        return said.reshape(-1, self.window, self.learned)


@torch.no_grad()
def fit_effect(effect: StateEffect, windows: Tensor, scaled: Tensor) -> None:
    """Set what states say of the scaled windows [n, time, learned], missing samples 0; `windows` are the raw ones.

    Reduced-rank ridge regression (Izenman 1975) on the states' means over blocks of rows. Nothing is set where it is
    not worth its time on the last windows.
    """
    if not effect.flags or len(windows) < 8:
        return
    stride = -(-windows.shape[0] * scaled[0].numel() // _NUMBERS)
    windows, scaled = windows[::stride], scaled[::stride]
    rows, flags = effect.window, effect.flags
    blocks = max(1, min(rows, _BLOCKS_MOST // flags))
    block = torch.arange(rows) * blocks // rows
    pooling = torch.nn.functional.one_hot(block, blocks).double()
    pooling /= pooling.sum(0)
    told = np.concatenate(
        [torch.einsum("ntf,tb->nbf", part.double(), pooling).flatten(1).numpy() for part in _flags(effect, windows)]
    )
    answers = scaled.flatten(1).double().numpy()
    cut = len(told) - max(1, round(_TOLD * len(told)))
    best, error = None, (1 - _WORTH) * _squares(answers[cut:])
    for ridge in _RIDGES:
        weights = _regression(told[:cut], answers[:cut], ridge)
        if weights is not None and (found := _squares(answers[cut:] - told[cut:] @ weights[0] @ weights[1])) < error:
            best, error = ridge, found
    if best is None or (weights := _regression(told, answers, best)) is None:
        return
    down, up = (torch.from_numpy(part) for part in weights)
    spread = torch.einsum("tb,bfk->tfk", pooling, down.reshape(blocks, flags, -1))
    effect.down, effect.up = spread.reshape(rows * flags, -1).float(), up.float()


def _flags(effect: StateEffect, windows: Tensor) -> Iterable[Tensor]:
    return (effect.flagged(part) for part in windows.split(512))


def _squares(values: NDArray[np.float64]) -> float:
    return float(np.square(values).sum())


def _regression(
    told: NDArray[np.float64], answers: NDArray[np.float64], ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(down [p, k], up [k, q]) whose product turns `told` [n, p] into `answers` [n, q]; None where nothing moves.

    No constant is added: scaled windows have their median at 0, and so has the usual state.
    """
    gram = told.T @ told
    trace = float(np.trace(gram))
    if trace <= 0:
        return None
    ridged = gram + ridge * trace / len(gram) * np.eye(len(gram))
    weights = np.asarray(np.linalg.solve(ridged, told.T @ answers), np.float64)
    # The leading directions of what is answered, by the smaller of two products.
    _, vectors = (
        np.linalg.eigh(weights.T @ gram @ weights) if weights.shape[1] <= len(gram) else _directions(weights, gram)
    )
    leading = vectors[:, ::-1][:, :_RANK]
    return weights @ leading, np.ascontiguousarray(leading.T)


def _directions(
    weights: NDArray[np.float64], gram: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The last right singular vectors of root(gram) @ weights, ascending, where it is wide."""
    values, vectors = np.linalg.eigh(gram)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T @ weights
    size, left = np.linalg.eigh(root @ root.T)
    kept = size > 1e-12 * max(float(size[-1]), 1e-300)
    return size[kept], root.T @ left[:, kept] / np.sqrt(size[kept])


class RareStates(Stored):
    """window float32 [batch, time, channels], raw -> (score [batch], share of each state in it [batch, states]).

    Of the states in the last row: 0 for usual combinations, up to `HELD_OUT_TOP` for the rarest that held-out rows
    had, at most `TOP` for new ones. Where states are missing, all combinations that fit count together. 0 until
    `learn`.
    """

    columns: Tensor
    places: Tensor
    values: Tensor
    owner: Tensor
    codes: Tensor
    counts: Tensor
    scale: Tensor
    surprise: Tensor

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        states = kinds.places("state")
        pairs = [(number, value) for number, place in enumerate(states) for value in kinds.values[place]]
        self.states = len(states)
        # Every value has a column of its own, so that one never seen is in none.
        self.register_buffer(
            "columns", torch.tensor([states[n] for n, _ in pairs], dtype=torch.int64), persistent=False
        )
        self.register_buffer("values", torch.tensor([value for _, value in pairs]), persistent=False)
        owner = torch.tensor([n for n, _ in pairs], dtype=torch.int64)
        self.register_buffer("owner", torch.nn.functional.one_hot(owner, max(1, self.states)).float(), persistent=False)
        self.register_buffer("places", torch.tensor(states, dtype=torch.int64), persistent=False)
        self.register_buffer("codes", torch.zeros(len(pairs), 1))
        self.register_buffer("counts", torch.zeros(1))
        self.register_buffer("surprise", torch.zeros(len(pairs)))
        self.register_buffer("scale", torch.zeros(3))  # logarithm of a usual count, slope, the highest score

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        flags, there = self._last(window[:, -1])
        voice = self._voice(self._count(flags, there))
        seen = flags @ self.owner
        # A value that never was is as surprising as can be.
        surprise = flags @ (self.owner * self.surprise[:, None]) + (there - seen) * _NEW
        return voice, surprise / surprise.sum(1, keepdim=True).clamp_min(1e-6)

    def _last(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of rows [n, channels]: which values are taken [n, values], and which states are there [n, states]."""
        flags = (rows.index_select(1, self.columns) == self.values).to(rows.dtype)
        there = torch.logical_not(torch.isnan(rows.index_select(1, self.places)))
        return flags, there.to(rows.dtype)

    def _count(self, flags: Tensor, there: Tensor) -> Tensor:
        """In how many rows of the training the states of a row were so, [n]."""
        fits = (flags @ self.codes >= there.sum(1, keepdim=True) - 0.5).to(flags.dtype)
        return fits @ self.counts

    def _voice(self, count: Tensor) -> Tensor:
        """The score for combinations that were so often in training, [n]."""
        return torch.minimum(((self.scale[0] - torch.log(count + 0.5)) * self.scale[1]).clamp_min(0.0), self.scale[2])

    @torch.no_grad()
    def learn(self, fitted: Tensor, held_out: Tensor) -> None:
        """Take how often combinations come from rows [n, channels], and what is rare from others."""
        if not self.states:
            return
        flags, there = self._last(fitted)
        whole = flags[there.sum(1) == self.states]
        if not len(whole) or not len(held_out):
            return
        codes, counts = torch.unique(whole, dim=0, return_counts=True)
        order = torch.argsort(counts, descending=True, stable=True)[:COMBINATIONS]
        self.codes, self.counts = codes[order].T.contiguous(), counts[order].float()
        self.surprise = -torch.log((whole.sum(0) + 0.5) / (len(whole) + 1))
        found = torch.log(self._count(*self._last(held_out)) + 0.5).sort().values
        usual, rarest, never = float(found[int(_RARE * (len(found) - 1))]), float(found[0]), math.log(0.5)
        top = TOP if rarest > never and len(found) >= _ROWS else HELD_OUT_TOP
        if usual <= never:  # new combinations are nothing new
            self.scale = torch.zeros(3)
            return
        self.scale = torch.tensor([usual, HELD_OUT_TOP / max(usual - rarest, math.log(2.0)), top])


#: The surprise of a value of a state that training never showed.
_NEW = 20.0
