"""Columns of streams: they grow, move and clear together, whatever they hold."""

from __future__ import annotations

import numpy as np

from aez.daemon.rows.columns import StreamColumns, column, entries, runs


class Table(StreamColumns):
    level = column(np.float32, np.nan)
    loud = column(np.bool_)
    past = column(np.int64, -1)
    notes: dict[int, str] = entries()


class Wider(Table):
    more = column(np.int64, 7)


def test_a_table_grows_with_what_it_holds_and_never_shrinks() -> None:
    table = Table(past=(2, 3))
    assert table.size == len(table.level) == 0
    table.grow(2)
    table.level[1], table.loud[1], table.past[1], table.notes[1] = 0.5, True, 4, "one"
    table.grow(5)
    table.grow(3)
    assert table.size == 5
    assert (table.level.dtype, table.loud.dtype, table.past.dtype) == ("float32", "bool", "int64")
    assert table.past.shape == (5, 2, 3)
    np.testing.assert_array_equal(table.level, np.float32([np.nan, 0.5, np.nan, np.nan, np.nan]))
    assert table.loud.tolist() == [False, True, False, False, False]
    assert table.past[:, 1, 2].tolist() == [-1, 4, -1, -1, -1]
    assert table.notes == {1: "one"}


def test_a_stream_that_moves_leaves_nothing_behind() -> None:
    table = Wider()
    table.grow(3)
    table.past[:], table.more[:] = (1, 2, 3), (4, 5, 6)
    table.notes.update({0: "first", 2: "last"})
    table.move(2, 0)
    assert (table.past.tolist(), table.more.tolist(), table.notes) == ([3, 2, -1], [6, 5, 7], {0: "last"})
    table.move(1, 0)  # one without a note takes the note of the other away
    assert (table.past.tolist(), table.more.tolist(), table.notes) == ([2, -1, -1], [5, 7, 7], {})
    table.notes[0] = "again"
    table.move(0, 0)
    assert (table.past.tolist(), table.more.tolist(), table.notes) == ([-1] * 3, [7] * 3, {})


def test_tables_share_nothing() -> None:
    one, other = Table(), Wider()
    one.grow(1)
    one.notes[0] = "mine"
    assert other.size == 0
    assert other.notes == {}
    assert not hasattr(one, "more")


def test_runs_begin_where_the_stream_changes() -> None:
    assert runs(np.array([3, 3, 5, 8, 8])).tolist() == [0, 2, 3]
    assert runs(np.array([4])).tolist() == [0]
    assert runs(np.empty(0, np.int64)).tolist() == []
