"""`aez collection` for real: trained, killed in every stage and begun again, nothing lost and nothing done twice."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.image.distortion import psnr
from aez.commands.collection.state import FOLDER
from tests.kit.made_once import MadeOnce
from tests.kit.places import ROOT, TINY
from tests.kit.small_photo import exported_once, make_pictures
from tests.kit.tiny_pictures import altered_bundle

#: `aez`, which sends itself a signal where a function is called for the nth time; figures from few points. With a model
#: at hand it is what training makes; without one the network is traced for its graphs as in the tests.
SCRIPT = """
import functools, importlib, os, shutil, sys
from aez.commands.collection import command, learning, measuring
learning._CHECKPOINT_SECONDS, measuring._PEER_POINTS, measuring._DISTANCES = 0.0, 3, (-20.0, 0.0, 20.0)
if made := os.environ.get("TRAINED"):
    learning.learn = lambda collection, device: shutil.copy(made, collection.model)
    command._check_installed = lambda eye: None
else:
    from pathlib import Path
    from pytest import MonkeyPatch
    from tests.kit.made_once import MadeOnce
    from tests.kit.traced_once import trace_once
    trace_once(MonkeyPatch(), MadeOnce(Path(os.environ["COMMON"])))
module, path, number, count = sys.argv[1], sys.argv[2].split("."), int(sys.argv[3]), int(sys.argv[4])
owner = functools.reduce(getattr, path[:-1], importlib.import_module(module))
real, calls = getattr(owner, path[-1]), []
def ended(*arguments, **more):
    calls.append(1)
    if len(calls) == count:
        os.kill(os.getpid(), number)
    return real(*arguments, **more)
setattr(owner, path[-1], ended)
from aez.cli import main
main(sys.argv[5:], prog_name="aez")
"""
NEVER = ("aez.cli", "main", 9, 0)
OPTIONS = ("--minutes", "0.25", "--keep-out", "2", "--take", "trained", "--workers", "1", "--device", "cpu")


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eighteen pictures of one kind; the working folder is above them."""
    folder = tmp_path / "scans"
    folder.mkdir()
    pixels = (make_pictures(18, 96) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def at_hand(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same where training is not what is looked at."""
    (tmp_path / "models" / "photo.aezm").write_bytes(Path(TINY).read_bytes())
    trained = altered_bundle(tmp_path, coding={"of": "scans"}, name="scans")
    (tmp_path / "trained.aezm").write_bytes(trained.to_bytes())
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.aezm"))
    return scans


def collect(*more: str, ended: tuple[str, str, int, int] = NEVER) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, *map(str, ended), "collection", "scans", "out", *OPTIONS, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)


def killed(module: str, name: str, count: int, *more: str) -> None:
    done = collect(*more, ended=(module, name, signal.SIGKILL, count))
    assert done.returncode == -signal.SIGKILL, done.stderr


def stamps(pattern: str) -> Mapping[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path("out").rglob(pattern)}


def is_part(former: Mapping[Path, object], later: Mapping[Path, object]) -> bool:
    """Whether nothing of what was there was made again."""
    return all(later.get(path) == stamp for path, stamp in former.items())


@pytest.mark.slow
def test_killed_in_every_stage_but_training(at_hand: Path) -> None:
    killed("aez.commands.collection.sample", "_save", 5)
    windows = stamps("training/*.png")
    assert len(windows) == 4
    killed("aez.bench.pictures.rd_figures", "sheet_png", 1)
    model = stamps("scans.aezm")
    assert len(model) == 1
    assert not stamps("training/*.png")
    killed("aez.commands.codec.encode_job", "EncodeJob.__call__", 5, "--yes")
    assert list(stamps("scans.aezm").values()) == list(model.values())
    results = stamps("*.aez")
    assert len(results) == 4
    killed("aez.file_report", "FileReport.add", 4 + 3)  # four lines of before; the third result has none
    assert is_part(results, stamps("*.aez"))
    results = stamps("*.aez")
    assert len(results) == 7
    done = collect()
    assert done.returncode == 0, done.stderr
    assert is_part(results, stamps("*.aez"))
    assert "6 pictures are encoded already and are left as they are" in done.stderr
    with Path("out/manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["input"] for row in rows) == sorted(path.name for path in at_hand.iterdir())
    assert {row["status"] for row in rows} == {"done"}
    assert len(stamps("*.aez")) == 18
    for row in rows:
        with Image.open(at_hand / row["input"]) as source:
            decoded = aez.open(Path("out", row["output"]))
            assert float(row["psnr"]) == pytest.approx(psnr(np.asarray(source), np.asarray(decoded)), abs=1e-3)
    assert sorted(path.name for path in Path("out", FOLDER).iterdir()) == ["lock", "measured", "state.json"]
    assert not list(Path("out").rglob("*.part"))


@pytest.mark.slow
def test_killed_in_training(scans: Path, made_once: MadeOnce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMON", str(made_once.common))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    Path("models/photo.aezm").write_bytes(exported_once(made_once).path.read_bytes())
    checkpoint = Path("out", FOLDER, "scans.aezm.run", "checkpoint.pt")
    killed("aez.export.common.trainer", "Trainer._train_step", 4)
    windows = stamps("training/*.png")
    assert len(windows) == len(list(scans.iterdir())) - 2
    assert checkpoint.exists()  # a run that does not go on from it is refused by the trainer
    stopped = collect(ended=("aez.export.common.trainer", "Trainer._train_step", signal.SIGINT, 2))
    assert (stopped.returncode, "Traceback" in stopped.stderr) == (130, False)
    killed("aez.export.photo.train", "export_photo", 1)
    trained = checkpoint.stat().st_mtime_ns
    assert is_part(windows, stamps("training/*.png"))
    killed("aez.bench.pictures.rd", "run", 1)
    assert checkpoint.stat().st_mtime_ns == trained
    bundle = Bundle.open(Path("out", FOLDER, "scans.aezm"))
    made = bundle.manifest["provenance"]
    assert (bundle.name, len(made["from"]), made["scales"]) == ("scans", 64, [1.0, 1.0])


@pytest.mark.slow
@pytest.mark.usefixtures("at_hand")
def test_ctrl_c_in_encoding_is_clean() -> None:
    stopped = collect("--yes", ended=("aez.commands.codec.encode_job", "EncodeJob.__call__", signal.SIGINT, 3))
    assert stopped.returncode == 130, stopped.stderr
    assert "interrupted; no file is left half-written" in stopped.stderr
    assert len(stamps("*.aez")) <= 3
    assert not list(Path("out").rglob("*.part"))
    assert collect().returncode == 0
    assert len(stamps("*.aez")) == 18
