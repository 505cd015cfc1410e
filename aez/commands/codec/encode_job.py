"""One picture to one `.aez` file: encoded, written, looked at again where asked, and only then its source deleted."""

from __future__ import annotations

import io
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aez.batch import FileOutcome, Progress
from aez.codec.errors import OutputError
from aez.files import Job, check_target, read_input, write_output
from aez.inputs import STDIO

if TYPE_CHECKING:
    from PIL import Image

#: The settings that tell how a picture is taken apart.
HOW = ("strip", "keep_hidden", "alpha_quality", "value_range")


@dataclass(frozen=True)
class AfterEncoding:
    """What happens beside writing the file. `measure`: its PSNR is computed from what was written."""

    only_smaller: bool = False
    keep_times: bool = False
    delete_source: bool = False
    measure: bool = False


@dataclass(frozen=True)
class EncodeJob:
    """Encodes one picture after the other with the same `settings`, arguments of `encode_picture`."""

    settings: dict[str, Any]
    force: bool
    max_pixels: int | None = None
    after: AfterEncoding = AfterEncoding()

    def __call__(self, job: Job, progress: Progress) -> FileOutcome:
        from aez.codec.image.api import encode_picture
        from aez.codec.image.pillow import Loss, read_image

        started = time.perf_counter()
        check_target(job, self.force)
        path = Path(job.source)
        before = path.stat() if job.source != STDIO and path.is_file() else None
        source = read_input(job.source)
        image = read_image(io.BytesIO(source), "it", self.max_pixels)
        encoded = encode_picture(image, **self.settings, progress=progress)
        larger = len(encoded.data) >= len(source)
        notices = list(encoded.notices)
        if larger:
            end = "and was left out" if self.after.only_smaller else "(--only-smaller leaves it out)"
            notices.append(f"its {len(encoded.data):,} bytes are not fewer than the source's {len(source):,} {end}")
        is_whole = not any(isinstance(notice, Loss) for notice in encoded.notices)
        if self.after.delete_source and not is_whole:
            notices.append("its source has more than its result, and is not deleted")
        written = not (larger and self.after.only_smaller)
        details = {"width": image.width, "height": image.height, "quality": round(encoded.quality, 2)}
        if written:
            write_output(job.target, encoded.data, self.force)
            details |= self._look_again(job, encoded.data, image, before, is_whole)
        return FileOutcome(
            bytes_in=len(source),
            bytes_out=len(encoded.data) if written else 0,
            coded_bytes=len(encoded.data),
            coded_pixels=encoded.pixels,
            pixels=encoded.pixels,
            details=details | {"seconds": round(time.perf_counter() - started, 3)},
            notices=tuple(notices),
            written=written,
        )

    def _look_again(
        self, job: Job, data: bytes, image: Image.Image, before: os.stat_result | None, is_whole: bool
    ) -> dict[str, Any]:
        after, found = self.after, {}
        if after.keep_times and before is not None:
            os.utime(job.target, ns=(before.st_atime_ns, before.st_mtime_ns))
        if after.measure or after.delete_source:
            found["psnr"] = self.verified(job, data, image)
        if after.delete_source and is_whole and before is not None:
            now = Path(job.source).stat()
            if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
                raise OutputError("it changed while it was being encoded, and was kept; its result is of what it was")
            Path(job.source).unlink()
        return found

    def verified(self, job: Job, data: bytes, image: Image.Image) -> float | None:
        """PSNR in dB of what stands in the file now, None where it is infinite.

        Raises OutputError for anything else than what was written, and what decoding raises.
        """
        from aez.codec.image.api import choices_of, psnr_of
        from aez.codec.image.decoded import as_shown
        from aez.codec.image.decoding import decode_picture
        from aez.codec.image.pillow import take_apart

        if job.target != STDIO and Path(job.target).read_bytes() != data:
            raise OutputError(f"{job.target} does not hold what was written; the source was kept")
        model, device, threads = (self.settings[key] for key in ("model", "device", "threads"))
        decoded = decode_picture(data, model=model, device=device, threads=threads)
        picture = take_apart(image, choices_of(**{key: self.settings[key] for key in HOW if key in self.settings}))
        value = psnr_of(picture, as_shown(decoded.pixels, decoded.header.mode))
        return value if math.isfinite(value) else None
