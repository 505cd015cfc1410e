"""One export that several modules look at: exporting its graphs takes some ten seconds."""

from __future__ import annotations

import pytest
import torch

from aez.export.photo.bundle import export_photo
from tests.kit.small_photo import Exported, make_network, make_pictures

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network = make_network()
    path = tmp_path_factory.mktemp("exported") / "small.aezm"
    bundle = export_photo(network, path, "small", make_pictures(8).split(4), {"data": "noise"}, {"psnr": 30.0})
    return Exported(network, bundle, path)
