"""Sweeps over autoencoders: what they measure, that they go on, and estimates of a dimension."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from aez.bench.autoencoders import noise
from aez.bench.autoencoders.bottleneck import elbow
from aez.bench.autoencoders.dimension import maximum_likelihood, two_neighbours
from aez.bench.autoencoders.learning import Budget, sweeping
from aez.codec.vectors.items import items_of_array
from aez.export.families.corruption import spoilt_pictures
from tests.kit.commands import run
from tests.kit.rings import rings

_QUICK = ("--steps", 4, "--device", "cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    path = tmp_path / "rings.npy"
    np.save(path, rings(60))
    return path


def sweep(name: str, pictures: Path, *more: object) -> dict:  # type: ignore[type-arg]
    result = run("bench", name, pictures, *_QUICK, "--json", *more)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.stderr
    found: dict = json.loads(result.stdout)  # type: ignore[type-arg]
    return found


@pytest.mark.parametrize(("dimension", "least", "most"), [(2, 1.7, 2.3), (5, 4.2, 5.8)])
def test_a_dimension_is_that_of_the_surface_and_not_of_the_space(dimension: int, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(1500, dimension)) @ rng.normal(size=(dimension, 30))).astype(np.float32)
    for estimate in (two_neighbours(rows), maximum_likelihood(rows)):
        assert estimate is not None
        assert least < estimate < most


def test_too_few_or_equal_rows_have_no_dimension() -> None:
    for rows in (np.zeros((50, 3), np.float32), np.eye(4, dtype=np.float32)):
        assert two_neighbours(rows) is None
        assert maximum_likelihood(rows) is None


def test_an_elbow_is_where_gains_end() -> None:
    assert elbow((2, 4, 8, 16, 32), (0.3, 0.6, 0.9, 0.92, 0.93)) == 8
    assert elbow((2, 4, 8), (0.5, 0.5, 0.5)) == 2


def test_beta_measures_each_price_and_goes_on_with_what_lies_there(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = sweep("beta", pictures, "--betas", "4,0.5", "--latent", 3, "--likelihood", "bernoulli", "-o", out)
    assert found["facts"] == {"latent": 3, "likelihood": "bernoulli"}
    assert [point["settings"]["beta"] for point in found["points"]] == [0.5, 4]
    for point in found["points"]:
        assert {"mse", "psnr", "kl", "active_units"} <= set(point["figures"])
        assert 0 <= point["figures"]["active_units"] <= 3
    names = {path.name for path in out.iterdir()}
    assert {"beta.json", "beta.txt", "beta.png", "manifold-0.5.png", "manifold-4.png"} <= names
    before = {path: path.stat().st_mtime_ns for path in (out / "networks").glob("*.aezm")}
    assert sorted(path.name[: -len("012345678901.aezm")] for path in before) == ["beta-0.5-", "beta-4-"]
    again = sweep("beta", pictures, "--betas", "0.5,4", "--latent", 3, "--likelihood", "bernoulli", "-o", out)
    assert {path: path.stat().st_mtime_ns for path in (out / "networks").glob("*.aezm")} == before
    assert again["points"] == found["points"]


def test_bottleneck_stands_beside_pca_of_pictures_in_colour(tmp_path: Path) -> None:
    coloured = tmp_path / "coloured.npy"
    np.save(coloured, np.stack([rings(60)] * 3, axis=-1))
    found = sweep("bottleneck", coloured, "--sizes", "2,8,1000", "-o", tmp_path / "out")
    assert [point["settings"]["size"] for point in found["points"]] == [2, 8]  # a code of 1000 holds 432 numbers whole
    few, many = (point["figures"] for point in found["points"])
    assert few["pca_psnr"] < many["pca_psnr"]
    assert few["ssim"] is not None
    assert found["facts"]["elbow"] in (2, 8)
    assert found["facts"]["two_neighbours"] > 0
    table = (tmp_path / "out" / "bottleneck.txt").read_text()
    assert "PSNR of PCA" in table
    assert "elbow" in table


def test_noise_says_where_the_network_helps(pictures: Path, tmp_path: Path) -> None:
    found = sweep("noise", pictures, "--levels", "0.01,0.6", "-o", tmp_path / "out")
    assert [point["label"] for point in found["points"]] == [
        f"{kind} {level}" for kind in ("gaussian", "salt-and-pepper", "speckle") for level in (0.01, 0.6)
    ]
    for point in found["points"]:
        figures = point["figures"]
        assert figures["gain"] == pytest.approx(figures["psnr"] - figures["psnr_before"])
    assert len(found["notes"]) == 3
    assert all("the network helps" in note for note in found["notes"])
    assert (tmp_path / "out" / "noise.png").read_bytes().startswith(b"\x89PNG")


def test_noise_of_pictures_in_colour() -> None:
    coloured = items_of_array(np.stack([rings(60, side=16)] * 3, axis=-1), "coloured")
    budget = Budget(steps=2, device="cpu")
    found = noise.run(coloured, "coloured", kinds=("speckle",), levels=(0.3,), budget=budget)
    (point,) = found.points
    assert {"psnr", "median_psnr", "means_psnr"} <= set(point.figures)
    assert (point.figures["means_psnr"] or 0) > (point.figures["psnr_before"] or 0)


def test_minutes_are_shared_out(tmp_path: Path) -> None:
    with sweeping(Budget(minutes=6, folder=tmp_path), 3) as sweep:
        assert (sweep.minutes, sweep.steps, sweep.folder) == (2, None, tmp_path / "networks")
    with sweeping(Budget(minutes=6, steps=5), 3) as sweep:
        assert (sweep.minutes, sweep.steps) == (None, 5)


def test_rician_noise_is_a_length() -> None:
    noisy = spoilt_pictures(np.zeros((50, 20, 20), np.float32), "rician", 0.2, 0)
    assert noisy.min() >= 0
    assert noisy.mean() == pytest.approx(0.2 * np.sqrt(np.pi / 2), rel=0.02)  # Rayleigh's mean where nothing is


def test_noise_keeps_pictures_in_their_range() -> None:
    clean = np.full((20, 12, 12), 0.5, np.float32)
    noisy = spoilt_pictures(clean, "salt-and-pepper", 0.4, 0)
    assert set(np.unique(noisy)) == {0.0, 0.5, 1.0}
    assert (noisy != clean).mean() == pytest.approx(0.4, abs=0.05)
    assert spoilt_pictures(clean, "gaussian", 0.6, 0).min() >= 0


def test_what_cannot_be_swept_is_refused_in_a_sentence(tmp_path: Path) -> None:
    def refused(code: int, *arguments: str | int | Path) -> str:
        result: Result = run("bench", *arguments, *_QUICK)
        assert result.exit_code == code
        assert result.stderr.count("\n") == 1
        return result.stderr

    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32))
    np.save(tmp_path / "few.npy", rings(10))
    assert "vectors" in refused(5, "noise", tmp_path / "vectors.npy")
    assert "too few" in refused(5, "beta", tmp_path / "few.npy")
    assert "sizes of the code" in refused(2, "bottleneck", tmp_path / "vectors.npy", "--sizes", "2")
    assert "numbers above 0" in refused(2, "beta", tmp_path / "few.npy", "--betas", "1,x")
