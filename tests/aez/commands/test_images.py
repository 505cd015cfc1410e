"""`aez train images`, `aez score` of pictures, `aez bench images`: what they print, write and refuse."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from aez.codec.detect.pictures import TASK, load_picture_detector
from aez.commands.codec.models import PICTURE_DETECTOR
from aez.commands.detect.score import PICTURES
from aez.commands.train.images import images
from aez.export.families import registry
from tests.kit.commands import run

Array = np.ndarray[Any, np.dtype[Any]]


def score(*arguments: str | Path) -> Result:
    return run("score", "washer.aezm", *arguments, "--device", "cpu")


def washers(n: int, seed: int = 0, hole: bool = True) -> Array:
    """Grey rings on a dark ground, uint8 [n, 24, 32]; faulty ones lack the hole."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :32]
    centre = rng.normal([11.5, 15.5], 0.4, (n, 2))
    distance = np.hypot(y - centre[:, :1, None], x - centre[:, 1:, None])
    ring = 30 + 140 / (1 + np.exp(2 * (distance - 9)))
    if hole:
        ring -= 140 / (1 + np.exp(2 * (distance - 3)))
    return np.clip(ring + rng.normal(0, 4, ring.shape), 0, 255).astype(np.uint8)


def write(folder: Path, pictures: Array, prefix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{prefix}{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector trained through the command line."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "good", washers(150))
    made = run("train", "images", folder / "good", "-o", folder / "washer.aezm", "--family", "pca", "--flagged", "3")
    assert made.exit_code == 0, made.stderr
    return folder / "washer.aezm"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """A folder with the model, new/ok000.png to ok003.png that are normal and new/bad000.png that is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEZ_DEBUG", raising=False)
    (tmp_path / "washer.aezm").write_bytes(model.read_bytes())
    write(tmp_path / "new", washers(4, 11), "ok")
    write(tmp_path / "new", washers(1, 12, hole=False), "bad")
    return tmp_path


def test_names_are_those_of_the_library() -> None:
    (family,) = (option.type for option in images.params if option.name == "family")
    assert tuple(family.choices) == tuple(registry.PICTURES)  # type: ignore[attr-defined]
    assert PICTURES == PICTURE_DETECTOR == TASK


# -- training ---------------------------------------------------------------------------------------------------------


def test_one_command_makes_a_detector_and_tells_what_it_did(here: Path) -> None:
    write(here / "good", washers(40))
    (here / "good" / "broken.png").write_text("no picture")
    result = run("train", "images", "good", "-o", "new.aezm", "--steps", "10", "--device", "cpu", "--seed", "3")
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.fullmatch(
        r"aez: wrote new.aezm: model new \(conv\), 32 x 24 pixels, grey, 0 of 12 held-out pictures above the threshold",
        result.stderr.splitlines()[-1],
    )
    again = run("train", "images", "good", "-o", "new.aezm", "--steps", "10", "--device", "cpu")
    assert (again.exit_code, "exists; give --force" in again.stderr) == (6, True)
    forced = run("train", "images", "good", "-o", "new.aezm", "--family", "pca", "--size", "16", "-f")
    assert forced.exit_code == 0, forced.stderr
    assert load_picture_detector(here / "new.aezm", "cpu", 1).width == 16


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("new", "-o", "x.aezm"), 5, "5 pictures are too few to learn from; give 20 or more"),
        (("none", "-o", "x.aezm"), 5, "none does not exist"),
        (("new", "-o", "x.onnx"), 2, "a model's file name ends in .aezm"),
        (("new", "-o", "x.aezm", "--steps", "3", "--minutes", "1"), 2, "give only one of --minutes and --steps"),
        (("new", "-o", "x.aezm", "--size", "8"), 2, "invalid value for '--size'"),
        (("good", "-o", "x.aezm", "--score", "elbo", "--steps", "1"), 2, "score 'elbo' is unknown"),
        (("good", "-o", "x.aezm", "--resume"), 5, "no checkpoint to resume from"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    here: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    if "good" in arguments:
        write(here / "good", washers(30))
    result = run("train", "images", *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert not (here / "x.aezm").exists()


# -- scoring ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_folder_gives_a_line_for_each_picture_and_a_count() -> None:
    result = score("new")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines] == [
        "new/bad000.png",
        *(f"new/ok00{number}.png" for number in range(4)),
    ]
    assert re.match(r" +\d+\.\d{3}  new/bad000\.png: abnormal", lines[0])
    assert all(line.endswith(": normal") for line in lines[1:])
    assert "aez: 1 of 5 pictures abnormal" in result.stderr


def test_json_and_tables_hold_the_detectors_scores(here: Path) -> None:
    result = score("new", "--json", "-o", "scores.csv")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    detector = load_picture_detector(here / "washer.aezm", "cpu", 1)
    pictures = [Image.open(path) for path in sorted((here / "new").iterdir())]
    assert [row["score"] for row in found] == pytest.approx(detector.score(pictures).score.tolist(), rel=1e-5)
    assert [row["verdict"] for row in found] == ["abnormal", *["normal"] * 4]
    assert (here / "scores.csv").read_text().count("\n") == 6


def test_heat_maps_and_a_report_are_written(here: Path) -> None:
    write(here / "old", washers(1, 14), "ok")
    result = score("new", "old/ok000.png", "--plot", "heat", "--report", "report.html")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (here / "heat").iterdir()) == [
        "bad000.heat.png",
        "ok000-2.heat.png",
        *(f"ok00{number}.heat.png" for number in range(4)),
    ]
    assert "1 of 6 pictures abnormal" in (here / "report.html").read_text()
    assert "aez: wrote heat, report.html" in result.stderr
    again = score("new", "--plot", "heat")
    assert (again.exit_code, "exists; give --force" in again.stderr) == (1, True)
    assert score("new", "--plot", "heat", "--force").exit_code == 0


def test_it_goes_on_after_bad_files_and_lists_them(here: Path) -> None:
    (here / "new" / "broken.png").write_text("no picture")
    result = score("new/broken.png", "new/ok000.png", "gone.png", "--report", "report.html")
    assert result.exit_code == 1
    assert "new/ok000.png: normal" in result.stdout
    assert "aez: error: new/broken.png: it is not a picture that can be read here" in result.stderr
    assert "aez: error: gone.png: it does not exist" in result.stderr
    assert "2 of 3 files failed" in result.stderr
    assert "gone.png" in (here / "report.html").read_text()
    alone = score("gone.png", "-o", "scores.csv")
    assert (alone.exit_code, (here / "scores.csv").exists()) == (5, False)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_names_that_are_no_text_are_scored_and_written(here: Path, suffix: str) -> None:
    odd = os.fsdecode(b"b\xffd.png")
    for name, source in ((odd, "ok000.png"), ('<b>&"$x.png', "bad000.png")):
        (here / name).write_bytes((here / "new" / source).read_bytes())
    (here / os.fsdecode(b"broken\xff.png")).touch()
    outputs = ("-o", f"scores.{suffix}", "--report", "report.html", "--plot", "heat")
    result = score(odd, '<b>&"$x.png', os.fsdecode(b"broken\xff.png"), *outputs)
    assert result.exit_code == 1, result.stderr
    assert "b\ufffdd.png" in (here / "report.html").read_text()
    assert "&lt;b&gt;&amp;" in (here / "report.html").read_text()
    assert (here / f"scores.{suffix}").stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("new", "--events", "e.csv"), 2, "--events is for series, and washer scores pictures"),
        (("new", "--open-after", "2"), 2, "--open-after is for series"),
        (("new", "--time-column", "t"), 2, "--time-column is for series"),
        (("new", "-o", "scores.txt"), 2, "must end in .csv"),
        (("new", "--report", "r.pdf"), 2, "must end in .html"),
        (("new", "--plot", "washer.aezm"), 2, "is a file, and heat maps of pictures need a folder"),
        (("empty",), 5, "no pictures found"),
        (("new", "-o", "none/scores.csv"), 6, "does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(
    here: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (here / "empty").mkdir()
    result = score(*arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("here")
def test_a_picture_that_is_not_like_those_of_training_is_noted() -> None:
    Image.new("RGB", (60, 20), (200, 30, 30)).save("wide.png")
    result = score("wide.png")
    assert "aez: warning: wide.png: it has 60 x 20 pixels and was squeezed to the 32 x 24" in result.stderr
    assert "it is in colour" in result.stderr


@pytest.mark.usefixtures("here")
def test_a_model_of_another_kind_is_refused() -> None:
    result = run("score", "photo", "new")
    assert result.exit_code == 4
    assert "model photo is made for image-codec, not for scoring series" in result.stderr
    encoded = run("encode", "new/ok000.png", "-o", "x.aez", "-m", "washer.aezm")
    assert encoded.exit_code == 4
    assert "made for picture-detector, not for coding pictures" in encoded.stderr


@pytest.mark.usefixtures("here")
def test_models_are_verified_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = run("models", "verify", "washer.aezm")
    assert (verified.exit_code, ": sound (washer, " in verified.stdout) == (0, True)
    monkeypatch.setenv("AEZ_MODELS", ".")
    assert "pictures of 32 x 24 pixels, grey" in run("models").stdout
    (entry,) = [row for row in map(json.loads, run("models", "--json").stdout.splitlines()) if row["name"] == "washer"]
    assert (entry["task"], entry["colours"], entry["score"]) == (TASK, 1, "edges+spots")


# -- benchmark --------------------------------------------------------------------------------------------------------


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Files as Fashion-MNIST's with three classes: rings, discs and noise."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    for part, count in (("train", 40), ("t10k", 20)):
        noise = np.random.default_rng(count).integers(0, 256, (count, 24, 32), dtype=np.uint8)
        kinds = [washers(count, count), washers(count, count + 1, hole=False), noise]
        pictures, labels = np.concatenate(kinds), np.repeat(np.arange(3, dtype=np.uint8), count)
        for name, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder


@pytest.mark.slow
def test_bench_prints_a_table_and_writes_files(classes: Path, tmp_path: Path) -> None:
    result = run("bench", "images", classes, "--model-family", "pca", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    lines = {line.split("  ")[0].strip(): line.split()[-6:] for line in result.stdout.splitlines() if line}
    assert {"aez pca", "PCA", "isolation forest", "random"} <= set(lines)
    assert "3 classes, 40 pictures of 32 x 24 to learn from, 60 to judge on" in result.stdout
    saved = json.loads((tmp_path / "out" / "images.json").read_text())
    means = {name: means["auroc"] for name, means in saved["summary"].items()}
    assert means["aez pca"] > 0.95
    assert 0.3 < means["random"] < 0.7
    assert len(saved["figures"]) == 12
    assert (tmp_path / "out" / "images.txt").read_text() == result.stdout
    with Image.open(tmp_path / "out" / "images.png") as image:
        assert image.width > 400


def test_bench_of_folders_without_peers_as_json(tmp_path: Path) -> None:
    write(tmp_path / "data", washers(0))
    write(tmp_path / "data" / "ring", washers(60))
    write(tmp_path / "data" / "disc", washers(60, 1, hole=False))
    arguments = ("--model-family", "pca", "--peers", "none", "--size", "32", "--quick", "--json", "--score", "edges")
    result = run("bench", "images", tmp_path / "data", *arguments)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["classes"], report["detectors"], report["score"]) == (["disc", "ring"], ["aez pca"], "edges")
    assert min(one["auroc"] for one in report["figures"]) > 0.95


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name a folder with the files of Fashion-MNIST"),
        (("none",), 5, "none is not a folder"),
        (("new", "--peers", "svm"), 2, "peer 'svm' is unknown; use PCA, isolation forest, random"),
        (("new", "--model-family", "lstm"), 2, "family 'lstm' is none for pictures"),
        (("new",), 5, "holds neither"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_measured_is_one_sentence(arguments: tuple[str, ...], code: int, message: str) -> None:
    result = run("bench", "images", *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
