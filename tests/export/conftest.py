"""One export that several modules look at: exporting its graphs takes some thirty seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aez.codec.bundle.bundle import Bundle
from aez.export.photo.bundle import export_photo
from tests.kit.made_once import MadeOnce
from tests.kit.small_photo import Exported, make_network, make_pictures

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def exported(made_once: MadeOnce) -> Exported:
    """The network as the export left it, and what was exported."""

    def export(folder: Path) -> None:
        network, pictures = make_network(), make_pictures(8).split(4)
        bundle = export_photo(network, folder / "small.aezm", "small", pictures, {"data": "noise"}, {"psnr": 30.0})
        torch.save(network.state_dict(), folder / "network.pt")
        (folder / "id").write_text(bundle.id)

    folder = made_once("small-photo", export)
    network, path = make_network(), folder / "small.aezm"
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    return Exported(network, Bundle.open(path), path, (folder / "id").read_text())
