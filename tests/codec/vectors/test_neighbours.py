"""The search for neighbours: exact, and by a graph of neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.codec.vectors import nearest, precision
from aez.codec.vectors.neighbours import METRICS, nearest_others


def vectors(count: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).normal(size=(count, 12)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_the_graph_finds_what_the_exact_search_finds(metric: str) -> None:
    index, asked = vectors(3000, 0), vectors(100, 1)
    exact, distances = nearest(index, asked, 10, metric, exact=True)
    found, near = nearest(index, asked, 10, metric, exact=False)
    shared = np.mean([len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]) / 10
    assert shared > 0.98
    np.testing.assert_allclose(near[:, 0], distances[:, 0], rtol=1e-3, atol=1e-3)


def test_exact_neighbours_are_those_of_all_distances() -> None:
    index, asked = vectors(300, 0), vectors(300, 1)
    numbers, distances = nearest(index, asked, 3)
    every = np.linalg.norm(index[None] - asked[:, None], axis=2)
    np.testing.assert_array_equal(numbers, np.argsort(every, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :3], rtol=1e-4)


def test_an_item_is_not_its_own_neighbour() -> None:
    index = vectors(20, 0)
    index[7] = index[3]  # a copy of another name is a neighbour
    own = np.array([3, 5, -1])
    asked = index[[3, 5, 9]]
    numbers, distances = nearest_others(index, asked, 4, "euclidean", own)
    every = np.linalg.norm(index[None] - asked[:, None], axis=2)
    every[[0, 1], [3, 5]] = np.inf
    assert (numbers[0, 0], distances[0, 0]) == (7, 0)
    assert not (numbers == own[:, None]).any()
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :4], rtol=1e-4, atol=1e-3)
    assert nearest_others(index, asked, 50, "cosine", own)[0].shape == (3, 19)
    assert nearest_others(index, asked, 50, "cosine", np.full(3, -1))[0].shape == (3, 20)
    with pytest.raises(InvalidArgument, match="nothing but the query itself"):
        nearest_others(index[:1], index[:1], 1, "cosine", np.array([0]))


def test_precision_is_the_share_with_the_label() -> None:
    assert precision(np.array([[0, 1], [1, 2]]), ("a", "b", "b"), ("a", "b")) == 0.75
