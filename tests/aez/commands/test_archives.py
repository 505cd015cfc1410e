"""Folders full of pictures: the tree, what is left out, results that exist, sources that go, reports, two processes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

import aez
from aez.codec.image.distortion import psnr
from tests.kit.commands import run
from tests.kit.places import TINY
from tests.kit.tiny_pictures import photo
from tests.kit.waiting import until

#: The beginning of a HEIC file.
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.fixture(autouse=True)
def _tiny_is_the_usual_model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("models")
    (folder / "photo-visual.aezm").write_bytes(Path(TINY).read_bytes())
    monkeypatch.setenv("AEZ_MODELS", str(folder))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of pictures and other files; the working folder is above it."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "b.bmp", "2019/c.png", "2019/may/d.png", "2019/may/no-suffix")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noisy(number).save(path, "BMP" if path.suffix == ".bmp" else "PNG")
    (tmp_path / "in" / "2019" / "list.txt").write_text("no picture")
    (tmp_path / "in" / "2019" / ".hidden.png").write_bytes(b"")
    return tmp_path


def noisy(seed: int) -> Image.Image:
    """Pixels that PNG takes more bytes for than the codec."""
    return Image.fromarray(np.random.default_rng(seed).integers(90, 160, (64, 96, 3), np.uint8))


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_tree_is_kept_and_what_is_left_out_is_said(archive: Path) -> None:
    found = run("encode", "in", "-o", "out", "--recursive", "-q", "10")
    assert found.exit_code == 0, found.stderr
    assert tree(archive / "out") == {
        "a.aez",
        "b.aez",
        "2019/c.aez",
        "2019/may/d.aez",
        "2019/may/no-suffix.aez",
    }
    assert "aez: note: left out, hidden: in/2019/.hidden.png\n" in found.stderr
    assert "aez: note: left out, no pictures: in/2019/list.txt\n" in found.stderr
    back = run("decode", "out", "-o", "back", "--recursive")
    assert back.exit_code == 0, back.stderr
    assert "2019/may/no-suffix.png" in tree(archive / "back")


def test_without_recursive_the_folders_are_named(archive: Path) -> None:
    found = run("encode", "in", "-o", "out", "-q", "10")
    assert found.exit_code == 0
    assert "aez: note: left out, folders (--recursive): in/2019/\n" in found.stderr
    assert tree(archive / "out") == {"a.aez", "b.aez"}


def test_pictures_that_cannot_be_read_are_failures(archive: Path) -> None:
    (archive / "in" / "phone.jpg").write_bytes(HEIC)
    (archive / "in" / "cut.png").write_bytes((archive / "in" / "a.png").read_bytes()[:20])
    (archive / "in" / "raw.cr2").write_bytes(b"raw")
    (archive / "in" / "empty.jpg").touch()
    found = run("encode", "in", "-o", "out", "-q", "10")
    assert found.exit_code == 1
    assert "in/phone.jpg: a picture in HEIC, which takes `pip install pillow-heif`\n" in found.stderr
    assert "in/cut.png: it is called a picture, and cannot be read as one\n" in found.stderr
    assert "in/raw.cr2: it is called a picture, and cannot be read as one\n" in found.stderr
    assert "in/empty.jpg: it is empty\n" in found.stderr
    assert found.stderr.endswith("4 of 6 files failed\n")
    alone = run("encode", "in/phone.jpg", "-o", "x.aez")
    assert (alone.exit_code, "is a picture in HEIC" in alone.stderr) == (5, True)


def test_what_is_not_smaller_is_left_out_when_asked(archive: Path) -> None:
    Image.new("L", (64, 64), 200).save("flat.png", "WEBP", lossless=True)  # 34 bytes
    assert run("encode", "flat.png").exit_code == 0
    assert (archive / "flat.aez").exists()
    found = run("encode", "flat.png", "in/a.png", "-o", "out", "--only-smaller", "-q", "10", "--json")
    flat, other = (json.loads(line) for line in found.stdout.splitlines())
    assert (flat["output"], flat["bytes_out"]) == (None, 0)
    assert "are not fewer than the source's" in flat["notices"][0]
    assert other["output"] == "out/a.aez"
    assert tree(archive / "out") == {"a.aez"}
    assert "encoded 2 files (1 of them not written)" in found.stderr


def test_a_second_run_does_what_is_left(archive: Path) -> None:
    run("encode", "in", "-o", "out", "-q", "10")
    before = (archive / "out" / "a.aez").stat().st_mtime_ns
    found = run("encode", "in", "-o", "out", "-q", "10", "--recursive", "--skip-existing")
    assert found.exit_code == 0
    assert "aez: note: 2 of 5 results exist and were left as they are\n" in found.stderr
    assert "encoded 3 files" in found.stderr
    assert (archive / "out" / "a.aez").stat().st_mtime_ns == before


def test_times_are_kept(archive: Path) -> None:
    os.utime("in/a.png", ns=(10**18, 10**18 + 5))
    run("encode", "in/a.png", "-o", "a.aez", "-q", "10", "--keep-times")
    assert (archive / "a.aez").stat().st_mtime_ns == 10**18 + 5


def test_a_source_goes_once_its_result_is_whole(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (64, 64), 200).save("in/flat.png", "WEBP", lossless=True)  # 34 bytes
    options = ("-q", "10", "--only-smaller", "--delete-source")
    found = run("encode", "in", "-o", "out", *options)
    assert found.exit_code == 0
    assert tree(archive / "in") >= {"flat.png", "2019/c.png"}  # not written, not given
    assert not {"a.png", "b.bmp"} & tree(archive / "in")

    noisy(8).save("in/pages.tif", save_all=True, append_images=[noisy(9)])
    found = run("encode", "in/pages.tif", "-o", "pages.aez", *options)
    assert found.exit_code == 0
    assert "is not deleted" in found.stderr
    assert "pages.tif" in tree(archive / "in")  # the second one is nowhere else

    from aez.codec.image import decoding

    def broken(*_: Any, **__: Any) -> Any:
        raise aez.AezError("a tile is damaged")

    monkeypatch.setattr(decoding, "decode_picture", broken)
    assert run("encode", "in/2019/c.png", "-o", "c.aez", *options).exit_code != 0
    assert "2019/c.png" in tree(archive / "in")


def test_a_report_has_a_line_for_every_file(archive: Path) -> None:
    (archive / "in" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = run("encode", "in", "-o", "out", "-q", "10", "--recursive", "--report", "report.csv")
    assert found.exit_code == 1
    with (archive / "report.csv").open(newline="") as file:
        rows = {row["input"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "in/a.png": "done",
        "in/b.bmp": "done",
        "in/2019/c.png": "done",
        "in/2019/may/d.png": "done",
        "in/2019/may/no-suffix": "done",
        "in/cut.png": "failed",
        "in/2019/list.txt": "left out",
        "in/2019/.hidden.png": "left out",
    }
    row = rows["in/a.png"]
    decoded = np.asarray(aez.open("out/a.aez"))
    assert float(row["psnr"]) == pytest.approx(psnr(np.asarray(noisy(0)), decoded), abs=1e-3)
    assert int(row["bytes_out"]) == (archive / "out" / "a.aez").stat().st_size
    assert run("encode", "in/a.png", "-o", "x.aez", "--report", "report.csv").exit_code == 6
    assert not (archive / "x.aez").exists()


def test_a_dry_run_writes_nothing(archive: Path) -> None:
    before = tree(archive)
    found = run("encode", "in", "-o", "out", "-q", "10", "--recursive", "--dry-run", "--json")
    told = json.loads(found.stdout)
    assert (told["files"], told["tried"]) == (5, 5)
    assert 0 < told["bytes_out"] < told["bytes_in"]
    assert tree(archive) == before
    assert not (archive / "out").exists()


def test_the_report_of_a_dry_run_says_of_each_file_what_would_become_of_it(archive: Path) -> None:
    for number in range(10):
        noisy(number).save(archive / "in" / f"more{number}.png")
    (archive / "in" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (archive / "out").mkdir()
    (archive / "out" / "a.aez").touch()
    common = ("encode", "in", "-o", "out", "-q", "10", "--recursive", "--skip-existing")
    found = run(*common, "--dry-run", "--report", "report.csv")
    assert found.exit_code == 0, found.stderr
    assert "warning: in/cut.png: " in found.stderr
    with (archive / "report.csv").open(newline="") as file:
        rows = {row["input"]: row for row in csv.DictReader(file)}
    statuses = Counter(row["status"] for row in rows.values())
    assert statuses == {"tried": 8, "planned": 6, "left out": 2, "exists": 1, "failed": 1}
    assert (rows["in/a.png"]["status"], rows["in/cut.png"]["status"]) == ("exists", "failed")
    assert tree(archive / "out") == {"a.aez"}

    assert run(*common, "--report", "done.csv").exit_code == 1
    with (archive / "done.csv").open(newline="") as file:
        done = {row["input"]: row for row in csv.DictReader(file)}
    tried = {name: row for name, row in rows.items() if row["status"] == "tried"}
    for name, row in tried.items():
        for column in ("output", "bytes_in", "bytes_out", "bpp", "quality", "width"):
            assert row[column] == done[name][column]
    assert set(done) == set(rows)


def test_a_score_of_the_eye_is_a_target(archive: Path) -> None:
    Image.fromarray(photo(128, 128)).save(archive / "l.png")
    reached = []
    for wanted in ("-40", "20"):
        found = run("encode", "l.png", "-o", "l.aez", "-f", "--ssimulacra2", wanted, "--json")
        if found.exit_code:
            assert "quality 100 gives" in found.stderr
        else:
            reached.append(json.loads(found.stdout)["quality"])
    assert reached == sorted(reached)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("encode - -o x.aez --delete-source", 2, "--delete-source goes with files"),
        ("encode in/a.png -o - --keep-times", 2, "--keep-times goes with files"),
        ("encode in/a.png -o x.aez --report x.aez", 2, "x.aez is the result of a picture"),
        ("encode in/a.png -o x.aez --report no/r.csv", 6, "no/r.csv cannot be written: No such file or directory"),
        ("encode in/a.png -o x.aez --max-pixels 99", 5, "has 96x64 pixels, more than the 99 allowed"),
        ("encode in/a.png -o x.aez --ssimulacra2 nan", 2, "nan is no finite number"),
        ("encode in/a.png -o x.aez --report -", 2, "the report is a file"),
        ("encode - --dry-run", 2, "--dry-run cannot look at standard input"),
    ],
)
def test_what_cannot_be_is_one_sentence(archive: Path, arguments: str, code: int, message: str) -> None:
    found = run(*arguments.split(), given=(archive / "in" / "a.png").read_bytes())
    assert (found.exit_code, message in found.stderr) == (code, True), found.stderr
    assert not (archive / "x.aez").exists()
    assert (archive / "in" / "a.png").exists()


@pytest.mark.parametrize("arguments", [("",), ("in", "-o", ""), ("in/a.png", "-o", "")])
def test_names_of_variables_that_are_not_set(archive: Path, arguments: tuple[str, ...]) -> None:
    before = tree(archive)
    found = run("encode", *arguments)
    assert (found.exit_code, "is empty" in found.stderr) == (2, True), found.stderr
    assert tree(archive) == before


def process(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "aez", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_of_two_processes_one_writes_each_file(archive: Path) -> None:
    for number in range(30):
        noisy(number).save(archive / "in" / f"{number}.png")
    both = [process("encode", "in", "-o", "out", "-q", "10", "--workers", "1", "--json") for _ in range(2)]
    written: list[str] = []
    for one in both:
        lines = [json.loads(line) for line in one.communicate()[0].splitlines()]
        written += [line["output"] for line in lines if "error" not in line]
    assert sorted(written) == sorted(f"out/{name}" for name in tree(archive / "out"))
    assert len(written) == 32


def test_a_terminal_that_goes_away_leaves_no_half_file(archive: Path) -> None:
    noisy(0).resize((3000, 3000)).save(archive / "large.png")
    running = process("encode", "large.png", "-o", "large.aez", "--tile", "64")
    status = Path(f"/proc/{running.pid}/status")
    caught = re.compile(r"^SigCgt:.*[13579bdf]$", re.MULTILINE)  # SIGHUP is the lowest bit
    until(lambda: running.poll() is not None or caught.search(status.read_text()))
    running.send_signal(signal.SIGHUP)
    running.communicate()
    assert running.returncode in (0, 128 + signal.SIGHUP)
    assert not [name for name in tree(archive) if name.endswith(".part")]


def test_closed_standard_streams_lose_no_result(archive: Path) -> None:
    line = f"{sys.executable} -m aez encode in/a.png -o"
    assert subprocess.run(f"{line} a.aez 2>&- >&-", shell=True, check=False).returncode == 0
    assert (archive / "a.aez").exists()
    closed = subprocess.run(f"{line} - >&-", shell=True, check=False, capture_output=True)
    assert (closed.returncode, b"standard output is closed" in closed.stderr) == (6, True)
    nothing = subprocess.run(f"{sys.executable} -m aez decode - -o x.png <&-", shell=True, capture_output=True)
    assert (nothing.returncode, b"standard input is closed" in nothing.stderr) == (5, True)


def test_what_is_no_file_of_ours_is_not_read_to_its_end() -> None:
    with Path("/dev/zero").open("rb") as endless:
        command = [sys.executable, "-m", "aez", "decode", "-", "-o", "x.png"]
        found = subprocess.run(command, stdin=endless, capture_output=True, timeout=60)
    assert (found.returncode, b"this is no .aez file" in found.stderr) == (3, True)


def test_names_do_not_steer_the_terminal(archive: Path) -> None:
    name = "two\nlines\x1b[31m.png"
    (archive / name).write_bytes(b"")
    found = run("encode", name, "-o", "x.aez")
    assert found.stderr == "aez: error: two\\nlines\\x1b[31m.png: it is empty\n"


def test_folders_are_verified_and_shown_as_they_are_decoded(archive: Path) -> None:
    assert run("encode", "in", "-o", "out", "-r").exit_code == 0
    coded = sorted(f"out/{name}" for name in tree(archive / "out"))
    (archive / "out" / "notes.txt").write_text("no file of aez")
    whole = run("verify", "out", "-r")
    assert (whole.exit_code, sorted(line.split(":")[0] for line in whole.stdout.splitlines())) == (0, coded)
    assert "all 5 files are sound" in whole.stderr
    assert "left out, no .aez files: out/notes.txt" in whole.stderr
    shown = run("info", "out", "--json")
    assert [json.loads(line)["file"] for line in shown.stdout.splitlines()] == ["out/a.aez", "out/b.aez"]
    assert "folders (--recursive): out/2019/" in shown.stderr

    damaged = archive / "out" / "2019" / "c.aez"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    for command in ("verify", "info", "decode"):
        result = run(command, "out", "-r", *(["-o", "back"] if command == "decode" else []))
        assert result.exit_code == 1
        assert "out/2019/c.aez: the file ends in " in result.stderr
        assert result.stderr.endswith("aez: error: 1 of 5 files failed\n")
        (archive / "empty").mkdir(exist_ok=True)
        none = run(command, "empty")
        assert (none.exit_code, none.stdout) == (5, "")
        assert none.stderr == (
            "aez: error: the folder empty holds no file for this command"
            " (folders in it are searched with --recursive)\n"
        )


def test_odd_files_of_a_folder_are_encoded_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    names = ["nl\nname.png", os.fsdecode(b"bad\xff.png"), "sub/p.png"]
    for name in names:
        Image.fromarray(photo(40, 30)).save(folder / name)
    (folder / "sub" / "loop").symlink_to("..")
    (folder / "gone.png").symlink_to("nowhere")
    words = PngInfo()
    words.add_text("Comment", "x" * 2_000_000, zip=True)
    Image.fromarray(photo(40, 30)).save(folder / "words.png", pnginfo=words)
    result = run("encode", "in", "-o", "out", "-r", "--follow-links", "--report", "in/report.csv")
    assert result.exit_code == 1
    assert "in/gone.png: the link leads nowhere" in result.stderr
    assert "in/words.png: it has more words beside its pixels than Pillow reads: " in result.stderr
    assert result.stderr.endswith("aez: error: 2 of 5 files failed\n")
    assert tree(tmp_path / "out") == {name.replace(".png", ".aez") for name in names}
    assert run("verify", "out", "-r").exit_code == 0
    with (folder / "report.csv").open(errors="surrogateescape", newline="") as report:
        assert len(list(csv.reader(report))) == 6
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "p.png").symlink_to(folder / "sub" / "p.png")
    nothing = run("encode", "links", "-o", "none")
    assert nothing.stderr.startswith("aez: note: left out, links (--follow-links): links/p.png\n")
    assert "the folder links holds no file for this command" in nothing.stderr


@pytest.mark.parametrize("orientation", [5, 8])
def test_what_was_on_its_side_is_upright_in_every_format(
    orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[274] = orientation
    source = Image.fromarray(photo(60, 40))
    source.save("a.jpg", exif=exif, quality=95)
    assert run("encode", "a.jpg", "-o", "a.aez", "--quality", "90").exit_code == 0
    expected = np.asarray(ImageOps.exif_transpose(Image.open("a.jpg")).convert("RGB"))
    for suffix in ("png", "jpg", "bmp"):
        done = run("decode", "a.aez", "-o", f"b.{suffix}")
        assert (done.exit_code, "does not take" in done.stderr) == (0, False)
        shown = np.asarray(ImageOps.exif_transpose(Image.open(f"b.{suffix}")).convert("RGB"))
        assert shown.shape == expected.shape
        assert psnr(shown, expected) > 25
