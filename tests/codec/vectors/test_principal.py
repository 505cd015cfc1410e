"""Principal components in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from aez.codec.vectors.principal import Principal


@pytest.mark.parametrize("shape", [(200, 10), (20, 100)])  # more rows than numbers, and fewer
def test_components_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32) * np.arange(1, shape[1] + 1) + 3
    found = Principal.of(rows.astype(np.float32), 4)
    _, values, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert np.abs(np.sum(found.components * vectors[:4], 1)) == pytest.approx(1, abs=1e-4)
    assert found.shares == pytest.approx(values[:4] ** 2 / np.square(values).sum(), rel=1e-4)


def test_rows_of_few_components_come_back_and_no_more_are_given() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 30)) + 5).astype(np.float32)
    found = Principal.of(rows, 8)
    assert found.components.shape == (2, 30)
    assert found.restore(found.project(rows)) == pytest.approx(rows, abs=1e-3)
    assert found.project(rows, 1).shape == (50, 1)
