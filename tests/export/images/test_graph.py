"""The graph of a picture detector: scores by a second implementation, what each part sees, what the export keeps."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from aez.codec.bundle.graph_check import check_graph
from aez.codec.detect.pictures import PictureDetector
from aez.codec.errors import InvalidArgument
from aez.export.common.batches import Batches
from aez.export.common.scored_graph import TOLERANCE, whitening
from aez.export.families.pictures.conv import PictureConv
from aez.export.families.pictures.rows import pictures_of, rows_of
from aez.export.families.registry import build
from aez.export.images.bundle import make_probe, pack_picture_detector
from aez.export.images.edges import DIRECTIONS, Edges, cell_of
from aez.export.images.graph import (
    EDGE_SHRINKAGE,
    FLOOR,
    KINDS,
    WIDTH_MIN,
    Kind,
    PictureGraph,
    PictureScale,
    fit_picture_scaling,
)
from aez.export.images.pictures import PictureSet

Array = np.ndarray[Any, np.dtype[Any]]
HEIGHT, WIDTH = 16, 24


def pictures(n: int, colours: int = 1, seed: int = 0) -> Array:
    """Bright discs on a dark ground that move and grow a little; uint8 [n, colours, 16, 24]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centre = rng.normal([8, 12], 0.7, (n, 2))
    radius = rng.normal(5, 0.3, n)[:, None, None]
    distance = np.hypot(y - centre[:, 0, None, None], x - centre[:, 1, None, None])
    disc = 40 + 150 / (1 + np.exp(2 * (distance - radius)))
    tint = np.array([1.0, 0.8, 0.6])[:colours, None, None]
    noisy = disc[:, None] * tint + rng.normal(0, 4, (n, colours, HEIGHT, WIDTH))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def spotted(planes: Array, level: int = 255) -> Array:
    spoilt = planes.copy()
    spoilt[:, :, 1:4, 18:21] = level
    return spoilt


def square(planes: Array) -> Array:
    """Another shape with the same levels."""
    other = np.full_like(planes, 40)
    other[:, :, 3:13, 7:17] = 190
    return other


def make(
    kinds: tuple[Kind, ...] = ("edges", "spots"), colours: int = 1, family: str = "pca", q: float = 99
) -> PictureGraph:
    """A graph fitted on one set and calibrated on another, without training."""
    torch.manual_seed(0)
    training = pictures(200, colours)
    scaling = fit_picture_scaling(training)
    if family == "conv":
        network = PictureConv(HEIGHT, WIDTH * colours, colours=colours, latent=8)
    else:
        network = build(family, HEIGHT, WIDTH * colours)
    x = rows_of(PictureScale(scaling)(torch.from_numpy(training).float()))
    with torch.no_grad():
        network.fit(x, torch.ones_like(x))
    graph = PictureGraph(network.eval(), colours, scaling, kinds).eval()
    graph.fit_normal(batches(training))
    joint = graph.calibrate(batches(pictures(150, colours, seed=1)), q)
    graph.threshold.fill_(float(np.percentile(joint, q, method="higher")))
    return graph


def batches(planes: Array) -> Any:
    return Batches(PictureSet(planes, ("",) * len(planes)), 50)


def run(graph: PictureGraph, planes: Array) -> tuple[Array, Array, Array]:
    with torch.no_grad():
        score, error_map, reconstruction = graph(torch.from_numpy(planes.astype(np.float32)))
    return score.numpy(), error_map.numpy(), reconstruction.numpy()


FRESH = pictures(120, seed=2)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("family", ["pca", "conv", "dense"])
def test_shapes_and_ranges(colours: int, family: str) -> None:
    planes = pictures(30, colours, seed=2)
    score, error_map, reconstruction = run(make(colours=colours, family=family), planes)
    assert (score.shape, error_map.shape) == ((30,), (30, HEIGHT, WIDTH))
    assert reconstruction.shape == planes.shape
    assert score.min() >= 0
    assert error_map.min() >= 0
    assert 0 <= reconstruction.min() <= reconstruction.max() <= 255
    assert np.abs(reconstruction - planes).mean() < 12


def test_normal_pictures_stay_below_and_others_rise_above() -> None:
    graph = make()
    assert np.mean(run(graph, FRESH)[0] > 1) < 0.06
    assert np.mean(run(graph, spotted(FRESH))[0] > 1.5) == 1
    assert np.mean(run(graph, square(FRESH))[0] > 1.5) == 1


def test_no_pixel_of_the_map_exceeds_the_score() -> None:
    graph = make()
    for planes in (FRESH, spotted(FRESH, 120), square(FRESH)):
        score, error_map, _ = run(graph, planes)
        assert np.all(error_map.max((1, 2)) <= score * (1 + 1e-6))


def test_a_spot_is_abnormal_where_it_lies() -> None:
    _, error_map, _ = run(make(), spotted(FRESH))
    highest = [np.unravel_index(one.argmax(), one.shape) for one in error_map]
    assert all(0 <= y <= 5 and 17 <= x <= 22 for y, x in highest)
    assert np.mean(error_map[:, 8:, :12] > 1) < 0.01


def test_calibration_flags_the_share_that_was_asked_for() -> None:
    calibrating = pictures(150, seed=1)
    for q, most in ((99, 2), (90, 15), (50, 75)):
        graph = make(q=q)
        flagged = int(np.sum(run(graph, calibrating)[0] > 1 + 1e-6))
        assert most - 3 <= flagged <= most


def test_the_score_agrees_with_numpy() -> None:
    graph = make(KINDS)
    fit, raw = pictures(200).astype(np.float64), spotted(FRESH).astype(np.float64)
    levels = fit.ravel() / 255
    centre, width = levels.mean(), levels.std()
    pca = graph.network
    mean, basis = pca.mean.numpy().astype(np.float64), pca.basis.numpy().astype(np.float64)

    def errors(planes: Array) -> tuple[Array, Array, Array]:
        x = (planes[:, 0] / 255 - centre) / width
        code = (x.reshape(len(x), -1) - mean) @ basis
        error = np.square(x - (code @ basis.T + mean).reshape(x.shape))
        padded = np.pad(error, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        around = np.nanmean([np.roll(padded, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
        return code, error, around[:, 1:-1, 1:-1]

    def edges(planes: Array) -> Array:
        x = np.pad((planes[:, 0] / 255 - centre) / width, ((0, 0), (1, 1), (1, 1)), mode="edge")
        across = x[:, :, 2:] - x[:, :, :-2]
        down = x[:, 2:] - x[:, :-2]
        gx = (across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]) / 8
        gy = (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]) / 8
        angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        strong = np.maximum([np.cos(a) * gx + np.sin(a) * gy for a in angles], 0).transpose(1, 0, 2, 3)
        both = np.concatenate([strong, x[:, None, 1:-1, 1:-1]], axis=1)
        cell = cell_of(HEIGHT, WIDTH)
        cells = both.reshape(len(x), DIRECTIONS + 1, HEIGHT // cell, cell, WIDTH // cell, cell).mean((3, 5))
        cells[:, :-1] = np.sqrt(cells[:, :-1] + 3e-3)
        cells[:, -1] *= 0.3
        return cells.reshape(len(x), -1)

    def distance(normal: Array, codes: Array, shrinkage: float) -> Array:
        covariance = np.cov(normal.T)
        size = len(covariance)
        covariance = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)
        centred = codes - normal.mean(0)
        return np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred) / size

    fit_code, fit_error, fit_around = errors(fit)
    normal, normal_around = (part.mean(0) + FLOOR * part.mean() for part in (fit_error, fit_around))

    def parts(planes: Array) -> Array:
        code, error, around = errors(planes)
        return np.stack(
            [
                distance(edges(fit), edges(planes), EDGE_SHRINKAGE),
                (around / normal_around).max((1, 2)),
                (error / normal).mean((1, 2)),
                distance(fit_code, code, 0.05),
            ],
            axis=1,
        )

    limits = np.percentile(parts(pictures(150, seed=1).astype(np.float64)), 99, axis=0, method="higher")
    wanted = (parts(raw) / limits).max(1) / float(graph.threshold)
    score, error_map, _ = run(graph, raw)
    assert score == pytest.approx(wanted, rel=2e-3)
    assert error_map == pytest.approx(
        errors(raw)[2] / normal_around / limits[1] / float(graph.threshold), rel=2e-3, abs=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_alone_tells_a_disc_in_another_place(kind: Kind) -> None:
    score, _, _ = run(make((kind,)), np.concatenate([FRESH, np.roll(FRESH, 6, 3)]))
    assert np.median(score[len(FRESH) :]) > 1.2
    assert np.mean(score[: len(FRESH)] > 1) < 0.1


def test_edges_change_little_when_a_thing_moves_and_a_lot_when_it_is_another() -> None:
    edges = Edges(cell_of(HEIGHT, WIDTH))
    one = torch.from_numpy(FRESH[:1] / np.float32(64))
    moved, other = torch.roll(one, 1, 3), torch.from_numpy(square(FRESH[:1]) / np.float32(64))
    near, far = (float((edges(one) - edges(x)).norm()) for x in (moved, other))
    assert near < 0.6 * far


def test_kinds_that_do_not_exist_are_refused() -> None:
    network, scaling = build("pca", HEIGHT, WIDTH), fit_picture_scaling(FRESH)
    for kinds in ((), ("edges", "edges"), ("elbo",)):
        with pytest.raises(InvalidArgument, match="is unknown; use one or several of edges, spots"):
            PictureGraph(network, 1, scaling, kinds)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="family ensemble is none for pictures"):
        PictureGraph(build("ensemble", HEIGHT, WIDTH), 1, scaling)


def test_scaling_is_mean_and_deviation_and_never_vanishes() -> None:
    planes = pictures(20, 3)
    scaling = fit_picture_scaling(planes)
    levels = planes / 255
    assert scaling.centre == pytest.approx(levels.mean((0, 2, 3)))
    centred = levels - np.array(scaling.centre)[:, None, None]
    assert scaling.width == pytest.approx(np.sqrt(np.square(centred).mean()))
    assert fit_picture_scaling(np.full((3, 1, 4, 4), 7, np.uint8)).width == WIDTH_MIN
    scale = PictureScale(scaling)
    image = torch.from_numpy(planes).float()
    assert scale.inverse(scale(image)) == pytest.approx(image.numpy(), abs=1e-3)
    assert scale(torch.full((1, 3, 1, 1), 1e9)).tolist() == scale(torch.full((1, 3, 1, 1), 255.0)).tolist()


def test_whitened_codes_have_unit_covariance() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(5000, 4, generator=generator) @ torch.randn(4, 4, generator=generator) + 3
    mean, matrix = whitening(codes, 0.0)
    assert torch.cov(((codes - mean) @ matrix).T).numpy() == pytest.approx(np.eye(4), abs=1e-3)
    mean, matrix = whitening(codes[:2], 0.5)  # fewer codes than dimensions
    assert torch.isfinite(matrix).all()


# -- networks ---------------------------------------------------------------------------------------------------------


def test_rows_and_pictures_are_the_same_numbers() -> None:
    planes = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    rows = rows_of(planes)
    assert rows.shape == (2, 4, 15)
    assert rows[1, 2, 3 * 4 + 1] == planes[1, 1, 2, 4]
    assert torch.equal(pictures_of(rows, 3), planes)


@pytest.mark.parametrize(
    ("height", "width", "colours"), [(28, 28, 1), (16, 16, 3), (48, 32, 3), (2, 2, 1), (7, 9, 1), (96, 128, 3)]
)
def test_the_convolutional_network_takes_every_size(height: int, width: int, colours: int) -> None:
    network = PictureConv(height, width * colours, colours=colours, latent=6)
    x = torch.randn(3, height, width * colours)
    present = torch.ones_like(x)
    assert network(x, present).shape == x.shape
    assert network.encode(x, present).shape == (3, min(6, height * width * colours))


def test_the_convolutional_network_starts_as_its_principal_components() -> None:
    x = torch.randn(40, 8, 8, generator=torch.Generator().manual_seed(0))
    network, pca = PictureConv(8, 8, latent=5), build("pca", 8, 8, components=5)
    for one in (network, pca):
        one.fit(x, torch.ones_like(x))
    with torch.no_grad():
        found, wanted = (one(x, torch.ones_like(x)) for one in (network, pca))
    assert found.numpy() == pytest.approx(wanted.numpy(), abs=1e-3)


def test_a_picture_of_the_batch_does_not_change_another() -> None:
    network = PictureConv(12, 16, latent=4)
    torch.nn.init.normal_(network.last.weight)
    x = torch.randn(5, 12, 16)
    with torch.no_grad():
        both, alone = network(x, torch.ones_like(x)), network(x[2:3], torch.ones_like(x[2:3]))
    assert both[2:3].numpy() == pytest.approx(alone.numpy(), abs=1e-5)


@pytest.mark.parametrize("options", [{"latent": 0}, {"features": 33}, {"hidden": 0}, {"colours": 5}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument):
        PictureConv(8, 16, **options)


# -- export -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported() -> tuple[PictureGraph, Any]:
    graph = make(KINDS, colours=3, family="conv")
    torch.nn.init.normal_(graph.network.last.weight, std=0.1)  # as if it had learned
    graph.fit_normal(batches(pictures(200, 3)))
    return graph, pack_picture_detector(graph, "disc", pictures(40, 3, seed=2), {"data": "discs"}, {})


def test_onnx_runtime_scores_as_torch_does_whatever_the_batch(exported: tuple[PictureGraph, Any]) -> None:
    graph, bundle = exported
    session = onnxruntime.InferenceSession(bundle.graph("picture_detector"), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_outputs()] == ["score", "error_map", "reconstruction"]
    planes = np.concatenate([pictures(20, 3, seed=3), spotted(pictures(20, 3, seed=3))]).astype(np.float32)
    for count in (1, 7, 40):
        batch = planes[-count:]
        for found, wanted in zip(session.run(None, {"image": batch}), run(graph, batch), strict=True):
            assert found == pytest.approx(wanted, rel=TOLERANCE, abs=1e-3)


def test_the_graph_is_standard_and_says_what_it_is(exported: tuple[PictureGraph, Any]) -> None:
    graph, bundle = exported
    data = bundle.graph("picture_detector")
    check_graph(data, "picture_detector")
    said = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    assert {key: json.loads(said[key]) for key in ("height", "width", "colours")} == {
        "height": HEIGHT,
        "width": WIDTH,
        "colours": 3,
    }
    assert (said["score"], json.loads(said["threshold"])) == ("+".join(KINDS), pytest.approx(float(graph.threshold)))
    stored = np.frombuffer(base64.b64decode(said["probe_image"]), "<f4").reshape(json.loads(said["probe_shape"]))
    assert np.array_equal(stored, bundle.array("probe_image"))
    assert json.loads(said["probe_score"]) == pytest.approx(bundle.array("probe_score").tolist())


def test_the_bundle_opens_and_its_probe_holds_a_normal_picture_and_a_spoilt_one(
    exported: tuple[PictureGraph, Any],
) -> None:
    graph, bundle = exported
    detector = PictureDetector(bundle, "cpu", 1)
    planes = spotted(pictures(10, 3, seed=5))
    assert detector.score_planes(planes).score == pytest.approx(run(graph, planes)[0], rel=1e-3)
    usual, spoilt = bundle.array("probe_score")
    assert spoilt > 2 * usual
    probe = make_probe(pictures(5, 3))
    assert (probe.dtype, probe.shape) == (np.uint8, (2, 3, HEIGHT, WIDTH))
    assert 0 < np.mean(probe[0] != probe[1]) < 0.2
