"""Iris flowers in 3 numbers: four measurements of 150 flowers, learned, kept and brought back.

python samples/autoencoders/iris.py        (needs pip install 'aez[train]'; scikit-learn brings the flowers)
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_iris

from aez.codec.vectors import Autoencoder, items_of_array
from aez.export import AutoencoderConfig, learn_items


def main() -> None:
    """Learn by a network and by PCA, and print the error of each in centimetres."""
    flowers = load_iris().data.astype(np.float32)
    items = items_of_array(flowers, "iris")
    for family in ("dense", "pca"):
        model = Autoencoder(learn_items(items, AutoencoderConfig(family, {"latent": 3}), name="iris"))
        back = model.decode(model.encode(flowers).mean)
        print(f"{family}: 3 numbers for 4, {np.sqrt(np.mean((back - flowers) ** 2)):.4f} cm off (root mean square)")


if __name__ == "__main__":
    main()
