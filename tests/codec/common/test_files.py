"""Files that appear whole or not at all, where the system refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from aez.codec.common.files import write_whole
from aez.codec.errors import OutputError


def test_a_file_system_that_is_read_only_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)  # of what is not there, too
    with pytest.raises(OutputError, match=r"a cannot be written: Read-only file system$"):
        write_whole(tmp_path / "a", b"content")
    assert not list(tmp_path.iterdir())
