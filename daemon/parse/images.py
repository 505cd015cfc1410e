"""Encoded pictures, one a message: PNG, JPEG, WebP and what else Pillow decodes within its own code.

Each becomes one row of `COLUMNS` of `aez.daemon.frames.models` by the model that watches its stream. Its time is the
source's, or else that of its arrival. A picture's size is read and held to `limits.pixels` before a pixel is decoded;
its file has at most `limits.body_bytes`. One picture is decoded at a time. Of several frames in a file the first
counts, pictures are turned as EXIF says, and what is transparent lies over white.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from aez.codec.errors import AezError
from aez.codec.image.files import Pixels, seen
from aez.codec.image.pillow import read_image
from aez.codec.series.zones import LocalTimes
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.frames.models import BATCH, COLUMNS, FrameModel, FrameModels, MeasuredFrame, Prepared
from aez.daemon.frames.pictures import shrunk
from aez.daemon.parse.names import Admit, StreamNames
from aez.daemon.parse.options import Options
from aez.daemon.parse.results import ChunkRows, MessageFault, MessageFaults, RowPart
from aez.daemon.parse.times import ArrivalClock, UnreadTime

__all__ = ["Images"]

#: Those that this Pillow has of them are read. It would run a program for others, such as PostScript.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")


@dataclass
class _Decoded:
    """A picture that was decoded and is to be measured. small: for a picture of its event, or None."""

    order: int
    stream: str
    time: int
    prepared: Prepared
    small: Pixels | None


class Images:
    """A parser of pictures. models: the model of a stream's frames, by the stream's name."""

    def __init__(self, options: Options, limits: Limits, admit: Admit | None, models: FrameModels) -> None:
        self.limits, self.models = limits, models
        Image.init()
        self._formats = [name for name in _FORMATS if name in Image.OPEN]
        self.names = StreamNames(options, limits, admit)
        self.clock, self.local, self.unread_time = ArrivalClock(), LocalTimes(), UnreadTime()

    def parse(self, chunk: Chunk) -> tuple[list[Samples], list[Malformed]]:
        return self.parse_many([chunk])

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        rows, faults = ChunkRows(self.limits), MessageFaults(self.limits.malformed)
        waiting: dict[FrameModel, list[_Decoded]] = {}
        for order, chunk in enumerate(chunks):
            try:
                model, one = self._decode(order, chunk)
            except MessageFault as fault:
                stream = self.names.of_refused((chunk.stream, chunk.source), fault)
                faults.add(fault.reason, fault.detail, chunk.data, stream=stream)
                continue
            group = waiting.setdefault(model, [])
            group.append(one)
            if len(group) == BATCH:
                self._measure(model, group, rows)
                group.clear()
        for model, group in waiting.items():
            self._measure(model, group, rows)
        return rows.samples(), faults.result()

    def _decode(self, order: int, chunk: Chunk) -> tuple[FrameModel, _Decoded]:
        if len(chunk.data) > self.limits.body_bytes:
            raise MessageFault("too_long", f"a picture of more than {self.limits.body_bytes:,} bytes")
        stream = self.names((chunk.stream, chunk.source), {})
        model = self.models(stream)
        if model is None:
            raise MessageFault("no_model", f"no model of pictures watches stream {stream!r}")
        model.progress()  # one after the other, so that many do not look like none
        pixels = self._pixels(chunk.data)
        moment = self.clock.arrivals(1, chunk.received) if chunk.time is None else chunk.time
        try:
            prepared = model.prepare(pixels)
        except AezError as error:
            raise MessageFault("bad_image", f"the model cannot take the picture: {error}") from error
        small, kept = None, model.pictures
        if kept is not None and (not isinstance(prepared, MeasuredFrame) or kept.wants(prepared.row[0])):
            small = shrunk(pixels)
        return model, _Decoded(order, stream, moment, prepared, small)

    def _pixels(self, data: bytes) -> Pixels:
        """As a person sees it, uint8 [height, width, 3]."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large pictures and damaged metadata
                with Image.open(io.BytesIO(data), formats=self._formats) as image:
                    width, height = image.size
        except Image.DecompressionBombError as error:
            detail = f"a picture of more pixels than Pillow opens; limits.pixels allows {self.limits.pixels:,}"
            raise MessageFault("too_many_pixels", detail) from error
        except Exception as error:  # Pillow's readers raise a dozen kinds for damaged files
            raise MessageFault("bad_image", "it is damaged, or not a picture in a format that is read here") from error
        if width * height > self.limits.pixels:
            allowed = f"limits.pixels allows {self.limits.pixels:,}"
            raise MessageFault("too_many_pixels", f"a picture of {width} x {height} pixels; {allowed}")
        try:
            return seen(read_image(io.BytesIO(data), "it"))
        except AezError as error:
            raise MessageFault("bad_image", str(error)) from error

    def _measure(self, model: FrameModel, group: Sequence[_Decoded], rows: ChunkRows) -> None:
        if not group:
            return
        measured = model.measure([one.prepared for one in group])
        for one, found in zip(group, measured, strict=True):
            score = float(found.row[0])
            if model.pictures is not None and one.small is not None and model.pictures.wants(score):
                model.pictures.hold(one.stream, one.time, one.small, found.error_map, score)
        streams = [rows.stream(one.stream, {}) for one in group]
        part = RowPart(
            np.array([one.order for one in group], np.int64),
            np.array([one.time for one in group], np.int64),
            np.array(streams, np.int32),
            np.stack([one.row for one in measured]),
        )
        rows.add(COLUMNS, part)
