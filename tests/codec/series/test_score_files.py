"""What a monitor kept of all rows is read as the rows that it saw, and nothing of what it made of them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from aez.codec.errors import UnsupportedInput
from aez.codec.series.reader import read_series
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.rows.aligned import Aligned
from aez.daemon.scores.files import Format
from aez.daemon.scores.log import ScoreLog, Selection

CHANNELS = ("bus", "row", "time")  # two of them named as columns that a monitor adds
START, SECOND = 1_767_225_600_000_000_000, 10**9


def kept(folder: Path, kind: Format, *, values: bool, name: str = "1") -> Path:
    """A file of 40 rows of a stream whose name is a number."""
    count = 40
    rows = Aligned(
        np.zeros(count, np.int64),
        np.arange(count),
        START + SECOND * np.arange(count),
        np.arange(3 * count, dtype=np.float32).reshape(count, 3),
    )
    rows.values[3, 0] = np.nan
    score = np.full(count, 0.5, np.float32)
    log = ScoreLog(folder, kind, Selection(values=values, channel_scores=True))
    log.start()
    log.take(ScoredRows("plant", [name], rows, score, np.zeros((count, 3), np.float32), score + 0.5, CHANNELS))
    assert log.close(30)
    (path,) = folder.glob(f"plant/*.{kind}")
    return path


@pytest.mark.parametrize("kind", get_args(Format))
def test_its_rows_are_read_and_nothing_that_was_added(tmp_path: Path, kind: Format) -> None:
    series, about = read_series(kept(tmp_path, kind, values=True))
    assert series.channels == ("bus", "row", "value_time")
    assert series.time is not None
    assert series.time.tolist() == [START + SECOND * row for row in range(40)]
    expected = np.arange(120, dtype=float).reshape(40, 3)
    expected[3, 0] = np.nan
    np.testing.assert_array_equal(series.values, expected)
    assert about.dropped["stream"] == "names the stream"


@pytest.mark.parametrize("kind", get_args(Format))
def test_one_without_values_says_what_keeps_them(tmp_path: Path, kind: Format) -> None:
    with pytest.raises(UnsupportedInput, match=r"without the rows' values; values = true in \[scores\] keeps them"):
        read_series(kept(tmp_path, kind, values=False))


def test_other_files_are_read_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"time": 1, "row": 2, "score": 3}\n{"time": 2, "row": 3, "score": 4.5}\n')
    assert set(read_series(path)[0].channels) >= {"row", "score"}
