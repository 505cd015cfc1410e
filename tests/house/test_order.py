"""Files of tests that are named as long exist: who moves one moves its name."""

from __future__ import annotations

from tests.kit.order import LONG
from tests.kit.places import ROOT


def test_files_that_begin_early_exist() -> None:
    assert [name for name in LONG if not (ROOT / "tests" / name).is_file()] == []
