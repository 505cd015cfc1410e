"""What people install and unpack: the wheel is the sources by the mapping, the sdist is what is tracked."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.house.test_imports import FOLDERS
from tests.kit.places import ROOT

DATA = (
    "py.typed",
    "FORMAT.md",
    "models/*.aezm",
    "js/dist/*.js",
    "js/pages/*.*",
    "js/pages/*/*",
    "js/viewer/*",
    "web/page/*.*",
    "web/page/vendor/*",
    "examples/*",
    "report/templates/*.html",
    "commands/collection/*.html",
)

pytestmark = pytest.mark.slow  # they build


@pytest.fixture(scope="module")
def tracked() -> dict[str, str]:
    """Tracked path -> mode, as git has them."""
    listed = subprocess.run(["git", "ls-files", "--stage", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout: nothing says what is tracked")
    lines = (line.partition("\t") for line in listed.stdout.split("\0") if line)
    return {path: fields.split()[0] for fields, _, path in lines if (ROOT / path).exists()}


@pytest.fixture(scope="module")
def copy(tracked: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files, without the links: where there are no links everything must build, too."""
    folder = tmp_path_factory.mktemp("source") / "aez"
    for path, mode in tracked.items():
        if mode != "120000":
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes((ROOT / path).read_bytes())
    return folder


def _build(what: str, source: Path, out: Path) -> Path:
    """The wheel or sdist that the backend makes of a folder, without a network."""
    script = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
    build = subprocess.run([sys.executable, "-c", script, str(out)], cwd=source, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("wheel", copy, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where the links are, as whoever releases it does."""
    for package in ("codec", "daemon", "export"):
        (copy / "aez" / package).symlink_to(f"../{package}")
    return _build("sdist", copy, tmp_path_factory.mktemp("sdist"))


def _packaged(path: Path) -> dict[str, bytes]:
    """The wheel's entries but its metadata."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def test_the_wheel_is_the_tracked_sources_by_the_mapping(wheel: Path, tracked: dict[str, str]) -> None:
    expected = {
        f"{package.replace('.', '/')}/{Path(path).relative_to(folder).as_posix()}": (ROOT / path).read_bytes()
        for package, folder in FOLDERS.items()
        for path, mode in tracked.items()
        if mode != "120000" and Path(path).is_relative_to(folder)
        if any(Path(path).match(pattern) for pattern in ("*.py", *DATA))
    }
    found = _packaged(wheel)
    assert set(found) == set(expected)
    assert found == expected
    assert {f"{package.replace('.', '/')}/py.typed" for package in FOLDERS} <= set(found)


def test_the_sdist_is_what_is_tracked(sdist: Path, tracked: dict[str, str]) -> None:
    """With the tests and all that they need."""
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = [member.name.partition("/")[2] for member in members if member.isfile()]
    assert len(names) == len(set(names))
    made = {"PKG-INFO", "setup.cfg"} | {name for name in names if name.startswith("aez.egg-info/")}
    assert set(names) - made == {path for path, mode in tracked.items() if mode != "120000"}
    assert all(member.isfile() or member.isdir() for member in members)


def test_the_sdist_builds_that_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    (tmp_path / "wheel").mkdir()
    assert _packaged(_build("wheel", source, tmp_path / "wheel")) == _packaged(wheel)


def test_the_sources_run_as_they_lie(tracked: dict[str, str]) -> None:
    """From a clone, through the links."""
    assert {path for path, mode in tracked.items() if mode == "120000"} == {"aez/codec", "aez/daemon", "aez/export"}
    script = "import runpy, aez.codec.errors as m; print(m.__file__); runpy.run_module('aez', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", script, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(ROOT / "aez" / "codec" / "errors.py"))


def test_the_wheel_declares_licence_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
        (commands,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert "License-Expression: Apache-2.0" in metadata
    assert f"Version: {version('aez')}" in metadata
    assert "aez = aez.__main__:main" in commands
