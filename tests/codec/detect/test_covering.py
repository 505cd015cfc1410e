"""Scores that look ahead: means over the windows that cover a row."""

import numpy as np
import pytest

from aez.codec.detect.covering import CoveringMean, covering_mean
from aez.codec.errors import InvalidArgument


def plain(scores: np.ndarray, window: int) -> np.ndarray:
    """By their definition."""
    n = len(scores)
    return np.array([scores[max(0, row - window + 1) : row + 1].mean(axis=0) for row in range(n + window - 1)])


@pytest.mark.parametrize(("n", "window"), [(1, 1), (50, 1), (1, 7), (3, 7), (7, 7), (100, 7), (64, 64), (500, 33)])
def test_a_row_gets_the_mean_over_the_windows_that_cover_it(n: int, window: int) -> None:
    scores = np.random.default_rng(n).random((n, 3))
    np.testing.assert_allclose(covering_mean(scores, window), plain(scores, window), rtol=1e-12)


def test_pieces_do_not_change_a_bit() -> None:
    scores = np.random.default_rng(1).random((1000, 2))
    whole = covering_mean(scores, 12)
    for sizes in ([1] * 1000, [5, 0, 300, 11, 684], [999, 1]):
        mean = CoveringMean(12)
        parts = [mean.add(part) for part in np.split(scores, np.cumsum(sizes)[:-1])]
        assert [len(part) for part in parts] == sizes
        np.testing.assert_array_equal(np.concatenate([*parts, mean.finish()]), whole)


def test_a_huge_score_leaves_nothing_behind_when_it_has_passed() -> None:
    scores = np.full((200, 1), 0.1)
    scores[50] = 1e30
    found = covering_mean(scores, 10)
    assert (found >= 0).all()
    np.testing.assert_allclose(found[[*range(50), *range(60, 209)], 0], 0.1, rtol=1e-12)


def test_no_windows_cover_no_rows() -> None:
    assert covering_mean(np.empty((0, 3)), 5).size == 0
    assert CoveringMean(5).finish().size == 0
    with pytest.raises(InvalidArgument, match="at least 1 row"):
        CoveringMean(0)
