"""A load generator for the HTTP source: `python -m aez.bench.load.push GO PORT FILE...`.

The bodies of each prepared FILE go one after another over a connection of its own, the next one when the last is
durable. It prints "ready", waits until the file GO is there, sends all, and prints when it began and ended
(`time.monotonic()`) and the seconds of processor that sending took.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aez.bench.load.rows import bodies

__all__ = ["post"]


def post(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Send a body until it is durable; returns how often it was put off. Raises OSError for a refusal."""
    put_off = 0
    while True:
        connection.request("POST", "/write", body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 204:
            return put_off
        if answer.status != 503:
            raise OSError(f"the monitor answers {answer.status}")
        put_off += 1
        time.sleep(0.05)


def _send(port: int, parts: Sequence[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in parts:
        post(connection, body)
    connection.close()


def main(go: Path, port: int, paths: Sequence[str]) -> None:
    """Load the files, wait, send them all at once."""
    loads = [bodies(Path(path)) for path in paths]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    parent = os.getppid()
    while not go.exists():
        if os.getppid() != parent:
            return  # whoever started it has gone
        time.sleep(0.01)
    begun, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(len(loads)) as pool:
        for sent in [pool.submit(_send, port, parts) for parts in loads]:
            sent.result()
    sys.stdout.write(f"{begun} {time.monotonic()} {time.process_time() - cpu}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
