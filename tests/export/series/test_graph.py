"""The detector's graph: scores by a second implementation, gaps, kinds, rules, and what the export keeps."""

from __future__ import annotations

import base64
import getpass
import itertools
import json
import socket
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from aez.codec.bundle.graph_check import check_graph
from aez.codec.errors import InvalidArgument, ModelError
from aez.export.common import scored_graph
from aez.export.common.scored_graph import TOLERANCE, compare_scores
from aez.export.families.registry import build
from aez.export.series.exporting import Takes, export_detector, export_whole
from aez.export.series.folded import FoldedGraph
from aez.export.series.gaps import SHARES, GapFactor, hide, usual_share
from aez.export.series.graph import (
    ERROR_FLOOR,
    KINDS,
    LATENT_MOST,
    LATENT_SHARE,
    PART_QUANTILE,
    DetectorGraph,
    ScoreOptions,
    part_weights,
)
from aez.export.series.recency import FEWEST, LOUD, PARTS, STEEPNESS, WORST, Lately, bounded_voice
from aez.export.series.scaling import LIMIT, ScaleLayer, fit_scaling
from tests.kit.places import ROOT

WINDOW, CHANNELS = 16, 4
ERRORS = ("reconstruction",)
BOTH = ("reconstruction", "mahalanobis")
Array = np.ndarray[Any, np.dtype[Any]]


def series(n: int = 1200, seed: int = 0) -> Array:
    """Two sines, their noisy sum in other units, and a channel that stands still; float32 [n, 4]."""
    rng = np.random.default_rng(seed)
    time = np.arange(n)
    one, two = np.sin(2 * np.pi * time / 16), np.sin(2 * np.pi * time / 40 + 1)
    values = np.stack([20 + one, 5 * two, 1000 + 50 * (one + two), np.full(n, 7.0)], axis=1)
    values[:, :3] += rng.normal(size=(n, 3)) * [0.1, 0.5, 5]
    return values.astype(np.float32)


def windows_of(values: Array, stride: int = 3) -> torch.Tensor:
    view = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=0)[::stride]
    return torch.from_numpy(view.transpose(0, 2, 1).copy())


def make(family: str = "pca", options: ScoreOptions | None = None, **family_options: Any) -> DetectorGraph:
    """A graph fitted on one series and calibrated on another, without training."""
    torch.manual_seed(0)
    scaling = fit_scaling(series())
    network = build(family, WINDOW, CHANNELS, **family_options)
    with torch.no_grad():
        network.fit(*ScaleLayer(scaling, WINDOW)(FITTED))
    graph = DetectorGraph(network.eval(), scaling, options).eval()
    graph.calibrate(HELD_OUT.split(100), FITTED.split(100))
    return graph


def run(graph: DetectorGraph, windows: torch.Tensor) -> tuple[Array, Array, Array]:
    with torch.no_grad():
        score, channel_score, reconstruction = graph(windows)
    return score.numpy(), channel_score.numpy(), reconstruction.numpy()


def broken(windows: torch.Tensor, channel: int = 1, value: float = 40.0) -> torch.Tensor:
    spoiled = windows.clone()
    spoiled[:, 8:, channel] = value
    return spoiled


FITTED, HELD_OUT, FRESH = (windows_of(series(n, seed)) for n, seed in ((1200, 0), (1200, 1), (400, 2)))


def test_shapes_and_normal_scores() -> None:
    score, channel_score, reconstruction = run(make(), FRESH)
    n = len(FRESH)
    assert (score.shape, channel_score.shape, reconstruction.shape) == ((n,), (n, CHANNELS), (n, WINDOW, CHANNELS))
    assert 0.3 < score.mean() < 1  # the parts are counted in their high quantile
    assert reconstruction[..., 2] == pytest.approx(FRESH[..., 2].numpy(), abs=40)
    assert np.allclose(reconstruction[..., 3], 7, atol=1e-4)


@pytest.mark.parametrize("tail", [None, 5])
def test_the_score_agrees_with_numpy(tail: int | None) -> None:
    graph = make(options=ScoreOptions(ERRORS, tail=tail))
    graph.threshold.fill_(2.5)
    windows = broken(FRESH, 1)
    windows[::2, 3:6, 0] = torch.nan
    score, channel_score, _ = run(graph, windows)
    s, pca, raw = graph.scaling, graph.network, windows.numpy().astype(np.float64)
    present = ~np.isnan(raw)
    widths = np.where(present, (raw - s.centre) / s.scale, 0)
    x = s.gain * np.clip(widths, -LIMIT, LIMIT)
    flat, mean, basis = x.reshape(len(x), -1), pca.mean.numpy(), pca.basis.numpy()
    code = (flat - mean) @ basis  # what is missing counts as 0
    difference = (x - (code @ basis.T + mean).reshape(x.shape)) * present
    kept = slice(-(tail or WINDOW), None)
    excess = 1 + np.log(np.maximum(np.abs(widths[:, kept]).max(1) / LIMIT, 1))
    size = tail or WINDOW
    weight = (1 + STEEPNESS * ((2 * np.arange(size) + 1) / size - 1))[:, None]  # later rows count for more
    squares, here = np.square(difference[:, kept]), present[:, kept]
    late = (weight * squares).sum(1) / np.maximum((weight * here).sum(1), 1e-9)
    parts = np.array_split(np.arange(size), PARTS) if size >= FEWEST else []
    worst = [squares[:, p].sum(1) / np.maximum(here[:, p].sum(1), 1e-9) for p in parts]
    error = np.square(excess) * ((1 - WORST) * late + WORST * np.max(worst, axis=0) if parts else late)
    gaps = np.interp(present.mean((1, 2)), SHARES, graph.gap_factor.factors.numpy())
    relative = error / graph.normal[0].numpy()
    relative = np.where(relative > LOUD, LOUD * (1 + np.log(np.maximum(relative, LOUD) / LOUD)), relative)
    wanted = relative / 2.5 / gaps[:, None]
    assert channel_score == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    assert score == pytest.approx(wanted.mean(1), rel=1e-3, abs=1e-4)


def test_a_channels_normal_error_is_what_calibration_saw() -> None:
    graph = make(options=ScoreOptions(ERRORS))
    score, channel_score, _ = run(graph, HELD_OUT)
    assert channel_score[:, :3].mean(0) == pytest.approx(np.ones(3), rel=1e-3)
    assert graph.normal[0, 3].item() == pytest.approx(ERROR_FLOOR)  # it stands still
    assert score == pytest.approx(channel_score.mean(1), rel=1e-4)


def test_the_channel_that_broke_is_the_one_to_blame() -> None:
    graph = make()
    for channel, value in ((0, 30.0), (1, 60.0), (2, 3000.0), (3, 8.0)):
        score, channel_score, _ = run(graph, broken(FRESH, channel, value))
        assert (score > 3).all()
        assert (channel_score.argmax(1) == channel).all()
    # Nearer to what is normal, the channel that always was the sum of it and another is as suspicious.
    ranked = run(graph, broken(FRESH, 1, 30.0))[1].argsort(1)
    assert {*ranked[:, -2:].flatten().tolist()} == {1, 2}


@pytest.mark.parametrize("value", [1e6, 1e30, 3e38, float("inf"), float("-inf")])
def test_whatever_a_sensor_says_scores_stay_finite(value: float) -> None:
    score, channel_score, reconstruction = run(make(), broken(FRESH, 0, value))
    assert np.isfinite(score).all()
    assert np.isfinite(channel_score).all()
    assert np.isfinite(reconstruction).all()
    assert (score > 3).all()


def test_one_broken_sensor_does_not_drown_the_others() -> None:
    graph = make()
    mild = broken(FRESH, 0, 24.0)
    _, alone, _ = run(graph, mild)
    _, beside, _ = run(graph, broken(mild, 1, 1e12))
    assert (beside[:, 0] > 0.3 * alone[:, 0]).all()


def test_a_window_without_a_sample_is_no_alarm() -> None:
    for kinds in (ERRORS, ("mahalanobis",), BOTH):
        score, channel_score, reconstruction = run(make(options=ScoreOptions(kinds)), FRESH * torch.nan)
        assert not score.any()
        assert not channel_score.any()
        assert np.isfinite(reconstruction).all()


def test_a_missing_channel_is_not_blamed_and_gaps_raise_no_alarm() -> None:
    graph = make()
    limit = np.quantile(run(graph, FRESH)[0], 0.99)
    silent = FRESH.clone()
    silent[..., 1] = torch.nan
    score, channel_score, _ = run(graph, silent)
    assert not channel_score[:, 1].any()
    assert np.mean(score > 1.3 * limit) < 0.05
    for start, end in ((0, 8), (8, 16), (2, 14), (5, 6)):
        gap = FRESH.clone()
        gap[:, start:end] = torch.nan
        assert np.mean(run(graph, gap)[0] > 1.3 * limit) < 0.05


def test_faults_are_seen_beside_gaps() -> None:
    graph = make()
    windows = broken(FRESH, 2, 5000.0)
    windows[:, 2:4] = torch.nan
    assert (run(graph, windows)[0] > 3).all()


@pytest.mark.parametrize(
    ("rule", "largest"), [("max", 3), ("largest", 1), ("largest", 2), ("largest", 99), ("mean", 3)]
)
def test_rules_join_the_channels(rule: Any, largest: int) -> None:
    graph = make(options=ScoreOptions(ERRORS, rule=rule, largest=largest))
    score, channel_score, _ = run(graph, broken(FRESH, 1))
    kept = {"max": 1, "largest": min(largest, CHANNELS), "mean": CHANNELS}[rule]
    assert score == pytest.approx(np.sort(channel_score, axis=1)[:, -kept:].mean(1), rel=1e-4)


def test_the_tail_sees_the_end_of_the_window_alone() -> None:
    graph = make(options=ScoreOptions(ERRORS, tail=2))
    early = FRESH.clone()
    early[:, :3, 1] = 4.0
    late = FRESH.clone()
    late[:, -1, 1] = 4.0
    assert run(graph, early)[1][:, 1].mean() < run(graph, late)[1][:, 1].mean() / 3


def test_later_rows_and_the_worst_part_of_a_window_count_for_more() -> None:
    for time in (5, 10):
        lately, plain = Lately(time, CHANNELS), Lately(time)  # of small windows, and of large ones
        rows, here = torch.rand(5, time, CHANNELS), (torch.rand(5, time, CHANNELS) > 0.3).float()
        np.testing.assert_allclose(lately(rows), plain(rows), rtol=1e-5)
        np.testing.assert_allclose(lately(rows * here, here), plain(rows * here, here), rtol=1e-5)
        np.testing.assert_allclose(plain(torch.ones(1, time, 2)), 1, rtol=1e-6)
        np.testing.assert_allclose(plain(here, here)[here.sum(1) > 0], 1, rtol=1e-6)  # whatever is missing
    assert Lately(1)(torch.ones(1, 1, 3)).tolist() == [[1.0, 1.0, 1.0]]
    first, last, spread = torch.zeros(3, 1, 8, 1)
    first[0, :2], last[0, -2:], spread[0, ::4] = 1.0, 1.0, 1.0
    eight = Lately(8)
    assert eight(first) < eight(last)
    assert float(eight(last)) == pytest.approx((1 - WORST) * 0.25 * (1 + STEEPNESS * 0.75) + WORST)
    assert eight(spread) < eight(first)


def test_a_channel_that_is_far_off_has_a_bounded_voice() -> None:
    errors = torch.tensor([0.0, 1.0, LOUD, LOUD * np.e, 1e12])
    found = bounded_voice(errors)
    np.testing.assert_allclose(found[:4], [0, 1, LOUD, 2 * LOUD], rtol=1e-6)
    assert 20 * LOUD < found[4] < 30 * LOUD
    graph = make(options=ScoreOptions(ERRORS))
    one, two = broken(FRESH, 1), broken(broken(FRESH, 1), 0)
    assert (run(graph, two)[0] > 1.5 * run(graph, one)[0]).all()


def test_the_mahalanobis_distance_from_the_fitted_windows_agrees_with_its_formula() -> None:
    graph = make(options=ScoreOptions(("mahalanobis",)), components=3)
    with torch.no_grad():
        normal = graph.network.encode(*graph.scale(FITTED)).double().numpy()
        codes = graph.network.encode(*graph.scale(FRESH)).double().numpy()
    covariance = np.cov(normal, rowvar=False)
    shrunk = 0.7 * covariance + 0.3 * np.trace(covariance) / 3 * np.eye(3)
    centred = codes - normal.mean(0)
    wanted = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(shrunk), centred) / 3
    score, channel_score, _ = run(graph, FRESH)
    assert score == pytest.approx(wanted, rel=1e-3)
    assert channel_score.mean(1) == pytest.approx(score, rel=1e-3)


def test_the_elbo_adds_the_codes_divergence_to_the_errors() -> None:
    plain = make("variational", ScoreOptions(ERRORS))
    elbo = make("variational", ScoreOptions(("elbo",)))
    with torch.no_grad():
        divergence = elbo.network.divergence(elbo.scale(FRESH)[0]).numpy()  # type: ignore[operator]
    wanted = run(plain, FRESH)[0] + 2 * divergence / (WINDOW * CHANNELS)
    score, channel_score, _ = run(elbo, FRESH)
    assert score == pytest.approx(wanted, rel=1e-3)
    assert channel_score.mean(1) == pytest.approx(score, rel=1e-3)


@pytest.mark.parametrize("kinds", [BOTH, BOTH[::-1], ("elbo", *BOTH), ("reconstruction", "elbo")])
def test_a_combination_is_the_weighted_sum_of_its_kinds_by_their_own_quantiles(kinds: Any) -> None:
    both = make("variational", ScoreOptions(kinds))
    errors = len(kinds) - ("mahalanobis" in kinds)
    share = 1 - LATENT_SHARE if "mahalanobis" in kinds else 1.0
    wanted = np.zeros(len(FRESH))
    for kind in kinds:
        single = make("variational", ScoreOptions((kind,)))
        relative = run(single, FRESH)[0] / np.quantile(run(single, HELD_OUT)[0], PART_QUANTILE)
        wanted += relative * (LATENT_SHARE if kind == "mahalanobis" else share / errors)
    assert run(both, FRESH)[0] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_weights_sum_to_1_and_the_latents_have_their_share(count: int, members: int) -> None:
    for kinds in itertools.permutations(KINDS, count):
        weights = np.array(part_weights(kinds, members)).reshape(members, count)
        assert weights.sum() == pytest.approx(1)
        assert (weights == weights[0]).all()
        of_kind = dict(zip(kinds, weights.sum(0).tolist(), strict=True))
        latent = of_kind.pop("mahalanobis", None)
        if of_kind:
            assert latent == (None if latent is None else pytest.approx(LATENT_SHARE))
            assert list(of_kind.values()) == pytest.approx([(1 - (latent or 0)) / len(of_kind)] * len(of_kind))


def test_errors_and_latents_make_the_score_unless_the_code_is_long() -> None:
    for longest, kinds in ((3, BOTH), (LATENT_MOST, BOTH), (LATENT_MOST + 1, ERRORS)):
        members = [SimpleNamespace(latent=size, distance_alone=False) for size in (2, longest)]
        network: Any = SimpleNamespace(members=members)
        assert ScoreOptions().kinds_for(network) == kinds
        assert ScoreOptions(("mahalanobis",)).kinds_for(network) == ("mahalanobis",)
    assert make().score_name == "reconstruction+mahalanobis"
    wide = DetectorGraph(build("dense", WINDOW, 16, overcomplete=True), fit_scaling(np.arange(32.0).reshape(2, 16)))
    assert wide.network.latent > LATENT_MOST
    assert (wide.score_name, tuple(wide.latent_whitening.shape)) == ("reconstruction", (1, 1, 1))


def test_how_codes_are_distributed_comes_from_the_fitted_windows_and_the_scale_from_held_out_ones() -> None:
    graph = make()
    mean, whitening, scale = (one.clone() for one in (graph.latent_mean, graph.latent_whitening, graph.part_scale))
    drifted = HELD_OUT + torch.tensor([0.5, 2.0, 0.0, 0.0])
    graph.calibrate(drifted.split(100), FITTED.split(64))
    assert torch.allclose(graph.latent_mean, mean, atol=1e-5)
    assert torch.allclose(graph.latent_whitening, whitening, rtol=1e-3, atol=1e-5)
    alone = make(options=ScoreOptions(("mahalanobis",)))  # of the windows from before
    assert graph.part_scale[1].item() == pytest.approx(np.quantile(run(alone, drifted)[0], PART_QUANTILE), rel=1e-3)
    assert graph.part_scale[1] > 1.2 * scale[1]
    graph.calibrate(HELD_OUT.split(100), drifted.split(100))
    assert not torch.allclose(graph.latent_mean, mean, atol=0.1)


def test_an_ensembles_score_is_the_mean_of_its_members_normalised_scores() -> None:
    members = (("pca", {"components": 2}), ("pca", {"components": 5}))
    graph = make("ensemble", ScoreOptions(ERRORS), of=members)
    parts = []
    for _, options in members:
        single = make("pca", ScoreOptions(ERRORS), **options)
        parts.append(run(single, FRESH)[0] / np.quantile(run(single, HELD_OUT)[0], PART_QUANTILE))
    assert run(graph, FRESH)[0] == pytest.approx(np.mean(parts, axis=0), rel=1e-3)


@pytest.mark.parametrize("threshold", [0.5, 4.0])
def test_scores_are_divided_by_the_threshold(threshold: float) -> None:
    graph = make()
    before = run(graph, FRESH)
    graph.threshold.fill_(threshold)
    after = run(graph, FRESH)
    assert after[0] == pytest.approx(before[0] / threshold, rel=1e-5)
    assert after[1] == pytest.approx(before[1] / threshold, rel=1e-5)
    assert after[2] == pytest.approx(before[2])


def test_calibration_returns_the_scores_that_the_graph_gives() -> None:
    graph = make()
    graph.threshold.fill_(9)
    scores = graph.calibrate(HELD_OUT.split(64), FITTED.split(64))
    assert scores == pytest.approx(run(graph, HELD_OUT)[0], rel=1e-5)
    assert graph.threshold.item() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": ("",)},
        {"kinds": ("elbo", "elbo")},
        {"kinds": ("likelihood",)},
        {"rule": "sum"},
        {"tail": 0},
        {"largest": 0},
    ],
)
def test_score_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        ScoreOptions(**options)


def test_options_that_do_not_fit_the_network_are_refused() -> None:
    scaling = fit_scaling(series())
    with pytest.raises(InvalidArgument, match="family pca has no ELBO"):
        DetectorGraph(build("pca", WINDOW, CHANNELS), scaling, ScoreOptions(("elbo",)))
    with pytest.raises(InvalidArgument, match="tail 17 is longer than the window of 16"):
        DetectorGraph(build("pca", WINDOW, CHANNELS), scaling, ScoreOptions(tail=17))
    with pytest.raises(InvalidArgument, match="4 channels are scaled for a network of 3"):
        DetectorGraph(build("pca", WINDOW, 3), scaling)


# -- gaps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", SHARES)
def test_hiding_leaves_about_the_share_that_was_asked_for(share: float) -> None:
    hidden = hide(torch.zeros(200, 20, 8), share, torch.Generator().manual_seed(0))
    left = (~hidden.isnan()).float()
    assert left.mean().item() == pytest.approx(share, abs=0.07)
    rows, channels = left[::2], left[1::2]
    assert bool((rows == rows[:, :, :1]).all())
    assert bool((channels == channels[:, :1]).all())
    edges = (rows[:, 1:, 0] - rows[:, :-1, 0]).abs().sum(1)
    assert edges.max() <= 2  # one run of rows


def test_a_gap_factor_is_linear_between_what_was_measured_and_never_falls() -> None:
    factor = GapFactor()
    assert factor(torch.tensor([0.0, 0.4, 1.0])).tolist() == [1, 1, 1]
    factor.set(torch.tensor([9.0, 8.0, 6.0, 7.0, 4.0, 4.0, 4.0, 1.0, 2.0]))
    at = factor(torch.tensor(SHARES))
    assert at.tolist() == pytest.approx([4, 4, 3.5, 3.5, 2, 2, 2, 1, 1])
    assert factor(torch.tensor([0.925])).item() == pytest.approx(1.5)
    factor.set(torch.tensor([9.0, 8.0, 6.0, 7.0, 4.0, 4.0, 4.0, 1.0, 2.0]), usual=0.8)
    assert factor(0.8 * torch.tensor(SHARES)).tolist() == pytest.approx(at.tolist())
    assert factor(torch.tensor([0.8, 0.9, 1.0])).tolist() == [1, 1, 1]
    factor.reset()
    assert factor(torch.tensor([0.0, 0.4, 1.0])).tolist() == [1, 1, 1]


def test_the_usual_share_is_that_of_most_windows_that_have_any() -> None:
    windows = torch.zeros(5, 4, 2)
    windows[0, 0, 0] = windows[1, 2, 1] = windows[2] = windows[3] = torch.nan
    assert usual_share(windows) == pytest.approx(7 / 8)
    assert usual_share(windows[2:4]) == 1


def test_what_is_always_missing_is_part_of_what_is_normal() -> None:
    """Every eighth sample of a channel is missing where the threshold is found: whole windows score no higher."""
    gappy = series(seed=1)
    gappy[::8, 1] = np.nan
    graph = make()
    batches = windows_of(gappy).split(100)
    calibrated = np.quantile(graph.calibrate(batches, batches), 0.99)
    fresh = series(1200, seed=2)
    gaps = fresh.copy()
    gaps[::8, 1] = np.nan
    for rows in (fresh, gaps):
        assert np.quantile(run(graph, windows_of(rows))[0], 0.99) < 1.1 * calibrated


# -- export -----------------------------------------------------------------------------------------------------------

Exported = tuple[DetectorGraph, bytes, Array, Array]
METADATA = {"window": WINDOW, "channels": ["a", "b", "c", "d"], "threshold": 2.0, "period_seconds": None}


@pytest.fixture(scope="module")
def exported() -> Exported:
    graph = make("dense", ScoreOptions(BOTH, rule="largest", tail=9))
    graph.threshold.fill_(2.0)
    probe = torch.stack([FRESH[0], broken(FRESH[:1], 2, 4e4)[0]])
    probe[1, 3] = torch.nan
    data, scores = export_detector(graph, METADATA, [FRESH.numpy()], [probe.numpy()], Takes(graph.window))
    return graph, data, probe.numpy(), scores


def test_onnx_runtime_scores_as_torch_does_whatever_the_batch(
    exported: Exported,
) -> None:
    graph, data, _, _ = exported
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["window"]
    assert [entry.name for entry in session.get_outputs()] == ["score", "channel_score", "reconstruction"]
    windows = torch.cat([FRESH, broken(FRESH, 1, 1e7), FRESH.masked_fill(torch.rand(FRESH.shape) < 0.3, torch.nan)])
    for count in (1, 7, len(windows)):
        batch = windows[-count:]
        for found, wanted in zip(session.run(None, {"window": batch.numpy()}), run(graph, batch), strict=True):
            assert found == pytest.approx(wanted, rel=TOLERANCE, abs=1e-3)


def test_the_graph_is_standard_and_says_what_it_is(exported: Exported) -> None:
    _, data, probe, scores = exported
    check_graph(data, "detector")
    model = onnx.load_from_string(data)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert {"IsNaN", "Where"} <= {node.op_type for node in model.graph.node}
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert {key: json.loads(said[key]) for key in METADATA} == METADATA
    stored = np.frombuffer(base64.b64decode(said["probe_window"]), "<f4").reshape(json.loads(said["probe_shape"]))
    assert np.array_equal(stored, probe, equal_nan=True)
    assert json.loads(said["probe_score"]) == pytest.approx(scores.tolist())
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert session.run(["score"], {"window": stored})[0] == pytest.approx(scores, rel=1e-4)


def test_the_graph_says_nothing_of_the_machine_that_made_it(
    exported: Exported,
) -> None:
    _, data, _, _ = exported
    for private in (str(ROOT), socket.gethostname(), f"/home/{getpass.getuser()}", ".py"):
        assert private.encode() not in data


def test_a_graph_that_computes_something_else_is_not_exported(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, data, probe, _ = exported
    other = make("dense")
    assert compare_scores(graph, data, FRESH.numpy()) <= TOLERANCE
    assert compare_scores(other, data, FRESH.numpy()) > TOLERANCE
    monkeypatch.setattr(scored_graph, "serialize", lambda _: data)
    with pytest.raises(ModelError, match="the exported graph's scores differ from torch's by"):
        export_detector(other, METADATA, [FRESH.numpy()], [probe], Takes(other.window))


WHOLE_CASES: list[tuple[str, ScoreOptions]] = [
    ("pca", ScoreOptions()),
    ("pca", ScoreOptions(tail=1)),
    ("pca", ScoreOptions(tail=4)),
    ("pca", ScoreOptions(ERRORS, rule="max")),
    ("pca", ScoreOptions(ERRORS, rule="largest", largest=2)),
    ("dense", ScoreOptions()),
    ("variational", ScoreOptions(("elbo",))),
    ("ensemble", ScoreOptions(BOTH)),
]


def wide(family: str, options: ScoreOptions, window: int, channels: int) -> tuple[DetectorGraph, torch.Tensor]:
    """A calibrated graph of long windows, and fresh ones."""
    rng = np.random.default_rng(0)
    rows = np.sin(np.arange(4 * window + 500)[:, None] / 9 + np.arange(channels)) + 0.1 * rng.normal(
        size=(4 * window + 500, channels)
    )
    rows[:, 0] *= rng.random(len(rows)) < 0.02  # bursts, which are shrunk
    view = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float32), window, axis=0)[::7]
    windows = torch.from_numpy(view.transpose(0, 2, 1).copy())
    scaling = fit_scaling(rows)
    network = build(family, window, channels)
    with torch.no_grad():
        network.fit(*ScaleLayer(scaling, window)(windows))
    graph = DetectorGraph(network.eval(), scaling, options).eval()
    graph.calibrate(windows.split(64), windows.split(64))
    return graph, windows


FOLDED: list[tuple[str, ScoreOptions, int, int]] = [
    ("pca", ScoreOptions(), WINDOW, CHANNELS),
    ("pca", ScoreOptions(), 5, 3),  # too short for parts
    ("pca", ScoreOptions(), 1, 6),
    ("pca", ScoreOptions(), 64, 65),  # too large for one product, and for a table of gaps
    ("pca", ScoreOptions(tail=20), 60, 20),
    ("pca", ScoreOptions(rule="max", tail=4), WINDOW, CHANNELS),
    ("pca", ScoreOptions(rule="largest", largest=2), WINDOW, CHANNELS),
    ("pca", ScoreOptions(("mahalanobis",)), WINDOW, CHANNELS),
    ("gaussian", ScoreOptions(), WINDOW, CHANNELS),
    ("dense", ScoreOptions(BOTH, tail=7), WINDOW, CHANNELS),
    ("variational", ScoreOptions(("elbo", *BOTH), rule="largest", tail=7), WINDOW, CHANNELS),
    ("ensemble", ScoreOptions(BOTH), WINDOW, CHANNELS),
]


@pytest.mark.parametrize(("family", "options", "window", "channels"), FOLDED)
def test_folding_changes_no_score(family: str, options: ScoreOptions, window: int, channels: int) -> None:
    torch.manual_seed(0)
    graph, windows = wide(family, options, window, channels)
    graph.threshold.fill_(0.7)
    graph.voices.quiet.set(np.full(channels, 0.5))
    windows = windows[:60]
    gaps = windows.clone()
    gaps[torch.rand(gaps.shape) < 0.2] = torch.nan
    gaps[3], gaps[4, window // 3 :], gaps[5, ..., 1] = torch.nan, torch.nan, torch.nan
    flat = windows.clone()
    flat[:, :, 0] = flat[:, :1, 0]
    for some in (windows, gaps, flat, windows * 1e9, windows * 3e38, gaps * 30):
        score, channel_score, reconstruction = run(graph, some)
        with torch.no_grad():
            found = FoldedGraph(graph)(some)
            whole = FoldedGraph(graph, whole=True)(some)
        assert found[0].numpy() == pytest.approx(score, rel=5e-5, abs=1e-6)
        assert found[1].numpy() == pytest.approx(channel_score, rel=1e-4, abs=1e-5)
        assert found[2].numpy() == pytest.approx(reconstruction, rel=1e-4, abs=1e-4)
        if not some.isnan().any():
            assert whole[0].numpy() == pytest.approx(score, rel=5e-5, abs=1e-6)
            assert whole[1].numpy() == pytest.approx(channel_score, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("family", "options"), WHOLE_CASES)
def test_windows_without_gaps_score_the_same_in_their_own_graph(family: str, options: ScoreOptions) -> None:
    graph = make(family, options)
    graph.threshold.fill_(0.7)
    for windows in (FRESH, broken(FRESH), broken(FRESH, 2, -1e9)):
        score, channel_score, _ = run(graph, windows)
        with torch.no_grad():
            found = FoldedGraph(graph, whole=True)(windows)
        assert found[0].numpy() == pytest.approx(score, rel=1e-4)
        assert found[1].numpy() == pytest.approx(channel_score, rel=1e-4, abs=5e-6)


@pytest.mark.slow
def test_the_graph_of_whole_windows_is_exported_without_what_serves_gaps() -> None:
    graph = make()
    exported = export_whole(graph, METADATA, [FRESH.numpy()], Takes(graph.window))
    assert exported is not None
    operators = [node.op_type for node in onnx.load_from_string(exported[0]).graph.node]
    assert not {"IsNaN", "Where"} & set(operators)
    both = export_detector(graph, METADATA, [FRESH.numpy()], [FRESH.numpy()[:2]], Takes(graph.window))
    full = onnx.load_from_string(both[0])
    assert len(operators) < 0.6 * len(full.graph.node)
    assert export_whole(graph, METADATA, [np.full_like(FRESH.numpy(), np.nan)], Takes(graph.window)) is None
