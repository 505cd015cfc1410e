"""The Pillow plugin: what programs do with any format works with `.aez`."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import aez.pillow
from aez.codec.container.chunks import SIGNATURE
from tests.kit import places

TINY = str(places.TINY)


@pytest.fixture(autouse=True)
def _tiny_is_installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading looks for the model that a file names: `tiny` lies where it looks."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "tiny.aezm").write_bytes(Path(TINY).read_bytes())
    monkeypatch.setenv("AEZ_MODELS", str(folder))


def gradient(mode: str = "RGB", width: int = 70, height: int = 50) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = np.stack([3 * x, 4 * y, x + y, 255 - 3 * x], axis=2).astype(np.uint8)
    return Image.fromarray(planes).convert(mode)


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    options = {"content": "photo"} | options  # a gradient would be exact
    image.save(buffer, "AEZ", model="tiny", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_round_trip_through_a_file(tmp_path: Path, mode: str) -> None:
    image = gradient(mode)
    image.save(tmp_path / "x.aez", model="tiny", quality=90)
    with Image.open(tmp_path / "x.aez") as opened:
        assert (opened.format, opened.mode, opened.size) == ("AEZ", mode, (70, 50))
        assert opened.get_format_mimetype() == "image/aez"
        got, expected = (np.asarray(i.convert("RGBA")).astype(float) for i in (opened, image))
    assert np.abs(got[..., :3] - expected[..., :3]).mean() < 16
    assert np.array_equal(got[..., 3], expected[..., 3])


def test_round_trip_in_memory_equals_the_function() -> None:
    data = saved(gradient(), quality=40)
    assert data == aez.encode(gradient(), quality=40, model="tiny", content="photo")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(aez.decode(data)))


def test_opening_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(gradient("RGBA"), icc_profile=b"profile")
    monkeypatch.setenv("AEZ_MODELS", "/nothing")
    opened = Image.open(io.BytesIO(data))
    assert (opened.size, opened.mode, opened.info) == ((70, 50), "RGBA", {"icc_profile": b"profile"})
    with pytest.raises(OSError, match="cannot be decoded: there is no model"):
        opened.load()


def test_loading_once_is_enough(tmp_path: Path) -> None:
    (tmp_path / "x.aez").write_bytes(saved(gradient()))
    opened = Image.open(tmp_path / "x.aez")
    opened.load()
    (tmp_path / "x.aez").unlink()
    before = opened.getpixel((0, 0))
    opened.putpixel((1, 1), (1, 2, 3))
    assert opened.getpixel((1, 1)) == (1, 2, 3)
    assert opened.getpixel((0, 0)) == before


def test_metadata_travels_along() -> None:
    image = gradient()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info |= {"exif": exif.tobytes(), "icc_profile": b"profile", "xmp": b"<xmp/>"}
    opened = Image.open(io.BytesIO(saved(image)))
    assert opened.getexif()[0x0112] == 6
    assert (opened.info["icc_profile"], opened.info["xmp"]) == (b"profile", b"<xmp/>")


def test_arguments_replace_metadata() -> None:
    image = gradient()
    image.info |= {"icc_profile": b"profile", "xmp": b"<xmp/>"}
    exif = Image.Exif()
    exif[0x010E] = "a title"
    opened = Image.open(io.BytesIO(saved(image, exif=exif, icc_profile=b"other", xmp=b"")))
    assert opened.getexif()[0x010E] == "a title"
    assert opened.info["icc_profile"] == b"other"
    assert "xmp" not in opened.info
    assert image.info["xmp"] == b"<xmp/>"


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_what_is_made_of_getexif_counts(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    buffer = io.BytesIO()
    gradient().save(buffer, form, exif=exif)

    def reopened(edit: Callable[[Image.Exif], object]) -> Image.Exif:
        opened = Image.open(io.BytesIO(buffer.getvalue()))
        edit(opened.getexif())
        return Image.open(io.BytesIO(saved(opened))).getexif()

    assert reopened(lambda tags: tags)[0x0112] == 6
    assert dict(reopened(lambda tags: tags).get_ifd(0x8825))[1] == "N"
    assert reopened(lambda tags: tags.__setitem__(0x0112, 1))[0x0112] == 1
    assert not dict(reopened(lambda tags: tags.clear()))
    without = reopened(lambda tags: tags.__delitem__(0x8825))
    assert (without[0x0112], dict(without.get_ifd(0x8825))) == (6, {})


def test_arguments_of_other_formats_are_told() -> None:
    with pytest.warns(UserWarning, match="optimize, progressive mean nothing to .aez files"):
        saved(gradient(), progressive=True, optimize=True)


def test_lossless_and_a_largest_error_are_honoured() -> None:
    image = gradient("RGBA")
    for options in ({"lossless": True}, {"max_error": 2}):
        buffer = io.BytesIO()
        image.save(buffer, "AEZ", **options)
        found = Image.open(io.BytesIO(buffer.getvalue()))
        difference = np.asarray(found).astype(int) - np.asarray(image).astype(int)
        assert np.abs(difference).max() <= options.get("max_error", 0)
    with pytest.raises(ValueError, match="goes without quality"):
        image.save(io.BytesIO(), "AEZ", lossless=True, quality=50)


def test_damage_is_found_by_verify() -> None:
    data = bytearray(saved(gradient()))
    Image.open(io.BytesIO(bytes(data))).verify()
    data[-30] ^= 1
    with pytest.raises(OSError, match="is damaged"):
        Image.open(io.BytesIO(bytes(data))).verify()


def test_targets_reach_the_encoder() -> None:
    image = gradient(width=200, height=160)
    smallest, largest = len(saved(image, quality=1)), len(saved(image, quality=100))
    limit = (smallest + largest) // 2
    assert smallest < len(saved(image, max_bytes=limit)) <= limit < largest
    assert aez.info(saved(image, quality=20, tile=64, embed_model=True))["tiles"] == 12


def test_what_is_lost_is_a_warning() -> None:
    dark = Image.fromarray(np.full((20, 30), 1_001, np.uint16))
    with pytest.warns(UserWarning, match="kept as 10 bits") as caught:
        data = saved(dark)
    assert caught[0].filename == __file__
    opened = Image.open(io.BytesIO(data))
    assert opened.mode == "I;16"
    assert opened.getpixel((3, 3)) == pytest.approx(1_000, abs=60)
    assert opened.mode == "I;16"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"quality": 101}, ValueError),
        ({"bpp": 1e-9}, ValueError),
        ({"model": "nix"}, OSError),
        ({"lossless": True}, ValueError),
        ({"quality": "high"}, TypeError),
        ({"tile": True}, TypeError),
    ],
)
def test_failed_save_leaves_no_file(tmp_path: Path, options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        gradient().save(tmp_path / "x.aez", **{"model": "tiny", **options})
    assert not list(tmp_path.iterdir())


def test_damage_is_an_os_error_as_with_other_formats() -> None:
    data = saved(gradient())
    with pytest.raises(OSError, match="cannot be opened: the file ends in the header"):
        Image.open(io.BytesIO(data[:20]))
    opened = Image.open(io.BytesIO(data[:-40]))
    with pytest.raises(OSError, match="cannot be decoded: the file ends in"):
        opened.load()
    with pytest.raises(OSError, match="format version 9"):
        Image.open(io.BytesIO(SIGNATURE[:-1] + b"\x09" + data[8:]))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"\x89AEX" + data[4:]))


def test_truncated_pictures_load_where_pillow_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(gradient(width=200, height=130), tile=64)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    pixels = np.asarray(Image.open(io.BytesIO(data[: len(data) * 2 // 3])))
    assert np.all(pixels[-1, -1] == 128)
    assert np.ptp(pixels[:40, :40]) > 0


def test_plugin_is_registered_by_its_import_alone() -> None:
    script = """
import sys
from PIL import Image
assert ".aez" not in Image.registered_extensions()
import aez.pillow
assert Image.registered_extensions()[".aez"] == "AEZ" and Image.MIME["AEZ"] == "image/aez"
assert "onnxruntime" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
