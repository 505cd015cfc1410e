"""The monitor's figures for Prometheus, in a registry of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics", "resident_bytes"]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 8, 32, 128, 512, 2048, 8192, 32_768, 131_072)


class Metrics:
    """All figures. Names end in their unit; counters count since the start of the process.

    The engine's counters come as they stand (`set_counts`), so that it needs to know nothing of Prometheus.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._seen: dict[str, float] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, registry=registry, buckets=buckets)

        self.samples = counter("aez_samples", "Rows that came in", "source")
        self.bytes = counter("aez_received_bytes", "Bytes that came in", "source")
        self.scored = counter("aez_scored", "Rows that got a score")
        self.gap_rows = counter("aez_gap_rows", "Rows that were made up for gaps, their values missing")
        self.dropped = counter("aez_dropped", "Rows and messages that could not be used", "reason")
        self.events = counter("aez_events", "Steps in the life of events", "action")
        self.commits = counter("aez_commits", "Transactions of state")
        self.errors = counter("aez_errors", "Failures that were survived", "part")
        self.reloads = counter("aez_reloads", "Reloads of the configuration", "result")
        self.lag = gauge("aez_lag_seconds", "From the arrival of the oldest rows of the last batch to its commit")
        self.queue = gauge("aez_queue_chunks", "Chunks that wait")
        self.queue_bytes = gauge("aez_queue_bytes", "Bytes that wait")
        self.streams = gauge("aez_streams", "Streams that are known")
        self.open_events = gauge("aez_open_events", "Events that are open")
        self.silent = gauge("aez_silent_streams", "Streams that fell silent")
        self.pending = gauge("aez_sink_pending", "Event records that a sink has yet to take", "sink")
        self.sink_up = gauge("aez_sink_up", "1 where a sink took what it got last", "sink")
        self.source_up = gauge("aez_source_up", "1 where a source works", "source")
        self.model = gauge("aez_model_info", "1 for each model that is loaded", "name", "id", "device")
        self.config = gauge("aez_config_info", "1 for the configuration that is loaded", "version")
        self.config_time = gauge("aez_config_last_reload_success_timestamp_seconds", "When it was loaded, Unix time")
        self.config_good = gauge("aez_config_last_reload_successful", "1 where the last reload worked")
        self.resident = gauge("aez_resident_memory_bytes", "Resident memory of the process")
        self.resident.set_function(resident_bytes)
        self.start = gauge("aez_start_time_seconds", "When the process started, Unix time")
        self.start.set(time.time())
        self.batch_rows = histogram("aez_batch_rows", "Rows of a batch", _SIZES)
        self.step_seconds = histogram("aez_step_seconds", "Aligning, scoring and events of a batch", _SECONDS)
        self.inference_seconds = histogram("aez_inference_seconds", "Models alone, of a batch", _SECONDS)
        self.parse_seconds = histogram("aez_parse_seconds", "Parsing of a batch", _SECONDS)
        self.commit_seconds = histogram("aez_commit_seconds", "Writing state and events", _SECONDS)

    def set_counts(self, counts: Mapping[str, float]) -> None:
        """Take an engine's counters: `scored`, `dropped.<reason>`, and gauges as they are."""
        for name, value in counts.items():
            if name in ("streams", "open_events", "silent"):
                {"streams": self.streams, "open_events": self.open_events, "silent": self.silent}[name].set(value)
                continue
            grown = value - self._seen.get(name, 0.0)
            self._seen[name] = value
            if grown <= 0:
                continue
            if name == "scored":
                self.scored.inc(grown)
            elif name == "inference_seconds":
                self.inference_seconds.observe(grown)
            elif name == "gap_rows":
                self.gap_rows.inc(grown)
            elif name.startswith("dropped."):
                self.dropped.labels(name.removeprefix("dropped.")).inc(grown)

    def forget_counts(self) -> None:
        """A new engine begins to count at 0."""
        self._seen.clear()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


def resident_bytes() -> float:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0.0
