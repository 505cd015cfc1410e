"""A tenth of all messages malformed: counted by reason, kept within bounds, and the rest as if they had not come."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aez.bench.load.process import free_port, until
from aez.bench.load.telemetry import messages
from aez.bench.monitor.latency import SATELLITES
from aez.bench.monitor.outcome import same, stored_events
from aez.bench.monitor.process import MonitorProcess, sum_of
from aez.daemon.simulate.satellites import CHANNELS, Simulation

pytestmark = pytest.mark.slow

SIMULATION = Simulation(streams=4, seed=3, every=120, first=60, length=25)
ROWS, GOOD = 500, 2000
DEAD_LETTERS = 100_000  # bytes
CONFIG = """\
[service]
log_level = "error"
dead_letters_bytes = {dead_letters}
[limits]
streams = 50
[web]
port = {page}
[[models]]
path = "{model}"
streams = ["sat-*"]
[[sources]]
format = "{format}"
stream = "stream"
time = "time"
columns = [{columns}]
complete = true
{source}
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""
HTTP = 'kind = "http"\nport = {port}'
FILE = 'kind = "file"\npaths = ["data"]\nfollow = {follow}'
TIME = 1_767_225_600_500_000_000  # half a second behind the first row, where none is


def json_messages() -> Iterator[bytes]:
    def changed(**changes: object) -> bytes:
        fields = {"time": "2026-01-01T00:00:30.500Z", "stream": "sat-01", **dict.fromkeys(CHANNELS, 1.0), **changes}
        return json.dumps({name: value for name, value in fields.items() if value != "absent"}).encode()

    for number in itertools.count():
        yield from (
            changed(bus_voltage="high"),
            changed(bus_voltage=[1, 2]),
            changed(bus_voltage=1e41),
            changed(bus_current=-1e40),
            changed(bus_current=1e300),
            changed(gyro_rate="absent"),
            changed(time="yesterday"),
            changed(time=1e40),
            changed(time="absent"),
            changed(stream={"a": 1}),
            changed(stream="x" * 10_000),
            changed().replace(b"1.0", b"1e999", 1),
            changed().replace(b"1.0", b"9" * 6000, 1),
            changed()[:-30],
            b"\xff\xfe\x00" + changed(),
            b"[" * 100_000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b"{" + b",".join(b'"c%d":1' % place for place in range(50_000)) + b"}",
            b"null",
            changed(stream=f"unknown-{number}", bus_voltage="high"),
        )
        if number % 5 == 0:
            yield b'{"time":"' + b"y" * 10_000_000


def csv_messages() -> Iterator[bytes]:
    good = b"2026-01-01T00:00:30.500Z,sat-01" + b",1.0" * len(CHANNELS)
    for number in itertools.count():
        yield from (
            good.replace(b"1.0", b"high", 1),
            good.replace(b"1.0", b"1e40", 1),
            good.replace(b"1.0", b"1e300", 1),
            good.replace(b"1.0", b"9" * 6000, 1),
            good[:-4],
            good + b",1.0,1.0",
            good.replace(b"2026", b"noon", 1),
            good.replace(b"sat-01", b"x" * 10_000),
            b"\xff\xfe" + good.replace(b"sat", b"\xff\xfe"),
            b"," * 5000,
        )
        if number % 5 == 0:
            yield b"y" * 10_000_000


def line_messages() -> Iterator[bytes]:
    good = b"telemetry,stream=sat-01 " + b",".join(b"%s=1" % name.encode() for name in CHANNELS) + b" %d" % TIME
    for number in itertools.count():
        yield from (
            good.replace(b"=1,", b'="high",', 1),
            good.replace(b"=1,", b"=1e39,", 1),
            good.replace(b"=1,", b"=-1e40,", 1),
            good.replace(b"=1,", b"=1e300,", 1),
            good.replace(b"=1,", b"=" + b"9" * 6000 + b",", 1),
            good.replace(b"bus_voltage=1,", b""),
            good.replace(b"%d" % TIME, b"noon"),
            good.replace(b"%d" % TIME, b"9" * 40),
            good.replace(b"sat-01", b"x" * 10_000),
            good.replace(b"telemetry", b"\xff\xfe"),
            good.replace(b" bus", b",bus"),
            b"telemetry",
            b"," * 5000,
        )
        if number % 5 == 0:
            yield b"y" * 10_000_000


BAD: dict[str, Callable[[], Iterator[bytes]]] = {"json": json_messages, "csv": csv_messages, "line": line_messages}


def config(folder: Path, kind: str, source: str, page: int = 0) -> Path:
    path = folder / "monitor.toml"
    path.write_text(
        CONFIG.format(
            dead_letters=DEAD_LETTERS,
            page=page,
            model=SATELLITES,
            format=kind,
            columns=", ".join(f'"{name}"' for name in CHANNELS),
            source=source,
        )
    )
    return path


def good(kind: str) -> list[bytes]:
    return [line for _, line in messages(SIMULATION, ROWS, kind=kind)]


def mixed(kind: str) -> tuple[list[bytes], int]:
    """The good messages with a bad one behind every ninth, and how many are bad."""
    bad = BAD[kind]()
    lines = [",".join(["time", "stream", *CHANNELS]).encode() + b"\n"] if kind == "csv" else []
    for number, line in enumerate(good(kind)):
        lines += [line, next(bad) + b"\n"] if number % 9 == 0 else [line]
    return lines, len(range(0, GOOD, 9))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The events of the good messages alone."""
    folder = tmp_path_factory.mktemp("quiet")
    (folder / "data").write_bytes(b"".join(good("json")))
    with MonitorProcess(config(folder, "json", FILE.format(follow="false")), "--once") as monitor:
        monitor.wait(60)
        assert monitor.code == 0, monitor.words()
    found = stored_events(folder / "monitor.db")
    assert len(found) >= 12
    return found


def reasons(monitor: MonitorProcess) -> Counter[str]:
    return Counter(
        {
            name.partition('reason="')[2].partition('"')[0]: int(value)
            for name, value in monitor.metrics().items()
            if name.startswith("aez_dropped_total{")
        }
    )


def letters(folder: Path) -> list[dict[str, str]]:
    """What was kept, which is within its bound."""
    files = sorted(folder.glob("dead-letters.jsonl*"), reverse=True)
    assert 0 < sum(path.stat().st_size for path in files) <= DEAD_LETTERS
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def end(monitor: MonitorProcess, bad: int) -> Counter[str]:
    """Wait until all is counted, and end it; what was refused, by reason."""
    until(lambda: sum_of(monitor.metrics(), "aez_samples_total") >= GOOD, 60, "the good rows came", monitor)
    until(lambda: reasons(monitor).total() >= bad, 60, "the bad ones are counted", monitor)
    found = reasons(monitor)
    assert sum_of(monitor.metrics(), "aez_samples_total") - found["no_model"] == GOOD
    assert found.total() == bad
    monitor.signal(signal.SIGTERM)
    monitor.wait(60)
    assert monitor.code == 0
    assert monitor.peak < 600e6
    return found


@pytest.mark.parametrize("kind", ["json", "csv", "line"])
def test_a_tenth_of_a_file_is_malformed(tmp_path: Path, expected: dict[str, dict[str, object]], kind: str) -> None:
    lines, bad = mixed(kind)
    (tmp_path / "data").write_bytes(b"".join(lines))
    page = free_port()
    with MonitorProcess(config(tmp_path, kind, FILE.format(follow="true"), page), port=page) as monitor:
        monitor.ready()
        found = end(monitor, bad)
    assert same(stored_events(tmp_path / "monitor.db"), expected)
    assert found.keys() >= {"too_long", "encoding", "syntax", "wrong_type", "too_large", "missing_column"}
    assert {letter["reason"] for letter in letters(tmp_path)} <= set(found)


def test_a_tenth_of_what_is_pushed_is_malformed(tmp_path: Path, expected: dict[str, dict[str, object]]) -> None:
    lines, bad = mixed("json")
    page, port = free_port(), free_port()
    with MonitorProcess(config(tmp_path, "json", HTTP.format(port=port), page), port=page) as monitor:
        monitor.ready()
        for at in range(0, len(lines), 100):
            push(port, b"".join(lines[at : at + 100]))
        end(monitor, bad)
    assert same(stored_events(tmp_path / "monitor.db"), expected)
    letters(tmp_path)


@pytest.mark.parametrize(("patterns", "reason"), [("", "no_model"), ('streams = ["sat-*"]', "unknown_stream")])
def test_streams_that_nobody_knows(
    tmp_path: Path, expected: dict[str, dict[str, object]], patterns: str, reason: str
) -> None:
    lines = good("json")
    strangers = [lines[0].replace(b"sat-01", b"stranger-%d" % number) for number in range(5000)]
    mixed = [line for pair in zip(lines, strangers[:GOOD], strict=True) for line in pair] + strangers[GOOD:]
    (tmp_path / "data").write_bytes(b"".join(mixed))
    page = free_port()
    source = FILE.format(follow="true") + f"\n{patterns}"
    with MonitorProcess(config(tmp_path, "json", source, page), port=page) as monitor:
        monitor.ready()
        found = end(monitor, 5000)
    assert found == {reason: 5000}
    assert same(stored_events(tmp_path / "monitor.db"), expected)


def push(port: int, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/push", body, {"Content-Type": "application/x-ndjson"})
    assert connection.getresponse().status == 204
    connection.close()
