"""Columns of text as categories: which are, how they are numbered, and what an unknown word counts as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aez.codec.errors import UnsupportedInput
from aez.codec.series.core import resample
from aez.codec.series.reader import read_batches, read_series, read_streams


def write(path: Path, rows: int = 200, words: tuple[str, ...] = ("idle", "run", "stop")) -> Path:
    lines = [f"2024-01-01 00:{row // 60:02}:{row % 60:02},{row % 7}.5,{words[row % len(words)]}" for row in range(rows)]
    path.write_text("time,load,state\n" + "\n".join(lines) + "\n")
    return path


def test_few_words_are_a_category_where_it_is_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "plant.csv")
    found, about = read_series(path, categories=True)
    assert (found.channels, found.words) == (("load", "state"), {"state": ("idle", "run", "stop")})
    assert found.values[:4, 1].tolist() == [0, 1, 2, 0]
    assert not about.dropped
    plain, about = read_series(path)
    assert (plain.channels, plain.words) == (("load",), {})
    assert about.dropped == {"state": "text, such as 'idle'"}


def test_names_and_free_text_are_none(tmp_path: Path) -> None:
    many = tuple(f"part {number}" for number in range(150))
    found, about = read_series(write(tmp_path / "plant.csv", words=many), categories=True)
    assert (found.words, set(about.dropped)) == ({}, {"state"})


def test_a_models_words_number_a_file_and_others_are_the_rarest(tmp_path: Path) -> None:
    path = write(tmp_path / "plant.csv", words=("run", "burn", "", "idle"))
    words = {"state": ("idle", "run", "stop")}
    reader = read_batches(path, rows=64, channels=["state", "load"], words=words)
    values = np.concatenate([batch.values for batch in reader])
    assert np.array_equal(values[:4, 0], [1, 2, np.nan, 0], equal_nan=True)
    assert reader.unknown == {"state": 50}
    streams, _ = read_streams(write(tmp_path / "two.csv"), "state", categories=True)
    assert [one.name for one in streams] == ["idle", "run", "stop"]


def test_too_many_words_later_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv"
    rows = [f"{row},{'a' if row % 2 else 'b'}{'x' * 400}" for row in range(12_000)]
    path.write_text("load,state\n" + "\n".join([*rows, *(f"1,word {row}" for row in range(100))]) + "\n")
    with pytest.raises(UnsupportedInput, match="column 'state' has more than 64 words, and is no category; ignore it"):
        read_series(path, categories=True)


def test_words_are_not_averaged(tmp_path: Path) -> None:
    found, _ = read_series(write(tmp_path / "plant.csv"), categories=True)
    coarse = resample(found, 10)
    assert set(coarse.values[:, 1].tolist()) <= {0, 1, 2}
    assert coarse.words == found.words
