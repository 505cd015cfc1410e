"""The recipes in samples/autoencoders."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.kit.places import SAMPLES

FOLDER = SAMPLES / "autoencoders"
Load = Callable[[str], ModuleType]
#: Recipe -> a row of its table that must be there.
RECIPES = {
    "denoise": "non-local means",
    "digits": "WebP by as many",
    "drawn": "all",
    "few_labels": "32 components",
    "lesions": "unusual brightness",
    "lidar": "PNG, steps of 10 cm",
    "meter": "isolation forest",
    "mri": "network that learned rician noise",
    "radiographs": "isolation forest",
    "similar": "pca, of roots",
    "templates": "product quantisation, 64",
    "video": "PCA, 16 numbers",
}


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Import a module of the recipes, which lie on no path."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def by_hand(load: Load) -> ModuleType:
    """The autoencoder in NumPy."""
    return load("numpy_autoencoder")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leaves_a_picture_and_its_figures(load: Load, name: str, tmp_path: Path) -> None:
    load(name).main(["--quick", "--out", str(tmp_path)])
    figures = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert figures["quick"] is True
    assert RECIPES[name] in figures["rows"]
    with Image.open(tmp_path / f"{name}.png") as picture:
        assert picture.width > 300
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 10


def test_every_recipe_is_run_and_shown(load: Load) -> None:
    shared = {"helper", "scans", "iris", "numpy_autoencoder"}
    assert {path.stem for path in FOLDER.glob("*.py")} == {*RECIPES, *shared}
    said = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in RECIPES if f"`{name}.py`" not in said] == []
    assert all(load(name).__doc__ for name in shared)


def test_iris_in_three_numbers(load: Load, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    iris = load("iris")
    learn = iris.learn_items
    monkeypatch.setattr(iris, "learn_items", lambda *given, **more: learn(*given, steps=20, **more))
    iris.main()
    said = capsys.readouterr().out
    assert "pca: 3 numbers for 4, 0.1064 cm" in said
    assert "dense: 3 numbers for 4" in said


def test_equal_errors_of_pairs(load: Load) -> None:
    templates = load("templates")
    apart = np.linspace(0.6, 1, 100), np.linspace(0, 0.4, 1000)
    assert templates.equal_error(*apart) == pytest.approx(0, abs=0.011)
    same = np.sort(np.random.default_rng(0).normal(size=2000)), np.sort(np.random.default_rng(1).normal(size=2000))
    assert templates.equal_error(*same) == pytest.approx(0.5, abs=0.03)
    assert templates.refused_at(*apart, 1e-3) == 0


def test_what_is_planted_lies_in_the_lungs_and_changes_the_picture(load: Load) -> None:
    scans = load("scans")
    healthy, lungs = scans.chests(8, 1)
    asked, masks = scans.planted(healthy, lungs, 2)
    assert masks.any(axis=(1, 2)).all()
    assert (lungs[masks > 0] > 0.3).all()
    changed = np.abs(asked - healthy)
    assert changed[masks > 0].mean() > 20 * changed[masks == 0].mean()


def test_a_range_is_the_distance_to_the_ground_and_to_walls(load: Load) -> None:
    lidar = load("lidar")
    ranges = lidar.streets(3, 0)
    down = np.radians(-22)
    assert ranges[:, -1].max() <= lidar.HEIGHT / -np.sin(down) + 0.2
    np.testing.assert_allclose(lidar.ranges_of(lidar.nearness(ranges)), ranges, rtol=1e-4)


def test_odd_days_are_as_many_as_are_asked_for(load: Load) -> None:
    meter = load("meter")
    days, what = meter.days(200, 3, 0)
    assert days.shape == (200, 48)
    assert sorted(one for one in what if one) == sorted(3 * meter.ODD)


def test_the_gradient_by_hand_is_that_of_differences(by_hand: ModuleType) -> None:
    x = np.random.default_rng(1).normal(size=(7, 4))
    assert by_hand.largest_difference(by_hand.new_weights(4, 2), x) < 1e-8


def test_the_numpy_autoencoder_learns(by_hand: ModuleType) -> None:
    angle = np.linspace(-1.5, 1.5, 100)[:, None]
    x = np.concatenate([np.sin(angle), angle, angle**3 / 3], axis=1)
    before = by_hand.loss_and_gradient(by_hand.new_weights(3, 1), x)[0]
    assert by_hand.loss_and_gradient(by_hand.learn(x, 1, steps=400), x)[0] < before / 10
