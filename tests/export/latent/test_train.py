"""`aez train kl-f8` from end to end, on small pictures and a small network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import aez
from aez.cli import main as cli
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument, ModelError
from aez.export.common.trainer import TrainOptions
from aez.export.hyperprior import bundle as writing
from aez.export.hyperprior.graphs import signatures
from aez.export.latent import train as train_kl
from aez.export.latent.losses import Reconstruction
from aez.export.latent.network import ENCODING, KlConfig
from aez.export.latent.train import KlLosses, KlTask, KlTraining, main, prepare
from tests.export.latent.test_network import SMALL
from tests.kit.places import TINY
from tests.kit.small_photo import make_pictures

GAME = KlLosses(rate=True, adversarial=0.1, adversarial_from=0.5)


def make_options(steps: int = 6, **changes: Any) -> TrainOptions:
    settings = {"batch": 2, "workers": 0, "device": "cpu", "precision": "32-true", "warmup_steps": 2, "ema_decay": 0.5}
    return TrainOptions(**{"steps": steps} | settings | changes)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pixels = (make_pictures(6, 96) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
def test_training_writes_a_bundle_that_codes_and_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "mine.aezm"
    bundle = main(pictures, output, options=make_options(), config=SMALL, losses=KlLosses(rate=True, kl=0.3), crop=64)
    assert bundle is not None
    assert Bundle.open(output).id == bundle.id
    made = bundle.manifest["provenance"]
    assert (made["steps"], made["rate"], made["kl"], made["loss"], made["crop"]) == (6, True, 0.3, "mse", 64)
    assert bundle.manifest["figures"].keys() == {"network", "validation"}
    assert bundle.manifest["figures"]["validation"].keys() >= {"psnr", "psnr@10", "bpp@90"}
    assert bundle.coding["latent"]["scaling_factor"] == 1
    picture = np.asarray(Image.open(pictures / "2.png"))
    decoded = np.asarray(aez.decode(aez.encode(picture, quality=90, model=bundle), model=bundle))
    assert np.square(decoded.astype(float) - picture).mean() < 0.3 * picture.var()

    # The graphs of two tiny steps later are those of before: to export them takes half a minute.
    monkeypatch.setattr(
        writing, "export_graphs", lambda network: {name: bundle.graph(name) for name in signatures(network.config)}
    )
    again = main(pictures, tmp_path / "next.aezm", options=make_options(2, learning_rate=1e-6), start=bundle, crop=64)
    assert again is not None
    assert again.manifest["provenance"]["from"] == bundle.id
    assert again.manifest["provenance"]["network"] == SMALL.as_dict()
    before, after = (b.manifest["figures"]["validation"]["psnr"] for b in (bundle, again))
    assert after == pytest.approx(before, abs=0.3)


def test_the_discriminator_joins_where_it_is_asked_to(pictures: Path, tmp_path: Path) -> None:
    run = prepare(pictures, tmp_path / "run", make_options(8), SMALL, GAME, crop=64)
    before = {name: value.clone() for name, value in run.trainer.model.named_parameters() if "discriminator" in name}
    assert before
    result = run.go()
    assert result.finished
    after = dict(run.trainer.model.named_parameters())
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    task = run.trainer.task
    model = KlTraining(result.model.network, adversarial=True)  # type: ignore[arg-type]
    batch, generator = make_pictures(2, 64), torch.Generator()
    assert "told" not in task.loss(model, batch, generator, 0.4)[1]
    assert "told" in task.loss(model, batch, generator, 0.6)[1]


def test_the_encoder_stands_still_at_the_end(pictures: Path, tmp_path: Path) -> None:
    run = prepare(pictures, tmp_path / "run", make_options(), SMALL, GAME, crop=64)
    groups = run.trainer.task.parameter_groups(run.trainer.model.module, 1.0)
    still = {id(parameter) for group in groups if group["until"] < 1 for parameter in group["params"]}
    for name, parameter in run.trainer.model.module.named_parameters():
        assert (id(parameter) in still) == name.removeprefix("network.").startswith(ENCODING), name


def test_without_a_rate_every_picture_counts_as_one_of_the_highest(pictures: Path, tmp_path: Path) -> None:
    run = prepare(pictures, tmp_path / "run", make_options(), SMALL, KlLosses(), crop=64)
    task, model = run.trainer.task, run.trainer.model.module
    assert isinstance(task, KlTask)
    torch.manual_seed(0)
    loss, figures = task.loss(model, make_pictures(2, 64), torch.Generator().manual_seed(0), 0.1)
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert bool(model.network.mean.outs[0].weight.grad.any())  # the hyperprior learns all the same
    assert figures["mse"] > 0


@pytest.mark.parametrize(
    ("losses", "crop", "message"),
    [
        (KlLosses(Reconstruction("huber")), 64, "loss 'huber' is unknown; use mse, l1, charbonnier"),
        (None, 40, "crop 40 is not a positive multiple of 32"),
    ],
)
def test_what_does_not_exist_is_refused(
    pictures: Path, tmp_path: Path, losses: KlLosses | None, crop: int, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        prepare(pictures, tmp_path / "run", make_options(), SMALL, losses, crop=crop)


def test_a_photo_model_is_no_start(pictures: Path, tmp_path: Path) -> None:
    photo = Bundle.open(TINY)
    with pytest.raises(ModelError, match="holds no kl-f8 network to train on from"):
        main(pictures, tmp_path / "x.aezm", options=make_options(), start=photo)


def distance(decoded: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """A perceptual distance, for the command line to find."""
    return (decoded - original).square().mean(dim=(1, 2, 3))


def test_the_command_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def trained(folder: Path, output: Path, **options: Any) -> None:  # noqa: ARG001
        asked.update(options)

    monkeypatch.setattr(train_kl, "main", trained)
    words = (
        "train kl-f8 in -o x.aezm --minutes 2 --channels 16 --size heavy --rate --loss l1 --ms-ssim 0.5 --crop 192 "
        "--kl 2 --adversarial 0.1 --adversarial-from 0.7 --lr 0.01 --perceptual-weight 9 "
        f"--perceptual {__name__}:distance"
    )
    monkeypatch.chdir(tmp_path)
    stopped = CliRunner().invoke(cli, words.split())
    assert stopped.exit_code == 130, stopped.output
    assert asked["config"] == KlConfig.of(16, heavy=True)
    assert asked["losses"] == KlLosses(Reconstruction("l1", 0.5, distance, 9.0), True, 2.0, 0.1, 0.7)
    assert (asked["crop"], asked["options"].minutes, asked["options"].learning_rate) == (192, 2, 0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--perceptual nosuch:thing", "--perceptual nosuch:thing is not MODULE:FUNCTION of what can be imported"),
        ("--perceptual math:pi", "--perceptual math:pi cannot be called"),
        ("--ms-ssim 1", "--crop 128 is not a multiple of 32, or for ms-ssim not above 160"),
    ],
)
def test_the_command_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["train", "kl-f8", "in", "-o", "x.aezm", "--steps", "1", *words.split()])
    assert message in str(result.exception or "") + result.output
