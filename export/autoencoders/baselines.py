"""What is set beside the autoencoders: kernel PCA and a perceptron that gives its own input, both scikit-learn's."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating[Any]]
#: Kernel PCA holds a matrix of all pairs.
KERNEL_ITEMS_MAX = 4000


class Baseline(Protocol):
    """Fitted on items [n, numbers]; gives back items of that shape."""

    def reconstruct(self, items: Float) -> Float: ...


class KernelPCA:
    """Principal components of a Gaussian kernel (Schölkopf, Smola, Müller 1998), with scikit-learn's learned way back.

    Of more than 4,000 items evenly spread ones are taken.
    """

    def __init__(self, items: Float, components: int, gamma: float | None = None) -> None:
        from sklearn.decomposition import KernelPCA as Kernel

        some = items[np.linspace(0, len(items) - 1, min(len(items), KERNEL_ITEMS_MAX)).astype(int)]
        self._kernel = Kernel(components, kernel="rbf", gamma=gamma, fit_inverse_transform=True, alpha=0.01)
        self._kernel.fit(some)

    def encode(self, items: Float) -> Float:
        """Codes [n, components]."""
        codes: Float = self._kernel.transform(items)
        return codes

    def reconstruct(self, items: Float) -> Float:
        """What comes back of items [n, numbers]."""
        back: Float = self._kernel.inverse_transform(self._kernel.transform(items))
        return back


class PerceptronRegressor:
    """scikit-learn's MLPRegressor from items to themselves, through `layers` of which one is narrow."""

    def __init__(self, items: Float, layers: tuple[int, ...], *, epochs: int = 50, seed: int = 0) -> None:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        self._network = MLPRegressor(hidden_layer_sizes=layers, max_iter=epochs, random_state=seed)
        with warnings.catch_warnings():  # the passes are those that were asked for
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._network.fit(items, items)

    def reconstruct(self, items: Float) -> Float:
        """What comes back of items [n, numbers]."""
        back: Float = self._network.predict(items)
        return back
