"""An opened detector of pictures: scores, sizes, colours; the probe; what a bundle must say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aez.codec import PictureDetector, load_picture_detector
from aez.codec.bundle.bundle import save_bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.detect.detector import Detector
from aez.codec.errors import InvalidArgument, ModelError, UnsupportedInput
from aez.codec.image.model import open_model
from tests.kit.hand_made_picture_model import HEIGHT, WIDTH, bundle, probe, scores_of

Array = np.ndarray[Any, np.dtype[Any]]


def planes(n: int, colours: int = 1, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (n, colours, HEIGHT, WIDTH), dtype=np.uint8)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 33])
def test_scores_are_the_graphs_whatever_the_number_of_pictures(count: int, colours: int) -> None:
    detector = PictureDetector(bundle(colours), "cpu", 1)
    given = planes(count, colours)
    found = detector.score_planes(given)
    assert found.score.shape == (count,)
    assert found.error_map.shape == (count, HEIGHT, WIDTH)
    assert found.reconstruction.shape == (count, colours, HEIGHT, WIDTH)
    if count:
        score, error_map = scores_of(given)
        assert found.score == pytest.approx(score, rel=1e-5)
        assert found.error_map == pytest.approx(error_map, rel=1e-5)
        assert np.all(found.reconstruction == 128)


def test_pictures_of_any_size_and_mode_are_brought_to_the_models() -> None:
    detector = PictureDetector(bundle(), "cpu", 1)
    flat = np.full((50, 20, 3), 160, np.uint8)
    given = [flat, flat[:, :, 0], Image.fromarray(flat), Image.fromarray(flat).convert("RGBA"), flat[:4, :3]]
    found = detector.score(given)
    assert found.score == pytest.approx([0.5] * 5, rel=1e-5)
    assert detector.prepare(flat).shape == (1, HEIGHT, WIDTH)


def test_a_colour_model_sees_colours_and_a_grey_one_brightness() -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 255
    grey, colour = (PictureDetector(bundle(colours), "cpu", 1) for colours in (1, 3))
    assert grey.prepare(red)[0] == pytest.approx(np.full((HEIGHT, WIDTH), 76), abs=1)
    assert np.array_equal(colour.prepare(red), red.transpose(2, 0, 1))


def test_what_is_no_picture_is_refused() -> None:
    detector = PictureDetector(bundle(), "cpu", 1)
    with pytest.raises(InvalidArgument, match="have the shape"):
        detector.score_planes(planes(2)[:, 0])
    with pytest.raises(InvalidArgument, match=r"have the shape \[n, 1, 8, 12\], not \[2, 3, 8, 12\]"):
        detector.score_planes(planes(2, 3))
    with pytest.raises(InvalidArgument, match="must be uint8"):
        detector.score([np.zeros((4, 4), np.float64)])
    with pytest.raises(InvalidArgument, match="give a list"):
        detector.score(np.zeros((4, 4), np.uint8))
    with pytest.raises((UnsupportedInput, InvalidArgument)):
        detector.score([np.zeros((0, 4), np.uint8)])


def test_facts_of_the_manifest_are_attributes() -> None:
    detector = PictureDetector(bundle(3), "cpu", 1)
    assert (detector.height, detector.width, detector.colours) == (HEIGHT, WIDTH, 3)
    assert (detector.threshold, detector.score_kind, detector.device) == (2.0, "spots", "cpu")


@pytest.mark.parametrize(
    ("coding", "message"),
    [
        ({"height": 0}, "says height = 0, which is not a whole number in 1..1024"),
        ({"width": True}, "says width = True"),
        ({"width": 4096}, "says width = 4096"),
        ({"colours": 2}, "says colours = 2, which is not 1 or 3"),
        ({"colours": 4}, "says colours = 4"),
        ({"threshold": -1}, "says threshold = -1, which is not a positive number"),
        ({"threshold": None}, "says threshold = None"),
        ({"height": 9}, r"the probe of model gear has the shape \(2, 1, 8, 12\)"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(coding: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PictureDetector(bundle(coding=coding), "cpu", 1)


def test_a_probe_that_scores_differently_is_refused() -> None:
    wanted = scores_of(probe())[0].astype(np.float32)
    PictureDetector(bundle(probe_score=wanted * np.float32(1.0005)), "cpu", 1)
    for wrong in (wanted * np.float32(1.01), wanted * np.nan):
        with pytest.raises(ModelError, match=r"scores its probe .* its threshold would mean nothing"):
            PictureDetector(bundle(probe_score=wrong), "cpu", 1)
    with pytest.raises(ModelError, match="has the shape"):
        PictureDetector(bundle(probe_score=wanted[:1]), "cpu", 1)


def test_a_graph_that_lacks_an_output_is_refused() -> None:
    with pytest.raises(ModelError, match="gives score, error_map, not error_map, reconstruction, score"):
        PictureDetector(bundle(outputs=2), "cpu", 1)


def test_models_of_other_kinds_are_refused_both_ways() -> None:
    with pytest.raises(ModelError, match="model gear is made for picture-detector, not for scoring series"):
        Detector(bundle(), "cpu", 1)
    with pytest.raises(ModelError, match="model gear is made for picture-detector, not for coding pictures"):
        open_model(bundle(), "cpu", 1)
    with pytest.raises(ModelError, match="model photo is made for image-codec, not for scoring pictures"):
        load_picture_detector("photo", "cpu", 1)


def test_loading_by_path_and_by_bytes(tmp_path: Path) -> None:
    made = bundle()
    save_bundle(made, tmp_path / "gear.aezm")
    for source in (tmp_path / "gear.aezm", made.to_bytes()):
        assert load_picture_detector(source, "cpu", 1).bundle.id == made.id
    assert find_bundle(tmp_path / "gear.aezm").task == "picture-detector"
