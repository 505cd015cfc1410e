"""`aez encode --dry-run`: what a batch would come to, from a few of its pictures; nothing is written."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
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
    each: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Files, their bytes, and estimates of the bytes and seconds of the batch.

    `tried` pictures were encoded, those that failed aside; the ratio of their bytes is that of all. They are the
    `sample`, or a few spread over the batch. `each` gets a record of every file, as a report has them. Raises
    InvalidArgument where none could be.
    """
    if any(job.source == STDIO for job in jobs):
        raise InvalidArgument("--dry-run cannot look at standard input, which would be gone; name files")
    started = time.perf_counter()
    chosen = _spread(jobs) if sample is None else sample
    records = {id(job): _tried(job, settings, max_pixels) for job in chosen}
    done = [record for record in records.values() if "error" not in record]
    if each is not None:
        for job in jobs:
            each(records.get(id(job)) or _untried(job))
    if not done:
        raise InvalidArgument(f"none of {len(chosen)} pictures that were tried could be encoded")
    bytes_in, bytes_out = (sum(record[name] for record in done) for name in ("bytes_in", "bytes_out"))
    seconds = time.perf_counter() - started
    whole = sum(Path(job.source).stat().st_size for job in jobs if Path(job.source).is_file())
    return {
        "files": len(jobs),
        "bytes_in": whole,
        "tried": len(done),
        "bytes_out": round(whole * bytes_out / bytes_in),
        "seconds": round(seconds * whole / bytes_in / max(1, workers), 1),
        "outputs": [job.target for job in jobs],
    }


def _spread(jobs: Sequence[Job]) -> list[Job]:
    if len(jobs) <= _SAMPLE:
        return list(jobs)
    return [jobs[round(place * (len(jobs) - 1) / (_SAMPLE - 1))] for place in range(_SAMPLE)]


def _tried(job: Job, settings: dict[str, Any], max_pixels: int | None) -> dict[str, Any]:
    """What a picture came to, encoded and thrown away; what has no place in the end counts as failed."""
    from aez.codec.image.api import encode_picture
    from aez.codec.image.pillow import read_image

    started = time.perf_counter()
    try:
        if job.error is not None:
            raise job.error
        source = Path(job.source).read_bytes()
        image = read_image(io.BytesIO(source), "it", max_pixels)
        encoded = encode_picture(image, **settings)
    except AezError as error:
        return {"input": job.source, "error": str(error)}
    except OSError as error:
        return {"input": job.source, "error": f"it cannot be read: {error.strerror or error}"}
    return {
        "input": job.source,
        "output": job.target,
        "status": "tried",
        "width": image.width,
        "height": image.height,
        "bytes_in": len(source),
        "bytes_out": len(encoded.data),
        "bpp": 8 * len(encoded.data) / encoded.pixels,
        "quality": round(encoded.quality, 2),
        "seconds": round(time.perf_counter() - started, 3),
        "notices": encoded.notices,
    }


def _untried(job: Job) -> dict[str, Any]:
    if job.error is not None:
        return {"input": job.source, "error": str(job.error)}
    path = Path(job.source)
    size = path.stat().st_size if path.is_file() else None
    return {"input": job.source, "output": job.target, "status": "planned", "bytes_in": size}
