"""Sources of files whose folder is not there, or may not be read, say so: in their status, in check and in reload."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aez.daemon.config.reader import load
from aez.daemon.files.arrow import ArrowFiles
from aez.daemon.files.followed import FileOptions, Files
from aez.daemon.service.monitor import Monitor
from aez.daemon.sources import folders
from aez.daemon.sources.base import Source
from aez.daemon.sources.folders import folder_fault, no_file
from aez.daemon.sources.frames import FrameOptions, Frames
from tests.kit.commands import run
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Lets a folder be one that may not be read, whoever runs the tests."""

    def lock(folder: Path) -> None:
        listed, looked = os.scandir, os.stat

        def refuse(path: Any) -> None:
            if str(path).startswith(str(folder)):
                raise PermissionError(errno.EACCES, "Permission denied", path)

        def scandir(path: Any = ".") -> Any:
            refuse(path)
            return listed(path)

        def stat(path: Any, *rest: Any, **more: Any) -> Any:
            if str(path) != str(folder):
                refuse(path)
            return looked(path, *rest, **more)

        monkeypatch.setattr(folders.os, "scandir", scandir)
        monkeypatch.setattr(folders.os, "stat", stat)

    return lock


def test_what_a_pattern_cannot_be_followed_to_is_a_sentence(tmp_path: Path, locked: Callable[[Path], None]) -> None:
    (tmp_path / "here" / "cam1").mkdir(parents=True)
    (tmp_path / "a.jsonl").touch()
    for well in ("a.jsonl", "b.jsonl", "*.jsonl", "here/*.png", "here/*/*.png", "here/**/*.png", "*/x.jsonl"):
        assert folder_fault(str(tmp_path / well)) == "", well
    gone = f"the folder {tmp_path / 'gone'} is not there."
    for pattern in ("gone/a.jsonl", "gone/*.jsonl", "gone/*/*.jsonl", "gone/**/*.jsonl"):
        assert folder_fault(str(tmp_path / pattern)) == gone, pattern
    assert folder_fault(str(tmp_path / "a.jsonl/*.jsonl")) == f"{tmp_path / 'a.jsonl'} is no folder."
    locked(tmp_path / "here" / "cam1")
    said = f"the folder {tmp_path / 'here' / 'cam1'} cannot be read: Permission denied."
    for pattern in ("here/cam1/a.png", "here/cam1/*.png", "here/*/*.png"):
        assert folder_fault(str(tmp_path / pattern)) == said, pattern


def test_what_a_reading_to_the_end_did_not_find_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    here, gone, none = (str(tmp_path / name) for name in ("a.jsonl", "b.jsonl", "*.gz"))
    assert no_file([here, none], ()) == ""
    assert no_file([gone, none], {gone}) == ""  # it was renamed, and read under its new name
    for patterns, lacking in (([here, gone], [gone]), ([gone, none], [gone]), ([none], [none])):
        assert no_file(patterns, ()) == f"no file matches {', '.join(lacking)}.", patterns


@pytest.mark.parametrize(
    "make",
    [
        lambda path: Files("s", FileOptions(paths=[path], poll_seconds=0.01, scan_seconds=0.01)),
        lambda path: Frames("s", FrameOptions(paths=[path], scan_seconds=0.01, settle_seconds=0.05)),
        lambda path: ArrowFiles("s", FileOptions(paths=[path], format="arrow", follow=False)),
    ],
    ids=["file", "frames", "arrow"],
)
def test_a_source_whose_folder_goes_says_so_until_it_is_back(tmp_path: Path, make: Callable[[str], Source]) -> None:
    folder = tmp_path / "data"
    source = make(str(folder / "*.x"))
    source.start(lambda _: None)
    try:
        until(lambda: source.status() == f"the folder {folder} is not there.")
        if not isinstance(source, ArrowFiles):  # which are read once
            folder.mkdir()
            until(lambda: not source.status())
            (folder / "a.x").write_bytes(b"{}\n")
            until(lambda: getattr(source, "_tails", None) or getattr(source, "_seen", None))
            shutil.rmtree(folder)
            until(lambda: source.status() == f"the folder {folder} is not there.")
    finally:
        source.close()


CONFIG = """\
[service]
log_level = "error"
[web]
enabled = false
[[models]]
path = "satellite.aezm"
[[sources]]
name = "plant"
kind = "file"
paths = ["data/*.jsonl"]
stream = "stream"
"""


def test_check_and_reload_say_what_cannot_be_read_and_refuse_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    Path("monitor.toml").write_text(CONFIG)
    said = run("monitor", "check", "monitor.toml")
    assert said.exit_code == 0
    gone = f"source plant: the folder {tmp_path / 'data'} is not there"
    assert f"warning: monitor.toml:7: {gone}" in said.stderr
    Path("data").mkdir()
    assert run("monitor", "check", "monitor.toml").stderr == ""
    monitor = Monitor(load(tmp_path / "monitor.toml"))
    monitor.start()
    try:
        assert monitor.reload() == "nothing changed"
        Path("data").rmdir()
        assert monitor.reload() == f"nothing changed; {gone}"
        Path("monitor.toml").write_text(CONFIG.replace('"data/', '"other/'))
        assert monitor.reload() == f"sources plant; {gone.replace('data', 'other')}"
        until(lambda: monitor.view.readiness() == [f"{gone.replace('data', 'other')}."])
        Path("other").mkdir()
        until(lambda: not monitor.view.readiness())
        locked(tmp_path / "other")
        until(lambda: "cannot be read: Permission denied" in "".join(monitor.view.readiness()))
        assert "cannot be read: Permission denied" in monitor.reload()
    finally:
        monitor.end()


def test_check_names_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    Path("monitor.toml").write_text(CONFIG)
    Path("data").mkdir()
    secret = Path("data/a.jsonl")
    secret.touch()
    opened = os.open

    def refuse(path: Any, *rest: Any, **more: Any) -> int:
        if str(path).endswith("a.jsonl"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    said = run("monitor", "check", "monitor.toml")
    assert said.exit_code == 0
    assert "source plant: " in said.stderr
    assert "a.jsonl cannot be read: Permission denied" in said.stderr
