"""Pauses between attempts: how they grow, begin anew, and end early."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from aez.daemon.common import retry
from aez.daemon.common.retry import Backoff, pause_after


def test_pauses_double_up_to_a_bound_and_are_drawn_below() -> None:
    for failures, longest in ((1, 0.5), (2, 1.0), (4, 4.0), (7, 30.0), (10**6, 30.0)):
        drawn = [pause_after(failures) for _ in range(200)]
        assert longest / 2 <= min(drawn) < 0.6 * longest
        assert 0.9 * longest < max(drawn) <= longest


def test_after_it_was_well_pauses_begin_anew() -> None:
    backoff = Backoff(first=1.0, longest=8.0)
    assert [backoff.failed() <= most for most in (1, 2, 4, 8, 8)] == [True] * 5
    assert backoff.failures == 5
    backoff.well()
    assert backoff.failures == 0
    assert 0.5 <= backoff.failed() <= 1


def test_an_attempt_that_lasted_counts_as_one_that_went_well(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(retry.time, "monotonic", lambda: now)
    backoff, none = Backoff(well_seconds=60.0), threading.Event()
    none.set()
    for _ in range(3):
        backoff.wait(none)
    now += 61.0
    backoff.wait(none)
    assert backoff.failures == 1
    now += 59.0
    backoff.wait(none)
    assert backoff.failures == 2


def test_an_event_ends_the_pause() -> None:
    begun = time.monotonic()
    end = threading.Event()
    threading.Timer(0.05, end.set).start()
    Backoff(first=60, longest=60).wait(end)

    async def in_a_loop() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, ended.set)
        await Backoff(first=60, longest=60).wait_async(ended)
        await Backoff(first=0.01, longest=0.01).wait_async(asyncio.Event())  # and it ends by itself

    asyncio.run(in_a_loop())
    assert time.monotonic() - begun < 20
