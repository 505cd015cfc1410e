"""The monitor's figures for Prometheus, in a registry of their own.

Guarantees: labels hold what the configuration names (sources, sinks, models) or one of a fixed set of words, never what
comes in, so that their number is bounded; counters only grow, also across a reload.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)

from aez.daemon.common.records import DeliveryStatus

__all__ = ["Metrics"]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LONGER = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_SIZES = (1, 8, 32, 128, 512, 2048, 8192, 32_768, 131_072)


class _Maker:
    """Makes figures in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, registry=self._registry, buckets=buckets)


class _WithoutCreated(CollectorRegistry):
    """Shows a registry without a second series, the time of its making, for each counter and histogram.

    prometheus_client has a switch for that, but for the whole process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


class Metrics:
    """All figures. Names end in their unit; counters count since the start of the process.

    The engine's counters and the sinks' come as they stand (`set_counts`, `set_sinks`), so that neither needs to know
    of Prometheus. Those of sinks are kept in the store and outlive the process.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seen: dict[tuple[str, str], float] = {}
        self._shown: dict[str, set[str]] = {}
        self._turn = threading.Lock()
        make = _Maker(self.registry)
        self._make_rows(make)
        self._make_state(make)
        self._make_ends(make)
        self._make_versions(make)
        self._make_times(make)
        ProcessCollector(registry=self.registry)

    def _make_rows(self, make: _Maker) -> None:
        self.samples = make.counter("aez_samples", "Rows that came in", "source")
        self.bytes = make.counter("aez_received_bytes", "Bytes that came in", "source")
        self.newest = make.gauge(
            "aez_newest_sample_timestamp_seconds", "Newest time in what a source brought last, Unix time", "source"
        )
        self.scored = make.counter("aez_scored", "Rows that got a score", "model")
        self.windows = make.counter("aez_windows", "Windows that went through models, fillers of batches included")
        self.gap_rows = make.counter("aez_gap_rows", "Rows that were made up for gaps, their values missing")
        self.dropped = make.counter("aez_dropped", "Rows and messages that could not be used", "reason")
        self.afresh = make.counter("aez_streams_afresh", "Streams that began anew, as under another model")
        self.events = make.counter("aez_events", "Steps in the life of events", "action")
        self.scores_written = make.counter("aez_scores_written", "Scores that were written to files")
        self.scores_dropped = make.counter("aez_scores_dropped", "Scores that their files could not take in time")

    def _make_state(self, make: _Maker) -> None:
        self.commits = make.counter("aez_commits", "Transactions of state")
        self.errors = make.counter("aez_errors", "Failures that were survived", "part")
        self.reloads = make.counter("aez_reloads", "Reloads of the configuration", "result")
        self.ready = make.gauge("aez_ready", "1 where /readyz says that all is well")
        self.lag = make.gauge("aez_lag_seconds", "Age of the oldest data that came in and are not durable yet")
        self.queue = make.gauge("aez_queue_chunks", "Chunks that wait")
        self.queue_bytes = make.gauge("aez_queue_bytes", "Bytes that wait")
        self.queue_room = make.gauge(
            "aez_queue_capacity_chunks", "Chunks that may wait; beyond it sources are held back"
        )
        self.queue_bytes_room = make.gauge("aez_queue_capacity_bytes", "Bytes that may wait")
        self.streams = make.gauge("aez_streams", "Streams that are known")
        self.open_events = make.gauge("aez_open_events", "Events that are open")
        self.missing_channels = make.gauge("aez_missing_channels", "Channels of streams that are missing")
        self.stuck_channels = make.gauge("aez_stuck_channels", "Channels of streams that stand still")
        self.silent = make.gauge("aez_silent_streams", "Streams that fell silent")
        self.losing = make.gauge(
            "aez_streams_losing_samples", "Streams of which samples are not scored, more than by chance", "reason"
        )
        self.clocks = make.gauge("aez_streams_clocks_apart", "Streams of which clocks are apart", "kind")
        self.adopted = make.gauge("aez_adopted_streams", "Streams that moved for good and whose level was taken")
        self.held_events = make.gauge("aez_held_events", "Open events that are recorded and not sent", "reason")
        self.mutes = make.gauge("aez_mutes", "Mutes by hand and maintenance windows that hold just now")
        self.state_writable = make.gauge(
            "aez_state_writable", "0 while the state cannot be written, or its file is gone, and everything waits"
        )
        self.state_bytes = make.gauge("aez_state_bytes", "Size of the state's file and its log")
        self.last_commit = make.gauge("aez_last_commit_timestamp_seconds", "When state was last written, Unix time")

    def _make_ends(self, make: _Maker) -> None:
        self.source_up = make.gauge("aez_source_up", "1 where a source works", "source")
        self.sink_up = make.gauge("aez_sink_up", "1 where a sink took what it got last", "sink")
        self.pending = make.gauge("aez_sink_pending", "Steps of events that a sink has yet to take", "sink")
        self.sink_lag = make.gauge(
            "aez_sink_lag_seconds", "Since when a sink takes nothing; 0 where all is well", "sink"
        )
        self.delivered = make.counter("aez_sink_delivered", "Steps of events that a sink took", "sink")
        self.lost = make.counter(
            "aez_sink_dropped", "Steps of events lost to a sink because the outbox was full", "sink"
        )
        self.rejected = make.counter("aez_sink_rejected", "Steps of events that a sink refused for good", "sink")
        self.failures = make.counter("aez_sink_failures", "Attempts to deliver that failed", "sink")

    def _make_versions(self, make: _Maker) -> None:
        self.model = make.gauge("aez_model_info", "1 for each model that is loaded", "model", "id", "device")
        self.config = make.gauge("aez_config_info", "1 for the configuration that is loaded", "version")
        self.config_time = make.gauge(
            "aez_config_last_reload_success_timestamp_seconds", "When it was loaded, Unix time"
        )
        self.config_good = make.gauge("aez_config_last_reload_successful", "1 where the last reload worked")
        self.build = make.gauge("aez_build_info", "1 for the version of aez that runs", "version")
        self.build.labels(version("aez")).set(1)

    def _make_times(self, make: _Maker) -> None:
        self.batch_rows = make.histogram("aez_batch_rows", "Rows of a batch", _SIZES)
        self.step_seconds = make.histogram("aez_step_seconds", "Aligning, scoring and events of a batch", _SECONDS)
        self.inference_seconds = make.histogram("aez_inference_seconds", "Models alone, of a batch", _SECONDS)
        self.parse_seconds = make.histogram("aez_parse_seconds", "Parsing of a batch", _SECONDS)
        self.commit_seconds = make.histogram("aez_commit_seconds", "Writing state and events", _SECONDS)
        self.delay_seconds = make.histogram("aez_arrival_to_commit_seconds", "From arrival to durable state", _LONGER)

    def set_counts(self, counts: Mapping[str, float]) -> None:
        """Take an engine's counters: `scored.<model>`, `dropped.<reason>` and so on, and gauges as they are."""
        for name, value in counts.items():
            kind, _, label = name.partition(".")
            if kind in ("streams", "open_events", "silent", "adopted", "missing_channels", "stuck_channels"):
                getattr(self, kind).set(value)
                continue
            if kind == "losing":
                self.losing.labels(label).set(value)
                continue
            if kind == "clocks":
                self.clocks.labels(label).set(value)
                continue
            grown = self._grown("engine", name, value)
            if grown <= 0:
                continue
            if kind == "scored" and label:
                self.scored.labels(label).inc(grown)
            elif kind == "dropped":
                self.dropped.labels(label).inc(grown)
            elif kind == "errors":
                self.errors.labels(label).inc(grown)
            elif kind == "inference_seconds":
                self.inference_seconds.observe(grown)
            elif kind in ("gap_rows", "afresh", "windows"):
                {"gap_rows": self.gap_rows, "afresh": self.afresh, "windows": self.windows}[kind].inc(grown)

    def set_sources(self, up: Mapping[str, bool]) -> None:
        """Which sources there are, and whether each works; others are shown no more."""
        with self._turn:
            for gone in self._gone("source", up):
                _forget(self.source_up, gone)
                _forget(self.newest, gone)
            for name, works in up.items():
                self.source_up.labels(name).set(works)
                self.samples.labels(name)  # 0 from the start, so that a source that brings nothing is seen
                self.bytes.labels(name)

    def set_sinks(self, statuses: Iterable[DeliveryStatus]) -> None:
        """How the sinks are doing; those that are not among them are shown no more."""
        found = {one.name: one for one in statuses}
        with self._turn:
            for gone in self._gone("sink", found):
                for figure in (self.sink_up, self.pending, self.sink_lag):
                    _forget(figure, gone)
                for counted in (self.delivered, self.lost, self.rejected, self.failures):
                    _forget(counted, gone)
                for kind in ("delivered", "lost", "rejected", "failures"):
                    self._seen.pop((kind, gone), None)
            for name, one in found.items():
                self.sink_up.labels(name).set(0 if one.last_error else 1)
                self.pending.labels(name).set(one.pending)
                self.sink_lag.labels(name).set(one.lag)
                for counter, kind, value in (
                    (self.delivered, "delivered", one.delivered),
                    (self.lost, "lost", one.dropped),
                    (self.rejected, "rejected", one.rejected),
                    (self.failures, "failures", one.failures),
                ):
                    # By 0 as well, so that each series is there from the start and its first step is seen to grow.
                    counter.labels(name).inc(self._grown(kind, name, value))

    def count_scores(self, what: str, number: int) -> None:
        """Scores "written" or "dropped", or "errors" of their files."""
        if what == "errors":
            self.errors.labels("scores").inc(number)
        else:
            {"written": self.scores_written, "dropped": self.scores_dropped}[what].inc(number)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(_WithoutCreated(self.registry))

    def _grown(self, kind: str, name: str, value: float) -> float:
        """By how much a count grew since it was last asked for; never below 0."""
        before = self._seen.get((kind, name), 0.0)
        if kind == "failures" and value < before:
            before = 0.0  # a reload begins with new deliveries
        self._seen[kind, name] = value if kind == "failures" else max(before, value)
        return max(0.0, value - before)

    def _gone(self, kind: str, names: Iterable[str]) -> set[str]:
        shown, self._shown[kind] = self._shown.get(kind, set()), set(names)
        return shown - self._shown[kind]


def _forget(figure: Gauge | Counter, label: str) -> None:
    with suppress(KeyError):
        figure.remove(label)
