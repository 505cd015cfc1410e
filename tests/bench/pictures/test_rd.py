"""The benchmark on toy codecs whose figures are known, the real peers one by one, and the sample pictures."""

from __future__ import annotations

import io
import itertools
import json
import math
import runpy
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from aez.bench.pictures import codecs
from aez.bench.pictures.codecs import aez_codec
from aez.bench.pictures.contact_sheets import contact_sheet_png, render_at
from aez.bench.pictures.rd import run
from aez.bench.pictures.rd_figures import _apart, curves_png, sheet_png
from aez.bench.pictures.rd_report import RdReport
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.distortion import ms_ssim_db, psnr
from tests.kit.places import SAMPLES, TINY
from tests.kit.toy_codecs import POINTS, padded, toy, toy_decode, toy_encode, waves

Picture = npt.NDArray[np.uint8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of one size and one of another."""
    for i, size in enumerate([(176, 192), (176, 192), (208, 164)]):
        Image.fromarray(waves(*size, seed=i)).save(tmp_path / f"p{i}.png")
    return tmp_path


def test_a_curve_is_the_mean_over_the_pictures(folder: Path) -> None:
    report = run(folder, [toy()], peers=[], progress=False)
    assert report.pictures == ("p0.png", "p1.png", "p2.png")
    assert len(report.measurements) == 3 * len(POINTS)
    sizes, qualities = [], []
    for name in report.pictures:
        image = np.asarray(Image.open(folder / name))
        data = toy_encode(image, 10)
        sizes.append(8 * len(data) / (image.shape[0] * image.shape[1]))
        qualities.append(psnr(image, toy_decode(data)))
    point = report.curves["toy"][POINTS.index(10)]
    assert point.quality == 10
    assert point.bpp == pytest.approx(np.mean(sizes))
    assert point.psnr == pytest.approx(np.mean(qualities))
    assert point.ms_ssim_db == pytest.approx(
        np.mean([ms_ssim_db(m.ms_ssim or 0) for m in report.measurements if m.quality == 10])
    )
    assert point.encode_ms > 0
    assert point.decode_ms > 0


def test_bd_rate_against_a_codec_that_takes_a_quarter_more(folder: Path) -> None:
    comparison = run(folder, [toy()], peers=[padded()], progress=False).comparisons[0]
    assert (comparison.codec, comparison.peer) == ("toy", "padded")
    assert comparison.bd_rate_psnr == pytest.approx(-20, abs=0.1)
    assert comparison.bd_rate_ms_ssim == pytest.approx(-20, abs=0.1)
    assert comparison.bd_psnr is not None
    assert comparison.bd_psnr > 0
    assert comparison.encode_ratio > 0


def test_curves_without_a_shared_range_have_no_bd_rate(folder: Path) -> None:
    fine = toy("fine", qualities=(60.0, 90.0))
    comparison = run(folder, [toy(qualities=(2.0, 3.0))], peers=[fine], progress=False).comparisons[0]
    assert comparison.bd_rate_psnr is comparison.bd_rate_ms_ssim is comparison.shared_psnr is None


def test_qualities_are_the_models_alone(folder: Path) -> None:
    report = run(folder, [toy()], qualities=[30, 10, 10, 20], peers=[padded()], progress=False)
    assert [p.quality for p in report.curves["toy"]] == [10, 20, 30]
    assert [p.quality for p in report.curves["padded"]] == list(POINTS)


def test_what_cannot_be_measured_is_named(folder: Path) -> None:
    def refuse_tall(image: Picture, quality: float) -> bytes:
        if image.shape[0] > 176:
            raise OSError("too tall")
        return toy_encode(image, quality)

    absent = toy("absent", missing=lambda: "some library")
    report = run(folder, [toy()], peers=[absent, toy("picky", encode=refuse_tall), padded()], progress=False)
    assert report.unavailable == {"absent": "needs some library", "picky": "failed on p2.png: too tall"}
    assert set(report.curves) == {"toy", "padded"}
    assert "absent: needs some library" in report.table()
    assert "picky: failed on p2.png: too tall" in report.table()


def test_a_model_that_fails_ends_the_run(folder: Path) -> None:
    def fail(image: Picture, quality: float) -> bytes:
        raise ValueError(f"no {image.shape} at {quality}")

    with pytest.raises(ValueError, match=r"no \(176, 192, 3\)"):
        run(folder, [toy(encode=fail)], peers=[padded()], progress=False)


def test_pictures_that_are_unfit_are_left_out_and_named(folder: Path) -> None:
    Image.fromarray(waves()).convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(folder / "deep.png")
    (folder / "broken.png").write_bytes((folder / "p0.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("not a picture")
    report = run(folder, [toy()], peers=[], progress=False)
    assert report.pictures == ("p0.png", "p1.png", "p2.png")
    assert report.skipped["alpha.png"] == "it has transparency"
    assert "I;16" in report.skipped["deep.png"]
    assert "cannot be read" in report.skipped["broken.png"]
    assert set(report.skipped) == {"alpha.png", "deep.png", "broken.png"}


def test_a_run_with_nothing_to_measure_is_refused(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnsupportedInput, match="holds no 8-bit lossless picture"):
        run(empty, [toy()], peers=[], progress=False)
    with pytest.raises(UnsupportedInput, match="not a folder"):
        run(tmp_path / "nowhere", [toy()], peers=[], progress=False)
    with pytest.raises(InvalidArgument, match="no codec"):
        run(folder, [], peers=[], progress=False)
    with pytest.raises(InvalidArgument, match="absent: needs it"):
        run(folder, [], peers=[toy("absent", missing=lambda: "it")], progress=False)
    with pytest.raises(InvalidArgument, match="two codecs are called 'toy'"):
        run(folder, [toy()], peers=[toy()], progress=False)


def test_quick_takes_fewer_pictures_and_points(folder: Path) -> None:
    for i in range(3, 7):
        Image.fromarray(waves(seed=i)).save(folder / f"p{i}.png")
    report = run(folder, [toy()], quick=True, peers=[], progress=False)
    assert report.pictures == ("p0.png", "p3.png", "p6.png")
    points = [p.quality for p in report.curves["toy"]]
    assert len(points) == 5
    assert (points[0], points[-1]) == (POINTS[0], POINTS[-1])
    assert "(quick)" in report.table()


def test_the_first_file_of_each_size_is_not_timed(folder: Path) -> None:
    sizes = []

    def count(image: Picture, quality: float) -> bytes:
        sizes.append(image.shape[:2])
        return toy_encode(image, quality)

    run(folder, [toy(encode=count)], peers=[], progress=False)
    assert sizes.count((176, 192)) == 2 * len(POINTS) + 1
    assert sizes.count((208, 164)) == len(POINTS) + 1


def test_monotonicity_tells_a_codec_that_falls(folder: Path) -> None:
    def worse_at_the_top(image: Picture, quality: float) -> bytes:
        return toy_encode(image, quality if quality < 70 else 15)

    good, bad = run(folder, [toy(), toy("bad", encode=worse_at_the_top)], peers=[padded()], progress=False).monotonicity
    assert (good.bpp, good.psnr, good.pictures, good.of) == (True, True, 3, 3)
    assert (bad.bpp, bad.psnr, bad.pictures) == (False, False, 0)


def test_a_report_survives_json(folder: Path) -> None:
    def exact(image: Picture, quality: float) -> bytes:
        del quality
        return toy_encode(image, 100)

    report = run(folder, [toy()], peers=[toy("exact", encode=exact)], progress=False)
    assert any(math.isinf(m.psnr) for m in report.measurements)
    text = report.to_json()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    figures = json.loads(text, parse_constant=refuse)
    assert figures["curves"]["toy"][0]["bpp"] == report.curves["toy"][0].bpp
    assert figures["environment"]["versions"]["pillow"]
    again = RdReport.from_json(text)
    assert again == report
    assert again.table() == report.table()
    with pytest.raises(InvalidArgument, match="run the benchmark again"):
        sheet_png(again)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"folder": 1}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not the JSON of a rate-distortion report"):
        RdReport.from_json(text)


def test_the_table_shows_the_figures(folder: Path) -> None:
    report = run(folder, [toy()], peers=[padded()], progress=False)
    table = report.table()
    comparison, point = report.comparisons[0], report.curves["toy"][2]
    assert f"{comparison.bd_rate_psnr:+.2f} %" in table
    assert f"{comparison.encode_ratio:.2f}x" in table
    assert f"{point.bpp:.3f}" in table
    assert f"{point.ms_ssim_db:.2f}" in table
    assert "both rise on 3 of 3 pictures" in table
    assert report.environment.cpu in table


def test_results_are_written_whole(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "results" / "today"
    report = run(folder, [toy()], peers=[padded()], out_dir=out, quick=True, progress=False)
    assert sorted(p.name for p in out.iterdir()) == ["contact-sheet.png", "rd.json", "rd.png", "rd.txt"]
    assert RdReport.from_json((out / "rd.json").read_text(encoding="utf-8")) == report
    assert (out / "rd.txt").read_text(encoding="utf-8") == report.table()
    for name in ("rd.png", "contact-sheet.png"):
        with Image.open(out / name) as image:
            assert len(set(image.tobytes())) > 20  # neither empty nor one colour


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Five pictures of one size, three of another, all too small for MS-SSIM."""
    folder = tmp_path / "small"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(waves(28, 24, seed=i) if i < 5 else waves(20, 40, seed=i)).save(folder / f"p{i}.png")
    return folder


def test_small_pictures_have_no_ms_ssim_and_the_report_says_so(small: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = run(small, [toy()], peers=[padded()], progress=False, out_dir=tmp_path / "out", name="domain-waves")
    assert report.curves["toy"][0].ms_ssim_db is report.comparisons[0].bd_rate_ms_ssim is None
    assert report.comparisons[0].bd_rate_psnr is not None
    assert "MS-SSIM needs a shorter side of 161 pixels, which no picture has" in report.table()
    assert RdReport.from_json((tmp_path / "out" / "domain-waves.json").read_text(encoding="utf-8")) == report
    assert (tmp_path / "out" / "domain-waves-contact-sheet.png").is_file()


def test_ms_ssim_is_the_mean_over_the_pictures_that_are_large_enough(folder: Path) -> None:
    Image.fromarray(waves(40, 300, seed=9)).save(folder / "strip.png")
    report = run(folder, [toy()], peers=[], progress=False)
    defined = [m.ms_ssim for m in report.measurements if m.quality == 10 and m.ms_ssim is not None]
    assert len(defined) == 3
    assert report.curves["toy"][POINTS.index(10)].ms_ssim_db == pytest.approx(np.mean([*map(ms_ssim_db, defined)]))
    assert "which 1 of 4 pictures do not have" in report.notes[0]


def test_one_sheet_holds_all_pictures_of_a_size_and_no_header_decides(small: Path) -> None:
    def with_header(image: Picture, quality: float) -> bytes:
        return toy_encode(image, quality) + bytes(300)

    report = run(small, [toy()], peers=[toy("wordy", encode=with_header)], progress=False, sheet=True)
    assert report.sheet is not None
    assert report.sheet.pictures == ("5 of 24 x 28 pixels", "3 of 40 x 20 pixels")
    apart, together = report.comparisons[0].bd_rate_psnr, report.sheet.comparisons[0].bd_rate_psnr
    assert apart is not None
    assert together is not None
    assert apart < together < 0
    assert RdReport.from_json(report.to_json()) == report
    assert "in one file for all pictures of a size" in report.table()


def test_a_sheet_shows_every_picture_once(small: Path) -> None:
    seen: list[Picture] = []

    def keep(image: Picture, quality: float) -> bytes:
        seen.append(image)
        return toy_encode(image, quality)

    run(small, [toy(encode=keep)], peers=[], progress=False, sheet=True)
    sheet = next(image for image in seen if image.shape[0] > 28)
    assert sheet.shape == (3 * 32, 2 * 32, 3)
    cells = [sheet[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] for row in range(3) for column in range(2)]
    assert all(np.array_equal(cells[i][:28, :24], waves(28, 24, seed=i)) for i in range(5))
    assert np.array_equal(cells[0][:28, 24:], np.repeat(cells[0][:28, 23:24], 8, axis=1))  # its edge goes on
    assert np.unique(cells[5].reshape(-1, 3), axis=0).shape == (1, 3)


def test_a_plot_without_models_shows_the_peers(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    with Image.open(io.BytesIO(curves_png(run(folder, [], peers=[padded()], progress=False)))) as image:
        assert image.width > 1000


def test_a_contact_sheet_has_a_cell_for_each_codec_and_the_original() -> None:
    image = waves(200, 260)
    narrow = _png_size(contact_sheet_png([("p", image)], [toy()], [2.0]))
    wide = _png_size(contact_sheet_png([("p", image)], [toy(), padded()], [2.0]))
    tall = _png_size(contact_sheet_png([("p", image)], [toy()], [2.0, 4.0]))
    assert wide[0] - narrow[0] > 2 * 192
    assert wide[1] == narrow[1]
    assert tall[0] == narrow[0]
    assert tall[1] > 1.9 * narrow[1]


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def test_rendering_at_a_size() -> None:
    image = waves()
    fitting = render_at(toy(), image, 4000)
    assert fitting.fits
    assert fitting.bytes <= 4000
    assert fitting.psnr == psnr(image, fitting.picture)
    assert fitting.bpp == 8 * fitting.bytes / (64 * 96)
    excess = render_at(toy(), image, 20)
    assert not excess.fits
    assert excess.quality == 1
    assert excess.bytes > 20


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_keep_their_distance(heights: list[float]) -> None:
    placed = _apart(sorted(heights), 0.05, 0, 1)
    assert all(after - before >= 0.05 - 1e-9 for before, after in itertools.pairwise(placed))
    assert placed[-1] <= 1
    assert placed[0] >= -1e-9


def test_the_aez_codec_is_a_peer_too(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    calls: list[object] = []

    def encode(image: Picture, quality: float, model: Bundle) -> SimpleNamespace:
        calls.append(model)
        return SimpleNamespace(data=toy_encode(image, quality))

    def decode(data: bytes, *, model: Bundle) -> SimpleNamespace:
        calls.append(model)
        return SimpleNamespace(image=Image.fromarray(toy_decode(data)))

    bundle = Bundle.open(TINY)

    def load(ref: str) -> Bundle:
        calls.append(ref)
        return bundle

    monkeypatch.setattr(codecs, "load", load)
    monkeypatch.setattr(codecs, "encode_picture", encode)
    monkeypatch.setattr(codecs, "decode_picture", decode)
    peer = aez_codec(Path("models/photo.aezm"))
    assert peer.name == "aez photo"
    assert (peer.lowest, peer.highest) == (1, 100)
    assert peer.decode(peer.encode(waves(), 40)).shape == (64, 96, 3)
    assert calls == [Path("models/photo.aezm"), bundle, bundle]
    report = run(folder, ["old/photo.aezm", "new/photo.aezm", "other"], qualities=[10, 20], peers=[], progress=False)
    assert report.models == ("aez old/photo.aezm", "aez new/photo.aezm", "aez other")
    assert {facts["id"] for facts in report.bundles.values()} == {bundle.id}
    assert report.bundles["aez other"]["provenance"] == bundle.manifest["provenance"]


def test_drawing_is_loaded_only_when_something_is_drawn() -> None:
    code = "import sys, aez.bench.pictures.rd; print('matplotlib' in sys.modules, 'pillow_jxl' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_samples_are_of_many_kinds_and_the_same_each_time(tmp_path: Path) -> None:
    if not (SAMPLES / "make_samples.py").is_file():
        pytest.skip("the samples are part of the source tree only")
    make = runpy.run_path(str(SAMPLES / "make_samples.py"))["make"]
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    modes, sizes = {}, {}
    for path in first:
        with Image.open(path) as image:
            modes[path.name], sizes[path.name] = image.mode, ImageOps.exif_transpose(image).size
    assert modes == {
        "landscape.png": "RGB",
        "lines.png": "RGB",
        "soft-alpha.png": "RGBA",
        "grey-16-bit.png": "I;16",
        "palette.png": "P",
        "one-pixel.png": "RGB",
        "turned.jpg": "RGB",
    }
    assert sizes["one-pixel.png"] == (1, 1)
    assert sizes["turned.jpg"] == (240, 160)
