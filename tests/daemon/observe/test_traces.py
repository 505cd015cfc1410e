"""Traces, as a collector receives them: a real receiver of OTLP over HTTP, and what happens where it is away."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.config.reader import ConfigError, load
from aez.daemon.delivery import Deliveries, Retry
from aez.daemon.observe.traces import Traces
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.sinks.webhook import WebhookOptions, WebhookSink
from aez.daemon.state.store import Store
from tests.kit.satellite_model import save_satellite_model

ROWS = 600
SIMULATION = Simulation(streams=2, seed=1, every=150, first=100, length=30)
CONFIG = """\
[service]
traces = "{url}"
traces_ratio = {ratio}
batch_seconds = 0
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
[[sources]]
name = "telemetry"
kind = "file"
paths = ["*.jsonl"]
stream = "stream"
[[sinks]]
kind = "json_lines"
path = "events.log"
"""


class Collector:
    """Takes OTLP over HTTP on a free port and keeps the spans; one that is silent takes them and never answers."""

    def __init__(self, *, silent: bool = False) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self._silent = silent
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        application = web.Application(client_max_size=1 << 26)
        application.router.add_post("/{path:.*}", self._take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = int(runner.addresses[0][1])
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        if self._silent:
            await self._end.wait()
        body = await request.read()
        found = ExportTraceServiceRequest()
        found.ParseFromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        self.paths.append(request.path)
        self.requests.append(found)
        return web.Response(content_type="application/x-protobuf")


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    for part in range(3):  # each file is a chunk of its own at least
        blocks = SIMULATION.blocks(ROWS // 3, part * ROWS // 3)
        (tmp_path / f"data-{part}.jsonl").write_bytes(b"".join(encode(block, "json") for block in blocks))
    return tmp_path


def run(folder: Path, url: str, ratio: float = 1.0) -> Monitor:
    (folder / "monitor.toml").write_text(CONFIG.format(url=url, ratio=ratio))
    monitor = Monitor(load(folder / "monitor.toml"), once=True)
    assert monitor.run() == 0
    return monitor


def stored(folder: Path) -> list[str]:
    with Store(folder / "monitor.db") as store:
        return sorted(event.id for event in store.events.list(limit=1000))


def attributes(span: Span) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        return [plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)

    return {one.key: plain(one.value) for one in span.attributes}


def named(spans: Sequence[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_batch_is_a_trace_with_its_parts_and_the_deliveries_that_follow(folder: Path, collector: Collector) -> None:
    begun = time.time_ns()
    run(folder, collector.url)
    spans = collector.spans
    assert set(collector.paths) == {"/v1/traces"}
    batches = named(spans, "batch")
    assert sum(attributes(span)["aez.rows"] for span in batches) == 2 * ROWS
    assert sum(attributes(span)["aez.scored"] for span in batches) == 2 * (ROWS - 3)
    size = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    assert sum(attributes(span)["aez.bytes"] for span in batches) == size
    for root in batches:
        facts = attributes(root)
        assert facts["aez.sources"] == ["telemetry"]
        assert facts["aez.models"] == ["satellite"]
        assert facts["aez.queue_wait_seconds"] >= 0
        assert not root.parent_span_id
        parts = [span for span in spans if span.parent_span_id == root.span_id and span.name != "deliver"]
        assert [span.name for span in parts] == ["receive", "parse", "score", "commit", "acknowledge"]
        moments = [moment for span in parts for moment in (span.start_time_unix_nano, span.end_time_unix_nano)]
        assert all(after - before > -1_000_000 for before, after in pairwise(moments))
        assert begun - 10**9 < root.start_time_unix_nano <= root.end_time_unix_nano < time.time_ns() + 10**9
        assert {span.trace_id for span in parts} == {root.trace_id}
    events = stored(folder)
    assert len(events) > 3
    assert {one for span in batches for one in attributes(span)["aez.events"]} == set(events)
    deliveries = named(spans, "deliver")
    assert {one for span in deliveries for one in attributes(span)["aez.events"]} == set(events)
    assert {span.parent_span_id for span in deliveries} <= {span.span_id for span in batches}
    assert {attributes(span)["aez.sink"] for span in deliveries} == {"json_lines"}
    resource = {one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "aez-monitor"
    assert resource["service.version"]


def test_without_a_share_only_batches_with_events_are_traced(folder: Path, collector: Collector) -> None:
    (folder / "data-0.jsonl").write_bytes(b"".join(encode(one, "json") for one in Simulation(seed=1).blocks(90)))
    run(folder, collector.url + "/v1/traces", ratio=0.0)
    batches = named(collector.spans, "batch")
    assert batches
    assert all(attributes(span)["aez.events"] for span in batches)
    assert {one for span in batches for one in attributes(span)["aez.events"]} == set(stored(folder))


@pytest.mark.parametrize("silent", [False, True])
def test_a_collector_that_is_away_harms_nothing(
    folder: Path, silent: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aez.daemon.observe.traces._SEND_SECONDS", 1.0)
    collector = Collector(silent=True) if silent else None
    caplog.set_level(logging.WARNING)
    begun = time.monotonic()
    run(folder, collector.url if collector else f"http://127.0.0.1:{closed_port()}")
    assert time.monotonic() - begun < 30
    if collector:
        collector.stop()
    assert len(stored(folder)) > 3
    assert len((folder / "events.log").read_text().splitlines()) >= 6
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def test_spans_beyond_the_bound_are_dropped_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aez.daemon.observe.traces._SEND_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)
    traces = Traces(f"http://127.0.0.1:{closed_port()}")
    for number in range(3000):
        with traces.delivery("hook", [step(str(number))], 1):
            pass
    end = time.monotonic() + 30
    while not traces.failures:
        assert time.monotonic() < end, "no request has failed"
        time.sleep(0.02)
    traces.stop()
    assert [record.message for record in caplog.records if "no traces can be sent" in record.message] != []
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def step(event: str, sequence: int = 0) -> EventRecord:
    return EventRecord(event, sequence, "open", "sat-01", "satellite", 10**18, {"start_time": 10**18})


def test_a_failed_delivery_says_why_and_names_no_secret(tmp_path: Path, collector: Collector) -> None:
    traces = Traces(collector.url)
    with Store(tmp_path / "a.db") as store:
        hook = WebhookSink(WebhookOptions(url=f"http://127.0.0.1:{closed_port()}/hush-hush", token="sesame"))
        deliveries = Deliveries(store, {"hook": hook}, retry=Retry(0.01, 0.02), traces=traces)
        deliveries.start()
        store.commit(events=[step("a"), step("b")])
        end = time.monotonic() + 30
        while deliveries.statuses()[0].failures < 3:
            assert time.monotonic() < end, "it was not tried three times"
            time.sleep(0.01)
        deliveries.stop()
    traces.stop(20)
    spans = collector.spans
    assert len(spans) >= 3
    assert [attributes(span)["aez.attempt"] for span in spans[:3]] == [1, 2, 3]
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_ERROR}
    assert "127.0.0.1" in spans[0].status.message
    assert attributes(spans[0])["aez.events"] == ["a", "b"]
    assert not any(secret in str(spans) for secret in ("hush", "sesame"))


def test_nothing_of_it_is_imported_where_it_is_not_wanted(folder: Path) -> None:
    text = CONFIG.format(url="", ratio=1.0).replace('traces = ""\n', "")
    (folder / "monitor.toml").write_text(text)
    program = (
        "import sys\nfrom aez.daemon.config.reader import load\nfrom aez.daemon.service.monitor import Monitor\n"
        "assert Monitor(load('monitor.toml'), once=True).run() == 0\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [("localhost:4318", "such as http://localhost:4318"), ("http://ann:pw@host:4318", "OTEL_EXPORTER_OTLP_HEADERS")],
)
def test_an_address_that_is_none_is_named_with_its_line(folder: Path, url: str, said: str) -> None:
    (folder / "monitor.toml").write_text(CONFIG.format(url=url, ratio=1.0))
    with pytest.raises(ConfigError) as caught:
        load(folder / "monitor.toml")
    assert "monitor.toml:2: service.traces" in str(caught.value)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)
    with pytest.raises(InvalidArgument):
        Traces(url)
