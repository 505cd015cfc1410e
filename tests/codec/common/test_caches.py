"""What a process keeps: made at first use, bounded, shared by threads, and let go of by one call."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from aez.codec.bundle.library import find_bundle
from aez.codec.common.caches import cached, clear_caches
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import open_model
from aez.codec.latent.model import open_latent_model
from tests.kit.hand_made_latent_model import bundle as latent_bundle
from tests.kit.tiny_pictures import TINY


def test_the_last_values_are_kept() -> None:
    made: list[int] = []

    def value(key: int) -> int:
        return cached("test: last", 2, key, lambda: made.append(key) or -key)  # type: ignore[func-returns-value]

    assert [value(key) for key in (1, 2, 1, 3, 1, 2)] == [-1, -2, -1, -3, -1, -2]
    assert made == [1, 2, 3, 2]


def test_what_cannot_be_made_is_not_kept() -> None:
    with pytest.raises(ZeroDivisionError):
        cached("test: fails", 2, "key", lambda: 1 // 0)
    assert cached("test: fails", 2, "key", lambda: 3) == 3


def test_threads_share_one_value() -> None:
    together = threading.Barrier(4)

    def value(_: int) -> object:
        together.wait()
        return cached("test: threads", 1, "key", object)

    with ThreadPoolExecutor(4) as pool:
        assert len({id(found) for found in pool.map(value, range(4))}) == 1


def test_a_value_may_ask_for_another_and_its_end_may_clear() -> None:
    class Ends:
        def __del__(self) -> None:
            clear_caches()

    assert cached("test: outer", 1, "key", lambda: cached("test: inner", 1, "key", list)) == []
    cached("test: ends", 1, "key", Ends)
    clear_caches()


def test_nothing_is_left_after_clearing(tmp_path: Path) -> None:
    path = tmp_path / "tiny.aezm"
    path.write_bytes(TINY.read_bytes())
    clear_caches()
    before = {thread.name for thread in threading.enumerate()}
    pixels = np.full((40, 30, 3), 90, np.uint8)

    def run() -> tuple[bytes, list[weakref.ref[object]]]:
        found = find_bundle(path)
        data = encode_picture(pixels, model=found, device="cpu", threads=2).data
        decode_picture(data, model=found, device="cpu", threads=2)
        model, latent = open_model(found, "cpu", 2), open_latent_model(latent_bundle(), "cpu", 1)
        assert open_model(found, "cpu", 2) is model
        sessions = [session.inner for session in model._sessions.values()]
        assert sessions
        return data, [weakref.ref(one) for one in (found, model, latent, *sessions)]

    data, held = run()
    gc.collect()
    assert held[0]() is not None  # kept for the next call
    assert any(name.startswith("aez-mean") for name in {thread.name for thread in threading.enumerate()} - before)
    clear_caches()
    gc.collect()
    assert [one() for one in held] == [None] * len(held)
    for thread in threading.enumerate():
        if thread.name.startswith("aez-mean"):
            thread.join(10)
            assert not thread.is_alive()
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(path) not in maps.read_text()
    assert run()[0] == data


def test_importing_makes_nothing(tmp_path: Path) -> None:
    """No cache, no thread and no session by importing every module of the runtime and of the front door."""
    script = """
import importlib, pkgutil, threading
import aez.codec, aez.commands
for package in (aez.codec, aez.commands):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import aez.batch, aez.cli, aez.files, aez.messages
from aez.codec.common import caches
assert not caches._caches, caches._caches
assert threading.active_count() == 1, threading.enumerate()
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
