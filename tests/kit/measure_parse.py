"""Rows per second of each parser on one core: `python -m tests.kit.measure_parse [ROWS PER CHUNK]`.

Chunks of 20 numbers, a time and one of ten streams; the best of many repeats, in the thread's CPU time, so that what
else the machine does counts little. `bad` has a tenth of malformed lines, `sparse` a tenth that lack a column.
"""

import io
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.json

from aez.daemon.common.records import Chunk
from aez.daemon.parse.formats import parser
from tests.kit.parse_helpers import START, chunk, encode


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _rate(work: Callable[[], object], rows: int) -> float:
    best = float("inf")
    stop = time.perf_counter() + 3
    while time.perf_counter() < stop:
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return rows / best


def _messages(rows: int) -> list[dict[str, float | str]]:
    values = np.random.default_rng(0).normal(10, 3, (rows, 20)).round(4).tolist()
    return [
        {"time": START + i * 10**6, "machine": f"m{i % 10}", **{f"f{j:02d}": value for j, value in enumerate(row)}}
        for i, row in enumerate(values)
    ]


def _spoilt(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    wrong = [b'{"time":1,"f00":NaN}\n', b"\xff\xfe\n", b'{"f00":"text\n', b'{"time":1,"machine":"m1","f00":1e30}\n']
    return b"".join(wrong[i // 10 % 4] if i % 10 == 5 else line for i, line in enumerate(lines))


def main(rows: int) -> None:
    given = _messages(rows)
    data = {form: encode(form, given) for form in ("json", "csv", "line", "arrow")}
    lacking = [dict(message) for message in given]
    for i in range(0, rows, 10):
        del lacking[i][f"f{i // 10 % 20:02d}"]
    cases: dict[str, Chunk] = {form: chunk(text, form) for form, text in data.items()}
    cases["json, bad"] = chunk(_spoilt(data["json"]), "json")
    cases["json, sparse"] = chunk(encode("json", lacking), "json")
    for name, one in cases.items():
        reader = parser(one.format, {"stream": "machine", "columns": [f"f{j:02d}" for j in range(20)]})
        rate = _rate(lambda reader=reader, one=one: reader.parse(one), rows)  # type: ignore[misc]
        _say(f"{name:14} {len(one.data) / rows:5.0f} bytes/row {rate:12,.0f} rows/s")
    small = [chunk(json.dumps(message).encode(), "json") for message in given[:200]]
    reader = parser("json", {"stream": "machine"})
    _say(f"{'json, 1 a time':14} {'':15} {_rate(lambda: [reader.parse(one) for one in small], 200):12,.0f} rows/s")
    _say(f"{'json, 200 msgs':14} {'':15} {_rate(lambda: reader.parse_many(small), 200):12,.0f} rows/s")
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data["json"]) + 1)
    peer = _rate(lambda: pyarrow.json.read_json(pa.BufferReader(data["json"]), options), rows)
    _say(f"{'pyarrow.json':14} {'':15} {peer:12,.0f} rows/s (a table, no checks)")
    peer = _rate(lambda: [json.loads(line) for line in io.BytesIO(data["json"])], rows)
    _say(f"{'json.loads':14} {'':15} {peer:12,.0f} rows/s (dicts)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
