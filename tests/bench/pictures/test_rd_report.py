"""Figures of a rate-distortion report that follow from curves whose answers are known."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.bench.machine import describe_environment
from aez.bench.pictures.eye import hue_error
from aez.bench.pictures.files import Picture
from aez.bench.pictures.rd import run
from aez.bench.pictures.rd_figures import curves_png
from aez.bench.pictures.rd_report import HUE_BPPS, Comparison, Measurement, RdReport
from aez.codec.image.distortion import ssimulacra2
from tests.kit.commands import run as run_command
from tests.kit.places import TINY
from tests.kit.toy_codecs import POINTS, padded, padded_encode, toy, toy_decode, toy_encode

QUALITIES = (26.0, 29.0, 32.0, 35.0, 38.0)


def curve(codec: str, bpp: Callable[[float], float], **figures: Callable[[float], float]) -> list[Measurement]:
    """A codec whose qualities are its PSNR in dB, on one picture."""
    return [
        Measurement(
            codec, psnr, "p.png", 1000, bpp(psnr), psnr, None, 1.0, 1.0, **{k: of(psnr) for k, of in figures.items()}
        )
        for psnr in QUALITIES
    ]


def compared(ours: list[Measurement], theirs: list[Measurement], up_to_bpp: float = 0.3) -> Comparison:
    report = RdReport(
        folder="drawn",
        pictures=("p.png",),
        models=("ours",),
        measurements=(*ours, *theirs),
        unavailable={},
        skipped={},
        quick=False,
        environment=describe_environment(),
        up_to_bpp=up_to_bpp,
    )
    again = RdReport.from_json(report.to_json())
    assert again == report
    assert again.comparisons == report.comparisons
    assert again.table() == report.table()
    return report.comparisons[0]


def doubling(psnr: float) -> float:
    """0.1 bits per pixel at 26 dB, and twice as many every 3 dB: 0.2, 0.4, 0.8, 1.6."""
    return float(0.1 * 2 ** ((psnr - 26) / 3))


def gap(psnr: float) -> float:
    """Against `doubling`: a factor from 2^-0.5 at 26 dB to 2^0.5 at 38 dB, in a straight line of its logarithm."""
    return float(doubling(psnr) * 2 ** ((psnr - 32) / 12))


@pytest.mark.parametrize(
    ("up_to_bpp", "highest"), [(0.2, 29), (0.4, 32), (0.8, 35), (1.6, 38), (0.3, 26 + 3 * math.log2(3))]
)
def test_the_bd_rate_of_low_rates_ends_at_the_psnr_that_the_peer_has_there(up_to_bpp: float, highest: float) -> None:
    comparison = compared(curve("ours", gap), curve("peer", doubling), up_to_bpp)
    assert comparison.bd_rate_psnr == pytest.approx(0, abs=1e-6)
    assert comparison.bd_rate_low == pytest.approx(100 * (2 ** (((26 + highest) / 2 - 32) / 12) - 1), abs=0.01)


@pytest.mark.parametrize("up_to_bpp", [0.09, 1.7, 5.0])
def test_a_peer_without_that_rate_has_no_bd_rate_of_low_rates(up_to_bpp: float) -> None:
    comparison = compared(curve("ours", gap), curve("peer", doubling), up_to_bpp)
    assert comparison.bd_rate_low is None
    assert comparison.bd_rate_psnr is not None


@pytest.mark.parametrize("name", ["ssimulacra2", "cvvdp"])
def test_what_the_eye_sees_is_a_quality_of_its_own(name: str) -> None:
    """At equal PSNR no byte is saved, and at equal score half of them."""
    ours = curve("ours", doubling, **{name: lambda psnr: 10 * (psnr - 26)})
    peer = curve("peer", doubling, **{name: lambda psnr: 10 * (psnr - 29)})
    comparison = compared(ours, peer)
    assert comparison.bd_rate_psnr == pytest.approx(0, abs=1e-9)
    found = {"ssimulacra2": comparison.bd_rate_ssimulacra2, "cvvdp": comparison.bd_rate_cvvdp}
    assert found.pop(name) == pytest.approx(-50)
    assert set(found.values()) == {None}
    without = compared(ours, curve("peer", doubling))
    assert without.bd_rate_ssimulacra2 is without.bd_rate_cvvdp is None


def test_hues_are_compared_at_two_low_rates() -> None:
    assert HUE_BPPS == (0.15, 0.3)
    ours = curve("ours", doubling, hue=lambda psnr: (38 - psnr) / 2)
    peer = curve("peer", doubling, hue=lambda psnr: 38 - psnr)
    assert compared(ours, peer).hue_ratios == pytest.approx((0.5, 0.5))
    # A line in the logarithm of the rate: 10 at 0.1, 8 at 0.2, so 9.17 at 0.15 with log2(1.5) = 0.585.
    peer = curve("peer", doubling, hue=lambda _: 1.0)
    steep = curve("ours", doubling, hue=lambda psnr: 10 - 2 * (psnr - 26) / 3)
    first, second = (10 - 2 * math.log2(bpp / 0.1) for bpp in HUE_BPPS)
    assert compared(steep, peer).hue_ratios == pytest.approx((first, second))
    none = curve("peer", doubling, hue=lambda _: 0.0)
    assert compared(ours, none).hue_ratios == (None, None)
    assert compared(ours, curve("peer", doubling)).hue_ratios == (None, None)
    dear = curve("peer", lambda psnr: 1.6 * doubling(psnr), hue=lambda _: 1.0)  # from 0.16 on
    first, second = compared(ours, dear).hue_ratios
    assert first is None
    assert second is not None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture whose left half is smooth, one that is busy all over, and one with too few pixels for any measure."""
    y, x = np.mgrid[:64, :96]
    soft = np.stack([100 + x / 2, 120 + y / 2, 160 - x / 4], axis=-1)
    noise = np.random.RandomState(0).normal(0, 40, soft.shape)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, picture in (("half", np.where(x[..., None] < 48, soft, soft + noise)), ("busy", soft + noise)):
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(soft.astype(np.uint8)[:6, :6]).save(folder / "tiny.png")
    return folder


def test_scores_and_hues_are_measured_and_go_through_json(folder: Path) -> None:
    report = run(folder, [toy()], peers=[padded()], progress=False, eye=True, up_to_bpp=2.5)
    for measurement in report.measurements:
        image = np.asarray(Image.open(folder / measurement.picture))
        decoded = toy_decode(toy_encode(image, measurement.quality))
        for found, expected in (
            (measurement.ssimulacra2, ssimulacra2(image, decoded)),
            (measurement.hue, hue_error(image, decoded)),
        ):
            assert found == (None if expected is None else pytest.approx(expected, abs=1e-4))
    seen = {m.picture: (m.ssimulacra2 is None, m.hue is None) for m in report.measurements}
    assert seen == {"half.png": (False, False), "busy.png": (False, True), "tiny.png": (True, True)}

    figures = json.loads(report.to_json())
    assert figures["up_to_bpp"] == 2.5
    rows = [row for row in figures["measurements"] if row["codec"] == "toy"]
    assert [row["quality"] for row in rows] == list(POINTS)
    assert rows[0]["ssimulacra2"][report.pictures.index("tiny.png")] is None
    again = RdReport.from_json(report.to_json())
    assert again == report
    assert again.up_to_bpp == 2.5
    assert again.table() == report.table()

    point, of = report.curves["toy"][2], [m for m in report.measurements if (m.codec, m.quality) == ("toy", POINTS[2])]
    assert point.ssimulacra2 == pytest.approx(np.mean([m.ssimulacra2 for m in of if m.ssimulacra2 is not None]))
    assert point.hue == pytest.approx(np.mean([m.hue for m in of if m.hue is not None]))
    table = report.table()
    assert "to 2.5 bpp" in table
    assert "SSIMULACRA 2" in table
    (row,) = (line for line in table.splitlines() if re.match(rf"toy +{POINTS[2]:g} ", line))
    assert [f"{point.ssimulacra2:.1f}", f"{point.hue:.2f}"] == row.split()[5:9:2]  # that of ColorVideoVDP between them


def test_scores_take_a_second_a_file_and_are_measured_on_request_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> float:
        raise AssertionError

    monkeypatch.setattr("aez.bench.pictures.rd.ssimulacra2", never)
    report = run(folder, [toy()], peers=[padded()], progress=False)
    assert {m.ssimulacra2 for m in report.measurements} == {None}
    assert any(m.hue is not None for m in report.measurements)
    assert report.comparisons[0].bd_rate_ssimulacra2 is None
    assert report.up_to_bpp == 0.3


@pytest.mark.parametrize("quality", POINTS[1:])
def test_against_a_quarter_more_a_fifth_is_saved_up_to_any_rate(folder: Path, quality: float) -> None:
    (folder / "tiny.png").unlink()  # a quarter of its few bytes is no whole number
    rates = {p.quality: p.bpp for p in run(folder, [], peers=[padded()], progress=False).curves["padded"]}
    comparison = run(folder, [toy()], peers=[padded()], progress=False, up_to_bpp=rates[quality]).comparisons[0]
    assert comparison.bd_rate_low == pytest.approx(-20, abs=0.2)


def test_a_codec_that_is_worse_at_low_rates_alone_is_told_apart(folder: Path) -> None:
    def encode(image: Picture, quality: float) -> bytes:
        return padded_encode(image, quality) if quality <= 10 else toy_encode(image, quality)

    ours, peer = toy(), toy("waster", encode=encode)
    by_rate = {p.quality: p.bpp for p in run(folder, [ours], peers=[peer], progress=False).curves["waster"]}
    comparison = run(folder, [ours], peers=[peer], progress=False, up_to_bpp=by_rate[10]).comparisons[0]
    assert comparison.bd_rate_low == pytest.approx(-20, abs=1.5)  # the interpolation rounds the corner
    assert comparison.bd_rate_psnr is not None
    assert -15 < comparison.bd_rate_psnr < -3


def test_reports_from_before_these_figures_are_read(folder: Path) -> None:
    report = run(folder, [toy()], peers=[padded()], progress=False, eye=True, sheet=True)

    def aged(figures: dict[str, object]) -> dict[str, object]:
        rows = figures["measurements"]
        assert isinstance(rows, list)
        kept = [
            {key: value for key, value in row.items() if key not in ("ssimulacra2", "cvvdp", "hue")} for row in rows
        ]
        sheet = figures["sheet"]
        older = {key: value for key, value in figures.items() if key != "up_to_bpp"}
        return older | {"measurements": kept, "sheet": aged(sheet) if isinstance(sheet, dict) else None}

    old = RdReport.from_json(json.dumps(aged(json.loads(report.to_json()))))
    assert old.up_to_bpp == 0.3
    assert old.measurements == tuple(
        dataclasses.replace(m, ssimulacra2=None, cvvdp=None, hue=None) for m in report.measurements
    )
    assert old.sheet is not None
    assert old.comparisons[0].bd_rate_psnr == report.comparisons[0].bd_rate_psnr
    assert old.comparisons[0].bd_rate_ssimulacra2 is None
    assert old.comparisons[0].hue_ratios == (None, None)
    assert "SSIMULACRA 2" in old.table()
    assert RdReport.from_json(old.to_json()) == old


def test_a_report_without_a_figure_of_old_is_none(folder: Path) -> None:
    figures = json.loads(run(folder, [toy()], peers=[], progress=False).to_json())
    del figures["measurements"][0]["psnr"]
    with pytest.raises(Exception, match="not the JSON of a rate-distortion report"):
        RdReport.from_json(json.dumps(figures))


def test_curves_of_scores_are_drawn_where_they_were_measured(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    plain, seen = (curves_png(run(folder, [toy()], peers=[padded()], progress=False, eye=eye)) for eye in (False, True))
    assert len(seen) > 1.3 * len(plain)  # two panels in place of one: no picture is large enough for MS-SSIM


def test_the_command_measures_what_it_is_asked_to(folder: Path) -> None:
    words = ("bench", "rd", str(folder), "--model", str(TINY), "--quick", "-q", "20", "-q", "80")
    asked = json.loads(run_command(*words, "--eye", "--up-to-bpp", "0.7", "--json").stdout)
    assert asked["up_to_bpp"] == 0.7
    assert all(point["ssimulacra2"] is not None for point in asked["curves"]["aez tiny"])
    assert any(comparison["bd_rate_ssimulacra2"] is not None for comparison in asked["comparisons"])
    usual = json.loads(run_command(*words, "--json").stdout)
    assert usual["up_to_bpp"] == 0.3
    assert all(point["ssimulacra2"] is None for point in usual["curves"]["aez tiny"])
    refused = run_command(*words, "--up-to-bpp", "0")
    assert refused.exit_code == 2
