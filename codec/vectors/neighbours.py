"""The nearest of many vectors: searched exactly where they are few, by a graph of neighbours (Faiss) where many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument

__all__ = ["METRICS", "nearest", "nearest_others", "precision"]

Float = NDArray[np.float32]
METRICS = ("euclidean", "cosine")
#: Up to so many distances are computed all; more are found by Faiss' HNSW graph.
EXACT_MAX = 4_000_000_000
#: Links of a vector in the graph, and candidates kept while searching it.
_LINKS, _CANDIDATES = 32, 128
_BLOCK = 256


def nearest(
    index: Float, queries: Float, count: int, metric: str = "euclidean", exact: bool | None = None
) -> tuple[NDArray[np.int64], Float]:
    """(Numbers [m, count] of the vectors of `index` [n, d] that are nearest to each of `queries` [m, d], distances).

    Cosine distances are 1 - cosine. Exact, unless n * m exceeds 4e9 or `exact` is False. Raises InvalidArgument for
    vectors of another length, a count outside 1..n, and an unknown metric.
    """
    if metric not in METRICS:
        raise InvalidArgument(f"distance {metric!r} is unknown; use {' or '.join(METRICS)}")
    if index.ndim != 2 or queries.ndim != 2 or index.shape[1] != queries.shape[1]:
        raise InvalidArgument(f"vectors of {index.shape[1:]} and {queries.shape[1:]} numbers cannot be compared")
    if not 1 <= count <= len(index):
        raise InvalidArgument(f"{count} neighbours of {len(index):,} vectors; give 1 to {len(index):,}")
    if metric == "cosine":
        index, queries = _directions(index), _directions(queries)
    exact = len(index) * len(queries) <= EXACT_MAX if exact is None else exact
    numbers, squares = (_exactly if exact else _by_graph)(np.ascontiguousarray(index), queries, count)
    # Of directions the squared distance is 2 - 2 cosine.
    distances: Float = squares / np.float32(2) if metric == "cosine" else np.sqrt(squares)
    return numbers, distances


def nearest_others(
    index: Float, queries: Float, count: int, metric: str, own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Float]:
    """As `nearest`, without the vector of the query itself, whose number in `index` is in `own`, or -1.

    Where all others are fewer than `count`, as many as there are. Raises InvalidArgument where there are none.
    """
    if not (own >= 0).any():
        return nearest(index, queries, min(count, len(index)), metric)
    count = min(count, len(index) - 1)
    if not count:
        raise InvalidArgument("the index holds nothing but the query itself")
    numbers, distances = nearest(index, queries, count + 1, metric)
    kept = np.argsort(numbers == own[:, None], axis=1, kind="stable")[:, :count]
    return np.take_along_axis(numbers, kept, 1), np.take_along_axis(distances, kept, 1)


def precision(numbers: NDArray[np.int64], labels: Sequence[str], asked: Sequence[str]) -> float:
    """Share of the neighbours [m, k] whose label is that of the query, the mean over the queries."""
    known, wanted = np.asarray(labels), np.asarray(asked)
    return float((known[numbers] == wanted[:, None]).mean())


def _directions(vectors: Float) -> Float:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Float = vectors / np.maximum(lengths, np.float32(1e-12))
    return directions


def _exactly(index: Float, queries: Float, count: int) -> tuple[NDArray[np.int64], Float]:
    lengths = np.square(index).sum(1)
    found = np.empty((len(queries), count), np.int64)
    squares = np.empty((len(queries), count), np.float32)
    for start in range(0, len(queries), _BLOCK):
        asked = queries[start : start + _BLOCK]
        near = lengths - 2 * (asked @ index.T)
        numbers = np.argpartition(near, count - 1, axis=1)[:, :count]
        part = np.take_along_axis(near, numbers, 1)
        # Equal distances keep the order of the index.
        order = np.lexsort((numbers, part), axis=1)
        found[start : start + _BLOCK] = numbers = np.take_along_axis(numbers, order, 1)
        squares[start : start + _BLOCK] = np.square(index[numbers] - asked[:, None]).sum(2)
    return found, squares


def _by_graph(index: Float, queries: Float, count: int) -> tuple[NDArray[np.int64], Float]:
    faiss = library("faiss", "similar")
    graph = faiss.IndexHNSWFlat(index.shape[1], _LINKS)
    graph.hnsw.efSearch = max(_CANDIDATES, 2 * count)
    graph.add(index)
    squares, numbers = graph.search(np.ascontiguousarray(queries), count)
    return numbers.astype(np.int64), squares
