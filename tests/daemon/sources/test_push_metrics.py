"""Prometheus remote write and OTLP metrics, from a real Prometheus and OpenTelemetry's own exporter."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options
from aez.daemon.sources.http_push import HttpOptions, HttpPush
from aez.daemon.sources.push_metrics import otlp_lines, remote_write_lines
from tests.kit.brokers import find_program, free_port
from tests.kit.source_harness import Intake
from tests.kit.waiting import until


@pytest.fixture
def served() -> Iterator[tuple[HttpPush, Intake]]:
    source, intake = HttpPush("plant", HttpOptions(port=0)), Intake()

    def put(chunk: Chunk) -> None:
        intake.put(chunk)
        source.acknowledge(chunk.position)

    source.start(put)
    yield source, intake
    source.close()


def values(intake: Intake, stream: str) -> dict[str, float]:
    """The last values of a stream whose name is made by a template, as the monitor would read them."""
    made = parser("line", Options(stream=stream), Limits(), None, lambda _: None)
    found: dict[str, float] = {}
    for chunk in list(intake.chunks):
        samples, malformed = made.parse(chunk)
        assert {one.reason for one in malformed} <= {"too_large"}  # Prometheus says 2^64 for no limit
        for one in samples:
            for number, row in zip(one.stream, one.values, strict=True):
                named = zip(one.columns, row, strict=True)
                found |= {f"{one.streams[number]}:{name}": float(value) for name, value in named if value == value}
    return found


def test_what_prometheus_writes_is_read(served: tuple[HttpPush, Intake], tmp_path: Path) -> None:
    source, intake = served
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - {{job_name: itself, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
remote_write:
  - {{url: "http://127.0.0.1:{source.port}/api/v1/write", queue_config: {{batch_send_deadline: 1s}}}}
""")
    command = [
        find_program("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: values(intake, "{instance}").get(f"127.0.0.1:{port}:up") == 1.0)
            assert values(intake, "{job}")["itself:go_goroutines"] > 1
        finally:
            process.terminate()


def test_what_opentelemetry_exports_is_read(served: tuple[HttpPush, Intake]) -> None:
    source, intake = served
    exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{source.port}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], Resource({"service.name": "pump 7", "list": ["x"]}))
    meter = provider.get_meter("plant")
    meter.create_gauge("bearing.temperature").set(41.5, {"side": "left"})
    meter.create_counter("turns").add(3)
    meter.create_histogram("load").record(2.5)
    assert provider.force_flush()
    provider.shutdown()
    found = values(intake, "{service.name}")
    assert found == {
        "pump 7:bearing.temperature": 41.5,
        "pump 7:turns": 3.0,
        "pump 7:load.count": 1.0,
        "pump 7:load.sum": 2.5,
    }


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/api/v1/write", b"\xff" * 9, "application/x-protobuf", 400),
        ("/api/v1/write", pa.compress(b"no protobuf", "snappy", asbytes=True), "application/x-protobuf", 400),
        ("/api/v1/write", b"\xff\xff\xff\xff\x0f", "application/x-protobuf", 400),  # says it has 4 GiB
        ("/api/v1/write", b"", "application/x-protobuf;proto=io.prometheus.write.v2.Request", 415),
        ("/v1/metrics", b"no protobuf", "application/x-protobuf", 400),
        ("/v1/metrics", b"{}", "application/json", 415),
    ],
)
def test_what_is_neither_is_refused(
    served: tuple[HttpPush, Intake], path: str, body: bytes, kind: str, status: int
) -> None:
    url = f"http://127.0.0.1:{served[0].port}{path}"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind}), timeout=20)
    assert caught.value.code == status
    caught.value.close()
    assert not served[1].chunks


@given(st.binary(max_size=200))
def test_noise_is_refused_or_has_nothing_in_it(body: bytes) -> None:
    for read in (otlp_lines, lambda data: remote_write_lines(data, 1000)):
        try:
            read(body)
        except ValueError:
            continue
