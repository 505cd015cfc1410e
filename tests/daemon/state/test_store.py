"""The store: one transaction for all of it, an outbox with cursors, and trouble with its file."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.errors import CorruptFile, InvalidArgument, OutputError, VersionError
from aez.daemon.common.records import EventRecord
from aez.daemon.state.store import Store, StoreCorrupt, StoredState, StoreError, StoreFull, StoreLocked
from tests.kit.event_steps import step, steps
from tests.kit.places import ROOT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as opened:
        yield opened


def pending(store: Store, sink: str, limit: int = 1000) -> list[EventRecord]:
    return [one.record for one in store.pending(sink, limit)]


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.register_sinks(["console"])
        assert store.commit({"file": {"offset": 7}}, {"pump": b"\0ring"}, [step()], models="m") == 1
    with Store(tmp_path / "s.db") as store:
        assert store.positions() == {"file": {"offset": 7}}
        assert store.state("pump") == StoredState("m", b"\0ring")
        assert dict(store.states()) == {"pump": ("m", b"\0ring")}
        assert store.state("other") is None
        assert pending(store, "console") == [step()]
        assert store.events.open_records() == (step(),)


def test_a_state_is_kept_with_the_model_that_made_it(store: Store) -> None:
    store.commit({}, {"a": b"1", "b": b"2"}, models={"a": "m1", "b": "m2"})
    store.commit({}, {"b": b"3"}, models={"b": "m3"})
    assert dict(store.states()) == {"a": ("m1", b"1"), "b": ("m3", b"3")}
    store.forget_states(["a"])
    assert dict(store.states()) == {"b": ("m3", b"3")}


def test_states_come_in_pages_without_gaps(store: Store) -> None:
    states = {f"stream {number}": bytes([number % 256]) for number in range(1234)}
    store.commit({}, states)
    assert {key: state.data for key, state in store.states()} == states


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=30), st.integers(1, 5))
def test_each_step_is_taken_once_and_only_forward(taken: list[tuple[str, int]], chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.db") as store:
        store.register_sinks(["one"])
        records = [step(name, sequence) for name, sequence in taken]
        for start in range(0, len(records), chunk):
            store.commit({}, {}, records[start : start + chunk])
        highest: dict[str, int] = {}
        expected = []
        for record in records:
            if record.sequence > highest.get(record.id, -1):
                highest[record.id] = record.sequence
                expected.append(record)
        assert pending(store, "one") == expected
        assert store.commit({}, {}, records) == 0


def test_a_fault_takes_back_the_whole_commit(store: Store) -> None:
    store.register_sinks(["one"])
    store.commit({"file": {"offset": 1}}, {"pump": b"1"})
    with pytest.raises(OverflowError):
        store.commit({"file": {"offset": 2}}, {"pump": b"2"}, [step("a"), step("b", time=1 << 70)])
    assert store.positions() == {"file": {"offset": 1}}
    assert store.state("pump") == ("", b"1")
    assert pending(store, "one") == []
    assert store.commit({"file": {"offset": 2}}, {}, [step("a")]) == 1


def test_sinks_move_on_their_own_and_the_outbox_empties_behind_the_slowest(store: Store) -> None:
    assert store.register_sinks(["fast", "slow"]) == {}
    store.commit({}, {}, steps(10))
    batch = store.pending("fast", 6)
    store.delivered("fast", batch[0].number, batch[-1].number)
    assert pending(store, "fast") == steps(10)[6:]
    assert pending(store, "slow") == steps(10)
    assert store.outbox_size() == 10
    batch = store.pending("slow", 4)
    store.delivered("slow", batch[0].number, batch[-1].number)
    assert store.outbox_size() == 6
    assert (store.progress("fast").pending, store.progress("fast").delivered) == (4, 6)
    assert (store.progress("slow").pending, store.progress("slow").delivered) == (6, 4)


def test_a_new_sink_gets_what_comes_from_then_on(store: Store) -> None:
    store.register_sinks(["old"])
    store.commit({}, {}, [step("a")])
    store.register_sinks(["old", "new"])
    store.commit({}, {}, [step("b")])
    assert [record.id for record in pending(store, "old")] == ["a", "b"]
    assert [record.id for record in pending(store, "new")] == ["b"]


def test_a_sink_that_is_gone_holds_nothing_back(store: Store) -> None:
    store.register_sinks(["a", "b"])
    store.commit({}, {}, steps(3))
    batch = store.pending("a")
    store.delivered("a", batch[0].number, batch[-1].number)
    assert store.register_sinks(["a"]) == {"b": 3}
    assert store.outbox_size() == 0
    with pytest.raises(InvalidArgument, match="'b'"):
        store.pending("b")


def test_without_sinks_the_outbox_stays_empty(store: Store) -> None:
    store.commit({}, {}, steps(3))
    assert store.outbox_size() == 0
    assert store.events.count() == 3


def test_beyond_its_bound_the_outbox_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", outbox_limit=5) as store:
        store.register_sinks(["fast", "slow"])
        for record in steps(5):
            store.commit({}, {}, [record])
        assert store.progress("slow").dropped == 0
        batch = store.pending("fast")
        store.delivered("fast", batch[0].number, batch[-1].number)
        store.commit({}, {}, steps(8, "later"))
        assert store.outbox_size() == 5
        assert pending(store, "slow") == steps(8, "later")[3:]
        assert store.progress("slow").dropped == 8
        assert store.progress("fast").dropped == 3
        assert store.events.count() == 13


def test_steps_that_were_under_way_when_the_outbox_overflowed_are_no_loss(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", outbox_limit=5) as store:
        store.register_sinks(["sink"])
        store.commit({}, {}, steps(5))
        under_way = store.pending("sink", 4)
        store.commit({}, {}, steps(3, "later"))
        assert store.progress("sink").dropped == 3
        store.delivered("sink", under_way[0].number, under_way[-1].number)
        progress = store.progress("sink")
        assert (progress.delivered, progress.dropped, progress.pending) == (4, 0, 4)


def test_steps_told_as_delivered_twice_count_no_loss(store: Store) -> None:
    store.register_sinks(["sink"])
    store.commit({}, {}, steps(5))
    for _ in range(2):
        store.delivered("sink", 1, 3)
    progress = store.progress("sink")
    assert (progress.pending, progress.dropped) == (2, 0)


def test_what_a_sink_refuses_is_put_aside_with_the_reason(store: Store) -> None:
    store.register_sinks(["sink"])
    store.commit({}, {}, steps(2))
    first, _ = store.pending("sink")
    store.reject("sink", first, "too long")
    assert store.rejected("sink") == [(first.record, "too long")]
    assert store.progress("sink").rejected == 1
    assert pending(store, "sink") == steps(2)[1:]


def test_listeners_hear_of_commits_with_new_steps(store: Store) -> None:
    heard: list[int] = []

    def listener() -> None:
        heard.append(store.events.count())

    store.listen(listener)
    store.commit({"a": {}}, {"b": b""})
    store.commit({}, {}, [step()])
    store.commit({}, {}, [step()])
    assert heard == [1]
    store.unlisten(listener)
    store.commit({}, {}, [step("b")])
    assert heard == [1]


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "'; DROP TABLE events; --", "<script>", "x" * 100_000, "漢\n"])
def test_any_name_of_a_stream_can_be_kept(store: Store, name: str) -> None:
    store.register_sinks(["sink"])
    store.commit({name: {"at": name}}, {name: b"state"}, [step(name, stream=name)], models=name)
    state = store.state(name)
    assert state is not None
    assert state.data == b"state"
    assert len(store.events.list(stream=name)) == 1
    assert len(pending(store, "sink")) == 1
    assert next(iter(store.positions().values())) == {"at": name}


def test_infinite_peaks_and_numpy_numbers_are_kept_as_json(store: Store) -> None:
    import numpy as np

    store.commit({"f": {"offset": np.int64(3)}}, {}, [step(peak=float("inf"), peak_row=np.int32(4))])
    event = store.events.get("a")
    assert event is not None
    assert event.record.event["peak"] is None
    assert event.record.event["peak_row"] == 4
    assert store.positions() == {"f": {"offset": 3}}


def test_many_threads_write_and_read_at_once(store: Store) -> None:
    store.register_sinks([f"sink{number}" for number in range(4)])
    done = threading.Event()
    faults: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    def sink(name: str) -> None:
        got: list[str] = []
        while not done.is_set() or store.pending(name):
            batch = store.pending(name, 7)
            if batch:
                got += [one.record.id for one in batch]
                store.delivered(name, batch[0].number, batch[-1].number)
        assert got == [record.id for record in steps(60)]

    def reader() -> None:
        while not done.is_set():
            listed = store.events.list(limit=1000)
            assert len({event.id for event in listed}) == len(listed)

    threads = [threading.Thread(target=guarded, args=(lambda n=n: sink(f"sink{n}"),)) for n in range(4)]
    threads += [threading.Thread(target=guarded, args=(reader,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for record in steps(60):
        store.commit({"file": {"id": record.id}}, {"pump": record.id.encode()}, [record])
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert store.outbox_size() == 0


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit({}, {"a": b""})
    with pytest.raises(StoreError, match="closed"):
        store.positions()


# Trouble with the file


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    with Store(tmp_path / "s.db") as store:
        assert store.positions() == {}
        store.commit({"a": {}})
    with Store(tmp_path / "s.db") as store:
        assert store.positions() == {"a": {}}


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing") as caught:
        Store(tmp_path / "missing" / "s.db", exclusive=True)
    assert caught.value.exit_code == OutputError.exit_code
    with pytest.raises(StoreError, match="missing"):
        Store(tmp_path / "missing" / "s.db")


def filled(path: Path) -> bytes:
    """A store of several pages, as one file."""
    with Store(path) as store:
        store.register_sinks(["sink"])
        store.commit({"file": {"offset": 1}}, {f"s{n}": os.urandom(3000) for n in range(100)}, steps(300))
    assert not Path(f"{path}-wal").exists()
    return path.read_bytes()


@pytest.mark.parametrize("content", [b"no database", b"x" * 10_000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"s\.db is damaged .* move it away") as caught:
        Store(path)
    assert caught.value.exit_code == CorruptFile.exit_code == 3
    assert path.read_bytes() == content


def test_damage_anywhere_is_found_at_opening_or_hurts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    sound = filled(path)
    rng = random.Random(1)
    found = 0
    for _ in range(40):
        for file in tmp_path.iterdir():
            file.unlink()
        damaged = bytearray(sound)
        at = rng.randrange(len(sound) - 600)
        damaged[at : at + 600] = rng.randbytes(600)
        path.write_bytes(damaged)
        try:
            with Store(path) as store:
                assert store.commit({"file": {"offset": 2}}, {"new": b"1"}, [step("new")]) == 1
        except (StoreCorrupt, VersionError, StoreError):
            found += 1
    assert found >= 10  # the rest fell on contents: states and events carry no checksum of their own


def test_a_file_cut_short_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    sound = filled(path)
    path.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(StoreCorrupt):
        Store(path)


def test_damage_while_running_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    size = len(filled(path))
    with Store(path, check=False) as store:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        with pytest.raises(StoreCorrupt, match="move it away"):
            store.commit({"file": {"offset": 2}}, {"s1": b"2"}, [step("new")])


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_store_of_a_newer_aez_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(VersionError, match="format 99"):
        Store(path)


def test_a_second_monitor_on_the_same_store_is_refused_and_commands_are_not(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", exclusive=True) as store:
        with pytest.raises(StoreLocked, match="another monitor"):
            Store(tmp_path / "s.db", exclusive=True)
        store.commit({}, {}, [step()])
        with Store(tmp_path / "s.db") as command:
            assert command.events.acknowledge("a", "me")
    Store(tmp_path / "s.db", exclusive=True).close()


def test_a_writer_that_does_not_let_go_is_named_and_the_same_commit_works_later(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", busy_seconds=0.1) as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match=r"more than 0\.1 s") as caught:
            store.commit({"file": {"offset": 1}}, {}, [step()])
        assert caught.value.exit_code == 6
        assert store.positions() == {}
        other.execute("ROLLBACK")
        other.close()
        assert store.commit({"file": {"offset": 1}}, {}, [step()]) == 1


def test_a_store_that_somebody_holds_for_himself_cannot_be_opened(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLocked):
        Store(tmp_path / "s.db", busy_seconds=0.1)
    other.close()


FULL = """
import resource, sys
sys.path.insert(0, {root!r})
from tests.kit.event_steps import step, steps
from aez.daemon.state.store import Store, StoreError
store = Store({path!r}, check=False)
store.register_sinks(["sink"])
number, failed = 0, None
{limit}
while failed is None:
    try:
        store.commit({{"file": {{"at": number}}}}, {{"pump": bytes(50_000)}}, [step("e%d" % number, n=number)])
        number += 1
    except StoreError as error:
        failed = error
assert number > 0
print(type(failed).__name__, failed)
assert store.positions() == {{"file": {{"at": number - 1}}}}, store.positions()
{relief}
again = store.commit({{"file": {{"at": number}}}}, {{"pump": bytes(50_000)}}, [step("e%d" % number, n=number)])
assert again == 1
assert [one.record.event["n"] for one in store.pending("sink", 10_000)] == list(range(number + 1))
store.close()
"""


def run_script(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*before, sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def test_a_commit_that_finds_no_room_changes_nothing_and_works_once_there_is(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    script = FULL.format(
        root=str(ROOT),
        path=str(tmp_path / "s.db"),
        limit="resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))",
        relief="resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))",
    )
    run = run_script(script)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("StoreError the store")


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["sh", "-c", f'mount -t tmpfs -o size=2m none {disk} && exec "$@"', "sh"]
    alone = [unshare or "unshare", "--user", "--map-root-user", "--mount"]
    if unshare is None or subprocess.run([*alone, *mount, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here without rights")
    script = FULL.format(
        root=str(ROOT),
        path=str(disk / "s.db"),
        limit=f"open({str(disk / 'ballast')!r}, 'wb').write(bytes(1 << 20))",
        relief=f"import os; os.unlink({str(disk / 'ballast')!r})",
    )
    run = run_script(script, *alone, *mount)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(StoreFull.__name__)


COMMITTER = """
import os, sys
sys.path.insert(0, {root!r})
from tests.kit.event_steps import step
from aez.daemon.state.store import Store
store = Store({path!r}, exclusive=True)
store.register_sinks(["sink"])
number = store.positions().get("file", {{"at": -1}})["at"] + 1
if number:
    assert int(store.state("pump").data[:8]) == number - 1
while True:
    data = b"%08d" % number + bytes(20_000)
    events = [step("e%06d" % number, sequence, part=sequence) for sequence in range(3)]
    store.commit({{"file": {{"at": number}}}}, {{"pump": data}}, events, models="m")
    os.write(1, b"%d\\n" % number)
    number += 1
"""


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_a_killed_process_leaves_all_of_a_commit_or_nothing(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "s.db"
    script = COMMITTER.format(root=str(ROOT), path=str(path))
    rng = random.Random(kills)
    last = -1
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first, process.stderr.read().decode()
        timer = threading.Timer(rng.uniform(0, 0.3), process.send_signal, [signal.SIGKILL])
        timer.start()
        told = [int(first), *(int(line) for line in process.stdout if line.endswith(b"\n"))]
        process.wait()
        timer.join()
        process.stdout.close()
        process.stderr.close()
        assert told == list(range(last + 1, last + 1 + len(told)))
        with Store(path) as store:
            at = store.positions()["file"]["at"]
            assert at in (told[-1], told[-1] + 1)  # the last commit may have been on the disk and not told
            state = store.state("pump")
            assert state is not None
            assert int(state.data[:8]) == at
            assert store.progress("sink").pending == 3 * (at + 1)
            assert store.events.count() == at + 1
        last = at
    with Store(path) as store:
        found = [(one.record.id, one.record.sequence) for one in store.pending("sink", 1_000_000)]
    assert found == [(f"e{number:06d}", sequence) for number in range(last + 1) for sequence in range(3)]
