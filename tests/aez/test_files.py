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
from aez.inputs import LeftOut, find_inputs


def is_text(path: Path) -> LeftOut | None:
    return None if path.suffix == ".txt" else LeftOut(str(path), "no text")


def planned(inputs: list[str], output: str | None, suffix: str = ".aez", **how: bool) -> list[Job]:
    return plan(find_inputs(inputs, is_text, **how), output, suffix)


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
    assert planned([str(folder / "a.txt")], "out.aez") == [Job(str(folder / "a.txt"), "out.aez")]
    assert planned(["-"], "-") == [Job("-", "-")]


@pytest.mark.parametrize("ending", ["", "/"])
def test_one_input_goes_into_a_folder(folder: Path, ending: str) -> None:
    out = f"{folder}/new{ending}"
    jobs = planned([str(folder / "a.tar.gz")], out)
    assert jobs[0].target == (f"{folder}/new/a.tar.aez" if ending else out)
    assert (folder / "new").is_dir() == bool(ending)


def test_a_folder_gives_its_own_files_in_order(folder: Path) -> None:
    jobs = planned([str(folder)], str(folder / "out"))
    assert [Path(job.source).name for job in jobs] == ["a.txt", "b.txt"]
    assert [job.target for job in jobs] == [str(folder / "out" / "a.aez"), str(folder / "out" / "b.aez")]


def test_results_of_one_name_keep_the_suffixes_of_their_inputs(folder: Path) -> None:
    inputs = [str(folder / name) for name in ("x.png", "x.jpg", "y.png")]
    jobs = planned(inputs, str(folder / "out"))
    assert [Path(job.target).name for job in jobs] == ["x.png.aez", "x.jpg.aez", "y.aez"]
    assert all(job.error is None for job in jobs)


def test_names_that_differ_in_case_alone_keep_them_too(folder: Path) -> None:
    (folder / "X.jpg").touch()
    jobs = planned([str(folder / "x.png"), str(folder / "X.jpg")], str(folder / "out"))
    assert [Path(job.target).name for job in jobs] == ["x.png.aez", "X.jpg.aez"]


def test_the_same_input_twice_is_an_error(folder: Path) -> None:
    first = str(folder / "x.png")
    jobs = planned([first, first], str(folder / "out"))
    assert jobs[0].error is None
    with pytest.raises(InvalidArgument, match="it is given twice"):
        check_target(jobs[1], force=True)


def test_without_an_output_results_lie_beside_their_inputs(folder: Path) -> None:
    jobs = planned([str(folder), str(folder / "inside" / "d.txt")], None)
    assert [job.target for job in jobs] == [str(folder / f"{name}.aez") for name in ("a", "b", "inside/d")]
    assert planned(["-"], None) == [Job("-", "-")]


def test_the_tree_is_kept(folder: Path) -> None:
    (folder / "inside" / "deeper").mkdir()
    (folder / "inside" / "deeper" / "a.txt").write_text("a")
    jobs = planned([str(folder)], str(folder / "out"), recursive=True)
    places = ["a.aez", "b.aez", "inside/d.aez", "inside/deeper/a.aez"]
    assert [job.target for job in jobs] == [str(folder / "out" / place) for place in places]
    assert (folder / "out" / "inside" / "deeper").is_dir()


def test_nothing_in_a_folder_is_passed_over_without_a_word(folder: Path) -> None:
    (folder / "link.txt").symlink_to("a.txt")
    (folder / "loop").symlink_to(".")
    found = find_inputs([str(folder)], is_text)
    assert {Path(one.path).name: one.reason for one in found.left_out} == {
        ".hidden.txt": "hidden",
        "c.bin": "no text",
        "inside": "folders (--recursive)",
        "link.txt": "links (--follow-links)",
        "loop": "links (--follow-links)",
    }
    followed = find_inputs([str(folder)], is_text, recursive=True, follow_links=True)
    assert [one.place.as_posix() for one in followed.files] == ["a.txt", "b.txt", "link.txt", "inside/d.txt"]


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
        planned(inputs, output)


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
