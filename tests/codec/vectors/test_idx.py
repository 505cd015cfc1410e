"""IDX files: every type and rank, gzipped or not, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aez.codec.errors import UnsupportedInput
from aez.codec.vectors.idx import looks_like_idx, read_idx
from tests.kit.idx_files import idx_bytes


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 3, 2)])
def test_every_type_is_read_to_the_bit(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    plain = idx_bytes(values)
    for name, data in (("plain", plain), ("packed.gz", gzip.compress(plain)), ("unpacked.gz", plain)):
        path = tmp_path / name
        path.write_bytes(data)
        assert looks_like_idx(path)
        found = read_idx(path)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)


VALUES: Any = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no IDX file"),
        (b"\0\0\x07\1\0\0\0\1\0", "is no IDX file"),
        (idx_bytes(VALUES)[:-1], "is cut off or damaged"),
        (idx_bytes(VALUES)[:9], "is cut off or damaged"),
        (idx_bytes(VALUES) + b"\0", "is cut off or damaged"),
        (gzip.compress(idx_bytes(VALUES), mtime=0)[:-4], "cannot be read"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "digits"
    path.write_bytes(data)
    with pytest.raises(UnsupportedInput, match=f"digits {message}"):
        read_idx(path)


def test_dimensions_that_are_asked_for_are_held(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(idx_bytes(VALUES))
    with pytest.raises(UnsupportedInput, match="of 2 dimensions, not of 1"):
        read_idx(path, 1)
