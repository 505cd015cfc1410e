"""A short run of the fuzzer, and that it would notice."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from aez.codec.container.chunks import END, HEADER, TILE
from aez.codec.errors import CorruptFile
from aez.codec.image.decoding import decode_picture
from tests.kit.fuzz_aez import (
    Mutant,
    Original,
    TookTooLong,
    Wrong,
    check_partial,
    decode,
    examine,
    file_of,
    frame,
    make_mutant,
    make_original,
    run,
    time_limit,
)
from tests.kit.places import ROOT
from tests.kit.tiny_pictures import photo


@pytest.fixture(scope="module")
def original() -> Original:
    return make_original("tiles", photo(66, 130), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize("files", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_no_file_ends_badly(files: int) -> None:
    command = [sys.executable, "-m", "tests.kit.fuzz_aez", "--files", str(files), "--seed", str(files)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("       0  wrong\n")
    assert "CorruptFile, in part" in result.stdout


def test_files_depend_on_their_number_alone(original: Original) -> None:
    def data(number: int) -> bytes:
        return make_mutant([original], random.Random(f"1 {number}")).data

    assert data(5) == data(5)
    assert len({data(number) for number in range(50)}) > 40


def test_a_forged_file_without_a_change_is_the_original(original: Original) -> None:
    for seed in range(5):
        forged = file_of(original.chunks, random.Random(seed))
        if forged == original.data:
            assert examine(Mutant(original, "none", forged)) == "decoded"
            return
    raise AssertionError("no forged file was the original")


def test_another_picture_is_noticed(original: Original) -> None:
    other = make_original("other", photo(66, 130, seed=1), 1)
    with pytest.raises(Wrong, match="another picture"):
        examine(Mutant(original, "another picture", other.data))
    with pytest.raises(Wrong, match="another picture"):
        examine(Mutant(original, "another size", make_original("other", photo(66, 131), 1).data))


def test_wrong_tiles_are_noticed(original: Original) -> None:
    cut = original.data[: len(original.data) * 3 // 4]
    decoded = decode(cut, original.bundle, partial=True)
    mutant = Mutant(original, "cut", cut)
    check_partial(mutant, decoded, None)
    pixels = np.array(decoded.image)
    pixels[0, 0] += 1
    decoded.image.paste(Image.fromarray(pixels))
    with pytest.raises(Wrong, match="neither grey nor the original's"):
        check_partial(mutant, decoded, None)


def test_exceptions_that_are_no_errors_of_ours_are_counted(original: Original, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise MemoryError("a lot")

    monkeypatch.setattr("tests.kit.fuzz_aez.decode_picture", explode)
    outcomes, wrong = run(range(3), 1, [original])
    assert len(wrong) == 3
    assert "MemoryError: a lot" in wrong[0]
    assert not outcomes


def spin(seconds: float) -> None:
    """Code that takes every exception for damage, and does not end."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def test_a_hang_is_interrupted() -> None:
    started = time.monotonic()
    with pytest.raises(TookTooLong), time_limit(0.05):
        spin(20)
    assert time.monotonic() - started < 10


def test_an_index_among_the_chunks_hides_nothing(original: Original) -> None:
    # Such a file was once given back as sound with `partial`.
    chunks = [*original.chunks, (END, b"")]
    data = file_of(chunks, random.Random(1))
    with pytest.raises(CorruptFile, match="index"):
        decode_picture(data, model=original.bundle)
    assert decode_picture(data, model=original.bundle, partial=True).damage


def test_chunks_are_framed_as_the_writer_does(original: Original) -> None:
    position = 8
    for letter, payload in original.chunks:
        framed = frame(letter, payload)
        assert original.data[position : position + len(framed)] == framed
        position += len(framed)
    assert [letter for letter, _ in original.chunks] == [HEADER] + [TILE] * original.header.tiles
