"""Where simulated telemetry goes: a file, standard output, an HTTP push or an MQTT broker, at any rate."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aez.codec.errors import InvalidArgument, OutputError
from aez.daemon.common.retry import Backoff
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import SimulatedRows, Simulation
from aez.daemon.simulate.year import Year

__all__ = ["Target", "kind_of", "open_output", "send"]

_SUFFIXES = {".csv": "csv", ".lp": "line", ".line": "line"}
_CONTENT = {"json": "application/x-ndjson", "csv": "text/csv", "line": "text/plain"}
#: With a rate, rows are sent so often.
_TURN_SECONDS = 0.02


@dataclass(frozen=True)
class Target:
    """Takes (stream, data) of format `kind`; `each`: one message for each row; `header`: when CSV names columns."""

    kind: str
    write: Callable[[str, bytes], None]
    each: bool = False
    header: Literal["first", "always", "never"] = "first"


def kind_of(output: str) -> str:
    """The format that suits an output: by its suffix, line protocol for /write, else JSON Lines."""
    if output.startswith(("http://", "https://")):
        return "line" if urllib.parse.urlsplit(output).path.endswith("/write") else "json"
    return _SUFFIXES.get(Path(output).suffix.lower(), "json")


@contextmanager
def open_output(output: str, kind: str, *, append: bool = False, force: bool = False) -> Iterator[Target]:
    """The target that an argument names; a file that exists is added to, replaced by `force`, or refused.

    Raises OutputError, InvalidArgument.
    """
    if output == "-":
        yield Target(kind, _write_to(sys.stdout.buffer))
        sys.stdout.buffer.flush()
    elif output.startswith(("http://", "https://")):
        yield Target(kind, _http(output, kind), header="always")
    elif output.startswith("mqtt://"):
        with _mqtt(output) as write:
            yield Target(kind, write, each=True, header="always")
    elif "://" in output:
        raise InvalidArgument(f"the simulator writes to files, http:// and mqtt://, not to {output}")
    elif output.lower().endswith((".gz", ".parquet", ".arrow")):
        raise InvalidArgument(f"the simulator writes JSON Lines, CSV and line protocol as text, not {output}")
    else:
        if Path(output).is_file() and not append and not force:
            raise OutputError(f"{output} exists; give --force to replace it, or --append to add to it")
        begun = append and Path(output).is_file() and Path(output).stat().st_size > 0
        try:
            file = Path(output).open("ab" if append else "wb")  # noqa: SIM115 - it is closed below
        except OSError as error:
            raise OutputError(f"{output} cannot be written: {error.strerror or error}") from error
        with file:
            yield Target(kind, _write_to(file), header="never" if begun else "first")


def send(
    simulation: Simulation | Year, target: Target, *, rows: int | None = None, skip: int = 0, rate: float | None = None
) -> int:
    """Send rows of every stream, `rate` a second all together; how many were sent. Ends at Ctrl+C as at its end."""
    sent, begun = 0, time.monotonic()
    waits = rate is not None
    step = max(1, int((rate or 0) * _TURN_SECONDS)) if waits else 0
    try:
        for block in _turns(simulation, rows, skip, step):
            if target.each:
                for one in _rows(block):
                    target.write(one.stream, encode(one, target.kind, header=True))
            else:
                header = target.header == "always" or (target.header == "first" and sent == 0)
                target.write(block.stream, encode(block, target.kind, header=header))
            sent += len(block.time)
            if rate is not None:
                time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
    except KeyboardInterrupt:
        pass
    return sent


def _turns(simulation: Simulation | Year, rows: int | None, skip: int, step: int) -> Iterator[SimulatedRows]:
    """Blocks in the order of time: short ones, `step` rows of all streams together, where rows keep to a clock."""
    if not step:
        yield from simulation.blocks(rows, skip)
        return
    each = max(1, step // simulation.streams)
    waiting: list[SimulatedRows] = []
    for block in simulation.blocks(rows, skip):
        waiting.append(block)
        if len(waiting) < simulation.streams:
            continue
        for start in range(0, len(waiting[0].time), each):
            for one in waiting:
                yield _part(one, start, start + each)
        waiting = []


def _part(block: SimulatedRows, start: int, end: int) -> SimulatedRows:
    return replace(block, first_row=block.first_row + start, time=block.time[start:end], values=block.values[start:end])


def _rows(block: SimulatedRows) -> Iterator[SimulatedRows]:
    for row in range(len(block.time)):
        yield _part(block, row, row + 1)


def _write_to(file: Any) -> Callable[[str, bytes], None]:
    def write(stream: str, data: bytes) -> None:  # noqa: ARG001 - the shape of the others
        try:
            file.write(data)
            file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"the rows cannot be written: {error.strerror or error}") from error

    return write


def _http(address: str, kind: str) -> Callable[[str, bytes], None]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    _check_address(address)

    def write(stream: str, data: bytes) -> None:  # noqa: ARG001
        request = urllib.request.Request(address, data=data, headers={"Content-Type": _CONTENT[kind]}, method="POST")
        backoff = Backoff(first=0.1, longest=2.0)
        for _ in range(20):
            try:
                opener.open(request, timeout=30).close()
                return
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in (429, 503):
                        raise OutputError(f"{address} answers {error.code} {error.reason}") from error
                time.sleep(backoff.failed())
            except OSError as error:
                raise OutputError(f"{address} cannot be reached: {getattr(error, 'reason', error)}") from error
        raise OutputError(f"{address} takes nothing more; it is too busy")

    return write


def _check_address(address: str) -> None:
    """Raise InvalidArgument for one whose host or port cannot be."""
    try:
        place = urllib.parse.urlsplit(address)
        good = bool(place.hostname) and place.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidArgument(f"{address} has no host, or a port that cannot be")


@contextmanager
def _mqtt(address: str) -> Iterator[Callable[[str, bytes], None]]:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    _check_address(address)
    place = urllib.parse.urlsplit(address)
    topic = urllib.parse.unquote(place.path.lstrip("/"))
    if not topic or "+" in topic or {"#", "?"} & set(address):
        raise InvalidArgument(f"an MQTT output is mqtt://HOST:PORT/TOPIC, a topic without wildcards, not {address}")
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    if place.username:
        client.username_pw_set(place.username, place.password)
    broker, refused = f"{place.hostname}:{place.port or 1883}", [""]

    def answered(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        refused[0] = str(reason) if reason.is_failure else ""

    client.on_connect = answered
    try:
        client.connect(place.hostname or "", place.port or 1883)
    except OSError as error:
        raise OutputError(f"{broker} cannot be reached: {error}") from error
    client.loop_start()
    last: list[Any] = []

    def write(stream: str, data: bytes) -> None:
        if refused[0]:
            raise OutputError(f"{broker} refuses: {refused[0]}")
        last[:] = [client.publish(topic.replace("{stream}", stream), data, qos=1)]

    try:
        yield write
        for message in last:
            message.wait_for_publish(30)
            if not message.is_published():
                raise OutputError(f"{broker} did not take all of it: {refused[0] or 'it gave no answer within 30 s'}")
    finally:
        client.disconnect()
        client.loop_stop()
