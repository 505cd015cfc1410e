"""From normal pictures to a bundle: what it tells apart, what it says, stops and goes on, and what it refuses."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.pictures import PictureDetector, load_picture_detector
from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.export import PictureConfig, learn_pictures
from aez.export.common.trainer import Trainer, TrainOptions
from aez.export.families.base import WEIGHTS_MAX
from aez.export.families.registry import PICTURES, build_for_pictures
from aez.export.images.pictures import pictures_of_array
from aez.export.images.train import PictureLoss, default_options, fit_pictures, main

Array = np.ndarray[Any, np.dtype[Any]]
#: No precision but float32, so that every machine computes the same.
QUICK = {"steps": 20, "validate_every": 10, "device": "cpu", "quiet": True}


def washers(n: int, seed: int = 0, hole: bool = True, scratch: bool = False) -> Array:
    """Grey rings on a dark ground, uint8 [n, 32, 32]; faulty ones lack the hole or have a scratch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre = rng.normal(15.5, 0.5, (n, 2))
    distance = np.hypot(y - centre[:, :1, None], x - centre[:, 1:, None])
    ring = 30 + 140 / (1 + np.exp(2 * (distance - 12)))
    if hole:
        ring -= 140 / (1 + np.exp(2 * (distance - 4)))
    ring += rng.normal(0, 4, ring.shape)
    if scratch:
        for step in range(6):
            ring[:, 18 + step, 19 + step] = ring[:, 18 + step, 20 + step] = 20
    return np.clip(ring, 0, 255).astype(np.uint8)


def write(folder: Path, pictures: Array) -> Path:
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


@pytest.mark.parametrize("family", PICTURES)
def test_every_family_learns_and_tells_faults(family: str, tmp_path: Path) -> None:
    found = pictures_of_array(washers(200))
    graph = fit_pictures(found, PictureConfig(family), tmp_path, QUICK).graph
    fresh, whole, scratched = washers(60, 1), washers(30, 2, hole=False), washers(30, 3, scratch=True)
    with torch.no_grad():
        scores = [graph(torch.from_numpy(planes[:, None]).float())[0].numpy() for planes in (fresh, whole, scratched)]
    assert np.mean(scores[0] > 1) <= 0.1
    assert np.mean(scores[1] > 1) == 1
    assert np.mean(scores[2] > 1) > 0.9


def test_an_array_becomes_a_detector_that_needs_no_torch() -> None:
    bundle = learn_pictures(washers(150), PictureConfig("pca", flagged=2), name="washer")
    detector = PictureDetector(bundle, "cpu", 1)
    assert (detector.height, detector.width, detector.colours) == (32, 32, 1)
    assert detector.score(list(washers(5, 7, hole=False))).score.min() > 1
    assert bundle.name == "washer"
    assert bundle.manifest["provenance"]["data"] == "150 pictures"
    assert bundle.manifest["provenance"]["threshold"] == {"method": "percentile", "percentile": 98.0}
    assert bundle.manifest["figures"]["held_out"]["pictures"] == 45
    assert bundle.manifest["figures"]["held_out"]["share_above_1"] <= 0.02


def test_a_folder_becomes_a_bundle_with_its_run_beside_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "good", washers(60))
    (folder / "broken.png").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        bundle = main([folder], tmp_path / "washer.aezm", changes=QUICK)
    assert isinstance(bundle, Bundle)
    assert load_picture_detector(tmp_path / "washer.aezm", "cpu", 1).bundle.id == bundle.id
    assert {"checkpoint.pt", "metrics.jsonl", "training.png"} <= {
        path.name for path in (tmp_path / "washer.aezm.run").iterdir()
    }
    assert "broken.png: it is not a picture that can be read here" in caplog.text
    assert "18 held-out pictures are too few to tell what 1 % of normal ones exceed" in caplog.text
    assert bundle.manifest["provenance"]["data"] == "60 pictures of good"
    assert bundle.manifest["provenance"]["steps"] == 20


def test_the_same_seed_gives_the_same_scores_and_a_run_that_stopped_goes_on(tmp_path: Path) -> None:
    found = pictures_of_array(washers(80))
    config = PictureConfig(score=("reconstruction",))
    once = fit_pictures(found, config, tmp_path / "once", QUICK)
    again = fit_pictures(found, config, tmp_path / "again", QUICK)
    assert np.array_equal(once.scores, again.scores)
    other = fit_pictures(found, config, tmp_path / "other", QUICK | {"seed": 1})
    assert not np.array_equal(once.scores, other.scores)
    # A checkpoint of the run's end is all that is left to do.
    resumed = fit_pictures(found, config, tmp_path / "once", QUICK, resume=True)
    assert np.array_equal(once.scores, resumed.scores)


def test_pictures_unlike_the_others_are_named(tmp_path: Path) -> None:
    pictures = washers(150)
    pictures[40] = washers(1, 5, hole=False)[0]
    found = replace(pictures_of_array(pictures), names=tuple(f"{number}.png" for number in range(150)))
    fitted = fit_pictures(found, PictureConfig("pca"), tmp_path)
    assert any("40.png in the training pictures look unlike the others" in notice for notice in fitted.notices)
    clean = fit_pictures(pictures_of_array(washers(150)), PictureConfig("pca"), tmp_path)
    assert not any("unlike the others" in notice for notice in clean.notices)


def test_training_repairs_what_is_spoilt(tmp_path: Path) -> None:
    """The loss of a trained network on spoilt pictures is lower than that of its start."""
    found = pictures_of_array(washers(200))
    fitted = fit_pictures(found, PictureConfig(), tmp_path, QUICK | {"steps": 150, "batch": 16})
    torch.manual_seed(0)
    start = build_for_pictures("conv", 32, 32, 1, {})
    sample = torch.from_numpy(washers(64, 9)[:, None]).float()
    losses = []
    for network in (start, fitted.graph.network):
        model = PictureLoss(network, fitted.graph.scaling)
        if network is start:
            x = model.scale(found.take(np.arange(140)))
            network.fit(x[:, 0], torch.ones_like(x[:, 0]))
        with torch.no_grad():
            loss, _ = model.train()(sample, torch.Generator().manual_seed(0), 1.0)
        losses.append(float(loss))
    assert losses[1] < 0.9 * losses[0]


@pytest.mark.parametrize("family", PICTURES)
def test_large_pictures_get_networks_that_a_bundle_holds(family: str) -> None:
    network = build_for_pictures(family, 512, 512, 3, {})
    x = torch.rand(3, 512, 512 * 3)
    with torch.no_grad():
        network.fit(x, torch.ones_like(x))
        assert network(x, torch.ones_like(x)).shape == x.shape
    assert sum(t.numel() for t in [*network.parameters(), *network.buffers()]) < WEIGHTS_MAX


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path / "good", washers(30))
    monkeypatch.setattr(Trainer, "_complete", lambda trainer: trainer.step >= trainer.options.steps)
    monkeypatch.setattr(Trainer, "_agree", Trainer._request_stop)
    assert main([folder], tmp_path / "washer.aezm", changes=QUICK) is None
    assert "stopped at step 1; go on with --resume" in caplog.text
    assert not (tmp_path / "washer.aezm").exists()
    monkeypatch.undo()
    assert main([folder], tmp_path / "washer.aezm", changes=QUICK, resume=True) is not None
    once = main([folder], tmp_path / "once.aezm", changes=QUICK)
    assert once is not None
    assert once.id == load_picture_detector(tmp_path / "washer.aezm", "cpu", 1).bundle.id


def test_colours_count(tmp_path: Path) -> None:
    coloured = washers(120)[..., None].repeat(3, axis=3).copy()
    coloured[..., 0] //= 2
    graph = fit_pictures(pictures_of_array(coloured), PictureConfig("pca"), tmp_path).graph
    other = coloured[:10, :, :, ::-1]
    with torch.no_grad():
        score = graph(torch.from_numpy(other.transpose(0, 3, 1, 2).copy()).float())[0]
    assert float(score.min()) > 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "lstm"}, "family 'lstm' is none for pictures; use one of conv, dense, pca, variational"),
        ({"flagged": 60}, "flagged 60 is outside"),
        ({"held_out": 0}, "held_out 0 is outside"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        PictureConfig(**settings)


def test_what_cannot_be_learned_or_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no option depth; it has colours, latent"):
        learn_pictures(washers(30), PictureConfig(options={"depth": 3}))
    with pytest.raises(InvalidArgument, match="score 'elbo' is unknown"):
        learn_pictures(washers(30), PictureConfig("pca", score=("elbo",)))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"ends in \.aezm"):
        main([tmp_path], tmp_path / "model.onnx")
    with pytest.raises(OutputError, match="not a folder that can be written to"):
        main([tmp_path], tmp_path / "none" / "model.aezm")
    with pytest.raises(UnsupportedInput, match="no pictures found"):
        main([tmp_path], tmp_path / "model.aezm")


def test_defaults_follow_the_number_of_pictures_and_changes_win() -> None:
    assert [default_options(n).steps for n in (20, 2000, 100_000)] == [200, 375, 800]
    assert [default_options(100, side * side).batch for side in (64, 65)] == [32, 16]
    assert default_options(100, minutes=2.0).minutes == 2.0
    assert isinstance(default_options(100, steps=7, batch=4), TrainOptions)
