"""`aez embed`, `interpolate`, `sample` and `reconstruct`: what they write, say and refuse, and the exit codes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from click.testing import Result
from PIL import Image

import aez
from aez.codec.latent import files as latent_files
from aez.codec.latent import paths as latent_paths
from aez.codec.latent.model import LATENT_MODEL
from aez.commands.latent import shared as latent_shared
from aez.commands.latent.embed import embed
from aez.commands.latent.interpolate import interpolate
from tests.kit.commands import run
from tests.kit.places import DATA

PHOTO, KL = str(DATA / "tiny.aezm"), str(DATA / "tiny-kl.aezm")
ON_CPU = ("-m", KL, "--device", "cpu", "--threads", "1")
Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEZ_DEBUG", raising=False)
    return tmp_path


def picture(width: int = 40, height: int = 24, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = np.stack([3 * x, 4 * y, x + y, 255 - 3 * x], axis=2).astype(np.uint8)
    return Image.fromarray(planes).convert(mode)


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def mean_of(image: Image.Image) -> Array:
    return aez.embed(image, KL, device="cpu", threads=1)


def test_choices_are_those_of_the_codec() -> None:
    """The commands name them themselves, so that --help stays light."""
    choices = {option.name: getattr(option.type, "choices", None) for option in [*embed.params, *interpolate.params]}
    assert tuple(choices["dtype"] or ()) == latent_files.DTYPES
    assert tuple(choices["mode"] or ()) == latent_paths.MODES
    assert latent_shared.LATENT_MODEL == LATENT_MODEL


# -- embed ------------------------------------------------------------------------------------------------------------


def test_embed_a_folder() -> None:
    Path("in").mkdir()
    picture().save("in/a.png")
    picture(mode="L").save("in/b.png")
    Path("in/notes.txt").write_text("no picture")
    result = run("embed", "in", "-o", "out.npz", "--log-variance", "--json", *ON_CPU)
    assert result.exit_code == 0
    assert [(r["name"], r["height"], r["width"], r["shape"]) for r in records(result)] == [
        ("a.png", 24, 40, [4, 3, 5]),
        ("b.png", 24, 40, [4, 3, 5]),
    ]
    with np.load("out.npz") as found:
        np.testing.assert_array_equal(found["latents"], [mean_of(picture()), mean_of(picture(mode="L"))])
        assert found["names"].tolist() == ["a.png", "b.png"]
        assert found["log_variances"].shape == (2, 4, 3, 5)


def test_embed_keeps_the_rest() -> None:
    picture().save("a.png")
    picture(9, 9).save("b.png")
    Path("damaged.png").write_bytes(Path("a.png").read_bytes()[:60])
    result = run("embed", "a.png", "damaged.png", "none.png", "b.png", "-o", "out.npz", "--json", *ON_CPU)
    assert result.exit_code == 1
    assert "damaged.png: it " in result.stderr
    assert "none.png: it cannot be read" in result.stderr
    assert [r.get("exit_code") for r in records(result)] == [None, 5, 5, None]
    with np.load("out.npz") as found:
        assert found["names"].tolist() == ["a.png", "b.png"]
        np.testing.assert_array_equal(found["b.png"], mean_of(picture(9, 9)))


def test_embed_writes_nothing_when_nothing_can_be_read(here: Path) -> None:
    Path("a.png").write_text("text")
    result = run("embed", "a.png", "-o", "out.npz", *ON_CPU)
    assert (result.exit_code, [path.name for path in here.iterdir()]) == (5, ["a.png"])


def test_embed_draws_with_a_seed() -> None:
    picture().save("a.png")
    for name, *options in (("mean",), ("one", "--sample"), ("same", "--sample", "--seed", "0"), ("two", "--seed", "1")):
        drawn = ["--sample"] if "--seed" in options else []
        assert run("embed", "a.png", "a.png", "-o", f"{name}.npz", *options, *drawn, *ON_CPU).exit_code == 0
    latents = {}
    for name in ("mean", "one", "same", "two"):
        with np.load(f"{name}.npz") as found:
            latents[name] = found["latents"]
    np.testing.assert_array_equal(latents["one"], latents["same"])
    for name in ("mean", "two"):
        assert not np.array_equal(latents["one"], latents[name])
    assert not np.array_equal(latents["one"][0], latents["one"][1])
    assert run("embed", "a.png", "-o", "x.npz", "--seed", "3", *ON_CPU).exit_code == 2


def test_embed_to_parquet_from_standard_input() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    result = run("embed", "-", "-o", "out.parquet", "--dtype", "float16", *ON_CPU, given=buffer.getvalue())
    assert (result.exit_code, result.stdout) == (0, "")
    (row,) = parquet.read_table("out.parquet").to_pylist()
    assert (row["name"], row["height"], row["width"], row["shape"]) == ("stdin", 24, 40, [4, 3, 5])
    np.testing.assert_array_equal(np.array(row["latent"], np.float16), mean_of(picture()).astype(np.float16).ravel())


def test_embed_says_what_is_left_out() -> None:
    picture(mode="RGBA").save("a.png")
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save("deep.png")
    result = run("embed", "a.png", "deep.png", "-o", "out.npz", *ON_CPU)
    assert result.exit_code == 0
    assert "a.png: transparency is left out" in result.stderr
    assert "deep.png: 16-bit grey is kept as 8 bits" in result.stderr


@pytest.mark.parametrize("command", [("embed", "a.png", "-o", "x.npz"), ("sample", "-o", "x.png")])
def test_models_without_a_latent_are_refused(here: Path, command: tuple[str, ...]) -> None:
    picture().save("a.png")
    result = run(*command, "-m", PHOTO, "--device", "cpu")
    assert result.exit_code == 4
    assert re.search(r"has no latent to embed or sample; use kl-f8\n$", result.stderr)
    assert len(list(here.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("embed", "a.png", "-o", "x.csv"), 2, "must end in .npz or .parquet"),
        (("embed", "a.png", "-o", "-"), 2, "must end in .npz or .parquet"),
        (("embed", "a.png", "-o", "none/x.npz"), 6, "the folder none does not exist"),
        (("embed", "a.png", "-o", "old.npz"), 6, "give --force"),
        (("embed", "empty", "-o", "x.npz"), 5, "holds no file"),
        (("interpolate", "a.png", "a.png", "-o", "x.tiff"), 2, "for an animation"),
        (("interpolate", "a.png", "none.png", "-o", "x.png"), 5, "none.png: it cannot be read"),
        (("interpolate", "a.png", "a.png", "-o", "x.png", "--fps", "3"), 2, "--fps is for animations"),
        (("interpolate", "-", "-", "-o", "x.png"), 2, "standard input holds one picture"),
        (("interpolate", "a.png", "a.png", "-o", "a.png"), 2, "is the input itself"),
        (("interpolate", "a.png", "a.png", "-o", "x.png", "--steps", "1"), 2, "--steps"),
        (("sample", "-o", "x.txt"), 2, "pictures cannot be written as .txt; use"),
        (("sample", "-o", "x.png", "--size", "0x9"), 2, "is not WIDTHxHEIGHT"),
        (("sample", "-o", "x.png", "--size", "2048x2048", "--count", "99"), 2, "smaller --count"),
        (("sample", "-o", "x.png", "--temperature", "-1"), 2, "temperature"),
        (("sample", "-o", "x.png", "--temperature", "nan"), 2, "temperature"),
        (("sample", "-o", "x.png", "--prior", "hyper", "--size", "1025x8"), 2, "1..1024"),
        (("reconstruct", "a.png", "-o", "x.txt"), 2, "pictures cannot be written as .txt"),
        (("reconstruct", "a.png", "-o", "-", "--json"), 2, "choose one"),
        (("reconstruct", "a.png", "-o", "x.png", "-q", "0"), 2, "quality"),
    ],
)
def test_refused(here: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    picture().save("a.png")
    Path("old.npz").write_bytes(b"old")
    Path("empty").mkdir()
    result = run(*arguments, *ON_CPU)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert {path.name for path in here.iterdir()} == {"a.png", "old.npz", "empty"}
    assert Path("old.npz").read_bytes() == b"old"


def test_a_model_that_is_not_there_is_one_sentence() -> None:
    picture().save("a.png")
    result = run("reconstruct", "a.png", "-o", "x.png", "-m", "no-such-model")
    assert result.exit_code == 4
    assert result.stderr.startswith("aez: error: there is no model no-such-model in ")


# -- interpolate ------------------------------------------------------------------------------------------------------


def test_strip_shows_both_ends() -> None:
    a, b = picture(), picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    a.save("a.png")
    b.save("b.png")
    assert run("interpolate", "a.png", "b.png", "-o", "strip.png", "--steps", "3", *ON_CPU).exit_code == 0
    strip = np.asarray(Image.open("strip.png"))
    assert strip.shape == (24, 3 * 40 + 2 * 4, 3)
    ends = [np.asarray(aez.reconstruct(image, KL, device="cpu", threads=1)) for image in (a, b)]
    np.testing.assert_array_equal(strip[:, :40], ends[0])
    np.testing.assert_array_equal(strip[:, -40:], ends[1])


def test_animation_of_pictures_of_two_sizes() -> None:
    picture(80, 48).save("a.png")
    picture(30, 90, "L").save("b.png")
    options = ("--steps", "4", "--mode", "spherical", "--side", "40", "--fps", "10", *ON_CPU)
    result = run("interpolate", "a.png", "b.png", "-o", "a.gif", *options)
    assert result.exit_code == 0
    assert "note: b.png: scaled and cut to 40x24, as a.png is shown" in result.stderr
    with Image.open("a.gif") as image:
        assert (image.format, image.size, image.n_frames) == ("GIF", (40, 24), 6)  # type: ignore[attr-defined]


def test_more_frames_than_memory_should_hold_are_refused(here: Path) -> None:
    picture(640, 480).save("a.png")
    result = run("interpolate", "a.png", "a.png", "-o", "x.gif", "--steps", "240", "--side", "2048", *ON_CPU)
    assert result.exit_code == 2
    assert "give fewer --steps or a smaller --side" in result.stderr
    assert [path.name for path in here.iterdir()] == ["a.png"]


# -- sample -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "prior"), [(KL, "normal"), (KL, "hyper"), (PHOTO, "hyper")])
def test_samples(model: str, prior: str) -> None:
    options = ("--count", "3", "--size", "40x24", "--prior", prior, "-m", model, "--device", "cpu", "--threads", "1")
    for name, seed in (("a", "1"), ("same", "1"), ("other", "2")):
        result = run("sample", "-o", f"{name}.png", "--seed", seed, *options)
        assert result.exit_code == 0
        assert "warning: " in result.stderr
        assert "diffusion model" in result.stderr
    sheets = {name: np.asarray(Image.open(f"{name}.png")) for name in ("a", "same", "other")}
    assert sheets["a"].shape == (2 * 24 + 4, 2 * 40 + 4, 3)
    np.testing.assert_array_equal(sheets["a"], sheets["same"])
    assert not np.array_equal(sheets["a"], sheets["other"])
    assert not np.array_equal(sheets["a"][:24, :40], sheets["a"][:24, 44:])


def test_one_sample_is_no_sheet() -> None:
    assert run("sample", "-o", "-", "--count", "1", "--size", "13x9", *ON_CPU).exit_code == 0
    result = run("sample", "-o", "-", "--count", "1", "--size", "13x9", "--temperature", "0", *ON_CPU)
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (13, 9)


# -- reconstruct ------------------------------------------------------------------------------------------------------


def test_reconstruct_a_folder() -> None:
    Path("in").mkdir()
    picture(200, 180).save("in/a.png")
    picture().save("in/b.png")
    result = run("reconstruct", "in", "-o", "out", "--json", *ON_CPU)
    assert result.exit_code == 0
    large, small = records(result)
    assert (large["output"], large["model"], large["quality"], large["bytes"]) == (
        "out/a.reconstruct.png",
        "tiny-kl",
        None,
        None,
    )
    original = np.asarray(picture(200, 180))
    decoded = np.asarray(aez.reconstruct(original, KL, device="cpu", threads=1)).astype(float)
    assert abs(large["psnr"] - 10 * np.log10(255**2 / np.mean((decoded - original) ** 2))) < 1e-4
    assert 0 < large["ms_ssim"] <= 1
    assert (small["ms_ssim"], small["ssim"] is None) == (None, False)
    with Image.open("out/a.reconstruct.png") as panel:
        assert panel.width > 3 * 200
    assert "2 pictures with tiny-kl, on average PSNR " in result.stderr


@pytest.mark.parametrize(("model", "options", "quality"), [(KL, ("-q", "70"), 70), (PHOTO, (), 50)])
def test_reconstruct_through_the_codec(model: str, options: tuple[str, ...], quality: float) -> None:
    picture().save("a.png")
    arguments = ("-m", model, *options, "--device", "cpu", "--threads", "1", "--json")
    (record,) = records(run("reconstruct", "a.png", "-o", "x.png", *arguments))
    assert abs(record["quality"] - quality) < 0.1
    assert record["bytes"] == len(aez.encode(picture(), quality, model, content="photo", device="cpu"))
    assert record["bpp"] == 8 * record["bytes"] / (40 * 24)


def test_reconstruct_goes_on_after_a_bad_picture() -> None:
    picture(1, 1).save("a.png")
    Path("bad.png").write_text("text")
    result = run("reconstruct", "bad.png", "a.png", "a.png", "-o", "out", *ON_CPU)
    assert result.exit_code == 1
    assert "bad.png: it is not a picture" in result.stderr
    assert "a.png: it is given twice" in result.stderr
    assert re.fullmatch(r"a\.png: unquantized, PSNR [\d.]+ dB, SSIM [-\d.]+\n", result.stdout)
    assert [path.name for path in Path("out").iterdir()] == ["a.reconstruct.png"]


def test_reconstruct_to_standard_output() -> None:
    picture().save("a.png")
    result = run("reconstruct", "a.png", "-o", "-", *ON_CPU)
    assert Image.open(io.BytesIO(result.stdout_bytes)).format == "PNG"
    assert "a.png: unquantized" in result.stderr
