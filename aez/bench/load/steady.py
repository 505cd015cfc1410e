"""A steady load over HTTP: `python -m aez.bench.load.steady PORT OUT STREAMS RATE SECONDS CONNECTIONS`.

Line protocol of so many satellites, RATE rows a second in all, spread evenly; each connection has its own streams and
posts what is due, at least 50 ms worth of it, once the last body is durable. The values of 64 simulated satellites,
made before, are used in turn. Writes to OUT what was sent, how long bodies took to be durable, how far it was behind
its clock, and its seconds of processor.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from aez.bench.load.push import post
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation

_PROFILES, _ROWS, _FAULTS, _ORBIT = 64, 1500, 1500, 300
_TURN_SECONDS = 0.05
_BODY_ROWS = 5000


@dataclass
class _Sent:
    """What a connection sent. took: (seconds since the start, seconds until durable); behind: likewise."""

    rows: int = 0
    put_off: int = 0
    took: list[tuple[float, float]] = field(default_factory=list)
    behind: list[tuple[float, float]] = field(default_factory=list)


def _profiles() -> list[list[str]]:
    """The fields of each row of each profile, which can be repeated: a whole number of orbits."""
    simulation = Simulation(streams=_PROFILES, seed=2, every=_FAULTS, first=400, length=20, orbit=_ORBIT)
    found: dict[str, list[str]] = {}
    for block in simulation.blocks(_ROWS):
        lines = encode(block, "line").decode().splitlines()
        found.setdefault(block.stream, []).extend(line.split(" ")[1] for line in lines)
    return list(found.values())


def _send(
    port: int, profiles: list[list[str]], streams: list[int], total: int, rate: float, begun: float, seconds: float
) -> _Sent:
    """Send the rows of these streams, of `total` that there are."""
    sent = _Sent()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    start, period = time.time_ns(), round(total / rate * 1e9)
    at, last = 0, int(seconds * rate / total) * len(streams)  # the same number of rows of each stream
    while at < last:
        now = time.monotonic() - begun
        due = min(last, at + _BODY_ROWS, int(now * rate * len(streams) / total))
        if due <= at or (due - at < _TURN_SECONDS * rate * len(streams) / total and due < last):
            time.sleep(_TURN_SECONDS / 2)
            continue
        lines = []
        for number in range(at, due):
            row, place = divmod(number, len(streams))
            stream = streams[place]
            fields = profiles[stream % _PROFILES][(row + stream // _PROFILES * 7) % _ROWS]
            lines.append(f"telemetry,stream=sat-{stream:05d} {fields} {start + row * period}\n")
        sent.behind.append((now, now - at / (rate * len(streams) / total)))
        sent.put_off += post(connection, "".join(lines).encode())
        sent.took.append((now, time.monotonic() - begun - now))
        sent.rows += due - at
        at = due
    connection.close()
    return sent


def main(port: int, out: Path, streams: int, rate: float, seconds: float, connections: int) -> None:
    """See the module."""
    profiles = _profiles()
    begun, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(connections) as pool:
        parts = [list(range(part, streams, connections)) for part in range(connections)]
        running = [pool.submit(_send, port, profiles, part, streams, rate, begun, seconds) for part in parts]
        sent = [one.result() for one in running]
    found = {
        "rows": sum(one.rows for one in sent),
        "seconds": time.monotonic() - begun,
        "put_off": sum(one.put_off for one in sent),
        "took": sorted(pair for one in sent for pair in one.took),
        "behind": sorted(pair for one in sent for pair in one.behind),
        "cpu_seconds": time.process_time() - cpu,
    }
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    _port, _out, _streams, _rate, _seconds, _connections = sys.argv[1:]
    main(int(_port), Path(_out), int(_streams), float(_rate), float(_seconds), int(_connections))
