"""Tables of every bad kind are learned from or refused in a sentence, and score within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import hostile


@pytest.mark.parametrize("seed", [*range(40), 50])
def test_hostile_tables_break_nothing(seed: int, tmp_path: Path) -> None:
    assert hostile.check(seed, tmp_path) in ("learned", "refused")


@pytest.mark.slow
def test_many_hostile_tables_break_nothing() -> None:
    assert hostile.main(200) == 0
