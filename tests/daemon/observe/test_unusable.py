"""Sources of which nothing can be used."""

from __future__ import annotations

import pytest

from aez.daemon.common.records import Malformed
from aez.daemon.observe.unusable import UnusableSources


def test_a_source_of_which_nothing_can_be_used_is_named_once_as_long_as_that_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sources, bad = UnusableSources(), Malformed("bad_time", "31/12/2026 is no time", b"{}")
    for _ in range(7):
        sources.take("plant", 0, [bad])
        sources.take("other", 1, [bad, bad])
    assert not caplog.messages
    for _ in range(100):
        sources.take("plant", 0, [bad])
        sources.take("other", 1, [bad, bad])
    (said,) = caplog.messages
    assert "source plant" in said
    assert "bad_time: 31/12/2026 is no time" in said
    sources.take("plant", 5, [])
    sources.take("plant", 0, [Malformed("syntax", "no JSON", b"?", count=500)])
    assert len(caplog.messages) == 2
