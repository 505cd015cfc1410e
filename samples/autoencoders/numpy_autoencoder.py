"""An autoencoder in NumPy alone: one hidden layer down and one back, its gradient by hand, and the check of it.

With a straight way back such a network reaches PCA and cannot pass it (Bourlard, Kamp 1988), which the last lines show.

python samples/autoencoders/numpy_autoencoder.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = dict[str, Array]


def new_weights(numbers: int, code: int, seed: int = 0) -> Weights:
    """Small random weights, and biases of 0."""
    rng = np.random.default_rng(seed)
    return {
        "down": rng.normal(0, numbers**-0.5, (numbers, code)),
        "down_bias": np.zeros(code),
        "up": rng.normal(0, code**-0.5, (code, numbers)),
        "up_bias": np.zeros(numbers),
    }


def encode(weights: Weights, x: Array) -> Array:
    """Codes [n, code] of items [n, numbers]."""
    return np.tanh(x @ weights["down"] + weights["down_bias"])


def decode(weights: Weights, code: Array) -> Array:
    """Items of codes."""
    return code @ weights["up"] + weights["up_bias"]


def loss_and_gradient(weights: Weights, x: Array) -> tuple[float, Weights]:
    """The mean squared error, and what it changes by each weight: the chain rule from the end to the start."""
    code = encode(weights, x)
    error = decode(weights, code) - x
    by_made = 2 * error / error.size
    by_sum = (by_made @ weights["up"].T) * (1 - code**2)  # tanh' = 1 - tanh^2
    gradient = {
        "up": code.T @ by_made,
        "up_bias": by_made.sum(0),
        "down": x.T @ by_sum,
        "down_bias": by_sum.sum(0),
    }
    return float(np.mean(error**2)), gradient


def largest_difference(weights: Weights, x: Array, step: float = 1e-5) -> float:
    """Between the gradient and central differences, relative to the gradient's largest number."""
    _, gradient = loss_and_gradient(weights, x)
    largest = max(float(np.abs(one).max()) for one in gradient.values())
    worst = 0.0
    for name, values in weights.items():
        for place in np.ndindex(values.shape):
            kept = values[place]
            sides = []
            for moved in (kept + step, kept - step):
                values[place] = moved
                sides.append(loss_and_gradient(weights, x)[0])
            values[place] = kept
            worst = max(worst, abs((sides[0] - sides[1]) / (2 * step) - gradient[name][place]) / largest)
    return worst


def learn(x: Array, code: int, steps: int = 3000, rate: float = 0.02, seed: int = 0) -> Weights:
    """Weights by Adam (Kingma, Ba 2015) on all items at once."""
    weights = new_weights(x.shape[1], code, seed)
    mean = {name: np.zeros_like(one) for name, one in weights.items()}
    square = {name: np.zeros_like(one) for name, one in weights.items()}
    for step in range(1, steps + 1):
        _, gradient = loss_and_gradient(weights, x)
        for name, one in gradient.items():
            mean[name] += 0.1 * (one - mean[name])
            square[name] += 0.001 * (one**2 - square[name])
            unbiased = mean[name] / (1 - 0.9**step)
            weights[name] -= rate * unbiased / (np.sqrt(square[name] / (1 - 0.999**step)) + 1e-8)
    return weights


def main() -> None:
    """Check the gradient, learn points on a bent surface of two dimensions in six, and print what is left."""
    rng = np.random.default_rng(0)
    place = rng.uniform(-1, 1, (400, 2))
    x = np.concatenate([place, np.sin(2 * place), place[:, :1] * place[:, 1:], place[:, :1] ** 2], axis=1)
    x = (x - x.mean(0)) / x.std(0)
    print(f"gradient against differences: {largest_difference(new_weights(6, 3), x[:20]):.1e}")
    weights = learn(x, 3)
    print(f"error of 3 numbers for 6: {loss_and_gradient(weights, x)[0]:.4f}")
    values = np.linalg.svd(x, compute_uv=False)
    print(f"of 3 principal components: {np.sum(values[3:] ** 2) / x.size:.4f}")


if __name__ == "__main__":
    main()
