"""`aez train photo --frozen-latent`: a new entropy model on latents that stand still."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument, ModelError
from aez.export.common.run_files import run_folder
from aez.export.common.trainer import Result, Trainer, TrainOptions
from aez.export.hyperprior.graphs import round_stored_weights
from aez.export.hyperprior.pictures import PictureFolder, RandomCrops, list_pictures
from aez.export.photo import frozen
from aez.export.photo.bundle import network_from_bundle
from aez.export.photo.frozen import ENCODING, TRAINED, FrozenLatents, FrozenTask, Places, hyper_weight, main, renewed
from aez.export.photo.network import PhotoNetwork
from tests.kit.commands import run
from tests.kit.places import TINY, TINY_KL
from tests.kit.small_photo import FORMER, make_network, make_pictures
from tests.kit.tiny_pictures import tiny

COUNT, CROP = 12, 64


def make_options(steps: int = 8, **changes: Any) -> TrainOptions:
    settings = {"batch": 2, "workers": 0, "device": "cpu", "precision": "32-true", "warmup_steps": 2, "ema_decay": 0.9}
    return TrainOptions(**{"steps": steps, "quiet": True} | settings | changes)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pixels = (make_pictures(6, 96) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def is_trained(name: str) -> bool:
    return name.startswith(TRAINED)


@pytest.mark.slow
def test_the_command_gives_a_model_a_new_entropy_model_and_keeps_its_transforms(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(main.__kwdefaults__, "latents", COUNT)
    output = tmp_path / "new.aezm"
    options = f"--from {TINY} --frozen-latent --steps 8 --batch 2 --crop {CROP} --device cpu --seed 3 --lr 0.01"
    done = run("train", "photo", str(pictures), "-o", str(output), *options.split())
    assert (done.exit_code, f"wrote {output}: model new" in done.stderr) == (0, True), done.stderr
    bundle = Bundle.open(output)
    assert (bundle.coding["hyper_stride"], bundle.coding["state_stride"], bundle.coding["alignment"]) == (32, 16, 32)
    made = bundle.manifest["provenance"]
    assert (made["from"], made["steps"], made["frozen_latents"], made["crop"]) == (tiny().id, 8, COUNT, CROP)
    assert (made["network"]["hyper_stride"], made["network"]["context_blocks"]) == (32, 2)
    assert set(bundle.manifest["figures"]["validation"]) >= {"psnr@10", "bpp@90"}

    start = network_from_bundle(tiny())
    round_stored_weights(start)  # it was stored with more bits than bundles have now
    before, after = start.state_dict(), network_from_bundle(bundle).state_dict()
    kept = [name for name in before if not is_trained(name)]
    assert {"analysis.embed.weight", "synthesis.unembed.bias", "analysis.std", "log_gain.values"} <= set(kept)
    for name in kept:
        assert torch.equal(after[name], before[name]), name
    assert {name for name in after if not is_trained(name)} == set(kept)
    anew = renewed(start, network_from_bundle(bundle).config, 3).state_dict()
    assert not torch.equal(after["scale.offset"], anew["scale.offset"])  # it has learned

    picture = np.asarray(Image.open(pictures / "2.png"))
    errors = []
    for quality in (10, 95):
        data = aez.encode(picture, quality=quality, model=bundle, tile=64)
        decoded = np.asarray(aez.decode(data, model=bundle)).astype(float)
        errors.append(np.square(decoded - picture).mean())
    assert errors[1] < 30 < errors[0]


def kept_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `main` give what was trained and its provenance in place of an exported bundle."""

    def finish(_run: object, result: Result, _output: Path, name: str, provenance: dict[str, Any]) -> Any:
        return result, name, provenance

    monkeypatch.setattr(frozen, "finish", finish)


def small_run(pictures: Path, output: Path, options: TrainOptions, **changes: Any) -> Any:
    return main(pictures, output, **{"start": tiny(), "options": options, "crop": CROP, "latents": COUNT} | changes)


def test_a_resumed_run_equals_one_without_a_stop(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_result(monkeypatch)
    whole, _, provenance = small_run(pictures, tmp_path / "whole.aezm", make_options())
    step = Trainer._train_step

    def crash(self: Trainer, batch: Tensor) -> dict[str, float]:
        if self.step == 3:
            raise ZeroDivisionError
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", crash)
        with pytest.raises(ZeroDivisionError):
            small_run(pictures, tmp_path / "parts.aezm", make_options(checkpoint_seconds=0.0))
    resumed, name, again = small_run(pictures, tmp_path / "parts.aezm", make_options(), start=None, resume=True)
    assert (name, resumed.steps, resumed.finished) == ("parts", 8, True)
    assert again | {"hours": 0} == provenance | {"hours": 0}
    assert again["from"] == tiny().id
    for key, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key


def test_a_run_that_began_anew_cannot_go_on_with_frozen_latents(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="only a trained model gets a new entropy model"):
        small_run(pictures, tmp_path / "x.aezm", make_options(), start=None)
    run_folder(tmp_path / "x.aezm").mkdir()
    (run_folder(tmp_path / "x.aezm") / "checkpoint.pt").write_bytes(b"of a run without a start")
    with pytest.raises(InvalidArgument, match="only a trained model gets a new entropy model"):
        small_run(pictures, tmp_path / "x.aezm", make_options(), start=None, resume=True)


def test_an_autoencoder_is_no_start(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no photo-dct-hyperprior network to train on from"):
        small_run(pictures, tmp_path / "x.aezm", make_options(), start=Bundle.open(TINY_KL))


def moved(states: list[dict[str, Tensor]], first: int, last: int) -> set[str]:
    return {name for name, value in states[first].items() if not torch.equal(value, states[last][name])}


def test_transforms_never_move_and_what_encodes_stands_still_once_latents_are_rounded(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_result(monkeypatch)
    states = list[dict[str, Tensor]]()
    rounded = list[bool]()
    code = PhotoNetwork.code_frozen

    def remember(network: PhotoNetwork, whitened: Tensor, level: Tensor, is_rounded: bool) -> Any:
        states.append({name: value.detach().clone() for name, value in network.named_parameters()})
        rounded.append(is_rounded)
        return code(network, whitened, level, is_rounded)

    monkeypatch.setattr(PhotoNetwork, "code_frozen", remember)
    result, _, _ = small_run(pictures, tmp_path / "x.aezm", make_options(12, learning_rate=0.01))
    assert rounded == [False] * 9 + [True] * 3
    encoding = {name for name in states[0] if name.startswith(ENCODING)}
    trained = {name for name in states[0] if is_trained(name)}
    assert encoding < trained < set(states[0])
    assert moved(states, 0, 9) <= trained
    assert {"hyper_analysis.down.weight", "hyper_analysis.out.weight", "log_hyper_gain.values"} <= moved(states, 0, 9)
    later = moved(states, 9, 11)
    assert later <= trained - encoding
    assert {"mean.outs.2.weight", "scale.offset", "density.mean"} <= later
    end = dict(result.model.named_parameters())
    for name in set(states[0]) - trained:  # and the averages do not drift
        assert torch.equal(end[name], states[0][name]), name


def frozen_task(network: PhotoNetwork) -> FrozenTask:
    level = torch.linspace(0, 2048, COUNT)
    with torch.no_grad():
        whitened = network.whitened(make_pictures(COUNT), level).half()
    return FrozenTask(FrozenLatents(whitened, level), make_pictures(2))


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_gradients_reach_what_is_trained_and_nothing_else(progress: float) -> None:
    network = make_network()
    task = frozen_task(network)
    groups = task.parameter_groups(network, 0.01)
    grouped = {id(parameter) for group in groups for parameter in group["params"]}
    loss, figures = task.loss(network, torch.arange(COUNT), torch.Generator(), progress)
    assert 0 < figures["hyper_bpp"] < figures["bpp"]
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert (id(parameter) in grouped) == is_trained(name) == parameter.requires_grad, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == is_trained(name), name
    assert {group["until"] for group in groups} == {frozen.ROUNDED_FROM, float("inf")}
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert rates[id(network.scale.offset)] == pytest.approx(20 * rates[id(network.mean.enter.weight)])


def test_an_entropy_model_learns() -> None:
    before = make_network(FORMER)
    network = renewed(before, replace(FORMER, hyper_stride=32, context_blocks=2), 0)
    task = frozen_task(before)
    optimizer = torch.optim.Adam(task.parameter_groups(network, 3e-3))
    numbers = torch.arange(COUNT)

    def loss(progress: float) -> Tensor:
        return task.loss(network, numbers, torch.Generator(), progress)[0]

    with torch.no_grad():
        first = loss(0.9).item()  # rounded, and without noise
    for step in range(60):
        optimizer.zero_grad()
        loss(step / 80).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        assert loss(0.9).item() < 0.95 * first


def test_a_renewed_network_keeps_transforms_straight_lines_and_scales_and_starts_the_rest_anew() -> None:
    former = make_network(FORMER)
    config = replace(FORMER, hyper_stride=32, context_blocks=2)
    network = renewed(former, config, 5)
    assert network.config == config
    torch.manual_seed(5)
    fresh = PhotoNetwork(config).state_dict()
    before, after = former.state_dict(), network.state_dict()
    carried = {name for name in after if not is_trained(name) or ".linear." in name or name == "scale.offset"}
    assert {"mean.contexts.1.linear.3.weight", "scale.offset", "log_inverse_gain.values"} <= carried
    for name, value in after.items():
        assert torch.equal(value, (before if name in carried else fresh)[name]), name
    assert all(torch.equal(value, renewed(former, config, 5).state_dict()[name]) for name, value in after.items())


def test_an_entropy_model_of_the_same_sizes_goes_on_learning_at_the_full_price() -> None:
    network = make_network()
    assert renewed(network, network.config, 5) is network
    latents = FrozenLatents(torch.randn(4, 192, 8, 8).half(), torch.full((4,), 900.0))
    batch, generator = torch.arange(4), torch.Generator()

    def loss(anew: bool, progress: float) -> float:
        task = FrozenTask(latents, torch.empty(0), anew=anew)
        return task.loss(network, batch, generator.manual_seed(1), progress)[0].item()

    assert loss(False, 0.0) > loss(True, 0.0)
    assert loss(False, 0.9) == loss(True, 0.9)


def test_latents_are_those_of_the_first_crops_at_levels_all_over_the_range(pictures: Path) -> None:
    network = make_network()
    crops = RandomCrops(PictureFolder(list_pictures(pictures)), CROP, seed=2)
    latents = FrozenLatents.of(network, crops, 19, seed=2, quiet=True)
    assert (latents.whitened.shape, latents.whitened.dtype) == ((19, 192, 8, 8), torch.float16)
    assert sorted(torch.floor(latents.level * 19 / 2049).int().tolist()) == list(range(19))
    with torch.no_grad():
        for number in (0, 7, 8, 18):
            alone = network.whitened(crops[number][None], latents.level[number : number + 1])
            torch.testing.assert_close(latents.whitened[number].float(), alone[0], rtol=2e-3, atol=2e-3)
    again = FrozenLatents.of(network, crops, 19, seed=2, quiet=True)
    assert torch.equal(again.whitened, latents.whitened)
    assert torch.equal(again.level, latents.level)


def test_every_pass_over_the_latents_has_each_once_in_an_order_of_its_own() -> None:
    places = Places(7, seed=1)
    passes = [[int(places[7 * turn + place]) for place in range(7)] for turn in range(5)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) == 5
    assert passes[3] == [int(Places(7, seed=1)[21 + place]) for place in range(7)]
    assert passes[0] != [int(Places(7, seed=2)[place]) for place in range(7)]


def test_the_hyper_latent_is_cheap_at_first_and_priced_in_full_from_a_quarter_on() -> None:
    weights = [hyper_weight(number / 60) for number in range(61)]
    assert 0 < weights[0] < 0.5
    assert weights == sorted(weights)
    assert set(weights[15:]) == {1.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--frozen-latent needs a trained model; give --from"),
        ("--from photo --loss ms-ssim --crop 192", "--frozen-latent trains the entropy model alone; leave out --loss"),
        ("--from photo --loss visual --crop 192", "leave out --loss visual"),
        ("--from photo --size fast", "leave out --size"),
        ("--from photo --decoder-only", "leave out --decoder-only"),
        ("--from photo --size usual --decoder-only", "leave out --size, --decoder-only"),
        ("--from photo --colour-steps 0.8", "leave out --colour-steps"),
        ("--resume --size fast", "leave out --size"),
    ],
)
def test_the_command_refuses_what_contradicts(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run("train", "photo", "in", "-o", "x.aezm", "--steps", "1", "--frozen-latent", *words.split())
    assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def trained(folder: Path, output: Path, **options: Any) -> Bundle:
        asked.update(options, folder=folder, output=output)
        return tiny()

    monkeypatch.setattr(frozen, "main", trained)
    monkeypatch.chdir(tmp_path)
    words = (
        f"train photo in -o x.aezm --minutes 2 --from {TINY} --frozen-latent --device cpu --batch 4 --crop 96 "
        "--lr 0.01 --seed 7 --name mine --scales 1 1.5"
    )
    done = run(*words.split())
    assert (done.exit_code, "wrote x.aezm: model tiny" in done.stderr) == (0, True)
    options = asked.pop("options")
    assert asked.pop("start").id == tiny().id
    expected = {"folder": Path("in"), "output": Path("x.aezm"), "name": "mine", "resume": False}
    assert asked == expected | {"crop": 96, "scales": (1.0, 1.5)}
    assert (options.minutes, options.batch, options.learning_rate, options.seed) == (2, 4, 0.01, 7)
