"""The decoder in JavaScript gives what aez gives: golden files, pictures at random, damaged files."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.errors import AezError
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture
from tests.codec.golden.test_vectors import FOLDER, REFUSED, VECTORS, model_of
from tests.kit import fuzz_aez
from tests.kit.golden_traces import trace_file
from tests.kit.javascript import Job, Outcome, decode_files
from tests.kit.tiny_pictures import lively, photo, tiny

SHIPPED = ("photo-fast", "photo-visual", "photo", "kl-f8")
#: Pixels of learned tiles may differ by one; in 16 bits by what float32 loses.
DEEP_DIFFERENCE = 64


def phases_of(traced: dict[str, Any]) -> dict[str, list[str]]:
    """The checksums behind z and each phase, by tile."""
    return {
        str(number): [phase["checksum"] for phase in tile["symbols"]["phases"] if phase["phase"] not in ("z0", "z1")]
        for number, tile in enumerate(traced["tiles"])
        if "symbols" in tile
    }


@pytest.mark.parametrize("runtime", ["node", "deno"])
def test_golden_files(tmp_path: Path, runtime: Literal["node", "deno"]) -> None:
    jobs = [Job((FOLDER / entry["file"]).read_bytes(), model_of(entry)) for entry in VECTORS]
    for entry, job, outcome in zip(VECTORS, jobs, decode_files(jobs, tmp_path, runtime), strict=True):
        assert not outcome.error, f"{entry['file']}: {outcome.says}"
        assert outcome.phases == phases_of(entry), entry["file"]
        expected = decode_picture(job.data, model=job.model, device="cpu", threads=1).values
        assert_equal(outcome.values, expected, entry["largest_difference"], entry["file"])


def assert_equal(found: NDArray[Any] | None, expected: NDArray[Any], within: float, what: str) -> None:
    assert found is not None, what
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), what
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    assert difference.max() <= within, what


@pytest.mark.parametrize("runtime", ["node", "deno"])
def test_refused_files(tmp_path: Path, runtime: Literal["node", "deno"]) -> None:
    """With the same error and the same code."""
    picture = (FOLDER / "learned_tiles.aez").read_bytes()
    jobs = []
    for entry in REFUSED:
        path = FOLDER / "refused" / entry["file"]
        jobs.append(Job(picture, path) if path.suffix == ".aezm" else Job(path.read_bytes(), FOLDER / "golden.aezm"))
    for entry, outcome in zip(REFUSED, decode_files(jobs, tmp_path, runtime), strict=True):
        assert (outcome.error, outcome.code) == (entry["error"], entry["code"]), f"{entry['file']}: {outcome.says}"


@dataclass(frozen=True)
class Made:
    """A file of a picture at random, its model, and how far pixels may differ."""

    how: str
    data: bytes
    bundle: Bundle | None
    within: float


def random_picture(rng: random.Random) -> NDArray[Any]:
    height, width = (rng.choice((1, 2, 15, 16, 33, 64, 100, 129, rng.randint(1, 200))) for _ in range(2))
    pixels = photo(height, width)
    if rng.random() < 0.4:  # a page around it
        pixels = pixels.copy()
        pixels[: height // 2, : width // 2] = 255
        pixels[: height // 2 : 7, : width // 2 : 3] = rng.randrange(200)
    channels = rng.choice((1, 2, 3, 3, 3, 4))
    if channels in (2, 4):
        alpha = np.linspace(0, 255, height * width).reshape(height, width, 1).astype(np.uint8)
        pixels = np.concatenate([pixels[:, :, : channels - 1], alpha], axis=2)
    elif channels == 1:
        pixels = pixels[:, :, 0]
    if rng.random() < 0.25:
        noise = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 255, pixels.shape, np.uint16)
        pixels = pixels.astype(np.uint16) * rng.choice((16, 256)) + noise % rng.choice((16, 256))
    return pixels


def make(rng: random.Random, number: int) -> Made:
    pixels = random_picture(rng)
    deep = pixels.dtype == np.uint16
    tile: dict[str, Any] = {"tile": rng.choice((64, 64, 128, 1024))}
    how = f"file {number}: {pixels.dtype} {pixels.shape} {tile}"
    turned = {"orientation": rng.randint(1, 8)}
    kind = rng.randrange(6)
    if kind == 0:
        return Made(f"{how} lossless", encode_picture(pixels, lossless=True, **tile, **turned).data, None, 0)
    if kind == 1:
        bound = rng.choice((1, 2, 5, 20))
        return Made(f"{how} within {bound}", encode_picture(pixels, max_error=bound, **tile, **turned).data, None, 0)
    bundle = rng.choice([lively(), lively(), tiny(), *(find_bundle(name) for name in SHIPPED)])
    content = rng.choice(("auto", "photo", "graphics"))
    quality = rng.choice((1, 100, rng.uniform(1, 100)))
    embed = rng.random() < 0.1
    data = encode_picture(
        pixels, quality, bundle, content=content, embed_model=embed, threads=1, device="cpu", **tile, **turned
    ).data
    how = f"{how} {bundle.name} {content} {quality:.1f}"
    return Made(how, data, None if embed else bundle, DEEP_DIFFERENCE if deep else 1)


def check_pictures(seed: int, count: int, folder: Path) -> None:
    made = [make(random.Random(f"{seed} {number}"), number) for number in range(count)]
    jobs = [Job(one.data, saved(one.bundle, folder)) for one in made]
    for one, outcome in zip(made, decode_files(jobs, folder / "files"), strict=True):
        assert not outcome.error, f"{one.how}: {outcome.says}"
        decoded = decode_picture(one.data, model=one.bundle, device="cpu", threads=1)
        assert_equal(outcome.values, decoded.values, one.within, one.how)
        if one.bundle is not None:
            assert outcome.phases == phases_of(trace_file(one.data, one.bundle)), one.how


def saved(bundle: Bundle | None, folder: Path) -> Path | None:
    """The decoding half of a bundle as a file."""
    if bundle is None:
        return None
    path = folder / f"{bundle.id}.aezm"
    if not path.exists():
        path.write_bytes(bundle.decoding_half())
    return path


def test_fifty_pictures_at_random(tmp_path: Path) -> None:
    check_pictures(1, 50, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_five_hundred_pictures_at_random(seed: int, tmp_path: Path) -> None:
    check_pictures(seed, 50, tmp_path)


def check_mutants(seed: int, count: int, folder: Path) -> None:
    """Damaged and forged files end with the same code, or in the same picture."""
    originals = fuzz_aez.make_originals()
    mutants = [fuzz_aez.make_mutant(originals, random.Random(f"{seed} {number}")) for number in range(count)]
    options = {"maxPixels": fuzz_aez.MAX_PIXELS}
    jobs = [Job(one.data, saved(one.original.bundle, folder), options) for one in mutants]
    wrong = []
    for number, (one, outcome) in enumerate(zip(mutants, decode_files(jobs, folder / "files"), strict=True)):
        difference = differs(one, outcome)
        if difference:
            wrong.append(f"file {number} ({one.original.name}, {one.how}): {difference}")
    assert not wrong


def differs(mutant: fuzz_aez.Mutant, outcome: Outcome) -> str:
    try:
        expected = fuzz_aez.decode(mutant.data, mutant.original.bundle).values
    except AezError as error:
        return "" if outcome.code == error.exit_code else f"aez says {error}, this one {outcome.code} {outcome.says}"
    if outcome.values is None:
        return f"aez decodes it, this one says {outcome.says}"
    same = outcome.values.shape == expected.shape
    within = 1 if expected.dtype == np.uint8 else DEEP_DIFFERENCE
    near = same and np.abs(outcome.values.astype(np.int64) - expected.astype(np.int64)).max() <= within
    return "" if near else "it decodes to another picture"


def test_damaged_files(tmp_path: Path) -> None:
    check_mutants(1, 300, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_damaged_files(seed: int, tmp_path: Path) -> None:
    check_mutants(seed, 300, tmp_path)


def test_files_cut_off_anywhere(tmp_path: Path) -> None:
    data = (FOLDER / "alpha_rgba.aez").read_bytes()
    jobs = [Job(data[:end], FOLDER / "golden.aezm") for end in range(len(data))]
    for end, outcome in enumerate(decode_files(jobs, tmp_path)):
        assert (outcome.error, outcome.code) == ("TruncatedFile", 3), f"after {end} bytes: {outcome.says}"


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_regions_and_scales(scale: int, tmp_path: Path) -> None:
    pixels = photo(150, 200)
    jobs, expected = [], []
    for bundle, region in ((lively(), (64, 32, 70, 90)), (find_bundle("photo-fast"), (64, 0, 131, 127))):
        data = encode_picture(pixels, 60, bundle, tile=64, threads=1, device="cpu").data
        for box, size in ((region, 1), (None, scale), (region, scale)):
            options = {"scale": size} if box is None else {"scale": size, "region": box}
            jobs.append(Job(data, saved(bundle, tmp_path), options))
            expected.append(decode_picture(data, box, model=bundle, device="cpu", threads=1, scale=size).values)
    for job, values, outcome in zip(jobs, expected, decode_files(jobs, tmp_path / "files"), strict=True):
        assert_equal(outcome.values, values, 1, f"{job.options}: {outcome.says}")
