"""Names of outputs, and writing that leaves a whole file or none."""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aez.codec.errors import InvalidArgument, OutputError, UnsupportedInput
from aez.files import Job, check_target, plan, read_input, write_output


def is_text(path: Path) -> bool:
    return path.suffix == ".txt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "c.bin", ".hidden.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "d.txt").write_text("d")
    return tmp_path


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Files of this process may have this many bytes and no more."""
    limit = 1 << 16
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_input_goes_to_the_file_named(folder: Path) -> None:
    assert plan([str(folder / "a.txt")], "out.aez", ".aez", is_text) == [Job(str(folder / "a.txt"), "out.aez")]
    assert plan(["-"], "-", ".aez", is_text) == [Job("-", "-")]


@pytest.mark.parametrize("ending", ["", "/"])
def test_one_input_goes_into_a_folder(folder: Path, ending: str) -> None:
    out = f"{folder}/new{ending}"
    jobs = plan([str(folder / "a.tar.gz")], out, ".aez", is_text)
    assert jobs[0].target == (f"{folder}/new/a.tar.aez" if ending else out)
    assert (folder / "new").is_dir() == bool(ending)


def test_a_folder_gives_its_own_files_in_order(folder: Path) -> None:
    jobs = plan([str(folder)], str(folder / "out"), ".aez", is_text)
    assert [Path(job.source).name for job in jobs] == ["a.txt", "b.txt"]
    assert [job.target for job in jobs] == [str(folder / "out" / "a.aez"), str(folder / "out" / "b.aez")]


def test_second_result_of_one_name_is_an_error(folder: Path) -> None:
    first, second = str(folder / "x.png"), str(folder / "x.jpg")
    jobs = plan([first, second, first], str(folder / "out"), ".aez", is_text)
    assert jobs[0].error is None
    for job in jobs[1:]:
        with pytest.raises(InvalidArgument, match=r"x\.aez is the result of .*x\.png"):
            check_target(job, force=True)


@pytest.mark.parametrize(
    ("inputs", "output", "error"),
    [
        (["a.txt", "b.txt"], "-", InvalidArgument),
        (["a.txt", "b.txt"], "c.bin", InvalidArgument),
        (["a.txt", "b.txt"], "c.bin/x", OutputError),
        (["-"], "inside", InvalidArgument),
        (["inside/"], "-", InvalidArgument),
        (["empty"], "out", UnsupportedInput),
    ],
)
def test_plans_that_cannot_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], output: str, error: type[Exception]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    with pytest.raises(error):
        plan(inputs, output, ".aez", is_text)


def test_input_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="No such file"):
        read_input(str(tmp_path / "nothing"))
    with pytest.raises(UnsupportedInput, match="directory"):
        read_input(str(tmp_path))


def test_target_is_checked_before_the_work(folder: Path) -> None:
    there = str(folder / "a.txt")
    check_target(Job(there, str(folder / "new.aez")), force=False)
    check_target(Job(there, str(folder / "b.txt")), force=True)
    check_target(Job(there, "-"), force=False)
    check_target(Job(there, "/dev/null"), force=False)
    for target, message in [("b.txt", "exists; give --force"), ("inside", "is a folder"), ("no/x", "does not exist")]:
        with pytest.raises(OutputError, match=message):
            check_target(Job(there, str(folder / target)), force=False)


def test_result_never_replaces_its_own_input(folder: Path) -> None:
    (folder / "link").symlink_to("a.txt")
    for target in ("a.txt", "inside/../a.txt", "link"):
        with pytest.raises(InvalidArgument, match="is the input itself"):
            check_target(Job(str(folder / "a.txt"), str(folder / target)), force=True)


def test_file_is_whole_and_alone(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_output(str(tmp_path / "x"), b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "x").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
    assert names(tmp_path) == {"x"}


def test_existing_file_needs_force_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with pytest.raises(OutputError, match="--force"):
        write_output(str(path), b"new")
    assert path.read_bytes() == b"old"
    write_output(str(path), b"new", force=True)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == {"x"}


def test_longest_name_can_be_written(tmp_path: Path) -> None:
    name = "x" * 255
    write_output(str(tmp_path / name), b"data")
    assert names(tmp_path) == {name}


def test_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_output(str(tmp_path / "link"), b"new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("old", [None, b"old"])
def test_full_disk_leaves_the_old_file_or_none(tmp_path: Path, small_disk: int, old: bytes | None) -> None:
    path = tmp_path / "x"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(OutputError, match="cannot be written"):
        write_output(str(path), bytes(small_disk + 1), force=True)
    assert names(tmp_path) == ({"x"} if old else set())
    assert old is None or path.read_bytes() == old


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_device_is_written_directly() -> None:
    with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
        write_output("/dev/full", b"data")
    write_output("/dev/null", b"data")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def interrupt(_: int) -> None:
        raise interruption

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(interruption):
        write_output(str(tmp_path / "x"), b"data")
    assert names(tmp_path) == set()
