"""Pictures of the worst frames of events: the frame in grey under the colours of its error, as WebP files.

Guarantees: never more than `count` files in the folder, the oldest go first; at most `held_bytes` of recent frames in
memory; what goes wrong with a file is logged once and stops nothing. A picture is lost where so many frames came
between the worst one and the event's opening that it is held no more; the event then has no link.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez.codec.detect.events import Event
from aez.codec.image.files import Pixels
from aez.codec.report.picture_plots import heat_map
from aez.daemon.common.files import private
from aez.daemon.common.records import EventRecord

__all__ = ["FramePictures", "folder_beside", "read_picture", "shrunk"]

_log = logging.getLogger(__name__)
Float = NDArray[np.float32]
Ints = NDArray[np.int64]

#: The longer side of a picture, in pixels; small frames are enlarged to half of it.
_SIDE = 384
#: What one takes at most: those that are drawn here take a tenth of it.
_BYTES = 4 << 20
#: Peaks that are equal but for the digits that the way to the event cost.
_SAME = 1 - 1e-5


@dataclass(frozen=True)
class _Frame:
    """A frame that may turn out the worst of an event: pixels and error map made small, scores of the map's unit."""

    pixels: Pixels
    error_map: Float
    score: float
    relative: float = 0.0

    @property
    def size(self) -> int:
        return self.pixels.nbytes + self.error_map.nbytes


class FramePictures:
    """Holds recent frames and writes those that events are about to `folder`/<event id>.webp.

    count: files that stay. least: frames of a lower score are not held; None holds every one.
    """

    def __init__(self, folder: Path, count: int, *, least: float | None = 0.5, held_bytes: int = 32 << 20) -> None:
        self.folder, self.count = folder, count
        self._least, self._held_bytes = least, held_bytes
        self._lock = threading.Lock()  # frames are held where they are decoded, and drawn where they are scored
        self._held: OrderedDict[tuple[str, int], _Frame] = OrderedDict()
        self._bytes = 0
        self._written: OrderedDict[str, float] = OrderedDict()
        self._broken = False

    def wants(self, score: float) -> bool:
        """Whether a frame of this score is worth being held."""
        return self._least is None or score >= self._least

    def hold(self, stream: str, time: int, small: Pixels, error_map: Float, score: float) -> None:
        """Keep a frame for a while: `small` as `shrunk` gives it, score and error map in one unit."""
        frame = _Frame(small, np.array(_shrunk_map(error_map)), score)  # a part of a larger array would keep all of it
        with self._lock:
            self._drop((stream, time))
            self._held[stream, time] = frame
            self._bytes += frame.size
            while self._bytes > self._held_bytes:
                self._drop(next(iter(self._held)))

    def _drop(self, key: tuple[str, int]) -> None:
        frame = self._held.pop(key, None)
        if frame is not None:
            self._bytes -= frame.size

    def illustrate(
        self, stream: str, times: Ints, relative: Float, records: Sequence[EventRecord], current: Event | None
    ) -> list[EventRecord]:
        """Draw what became of these frames; returns the records, with `picture` in those events that have one.

        times, relative: of the frames [n] that the records follow from, 1 being the stream's limit. current: the event
        that is open behind them.
        """
        with self._lock:
            for place in np.flatnonzero(relative > 1).tolist():
                key = (stream, int(times[place]))
                if key in self._held:
                    self._held[key] = replace(self._held[key], relative=float(relative[place]))
        if current is not None:
            self._draw(stream, current.id, current.peak, current.start_time)
        return [self._linked(record) if "peak" in record.event else record for record in records]

    def _linked(self, record: EventRecord) -> EventRecord:
        event = record.event
        self._draw(record.stream, record.id, float(event["peak"]), event["start_time"])
        name = f"{record.id}.webp"
        if not (self.folder / name).is_file():
            return record
        return replace(record, event={**event, "picture": name})

    def _draw(self, stream: str, event: str, peak: float, start: int | None) -> None:
        """Write the picture of an event's worst frame, unless that was done or the frame is held no more."""
        if self._written.get(event, 0.0) >= peak:
            return
        with self._lock:
            found = next(
                (
                    frame
                    for (name, time), frame in reversed(self._held.items())
                    if name == stream and frame.relative >= peak * _SAME and (start is None or time >= start)
                ),
                None,
            )
        if found is None:
            return
        self._written[event] = peak
        if len(self._written) > self.count:
            self._written.popitem(last=False)
        try:
            self._write(event, _drawn(found))
        except OSError as error:
            if not self._broken:
                _log.warning("pictures of events cannot be written to %s: %s", self.folder, error.strerror or error)
            self._broken = True
            return
        self._broken = False

    def _write(self, event: str, data: bytes) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        temporary = self.folder / f"{event}.tmp"
        with open(temporary, "wb", opener=private) as file:
            file.write(data)
        temporary.replace(self.folder / f"{event}.webp")
        with os.scandir(self.folder) as entries:
            kept = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.name.endswith(".webp"))
        for _, path in kept[: max(0, len(kept) - self.count)]:
            Path(path).unlink(missing_ok=True)


def folder_beside(state: Path) -> Path:
    """Where the pictures of the events in a state file lie."""
    return state.with_suffix(".pictures")


def read_picture(folder: Path, event: str) -> bytes | None:
    """The WebP file of an event, by its id as the store has it; None where none is kept."""
    try:
        with (folder / f"{event}.webp").open("rb") as file:
            data = file.read(_BYTES + 1)
    except OSError:
        return None
    return data if len(data) <= _BYTES else None


def shrunk(pixels: Pixels) -> Pixels:
    """A frame uint8 [height, width, 3] at the size at which it is held."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(image)


def _shrunk_map(error_map: Float) -> Float:
    """At most `_SIDE` on a side, each value the highest of those that it stands for."""
    for axis in (0, 1):
        size = error_map.shape[axis]
        if size > _SIDE:
            error_map = np.maximum.reduceat(error_map, np.linspace(0, size, _SIDE, endpoint=False).astype(int), axis)
    return error_map


def _drawn(frame: _Frame) -> bytes:
    height, width = frame.pixels.shape[:2]
    image = Image.fromarray(frame.pixels)
    if max(height, width) < _SIDE // 2:
        scale = _SIDE // 2 / max(height, width)
        image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    unit = np.float32(frame.relative / frame.score if frame.score > 0 else 1.0)
    heat_map(image, frame.error_map * unit).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
