"""A hardly trained bundle of each family of autoencoders, and the items that it learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aez.codec.vectors.items import Items, items_of_array
from aez.export.autoencoders.registry import FAMILIES
from aez.export.autoencoders.train import AutoencoderConfig, learn_autoencoder, make_bundle
from tests.kit.made_once import MadeOnce
from tests.kit.rings import rings

#: No precision but float32, so that every machine computes the same.
QUICK = {"steps": 30, "precision": "32-true", "device": "cpu", "quiet": True}
OF_VECTORS = ("contractive", "sparse", "pca")


def items_for(family: str) -> Items:
    """Pictures, or for three of the families vectors."""
    if family in OF_VECTORS:
        rng = np.random.default_rng(0)
        return items_of_array((rng.normal(size=(200, 3)) @ rng.normal(size=(3, 8)) * 10 + 5).astype(np.float32))
    return items_of_array(rings(200))


def small_autoencoders(made_once: MadeOnce) -> dict[str, Path]:
    """Family -> its bundle."""

    def make(folder: Path) -> None:
        for family in FAMILIES:
            options = {"likelihood": "bernoulli", "binarise": True} if family == "beta" else {}
            config = AutoencoderConfig(family, {"latent": 5, **options})
            learned = learn_autoencoder(items_for(family), config, folder / family, changes=QUICK)
            (folder / f"{family}.aezm").write_bytes(make_bundle(learned, family, "drawn").to_bytes())

    folder = made_once("autoencoders", make)
    return {family: folder / f"{family}.aezm" for family in FAMILIES}
