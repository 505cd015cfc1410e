"""`aez train photo` from end to end, on small pictures and a small network."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.export.common.run_files import check_output, run_folder
from aez.export.common.trainer import TrainOptions
from aez.export.distortions.distortion import mse_distortion
from aez.export.hyperprior import bundle as writing
from aez.export.hyperprior.graphs import signatures
from aez.export.hyperprior.pictures import is_validation
from aez.export.hyperprior.training import PSNR_MAX, CodecRun, random_levels
from aez.export.photo import train as train_photo
from aez.export.photo.network import ENCODING, PhotoNetwork
from aez.export.photo.train import PhotoTask, hyper_weight, main, prepare
from tests.kit.small_photo import SMALL, Exported, make_network, make_pictures


def make_options(steps: int = 20, **changes: Any) -> TrainOptions:
    settings = {"batch": 2, "workers": 0, "device": "cpu", "precision": "32-true", "warmup_steps": 5, "ema_decay": 0.9}
    return TrainOptions(**{"steps": steps} | settings | changes)


def make_folder(folder: Path, count: int = 12, side: int = 96) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = (make_pictures(count, side) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("data") / "pictures")
    (folder / "damaged.png").write_bytes(b"no picture")
    (folder / "68.png").write_bytes((folder / "0.png").read_bytes())  # a name that is held out
    return folder


def make_run(pictures: Path, folder: Path, **changes: Any) -> CodecRun[PhotoNetwork]:
    return prepare(pictures, folder, make_options(**changes), SMALL, crop=64)


@dataclass(frozen=True)
class Trained:
    bundle: Bundle
    output: Path


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    output = tmp_path_factory.mktemp("model") / "mine.aezm"
    bundle = main(pictures, output, options=make_options(), config=SMALL, crop=64)
    assert bundle is not None
    return Trained(bundle, output)


@pytest.mark.slow
def test_training_writes_a_bundle_that_says_how_it_was_made(trained: Trained) -> None:
    bundle = Bundle.open(trained.output)
    assert (bundle.id, bundle.name) == (trained.bundle.id, "mine")
    made = bundle.manifest["provenance"]
    assert made["data"] == "13 pictures of the folder pictures"
    names = sorted([*(f"{number}.png" for number in range(12)), "damaged.png"])
    assert made["data_names_sha256"] == hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert (made["steps"], made["batch"], made["seed"], made["distortion"]) == (20, 2, 0, "mse")
    assert made["from"] is None
    assert set(bundle.manifest["figures"]["validation"]) >= {"psnr@10", "bpp@10", "psnr@90", "bpp@90"}


@pytest.mark.slow
def test_training_leaves_its_figures_and_a_loss_curve(trained: Trained) -> None:
    folder = run_folder(trained.output)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt", "metrics.jsonl", "training.png"]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 20]
    assert rows[0].keys() >= {"loss", "bpp", "hyper_bpp", "norm", "rate", "seconds"}
    assert rows[1] == trained.bundle.manifest["figures"]["validation"]
    with Image.open(folder / "training.png") as curve:
        assert curve.size > (600, 200)


@pytest.mark.slow
def test_a_trained_model_codes_pictures(trained: Trained, pictures: Path) -> None:
    with Image.open(pictures / "3.png") as picture:
        original = np.asarray(picture)
    sizes, errors = [], []
    for quality in (5, 50, 95):
        data = aez.encode(original, quality=quality, model=trained.bundle)
        decoded = np.asarray(aez.decode(data, model=trained.bundle))
        assert decoded.shape == original.shape
        sizes.append(len(data))
        errors.append(float(np.square(decoded.astype(float) - original).mean()))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] < original.nbytes / 2
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 30  # more than 33 dB


@pytest.mark.slow
def test_training_goes_on_from_a_bundle(
    trained: Trained, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = make_options(2, learning_rate=1e-6)
    # The graphs of two tiny steps later are those of before: to export them takes half a minute.
    graphs = {name: trained.bundle.graph(name) for name in signatures(SMALL)}
    monkeypatch.setattr(writing, "export_graphs", lambda _: graphs)
    bundle = main(pictures, tmp_path / "next.aezm", name="finer", options=options, start=trained.bundle, crop=64)
    assert bundle is not None
    assert bundle.name == "finer"
    assert bundle.id != trained.bundle.id
    assert bundle.manifest["provenance"]["from"] == trained.bundle.id
    assert bundle.manifest["provenance"]["network"] == SMALL.as_dict()
    before, after = (b.manifest["figures"]["validation"] for b in (trained.bundle, bundle))
    for quality in (10, 50, 90):
        assert after[f"psnr@{quality}"] == pytest.approx(before[f"psnr@{quality}"], abs=0.1)
        assert after[f"bpp@{quality}"] == pytest.approx(before[f"bpp@{quality}"], rel=0.02)


def test_an_interrupted_run_writes_no_bundle_and_resumes(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output, loss = tmp_path / "mine.aezm", PhotoTask.loss
    calls = []

    def interrupt(self: PhotoTask, *rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, *rest)

    def export(_run: object, result: Any, *_: object) -> tuple[int, bool]:
        return result.steps, result.finished

    monkeypatch.setattr(PhotoTask, "loss", interrupt)
    monkeypatch.setattr(train_photo, "finish", export)
    with caplog.at_level(logging.WARNING):
        assert main(pictures, output, options=make_options(6), config=SMALL, crop=64) is None
    assert "stopped at step 3; go on with --resume" in caplog.text
    assert "damaged.png" in caplog.text
    assert not output.exists()
    assert (run_folder(output) / "training.png").exists()
    assert main(pictures, output, options=make_options(6), config=SMALL, crop=64, resume=True) == (6, True)
    assert len(calls) == 6


@pytest.mark.slow
def test_a_resumed_run_knows_the_model_that_it_went_on_from(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Exported
) -> None:
    """Without it, its side information would be cheap again, and its sizes those of a new network."""
    output, loss, seen = tmp_path / "mine.aezm", PhotoTask.loss, list[bool]()

    def interrupt(self: PhotoTask, *rest: Any) -> Any:
        seen.append(self.cheap_start)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, *rest)

    def export(_run: object, _result: Any, _output: Path, _name: str, provenance: dict[str, Any]) -> dict[str, Any]:
        return provenance

    monkeypatch.setattr(PhotoTask, "loss", interrupt)
    monkeypatch.setattr(train_photo, "finish", export)
    assert main(pictures, output, options=make_options(4), crop=64, start=exported.bundle) is None
    provenance: Any = main(pictures, output, options=make_options(4), crop=64, resume=True)
    assert (provenance["from"], provenance["steps"]) == (exported.bundle.id, 4)
    assert seen == [False] * 4
    for path in run_folder(output).glob("checkpoint*"):
        path.unlink()
    assert main(pictures, output, options=make_options(1), config=SMALL, crop=64) is not None
    assert seen[4:] == [True]  # a new run forgets it
    assert not (run_folder(output) / "start.aezm").exists()


def test_a_resumed_photo_run_equals_one_without_a_stop(pictures: Path, tmp_path: Path) -> None:
    whole = make_run(pictures, tmp_path / "whole", steps=6).go()
    first = make_run(pictures, tmp_path / "parts", steps=6, checkpoint_seconds=0.0)
    step = first.trainer._train_step

    def crash(batch: torch.Tensor) -> dict[str, float]:
        if first.trainer.step == 3:
            raise ZeroDivisionError
        return step(batch)

    first.trainer._train_step = crash  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        first.go()
    resumed = make_run(pictures, tmp_path / "parts", steps=6).go(resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.mark.slow
def test_a_small_network_learns(pictures: Path, tmp_path: Path) -> None:
    run = make_run(pictures, tmp_path, steps=60, batch=4, learning_rate=3e-3, ema_decay=0.5)
    task, images = run.trainer.task, torch.stack([run.trainer.data[index] for index in range(10**6, 10**6 + 24)])

    def mean_loss(network: PhotoNetwork) -> float:
        with torch.no_grad():
            loss, _ = task.loss(network.eval(), images, torch.Generator().manual_seed(0), 1.0)
        return float(loss)

    before = mean_loss(run.network)
    after = mean_loss(run.go().model)  # type: ignore[arg-type]
    assert after < 0.97 * before


def test_every_parameter_belongs_to_one_group_with_its_rate() -> None:
    task, network = PhotoTask(SMALL, make_pictures(1)), PhotoNetwork(SMALL)
    groups = task.parameter_groups(network, 0.01)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    expected = {
        "analysis.embed.weight": 0.001,
        "synthesis.unembed.bias": 0.001,
        "scale.offset": 0.2,
        "density.mean": 0.05,
        "mean.outs.0.weight": 0.01,
    }
    parameters = dict(network.named_parameters())
    assert {name: rates[id(parameters[name])] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("rounded_from", [0.0, 0.5])
def test_what_encodes_stands_still_once_latents_are_rounded(
    pictures: Path, tmp_path: Path, rounded_from: float
) -> None:
    start = make_network()  # whose hyper-latents are not all zero
    run = prepare(pictures, tmp_path / "run", make_options(10), SMALL, crop=64, start=start, rounded_from=rounded_from)
    states: list[dict[str, torch.Tensor]] = []

    def remember(*_: Any) -> None:
        states.append({name: value.detach().clone() for name, value in start.named_parameters()})

    remember()
    start.register_forward_pre_hook(remember)
    run.go()
    remember()
    still = 2 + round(rounded_from * 10) - 1  # the state before the first rounded step
    for name, value in states[-1].items():
        moved = not torch.equal(value, states[still][name])
        assert moved != name.startswith(ENCODING), name
    assert rounded_from == 0.0 or not torch.equal(
        states[still]["analysis.embed.weight"], states[0]["analysis.embed.weight"]
    )


def test_the_loss_draws_levels_from_its_range_and_shows_the_true_rate() -> None:
    network, images = make_network(), make_pictures(4)
    task = PhotoTask(SMALL, images, levels=(512, 512))
    torch.manual_seed(5)  # the noise
    loss, figures = task.loss(network, images, torch.Generator().manual_seed(0), progress=0.0)
    torch.manual_seed(5)
    with torch.no_grad():
        output = network(images, torch.full((4,), 512.0))
    bits = float((output.latent_bits + output.hyper_bits).mean()) / 64**2
    assert figures["bpp"] == pytest.approx(bits)
    assert figures["hyper_bpp"] == pytest.approx(float(output.hyper_bits.mean()) / 64**2)
    torch.manual_seed(5)
    later, _ = task.loss(network, images, torch.Generator().manual_seed(0), progress=0.8)
    torch.manual_seed(5)
    trained_on = PhotoTask(SMALL, images, levels=(512, 512), cheap_start=False)
    full, _ = trained_on.loss(network, images, torch.Generator().manual_seed(0), progress=0.0)
    assert float(full.detach()) == pytest.approx(float(later.detach()))
    weight = float(SMALL.lambda_at(torch.tensor(512.0)))
    for price, found in ((0.15, loss), (1.0, full)):
        bpp = (output.latent_bits + price * output.hyper_bits) / 64**2
        cost = (bpp + weight * mse_distortion(output.image, images)) * (weight / 0.0126) ** -0.5
        assert float(found.detach()) == pytest.approx(float(cost.sqrt().mean()), rel=1e-4)


@pytest.mark.parametrize(("low", "high"), [(0, LEVEL_MAX), (3, 9), (512, 512)])
def test_a_batch_draws_a_level_from_each_part_of_the_range_and_each_as_often(low: int, high: int) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([random_levels(5, low, high, generator) for _ in range(4000)])
    assert torch.equal(drawn, drawn.floor())
    parts = torch.linspace(low, high + 1, 6)
    ordered = drawn.sort(dim=1).values
    assert (ordered >= parts[:-1].floor()).all()
    assert (ordered <= parts[1:]).all()
    assert (drawn.min(), drawn.max()) == (low, high)
    middle = (low + high) / 2
    assert drawn.mean(dim=0) == pytest.approx([middle] * 5, abs=0.03 * (high - low))  # no place prefers a part


def test_the_hyper_latent_is_cheap_at_first_and_priced_in_full_from_two_thirds_on() -> None:
    weights = [hyper_weight(number / 60) for number in range(61)]
    assert 0 < weights[0] < 0.3
    assert weights == sorted(weights)
    assert set(weights[40:]) == {1.0}


def test_validation_reports_rate_and_psnr_of_8_bit_pictures() -> None:
    network = make_network()
    held_out = make_pictures(11)
    figures = PhotoTask(SMALL, held_out).validate(network, torch.device("cpu"))
    level = torch.full((11,), float(round(49 / 99 * LEVEL_MAX)))
    output = network.evaluate(held_out, level)
    bits = (output.latent_bits + output.hyper_bits).sum() / (11 * 64 * 64)
    rounded = (output.image * 255).round() / 255
    psnr = (-10 * torch.log10((rounded - held_out).square().mean(dim=(1, 2, 3)))).mean()
    assert figures["bpp@50"] == pytest.approx(float(bits), rel=1e-4)
    assert figures["psnr@50"] == pytest.approx(float(psnr), abs=1e-3)


def test_a_perfect_picture_has_a_finite_psnr() -> None:
    network = PhotoNetwork(SMALL).eval()
    grey = torch.full((2, 3, 32, 32), 128 / 255)
    figures = PhotoTask(SMALL, grey).validate(network, torch.device("cpu"))
    assert figures["psnr@90"] == PSNR_MAX


def test_training_and_validation_pictures_are_apart(pictures: Path, tmp_path: Path) -> None:
    run = make_run(pictures, tmp_path)
    assert [path.name for path in run.data.validation.paths] == ["68.png"]
    assert all(not is_validation(path.name) for path in run.data.training.paths)
    assert len(run.data.training.paths) == 13


@pytest.mark.parametrize("names", [["1.png"], ["68.png"], ["1.png", "2.png", "68.png"]], ids=str)
def test_a_few_pictures_are_enough(tmp_path: Path, names: list[str]) -> None:
    picture = make_folder(tmp_path / "one", 1) / "0.png"
    folder = tmp_path / "few"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(picture.read_bytes())
    assert make_run(folder, tmp_path / "run", steps=1).go().finished


@pytest.mark.parametrize("content", [b"damaged", None], ids=["damaged", "tiny"])
def test_held_out_pictures_that_cannot_be_used_are_replaced(tmp_path: Path, content: bytes | None) -> None:
    folder = make_folder(tmp_path / "pictures", 2)
    if content is None:
        Image.new("RGB", (9, 9)).save(folder / "68.png")
    else:
        (folder / "68.png").write_bytes(content)
    run = make_run(folder, tmp_path / "run", steps=1)
    assert isinstance(run.trainer.task, PhotoTask)
    assert run.trainer.task.held_out.shape == (2, 3, 96, 96)


def test_one_small_picture_does_not_shrink_the_crops_of_all(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pictures", 4, side=96)
    Image.new("RGB", (20, 20)).save(folder / "icon.png")
    run = make_run(folder, tmp_path / "run", steps=1)
    assert isinstance(run.trainer.task, PhotoTask)
    assert run.trainer.task.held_out.shape == (4, 3, 96, 96)


def test_a_folder_of_icons_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "icon.png")
    with pytest.raises(UnsupportedInput, match="no readable picture has at least 32 x 32 pixels"):
        make_run(tmp_path, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 40}, "crop 40 is not a positive multiple of 32"),
        ({"crop": 0}, "crop 0 is not"),
        ({"distortion": "psnr"}, "distortion 'psnr' is unknown; use mse or ms-ssim"),
    ],
)
def test_choices_that_do_not_exist_are_refused(
    pictures: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        main(pictures, tmp_path / "m.aezm", options=make_options(), config=SMALL, **changes)


def test_an_output_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"ends in \.aezm"):
        check_output(tmp_path / "model.onnx")
    with pytest.raises(OutputError, match="not a folder that can be written to"):
        check_output(tmp_path / "missing" / "model.aezm")
    (tmp_path / "model.aezm").mkdir()
    with pytest.raises(OutputError, match="a folder is in the place of the model"):
        check_output(tmp_path / "model.aezm")


def test_the_other_processes_of_a_run_write_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_photo.Trainer, "is_main", property(lambda _: False))
    with pytest.raises(SystemExit) as ended:
        main(pictures, tmp_path / "m.aezm", options=make_options(2), config=SMALL, crop=64)
    assert ended.value.code == 0
    assert list(tmp_path.rglob("*")) == [tmp_path / "m.aezm.run"]
