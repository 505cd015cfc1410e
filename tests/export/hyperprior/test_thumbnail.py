"""Pictures at an eighth of their size straight from the latent."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from aez.codec.bundle.session import open_session
from aez.export.hyperprior.graphs import export_fitted
from aez.export.hyperprior.thumbnail import THUMBNAIL, ThumbnailGraph, thumbnail_sides
from tests.kit.small_photo import make_network, make_pictures


def test_the_layer_gives_the_block_means_of_what_the_synthesis_makes() -> None:
    network = make_network().eval()
    pictures = make_pictures(62, 64)
    part = ThumbnailGraph.fitted(network, pictures[:60].split(10))
    sides = thumbnail_sides(network.config.channels)
    session = open_session(export_fitted(THUMBNAIL, part, sides, network.config), "cpu", threads=1)
    level = torch.tensor([600.0, 1800.0])
    with torch.no_grad():
        whitened = network.decoded_latent(pictures[60:], level)
        means = nn.functional.avg_pool2d(network.picture(whitened, level).clamp(0, 1), 8)
        y = whitened / network.inverse_gain(level)
    found = session.run({"y": y.numpy(), "level": level.numpy()})["image"]
    assert found.shape == (2, 3, 8, 8)
    assert np.abs(found - means.numpy()).mean() < 0.01
    assert found.min() >= 0
    assert found.max() <= 1


def test_equal_pictures_give_equal_layers() -> None:
    network = make_network().eval()
    first, second = (ThumbnailGraph.fitted(network, make_pictures(4, 64).split(2)) for _ in range(2))
    assert torch.equal(first.layer.weight, second.layer.weight)
