"""The golden files for other implementations, by aez's own reader and as far as they go by the second decoders."""

from __future__ import annotations

import io
import itertools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aez.codec.bundle.bundle import Bundle
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ImageModel
from aez.codec.image.region import RegionDecoder
from aez.codec.image.tile_kinds import TileKind
from aez.codec.image.tiles import Box
from aez.commands.codec.verify import check_file
from tests.kit import golden_refused, golden_vectors, reference_decoder
from tests.kit.commands import run
from tests.kit.golden_model import golden_model
from tests.kit.golden_traces import trace_file
from tests.kit.reference_samples import exact_samples

FOLDER = Path(__file__).parent
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text())
REFUSED: list[dict[str, Any]] = json.loads((FOLDER / "refused" / "refused.json").read_text())
each = pytest.mark.parametrize("entry", VECTORS, ids=lambda entry: entry["file"])


def model_of(entry: dict[str, Any]) -> Path | None:
    return None if entry["model"] is None else FOLDER / entry["model"]


def stored(name: str) -> np.ndarray[Any, Any]:
    """The samples in a PNG, all bits of them."""
    data = (FOLDER / name).read_bytes()
    if data[24] == 8:
        return np.asarray(Image.open(FOLDER / name))
    width, height, colours = *np.frombuffer(data[16:24], ">u4"), 3 if data[25] == 2 else 1
    rows = np.frombuffer(zlib.decompress(data[41 : data.index(b"IEND") - 8]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any(), "such PNG are made without filters here"
    samples = np.ascontiguousarray(rows[:, 1:]).view(">u2").astype(np.uint16).reshape(height, width, colours)
    return samples[:, :, 0] if colours == 1 else samples


def as_stored(pixels: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Decoded pixels, in one channel where the picture has one."""
    if expected.ndim == 3:
        return pixels
    return ((pixels.sum(axis=2, dtype=np.uint32) + 1) // 3).astype(pixels.dtype)


@each
def test_files_decode_to_their_pictures(entry: dict[str, Any]) -> None:
    data = (FOLDER / entry["file"]).read_bytes()
    decoded = decode_picture(data, model=model_of(entry), device="cpu", threads=1)
    expected = stored(entry["picture"])
    found = as_stored(decoded.pixels, expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    difference = np.abs(found.astype(np.int32) - expected.astype(np.int32))
    assert difference.max() <= entry["largest_difference"]
    if entry["alpha"] is None:
        assert decoded.alpha is None
    else:
        np.testing.assert_array_equal(decoded.alpha, stored(entry["alpha"]))
    assert check_file(data, None if entry["model"] is None else str(model_of(entry)))[0] == len(entry["tiles"])


@each
def test_every_count_and_checksum_on_the_way(entry: dict[str, Any]) -> None:
    model = model_of(entry)
    traced = trace_file((FOLDER / entry["file"]).read_bytes(), None if model is None else Bundle.open(model))
    assert json.loads(json.dumps(traced)) == {key: entry[key] for key in ("header", "chunks", "tiles")}


@each
def test_the_second_decoders_read_them(entry: dict[str, Any]) -> None:
    """Frame and header of all; exact samples; the hyper-latent of symbols, whose tables need no graph."""
    parsed = reference_decoder.parse((FOLDER / entry["file"]).read_bytes())
    header = entry["header"]
    said = {**header, "model_id": bytes.fromhex(header["model_id"])}
    assert {key: list(parsed[key]) if isinstance(parsed[key], tuple) else parsed[key] for key in said} == said
    expected = stored(entry["picture"])
    planes = expected if expected.ndim == 3 else expected[:, :, None]
    for tile, content in zip(entry["tiles"], parsed["tiles"], strict=True):
        assert content[0] == tile["kind"]
        left, top, right, bottom = tile["box"]
        coded = content[1:]
        if header["mode"].endswith("A"):
            size, at = reference_decoder.number(coded, 0)
            alpha, coded = coded[at : at + size], coded[at + size :]
            if alpha:
                shown = np.array(exact_samples(alpha, 1, 8 if header["bits"] == 8 else 16))
                part = stored(entry["alpha"])[top:bottom, left:right]
                np.testing.assert_array_equal(shown.reshape(part.shape), part)
        if tile["kind"] == TileKind.MIXED:
            size, at = reference_decoder.number(coded, 0)
            size, at = reference_decoder.number(coded, at + size)
            exact, coded = coded[at : at + size], coded[at + size :]
            samples = np.array(exact_samples(exact, 3, 8)).reshape(bottom - top, right - left, 3)
            assert (samples == planes[top:bottom, left:right]).all(axis=2).mean() > 0.5
        if tile["kind"] == TileKind.EXACT:
            samples = np.array(exact_samples(coded, planes.shape[2], header["bits"]))
            if samples.shape[1] > planes.shape[2]:
                planes = np.dstack([planes, stored(entry["alpha"])])
            np.testing.assert_array_equal(
                samples.reshape(bottom - top, right - left, -1), planes[top:bottom, left:right]
            )
        else:
            check_hyper(Bundle.open(FOLDER / entry["model"]), header, tile, coded)


def check_hyper(bundle: Bundle, header: dict[str, Any], tile: dict[str, Any], coded: bytes) -> None:
    weights, starts = bundle.array("hyper_weights").tolist(), bundle.array("hyper_starts").tolist()
    tables = [weights[start:end] for start, end in itertools.pairwise(starts)]
    left, top, right, bottom = tile["box"]
    alignment, stride = bundle.coding["alignment"], bundle.coding["hyper_stride"]
    height, width = (-(-side // alignment) * alignment // stride for side in (bottom - top, right - left))
    oracle = reference_decoder.Tile(coded)
    assert (len(oracle.words) + 2, len(oracle.escapes)) >= (tile["symbols"]["words"], tile["symbols"]["escape_bytes"])
    oracle.hyper(tables, bundle.array("hyper_numbers").tolist(), header["level"], height, width)
    phases = tile["symbols"]["phases"]
    assert len(oracle.coded) == 4 * sum(phase["symbols"] for phase in phases[:3])
    assert f"{zlib.crc32(oracle.coded):08x}" == phases[2]["checksum"]


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: entry["file"])
def test_refused_files_are_refused_for_their_reason(entry: dict[str, Any]) -> None:
    raised = golden_refused.verdict(FOLDER / "refused" / entry["file"], FOLDER / "golden.aezm")
    assert (type(raised).__name__, getattr(raised, "exit_code", 0)) == (entry["error"], entry["code"])
    assert str(raised) == entry["aez_says"]


def test_the_command_ends_with_the_code_of_the_list(tmp_path: Path) -> None:
    for entry in REFUSED[::9]:
        if entry["file"].endswith(".aez"):
            source = FOLDER / "refused" / entry["file"]
            done = run("decode", source, "-o", tmp_path / "a.png", "-m", FOLDER / "golden.aezm")
            assert done.exit_code == entry["code"], done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_lies_there_that_is_not_listed() -> None:
    listed = {"vectors.json", "README.md", "golden.aezm", "example.aezm", Path(__file__).name}
    for entry in VECTORS:
        listed |= {entry[key] for key in ("file", "picture", "alpha") if entry[key] is not None}
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == listed
    assert {path.name for path in (FOLDER / "refused").iterdir()} == {"refused.json"} | {e["file"] for e in REFUSED}
    assert {e["file"].removesuffix(".aez") for e in VECTORS} == set(golden_vectors.files(golden_model()))
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 600_000


def test_the_model_is_the_one_that_is_made() -> None:
    """Graphs as ONNX serializes them, so that its id says what it is made of."""
    assert golden_model().id == Bundle.open(FOLDER / "golden.aezm").id
    assert golden_vectors.example().id == Bundle.open(FOLDER / "example.aezm").id


@each
@pytest.mark.parametrize("threads", [1, 2])
def test_pictures_of_the_golden_model_are_the_same_however_its_graphs_run(entry: dict[str, Any], threads: int) -> None:
    if entry["model"] != "golden.aezm":
        return
    reader = Reader(io.BytesIO((FOLDER / entry["file"]).read_bytes()), ImageHeader)
    model = ImageModel(Bundle.open(FOLDER / "golden.aezm"), "cpu", threads, optimize=False)
    header = reader.header
    pixels = RegionDecoder(model, header, reader.tile).decode(Box(0, 0, header.width, header.height))
    expected = stored(entry["picture"])
    np.testing.assert_array_equal(as_stored(pixels, expected), expected)
