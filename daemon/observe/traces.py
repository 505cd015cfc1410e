"""Traces of batches and deliveries for an OpenTelemetry collector, by OTLP over HTTP.

Guarantees: nothing here raises into the work that is traced or waits for the collector; spans that wait to be sent are
bounded, and lost where the collector is away for longer. A batch from which an event follows and a delivery to a sink
are always traced, of other batches a share. Nothing of opentelemetry is imported before a `Traces` is made.

A batch is one trace: `batch` from the arrival of its first data to their acknowledgement, and in it `receive` (until it
was taken from the queue), `parse`, `score`, `commit` and `acknowledge`. A delivery hangs below the batch that made its
first step, with links to those of the others.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aez.codec.common.extras import library
from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.common.addresses import endpoint_fault
from aez.daemon.common.records import EventRecord

__all__ = ["BatchFacts", "Traces"]

_log = logging.getLogger(__name__)
_QUEUE, _AT_ONCE = 2048, 512  # spans that wait to be sent, and that one request takes
_SEND_SECONDS = 5.0
_STEPS = 4096  # of events, for which it is remembered which batch made them
_NAMED = 20  # events that a span names at most


@dataclass(frozen=True)
class BatchFacts:
    """What a batch was and when what happened to it; times are of `time.monotonic()`.

    received: arrival of its first data. taken: from the queue. counts: the engine's, as `Engine.stats` gives them.
    """

    received: float
    taken: float
    parse_begin: float
    parse_end: float
    score_begin: float
    score_end: float
    sources: Sequence[str]
    chunks: int
    size: int
    rows: int
    counts: Mapping[str, float]
    events: Sequence[EventRecord]


class Traces:
    """Sends traces to a collector.

    endpoint: its address, such as http://localhost:4318; /v1/traces is put behind it where it is missing. ratio: the
    share of batches without events that are traced. What the environment says in OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES applies.

    `batch` and `committed` are called by one thread, `delivery` by any. failures: requests that the collector did not
    take.

    Raises InvalidArgument for an address that is none, AezError where opentelemetry is not installed.
    """

    def __init__(self, endpoint: str, ratio: float = 0.1) -> None:
        if fault := endpoint_fault(endpoint):
            raise InvalidArgument(f"service.traces: {fault}")
        self._api = library("opentelemetry.trace", "otel")
        sdk, export = (library(f"opentelemetry.sdk.{name}", "otel") for name in ("trace", "trace.export"))
        resources = library("opentelemetry.sdk.resources", "otel")
        exporter = library("opentelemetry.exporter.otlp.proto.http.trace_exporter", "otel")
        url = endpoint.rstrip("/")
        url = url if url.endswith("/v1/traces") else f"{url}/v1/traces"
        self._sender = _Sender(exporter.OTLPSpanExporter(endpoint=url, timeout=_SEND_SECONDS), endpoint)
        name = os.environ.get("OTEL_SERVICE_NAME") or "aez-monitor"
        self._provider = sdk.TracerProvider(
            resource=resources.Resource.create({"service.name": name, "service.version": version("aez")}),
            sampler=library("opentelemetry.sdk.trace.sampling", "otel").ALWAYS_ON,  # it is decided here
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            export.BatchSpanProcessor(
                self._sender, max_queue_size=_QUEUE, schedule_delay_millis=1000, max_export_batch_size=_AT_ONCE
            )
        )
        self._tracer = self._provider.get_tracer("aez.daemon", version("aez"))
        self._ratio = ratio
        self._open: list[Any] = []  # the spans of batches that are not durable yet
        self._counts: Mapping[str, float] = {}
        self._made: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._turn = threading.Lock()
        self._broken = False

    @property
    def failures(self) -> int:
        return self._sender.failures

    def batch(self, facts: BatchFacts) -> None:
        """A batch was scored; its trace stays open until `committed`."""
        before, self._counts = self._counts, facts.counts
        if not facts.events and random.random() >= self._ratio:
            return
        with self._quiet():
            root = self._start("batch", None, facts.received, self._of_batch(facts, before))
            self._open.append(root)
            self._part(root, "receive", facts.received, facts.taken, {"aez.chunks": facts.chunks})
            self._part(root, "parse", facts.parse_begin, facts.parse_end, {"aez.bytes": facts.size})
            self._part(root, "score", facts.score_begin, facts.score_end, {"aez.rows": facts.rows})
            with self._turn:
                for record in facts.events:
                    self._made[record.id, record.sequence] = root.get_span_context()
                while len(self._made) > _STEPS:
                    self._made.popitem(last=False)

    def committed(self, begin: float, end: float, acknowledged: float, failures: int) -> None:
        """All batches so far became durable, after so many attempts that failed, and their sources were told."""
        if not self._open:
            return
        opened, self._open = self._open, []
        with self._quiet():
            for root in opened:
                attributes = {"aez.batches": len(opened), "aez.failed_attempts": failures}
                self._part(root, "commit", begin, end, attributes)
                self._part(root, "acknowledge", end, acknowledged, {})
                root.end(_unix(acknowledged))

    @contextmanager
    def delivery(self, sink: str, records: Sequence[EventRecord], attempt: int) -> Iterator[None]:
        """Around an attempt, the first being 1, to hand records to a sink; what it raises passes through."""
        begin = time.monotonic()
        error: Exception | None = None
        try:
            yield
        except Exception as problem:
            error = problem
            raise
        finally:
            with self._quiet():
                self._delivered(sink, records, attempt, begin, error)

    def stop(self, seconds: float = 2.0) -> None:
        """Send what waits, for at most so long."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(seconds)

    def _of_batch(self, facts: BatchFacts, before: Mapping[str, float]) -> dict[str, Any]:
        grown = {name: value - before.get(name, 0) for name, value in facts.counts.items()}
        scored = {name.removeprefix("scored."): value for name, value in grown.items() if name.startswith("scored.")}
        return {
            "aez.sources": list(facts.sources),
            "aez.chunks": facts.chunks,
            "aez.bytes": facts.size,
            "aez.rows": facts.rows,
            "aez.scored": int(sum(scored.values())),
            "aez.models": sorted(name for name, value in scored.items() if value > 0),
            "aez.queue_wait_seconds": facts.taken - facts.received,
            "aez.inference_seconds": grown.get("inference_seconds", 0.0),
            "aez.events": sorted({record.id for record in facts.events})[:_NAMED],
        }

    def _delivered(
        self, sink: str, records: Sequence[EventRecord], attempt: int, begin: float, error: Exception | None
    ) -> None:
        with self._turn:
            found = [self._made.get((record.id, record.sequence)) for record in records]
        contexts = list({context.span_id: context for context in found if context is not None}.values())
        attributes = {
            "aez.sink": sink,
            "aez.steps": len(records),
            "aez.attempt": attempt,
            "aez.events": sorted({record.id for record in records})[:_NAMED],
        }
        parent = self._api.NonRecordingSpan(contexts[0]) if contexts else None
        links = [self._api.Link(context) for context in contexts[1:]]
        span = self._start("deliver", parent, begin, attributes, links=links, kind=self._api.SpanKind.PRODUCER)
        if error is not None:
            # What other errors say may hold anything, a password for one.
            text = str(error) if isinstance(error, AezError) else type(error).__name__
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, text))
        span.end(time.time_ns())

    def _start(self, name: str, parent: Any, begin: float, attributes: Mapping[str, Any], **more: Any) -> Any:
        context = None if parent is None else self._api.set_span_in_context(parent)
        return self._tracer.start_span(name, context, attributes=attributes, start_time=_unix(begin), **more)

    def _part(self, root: Any, name: str, begin: float, end: float, attributes: Mapping[str, Any]) -> None:
        self._start(name, root, begin, attributes).end(_unix(end))

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """What goes wrong with a trace is logged once and stops nothing."""
        try:
            yield
        except Exception:  # noqa: BLE001 - whatever it is, the work goes on
            if not self._broken:
                _log.exception("a trace could not be made; it is not said again")
            self._broken = True


class _Sender:
    """An exporter that says once that the collector is away, and once that it is back."""

    def __init__(self, exporter: Any, endpoint: str) -> None:
        self._exporter, self._endpoint = exporter, endpoint
        self._away = False
        self.failures = 0

    def export(self, spans: Sequence[Any]) -> Any:
        result = self._exporter.export(spans)
        away = result.name != "SUCCESS"
        self.failures += away
        if away and not self._away:
            _log.warning("no traces can be sent to %s; they are dropped until it takes them", self._endpoint)
        elif self._away and not away:
            _log.info("traces are sent to %s again", self._endpoint)
        self._away = away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _unix(monotonic: float) -> int:
    """Ns since 1970 of a time of `time.monotonic()`."""
    return time.time_ns() - round((time.monotonic() - monotonic) * 1e9)
