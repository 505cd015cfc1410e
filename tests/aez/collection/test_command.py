"""`aez collection`, with a model at hand in place of the training: stages, what changes between runs, bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import OutputError
from aez.codec.image.distortion import psnr
from aez.commands.codec.encode_job import EncodeJob
from aez.commands.collection import archive, learning, measuring, sample
from aez.commands.collection.state import FOLDER, Collection, held, model_name
from tests.kit.commands import run
from tests.kit.made_once import MadeOnce
from tests.kit.places import TINY
from tests.kit.tiny_pictures import altered_bundle, lively, photo, tiny

#: Of every run: figures are taken on few and small pictures.
FEW = ("--take", "trained", "--keep-out", "2", "-q", "30")


@pytest.fixture(autouse=True)
def _a_model_at_hand(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`photo` is `tiny`, and training gives `lively`."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "photo.aezm").write_bytes(Path(TINY).read_bytes())
    monkeypatch.setenv("AEZ_MODELS", str(folder))
    trained = altered_bundle(tmp_path_factory.mktemp("trained"), coding={"of": "scans"}, name="scans").to_bytes()

    def learn(collection: Collection, device: str) -> None:  # noqa: ARG001 - the shape of `learn`
        assert len(list((collection.work / sample.TRAINING).glob("*.png"))) == len(collection.training)
        collection.model.write_bytes(trained)

    monkeypatch.setattr(learning, "learn", learn)
    monkeypatch.setattr(measuring, "_PEER_POINTS", 3)
    monkeypatch.setattr(measuring, "_DISTANCES", (-20.0, 0.0, 20.0))


def draw(folder: Path) -> None:
    """Twelve pictures in a tree, of several sizes and formats."""
    for number in range(12):
        path = folder / ("2019/may" if number % 2 else ".") / f"{number}.{'png' if number % 3 else 'bmp'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(40 + 8 * (number % 3), 56, number)).save(path)


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of one kind; the working folder is above them."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "scans")
    return tmp_path / "scans"


@pytest.fixture
def measured(made_once: MadeOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with a run in `out` that ended before encoding."""

    def dry_run(folder: Path) -> None:
        draw(folder / "scans")
        monkeypatch.chdir(folder)
        done = collect("--dry-run")
        assert done.exit_code == 0, done.stderr

    made = made_once("collection", dry_run)
    for name in ("scans", "out"):
        shutil.copytree(made / name, tmp_path / name)
    state = tmp_path / "out" / FOLDER / "state.json"
    found = json.loads(state.read_text())
    state.write_text(json.dumps({**found, "folder": str(tmp_path / "scans")}))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "scans"


def rows(out: str = "out") -> dict[str, dict[str, str]]:
    with Path(out, archive.MANIFEST).open(newline="") as file:
        return {row["input"]: row for row in csv.DictReader(file)}


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def results(out: Path = Path("out")) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_ctime_ns) for path in sorted(out.rglob("*.aez"))}


def collect(*more: str) -> Result:
    return run("collection", "scans", "out", *FEW, *more)


def test_every_picture_is_encoded_verified_listed_and_shown(measured: Path) -> None:
    before = {path: path.read_bytes() for path in measured.rglob("*.*")}
    done = collect("--yes")
    assert done.exit_code == 0, done.stderr
    assert tree(Path("out")) - {f"{FOLDER}/{name}" for name in tree(Path("out") / FOLDER)} == {
        *(f"{'2019/may/' if number % 2 else ''}{number}.aez" for number in range(12)),
        "collection.html",
        "contact-sheet.png",
        "manifest.csv",
        "scans.aezm",
    }
    assert {path: path.read_bytes() for path in measured.rglob("*.*")} == before
    listed = rows()
    assert {row["status"] for row in listed.values()} == {"done"}
    for name, row in listed.items():
        decoded, source = np.asarray(aez.open(Path("out", row["output"]))), np.asarray(Image.open(measured / name))
        assert float(row["psnr"]) == pytest.approx(psnr(source, decoded), abs=1e-3)
        assert (int(row["bytes_in"]), int(row["bytes_out"])) == (
            (measured / name).stat().st_size,
            Path("out", row["output"]).stat().st_size,
        )
    page = Path("out/collection.html").read_text()
    for word in ("12 pictures are in", "aez scans", "aez photo", "JPEG", "WebP", "AVIF 4:4:4", "data:image/png;base64"):
        assert word in page
    with Image.open("out/contact-sheet.png") as sheet:
        assert sheet.width > 500
    state = json.loads(Path("out", FOLDER, "state.json").read_text())
    assert not set(state["training"]) & set(state["kept_out"])
    assert tree(Path("out") / FOLDER) >= {"state.json", "measured/report.json", "measured/curves.png"}
    assert not list(Path("out", FOLDER).glob("*/0*.png"))  # windows of the sample


@pytest.mark.usefixtures("measured")
def test_the_archive_decodes_where_aez_knows_no_model_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect("--yes").exit_code == 0
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path / "none"))
    Path("out").rename("elsewhere")
    back = run("decode", "elsewhere", "-o", "back", "--recursive")
    assert back.exit_code == 0, back.stderr
    assert len(list(Path("back").rglob("*.png"))) == 12


@pytest.mark.slow
@pytest.mark.usefixtures("scans")
def test_a_dry_run_ends_with_the_projection_and_the_same_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    first = collect("--dry-run", "--json")
    assert first.exit_code == 0, first.stderr
    assert "1 sample: 10 pictures to train on, 2 to measure on" in first.stderr
    told = json.loads(first.stdout)
    assert told["encoded"] is None
    assert told["projected"]["files"] == 12
    assert told["projected"]["bytes_in"] == sum(p.stat().st_size for p in Path("scans").rglob("*.*") if p.is_file())
    assert set(told["measured"]["peers"]) == {"aez photo", "JPEG", "WebP", "AVIF 4:4:4"}
    assert not results()
    assert Path("out/collection.html").exists()

    def never(*_: object) -> None:
        raise AssertionError("done twice")

    for module, name in ((sample, "draw"), (sample, "cut"), (learning, "learn"), (measuring, "measure")):
        monkeypatch.setattr(module, name, never)
    asked = run("collection", "scans", "out", given=b"n\n")
    assert (asked.exit_code, "nothing was encoded" in asked.stderr) == (0, True)
    assert "Encode all 12 pictures with aez scans" in asked.stderr
    silent = run("collection", "scans", "out", given=b"")
    assert (silent.exit_code, "with --yes goes on" in silent.stderr) == (2, True)
    agreed = run("collection", "scans", "out", "--json", given=b"y\n")
    assert agreed.exit_code == 0, agreed.stderr
    told = json.loads(agreed.stdout)
    assert told["encoded"]["files"] == len(results()) == 12
    assert told["encoded"]["bytes_out"] == sum(path.stat().st_size for path in Path("out").rglob("*.aez"))


@pytest.mark.slow
@pytest.mark.usefixtures("scans")
def test_another_target_is_measured_anew_until_encoding_began() -> None:
    assert collect("--dry-run").exit_code == 0
    model = Path("out", FOLDER, "scans.aezm").stat().st_mtime_ns
    other = run("collection", "scans", "out", "--psnr", "30", "--json", "--yes")
    assert other.exit_code == 0, other.stderr
    assert json.loads(other.stdout)["target"] == {"psnr": 30.0}
    assert Path("out/scans.aezm").stat().st_mtime_ns == model
    assert all(float(row["psnr"]) >= 30 for row in rows().values())
    for changed in (("--quality", "40"), ("--take", "shipped")):
        refused = run("collection", "scans", "out", *changed)
        assert refused.exit_code == 2
        assert "is being encoded with --psnr 30 --take trained" in refused.stderr
    assert run("collection", "scans", "out", "--dry-run").exit_code == 2


@pytest.mark.slow
@pytest.mark.usefixtures("scans")
def test_where_the_model_does_not_win_the_shipped_one_is_taken() -> None:
    told = json.loads(run("collection", "scans", "out", "--yes", "--keep-out", "2", "--json").stdout)
    assert told["measured"]["trained_wins"] is False  # it is the same network
    assert (told["measured"]["id"], told["measured"]["model_bytes"]) == (tiny().id, 0)
    assert "aez scans does not win" in Path("out/collection.html").read_text()
    assert not Path("out/scans.aezm").exists()
    assert aez.info(next(Path("out").rglob("*.aez")).read_bytes())["model"]["name"] == "tiny"


@pytest.mark.slow
def test_a_model_that_wins_is_taken(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_against", lambda *_: {"psnr": 1.5, "ssimulacra2": 1.4})
    done = run("collection", scans, "out", "--yes", "--keep-out", "2")
    assert done.exit_code == 0, done.stderr
    assert "aez scans needs fewer bytes than aez photo at equal PSNR" in done.stderr
    assert "the model itself takes" in done.stderr  # twelve small pictures
    assert Path("out/scans.aezm").exists()


def test_what_changed_in_the_folder_is_taken_in(measured: Path) -> None:
    assert collect("--yes").exit_code == 0
    before = results()
    Image.fromarray(photo(40, 48, 90)).save(measured / "new.png")
    Image.fromarray(photo(40, 48, 91)).save(measured / "2.bmp")  # beside 2.png, whose result is 2.aez
    (measured / "1.png").unlink(missing_ok=True)
    (measured / "2019/may/1.png").unlink()
    Image.fromarray(photo(40, 48, 92)).save(measured / "4.png")
    os.utime(measured / "4.png", ns=(2**61, 2**61))
    Path("out/8.aez").write_bytes(Path("out/8.aez").read_bytes()[:-9])
    Path("out/10.aez").unlink()
    again = run("collection", "scans", "out")
    assert again.exit_code == 0, again.stderr
    for said in (
        "1 pictures changed since they were encoded, and are encoded anew: 4.png",
        "2 pictures have results that are gone or damaged, and are encoded anew: 10.png, 8.png",
        "1 pictures are no longer in the folder; their results stay: 2019/may/1.png",
        "8 pictures are encoded already and are left as they are",
        "encoded 5 files",
    ):
        assert said in again.stderr
    after = results()
    changed = {"out/4.aez", "out/8.aez", "out/10.aez"}
    assert set(after) - set(before) == {"out/new.aez", "out/2.bmp.aez"}
    assert {name for name in before if before[name] != after[name]} == changed
    assert rows()["2019/may/1.png"]["status"] == "source gone"
    assert rows()["2.bmp"]["output"] == "2.bmp.aez"
    assert len({aez.info(Path(name).read_bytes())["model"]["id"] for name in after}) == 1
    third = run("collection", "scans", "out")
    assert (third.exit_code, results()) == (0, after)
    assert "13 pictures are encoded already" in third.stderr


def test_pictures_that_cannot_be_read_are_listed_and_tried_again(measured: Path) -> None:
    whole = (measured / "2019/may/5.png").read_bytes()
    (measured / "2019/may/5.png").write_bytes(whole[: len(whole) // 2])
    (measured / "raw.cr2").write_bytes(b"raw")
    (measured / "list.txt").write_text("no picture")
    done = collect("--yes")
    assert done.exit_code == 1
    assert "left out, no pictures: " in done.stderr
    assert done.stderr.endswith("2 of 13 files failed\n") or "2 of 13 files failed" in done.stderr
    assert (rows()["raw.cr2"]["status"], rows()["list.txt"]["status"]) == ("failed", "left out")
    assert rows()["2019/may/5.png"]["status"] == "failed"
    assert "Failed: 2" in Path("out/collection.html").read_text()
    (measured / "2019/may/5.png").write_bytes(whole)
    (measured / "raw.cr2").unlink()
    assert run("collection", "scans", "out").exit_code == 0
    assert rows()["2019/may/5.png"]["status"] == "done"


def test_a_folder_that_moved_is_the_same_collection(measured: Path) -> None:
    assert collect("--yes").exit_code == 0
    before = results()
    measured.rename("archive")
    moved = run("collection", "archive", "out")
    assert (moved.exit_code, results()) == (0, before)


def test_results_are_taken_over_where_the_manifest_lacks_their_lines(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert collect("--yes").exit_code == 0
    before, listed = results(), rows()
    text = Path("out", archive.MANIFEST).read_text().splitlines(keepends=True)
    Path("out", archive.MANIFEST).write_text("".join(text[:5]) + text[5][:20])  # killed while it was written

    def never(*_: object) -> None:
        raise AssertionError("encoded twice")

    monkeypatch.setattr(EncodeJob, "__call__", never)
    again = run("collection", "scans", "out")
    assert (again.exit_code, results()) == (0, before)
    for name, row in rows().items():
        assert {**row, "seconds": "", "bpp": ""} == {**listed[name], "seconds": "", "bpp": ""}
    assert measured.exists()


@pytest.mark.usefixtures("measured")
def test_other_peoples_files_are_not_touched() -> None:
    Path("out/4.aez").write_bytes(b"mine")
    other = aez.encode(photo(40, 48), model=lively())
    Path("out/8.aez").write_bytes(other)
    done = run("collection", "scans", "out", "--yes")
    assert done.exit_code == 1
    assert "4.aez is no result of this collection; move it away" in done.stderr
    assert (Path("out/4.aez").read_bytes(), Path("out/8.aez").read_bytes()) == (b"mine", other)


def test_a_full_disk_ends_the_run_and_what_is_done_stays(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = EncodeJob.__call__

    def full(self: EncodeJob, job: Any, progress: Any) -> Any:
        if job.source.endswith("8.png"):
            raise OutputError(f"{job.target} cannot be written: No space left on device")
        return real(self, job, progress)

    monkeypatch.setattr(EncodeJob, "__call__", full)
    stopped = run("collection", "scans", "out", "--yes", "--workers", "1")
    assert stopped.exit_code == 6
    assert "make room and give the same command" in stopped.stderr
    done = results()
    assert 0 < len(done) < 12
    monkeypatch.undo()
    monkeypatch.chdir(measured.parent)
    shutil.copy(TINY, Path("photo.aezm"))
    assert run("collection", "scans", "out").exit_code == 0
    assert {name: of for name, of in results().items() if name in done} == done


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("none out", 5, "none is no folder of pictures"),
        ("scans scans/out", 2, "lie in each other"),
        ("scans .", 2, "lie in each other"),
        ("scans full", 6, "full holds other files and no collection of aez"),
        ("scans scans/0.bmp", 2, "lie in each other"),
        ("scans a-file", 6, "a-file is no folder for results: Not a directory"),
        ("few out", 5, "holds 3 pictures that can be read"),
        ("empty out", 5, "holds no file for this command"),
        ("scans out --psnr 30 --bpp 1", 2, "give only one of --bpp and --psnr"),
        ("scans out --minutes 0", 2, "0.0 is not in the range x>0"),
        ("scans out --quality 200", 2, "200.0 is not in the range"),
        ("scans out --psnr 90 --keep-out 2", 2, "aez scans does not reach the target on a picture of the sample"),
    ],
)
def test_bad_input(scans: Path, given: str, code: int, said: str) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    Path("a-file").write_text("mine")
    Path("empty").mkdir()
    Path("few").mkdir()
    for number in range(3):
        shutil.copy(scans / "2.png", f"few/{number}.png")
    refused = run("collection", *given.split())
    assert refused.exit_code == code, refused.output
    assert said in " ".join(refused.stderr.split())
    assert tree(Path("full")) == {"mine.txt"}


def test_settings_of_a_former_run_hold(measured: Path) -> None:
    for option, value in (("--minutes", "3"), ("--loss", "visual"), ("--seed", "1"), ("--sample", "7")):
        refused = run("collection", "scans", "out", option, value)
        assert refused.exit_code == 2
        assert re.search(rf"was begun with {option} \S+; leave {option} out, or give a new folder", refused.stderr)
    shutil.copytree(measured, "others")
    refused = run("collection", "others", "out")
    assert (refused.exit_code, "holds the collection of" in refused.stderr) == (6, True)
    state = Path("out", FOLDER, "state.json")
    state.write_text(state.read_text()[:-30])
    refused = run("collection", "scans", "out")
    assert (refused.exit_code, "state.json is damaged" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("scans")
def test_a_second_process_waits_outside(tmp_path: Path) -> None:
    with held(tmp_path / "out"):
        refused = collect("--yes")
    assert (refused.exit_code, "another aez works on" in refused.stderr) == (6, True)


@pytest.mark.usefixtures("scans")
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    refused = collect("--yes")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "aez: error: this needs lightning_fabric, which is not installed: pip install 'aez[train]'\n"
    )
    assert not Path("out").exists()


def test_windows_are_cut_where_the_seed_says(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    large = photo(1100, 1040)
    Image.fromarray(large).save(tmp_path / "in" / "large.png")
    Image.fromarray(photo(20, 700)[:, :, 0]).save(tmp_path / "in" / "strip.png")
    drawn = ["large.png", "strip.png"]
    ours = Collection(tmp_path / "in", tmp_path / "out", "in", {"seed": 3, "sample": 6}, drawn, drawn[:1])
    sample.cut(ours, sample.TRAINING)
    sample.cut(ours, sample.KEPT_OUT)
    found = {path.name: pixels(path) for path in (ours.work / sample.TRAINING).iterdir()}
    assert {name: window.shape for name, window in found.items()} == {
        "000000.png": (512, 512, 3),
        "000000-1.png": (512, 512, 3),
        "000000-2.png": (512, 512, 3),
        "000001.png": (32, 512),
    }
    assert not np.array_equal(found["000000.png"], found["000000-1.png"])
    np.testing.assert_array_equal(pixels(ours.work / sample.KEPT_OUT / "000000.png"), large[38:1062, 8:1032])
    (ours.work / sample.TRAINING / "000000.png").unlink()
    sample.cut(ours, sample.TRAINING)
    np.testing.assert_array_equal(pixels(ours.work / sample.TRAINING / "000000.png"), found["000000.png"])


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_model_is_named_after_the_folder() -> None:
    for folder, name in (("/a/x rays (2019)", "x-rays-2019"), ("/a/photo", "photo-collection"), ("/", "collection")):
        assert model_name(Path(folder)) == name


def test_the_collections_model_is_a_whole_bundle(measured: Path) -> None:
    assert collect("--yes").exit_code == 0
    bundle = Bundle.open("out/scans.aezm")
    assert not bundle.half
    assert aez.encode(np.asarray(Image.open(measured / "2.png")), model="out/scans.aezm")
