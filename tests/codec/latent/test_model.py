"""Latents: what encoder and decoder give, tiles and edges, the file formats, the pictures, hostile manifests."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import InvalidArgument, ModelError, OutputError
from aez.codec.image.api import load
from aez.codec.image.model import open_model
from aez.codec.image.pillow import take_upright
from aez.codec.latent.drawing import animation_bytes, contact_sheet, error_map, fit, side_by_side
from aez.codec.latent.files import LatentFile
from aez.codec.latent.model import Latent, LatentGeometry, LatentModel
from aez.codec.latent.paths import path
from aez.codec.latent.prior import draw_coded
from tests.kit import hand_made_latent_model
from tests.kit.places import DATA
from tests.kit.tiny_pictures import coarse, tiny

TINY_PHOTO = DATA / "tiny.aezm"
TINY_KL = DATA / "tiny-kl.aezm"
Array = np.ndarray[Any, np.dtype[Any]]
#: At most this far may a picture that went through in tiles be from one that did not.
SEAM = 1e-4


@pytest.fixture(scope="module")
def model() -> LatentModel:
    return LatentModel(hand_made_latent_model.bundle(), "cpu", 1)


def noise(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def decoded_planes(model: LatentModel, latent: Array, size: tuple[int, int]) -> Array:
    """The picture before rounding, float32 [3, height, width]."""
    whole = np.full((3, *size), np.nan, np.float32)
    for box, planes in model.decoded_tiles(latent, size):
        whole[:, box.top : box.bottom, box.left : box.right] = planes
    return whole


# -- encode and decode ------------------------------------------------------------------------------------------------


def test_latent_of_a_picture(model: LatentModel) -> None:
    pixels = noise(16, 40)
    latent = model.encode(pixels)
    assert latent.size == (16, 40)
    assert (latent.mean.shape, latent.mean.dtype) == ((4, 2, 5), np.float32)
    np.testing.assert_allclose(latent.mean[:3], hand_made_latent_model.block_means(pixels), atol=1e-5)
    assert np.all(latent.log_variance == hand_made_latent_model.LOG_VARIANCE)


def test_edges_are_repeated_and_cut_off(model: LatentModel) -> None:
    pixels = noise(13, 21)
    filled = np.pad(pixels, ((0, 3), (0, 3), (0, 0)), mode="edge")
    latent = model.encode(pixels)
    np.testing.assert_array_equal(latent.mean, model.encode(filled).mean)
    assert model.decode(latent.mean, latent.size).shape == (13, 21, 3)
    np.testing.assert_array_equal(model.decode(latent.mean, latent.size), model.decode(latent.mean)[:13, :21])


def test_one_pixel(model: LatentModel) -> None:
    latent = model.encode(np.full((1, 1, 3), 255, np.uint8))
    np.testing.assert_allclose(latent.mean[:3], 2, atol=1e-5)
    assert model.decode(latent.mean, (1, 1)).shape == (1, 1, 3)


def test_grey_picture_comes_back(model: LatentModel) -> None:
    pixels = np.full((24, 24, 3), 77, np.uint8)
    latent = model.encode(pixels)
    np.testing.assert_array_equal(model.decode(latent.mean)[1:-1, 1:-1], pixels[1:-1, 1:-1])


def test_tiles_leave_no_seams() -> None:
    bundle = hand_made_latent_model.bundle()
    whole, tiled = LatentModel(bundle, "cpu", 1), LatentModel(bundle, "cpu", 1, tile=32)
    pixels = noise(75, 110)
    expected, found = whole.encode(pixels), tiled.encode(pixels)
    np.testing.assert_allclose(found.mean, expected.mean, atol=SEAM, rtol=0)
    np.testing.assert_allclose(found.log_variance, expected.log_variance, atol=SEAM, rtol=0)
    planes = decoded_planes(tiled, expected.mean, expected.size)
    np.testing.assert_allclose(planes, decoded_planes(whole, expected.mean, expected.size), atol=SEAM, rtol=0)


def test_halos_are_needed_for_that() -> None:
    """The hand-made model would show seams if its tiles saw nothing of their neighbours."""
    pixels = noise(64, 64)
    whole = LatentModel(hand_made_latent_model.bundle(), "cpu", 1)
    blind = LatentModel(hand_made_latent_model.bundle(encoder_halo=0, decoder_halo=0), "cpu", 1, tile=32)
    latent = whole.encode(pixels)
    assert np.abs(blind.encode(pixels).mean - latent.mean).max() > 100 * SEAM
    seams = np.abs(decoded_planes(blind, latent.mean, (64, 64)) - decoded_planes(whole, latent.mean, (64, 64)))
    assert seams.max() > 100 * SEAM


def test_trained_network_has_no_seams_either() -> None:
    bundle = load(TINY_KL)
    whole, tiled = LatentModel(bundle, "cpu", 1), LatentModel(bundle, "cpu", 1, tile=256)
    pixels = np.asarray(Image.fromarray(noise(10, 16)).resize((500, 300), Image.Resampling.BICUBIC))
    expected, found = whole.encode(pixels), tiled.encode(pixels)
    assert expected.mean.shape == (4, 38, 63)
    np.testing.assert_allclose(found.mean, expected.mean, atol=SEAM, rtol=0)
    np.testing.assert_allclose(found.log_variance, expected.log_variance, atol=SEAM, rtol=0)
    planes = decoded_planes(tiled, expected.mean, expected.size)
    np.testing.assert_allclose(planes, decoded_planes(whole, expected.mean, expected.size), atol=SEAM, rtol=0)


def test_progress_counts_tiles() -> None:
    model = LatentModel(hand_made_latent_model.bundle(), "cpu", 1, tile=16)
    seen: list[tuple[int, int]] = []
    model.encode(noise(17, 33), lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]


def test_samples_follow_mean_and_variance(model: LatentModel) -> None:
    latent = model.encode(noise(256, 256))
    drawn = latent.sample(5)
    assert drawn.dtype == np.float32
    error = drawn - latent.mean
    assert abs(float(error.std()) / np.exp(hand_made_latent_model.LOG_VARIANCE / 2) - 1) < 0.05
    np.testing.assert_array_equal(drawn, latent.sample(5))
    assert not np.array_equal(drawn, latent.sample(6))


def test_sampling_with_absurd_variance_is_refused() -> None:
    zeros = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(ModelError, match="too large"):
        Latent(zeros, zeros + 300, (16, 16)).sample(0)


def test_prior(model: LatentModel) -> None:
    drawn = model.draw(250, 512, 3)
    assert (drawn.shape, drawn.dtype) == ((4, 32, 64), np.float32)
    assert abs(float(drawn.mean())) < 0.05
    assert abs(float(drawn.std()) - 1) < 0.05
    assert not model.draw(8, 8, 3, temperature=0).any()
    scaled = LatentModel(hand_made_latent_model.bundle(scaling_factor=0.5, shift_factor=3.0), "cpu", 1)
    np.testing.assert_allclose(scaled.draw(250, 512, 3), drawn * 2 + 3, rtol=1e-5)
    for temperature in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidArgument, match="temperature"):
            model.draw(8, 8, 0, temperature)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_latent_that_is_not_finite_is_refused(model: LatentModel, bad: float) -> None:
    latent = np.zeros((4, 2, 2), np.float32)
    latent[1, 0, 1] = bad
    with pytest.raises(InvalidArgument, match="NaN or infinite"):
        model.decode(latent)


@pytest.mark.parametrize(
    ("latent", "size", "words"),
    [
        (np.zeros((3, 2, 2), np.float32), None, r"is \[4, height, width\], not \[3, 2, 2\]"),
        (np.zeros((2, 2), np.float32), None, r"not \[2, 2\]"),
        (np.zeros((4, 0, 2), np.float32), None, r"not \[4, 0, 2\]"),
        (np.zeros((4, 2, 2), np.int64), None, "an array of floats, not int64"),
        (np.zeros((4, 2, 2), np.float32), (17, 16), "has a latent of 3 rows and 2 columns, not 2 and 2"),
        (np.zeros((4, 2, 2), np.float32), (0, 16), "0 rows"),
    ],
)
def test_other_latents_are_refused(model: LatentModel, latent: Array, size: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        model.decode(latent, size)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3)])
def test_other_pictures_are_refused(model: LatentModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument):
        model.encode(np.zeros(shape, np.uint8))


def test_half_precision_latents_decode(model: LatentModel) -> None:
    latent = model.encode(noise(16, 16)).mean
    close = model.decode(latent.astype(np.float16)).astype(int) - model.decode(latent)
    assert np.abs(close).max() <= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", 0),
        ("channels", 4.0),
        ("channels", True),
        ("channels", None),
        ("channels", 10**9),
        ("stride", 0),
        ("stride", 7),
        ("stride", 128),
        ("encoder_halo", -8),
        ("encoder_halo", 12),
        ("decoder_halo", 10**6),
        ("scaling_factor", 0.0),
        ("scaling_factor", "1"),
        ("scaling_factor", 10**400),
        ("shift_factor", None),
        ("shift_factor", float("nan")),
    ],
)
def test_absurd_manifests_are_refused(name: str, value: object) -> None:
    with pytest.raises(ModelError):
        LatentGeometry.of(hand_made_latent_model.LATENT | {name: value})


def test_graph_with_other_channels_is_refused() -> None:
    model = LatentModel(hand_made_latent_model.bundle(channels=5), "cpu", 1)
    with pytest.raises(ModelError, match=r"the encoder of model blocks gives no mean of shape \(5, 1, 1\)"):
        model.encode(noise(8, 8))


def test_models_without_a_latent_say_what_to_use() -> None:
    with pytest.raises(ModelError, match=r"codes \d+ coefficients per block and has no latent .*; use kl-f8"):
        LatentModel(load(TINY_PHOTO))
    with pytest.raises(ModelError, match="no variational autoencoder: its encoder gives no log_variance; use kl-f8"):
        LatentModel(hand_made_latent_model.bundle(variational=False))


# -- pictures as they come --------------------------------------------------------------------------------------------


def test_pictures_are_turned_and_lose_their_alpha() -> None:
    image = Image.fromarray(noise(10, 20))
    image.getexif()[274] = 6
    assert take_upright(image).pixels.shape == (20, 10, 3)
    see_through = Image.fromarray(noise(10, 20)).convert("RGBA")
    assert take_upright(see_through).notices == []
    see_through.putpixel((3, 3), (1, 2, 3, 9))
    taken = take_upright(see_through)
    assert (taken.mode, taken.alpha, tuple(taken.pixels[3, 3])) == ("RGB", None, (1, 2, 3))
    assert "transparency is left out" in taken.notices[0]


def test_deep_and_animated_pictures_are_noted() -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(noise(8, 8, seed)) for seed in (0, 1)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert take_upright(Image.open(buffer)).notices == ["only the first of 2 frames is kept"]
    deep = take_upright(Image.fromarray(np.full((4, 4), 40000, np.uint16)))
    assert "16-bit" in deep.notices[0]
    assert deep.mode == "L"


def test_front_door() -> None:
    bundle = hand_made_latent_model.bundle()
    pixels = noise(20, 30)
    latent = aez.embed(pixels, bundle, device="cpu")
    assert (latent.shape, latent.dtype) == ((4, 3, 4), np.float32)
    np.testing.assert_array_equal(aez.embed(Image.fromarray(pixels), bundle, device="cpu"), latent)
    image = aez.reconstruct(pixels, bundle, device="cpu")
    assert (image.mode, image.size) == ("RGB", (30, 20))
    np.testing.assert_array_equal(np.asarray(image), LatentModel(bundle, "cpu").decode(latent, (20, 30)))
    grey = aez.reconstruct(pixels[:, :, 0], bundle, device="cpu")
    assert np.ptp(np.asarray(grey), axis=2).max() == 0


def test_codecs_without_a_latent_reconstruct_through_their_file() -> None:
    pixels = noise(20, 30)
    image = aez.reconstruct(pixels, TINY_PHOTO, 30)
    np.testing.assert_array_equal(
        np.asarray(image), np.asarray(aez.decode(aez.encode(pixels, 30, TINY_PHOTO, content="photo"), model=TINY_PHOTO))
    )
    np.testing.assert_array_equal(
        np.asarray(aez.reconstruct(pixels, TINY_PHOTO)), np.asarray(aez.reconstruct(pixels, TINY_PHOTO, 50))
    )


# -- ways between latents ---------------------------------------------------------------------------------------------


def test_paths_begin_and_end_where_they_should() -> None:
    a, b = (np.random.default_rng(seed).standard_normal((4, 9, 9)).astype(np.float32) for seed in (0, 1))
    for mode in ("linear", "spherical"):
        steps = list(path(a, b, 5, mode))
        np.testing.assert_array_equal(steps[0], a)
        np.testing.assert_array_equal(steps[-1], b)
        assert all(step.dtype == np.float32 for step in steps)
    middle = {mode: list(path(a, b, 3, mode))[1] for mode in ("linear", "spherical")}
    np.testing.assert_allclose(middle["linear"], (a + b) / 2, atol=1e-6)
    length = (np.linalg.norm(a) + np.linalg.norm(b)) / 2
    assert abs(np.linalg.norm(middle["spherical"]) / length - 1) < 0.01
    assert np.linalg.norm(middle["linear"]) < 0.8 * length


def test_spherical_path_where_no_angle_is() -> None:
    a = np.ones((1, 2, 2), np.float32)
    for b in (a, -a, 0 * a, 3 * a):
        assert all(np.isfinite(step).all() for step in path(a, b, 4, "spherical"))
        np.testing.assert_allclose(list(path(a, b, 3, "spherical"))[1], (a + b) / 2, atol=1e-6)


# -- files ------------------------------------------------------------------------------------------------------------


def latents(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.random.default_rng(n).standard_normal(shape).astype(np.float32) for n, shape in enumerate(shapes)]


def test_equal_shapes_make_one_array(tmp_path: Path) -> None:
    given = latents((4, 2, 3), (4, 2, 3))
    with LatentFile(tmp_path / "a.npz", hand_made_latent_model.bundle(), log_variance=True) as file:
        for name, size, latent in zip(("a.png", "b.png"), ((16, 24), (15, 20)), given, strict=True):
            file.add(name, size, latent, latent - 1)
        file.write()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["latents"], np.stack(given))
        np.testing.assert_array_equal(found["log_variances"], np.stack(given) - 1)
        assert found["names"].tolist() == ["a.png", "b.png"]
        assert found["sizes"].tolist() == [[16, 24], [15, 20]]
        assert (str(found["model"]), str(found["model_id"])) == ("blocks", hand_made_latent_model.bundle().id)
        assert (float(found["scaling_factor"]), float(found["shift_factor"])) == (1, 0)


def test_other_shapes_make_an_array_for_each_picture(tmp_path: Path) -> None:
    given = latents((4, 2, 3), (4, 3, 2), (4, 1, 1), (4, 1, 1), (4, 1, 2))
    names = ("a.png", "b.png", "a.png", "sizes", "a-2.png")
    with LatentFile(tmp_path / "a.npz", hand_made_latent_model.bundle(), log_variance=True, dtype="float16") as file:
        kept = [file.add(name, (8, 8), latent, -latent) for name, latent in zip(names, given, strict=True)]
        file.write()
    assert kept == ["a.png", "b.png", "a-2.png", "sizes-2", "a-2-2.png"]
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert found["names"].tolist() == kept
        for name, latent in zip(kept, given, strict=True):
            assert found[name].dtype == np.float16
            np.testing.assert_array_equal(found[name], latent.astype(np.float16))
            np.testing.assert_array_equal(found[f"{name}.log_variance"], -latent.astype(np.float16))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parquet(tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aez.codec.latent.files._ROW_GROUP_BYTES", 40)
    given = latents((4, 2, 3), (4, 3, 2), (4, 1, 1))
    with LatentFile(tmp_path / "a.parquet", hand_made_latent_model.bundle(), log_variance=True, dtype=dtype) as file:
        for number, latent in enumerate(given):
            file.add(f"{number}.png", (8 * latent.shape[1], 8 * latent.shape[2]), latent, latent + 1)
        file.write()
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.schema.metadata[b"model"] == b"blocks"
    for number, (row, latent) in enumerate(zip(table.to_pylist(), given, strict=True)):
        assert (row["name"], row["height"], row["width"]) == (f"{number}.png", 8 * latent.shape[1], 8 * latent.shape[2])
        expected = latent.astype(dtype)
        np.testing.assert_array_equal(np.array(row["latent"], dtype).reshape(row["shape"]), expected)
        np.testing.assert_array_equal(np.array(row["log_variance"], dtype), (latent + 1).astype(dtype).ravel())


def test_latents_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    with LatentFile(tmp_path / "a.npz", hand_made_latent_model.bundle(), dtype="float16") as file:
        with pytest.raises(InvalidArgument, match="does not fit float16; take float32"):
            file.add("a", (8, 8), np.full((4, 1, 1), 1e5, np.float32))
        file.add("a", (8, 8), np.ones((4, 1, 1), np.float32))
        file.write()
    with np.load(tmp_path / "a.npz") as found:
        assert found["latents"].tolist() == [[[[1.0]]] * 4]


def test_nothing_appears_unless_it_is_whole(tmp_path: Path) -> None:
    with LatentFile(tmp_path / "a.npz", hand_made_latent_model.bundle()) as file:
        with pytest.raises(InvalidArgument, match="no latent"):
            file.write()
        file.add("a", (8, 8), np.ones((4, 1, 1), np.float32))
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.npz").write_bytes(b"old")
    with LatentFile(tmp_path / "a.npz", hand_made_latent_model.bundle()) as file:
        file.add("a", (8, 8), np.ones((4, 1, 1), np.float32))
        with pytest.raises(OutputError, match="--force"):
            file.write()
    assert (tmp_path / "a.npz").read_bytes() == b"old"


# -- drawn pictures ---------------------------------------------------------------------------------------------------


def test_sheet_places_pictures_in_rows() -> None:
    pictures = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = np.asarray(contact_sheet(pictures, 2, gap=1))
    assert sheet.shape == (9, 13, 3)
    assert (sheet[0, 0, 0], sheet[0, 12, 0], sheet[8, 0, 0], sheet[8, 12, 0], sheet[4, 0, 0]) == (10, 20, 30, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animation_goes_there_and_back(kind: str) -> None:
    frames = [np.full((16, 16, 3), value, np.uint8) for value in (0, 100, 200)]
    image = Image.open(io.BytesIO(animation_bytes(frames, kind, 10)))
    assert (image.n_frames, image.info["loop"]) == (4, 0)  # type: ignore[attr-defined]
    seen = []
    for number in range(4):
        image.seek(number)
        seen.append((round(int(np.asarray(image.convert("RGB")).mean()), -2), image.info.get("duration")))
    assert [value for value, _ in seen] == [0, 100, 200, 100]


def test_error_map_is_the_mean_of_the_colours() -> None:
    original = np.zeros((2, 2, 3), np.uint8)
    result = original.copy()
    result[0, 1] = (30, 0, 255)
    np.testing.assert_allclose(error_map(original, result), [[0, 95], [0, 0]])
    np.testing.assert_allclose(error_map(result, original), [[0, 95], [0, 0]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (300, 200)])
def test_side_by_side_takes_every_size(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    panel = side_by_side(pixels, pixels, "n\u00e4me \udcff")
    assert panel.width < 3300
    assert panel.height < 1200


def test_fit_covers() -> None:
    assert fit(noise(10, 50), 20, 30).shape == (20, 30, 3)
    np.testing.assert_array_equal(fit(noise(10, 30), 10, 10), noise(10, 30)[:, 10:20])


@pytest.mark.parametrize("bundle", [tiny, partial(coarse, tiny)])
def test_draw_from_the_codecs_tables(bundle: Callable[[], Bundle]) -> None:
    model = open_model(bundle(), "cpu", 1)
    drawn = draw_coded(model, 50, 70, 3)
    assert (drawn.shape, drawn.dtype) == ((50, 70, 3), np.uint8)
    np.testing.assert_array_equal(drawn, draw_coded(model, 50, 70, 3))
    assert not np.array_equal(drawn, draw_coded(model, 50, 70, 4))
    np.testing.assert_array_equal(draw_coded(model, 50, 70, 3, 0), draw_coded(model, 50, 70, 4, 0))
    assert draw_coded(model, 50, 70, 3, 0).std() < drawn.std()
    with pytest.raises(InvalidArgument, match=r"1\.\.1024"):
        draw_coded(model, 50, 1025, 3)
