"""The state's file as one thing on a disk: held under all its names, and missed once it is gone; older ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from aez.codec.errors import VersionError
from aez.daemon.common.records import EventRecord
from aez.daemon.state.database import Database, StoreError, StoreLocked, StoreMoved, StoreOlder
from aez.daemon.state.held import holder, is_held
from aez.daemon.state.store import Store

RECORD = EventRecord("one", 0, "open", "a", "m", 1, {})


def deleted(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replaced(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    path.touch()


def without_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def without_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("gone"))


@pytest.mark.parametrize("lose", [deleted, moved, replaced, without_log, without_folder])
def test_what_is_not_there_any_more_is_not_written(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    path = folder / "monitor.db"
    with Store(path, exclusive=True) as store:
        store.commit({"s": {"at": 1}})
        assert store.trouble() == ""
        lose(path)
        assert str(path) in store.trouble()
        with pytest.raises(StoreMoved, match="restart"):
            store.commit({"s": {"at": 2}}, {}, [RECORD])
        with pytest.raises(StoreMoved):
            store.positions()
        assert path.exists() == (lose in (replaced, without_log))  # and no other is made in its place


def test_what_is_lost_during_a_commit_is_not_called_written(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    with Store(path, exclusive=True) as store:
        with pytest.raises(StoreMoved), store._database.write():
            moved(path)
        path.with_name("elsewhere.db").rename(path)
        assert store.commit({}, {}, [RECORD]) == 1


def hard(path: Path) -> Path:
    other = path.with_name("hard.db")
    other.hardlink_to(path)
    return other


def symbolic(path: Path) -> Path:
    other = path.with_name("symbolic.db")
    other.symlink_to(path)
    return other


@pytest.mark.parametrize("link", [hard, symbolic])
def test_another_name_is_no_way_to_a_second_monitor(tmp_path: Path, link: Callable[[Path], Path]) -> None:
    path = tmp_path / "monitor.db"
    with Store(path, exclusive=True) as store:
        other = link(path)
        with pytest.raises(StoreLocked, match="another monitor runs"):
            Store(other, exclusive=True)
        assert store.commit({}, {}, [RECORD]) == 1
    Store(other, exclusive=True).close()  # nobody runs with it now


def test_a_hard_link_is_refused_to_commands_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "monitor.db"
    with Store(path, exclusive=True):
        other = hard(path)
        monkeypatch.setattr("aez.daemon.state.held._mine", set())  # as in another process
        with pytest.raises(StoreError, match="another name"):
            Store(other)
        Store(path).close()


def test_who_holds_it_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    assert (is_held(path), holder(path)) == (False, {})
    with Store(path, exclusive=True) as store:
        assert is_held(path)
        store.say(host="here", port=1)
        assert {"host": "here", "port": 1}.items() <= holder(path).items()
        store.say(host="there", port=22)
        assert holder(path)["host"] == "there"
    assert (is_held(path), holder(path)) == (False, {})


SCHEMA = "CREATE TABLE IF NOT EXISTS one (a TEXT); CREATE TABLE IF NOT EXISTS two (b TEXT);"
STEPS = {1: "ALTER TABLE one ADD COLUMN c TEXT DEFAULT 'x';", 2: "UPDATE one SET c = 'y';"}


def made(path: Path, version: int) -> None:
    database = Database(path, "CREATE TABLE one (a TEXT); INSERT INTO one VALUES ('kept');", version)
    database.close()


def content(path: Path) -> tuple[int, list[tuple[str, ...]], set[str]]:
    connection = sqlite3.connect(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return version, connection.execute("SELECT * FROM one").fetchall(), tables
    finally:
        connection.close()


def test_an_older_file_is_migrated_by_who_is_exclusive(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    made(path, 1)
    with pytest.raises(StoreOlder, match="has format 1; the next start of its monitor makes it one of 3"):
        Database(path, SCHEMA, 3, migrations=STEPS)
    assert content(path) == (1, [("kept",)], {"one"})
    Database(path, SCHEMA, 3, migrations=STEPS, exclusive=True).close()
    assert content(path) == (3, [("kept", "y")], {"one", "two"})
    Database(path, SCHEMA, 3, migrations=STEPS).close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    made(path, 1)
    with pytest.raises(StoreError, match="no such table"):
        Database(path, SCHEMA, 3, migrations={**STEPS, 2: "UPDATE missing SET c = 1;"}, exclusive=True)
    assert content(path) == (1, [("kept",)], {"one"})


def test_one_that_is_too_old_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    made(path, 1)
    with pytest.raises(VersionError, match="has format 1, which this aez no longer reads"):
        Database(path, SCHEMA, 3, migrations={2: ""}, exclusive=True)
