"""Weak spots, contact sheets and the document of results, on toy codecs whose figures are known."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image

from aez.bench.pictures.codecs import PictureCodec
from aez.bench.pictures.contact_sheets import folder_sheet_png
from aez.bench.pictures.rd import run as run_rd
from aez.bench.results.document import document, is_made
from aez.bench.weak import run as weak_bench
from aez.bench.weak.kinds import KINDS, Kind
from aez.bench.weak.report import Level, WeakReport
from aez.cli import main
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.distortion import psnr
from tests.kit.places import ROOT
from tests.kit.toy_codecs import toy_decode

Picture = npt.NDArray[np.uint8]

MODEL = {
    "name": "garden",
    "id": "0123456789abcdef" * 4,
    "family": "toy",
    "bytes": 1234567,
    "figures": {},
    "provenance": {"steps": 12000, "hours": 1.5, "seed": 7, "crop": 128, "stages": {"first": 9000}, "licence": "MIT"},
}


def encode(image: Picture, quality: float) -> bytes:
    """Uniform quantization with a step of 100 / quality, deflated."""
    step = 100 / quality
    body = zlib.compress(np.rint(image / step).astype(np.uint8).tobytes(), 1)
    return struct.pack("<HHd", *image.shape[:2], step) + body


def corner(name: str) -> Kind:
    """A kind whose pictures are cut to the upper left corner, which is coded quickly."""
    kind = next(kind for kind in KINDS if kind.name == name)
    return Kind(name, kind.about, lambda: [picture[:96, :96] for picture in kind.make()])


FEW = [corner(name) for name in ("noise", "tiny 8x8", "flat graphics")]


def toy(name: str = "aez toy", **changes: Any) -> PictureCodec:
    peer = PictureCodec(name, encode, toy_decode, (2.0, 5.0, 10.0, 20.0, 40.0), lowest=1, highest=100, model=MODEL)
    return dataclasses.replace(peer, **changes)


def half() -> PictureCodec:
    """The toy at half the bytes, with the figures of the whole."""
    kept: dict[bytes, bytes] = {}

    def encode_half(image: Picture, quality: float) -> bytes:
        data = encode(image, quality)
        short = data[: len(data) // 2]
        kept[short] = data
        return short

    return toy("half", encode=encode_half, decode=lambda data: toy_decode(kept[data]), model={})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "pictures"
    folder.mkdir()
    y, x = np.mgrid[:40, :56]
    for i in range(3):
        waves = 128 + 60 * np.sin(x / (5 + i))[:, :, None] * np.cos(y / (6 + i))[:, :, None] * [1, 0.8, 0.5]
        Image.fromarray(waves.astype(np.uint8)).save(folder / f"p{i}.png")
    return folder


@pytest.fixture(scope="module")
def measured(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rd.json, two domains of which one has sheets, and weak.json."""
    folder = tmp_path_factory.mktemp("measured")
    report = run_rd(pictures, [toy()], peers=[half()], progress=False)
    (folder / "rd.json").write_text(report.to_json(), encoding="utf-8")
    (folder / "domain-plain.json").write_text(report.to_json(), encoding="utf-8")
    other = toy("aez mine", model={**MODEL, "name": "mine", "id": "f" * 64})
    sheets = run_rd(pictures, [other], peers=[half()], progress=False, sheet=True)
    (folder / "domain-waves.json").write_text(sheets.to_json(), encoding="utf-8")
    (folder / "weak.json").write_text(
        weak_bench.run([toy()], peers=[half()], kinds=FEW, quick=True, progress=False).to_json(), encoding="utf-8"
    )
    return folder


@pytest.fixture
def reports(measured: Path, tmp_path: Path) -> Path:
    """A copy of the measured reports."""
    return Path(shutil.copytree(measured, tmp_path / "docs" / "results"))


def test_the_document_in_the_repository_is_what_its_reports_give() -> None:
    docs = ROOT / "docs"
    if not (docs / "results.md").is_file():
        pytest.skip("the document is part of the source tree only")
    made = document(docs / "results", docs)
    assert (docs / "results.md").read_text(encoding="utf-8") == made.text, "run: aez bench results docs/results"
    assert made.unused == []


def test_kinds_are_what_they_are_called_and_the_same_each_time() -> None:
    assert {"text", "line art", "screen", "flat graphics", "gradients", "noise"} <= {kind.name for kind in KINDS}
    made = {kind.name: kind.make() for kind in KINDS}
    for kind in KINDS:
        assert all(np.array_equal(a, b) for a, b in zip(made[kind.name], kind.make(), strict=True))
        assert all(p.dtype == np.uint8 and p.ndim == 3 and p.shape[2] == 3 for p in made[kind.name])
    assert {p.shape for p in made["tiny 8x8"]} == {(8, 8, 3)}
    assert len(np.unique(made["flat graphics"][0].reshape(-1, 3), axis=0)) < 16
    assert np.abs(np.diff(made["gradients"][0].astype(int), axis=0)).max() <= 1
    assert made["noise"][0].std() > 70


def test_bytes_are_those_of_the_lowest_quality_that_reaches_the_psnr(pictures: Path) -> None:
    report = weak_bench.run([toy()], pictures, peers=[half()], targets=[40.0, 30.0], kinds=[], progress=False)
    kind = report.kinds[-1]
    assert (kind.name, kind.pictures, kind.pixels) == ("pictures", 3, 3 * 40 * 56)
    assert [level.psnr for level in kind.levels] == [30, 40]
    images = [np.asarray(Image.open(pictures / f"p{i}.png")) for i in range(3)]
    for level in kind.levels:
        expected = 0
        for image in images:
            coded = [encode(image, quality) for quality in range(1, 101)]
            expected += next(len(data) for data in coded if psnr(image, toy_decode(data)) >= level.psnr)
        # Bisection and the scan agree where PSNR rises with quality, which it does but for rounding.
        assert level.bytes["aez toy"] == pytest.approx(expected, rel=0.03)
        assert level.bytes["half"] == pytest.approx((level.bytes["aez toy"] or 0) / 2, abs=3)
    assert kind.lossless["PNG"] > 0
    assert WeakReport.from_json(report.to_json()) == report


def test_what_is_lost_is_named_and_what_is_not_reached_too() -> None:
    coarse = toy("aez coarse", highest=3)
    report = weak_bench.run([coarse], peers=[half()], kinds=FEW, quick=True, targets=[20, 60], progress=False)
    losses = {(kind.name, level.psnr): (rival, times) for kind, level, rival, times in report.losses("aez coarse")}
    assert losses["noise", 60][1] is None
    assert losses["noise", 20][0] == "half"
    assert losses["noise", 20][1] == pytest.approx(2, abs=0.01)
    assert "noise, 60 dB: not reached" in report.table()
    flat = report.kinds[-1]
    assert flat.lossless["PNG"] < 1000  # in a palette
    assert flat.rival("aez coarse", Level(60, {"aez coarse": None, "half": None}), ["aez coarse"]) == min(
        flat.lossless.items(), key=lambda item: item[1]
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kinds": [1]}'])
def test_json_of_other_kinds_is_no_report_on_weak_spots(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not the JSON of a report on weak spots"):
        WeakReport.from_json(text)


def test_a_sheet_of_a_folder(pictures: Path) -> None:
    wide = folder_sheet_png(pictures, [toy()], [2.0], 2, peers=[half()])
    narrow = folder_sheet_png(pictures, [], [2.0], 1, peers=[half()])
    assert struct.unpack_from(">II", wide, 16) > struct.unpack_from(">II", narrow, 16)
    with pytest.raises(InvalidArgument, match="positive numbers"):
        folder_sheet_png(pictures, [toy()], [0.0])
    with pytest.raises(UnsupportedInput, match="not a folder"):
        folder_sheet_png(pictures / "none", [toy()])


def test_the_document_shows_every_report(reports: Path) -> None:
    made = document(reports, reports.parent)
    assert made.used == ["domain-plain.json", "domain-waves.json", "rd.json", "weak.json"]
    assert document(reports, reports.parent) == made
    text = made.text
    assert "## Photographs: 3 pictures of pictures" in text
    assert "| **aez toy** | +100." in text  # the toy takes twice the bytes of its half
    assert "### waves: 3 pictures" in text
    assert "| **aez mine**, all in one | +100." in text
    assert "plain, all in one" not in text
    assert "## Where it loses" in text
    assert "x half)**" in text
    assert "MS-SSIM needs a shorter side" in text
    assert "| steps | 12,000 | 12,000 |" in text
    assert "| crop | 128 | 128 |" in text
    assert "| stages | first 9000 | first 9000 |" in text
    assert "`ffffffffffffffff`" in text
    assert "![" not in text  # no plot lies there
    (reports / "rd.png").write_bytes(b"")
    assert "](results/rd.png)" in document(reports, reports.parent).text


def test_plain_figures_become_rows(reports: Path) -> None:
    machine = {"cpu": "a processor", "cores": 2, "system": "here", "versions": {"aez": "1"}, "date": "2026-01-02T03:04"}
    times = {"encode": 50.0, "decode": 30.0, "avif_encode": 100.0, "avif_decode": 10.0}
    size = {"width": 512, "height": 768}
    figures: dict[str, dict[str, Any]] = {
        "speed": {
            "machine": machine,
            "model": "m",
            "pictures": [size],
            "milliseconds": times,
            "cold_decode_seconds": 1,
        },
        "tiles": {"tile": 256, "seam_ratio": 1.01, "tile_cost": 0.02, "overhead": 0.003, "region_difference": 1},
        "exact": {"symbols": 12345, "differences": {"1 thread": 0, "cuda": 2}},
        "large": {"side": 5000, "encode": {"peak_megabytes": 900}, "decode": {"peak_megabytes": 800}},
        "soak": {"pictures": 2000, "growth": 0.082},
    }
    for name, values in figures.items():
        (reports / f"{name}-m.json").write_text(json.dumps(values), encoding="utf-8")
    (reports / "other.json").write_text("{}", encoding="utf-8")
    made = document(reports, reports.parent)
    assert "| **m** | 1 of 768x512 | 50.0 | 0.50 | 30.0 | 3.00 | 1.00 |" in made.text
    assert "| 2 of 12,345 |" in made.text
    assert "| +8.2 % at most |" in made.text
    assert "| 900 MB, 800 MB |" in made.text
    assert made.unused == ["other.json"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rd.json", "{"),
        ("rd.json", "[]"),
        ("weak.json", "{}"),
        ("domain-plain.json", '{"folder": 1}'),
        ("speed.json", "[1]"),
        ("speed.json", "{}"),
        ("tiles.json", '{"tile": 5}'),
        ("latent.json", '{"pictures": 3, "folder": "x"}'),
        ("rd.json", "\udcff"),
    ],
)
def test_a_damaged_report_is_one_sentence(reports: Path, name: str, text: str) -> None:
    (reports / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    result = CliRunner().invoke(main, ["bench", "results", str(reports)])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert name in result.stderr
    assert not (reports.parent / "results.md").exists()


def test_the_command_writes_the_document_and_spares_other_files(reports: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> Any:
        return CliRunner().invoke(main, ["bench", "results", *map(str, arguments)])

    target = reports.parent / "results.md"
    assert run(reports).exit_code == 0
    assert is_made(target)
    before = target.read_bytes()
    assert run(reports, "--json").exit_code == 0
    assert target.read_bytes() == before
    notes = tmp_path / "notes.md"
    notes.write_text("mine", encoding="utf-8")
    assert run(reports, "-o", notes).exit_code == 6
    assert notes.read_text(encoding="utf-8") == "mine"
    assert run(reports, "-o", notes, "--force").exit_code == 0
    assert "(docs/results/rd.txt)" in notes.read_text(encoding="utf-8")
    (reports / "rd.json").unlink()
    missing = run(reports)
    assert missing.exit_code == 2
    assert "has no rd.json; make it with: aez bench rd" in missing.stderr
    assert run(tmp_path / "nowhere").exit_code == 2
