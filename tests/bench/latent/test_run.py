"""The benchmark of latent models: figures that NumPy can check, peers at equal bytes, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import aez
from aez.bench.latent import run as latent_bench
from aez.bench.latent.report import LatentReport
from aez.bench.latent.run import StatisticsSum, run
from aez.cli import main
from aez.codec.bundle.bundle import save_bundle
from aez.codec.errors import InvalidArgument, ModelError, UnsupportedInput
from aez.codec.image.distortion import ms_ssim, psnr, ssim
from aez.codec.latent.model import Latent
from tests.kit.places import DATA

pytest.importorskip("onnx")  # of which the hand-made model is made
from tests.kit.hand_made_latent_model import LOG_VARIANCE, bundle

TINY_KL, TINY = DATA / "tiny-kl.aezm", DATA / "tiny.aezm"
SIZES = ((64, 104), (168, 168))  # height, width


def picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width] / 9
    waves = 128 + 60 * np.sin(x + np.arange(3)[:, None, None]) + 40 * np.cos(0.7 * y - 0.2 * x)
    noise = np.random.default_rng(seed).normal(0, 4, waves.shape)
    return np.rint((waves + noise).clip(0, 255)).astype(np.uint8).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate(SIZES):
        Image.fromarray(picture(*size, number)).save(made / f"{number}.png")
    Image.new("RGBA", (64, 64), (9, 9, 9, 9)).save(made / "clear.png")
    return made


@pytest.fixture(scope="module", autouse=True)
def _short_times() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_bench, "REPEATS", 1)
        patch.setattr(latent_bench, "TIMED_SIDE", 64)
        yield


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[LatentReport, Path]:
    out = tmp_path_factory.mktemp("out") / "report"
    return run(folder, [TINY_KL], out, bpps=(0.02, 2.0), tile=64, progress=False), out


def test_statistics_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    mixing = np.array([[1, 0, 0], [0.8, 0.3, 0], [0, 0, 0.5]])
    latents = []
    for shape in ((4, 5), (9, 2)):
        mean = (mixing @ rng.normal(0.2, 1, (3, shape[0] * shape[1]))).reshape(3, *shape).astype(np.float32)
        latents.append(Latent(mean, rng.uniform(-9, -2, mean.shape).astype(np.float32), (8, 8)))
    total = StatisticsSum(3)
    for latent in latents:
        total.add(latent, 2.0, 0.1)
    found = total.statistics()
    mean = np.concatenate([(latent.mean.reshape(3, -1) - 0.1) * 2 for latent in latents], axis=1)
    variance = np.concatenate([np.exp(latent.log_variance.reshape(3, -1)) * 4 for latent in latents], axis=1)
    assert found.elements == 38
    assert found.mean == pytest.approx(mean.mean(axis=1), abs=1e-5)
    assert found.variance == pytest.approx(mean.var(axis=1), abs=1e-5)
    assert found.posterior_variance == pytest.approx(variance.mean(axis=1), abs=1e-5)
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    assert found.kl == pytest.approx(kl.mean(axis=1), abs=1e-5)
    assert np.array(found.correlation) == pytest.approx(np.corrcoef(mean), abs=1e-4)
    assert found.unused == 0
    assert found.largest_correlation == pytest.approx(np.corrcoef(mean)[0, 1], abs=1e-4)


def test_ssim_is_ms_ssim_at_one_scale() -> None:
    original = picture(20, 20)  # too small for a second scale
    changed = picture(20, 20, seed=1)
    assert ssim(original, original) == pytest.approx(1)
    assert ssim(original, changed) == pytest.approx(ms_ssim(original, changed))
    assert ssim(picture(64, 64), picture(64, 64, seed=1)) < 1
    with pytest.raises(InvalidArgument):
        ssim(original, original[:10])


def test_a_channel_that_stands_still_is_unused_and_correlates_with_none() -> None:
    mean = np.stack([np.arange(6.0), np.full(6, 3.0)]).reshape(2, 2, 3).astype(np.float32)
    total = StatisticsSum(2)
    total.add(Latent(mean, np.zeros_like(mean), (16, 24)))
    found = total.statistics()
    assert found.unused == 0.5
    assert found.correlation == ((1.0, 0.0), (0.0, 1.0))


def test_pictures_are_reconstructed_without_quantization(written: tuple[LatentReport, Path], folder: Path) -> None:
    (model,) = written[0].models
    assert [p.picture for p in model.pictures] == ["0.png", "1.png"]
    for figures, size in zip(model.pictures, SIZES, strict=True):
        with Image.open(folder / figures.picture) as image:
            result = np.asarray(aez.reconstruct(image, TINY_KL))
            original = np.asarray(image)
        assert figures.psnr == pytest.approx(psnr(original, result), abs=1e-3)
        assert figures.ssim == pytest.approx(ssim(original, result), abs=1e-5)
        assert (figures.ms_ssim is None) == (min(size) < 161)
    assert model.network["decoder_weights"] == 63312
    assert written[0].skipped == {"clear.png": "it has transparency"}


def test_tiles_leave_no_seams(written: tuple[LatentReport, Path]) -> None:
    (model,) = written[0].models
    assert model.seams is not None
    assert model.seams.pictures == 2
    assert model.seams.difference <= 1
    assert model.seams.ratio == pytest.approx(1, abs=1e-3)


def test_peers_get_the_bytes_of_the_model(written: tuple[LatentReport, Path]) -> None:
    (model,) = written[0].models
    for target in (0.02, 2.0):
        for name in ("0.png", "1.png"):
            rows = [r for r in model.rates if (r.target_bpp, r.picture) == (target, name)]
            assert rows[0].codec == "tiny-kl"
            assert {"JPEG", "WebP"} <= {r.codec for r in rows[1:]}
            assert rows[0].fits == (target == 2.0)  # no file is as small as 0.02 bits per pixel
            for row in rows[1:]:
                assert row.fits == (row.bytes <= rows[0].bytes)
    point = next(p for p in model.rate_points if p.codec == "tiny-kl" and p.target_bpp == 0.02)
    assert (point.too_large, point.of) == (2, 2)
    assert point.bytes == np.mean([r.bytes for r in model.rates if (r.codec, r.target_bpp) == ("tiny-kl", 0.02)])


def test_what_is_written_says_what_was_measured(written: tuple[LatentReport, Path]) -> None:
    report, out = written
    assert sorted(p.name for p in out.iterdir()) == ["latent-sheet.png", "latent.json", "latent.png", "latent.txt"]
    values = json.loads((out / "latent.json").read_text(encoding="utf-8"))
    (model,) = values["models"]
    assert values["kind"] == "latent"
    assert values["environment"]["versions"]["aez"]
    assert model["id"] == aez.load(TINY_KL).id
    assert model["reconstruction"]["psnr"] == pytest.approx(report.models[0].psnr)
    assert len(model["latent"]["correlation"]) == 4
    text = (out / "latent.txt").read_text(encoding="utf-8")
    assert text == report.table()
    assert f"{report.models[0].psnr:.2f}" in text
    assert "2 of 2" in text
    assert max(map(len, text.splitlines())) <= 120
    for name in ("latent.png", "latent-sheet.png"):
        with Image.open(out / name) as image:
            assert min(image.size) > 200


def test_a_model_that_codes_nothing_has_no_rates(folder: Path, tmp_path: Path) -> None:
    save_bundle(bundle(), tmp_path / "blocks.aezm")
    report = run(folder, [tmp_path / "blocks.aezm"], quick=True, progress=False)
    (model,) = report.models
    assert model.rates == ()
    assert model.seams is None
    assert any("codes no pictures" in note for note in model.notes)
    assert model.latent.posterior_variance == pytest.approx([np.exp(LOG_VARIANCE)] * 4, rel=1e-4)
    assert "codes no pictures" in report.table()
    json.loads(report.to_json())


def test_what_cannot_be_measured_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="use kl-f8"):
        run(folder, [TINY], progress=False)
    with pytest.raises(InvalidArgument, match="above 0"):
        run(folder, [TINY_KL], bpps=[0.0], progress=False)
    with pytest.raises(InvalidArgument, match="multiple of 8"):
        run(folder, [TINY_KL], tile=100, progress=False)
    with pytest.raises(UnsupportedInput, match="lossless"):
        run(tmp_path, [TINY_KL], progress=False)


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", "latent", *map(str, arguments)], catch_exceptions=False, prog_name="aez")


def test_the_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    Image.fromarray(picture(48, 64)).save(tmp_path / "one" / "picture.png")
    done = command(tmp_path / "one", "-m", TINY_KL, "--quick", "-b", "2", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["quick"]
    assert command().exit_code == 2
    assert "name a folder" in command().stderr
    assert command(folder, "-m", TINY_KL, "-b", "0").exit_code == 2
    file = tmp_path / "file"
    file.write_text("")
    refused = command(folder, "-m", TINY_KL, "-o", file)  # at once, before it measures
    assert refused.exit_code == 6
    assert "cannot make the folder" in refused.stderr
