"""All pictures encoded into OUT, with a line of the manifest for each; what a former run did stays as it is."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aez import messages
from aez.batch import FileOutcome, Progress, run_batch
from aez.codec.common.files import whole_file
from aez.codec.common.words import listed
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.entropy.quality import level_to_quality
from aez.codec.errors import AezError, OutputError, UnsupportedInput
from aez.commands.codec.encode_job import AfterEncoding, EncodeJob
from aez.commands.collection.state import Collection
from aez.file_report import FileReport, read_report
from aez.files import Job, plan
from aez.inputs import Inputs

SUFFIX, MANIFEST = ".aez", "manifest.csv"
_DONE, _GONE = "done", "source gone"
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), os.strerror(errno.EFBIG))

Row = dict[str, str]


@dataclass
class Work:
    """What is to be done with each picture of a collection.

    `rows` are lines of the manifest that hold; `anew` are sources whose results are replaced, `unlisted` those whose
    results are there without a line. What failed is tried again.
    """

    jobs: list[Job]
    rows: list[Row]
    anew: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)

    @property
    def kept(self) -> int:
        """How many pictures have results that stay as they are."""
        return sum(row["status"] == _DONE for row in self.rows)


def look(collection: Collection, found: Inputs, model_id: str) -> Work:
    """Compare FOLDER, the manifest and the results, and say what changed since a former run. Raises OutputError."""
    rows = {row["input"]: row for row in read_report(str(collection.out / MANIFEST)) if row["status"] in (_DONE, _GONE)}
    owners = {row["output"]: name for name, row in rows.items()}
    work = Work([], [])
    changed: list[str] = []
    damaged: list[str] = []
    for job in plan(found, str(collection.out), SUFFIX):
        place = _place(job.source, collection.folder)
        row = rows.pop(place, None)
        if row is None:
            job = _own_target(job, place, owners, collection)
            if job.error is None and Path(job.target).is_file():
                if _is_sound(job.target, model_id):
                    (work.unlisted if _is_newer(job) else work.anew).add(job.source)
                else:
                    job = replace(job, error=OutputError(f"{job.target} is no result of this collection; move it away"))
            work.jobs.append(job)
            continue
        job = Job(job.source, str(collection.out / row["output"]))
        why = _why_anew(job, row, model_id)
        if why is None:
            work.rows.append({**row, "status": _DONE})
            continue
        (changed if why == "changed" else damaged).append(place)
        work.anew.add(job.source)
        work.jobs.append(job)
    work.rows += [{**row, "status": _GONE} for row in rows.values()]
    for names, what in (
        (changed, "changed since they were encoded, and are encoded anew"),
        (damaged, "have results that are gone or damaged, and are encoded anew"),
        (sorted(rows), "are no longer in the folder; their results stay"),
    ):
        if names:
            messages.note(f"{len(names):,} pictures {what}: {listed(names)}")
    return work


def _own_target(job: Job, place: str, owners: dict[str, str], collection: Collection) -> Job:
    """The job, with the picture's suffix in the result's name where that belongs to another picture already."""
    if owners.get(_place(job.target, collection.out), place) == place:
        return job
    return Job(job.source, str(collection.out / f"{place}{SUFFIX}"), job.error)


def _place(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix()


def _is_newer(job: Job) -> bool:
    """Whether the result was written after its source; results have their sources' times."""
    return Path(job.target).stat().st_mtime_ns >= Path(job.source).stat().st_mtime_ns


def _why_anew(job: Job, row: Row, model_id: str) -> str | None:
    try:
        if str(Path(job.source).stat().st_size) != row["bytes_in"] or not _is_newer(job):
            return "changed"
        size = Path(job.target).stat().st_size
    except OSError:
        return "gone"
    return None if str(size) == row["bytes_out"] and _is_sound(job.target, model_id) else "damaged"


def _is_sound(path: str, model_id: str) -> bool:
    """Whether every checksum of a file is right, and its model is this one."""
    try:
        reader = Reader(io.BytesIO(Path(path).read_bytes()), ImageHeader)
        for _ in reader.chunks():
            pass
    except (AezError, OSError):
        return False
    return model_id.startswith(reader.header.model_id.hex())


@dataclass(frozen=True)
class _ArchiveJob:
    """Encodes a picture and decodes its result, or decodes a result that is there already."""

    plain: EncodeJob
    work: Work

    def __call__(self, job: Job, progress: Progress) -> FileOutcome:
        if job.source in self.work.unlisted:
            return self._taken_over(job, progress)
        return (replace(self.plain, force=True) if job.source in self.work.anew else self.plain)(job, progress)

    def _taken_over(self, job: Job, progress: Progress) -> FileOutcome:
        """As if it had been encoded now: a former run ended between the result and its line."""
        from aez.codec.image.pillow import read_image

        source, data = Path(job.source).read_bytes(), Path(job.target).read_bytes()
        image = read_image(io.BytesIO(source), "it")
        header = Reader(io.BytesIO(data), ImageHeader).header
        if (header.width, header.height) != image.size:
            return replace(self.plain, force=True)(job, progress)
        quality = round(level_to_quality(header.level), 2)
        details: dict[str, Any] = {"width": image.width, "height": image.height, "quality": quality}
        details["psnr"] = self.plain.verified(job, data, image)
        pixels = image.width * image.height
        return FileOutcome(len(source), len(data), len(data), pixels, pixels, details=details)


def encode(collection: Collection, found: Inputs, work: Work, settings: dict[str, Any], workers: int) -> int:
    """Encode what is left, verify it, and write the manifest; the exit code.

    Raises OutputError, also for a full disk: what is done then stays done.
    """
    path = collection.out / MANIFEST
    with whole_file(path, force=True) as partial, FileReport(str(partial), force=True) as lines:
        for row in work.rows:
            lines.add({**row, "notices": [row["message"]] if row["message"] else []})
    job = _ArchiveJob(EncodeJob(settings, False, None, AfterEncoding(keep_times=True, measure=True)), work)
    with FileReport(str(path), force=True, append=True) as lines:
        aside = [replace(one, path=_place(one.path, collection.folder)) for one in found.left_out]
        lines.add_untouched(replace(found, left_out=aside), [])

        def each(record: dict[str, Any]) -> None:
            if "error" in record and any(word in record["error"] for word in _FULL):
                raise OutputError(f"{record['error']}; make room and give the same command, what is done stays done")
            lines.add({**record, **_places(record, collection)})

        return run_batch(work.jobs, job, "encoded", workers, failed=found.failed, each=each)


def _places(record: dict[str, Any], collection: Collection) -> dict[str, Any]:
    """Paths in the manifest are those below FOLDER and OUT, so that both may move."""
    places = {"input": _place(record["input"], collection.folder)}
    if record.get("output") is not None:
        places["output"] = _place(record["output"], collection.out)
    return places


def totals(collection: Collection) -> dict[str, Any]:
    """What the manifest comes to: files, bytes of sources and results, mean PSNR, failures with their reasons."""
    rows = read_report(str(collection.out / MANIFEST))
    done = [row for row in rows if row["status"] in (_DONE, _GONE)]
    finite = [float(row["psnr"]) for row in done if row["psnr"]]
    return {
        "files": len(done),
        "bytes_in": sum(int(row["bytes_in"]) for row in done),
        "bytes_out": sum(int(row["bytes_out"]) for row in done),
        "psnr": sum(finite) / len(finite) if finite else None,
        "failed": [(row["input"], row["message"]) for row in rows if row["status"] == "failed"],
    }


def stands_alone(collection: Collection) -> None:
    """Decode one result as a stranger would, with the model that lies in OUT. Raises what decoding raises."""
    from aez.codec.image.decoding import decode_picture

    rows: Sequence[Row] = [row for row in read_report(str(collection.out / MANIFEST)) if row["status"] == _DONE]
    if rows:
        path = collection.out / rows[0]["output"]
        try:
            decode_picture(path.read_bytes(), beside=path)
        except OSError as error:
            raise UnsupportedInput(f"{path} cannot be read: {error.strerror or error}") from error
