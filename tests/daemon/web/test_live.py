"""What the live page is told: pages of streams, the last rows with their reconstruction, and what changed."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aez.codec.detect.detector import Detector, WindowScores, load_detector
from aez.codec.detect.events import EventRule
from aez.codec.detect.scaling import Scale, StreamScales
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Samples
from aez.daemon.config.reader import load
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.stream_table import StreamPages, StreamTable
from aez.daemon.engine.watched import Watched
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS, Simulation
from aez.daemon.web import live as live_module
from aez.daemon.web.live import ROWS, History, Live, Watch, blame
from tests.kit.brokers import free_port
from tests.kit.satellite_model import WINDOW, save_satellite_model
from tests.kit.waiting import until

SECOND = 1_000_000_000
VALUES = np.concatenate([block.values for block in Simulation(seed=5).blocks(3000)])


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return load_detector(save_satellite_model(tmp_path_factory.mktemp("model") / "satellite.aezm"), "cpu", 1)


def engine(detector: Detector) -> tuple[Engine, Live]:
    made, live = Engine([Watched("satellite", detector)], clock=lambda: 2_000_000_000 * SECOND), Live()
    live.use({"satellite": detector})
    made.listener = live.scored
    return made, live


def push(some: Engine, streams: list[str], first: int, rows: int) -> None:
    """The same rows for each of the streams, in one call."""
    time_ns = np.tile((np.arange(first, first + rows) + 1_700_000_000) * SECOND, len(streams))
    numbers = np.repeat(np.arange(len(streams), dtype=np.int32), rows)
    values = np.tile(VALUES[first : first + rows], (len(streams), 1))
    some.process([Samples(streams, numbers, time_ns, tuple(CHANNELS), values)])


def watch(some: Engine, live: Live, stream: str) -> Watch:
    recent = some.recent(stream)
    assert recent is not None
    found = live.watch(stream, recent)
    assert found is not None
    return found


def expected(detector: Detector, first: int, rows: int) -> tuple[Any, Any]:
    """Scores and reconstruction of rows first..first+rows, each of the window that ends there."""
    windows = np.stack([VALUES[end - WINDOW + 1 : end + 1] for end in range(first, first + rows)])
    return detector.score_windows(windows).score, detector.reconstruct(windows)[:, -1]


def is_right(rows: History, detector: Detector, last: int, fresh: int) -> None:
    """Rows that end with `last`; the first `fresh` of them have no reconstruction yet."""
    count = len(rows.row)
    assert rows.row.tolist() == list(range(last - count + 1, last + 1))
    assert rows.time.tolist() == [(1_700_000_000 + row) * SECOND for row in rows.row.tolist()]
    np.testing.assert_allclose(rows.values, VALUES[last - count + 1 : last + 1].astype(np.float32))
    score, reconstruction = expected(detector, last - count + 1 + fresh, count - fresh)
    np.testing.assert_allclose(rows.score[fresh:], score, rtol=1e-5)
    np.testing.assert_allclose(rows.reconstruction[fresh:], reconstruction, rtol=1e-5)
    assert np.isnan(rows.reconstruction[:fresh]).all()


def test_a_watch_has_what_was_scored_before_it_began_and_goes_on(detector: Detector) -> None:
    some, live = engine(detector)
    push(some, ["a", "b"], 0, 50)
    found = watch(some, live, "b")
    _, rows = found.rows()
    is_right(rows, detector, 49, WINDOW - 1)
    push(some, ["b", "a"], 50, 20)
    push(some, ["a"], 70, 5)
    _, more = found.rows(after=49)
    is_right(more, detector, 69, 0)
    assert len(found.rows(after=69)[1].row) == 0
    for at in range(70, 1470, 100):
        push(some, ["b"], at, 100)
    _, rows = found.rows()
    assert len(rows.row) == ROWS
    is_right(rows, detector, 1469, 0)


def test_after_a_restart_it_begins_with_the_rows_of_the_ring(detector: Detector) -> None:
    before, _ = engine(detector)
    push(before, ["a"], 0, 30)
    some, live = engine(detector)
    for name, data in before.touched().items():
        assert some.restore(name, data) == ""
    found = watch(some, live, "a")
    _, rows = found.rows()
    assert rows.row.tolist() == list(range(31 - WINDOW, 30))
    assert np.isnan(rows.score).all()
    push(some, ["a"], 30, 4)
    is_right(found.rows()[1], detector, 33, WINDOW - 1)


def test_large_blocks_leave_the_last_rows_of_each_stream(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_BLOCK_BYTES", 20_000)
    some, live = engine(detector)
    push(some, ["a", "b"], 0, 10)
    push(some, ["a", "b", "c"], 10, 1000)
    found = watch(some, live, "b")
    _, rows = found.rows()
    assert 20 < len(rows.row) < 100
    is_right(rows, detector, 1009, WINDOW - 1)
    # What is kept is bounded, and a watch that missed something has no rows from before the hole.
    monkeypatch.setattr(live_module, "_BYTES", 5_000)
    for at in range(1010, 1100, 10):
        push(some, ["b"], at, 10)
    _, rows = found.rows()
    assert rows.row[-1] == 1099
    is_right(rows, detector, 1099, WINDOW - 1)
    assert live._bytes <= 5_000


def test_another_model_begins_afresh(detector: Detector, tmp_path: Path) -> None:
    some, live = engine(detector)
    push(some, ["a"], 0, 20)
    found = watch(some, live, "a")
    found.rows()
    other = load_detector(save_satellite_model(tmp_path / "other.aezm", threshold=0.7), "cpu", 1)
    some.replace_models([Watched("satellite", other)])
    live.use({"satellite": other})
    push(some, ["a"], 20, 10)
    model, rows = found.rows()
    assert model.reconstruct == other.reconstruct
    assert rows.row.tolist() == list(range(10))  # the stream starts afresh with another model
    assert np.isnan(rows.score[: WINDOW - 1]).all()
    np.testing.assert_allclose(rows.values, VALUES[20:30].astype(np.float32))


def test_a_stream_that_begins_afresh_counts_anew(detector: Detector) -> None:
    some, live = engine(detector)
    push(some, ["b", "a"], 0, 20)
    found = watch(some, live, "a")
    found.rows()
    some.forget(-1.0)
    push(some, ["a"], 20, 10)
    _, rows = found.rows()
    assert (rows.row.tolist(), found.generation) == (list(range(10)), 1)
    np.testing.assert_allclose(rows.values, VALUES[20:30].astype(np.float32))


def test_blame_is_that_of_the_rows_above_the_limit() -> None:
    scores = np.array([[1, 1], [0.5, 3.5], [1, 1], [np.nan, np.nan]], np.float32)
    score = np.array([0.5, 2.0, 0.5, np.nan], np.float32)
    numbers, limit = np.arange(4), np.ones(4, np.float32)
    rows = History(numbers, numbers, score, limit, scores, scores, scores)
    np.testing.assert_allclose(blame(rows), [0.125, 0.875])
    np.testing.assert_allclose(blame(rows._replace(limit=limit * 9)), [2.5 / 8, 5.5 / 8])
    assert blame(rows.part(slice(3, None))).tolist() == [0, 0]


def test_without_a_page_the_streams_are_not_looked_at(detector: Detector) -> None:
    some, live = engine(detector)
    push(some, ["a"], 0, 5)
    live.look(some)
    assert live.fresh_tables() == ()
    live.enter()
    live.look(some)
    assert [table.names for table in live.fresh_tables()] == [["a"]]


def test_changed_events_are_told_once_and_a_bound_kept() -> None:
    live = Live()
    for event in ("x", "y", "x"):
        live.touched(event)
    at, changed = live.changed_events(0)
    assert changed == ["x", "y"]
    assert live.changed_events(at) == (3, [])
    for number in range(2000):
        live.touched(str(number))
    assert live.changed_events(at) == (2003, None)
    assert live.changed_events(2002) == (2003, ["1999"])


def table(names: list[str], events: dict[int, str], silent: list[int]) -> StreamTable:
    count = len(names)
    flags = np.zeros(count, bool)
    flags[silent] = True
    ones = np.ones(count, np.float32)
    numbers = np.full(count, 7, np.int64)
    return StreamTable("m", names, numbers, numbers, ones * 0.5, ones, flags, events)


def test_streams_are_listed_by_state_then_name() -> None:
    listing = StreamPages()
    tables = [table(["b", "Ba", "d"], {2: "e1"}, [0]), table(["a", "c"], {1: "e2"}, [])]
    page = listing.page(tables)
    assert [one["stream"] for one in page["streams"]] == ["c", "d", "b", "Ba", "a"]
    assert (page["total"], page["counts"]) == (5, {"event": 2, "silent": 1, "normal": 2})
    assert [one["stream"] for one in listing.page(tables, offset=1, limit=2)["streams"]] == ["d", "b"]
    page = listing.page(tables, search="B", state="normal")
    assert [one["stream"] for one in page["streams"]] == ["Ba"]
    assert (page["total"], page["counts"]) == (1, {"event": 0, "silent": 1, "normal": 1})
    assert listing.one(tables, "c") == page["streams"][0] | {"stream": "c", "state": "event", "event": "e2"}
    assert listing.one(tables, "x") is None
    names = ["b", "Ba", "d", "aa"]  # one more came
    assert listing.page([table(names, {}, [])], search="a")["total"] == 2
    assert listing.page([])["total"] == 0
    with pytest.raises(InvalidArgument, match="state is one of event, silent, normal"):
        listing.page(tables, state="odd")


# The whole, over HTTP

CONFIG = """\
[web]
port = {port}
{more}
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def monitor(folder: Path, more: str = "") -> Monitor:
    save_satellite_model(folder / "satellite.aezm")
    (folder / "data.jsonl").touch()
    (folder / "monitor.toml").write_text(CONFIG.format(port=free_port(), more=more))
    made = Monitor(load(folder / "monitor.toml"))
    made.start()
    return made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Monitor]:
    made = monitor(tmp_path)
    yield made
    made.end()


def feed(one: Monitor, first: int, rows: int, fault: float = 0.0) -> None:
    simulation = Simulation(seed=5)
    lines = b"".join(encode(block, "json") for block in simulation.blocks(rows, first)).splitlines()
    with one.config.resolve("data.jsonl").open("ab") as file:
        for line in lines:
            data = json.loads(line)
            data["bus_voltage"] += fault
            file.write(json.dumps(data).encode() + b"\n")


class Following:
    """What an open page gets, gathered by a thread."""

    def __init__(self, one: Monitor, query: str) -> None:
        self.news: list[tuple[str, Any]] = []
        connection = http.client.HTTPConnection("127.0.0.1", one.config.web.port, timeout=60)
        connection.request("GET", f"/api/live?{query}")
        assert connection.sock is not None
        self._socket = connection.sock
        self._answer = connection.getresponse()
        self.kind = self._answer.headers["Content-Type"]
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        name = ""
        try:
            for line in self._answer:
                key, _, text = line.decode().rstrip("\n").partition(": ")
                if key == "event":
                    name = text
                elif key == "data":
                    self.news.append((name, json.loads(text)))
        except (OSError, http.client.HTTPException):
            pass
        self.news.append(("end", None))
        self._answer.close()
        self._socket.close()

    def of(self, name: str) -> list[Any]:
        return [data for kind, data in list(self.news) if kind == name]

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # a close alone would wait for the thread that reads
        self._thread.join()


def test_a_page_gets_the_history_then_what_is_new(running: Monitor) -> None:
    feed(running, 0, 40)
    until(lambda: running.worker.rows == 40)
    page = Following(running, "stream=sat-01")
    assert page.kind == "text/event-stream; charset=utf-8"
    until(lambda: page.of("history"))
    history = page.of("history")[0]
    assert history["row"] == list(range(40))
    assert [one["name"] for one in history["channels"]] != []
    assert history["score"][0] is None
    assert len(history["values"]) == len(history["reconstruction"]) == len(CHANNELS)
    feed(running, 40, 12, fault=9.0)
    until(lambda: page.of("events"))
    (event,) = page.of("events")[0]["events"]
    assert (event["stream"], event["state"]) == ("sat-01", "open")
    until(lambda: any(entry["state"] == "event" for news in page.of("streams") for entry in news["changed"]))
    until(lambda: len(page.of("history")) == 2)  # what is to blame became another
    history = page.of("history")[1]
    assert history["channels"][0] == {"name": "bus_voltage", "unit": "V"}
    running.view.acknowledge(event["id"], "ann", "")
    until(lambda: page.of("events")[-1]["events"][0]["acknowledged_by"] == "ann")
    feed(running, 52, 3)
    until(lambda: page.of("rows"))
    until(lambda: page.of("chosen")[-1]["rows"] == 55)
    rows = [row for news in page.news if news[0] in ("history", "rows") for row in news[1]["row"]]
    assert rows[-1] == 54
    page.close()


def test_a_page_of_a_stream_that_is_not_there_waits_for_it(running: Monitor) -> None:
    page = Following(running, "stream=sat-01")
    until(lambda: page.of("chosen"))
    assert page.of("chosen") == [None]
    feed(running, 0, 10)
    until(lambda: page.of("history"))
    page.close()


def test_the_end_of_the_monitor_ends_the_page_at_once(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    page = Following(made, "")
    until(lambda: page.of("summary"))
    made.end()
    until(lambda: page.of("end"))
    assert made.live._pages == 0


def test_a_page_that_goes_is_forgotten(running: Monitor) -> None:
    feed(running, 0, 10)
    page = Following(running, "stream=sat-01")
    until(lambda: page.of("history"))
    assert (running.live._pages, list(running.live._watches)) == (1, ["sat-01"])
    page.close()
    feed(running, 10, 10)
    until(lambda: running.live._pages == 0 and not running.live._watches)


def test_rows_of_a_stream_by_request(running: Monitor) -> None:
    feed(running, 0, 40)
    until(lambda: running.worker.rows == 40)
    port = running.config.web.port
    with OPENER.open(f"http://127.0.0.1:{port}/api/rows?stream=sat-01&rows=5", timeout=30) as answer:
        found = json.load(answer)
    assert found["row"] == [35, 36, 37, 38, 39]
    assert (found["stream"], found["state"], found["period"]) == ("sat-01", "normal", 1.0)
    assert [one["name"] for one in found["channels"]] == list(CHANNELS)
    assert not running.live._watches


def test_the_page_speaks_tls(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("page.key", "page.crt")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", files[0], "-out", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    made = monitor(tmp_path, f'tls_key = "{files[0]}"\ntls_certificate = "{files[1]}"')
    try:
        trusted = ssl.create_default_context(cafile=files[1])
        port = made.config.web.port
        handler = urllib.request.HTTPSHandler(context=trusted)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        with opener.open(f"https://localhost:{port}/", timeout=30) as answer:
            assert b"aez monitor" in answer.read()
        with pytest.raises(http.client.HTTPException):
            OPENER.open(f"http://localhost:{port}/", timeout=30)
    finally:
        made.end()


class Scaled:
    """A model that takes each stream's scale: its score is 0, and it reconstructs the centre."""

    window, channels, period = 4, ("x",), 1.0

    def __init__(self) -> None:
        usual = Scale(np.zeros(1, np.float32), np.ones(1, np.float32))
        self.scales = StreamScales(usual, {}, 20)
        self.event_rule, self.bundle = EventRule(), SimpleNamespace(id="0" * 64)

    def score_batch(self, batch: Any, *, whole: bool = False, scale: Scale | None = None) -> WindowScores:  # noqa: ARG002
        return WindowScores(np.zeros(len(batch), np.float32), np.zeros((len(batch), 1), np.float32))

    def reconstruct(self, windows: Any, scale: Scale | None = None) -> Any:
        assert scale is not None
        return np.zeros_like(windows) + scale.centre


def test_a_reconstruction_is_made_with_the_scale_of_its_stream() -> None:
    model, live = Scaled(), Live()
    some = Engine([Watched("m", model)], clock=lambda: 2_000_000_000 * SECOND, listener=live.scored)  # type: ignore[arg-type]
    live.use({"m": model})  # type: ignore[dict-item]

    def give(first: int, rows: int) -> None:
        time_ns = (np.arange(first, first + rows) + 1_700_000_000) * SECOND
        values = 50 + np.sin(np.arange(first, first + rows))[:, None]
        some.process([Samples(["a"], np.zeros(rows, np.int32), time_ns, ("x",), values)])

    give(0, 10)
    found = watch(some, live, "a")
    assert found.rows()[1].reconstruction[5:].tolist() == [[0.0]] * 5  # it is not learned yet
    give(10, 10)
    give(20, 5)
    after = found.rows()[1].reconstruction[-5:]
    assert after == pytest.approx(np.full((5, 1), 50), abs=0.5)
    assert watch(some, live, "a").rows()[1].reconstruction[-5:] == pytest.approx(after)
