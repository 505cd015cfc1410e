"""From items to a bundle: what it holds, what it computes, how runs go on, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.vectors.items import items_of_array
from aez.codec.vectors.model import Autoencoder
from aez.export.autoencoders import code_tables
from aez.export.autoencoders.base import Subject
from aez.export.autoencoders.registry import FAMILIES, build
from aez.export.autoencoders.train import AutoencoderConfig, default_options, learn_autoencoder, main, make_bundle
from tests.kit.made_once import MadeOnce
from tests.kit.rings import rings
from tests.kit.small_autoencoders import QUICK, items_for, small_autoencoders


@pytest.fixture(scope="session")
def bundles(made_once: MadeOnce) -> dict[str, Bundle]:
    """A bundle of each family, hardly trained."""
    return {family: Bundle.open(path) for family, path in small_autoencoders(made_once).items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_states_what_it_is_and_computes_in_the_datas_units(family: str, bundles: dict[str, Bundle]) -> None:
    bundle, items = bundles[family], items_for(family)
    assert (bundle.task, bundle.manifest["family"]) == ("autoencoder", family)
    assert set(bundle.manifest["graphs"]) == {"encoder", "decoder"}
    given = bundle.manifest["graphs"]["encoder"]
    assert given["inputs"][0]["shape"] == ["batch", *items.shape]
    variational = family in ("variational", "beta")
    assert [one["name"] for one in given["outputs"]] == ["mean"] + ["log_variance"] * variational
    assert bundle.coding["prior"] == ({"kind": "normal"} if variational else None)
    assert bundle.coding["removes"] == ({"noise": "gaussian", "level": 0.4} if family == "denoising" else None)
    model = Autoencoder(bundle, "cpu")
    made = model.decode(model.encode(model.values(items)).mean)
    assert made.shape == items.values.shape
    error = np.square(made - items.values).mean()
    assert error < 1.5 * np.square(items.values - items.values.mean(0)).mean()
    if items.kind == "pictures":
        assert 0 <= made.min() <= made.max() <= 255


@pytest.mark.parametrize("family", FAMILIES)
def test_coded_codes_come_back_to_half_a_step(family: str, bundles: dict[str, Bundle]) -> None:
    model, items = Autoencoder(bundles[family], "cpu"), items_for(family)
    codes = model.encode(model.values(items)).mean
    moving = codes.std(0) > 1e-3 * codes.std(0).max()
    sizes, errors = [], []
    for bits in (2, 5, 8):
        coder = model.coder(bits)
        data = coder.encode(codes)
        back = coder.decode(data, len(codes))
        moved = np.abs(back - codes)
        assert (moved <= coder.step / 2 + 1e-4 * np.abs(codes).max())[:, coder.step > 0].all()
        np.testing.assert_array_equal(coder.decode(coder.encode(back), len(back)), back)
        sizes.append(8 * len(data) / codes[:, moving].size)
        errors.append(np.square(moved).mean())
    assert errors[0] > errors[1] > errors[2]
    # The bits that are asked for are those of a normal distribution; codes of other shapes take about as many.
    for bits, size in zip((2, 5, 8), sizes, strict=True):
        assert size == pytest.approx(bits, abs=1.2)


def test_the_decoding_half_decodes(bundles: dict[str, Bundle]) -> None:
    whole = Autoencoder(bundles["dense"], "cpu")
    half = Autoencoder(Bundle.open(bundles["dense"].decoding_half(), half=True), "cpu")
    codes = np.zeros((2, 5), np.float32)
    np.testing.assert_array_equal(half.decode(codes), whole.decode(codes))
    assert half.coder(4).decode(whole.coder(4).encode(codes), 2).shape == (2, 5)


def test_training_lowers_the_error_and_says_so(tmp_path: Path) -> None:
    items = items_of_array(rings(400))
    config = AutoencoderConfig("dense", {"latent": 6})
    bundle = main(items, tmp_path / "m.aezm", config=config, changes={**QUICK, "steps": 300}, test=items)
    assert bundle is not None
    rows = [json.loads(line) for line in (tmp_path / "m.aezm.run" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["validation"] for row in rows if "validation" in row]
    assert losses[-1] < losses[0] / 2
    figures = bundle.manifest["figures"]
    assert figures["test"]["items"] == 400
    assert figures["held_out"]["mse"] == pytest.approx(losses[-1], rel=0.05)
    assert (tmp_path / "m.aezm.run" / "training.png").exists()


def test_a_run_that_goes_on_ends_as_one_that_did_not_stop(tmp_path: Path) -> None:
    items, config = items_of_array(rings(100)), AutoencoderConfig("variational", {"latent": 3})
    whole = learn_autoencoder(items, config, tmp_path / "a", changes=QUICK)
    from aez.export.common.trainer import Trainer

    class Stopped(Trainer):
        def _complete(self) -> bool:
            return super()._complete() or self.step == 11

    import aez.export.autoencoders.train as training

    original = training.Trainer
    training.Trainer = Stopped  # type: ignore[misc]
    try:
        learn_autoencoder(items, config, tmp_path / "b", changes=QUICK)
    finally:
        training.Trainer = original  # type: ignore[misc]
    resumed = learn_autoencoder(items, config, tmp_path / "b", changes=QUICK, resume=True)
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_posterior_that_collapses_is_warned_of_while_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = AutoencoderConfig("beta", {"latent": 8, "beta": 1000.0, "warm": 0.0})
    with caplog.at_level(logging.WARNING):
        learn_autoencoder(items_of_array(rings(200)), config, tmp_path, changes={**QUICK, "steps": 200})
    said = [record.getMessage() for record in caplog.records if "collapses" in record.getMessage()]
    assert len(said) == 1
    assert "of 8 numbers of the code vary over the items; give a lower --beta" in said[0]


def test_held_out_items_that_were_learned_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    twice = np.concatenate([rings(40)] * 2)
    for number, (values, warnings) in enumerate([(twice, 1), (rings(80), 0)]):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            learn_autoencoder(items_of_array(values), AutoencoderConfig("pca"), tmp_path / str(number))
        assert ["held-out items are copies" in one.getMessage() for one in caplog.records] == [True] * warnings


def test_epochs_count_passes() -> None:
    assert default_options("dense", 1000, 3).steps == 12
    assert default_options("conv", 1000, 3).steps == 24
    assert default_options("dense", 60_000).steps == 4688
    assert default_options("dense", 30).steps == 1000
    assert default_options("dense", 30, None, minutes=2.0).steps is None


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (rings(1), UnsupportedInput, "1 picture is too few to learn from; give 20 or more"),
        (np.full((30, 8, 8), 7, np.uint8), UnsupportedInput, "all pictures are the same"),
        (np.linspace(-3, 400, 30 * 64).reshape(30, 8, 8), UnsupportedInput, "pictures have values in"),
    ],
)
def test_what_is_not_learned_from(tmp_path: Path, values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        learn_autoencoder(items_of_array(values), AutoencoderConfig("dense"), tmp_path / "run", changes=QUICK)
    assert not (tmp_path / "run").exists()


def test_items_to_test_have_the_shape_of_those_that_were_learned(tmp_path: Path) -> None:
    learned = learn_autoencoder(items_of_array(rings(30)), AutoencoderConfig("pca", {"latent": 2}), tmp_path)
    with pytest.raises(InvalidArgument, match=r"items to test have the shape \[4, 4\]"):
        make_bundle(learned, "m", "drawn", items_of_array(np.zeros((3, 4, 4))))


def test_gains_by_projections_are_those_of_numbers_moved_one_by_one() -> None:
    torch.manual_seed(0)
    network = build("dense", Subject((40,)), {"latent": 6, "layers": (20,)}).eval()
    codes = torch.randn(64, 6)
    exact = code_tables._gains(network, codes, torch.full((6,), 0.01))
    torch.testing.assert_close(code_tables._projected_gains(network, codes), exact, rtol=0.15, atol=0)


def bits_by_hand(away: np.ndarray, step: float, table: np.ndarray) -> float:
    """What a table takes for one dimension's symbols, a value after the other."""
    reach = (len(table) - 2) // 2
    symbols = [int(np.rint(one / np.float32(step))) for one in away]
    return sum(24 - np.log2(float(table[reach + s])) if s <= reach else 40 - np.log2(float(table[-1])) for s in symbols)


def test_the_tables_of_codes_are_those_that_take_the_fewest_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shapes = np.where(np.arange(12) % 2, rng.normal(size=(60, 12)), rng.laplace(size=(60, 12)))
    away = np.abs(shapes * np.geomspace(0.01, 300, 12)).astype(np.float32).T.copy()
    step = np.where(np.arange(12) == 3, 0, 0.1).astype(np.float32)
    away[5, 7] = 1e6  # beyond the reach of every table
    tables = list(code_tables._tables())
    wanted = [
        int(np.argmin([bits_by_hand(a, s, t) for t in tables[1:]])) + 1 if s else 0
        for a, s in zip(away, step, strict=True)
    ]
    assert code_tables._best_tables(away, step, tables).tolist() == wanted
    monkeypatch.setattr(code_tables, "_TOGETHER", 1)
    assert code_tables._best_tables(away, step, tables).tolist() == wanted


def test_of_very_many_codes_evenly_spread_ones_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.arange(60.0).reshape(20, 3) - 30
    np.testing.assert_array_equal(code_tables._counted(codes), codes.abs().T)
    monkeypatch.setattr(code_tables, "_COUNTED", 20)
    monkeypatch.setattr(code_tables, "_COUNTED_LEAST", 5)
    np.testing.assert_array_equal(code_tables._counted(codes), codes[::3].abs().T)
