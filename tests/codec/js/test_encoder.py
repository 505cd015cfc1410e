"""The encoder in JavaScript: files that aez decodes, of the bytes and the error that its own have at equal quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture, describe
from tests.codec.js.test_decoder import phases_of, saved
from tests.kit.golden_traces import trace_file
from tests.kit.javascript import EncodeJob, Job, Written, decode_files, encode_files
from tests.kit.tiny_pictures import lively, photo

QUALITIES = (1, 20, 50, 80, 100)
#: Height and width: one tile and several, below the alignment and above, odd.
SIZES = ((1, 1), (15, 40), (33, 64), (100, 129), (64, 64), (150, 200), (97, 31))


def rgba(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | int = 255) -> NDArray[np.uint8]:
    plane = np.broadcast_to(np.asarray(alpha, np.uint8), pixels.shape[:2])
    return np.dstack([pixels, plane])


def half(bundle: Bundle, folder: Path) -> Path:
    """The encoding half of a bundle as a file."""
    path = folder / f"{bundle.id}.encoder.aezm"
    path.write_bytes(bundle.encoding_half())
    return path


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    error = np.square(one.astype(np.float64) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def check(bundle: Bundle, sizes: tuple[tuple[int, int], ...], qualities: tuple[int, ...], folder: Path) -> None:
    """As many bytes as aez writes to 0.5 %, as near the picture to 0.05 dB; and both decoders read one thing."""
    cases = [(photo(*size), quality) for size in sizes for quality in qualities]
    model = half(bundle, folder)
    options: dict[str, Any] = {"content": "photo", "tile": 64}
    jobs = [EncodeJob(rgba(pixels), model, {"quality": quality, **options}) for pixels, quality in cases]
    written = encode_files(jobs, folder)
    read = decode_files([Job(one.data, saved(bundle, folder)) for one in written], folder / "read")
    for (pixels, quality), one, outcome in zip(cases, written, read, strict=True):
        what = f"{bundle.name} {pixels.shape} {quality}: {one.says}{outcome.says}"
        expected = encode_picture(pixels, quality, bundle, threads=1, device="cpu", **options).data
        assert abs(len(one.data) - len(expected)) <= max(8, 0.005 * len(expected)), what
        found, theirs = (
            decode_picture(data, model=bundle, device="cpu", threads=1).values for data in (one.data, expected)
        )
        assert abs(psnr(found, pixels) - psnr(theirs, pixels)) <= 0.05, what
        assert outcome.phases == phases_of(trace_file(one.data, bundle)), what
        assert outcome.values is not None, what
        assert np.abs(outcome.values.astype(np.int64) - found).max() <= 1, what


def test_thirty_five_pictures(tmp_path: Path) -> None:
    check(lively(), SIZES, QUALITIES, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["photo-fast", "photo", "photo-visual", "kl-f8", "kl-f8-16"])
def test_shipped_models(name: str, tmp_path: Path) -> None:
    check(find_bundle(name), ((100, 129), (33, 200)), (10, 50, 90), tmp_path)


def encoded(pixels: NDArray[np.uint8], folder: Path, *options: dict[str, Any]) -> list[Written]:
    model = half(lively(), folder)
    return encode_files([EncodeJob(pixels, model, one) for one in options], folder)


def test_bytes_rise_with_quality(tmp_path: Path) -> None:
    written = encoded(rgba(photo(100, 129)), tmp_path, *({"quality": quality} for quality in range(1, 101, 9)))
    sizes = [len(one.data) for one in written]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]


def test_bits_per_pixel_are_not_exceeded(tmp_path: Path) -> None:
    sizes = [len(one.data) for one in encoded(rgba(photo(100, 129)), tmp_path, {"quality": 1}, {"quality": 100})]
    wanted = [sizes[0] + share * (sizes[1] - sizes[0]) for share in (0.2, 0.5, 0.8)]
    limits = [8 * size / (100 * 129) for size in wanted]
    for limit, one in zip(
        wanted, encoded(rgba(photo(100, 129)), tmp_path, *({"bpp": bpp} for bpp in limits)), strict=True
    ):
        assert 0.97 * limit < len(one.data) <= limit, one.says


def test_what_nobody_sees_costs_as_little_as_in_aez(tmp_path: Path) -> None:
    pixels = photo(100, 129)
    rows, columns = np.mgrid[:100, :129]
    alpha = np.where(np.hypot(rows - 50, columns - 60) < 40, 255, 0).astype(np.uint8)
    pixels[alpha == 0] = 0  # as canvases have it
    (one,) = encoded(rgba(pixels, alpha), tmp_path, {"quality": 50, "tile": 64, "content": "photo"})
    options: dict[str, Any] = {"content": "photo", "tile": 64, "device": "cpu"}
    expected = encode_picture(rgba(pixels, alpha), 50, lively(), **options).data
    assert len(one.data) <= 1.05 * len(expected) + 64


def test_drawings_are_kept_without_loss_in_fewer_bytes(tmp_path: Path) -> None:
    """Lists of colours of every packing, one colour alone, colours under alpha 0, and a photograph beside."""
    rng = np.random.default_rng(1)
    stripes = np.add.outer(np.arange(65), np.arange(101)) // 5
    for count in (1, 2, 3, 4, 5, 16, 17, 256):
        colours = rng.integers(0, 256, (count, 3), dtype=np.uint8)
        pixels = colours[stripes % count] if count < 256 else colours[np.arange(65 * 101).reshape(65, 101) // 8 % 256]
        auto, model = encoded(rgba(pixels), tmp_path, {}, {"content": "photo"})
        assert auto.says == model.says == ""
        assert len(auto.data) < len(model.data) / 2, count
        found = decode_picture(auto.data, device="cpu", threads=1)
        assert (found.values == pixels).all(), count
    alpha = np.where(stripes % 3, 255, 0).astype(np.uint8)
    (one,) = encoded(rgba(pixels, alpha), tmp_path, {})
    values = decode_picture(one.data, device="cpu", threads=1).values
    assert (values[alpha > 0] == rgba(pixels, alpha)[alpha > 0]).all()
    assert (values[:, :, 3] == alpha).all()
    drawn = colours[stripes[:64, :64] % 3]
    both = np.hstack([photo(64, 64), drawn])
    (mixed,) = encoded(rgba(both), tmp_path, {"tile": 64, "quality": 100})
    assert describe(mixed.data)["model"]["id"] == lively().id[:16]
    (outcome,) = decode_files([Job(mixed.data, saved(lively(), tmp_path))], tmp_path / "read")
    assert outcome.values is not None, outcome.says
    assert (outcome.values[:, 64:] == drawn).all()


def screen(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Windows with a shaded bar and lines of marks on a ground that changes its colour: more than 256 colours."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([40 + 60 * rows // height, 70 + 80 * rows // height, 120 + 90 * columns // width], axis=2)
    pixels[height // 8 : -height // 8, width // 8 : -width // 8] = 250
    pixels[height // 8 : height // 8 + 12, width // 8 : -width // 8] -= (6 * np.arange(12))[:, None, None]
    for top in range(height // 8 + 20, height - height // 8 - 10, 12):
        marks = rng.random((8, width - width // 4)) < 0.4
        part = pixels[top : top + 8, width // 8 : width // 8 + marks.shape[1]]
        part[marks[:, : part.shape[1]]] = rng.integers(0, 200, 3)
    return pixels.astype(np.uint8)


def test_graphics_of_many_colours_are_kept_as_aez_keeps_them(tmp_path: Path) -> None:
    """To two levels, in far fewer bytes than the model takes; of all shapes of tiles, and with alpha."""
    sizes = ((160, 240), (90, 301), (300, 48), (150, 129))
    pictures = [rgba(screen(*size, seed)) for seed, size in enumerate(sizes)]
    pictures[-1][:20, :, 3] = np.arange(129) // 2
    assert all(len(np.unique(one[:, :, :3].reshape(-1, 3), axis=0)) > 256 for one in pictures)
    model = half(lively(), tmp_path)
    kinds: tuple[dict[str, Any], ...] = (
        {"tile": 128},
        {"tile": 128, "quality": 100},
        {"tile": 128, "content": "photo"},
    )
    jobs = [EncodeJob(pixels, model, options) for pixels in pictures for options in kinds]
    written = iter(encode_files(jobs, tmp_path))
    for pixels in pictures:
        auto, exact, learned = (next(written) for _ in kinds)
        assert auto.says == exact.says == ""
        expected = encode_picture(pixels, 50, lively(), device="cpu", threads=1).data
        assert len(auto.data) < 0.8 * len(learned.data), pixels.shape
        assert len(auto.data) < 1.8 * len(expected), pixels.shape
        shown = pixels[:, :, 3] > 0
        for one, most in ((auto, 2), (exact, 0)):
            found = decode_picture(one.data, model=lively(), device="cpu", threads=1).values
            colours = pixels if found.shape[2] == 4 else pixels[:, :, :3]
            away = np.abs(found.astype(int) - colours)[shown]
            assert away.max() <= most, pixels.shape
    twice = encoded(rgba(photo(100, 129)), tmp_path, {}, {"content": "photo"})
    assert twice[0].data == twice[1].data


def test_alpha_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for alpha in (rng.integers(0, 256, (50, 70)), np.tile(np.arange(70), (50, 1)), np.tile(np.arange(50)[:, None], 70)):
        (one,) = encoded(rgba(photo(50, 70), alpha.astype(np.uint8)), tmp_path, {})
        found = decode_picture(one.data, model=lively(), device="cpu", threads=1).values
        assert found.shape == (50, 70, 4)
        assert (found[:, :, 3] == alpha).all()
    alpha = np.add.outer(np.arange(70), np.arange(150)).astype(np.uint8)  # each tile has its own
    (one,) = encoded(rgba(photo(70, 150), alpha), tmp_path, {"tile": 64})
    assert (decode_picture(one.data, model=lively(), device="cpu", threads=1).values[:, :, 3] == alpha).all()


def test_what_is_asked_for_wrongly_is_refused(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [
        {"quality": 0},
        {"quality": 101},
        {"quality": 5, "bpp": 1},
        {"bpp": -1},
        {"bpp": 1e-3},
        {"tile": 65},
        {"tile": 4096},
        {"content": "graphics"},
    ]
    for asked, one in zip(options, encoded(rgba(photo(40, 40)), tmp_path, *options), strict=True):
        assert (one.error, one.code) == ("InvalidArgument", 2), asked
    decoder = saved(lively(), tmp_path)
    assert decoder is not None
    (one,) = encode_files([EncodeJob(rgba(photo(40, 40)), decoder)], tmp_path)
    assert (one.error, one.code) == ("ModelError", 4)
    assert "encoding half" in one.says
