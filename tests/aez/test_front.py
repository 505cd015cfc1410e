"""`import aez`: paths are taken, pictures open lazily, regions read little, text is no number."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aez
import aez.pillow
from aez.codec.container.source import ChunkSource
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput
from tests.kit.places import TINY
from tests.kit.tiny_pictures import photo

PIXELS = photo(150, 203)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.aez"
    path.write_bytes(aez.encode(PIXELS, 60, TINY, tile=64, content="photo"))
    return path


def test_paths_are_pictures(tmp_path: Path, file: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(source)
    for path in (source, str(source)):
        assert aez.encode(path, 60, TINY, tile=64, content="photo") == file.read_bytes()
    for given in (file, str(file)):
        np.testing.assert_array_equal(
            aez.decode(given, as_array=True, model=TINY), np.asarray(aez.open(file, model=TINY))
        )
        assert aez.info(given)["bytes"] == file.stat().st_size
    (tmp_path / "near.aezm").write_bytes(TINY.read_bytes())  # looked for beside a path
    assert aez.decode(file).size == aez.open(file).size == (203, 150)
    assert aez.info(file)["model"]["name"] == "tiny"
    with pytest.raises(UnsupportedInput, match=r"none\.png does not exist"):
        aez.encode(tmp_path / "none.png", model=TINY)
    with pytest.raises(UnsupportedInput, match="not a picture"):
        aez.encode(file.with_suffix(".txt") if file.with_suffix(".txt").write_text("a") else file, model=TINY)
    for function in (aez.decode, aez.info, aez.open):
        with pytest.raises(FileNotFoundError):
            function(tmp_path / "none.aez")


def test_opening_reads_the_header_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aez.codec.image import decoding

    monkeypatch.setattr(decoding, "decode_picture", lambda *_, **__: pytest.fail("decoded"))
    with aez.open(file, model="no-such-model") as image:
        assert (image.size, image.mode, image.format) == ((203, 150), "RGB", "AEZ")
    monkeypatch.undo()
    with aez.open(file, model="no-such-model") as image, pytest.raises(ModelError, match="no-such-model"):
        image.load()
    with aez.open(file, model=TINY) as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), np.asarray(aez.decode(file, model=TINY)))


def test_a_region_reads_the_tiles_that_it_touches(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    chunk = ChunkSource.chunk

    def noted(self: ChunkSource, *arguments: Any) -> Any:
        info, payload = chunk(self, *arguments)
        read.append(info.type)
        return info, payload

    whole = np.asarray(aez.decode(file, model=TINY)).astype(int)
    monkeypatch.setattr(ChunkSource, "chunk", noted)
    with aez.open(file, model=TINY) as image:
        del read[:]
        part = np.asarray(image.region(140, 10, 30, 20)).astype(int)
        assert read.count("T") <= 6, "a tile and those that its synthesis sees"
        assert np.abs(part - whole[10:30, 140:170]).max() <= 1
        image.load()
        np.testing.assert_array_equal(np.asarray(image.region(140, 10, 30, 20)), whole[10:30, 140:170])
        with pytest.raises(InvalidArgument, match="not inside"):
            aez.open(file, model=TINY).region(200, 10, 30, 20)
    with Image.open(file) as plain, pytest.raises(OSError, match="cannot be decoded"):
        plain.region(0, 0, 8, 8)  # its model is not here


def test_a_region_of_damaged_exact_and_transparent_files(tmp_path: Path) -> None:
    path = tmp_path / "b.aez"
    transparent = np.dstack([PIXELS, np.indices((150, 203)).sum(axis=0).astype(np.uint8)])
    path.write_bytes(aez.encode(transparent, lossless=True, tile=64))
    with aez.open(path, model="no-such-model") as image:
        np.testing.assert_array_equal(np.asarray(image.region(60, 60, 10, 20)), transparent[60:80, 60:70])
    chunks = [entry for entry in aez.info(path)["chunks"] if entry["type"] == "T"]
    data = bytearray(path.read_bytes())
    data[chunks[0]["offset"] + 9] ^= 1
    path.write_bytes(data)
    with aez.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image.region(64, 64, 10, 20)), transparent[64:84, 64:74])
        with pytest.raises(CorruptFile, match="checksum"):
            image.region(60, 60, 10, 20)
    with aez.open(path, partial=True) as image:
        assert np.asarray(image.region(60, 60, 10, 20))[0, 0, :3].tolist() == [128, 128, 128]
        image.load()
    data[chunks[0]["offset"] + 9] ^= 1
    path.write_bytes(data[:-3])
    with aez.open(path) as image, pytest.raises(TruncatedFile):
        image.load()


def test_thumbnails_are_decoded_small(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aez.codec.image import decoding

    scales: list[int] = []
    decode = decoding.decode_picture

    def noted(*arguments: Any, **options: Any) -> Any:
        scales.append(options["scale"])
        return decode(*arguments, **options)

    monkeypatch.setattr(decoding, "decode_picture", noted)
    with aez.open(file, model=TINY) as image:
        image.thumbnail((25, 25))
        assert image.size == (25, 18)
    assert scales == [2]  # Pillow asks for twice as many


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("encode", {"quality": "high"}, "quality is a number, not 'high'"),
        ("encode", {"quality": True}, "quality is a number"),
        *(("encode", {name: "5"}, f"{name} is a number") for name in ("bpp", "psnr", "ssimulacra2", "max_bytes")),
        ("encode", {"max_error": "2"}, "max_error is a number"),
        ("encode", {"alpha_quality": "9"}, "alpha_quality is a number"),
        ("encode", {"tile": "64"}, "tile is a whole number"),
        ("encode", {"tile": 64.0}, "tile is a whole number"),
        ("encode", {"threads": "2"}, "threads is a whole number"),
        ("encode", {"orientation": "6"}, "orientation is a whole number"),
        ("encode", {"lossless": "no"}, "lossless is True or False"),
        ("encode", {"keep_hidden": "no"}, "keep_hidden is True or False"),
        ("encode", {"value_range": "0,1"}, "value_range is 2 numbers"),
        ("encode", {"value_range": (0, "1")}, "value_range is 2 numbers"),
        ("encode", {"value_range": 5}, "value_range is 2 numbers"),
        ("encode", {"speed": 5}, "no argument 'speed'"),
        ("decode", {"region": "0,0,5,5"}, "region is 4 whole numbers"),
        ("decode", {"region": (0, 0, 5.5, 5)}, "region is 4 whole numbers"),
        ("decode", {"scale": "1/8"}, "scale is a whole number"),
        ("decode", {"max_pixels": "many"}, "max_pixels is a whole number"),
        ("decode", {"threads": 1.5}, "threads is a whole number"),
        ("decode", {"partial": "yes"}, "partial is True or False"),
        ("open", {"threads": "1"}, "threads is a whole number"),
        ("open", {"speed": 1}, "no argument 'speed'"),
    ],
)
def test_what_is_no_number_is_a_type_error(function: str, options: dict[str, Any], message: str, file: Path) -> None:
    with pytest.raises(TypeError, match=message):
        getattr(aez, function)(PIXELS if function == "encode" else file, **{"model": TINY, **options})


@pytest.mark.parametrize("options", [{"quality": "9"}, {"tile": "64"}, {"max_error": "1"}, {"lossless": "yes"}])
def test_pillow_says_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "c.aez"
    with pytest.raises(TypeError):
        Image.fromarray(PIXELS).save(path, model=str(TINY), **options)
    assert not path.exists()
    with pytest.raises(ValueError, match=r"outside 1\.\.100"):
        Image.fromarray(PIXELS).save(path, model=str(TINY), quality=500)


def test_numbers_of_numpy_are_numbers() -> None:
    coded = aez.encode(PIXELS, np.float32(60), TINY, tile=np.int64(64), threads=np.uint8(1), content="photo")
    assert aez.decode(coded, np.array([0, 0, 5, 5]), model=TINY).size == (5, 5)
    assert aez.encode(PIXELS, lossless=np.True_) == aez.encode(PIXELS, lossless=True)


def test_several_frames_are_refused_where_all_are_asked_for(tmp_path: Path) -> None:
    frames = [Image.fromarray(photo(20, 30, seed)) for seed in range(3)]
    path = tmp_path / "d.aez"
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as moving:
        with pytest.raises(ValueError, match="one picture, and these are 3 frames"):
            moving.save(path, save_all=True, lossless=True)
        with pytest.raises(ValueError, match="these are 4 frames"):
            frames[0].save(path, append_images=[moving], lossless=True)
        assert not path.exists()
        with pytest.warns(UserWarning, match="only the first of 3 frames is kept"):
            moving.save(path, lossless=True)
    frames[0].save(path, save_all=True, lossless=True)
    np.testing.assert_array_equal(np.asarray(aez.open(path)), np.asarray(frames[0]))


def test_the_builtin_open_is_not_touched() -> None:
    assert aez.open is not builtins.open
