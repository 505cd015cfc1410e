"""A new family is one file and one line in the registry: a toy, learned, exported and scored the public way."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aez.codec.detect.detector import load_detector
from aez.codec.detect.pictures import PictureDetector
from aez.codec.errors import InvalidArgument
from aez.export import PictureConfig, SeriesDetector, learn_pictures
from aez.export.families import registry
from aez.export.families.base import Family, within

Array = np.ndarray[Any, np.dtype[Any]]


class Toy(Family):
    """`latent` linear features of a window, and back."""

    family: ClassVar[str] = "toy"

    def __init__(self, window: int, channels: int, *, latent: int = 8) -> None:
        super().__init__(window, channels)
        within("latent", latent, 1, 64)
        self.down, self.up = nn.Linear(window * channels, latent), nn.Linear(latent, window * channels)

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        code: Tensor = self.down(x.flatten(1))
        return code

    def decode(self, latent: Tensor) -> Tensor:
        return self.shaped(self.up(latent))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the toy, whose file is this one; the line for each kind of data is here."""
    monkeypatch.setitem(registry.SERIES, "toy", f"{__name__}:Toy")
    monkeypatch.setitem(registry.PICTURES, "toy", f"{__name__}:Toy")
    return "toy"


def test_a_new_family_of_series_is_learned_saved_and_pickled(toy: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.sin(2 * np.pi * np.arange(900)[:, None] / 12 + np.arange(2)) + 0.05 * rng.normal(size=(900, 2))
    made = SeriesDetector(toy, window=12, steps=20, options={"latent": 6}).fit(rows)
    made.save(tmp_path / "toy.aezm")
    opened = load_detector(tmp_path / "toy.aezm")
    assert opened.bundle.manifest["family"] == "toy"
    assert opened.bundle.manifest["provenance"]["network"]["options"] == {"latent": 6}
    broken = rows[-100:].copy()
    broken[50:, 1] += 5
    loaded = SeriesDetector.load(tmp_path / "toy.aezm")
    assert (loaded.predict(rows[-100:]) == 1).all()
    assert (loaded.predict(broken)[60:] == -1).all()
    assert np.array_equal(pickle.loads(pickle.dumps(made)).anomaly_score(broken), made.anomaly_score(broken))


def test_a_new_family_of_pictures_is_learned_too(toy: str) -> None:
    rng = np.random.default_rng(0)
    pictures = (100 + 30 * np.sin(np.arange(16) / 2) + rng.normal(0, 3, (60, 16, 16))).astype(np.uint8)
    bundle = learn_pictures(pictures, PictureConfig(toy, score=("spots",), flagged=5), steps=20, device="cpu")
    assert bundle.manifest["family"] == "toy"
    spotted = pictures[:5].copy()
    spotted[:, 4:10, 4:10] = 255
    assert PictureDetector(bundle, "cpu", 1).score(list(spotted)).score.min() > 1


def test_names_are_known_without_torch() -> None:
    script = "import sys; from aez.export.families.registry import NAMES; assert NAMES and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_every_line_leads_to_a_family() -> None:
    for table in (registry.SERIES, registry.PICTURES):
        for name in table:
            assert registry.family_class(name, table).family == name


@pytest.mark.parametrize("name", registry.PICTURES)
@pytest.mark.parametrize("side", [16, 512])
def test_a_familys_options_for_pictures_are_options_of_its_own(name: str, side: int) -> None:
    made = registry.family_class(name, registry.PICTURES)
    registry.check_options(name, made, made.options_for_pictures(side * side, 3))


def test_a_family_without_a_prior_has_no_divergence() -> None:
    torch.manual_seed(0)
    with pytest.raises(InvalidArgument, match="family toy has no ELBO"):
        Toy(4, 2).divergence(torch.zeros(1, 4, 2))
