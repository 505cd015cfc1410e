"""The baselines give back what lies on a curve."""

from __future__ import annotations

import numpy as np

from aez.export.autoencoders.baselines import KernelPCA, PerceptronRegressor


def circle(count: int, seed: int) -> np.ndarray:
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1)


def test_kernel_pca_follows_a_curve() -> None:
    baseline = KernelPCA(circle(300, 0), 8, gamma=1.0)
    fresh = circle(50, 1)
    assert baseline.encode(fresh).shape == (50, 8)
    assert np.square(baseline.reconstruct(fresh) - fresh).mean() < 0.02 * fresh.var()


def test_a_perceptron_gives_its_own_input() -> None:
    items = circle(400, 0)
    baseline = PerceptronRegressor(items, (32, 2, 32), epochs=150)
    assert np.square(baseline.reconstruct(items) - items).mean() < 0.5 * items.var()
