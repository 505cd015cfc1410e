"""From the publishing of a sample to its event at a subscriber, over MQTT with QoS 1 both ways.

An event opens with some sample, whose time its first step bears; what counts is from just before that sample was
published until the subscriber's client had the step. Publisher, Mosquitto, monitor and subscriber are four processes
on one machine. Each event is one of its own here: by default most of them would go on with the one before, or be one
incident with those of other streams, and no message would tell of them.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from aez.bench.load.brokers import mosquitto
from aez.bench.load.process import Process, free_port, until
from aez.bench.monitor.process import MonitorProcess, sum_of
from aez.bench.monitor.report import Figure, Measured
from aez.codec.errors import AezError

__all__ = ["SATELLITES", "measure"]

SATELLITES = Path(__file__).with_name("models") / "satellites.aezm"
_STREAMS, _EVERY, _LENGTH = 50, 40, 10

CONFIG = """\
[service]
log_level = "warning"
[web]
port = {page}
[[models]]
path = "{model}"
period_seconds = {period}
open_after = 2
close_after = 4
reopen_seconds = 0
[alarms]
group_streams = 0
[[sources]]
kind = "mqtt"
port = {broker}
topics = ["sat/+"]
stream = "{{topic[1]}}"
client_id = "bench"
time = "time"
[[sinks]]
kind = "mqtt"
port = {broker}
topic = "events/{{stream}}"
[[sinks]]
name = "kept"
kind = "json_lines"
path = "events.jsonl"
"""


def measure(folder: Path, *, seconds: float, rate: float = 1000.0) -> Measured:
    """Publish for so many seconds, after a second to warm up. Raises AezError for a latency that nobody can tell."""
    rows = round((seconds + 1) * rate / _STREAMS)
    place = folder / "latency"
    place.mkdir()
    page = free_port()
    published, heard = place / "published.json", place / "heard.jsonl"
    with mosquitto(place) as broker:
        config = place / "monitor.toml"
        config.write_text(CONFIG.format(page=page, model=SATELLITES, period=_STREAMS / rate, broker=broker.port))
        module = [sys.executable, "-m", "aez.bench.load.mqtt"]
        listener = Process([*module, "listen", str(broker.port), str(heard)], log=place / "heard.log", folder=place)
        options = [_STREAMS, rate, rows, _EVERY, _LENGTH]
        sending = [*module, "publish", str(broker.port), str(published), *map(str, options)]
        with listener, MonitorProcess(config, port=page) as monitor:
            until(heard.exists, 60, "the subscriber listens", listener)
            monitor.ready()
            until(monitor.is_ready, 60, "the monitor has subscribed", monitor)
            cpu = monitor.cpu_now()
            with Process(sending, log=place / "published.log", folder=place) as sender:
                until(lambda: sender.ended, seconds + 120, "all is published")
                if sender.code:
                    raise AezError(f"the publisher failed: {sender.words()}")
            until(
                lambda: sum_of(monitor.metrics(), "aez_samples_total") >= rows * _STREAMS, 60, "all has come", monitor
            )
            cpu = monitor.cpu_now() - cpu
            monitor.signal(signal.SIGTERM)
            monitor.wait(60)
            listener.signal(signal.SIGTERM)
            listener.wait(60)
    return _report(published, heard, cpu, monitor.peak, rate)


def _report(published: Path, heard: Path, cpu: float, memory: int, rate: float) -> Measured:
    sent = json.loads(published.read_text())
    times, period = np.array(sent["times"]), round(_STREAMS / rate * 1e9)
    opened = []
    for line in heard.read_text().splitlines():
        at, step = json.loads(line)
        if step["action"] != "open":
            continue
        row = round((step["time"] - sent["start"]) / period)
        stream = int(step["stream"].rpartition("-")[2]) - 1
        opened.append((times[row * _STREAMS + stream] - sent["begun"], at - times[row * _STREAMS + stream]))
    found = np.array([taken for begun, taken in opened if begun >= 1.0]) * 1000
    if found.size < 10:
        raise AezError(f"only {found.size} events opened, too few for percentiles; measure for longer")
    p50, p90, p99 = (float(np.percentile(found, share)) for share in (50, 90, 99))
    behind = times - (sent["begun"] + np.arange(len(times)) / rate)
    figures = [
        Figure("publish to event, p50", p50, "ms", 20.0, "at most"),
        Figure("publish to event, p90", p90, "ms"),
        Figure("publish to event, p99", p99, "ms", 100.0, "at most"),
        Figure("publish to event, longest", float(found.max()), "ms"),
        Figure("events that opened", float(found.size)),
        Figure("publisher behind its clock, p99", float(np.percentile(behind, 99)) * 1000, "ms"),
        Figure("processor of the monitor", cpu, "s"),
        Figure("processor of the publisher", sent["cpu_seconds"], "s"),
        Figure("peak memory", memory / 1e6, "MB"),
    ]
    conditions = (
        f"{rate:,.0f} messages/s for {len(times) / rate:.0f} s over MQTT QoS 1, {_STREAMS} streams of 8 channels"
    )
    steps = Counter(np.floor(found).astype(int).tolist())
    return Measured(
        "latency", conditions, figures, {"events by ms": sorted((float(k), float(v)) for k, v in steps.items())}
    )
