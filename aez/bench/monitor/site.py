"""A monitor of the simulator's satellites in a folder, that is started, killed and started again on one state."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aez.bench.load.feeders import Feeder
from aez.bench.load.process import free_port, until
from aez.bench.load.receiver import Receiver
from aez.bench.monitor.latency import SATELLITES
from aez.bench.monitor.outcome import Outcome, compare, file_steps, stored_events
from aez.bench.monitor.process import MonitorProcess, sum_of
from aez.codec.common.extras import library
from aez.codec.errors import AezError
from aez.daemon.parse.times import from_texts
from aez.daemon.simulate.satellites import Simulation

__all__ = ["SIMULATION", "Site", "reference"]

#: Faults come often, so that at any moment some event is open.
SIMULATION = Simulation(streams=8, seed=1, every=90, first=60, length=25)

CONFIG = """\
[service]
log_level = "warning"
drain_seconds = 30
[state]
path = "{state}"
[web]
port = {page}
[[models]]
path = "{model}"
update_every = 5
[[sources]]
name = "telemetry"
format = "json"
stream = "stream"
time = "time"
{source}
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""
_WEBHOOK = """\
[[sinks]]
kind = "webhook"
url = "http://127.0.0.1:{port}/"
"""
FOLLOWED = """\
kind = "file"
paths = ["{path}"]
follow = {follow}
"""
MQTT = """\
kind = "mqtt"
port = {port}
topics = ["sat/+"]
client_id = "bench"
"""
NATS = """\
kind = "nats"
servers = ["nats://127.0.0.1:{port}"]
subject = "sat.*"
"""
_DONE_SECONDS = 180.0


class Site:
    """As a context it has a webhook's receiver up, and nothing of it runs behind.

    source: the lines of the source in the configuration. state: where the store lies in the folder.
    """

    def __init__(self, folder: Path, source: str, state: str = "monitor.db", model: Path = SATELLITES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.state, self.receiver = folder, folder / state, Receiver()
        self.page = free_port()
        self.config = folder / "monitor.toml"
        text = CONFIG.format(state=state, page=self.page, model=model, source=source)
        self.config.write_text(text + _WEBHOOK.format(port=self.receiver.port))
        self.monitor: MonitorProcess | None = None

    def __enter__(self) -> Self:
        self.receiver.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.receiver.down()

    def start(self, module: Sequence[str] = ("aez",)) -> MonitorProcess:
        """Start it; it need not be ready yet."""
        self.monitor = MonitorProcess(self.config, port=self.page, module=module)
        return self.monitor

    def kill(self) -> None:
        """SIGKILL."""
        if self.monitor is not None:
            self.monitor.kill()

    def finish(self, feeder: Feeder) -> None:
        """Stop the feeder, wait until the last row of every stream is scored and every step delivered, and end.

        Raises AezError when that takes minutes.
        """
        feeder.stop()
        monitor = self.monitor
        assert monitor is not None
        wanted = _last_times(feeder.path)
        until(lambda: self._newest() == wanted, _DONE_SECONDS, "the last rows are scored", monitor)
        until(lambda: not self._pending(), _DONE_SECONDS, "all steps are delivered", monitor)
        monitor.signal(signal.SIGTERM)
        monitor.wait(60)
        if monitor.code:
            raise AezError(f"the monitor ended with {monitor.code}: {monitor.words()}")

    def _newest(self) -> dict[str, int]:
        try:
            return {one["stream"]: int(one["newest"]) for one in self._ask("/api/streams")["streams"]}
        except OSError:
            return {}

    def _pending(self) -> float:
        assert self.monitor is not None
        try:
            return sum_of(self.monitor.metrics(), "aez_sink_pending")
        except OSError:
            return 1.0

    def _ask(self, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.page}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def outcome(self, feeder: Feeder, disturbances: int, undisturbed: Callable[[Path, Path], Any]) -> Outcome:
        """Compare with what `undisturbed(folder, data)`, such as `reference`, gives."""
        expected = undisturbed(self.folder / "reference", feeder.path)
        sinks = [file_steps(self.folder / "events.jsonl"), self.receiver.steps]
        return compare(expected, (stored_events(self.state), sinks), disturbances=disturbances, rows=feeder.fed)


def reference(folder: Path, data: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """(Events, steps) of one run over the data from beginning to end. Raises AezError."""
    folder.mkdir()
    config = folder / "monitor.toml"
    source = FOLLOWED.format(path=data.absolute(), follow="false")
    config.write_text(CONFIG.format(state="monitor.db", page=0, model=SATELLITES, source=source))
    with MonitorProcess(config, "--once") as monitor:
        monitor.wait(600)
        if monitor.code:
            raise AezError(f"the undisturbed run ended with {monitor.code}: {monitor.words()}")
    events = stored_events(folder / "monitor.db")
    if not events:
        raise AezError("the undisturbed run has no events, so that nothing can be compared; feed for longer")
    return events, file_steps(folder / "events.jsonl")


def _last_times(path: Path) -> dict[str, int]:
    """The time of each stream's last row, ns."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65_536))
        lines = [json.loads(line) for line in file.read().splitlines()[1:]]
    last = {line["stream"]: line["time"] for line in lines}
    times, _, _ = from_texts(library("pyarrow", "monitor").array(list(last.values()), "string"))
    return dict(zip(last, times.tolist(), strict=True))
