"""Scaling: what outliers, still channels, gaps and broken sensors do to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.detect.scaling import robust_centre, robust_scale
from aez.codec.errors import UnsupportedInput
from aez.export.series.scaling import LIMIT, ScaleLayer, Scaling, fit_scaling

RNG = np.random.default_rng(0)


def normal(n: int = 5000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def layer_of(values: np.ndarray) -> tuple[Scaling, ScaleLayer]:
    scaling = fit_scaling(values)
    return scaling, ScaleLayer(scaling, 1)


def scaled(layer: ScaleLayer, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, present = layer(torch.from_numpy(np.asarray(values, np.float32))[:, None, :])
    return x[:, 0].numpy(), present[:, 0].numpy()


def test_a_normal_channel_gets_its_mean_and_deviation() -> None:
    values = 70 + 3 * normal(20_000)
    assert robust_centre(values) == pytest.approx(70, abs=0.1)
    assert robust_scale(values) == pytest.approx(3, rel=0.03)


def test_less_than_a_hundredth_of_outliers_at_either_end_hardly_changes_the_width() -> None:
    values = 70 + 3 * normal()
    spoiled = values.copy()
    spoiled[::110] = 1e9
    assert robust_scale(spoiled) == pytest.approx(robust_scale(values), rel=0.1)
    assert fit_scaling(spoiled[:, None]).scale[0] < 4
    spoiled[1::110] = -1e9
    assert robust_scale(spoiled) == pytest.approx(robust_scale(values), rel=0.1)


def test_the_width_is_the_deviation_of_what_is_left_when_the_outermost_hundredths_are_pulled_in() -> None:
    values = np.arange(101.0)  # the percentiles are the values themselves
    pulled_in = np.array([1.0, *range(1, 100), 99.0])
    assert robust_scale(values) == pytest.approx(pulled_in.std())
    assert robust_scale(-7 * values[::-1] + 3) == pytest.approx(7 * pulled_in.std())
    values[[0, -1]] = -1e12, 1e12
    assert robust_scale(values) == pytest.approx(pulled_in.std())


def test_a_channel_that_mostly_repeats_a_value_gets_its_winsorised_deviation() -> None:
    values = np.zeros(1000)
    values[::10] = 5.0
    assert robust_scale(values) == pytest.approx(np.std(values), rel=1e-6)


def test_a_channel_that_hardly_ever_moves_gets_its_range() -> None:
    values = np.full(1000, 2.0)
    values[500] = 9.0
    assert robust_scale(values) == 7.0


@pytest.mark.parametrize(("value", "width"), [(1013.0, 1.013), (-50.0, 0.05), (0.0, 1e-6)])
def test_a_channel_that_never_moves_gets_a_thousandth_of_its_value(value: float, width: float) -> None:
    scaling, _ = layer_of(np.full((100, 1), value))
    assert scaling.scale[0] == pytest.approx(width)
    assert scaling.still.tolist() == [True]


@pytest.mark.parametrize("value", [0.1, 1e7 / 3, -273.15])
def test_a_channel_that_stands_still_is_scaled_to_exactly_zero(value: float) -> None:
    values = np.full((50, 1), value)
    x, _ = scaled(layer_of(values)[1], values)
    assert not x.any()


@pytest.mark.parametrize("later", [1.1, 2.0, 1e6, 3e38, np.inf, -np.inf])
def test_a_still_channel_that_moves_later_is_far_out_and_finite(later: float) -> None:
    _, layer = layer_of(np.ones((100, 1)))
    x, _ = scaled(layer, np.array([[later]]))
    assert abs(x[0, 0]) == LIMIT
    assert 2 < excess_of(layer, later) < 50


def test_no_channel_has_more_than_unit_variance() -> None:
    bursts = np.where(RNG.random(5000) < 0.04, 1e4 * RNG.random(5000), normal(5000))
    heavy = RNG.standard_cauchy(5000)
    values = np.stack([bursts, heavy, normal(5000, 1)], axis=1)
    x, _ = scaled(layer_of(values)[1], values)
    assert (x.std(axis=0) <= 1.001).all()
    assert x[:, 2].std() > 0.9


def test_a_channel_without_a_value_is_named() -> None:
    values = np.ones((10, 2))
    values[:, 1] = np.nan
    with pytest.raises(UnsupportedInput, match="channel pump has no value"):
        fit_scaling(values, ["valve", "pump"])
    with pytest.raises(UnsupportedInput, match="channel number 2"):
        fit_scaling(values)


def test_missing_and_infinite_samples_do_not_count() -> None:
    values = 5 + 2 * normal()
    gaps = np.concatenate([values, [np.nan, np.inf, -np.inf]])[:, None]
    whole, other = fit_scaling(values[:, None]), fit_scaling(gaps)
    assert (whole.centre, whole.scale, whole.low, whole.high) == (other.centre, other.scale, other.low, other.high)


def excess_of(layer: ScaleLayer, *values: float) -> float:
    """Of one channel's window."""
    widths, _ = layer.widths(torch.tensor(values)[None, :, None])
    return layer.excess(widths).item()


def unit_layer() -> ScaleLayer:
    """A layer whose widths are the values themselves."""
    one = np.ones(1)
    return ScaleLayer(Scaling(0 * one, one, one, -one, one), 1)


@given(st.floats(0, 2.0**100, width=32), st.floats(0, 2.0**100, width=32))
def test_the_excess_rises_with_the_distance(distance: float, more: float) -> None:
    layer = unit_layer()
    assert 1 - 1e-6 <= excess_of(layer, distance) <= excess_of(layer, distance + more) < 50
    assert excess_of(layer, -distance) == excess_of(layer, distance)
    if distance <= LIMIT:
        assert excess_of(layer, distance) == pytest.approx(1)


def test_the_excess_is_smooth_at_the_limit_and_logarithmic_beyond() -> None:
    layer = unit_layer()
    assert excess_of(layer, LIMIT * 1.001) == pytest.approx(1.001, abs=1e-4)
    decades = np.diff([excess_of(layer, 10.0**power) for power in range(2, 10)])
    assert decades == pytest.approx(np.log(10), rel=1e-4)


def test_the_excess_is_that_of_the_windows_farthest_sample() -> None:
    layer = unit_layer()
    assert excess_of(layer, 1.0, -300.0, 20.0) == excess_of(layer, 300.0)
    assert excess_of(layer, 1.0, float("nan"), 20.0) == excess_of(layer, 20.0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2), st.booleans())
def test_the_layer_agrees_with_numpy(values: list[float], gap: bool) -> None:
    training = np.stack([100 + 5 * normal(500, 1), np.where(normal(500, 2) > 1.5, 3.0, 0.0)], axis=1)
    scaling, layer = layer_of(training)
    row = np.array([values], np.float32)
    if gap:
        row[0, 1] = np.nan
    x, present = scaled(layer, row)
    wanted = scaling.gain * np.clip((row - scaling.centre) / scaling.scale, -LIMIT, LIMIT)
    assert present[0].tolist() == [1.0, 0.0 if gap else 1.0]
    assert x[0] == pytest.approx(np.nan_to_num(wanted[0]), rel=1e-4, abs=1e-4)


def test_windows_are_scaled_channel_by_channel() -> None:
    training = np.stack([normal(500, 1), 1000 + 100 * normal(500, 2)], axis=1)
    scaling = fit_scaling(training)
    windows = torch.from_numpy(training[:12].reshape(2, 6, 2).astype(np.float32))
    x, _ = ScaleLayer(scaling, 6)(windows)
    rows, _ = scaled(ScaleLayer(scaling, 1), training[:12])
    assert x.reshape(12, 2).numpy() == pytest.approx(rows, abs=1e-6)


@given(st.floats(-9, 49, width=32))
def test_the_inverse_gives_the_sensors_units_back(value: float) -> None:
    _, layer = layer_of((20 + 3 * normal(500))[:, None])
    x, _ = layer(torch.full((1, 1, 1), value))
    back = layer.inverse(x).item()
    assert back == pytest.approx(value, rel=1e-3, abs=1e-3)
