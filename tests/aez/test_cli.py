"""The command line: what it writes, what it says, and the exit code, for good and for bad input."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import aez
from aez.batch import FileOutcome, Parallel, Progress, run_batch
from aez.codec.bundle.bundle import save_bundle
from aez.codec.container.chunks import CHUNK_NAMES
from aez.codec.container.reader import Reader
from aez.codec.container.writer import Writer
from aez.codec.errors import AezError
from aez.codec.pixels.colour import Colour, of_profile
from aez.codec.pixels.facts import facts_of
from aez.commands.codec.decode import DecodeJob
from aez.files import Job
from tests.kit import places
from tests.kit.commands import run
from tests.kit.png_maker import make_png
from tests.kit.tiny_pictures import coarse, photo

TINY = str(places.TINY)
SHIPPED = places.ROOT / "codec" / "models" / "photo.aezm"


def process(*arguments: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
    """`aez` with these arguments, as a process of its own."""
    command = [sys.executable, "-c", "from aez.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(autouse=True)
def _tiny_is_the_usual_model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("models")
    for name in ("photo-visual", "photo"):
        (folder / f"{name}.aezm").write_bytes(Path(TINY).read_bytes())
    monkeypatch.setenv("AEZ_MODELS", str(folder))
    monkeypatch.delenv("AEZ_DEBUG", raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(width: int = 70, height: int = 50, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = np.stack([3 * x, 4 * y, x + y, 255 - 3 * x], axis=2).astype(np.uint8)
    return Image.fromarray(planes).convert(mode)


def encoded_file(path: Path, **options: Any) -> bytes:
    """A tiled `.aez` file of six tiles, also on the disk."""
    data = aez.encode(picture(190, 120), model=TINY, **{"tile": 64, "content": "photo", **options})
    path.write_bytes(data)
    return data


# -- encode and decode ------------------------------------------------------------------------------------------------


def test_round_trip(here: Path) -> None:
    picture().save("a.png")
    encode = run("encode", "a.png", "-o", "a.aez", "-q", "90", "--content", "photo")
    assert (encode.exit_code, encode.stdout) == (0, "")
    note, summary = encode.stderr.splitlines()
    assert re.fullmatch(r"aez: note: a\.png: its [\d,]+ bytes are not fewer than the source's \d+ .*", note)
    assert re.fullmatch(r"aez: encoded 1 file, \d+ bytes in, [\d,]+ out, \d+\.\d{3} bpp, .* MB/s .*", summary)
    assert (here / "a.aez").read_bytes() == aez.encode(picture(), quality=90, model=TINY, content="photo")
    assert run("decode", "a.aez", "-o", "b.png").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("b.png")), np.asarray(aez.open("a.aez")))
    assert {path.name for path in here.iterdir()} == {"a.png", "a.aez", "b.png"}


def test_pipes_stay_clean(here: Path) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    encode = run("encode", "-", "-o", "-", given=buffer.getvalue())
    assert encode.stdout_bytes == aez.encode(picture(), model=TINY)
    decode = run("decode", "-", "-o", "-", "--format", "tiff", given=encode.stdout_bytes)
    image = Image.open(io.BytesIO(decode.stdout_bytes))
    assert (image.format, image.size) == ("TIFF", (70, 50))
    assert not list(here.iterdir())


@pytest.mark.parametrize(("option", "value"), [("--bpp", 4.0), ("--max-bytes", 1500), ("--psnr", 30.0)])
def test_targets(here: Path, option: str, value: float) -> None:
    picture().save("a.png")
    (record,) = records(run("encode", "a.png", "-o", "a.aez", option, str(value), "--content", "photo", "--json"))
    size = (here / "a.aez").stat().st_size
    assert (record["bytes_out"], record["bpp"]) == (size, 8 * size / 3500)
    decoded = np.asarray(aez.open("a.aez")).astype(float)
    psnr = 10 * np.log10(255**2 / np.mean((decoded - np.asarray(picture())) ** 2))
    assert {"--bpp": record["bpp"] <= value, "--max-bytes": size <= value, "--psnr": psnr >= value}[option]
    assert 1 <= record["quality"] < 100


@pytest.mark.usefixtures("here")
def test_options_reach_the_file() -> None:
    image = picture(130, 100)
    image.info["icc_profile"] = b"profile"
    image.save("a.png", icc_profile=b"profile")
    run("encode", "a.png", "-o", "a.aez", "--tile", "64", "--embed-model", "--model", TINY)
    assert "--no-metadata is now --strip all" in run("encode", "a.png", "-o", "b.aez", "--no-metadata").stderr
    (first, second) = records(run("info", "a.aez", "b.aez", "--json"))
    assert [chunk["type"] for chunk in first["chunks"]] == ["H", "i", "M", *("T" * 6), "E"]
    assert [chunk["type"] for chunk in second["chunks"]] == ["H", "T", "E"]


def test_what_is_stripped_leaves_the_picture_upright(here: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a title"
    exif.get_ifd(0x8825)[1] = "N"
    picture().save("a.jpg", exif=exif, xmp=b"<x exif:GPSLatitude='1'/>", dpi=(300, 300))
    for words in ("gps", "exif", "xmp,icc", "all"):
        name = words.partition(",")[0]
        assert run("encode", "a.jpg", "-o", f"{name}.aez", "--strip", words).exit_code == 0
        assert run("decode", f"{name}.aez", "-o", f"{name}.bmp").exit_code == 0
        with Image.open(f"{name}.bmp") as shown:
            assert shown.size == (50, 70)
        with aez.open(here / f"{name}.aez") as found:
            tags = found.getexif()
            assert (tags[0x0112], tags.get(0x010E)) == (6, "a title" if name in ("gps", "xmp") else None)
            assert (0x8825 in tags) == (name == "xmp")
            assert found.info.get("xmp", b"") == {"gps": b"<x/>", "exif": b"<x exif:GPSLatitude='1'/>"}.get(name, b"")
            assert ("dpi" in found.info) == (name != "all")
    (record,) = records(run("info", "all.aez", "--json"))
    assert (record["orientation"], record["dpi"]) == (6, None)
    assert "turned as orientation 6 says" in run("info", "all.aez").stdout


@pytest.mark.usefixtures("here")
def test_colours_that_are_stripped_are_srgb() -> None:
    wide = Colour((12, 13, 1)).profile(False)
    picture().save("a.png", icc_profile=wide)
    strip = run("encode", "a.png", "-o", "a.aez", "--strip", "icc", "-q", "100")
    assert "a.png: its colours (Display P3) are turned to sRGB" in strip.stderr
    run("encode", "a.png", "-o", "b.aez", "-q", "100")
    assert [record["colour"] for record in records(run("info", "a.aez", "b.aez", "--json"))] == ["sRGB", "Display P3"]
    assert "icc_profile" not in aez.open("a.aez").info
    assert of_profile(aez.open("b.aez").info["icc_profile"]) == Colour((12, 13, 1))
    first, second = (np.asarray(aez.open(name)).astype(int) for name in ("a.aez", "b.aez"))
    assert np.abs(first - second).mean() > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strip", "gsp"), "'gsp' cannot be stripped; what can is gps, exif, xmp, icc, dpi and all"),
        (("--range", "5", "1"), "values from 5 to 1 are no range"),
        (("--range", "0", "inf"), "are no range"),
        (("--alpha-quality", "0"), "0 is not in the range 1<=x<=100"),
    ],
)
@pytest.mark.usefixtures("here")
def test_wrong_ways_to_take_a_picture_apart(options: tuple[str, ...], message: str) -> None:
    picture().save("a.png")
    found = run("encode", "a.png", "-o", "a.aez", *options)
    assert found.exit_code == 2
    assert message in found.stderr
    assert not Path("a.aez").exists()


@pytest.mark.usefixtures("here")
def test_floating_point_with_a_range() -> None:
    values = np.linspace(-2, 3, 3500, dtype=np.float32).reshape(50, 70)
    Image.fromarray(values).save("a.tif")
    narrow = run("encode", "a.tif", "-o", "a.aez", "--range", "-2", "2.5")
    assert narrow.exit_code == 5
    assert "its values from -2 to 3 are not within the range -2..2.5" in narrow.stderr
    assert run("encode", "a.tif", "-o", "a.aez", "--range", "-2", "4").exit_code == 0
    (record,) = records(run("info", "a.aez", "--json"))
    assert (record["bits"], record["range"]) == (16, [-2, 4])
    assert run("decode", "a.aez", "-o", "b.tif").exit_code == 0
    assert "PNG has no floating point: 0 and 65535 stand for -2 and 4" in run("decode", "a.aez", "-o", "b.png").stderr
    again = np.asarray(Image.open("b.tif"))
    assert again.dtype == np.float32
    assert np.abs(again - values).mean() < 0.5
    assert np.asarray(Image.open("b.png")).max() > 10_000


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_of_colour_in_and_out(here: Path, suffix: str) -> None:
    deep = np.asarray(picture()).astype(np.uint16) * 257 + np.arange(70, dtype=np.uint16)[None, :, None]
    Path("a.png").write_bytes(make_png(deep, 16, 2, before=[("pHYs", bytes.fromhex("00002e2300002e2301"))]))
    assert run("encode", "a.png", "-o", "a.aez", "-q", "90", "--content", "photo").exit_code == 0
    assert run("decode", "a.aez", "-o", f"b.{suffix}").exit_code == 0
    with Image.open(f"b.{suffix}") as written:
        found = facts_of(written).samples
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert found is not None
    np.testing.assert_array_equal(found, aez.decode((here / "a.aez").read_bytes(), as_array=True))
    assert np.unique(found % 257).size > 50
    assert "JPEG is written with 8 of its 16 bits" in run("decode", "a.aez", "-o", "b.jpg").stderr
    with pytest.warns(UserWarning, match="16 bits a channel are 8 in a Pillow picture"):
        aez.open("a.aez").load()


@pytest.mark.usefixtures("here")
def test_metadata_that_a_jpeg_has_no_room_for() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "t" * 70_000
    picture().save("a.png", exif=exif)
    assert run("encode", "a.png", "-o", "a.aez").exit_code == 0
    decode = run("decode", "a.aez", "-o", "a.jpg")
    assert decode.exit_code == 0
    assert "JPEG does not take 70046 bytes of exif" in decode.stderr
    with Image.open("a.jpg") as shown:
        assert dict(shown.getexif()) == {0x0112: 6}


@pytest.mark.usefixtures("here")
def test_a_background() -> None:
    picture(mode="RGBA").save("a.png")
    run("encode", "a.png", "-o", "a.aez")
    refused = run("decode", "a.aez", "-o", "a.jpg")
    assert refused.exit_code == 2
    assert "JPEG cannot hold this picture of mode RGBA; give --background" in refused.stderr
    assert run("decode", "a.aez", "-o", "a.jpg", "--background", "white").exit_code == 0
    assert run("decode", "a.aez", "-o", "b.png", "--background", "#ff0000").exit_code == 0
    for name in ("a.jpg", "b.png"):
        with Image.open(name) as written:
            assert written.mode == "RGB"
    assert "'whiter' is no colour" in run("decode", "a.aez", "-o", "c.jpg", "--background", "whiter").stderr


def test_model_that_is_embedded_is_enough(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded_file(here / "a.aez", embed_model=True)
    monkeypatch.setenv("AEZ_MODELS", "/nothing")
    assert run("verify", "a.aez").exit_code == 0
    assert run("decode", "a.aez", "-o", "a.png").exit_code == 0


def test_region(here: Path) -> None:
    data = encoded_file(here / "a.aez")
    assert run("decode", "a.aez", "-o", "a.png", "--region", "50,40,60,30").exit_code == 0
    part = np.asarray(Image.open("a.png")).astype(int)
    whole = np.asarray(aez.decode(data, model=TINY)).astype(int)
    assert np.abs(part - whole[40:70, 50:110]).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif"])
def test_metadata_goes_along(here: Path, suffix: str) -> None:
    image = picture()
    exif = Image.Exif()
    exif[0x010E] = "a title"
    exif[0x0100] = 4000  # the width, as cameras write it: it must not become the width of a TIFF
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    image.info |= {"exif": exif.tobytes(), "icc_profile": b"profile" * 20, "xmp": b"<x:xmpmeta/>"}
    (here / "a.aez").write_bytes(aez.encode(image, model=TINY))
    decode = run("decode", "a.aez", "-o", f"a.{suffix}")
    assert (decode.exit_code, "note" in decode.stderr) == (0, False)
    with Image.open(f"a.{suffix}") as written:
        assert written.getexif()[0x010E] == "a title"
        assert written.getexif().get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
        assert np.asarray(written.convert("RGB")).shape == (50, 70, 3)
        assert written.info["icc_profile"] == b"profile" * 20
        assert (written.info.get("xmp") or written.getexif().get(700)) == b"<x:xmpmeta/>"


def test_format_that_takes_no_metadata_is_a_note(here: Path) -> None:
    image = picture()
    image.info["xmp"] = b"<x:xmpmeta/>"
    (here / "a.aez").write_bytes(aez.encode(image, model=TINY))
    decode = run("decode", "a.aez", "-o", "a.bmp")
    assert decode.exit_code == 0
    assert "aez: note: a.aez: BMP does not take xmp\n" in decode.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("b.gif", "GIF is written with 256 of its colours and without half-transparent pixels"),
        ("b.ico", "ICO is written with 128x91 pixels in place of 300x214"),
    ],
)
def test_fewer_colours_or_pixels_are_a_note(here: Path, name: str, said: str) -> None:
    (here / "a.aez").write_bytes(aez.encode(photo(214, 300), lossless=True))
    result = run("decode", "a.aez", "-o", name)
    assert (result.exit_code, f"aez: note: a.aez: {said}\n" in result.stderr) == (0, True), result.stderr


@pytest.mark.usefixtures("here")
def test_what_encoding_loses_is_a_note() -> None:
    Image.fromarray(np.full((20, 30), 1_001, np.uint16)).save("a.png")
    encode = run("encode", "a.png", "-o", "a.aez", "--json")
    assert "aez: note: a.png: its 16-bit values up to 1001 are kept as 10 bits" in encode.stderr
    assert len(records(encode)[0]["notices"]) == 2


# -- many files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "3"])
def test_many_files_go_on_after_bad_ones(here: Path, workers: str) -> None:
    (here / "in").mkdir()
    for name in ("a.png", "b.png", "d.png", "d.bmp"):
        picture().save(here / "in" / name)
    (here / "in" / "c.png").write_bytes(b"no picture")
    (here / "in" / "readme.txt").write_text("left alone")
    encode = run("encode", "in", "missing.png", "-o", "out", "--workers", workers, "--json")
    assert encode.exit_code == 1
    assert {path.name for path in (here / "out").iterdir()} == {"a.aez", "b.aez", "d.png.aez", "d.bmp.aez"}
    lines = [line for line in encode.stderr.splitlines() if "not fewer than the source" not in line]
    assert lines[0] == "aez: note: left out, no pictures: in/readme.txt"
    assert lines[1].startswith("aez: encoded 4 files, ")
    assert lines[2:] == [
        "aez: error: in/c.png: it is called a picture, and cannot be read as one",
        "aez: error: missing.png: it cannot be read: No such file or directory",
        "aez: error: 2 of 6 files failed",
    ]
    found = records(encode)
    assert [record["input"] for record in found] == [
        *(f"in/{n}" for n in ("c.png", "a.png", "b.png", "d.bmp", "d.png")),
        "missing.png",
    ]
    assert [record.get("exit_code", 0) for record in found] == [5, 0, 0, 0, 0, 5]

    decode = run("decode", "out", "-o", "back", "--format", "webp", "--workers", workers)
    assert decode.exit_code == 0
    assert {path.name for path in (here / "back").iterdir()} == {"a.webp", "b.webp", "d.bmp.webp", "d.png.webp"}


def test_nothing_is_overwritten_without_force(here: Path) -> None:
    picture().save("a.png")
    (here / "a.aez").write_bytes(b"mine")
    refused = run("encode", "a.png", "-o", "a.aez")
    assert (refused.exit_code, (here / "a.aez").read_bytes()) == (6, b"mine")
    assert refused.stderr == "aez: error: a.png: a.aez exists; give --force to replace it\n"
    assert run("encode", "a.png", "-o", "a.aez", "--force").exit_code == 0
    assert run("verify", "a.aez").exit_code == 0


def test_result_in_place_of_its_input_is_refused(here: Path) -> None:
    picture().save("a.png")
    before = (here / "a.png").read_bytes()
    assert run("encode", "a.png", "-o", "./a.png", "--force").exit_code == 2
    assert (here / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("files", "workers", "threads", "expected"),
    [
        (1, None, None, Parallel(1, None)),
        (1, 8, 3, Parallel(1, 3)),
        (5, 2, None, Parallel(2, 1)),
        (5, 1, None, Parallel(1, None)),
        (5, 2, 4, Parallel(2, 4)),
    ],
)
def test_workers_and_threads(files: int, workers: int | None, threads: int | None, expected: Parallel) -> None:
    assert Parallel.choose(files, workers, threads) == expected


# -- damage -----------------------------------------------------------------------------------------------------------


def test_truncated_file(here: Path) -> None:
    data = encoded_file(here / "a.aez")
    (here / "cut.aez").write_bytes(data[: len(data) // 2])
    strict = run("decode", "cut.aez", "-o", "a.png")
    assert (strict.exit_code, (here / "a.png").exists()) == (3, False)
    assert re.fullmatch(
        r"aez: error: cut\.aez: the file ends in the tile chunk .*; --partial writes what is whole\n", strict.stderr
    )
    partial = run("decode", "cut.aez", "-o", "a.png", "--partial")
    assert partial.exit_code == 3
    assert "aez: warning: cut.aez: only what is whole was written: the file ends in" in partial.stderr
    pixels = np.asarray(Image.open("a.png"))
    whole = np.asarray(aez.decode(data, model=TINY))
    assert np.abs(pixels[:16, :16].astype(int) - whole[:16, :16]).max() <= 1
    assert np.all(pixels[-1, -1] == 128)


@pytest.mark.parametrize("command", ["info", "verify"])
def test_commands_that_only_look_name_the_damage(here: Path, command: str) -> None:
    data = bytearray(encoded_file(here / "a.aez"))
    tile = next(c for c in aez.info(bytes(data))["chunks"] if c["type"] == "T")
    data[tile["offset"] + 20] ^= 1
    (here / "bad.aez").write_bytes(data)
    result = run(command, "bad.aez", "a.aez")
    assert result.exit_code == 1
    assert re.search(r"error: bad\.aez: the tile chunk \(number 1 .*\) fails its checksum", result.stderr)
    assert "a.aez" in result.stdout
    assert run(command, "bad.aez").exit_code == 3


def test_verify_finds_wrong_symbols_behind_right_checksums(here: Path) -> None:
    reader = Reader(io.BytesIO(encoded_file(here / "whole.aez")))
    with (here / "a.aez").open("wb") as file:
        writer = Writer(file, reader.header)
        for chunk in reader.chunks():
            kind, checksum = chunk.content[:1], chunk.content[1]
            wrong = checksum ^ (chunk.tile in (2, 5))
            writer.tile(chunk.tile, kind + bytes([wrong]) + chunk.content[2:])
        writer.close()
    assert run("info", "a.aez").exit_code == 0
    result = run("verify", "a.aez")
    assert result.exit_code == 3
    assert re.findall(r"tile (\d+): ", result.stderr) == ["2", "5"]


def test_verify_checks_the_alpha_plane(here: Path) -> None:
    (here / "a.aez").write_bytes(aez.encode(picture(mode="RGBA"), model=TINY, content="photo"))
    assert run("verify", "a.aez").stdout == "a.aez: sound (1 tile, model tiny)\n"


@pytest.mark.parametrize("cut", [0, 5, 12, 30])
@pytest.mark.parametrize("command", [["info"], ["verify"], ["decode", "-o", "a.png", "--partial"]])
def test_hardly_anything_left(here: Path, cut: int, command: list[str]) -> None:
    (here / "a.aez").write_bytes(encoded_file(here / "whole.aez")[:cut])
    result = run(command[0], "a.aez", *command[1:])
    assert result.exit_code == 3
    assert result.stderr.startswith("aez: error: a.aez: ")
    assert not (here / "a.png").exists()


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("encode", 2, "missing argument 'IN...'; see aez encode --help"),
        ("nothing", 2, "no such command 'nothing'; see aez --help"),
        ("encode a.png -o b.aez -q 0.5", 2, "0.5 is not in the range 1<=x<=100"),
        ("encode a.png -o b.aez -q nan", 2, "nan is no finite number"),
        ("encode a.png -o b.aez --bpp 1 --psnr 30", 2, "give only one of --bpp and --psnr"),
        ("encode a.png -o b.aez --bpp 0.001", 2, "a.png: even quality 1 needs"),
        ("encode a.png -o b.aez --psnr 99 --content photo", 2, "a.png: quality 100 gives"),
        ("encode a.png -o b.aez --tile 100", 2, "tile size 100 is not a multiple of 16"),
        ("encode a.png -o - --json", 2, "--json and -o - both take standard output"),
        ("encode a.png a.png -o -", 2, "standard output takes one file"),
        ("encode a.png -o b.aez --model nix", 4, "there is no model nix"),
        ("encode a.png -o b.aez --model ./a.png", 4, "is not usable: it is no sound zip file"),
        ("encode empty.png -o b.aez", 5, "empty.png: it is empty"),
        ("encode empty -o b.aez", 5, "the folder empty holds no file for this command"),
        ("encode missing.png -o b.aez", 5, "missing.png: it cannot be read: No such file or directory"),
        ("encode a.png -o no/b.aez", 6, "a.png: the folder no does not exist"),
        ("encode a.png -o empty", 0, ""),
        ("encode a.png -o empty.png/", 2, "empty.png is a file, and several results need a folder"),
        ("decode a.png -o b.png", 3, "a.png: this is no .aez file"),
        ("decode a.aez -o b.nix", 2, "a.aez: pictures cannot be written as .nix; use .png"),
        ("decode a.aez -o b", 2, "a.aez: pictures cannot be written as a file without suffix"),
        ("decode a.aez -o out --format nix", 2, "pictures cannot be written as .nix"),
        ("decode a.aez -o b.png --region 1,2,3", 2, "'1,2,3' is not four integers x,y,w,h"),
        ("decode a.aez -o b.png --region 60,0,11,5", 2, "a.aez: region 60,0,11,5 is not inside the 70x50 picture"),
        ("decode a.aez -o b.png --max-pixels 99", 5, "a.aez: a picture of 70x50 pixels is above the limit of 99"),
        ("decode a.aez -o b.jpg", 2, "a.aez: JPEG cannot hold this picture of mode RGBA"),
        ("info missing.aez", 5, "missing.aez: it cannot be read"),
        ("models verify nix a.png", 1, "2 of 2 files failed"),
        ("bench rd", 2, "name a folder of lossless pictures"),
        ("bench rd empty", 5, "empty holds no 8-bit lossless picture"),
        ("train photo empty -o x.aezm", 2, "give either --minutes or --steps"),
        ("train photo empty -o x.aezm --steps 1 --crop 40", 2, "--crop 40 is not a multiple of 32"),
        ("train photo empty -o x.aezm --steps 1 --resume --from x", 2, "give only one of them"),
        ("train photo empty -o a.png --steps 1", 2, "a.png exists; give --force to replace it"),
    ],
)
def test_errors_are_one_sentence_and_a_code(here: Path, arguments: str, code: int, message: str) -> None:
    (here / "empty").mkdir()
    (here / "empty.png").touch()
    picture().save("a.png")
    (here / "a.aez").write_bytes(aez.encode(picture(mode="RGBA"), model=TINY, content="photo"))
    before = {path.name for path in here.rglob("*")}
    result = run(*arguments.split())
    assert result.exit_code == code
    assert message in result.stderr
    if code:
        assert result.stdout == ""
        said = [line for line in result.stderr.splitlines() if not line.startswith("aez: note: ")]
        assert all(line.startswith("aez: error: ") for line in said)
        assert {path.name for path in here.rglob("*")} - {"out"} == before


def test_missing_model_names_what_a_file_needs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded_file(here / "a.aez")
    monkeypatch.setenv("AEZ_MODELS", str(here / "none"))
    for command in (["decode", "-o", "a.png"], ["verify"]):
        result = run(command[0], "a.aez", *command[1:])
        assert result.exit_code == 4
        assert f"there is no model {aez.info(data)['model']['id']}" in result.stderr
    assert "a model that is not here" in run("info", "a.aez").stdout


def test_unforeseen_errors_are_a_sentence_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    encoded_file(here / "a.aez")
    monkeypatch.setattr(DecodeJob, "__call__", fail)
    result = run("decode", "a.aez", "-o", "a.png")
    expected = "aez: error: a.aez: unexpected RuntimeError: first line; set AEZ_DEBUG=1 for the traceback\n"
    assert (result.exit_code, result.stderr) == (70, expected)
    monkeypatch.setenv("AEZ_DEBUG", "1")
    assert "Traceback" in run("decode", "a.aez", "-o", "a.png").stderr
    monkeypatch.setattr("aez.commands.codec.decode.plan", fail)
    assert run("decode", "a.aez", "-o", "a.png").exit_code == 70


def test_training_without_torch_says_what_to_install() -> None:
    script = "import sys; sys.modules['torch'] = None; from aez.cli import main; main()"
    command = [sys.executable, "-c", script, "train", "photo", "DIR", "-o", "x.aezm", "--steps", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expected = "aez: error: this needs torch, which is not installed: pip install 'aez[train]'\n"
    assert (result.returncode, result.stderr) == (1, expected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_behind_standard_output(here: Path) -> None:
    encoded_file(here / "a.aez")
    with Path("/dev/full").open("wb") as full:
        for arguments in (["decode", "a.aez", "-o", "-"], ["info", "a.aez", "a.aez"], ["verify", "a.aez", "a.aez"]):
            command = [sys.executable, "-c", "from aez.cli import main; main()", *arguments]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            assert done.returncode == 6
            assert done.stderr.count("standard output cannot be written: No space left on device\n") == 1


def test_closed_pipe_is_quiet(here: Path) -> None:
    encoded_file(here / "a.aez")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        command = [sys.executable, "-c", "from aez.cli import main; main()", "decode", "a.aez", "-o", "-"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")


# -- interruption -----------------------------------------------------------------------------------------------------


def test_what_breaks_while_a_signal_ends_a_command_is_no_defect() -> None:
    script = """
import os, signal
from aez import cli

@cli.main.command()
def train_for_long():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    finally:
        raise RuntimeError("DataLoader worker is killed by signal")

cli.main()
"""
    command = [sys.executable, "-c", script, "train-for-long"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_leaves_nothing_behind(here: Path, number: signal.Signals, code: int) -> None:
    os.mkfifo(here / "a.png")
    running = process("encode", "a.png", "-o", "a.aez")
    with (here / "a.png").open("wb") as pipe:  # opens when the command reads, and never ends
        pipe.write(b"\x89PNG")
        pipe.flush()
        time.sleep(0.5)  # until it waits for more; a signal just before that is noticed only with the next byte
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    assert running.returncode == code
    assert b"Traceback" not in said
    assert {path.name for path in here.iterdir()} == {"a.png"}


def test_interruption_stops_the_other_workers_at_their_next_tile() -> None:
    busy, left, ended = threading.Event(), threading.Event(), list[str]()

    def work(job: Job, progress: Progress) -> FileOutcome:
        if job.source == "first":
            assert busy.wait(30)
            raise KeyboardInterrupt
        busy.set()
        try:
            for _ in range(3000):
                progress(1, 2)
                time.sleep(0.01)
            ended.append("nobody stopped this worker")
        finally:
            left.set()
        raise AezError(ended[-1])

    with pytest.raises(KeyboardInterrupt):
        run_batch([Job("first", "x"), Job("second", "y"), Job("third", "z")], work, "done", workers=2)
    assert left.wait(60)
    assert not ended


# -- info, models, bench, train ---------------------------------------------------------------------------------------


def test_info_as_text(here: Path) -> None:
    data = encoded_file(here / "a.aez", quality=100)
    lines = run("info", "a.aez").stdout.splitlines()
    assert lines[0] == f"a.aez: image 190x120 RGB, quality 100, {len(data):,} bytes, {len(data) * 8 / 22800:.3f} bpp"
    assert lines[1].endswith("(tiny), 6 tiles of at most 64 pixels a side (6 learned)")
    tiles = next(line.split() for line in lines if line.split()[0] == CHUNK_NAMES["T"])
    assert tiles[1] == "6"


def test_info_as_json_is_what_python_says(here: Path) -> None:
    data = encoded_file(here / "a.aez")
    assert records(run("info", "-", "--json", given=data)) == [{"file": "-", **aez.info(data)}]
    assert aez.info(data)["width"] == Reader(io.BytesIO(data)).header.width


def test_models_are_listed_and_verified(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = here / "models"
    folder.mkdir()
    (folder / "tiny.aezm").write_bytes(Path(TINY).read_bytes())
    (folder / "bad.aezm").write_bytes(b"bad")
    monkeypatch.setenv("AEZ_MODELS", str(folder))
    listed = run("models").stdout
    assert re.search(r"^tiny  [0-9a-f]{16}  image-codec  [\d,]+ bytes  \(user\)\n  quality 1 to 100$", listed, re.M)
    assert re.search(r"^bad  NOT USABLE: ", listed, re.M)
    bad, tiny = records(run("models", "--json"))[:2]
    assert "error" in bad
    assert (tiny["id"], tiny["quality_range"]) == (aez.load(TINY).id, [1, 100])
    verified = run("models", "verify", "tiny", TINY)
    assert (verified.exit_code, verified.stdout.count(": sound (tiny, ")) == (0, 2)
    assert run("models", "verify", str(folder / "bad.aezm")).exit_code == 4


def test_a_model_with_a_coarser_hyper_latent_is_verified_and_codes(here: Path) -> None:
    save_bundle(coarse(), here / "coarse.aezm")
    verified = run("models", "verify", "coarse.aezm")
    assert (verified.exit_code, verified.stdout) == (0, f"coarse.aezm: sound (coarse, {coarse().id})\n")
    picture(150, 90).save("a.png")
    refused = run("encode", "a.png", "-o", "a.aez", "--model", "coarse.aezm", "--tile", "80")
    assert (refused.exit_code, "tile size 80 is not a multiple of 32" in refused.stderr) == (2, True)
    assert run("encode", "a.png", "-o", "a.aez", "--model", "coarse.aezm", "--tile", "96").exit_code == 0
    assert run("decode", "a.aez", "-o", "b.png", "--model", "coarse.aezm").exit_code == 0
    with Image.open("b.png") as decoded:
        assert decoded.size == (150, 90)


def test_bench_rd(here: Path) -> None:
    (here / "pictures").mkdir()
    picture(96, 80).save("pictures/a.png")
    bench = ["bench", "rd", "pictures", "--model", TINY, "--quick", "-q", "20", "-q", "80"]
    table = run(*bench)
    assert table.exit_code == 0
    assert "aez tiny" in table.stdout
    report = json.loads(run(*bench, "--json").stdout)
    assert [point["quality"] for point in report["curves"]["aez tiny"]] == [20, 80]


def test_train_photo_passes_everything_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aez.export.photo import train as train_photo
    from aez.export.photo.network import PhotoConfig

    calls: list[tuple[Path, Path, dict[str, Any]]] = []

    def trained(folder: Path, output: Path, **options: Any) -> aez.codec.Bundle | None:
        calls.append((folder, output, options))
        return aez.load(TINY) if len(calls) == 1 else None

    monkeypatch.setattr(train_photo, "main", trained)
    (here / "in").mkdir()
    asked = (
        "--minutes 2 --from photo --device cpu --loss ms-ssim --batch 4 --crop 192 --lr 0.01 --seed 7 --name mine "
        "--scales 1 1.5 --size fast --colour-steps 0.8 --mean-with photo-fast 0.25"
    )
    first = run("train", "photo", "in", "-o", "x.aezm", *asked.split())
    assert (first.exit_code, "wrote x.aezm: model tiny" in first.stderr) == (0, True)
    folder, output, options = calls[0]
    training = options.pop("options")
    assert (folder, output) == (Path("in"), Path("x.aezm"))
    assert options.pop("start").id == aez.load(TINY).id
    assert options.pop("config") == PhotoConfig.fast()
    mean, share = options.pop("mean_with")
    assert (mean.id, share) == (aez.load("photo-fast").id, 0.25)
    passed = {"name": "mine", "resume": False, "distortion": "ms-ssim", "crop": 192, "rounded_from": 0.85}
    assert options == passed | {"scales": (1.0, 1.5), "colour_steps": 0.8}
    assert (training.minutes, training.steps, training.device) == (2, None, "cpu")
    assert (training.batch, training.learning_rate, training.seed) == (4, 0.01, 7)
    stopped = run("train", "photo", "in", "-o", "x.aezm", "--steps", "5", "--resume")
    assert stopped.exit_code == 130
    assert (calls[1][2]["resume"], calls[1][2]["options"].steps) == (True, 5)
    for needs_a_model in ("--decoder-only", "--colour-steps=0.8", "--mean-with photo 0.5"):
        refused = run("train", "photo", "in", "-o", "y.aezm", "--steps", "5", *needs_a_model.split())
        assert (refused.exit_code, "give --from" in refused.stderr) == (2, True)
    run("train", "photo", "in", "-o", "y.aezm", "--steps", "5", "--decoder-only", "--from", "photo")
    assert calls[2][2]["rounded_from"] == 0.0
    assert calls[2][2]["config"] is None


@pytest.mark.parametrize("command", ["speed", "tiles", "seams", "exact"])
def test_bench_of_what_is_no_picture(here: Path, command: str) -> None:
    (here / "notes.txt").write_text("no picture")
    for name, why in (("notes.txt", "is not a picture"), (".", "Is a directory"), ("none.png", "does not exist")):
        done = run("bench", command, name)
        assert (done.exit_code, why in done.stderr) == (5, True)
        assert "unexpected" not in done.stderr


def test_help_lists_commands_and_exit_codes() -> None:
    shown = run("--help").stdout
    for command in ("encode", "decode", "info", "verify", "models", "train", "bench"):
        assert re.search(rf"^  {command} ", shown, re.M)
        assert run(command, "--help").exit_code == 0
    for error in AezError.__subclasses__():
        assert re.search(rf"^ +{error.exit_code}  ", shown, re.M)
    assert run().exit_code == 2


@pytest.mark.skipif(not SHIPPED.exists(), reason="no model is in the package")
def test_shipped_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEZ_MODELS", str(here / "none"))
    picture(200, 150).save("a.png")
    assert run("encode", "a.png", "-o", "a.aez", "--bpp", "1").exit_code == 0
    assert run("decode", "a.aez", "-o", "b.png").exit_code == 0
    difference = np.asarray(Image.open("b.png")).astype(float) - np.asarray(picture(200, 150))
    assert np.mean(difference**2) < 100
