"""`aez encode --dry-run`: what a batch would come to, from a few of its pictures; nothing is written."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aez.codec.errors import AezError, InvalidArgument
from aez.files import Job
from aez.inputs import STDIO

#: Pictures that are tried, spread over the batch.
_SAMPLE = 8


def estimate(
    jobs: Sequence[Job],
    settings: dict[str, Any],
    max_pixels: int | None,
    workers: int,
    sample: Sequence[Job] | None = None,
) -> dict[str, Any]:
    """Files, their bytes, and estimates of the bytes and seconds of the batch.

    `tried` pictures were encoded, those that failed aside; the ratio of their bytes is that of all. They are the
    `sample`, or a few spread over the batch. Raises InvalidArgument where none could be.
    """
    from aez.codec.image.api import encode_picture
    from aez.codec.image.pillow import read_image

    if any(job.source == STDIO for job in jobs):
        raise InvalidArgument("--dry-run cannot look at standard input, which would be gone; name files")
    bytes_in = bytes_out = tried = 0
    started = time.perf_counter()
    chosen = _spread(jobs) if sample is None else sample
    for job in chosen:
        try:
            source = Path(job.source).read_bytes()
            data = encode_picture(read_image(io.BytesIO(source), "it", max_pixels), **settings).data
        except (AezError, OSError):
            continue
        bytes_in, bytes_out, tried = bytes_in + len(source), bytes_out + len(data), tried + 1
    if not tried:
        raise InvalidArgument(f"none of {len(chosen)} pictures that were tried could be encoded")
    seconds = time.perf_counter() - started
    whole = sum(Path(job.source).stat().st_size for job in jobs if Path(job.source).is_file())
    return {
        "files": len(jobs),
        "bytes_in": whole,
        "tried": tried,
        "bytes_out": round(whole * bytes_out / bytes_in),
        "seconds": round(seconds * whole / bytes_in / max(1, workers), 1),
        "outputs": [job.target for job in jobs],
    }


def _spread(jobs: Sequence[Job]) -> list[Job]:
    if len(jobs) <= _SAMPLE:
        return list(jobs)
    return [jobs[round(place * (len(jobs) - 1) / (_SAMPLE - 1))] for place in range(_SAMPLE)]
