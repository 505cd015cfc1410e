"""A process for tests to kill: reads a source, and keeps what came and its position in a folder, like the monitor.

Usage: python -m tests.kit.source_child FOLDER KIND OPTIONS, with OPTIONS as JSON. Data are appended to FOLDER/out
before the position is replaced and acknowledged, so that a kill in between gives lines twice and never not at all.
"""

import json
import os
import sys
import threading
from pathlib import Path

from aez.daemon.build.opening import open_source
from aez.daemon.common.records import Chunk
from aez.daemon.config.kinds import SOURCES


def main() -> None:
    folder, kind, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    stored = folder / "position.json"
    position = json.loads(stored.read_text()) if stored.exists() else None
    source = open_source(kind, "source", SOURCES.options(kind).of(**options))
    out = (folder / "out").open("ab")

    def put(chunk: Chunk) -> None:
        out.write(chunk.data)
        out.flush()
        os.fsync(out.fileno())
        part = folder / "position.part"
        part.write_text(json.dumps(chunk.position))
        part.replace(stored)
        source.acknowledge(chunk.position)

    source.start(put, position)
    threading.Event().wait()


if __name__ == "__main__":
    main()
