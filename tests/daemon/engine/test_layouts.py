"""The same measurements in every layout and format, however they are cut: the same events as of whole rows.

One sensor a message, long tables, a topic for each sensor, Telegraf's bodies by measurement, a backlog channel by
channel: through the parsers and the engine, with the settings that nobody has to give.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.daemon.common.records import Chunk, EventRecord
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.watched import Watched
from aez.daemon.parse.formats import parser
from aez.daemon.transform.table import Transform
from tests.kit.engine_models import PERIOD, SECOND, START, Array, Magnitude, bursts

CHANNELS = ("flow", "heat", "load", "noise")
STREAMS = ("pump-1", "pump-2")
#: (stream, time in s, {channel: value}) of a message.
Message = tuple[str, int, dict[str, float]]


def engine() -> Engine:
    return Engine([Watched("plant", Magnitude(channels=CHANNELS), update_every=5)])


def tables(rows: int, seed: int, missing: float) -> dict[str, Array]:
    """Values [rows, channels] of each stream; none of them all missing."""
    found = {}
    for number, stream in enumerate(STREAMS):
        values = np.concatenate([bursts(rows, 7 * seed + number, missing), bursts(rows, 7 * seed + 3, missing)], axis=1)
        values[30:36] = 4.0
        values[np.isnan(values).all(axis=1), 0] = 0.1
        values[0] = np.where(np.isnan(values[0]), 0.1, values[0])
        found[stream] = values
    return found


def whole(by_stream: dict[str, Array]) -> list[Message]:
    count = len(by_stream[STREAMS[0]])
    named = {
        stream: [dict(zip(CHANNELS, row, strict=True)) for row in rows.tolist()] for stream, rows in by_stream.items()
    }
    return [(stream, START // SECOND + PERIOD * row, named[stream][row]) for row in range(count) for stream in STREAMS]


def apart(messages: list[Message], groups: list[tuple[str, ...]]) -> list[list[Message]]:
    """Of each group of channels its messages, without those that have no value."""
    found = []
    for group in groups:
        cut = [(stream, time, {name: values[name] for name in group}) for stream, time, values in messages]
        kept = [(stream, time, {n: v for n, v in values.items() if v == v}) for stream, time, values in cut]
        found.append([message for message in kept if message[2]])
    return found


def row_by_row(parts: list[list[Message]]) -> list[Message]:
    return sorted((message for part in parts for message in part), key=lambda message: message[1])


def one_after_another(parts: list[list[Message]]) -> list[Message]:
    return [message for part in parts for message in part]


def as_json(messages: list[Message]) -> bytes:
    lines = [json.dumps({"time": time, "stream": stream, **values}) for stream, time, values in messages]
    return ("\n".join(lines) + "\n").encode().replace(b"NaN", b"null")


def as_long_csv(messages: list[Message]) -> bytes:
    """One value a line: the others' cells are empty."""
    cells = [[str(values.get(name, "")).replace("nan", "") for name in CHANNELS] for _, _, values in messages]
    rows = [f"{time},{stream},{','.join(row)}" for (stream, time, _), row in zip(messages, cells, strict=True)]
    return "\n".join([f"time,stream,{','.join(CHANNELS)}", *rows, ""]).encode()


def as_line_protocol(messages: list[Message]) -> bytes:
    lines = [
        f"{'_'.join(values)},stream={stream} {','.join(f'{n}={v!r}' for n, v in values.items())} {time * SECOND}"
        for stream, time, values in messages
    ]
    return ("\n".join(lines) + "\n").encode()


def as_telegraf(messages: list[Message]) -> bytes:
    """A line is a body of Telegraf's JSON: a list of what one measurement gave for some while."""
    lines = []
    for start in range(0, len(messages), 5):
        metrics = [
            {"fields": values, "name": "_".join(values), "tags": {"stream": stream}, "timestamp": time}
            for stream, time, values in messages[start : start + 5]
        ]
        lines.append(json.dumps(metrics))
    return ("\n".join(lines) + "\n").encode()


def as_arrow(messages: list[Message]) -> bytes:
    table = pa.table(
        {
            "time": [time for _, time, _ in messages],
            "stream": [stream for stream, _, _ in messages],
            **{name: [values.get(name) for _, _, values in messages] for name in CHANNELS},
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


_TELEGRAF = {
    "stream": "tags.stream",
    "time": "timestamp",
    "transforms": [Transform(columns=("fields.*",), rename="*")],
}
FORMATS: dict[str, tuple[str, Callable[[list[Message]], bytes], dict[str, Any]]] = {
    "json": ("json", as_json, {"stream": "stream", "time_unit": "s"}),
    "csv": ("csv", as_long_csv, {"stream": "stream", "time_unit": "s"}),
    "line": ("line", as_line_protocol, {"stream": "{stream}"}),
    "telegraf": ("json", as_telegraf, _TELEGRAF),
    "arrow": ("arrow", as_arrow, {"stream": "stream", "time_unit": "s"}),
}


def chunks(data: bytes, form: str, cuts: list[int]) -> list[Chunk]:
    """The data cut between lines; CSV has its header with each."""
    if form == "arrow":
        return [Chunk("plant", data, form, {}, 0.0)]
    lines = data.splitlines(keepends=True)
    header = lines.pop(0).decode() if form == "csv" else None
    edges = [0, *sorted(cut % (len(lines) + 1) for cut in cuts), len(lines)]
    parts = [b"".join(lines[start:end]) for start, end in pairwise(edges) if end > start]
    return [Chunk("plant", part, form, {}, 0.0, header=header) for part in parts]


def events(found: list[EventRecord]) -> list[Any]:
    """What people get, in an order of its own: that of streams among each other is nobody's."""
    return sorted((one.stream, one.time, one.sequence, one.id, json.dumps(one.event)) for one in found)


def run(
    messages: list[Message], form: str, cuts: list[int], restarts: set[int] | None = None
) -> tuple[list[Any], Engine]:
    kind, written, options = FORMATS[form]
    reads, some = parser(kind, options), engine()
    found: list[EventRecord] = []
    data = (
        [written(messages)]
        if form != "arrow"
        else [written(messages[at : at + 50]) for at in range(0, len(messages), 50)]
    )
    for number, one in enumerate(chunk for part in data for chunk in chunks(part, kind, cuts)):
        samples, malformed = reads.parse_many([one])
        assert not malformed
        found += some.process(samples)
        if restarts and number in restarts:
            states = some.touched()
            fresh = engine()
            for name, state in states.items():
                assert fresh.restore(name, state) == ""
            some = fresh
    return events(found + some.flush(0)), some


LAYOUTS: dict[str, Callable[[list[Message]], list[Message]]] = {
    "one sensor a message": lambda messages: row_by_row(apart(messages, [(name,) for name in CHANNELS])),
    "measurements": lambda messages: row_by_row(apart(messages, [CHANNELS[:3], CHANNELS[3:]])),
    "measurements, the first one ahead": lambda messages: one_after_another(
        [
            part
            for start in range(0, len(messages), 60)
            for part in apart(messages[start : start + 60], [CHANNELS[:3], CHANNELS[3:]])
        ]
    ),
    "a backlog, sensor by sensor": lambda messages: one_after_another(apart(messages, [(name,) for name in CHANNELS])),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 5000), max_size=6), st.sampled_from([0.0, 0.05]), st.data())
def test_every_layout_gives_the_events_of_whole_rows(
    form: str, layout: str, seed: int, cuts: list[int], missing: float, data: st.DataObject
) -> None:
    messages = whole(tables(80, seed, missing))
    wanted, _ = run(messages, "json", [])
    assert wanted
    restarts = {data.draw(st.integers(0, 5))} if data.draw(st.booleans()) else set()
    found, some = run(LAYOUTS[layout](messages), form, cuts, restarts)
    assert found == wanted
    if not restarts:  # another process counts for itself
        stats = some.stats()
        assert {name: stats[f"dropped.{name}"] for name in ("late", "duplicate", "future")} == {
            "late": 0,
            "duplicate": 0,
            "future": 0,
        }


def scattered(messages: list[Message], dice: np.random.Generator) -> list[Message]:
    """Each row in pieces of its own, in any order; the streams beside each other, and one channel some rows behind."""
    behind, by = dice.choice(CHANNELS), int(dice.integers(0, 4))
    found: list[list[Message]] = []
    for stream in STREAMS:
        mine = [message for message in messages if message[0] == stream]
        pieces: list[tuple[int, Message]] = []
        for row, (_, time, values) in enumerate(mine):
            there = [name for name, value in values.items() if value == value]
            dice.shuffle(there)
            cuts = sorted(dice.integers(0, len(there) + 1, dice.integers(0, 4)).tolist())
            for part in (there[start:end] for start, end in pairwise([0, *cuts, len(there)])):
                late = [name for name in part if name == behind]
                for names, at in (([name for name in part if name not in late], row), (late, row + by)):
                    if names:
                        pieces.append((at, (stream, time, {name: values[name] for name in names})))
        found.append([message for _, message in sorted(pieces, key=lambda piece: piece[0])])
    turns = dice.permutation(np.repeat(np.arange(len(found)), [len(one) for one in found])).tolist()
    left = [iter(one) for one in found]
    return [next(left[turn]) for turn in turns]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 5000), max_size=12), st.booleans())
def test_a_thousand_cuttings_and_interleavings_give_the_events_of_whole_rows(
    form: str, seed: int, cuts: list[int], restart: bool
) -> None:
    """200 of each of five formats."""
    dice = np.random.default_rng(seed)
    messages = whole(tables(int(dice.integers(45, 60)), seed, float(dice.choice([0.0, 0.05, 0.3]))))
    wanted, _ = run(messages, "json", [])
    found, some = run(scattered(messages, dice), form, cuts, {int(dice.integers(0, 6))} if restart else set())
    assert found == wanted
    if not restart:
        stats = some.stats()
        assert sum(stats.get(f"dropped.{name}", 0) for name in ("late", "duplicate", "future", "no_channel")) == 0


def test_a_topic_for_each_sensor() -> None:
    """As MQTT brings it: bare numbers with the time of their arrival are no rows, so messages have a time."""
    messages = whole(tables(150, 3, 0.0))
    wanted, _ = run(messages, "json", [])
    reads, some = parser("json", {"stream": "{topic[1]}", "time_unit": "s"}), engine()
    found: list[EventRecord] = []
    for stream, time, values in LAYOUTS["one sensor a message"](messages):
        ((name, value),) = values.items()
        data = json.dumps({"time": time, name: value}).encode()
        samples, _ = reads.parse(Chunk("plant", data, "json", {}, 0.0, stream=f"plant/{stream}/{name}"))
        found += some.process(samples)
    assert events(found + some.flush(0)) == wanted


def test_more_sets_of_columns_than_are_kept_apart_stay_in_order_and_other_messages_are_counted() -> None:
    channels = tuple(f"c{number:02d}" for number in range(30))
    some = Engine([Watched("plant", Magnitude(channels=channels, window=2))])
    lines = [
        json.dumps({"time": START + at * PERIOD * SECOND, name: 0.1})
        for at in range(40)
        for name in (*channels, *(f"x{number}" for number in range(8)))
    ]
    samples, _ = parser("json").parse(Chunk("plant", "\n".join(lines).encode(), "json", {}, 0.0))
    some.process(samples)
    some.flush(0)
    stats = some.stats()
    assert (stats["scored"], stats["gap_rows"]) == (39, 0)
    assert (stats["dropped.late"], stats["dropped.duplicate"], stats["dropped.no_channel"]) == (0, 0, 320)
