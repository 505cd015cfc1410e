"""Models of pictures as the engine takes them: each frame becomes one row of numbers, which is scored like telemetry.

A row holds the score of the whole frame and one value for each region of a grid laid over it, so that limits, events,
silence, state and restarts are those of telemetry, and an event says where in the picture it is. A frame is measured
once, when it is decoded; the engine then scores its row.

Guarantees: the same bytes give the same row, whatever is measured beside them, but for the last digits of float32;
memory is bounded by one decoded frame and `BATCH` frames of a detector's size.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.image_header import ImageHeader
from aez.codec.detect.detector import WindowScores
from aez.codec.detect.events import EventRule
from aez.codec.detect.pictures import PictureDetector
from aez.codec.entropy.quality import quality_to_level
from aez.codec.image.files import Pixels
from aez.codec.image.model import ImageModel
from aez.codec.image.region import RegionDecoder
from aez.codec.image.tiles import Box, encode_tile_pixels
from aez.daemon.frames.pictures import FramePictures

__all__ = [
    "BATCH",
    "COLUMNS",
    "CodecFrames",
    "DetectorFrames",
    "FrameModel",
    "FrameModels",
    "MeasuredFrame",
    "Prepared",
]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Frames that are measured at once, at most.
BATCH = 16
_GRID = 4
#: Names of a row's values: the score of the whole frame, then the regions row by row from the top left.
COLUMNS = ("frame", *(f"row {row} column {column}" for row in range(1, 1 + _GRID) for column in range(1, 1 + _GRID)))
#: A frame is a whole measurement, so that one is enough to open an event.
_RULE = EventRule(open_after=1, close_after=3)
#: Detectors run batches of 1 or 16, and fillers cost as much as frames.
_WORTH_A_BATCH = 8
_CELLS = 32
#: A quarter of the memory that the codec's own tiles of 1024 take; the error differs by 0.01 dB.
_TILE = 512
_PEAK = 255.0**2


class MeasuredFrame(NamedTuple):
    """A frame's row, float64 [len(COLUMNS)], and the error behind it, float32 [rows, columns] laid over the picture."""

    row: Floats
    error_map: Float


#: What `FrameModel.prepare` keeps of a frame: pixels of a detector's size, or the row itself.
Prepared = Pixels | MeasuredFrame


class Identity(NamedTuple):
    """What streams' states and events are keyed by: `id` is 64 hexadecimal digits, and another for other settings."""

    id: str
    name: str


class FrameModel(ABC):
    """A model of pictures behind `StreamModel` of `aez.daemon.engine`: windows of one row, `COLUMNS` its channels.

    learns: whether it brings no threshold, so that each stream's limit is learned. pictures: keeps heat maps; None to
    keep none. progress: is called now and then while a large frame is measured. device: where it runs.
    """

    window: int = 1
    channels: tuple[str, ...] = COLUMNS
    period: float | None = None
    event_rule: EventRule = _RULE
    learns: bool = False
    pictures: FramePictures | None = None
    progress: Callable[[], None] = staticmethod(lambda: None)
    bundle: Identity
    device: str

    @abstractmethod
    def prepare(self, pixels: Pixels) -> Prepared:
        """What is needed of a frame uint8 [height, width, 3]; its pixels are needed no more then. Raises AezError."""

    @abstractmethod
    def measure(self, prepared: Sequence[Prepared]) -> list[MeasuredFrame]:
        """The rows of at most `BATCH` frames. Raises ModelError."""

    @abstractmethod
    def blame(self, regions: Float) -> Float:
        """How much each region is to blame, of regions float32 [n, regions]."""

    def score_batch(self, batch: Float, *, whole: bool = False) -> WindowScores:  # noqa: ARG002
        """Scores of rows float32 [n, 1, len(COLUMNS)]; the whole frame is never to blame, only its regions are."""
        rows = batch[:, 0]
        blame = np.zeros_like(rows)
        blame[:, 1:] = self.blame(rows[:, 1:])
        return WindowScores(rows[:, 0].copy(), blame)


#: The model of the frames of a stream, by the stream's name; None where it has none.
FrameModels = Callable[[str], FrameModel | None]


class DetectorFrames(FrameModel):
    """Frames through a detector of pictures: its score, and the highest value of its error map in each region.

    Blamed are the regions above the threshold, or all where none is and the frame is abnormal as a whole.
    """

    def __init__(self, detector: PictureDetector) -> None:
        self.detector = detector
        self.bundle, self.device = Identity(detector.bundle.id, detector.bundle.name), detector.device

    def prepare(self, pixels: Pixels) -> Prepared:
        return self.detector.prepare(pixels)

    def measure(self, prepared: Sequence[Prepared]) -> list[MeasuredFrame]:
        planes = [one for one in prepared if not isinstance(one, MeasuredFrame)]
        parts = [planes] if len(planes) >= _WORTH_A_BATCH else [[one] for one in planes]
        found = []
        for part in parts:
            scores = self.detector.score_planes(np.stack(part))
            found += [
                MeasuredFrame(np.array([score, *_regions(error, np.max)], np.float64), error)
                for score, error in zip(scores.score.tolist(), scores.error_map, strict=True)
            ]
        return found

    def blame(self, regions: Float) -> Float:
        above = regions > 1
        local = above.any(axis=1, keepdims=True)
        return np.where(local & ~above, np.float32(0), regions)


class CodecFrames(FrameModel):
    """Frames through an image codec and back: the mean squared error, in shares of the square of the largest level.

    quality: 1..100, what the frames are coded with. psnr: the dB below which a frame is abnormal, and then errors
    count in that limit; None lets each stream's limit be learned. Blamed are the regions by what their error exceeds
    that of the middle one.
    """

    def __init__(self, model: ImageModel, quality: float = 50.0, psnr: float | None = None) -> None:
        self.model, self.level = model, quality_to_level(quality)
        settings = json.dumps([model.bundle.id, self.level, psnr])
        self.bundle = Identity(hashlib.sha256(settings.encode()).hexdigest(), model.bundle.name)
        self.learns = psnr is None
        self._limit = 1.0 if psnr is None else 10 ** (-psnr / 10)
        # Opens every session, so that neither the first frame waits nor a bad model is found out late.
        self.prepare(np.full((64, 64, 3), 128, np.uint8))
        self.device = model.runs_on

    def prepare(self, pixels: Pixels) -> Prepared:
        error, cells = _squared_error(pixels, self._through(pixels))
        scale = 1 / (_PEAK * self._limit)
        row = np.array([error, *_regions(cells, np.mean)], np.float64) * scale
        return MeasuredFrame(row, (cells * scale).astype(np.float32))

    def measure(self, prepared: Sequence[Prepared]) -> list[MeasuredFrame]:
        return [one for one in prepared if isinstance(one, MeasuredFrame)]

    def blame(self, regions: Float) -> Float:
        excess: Float = np.maximum(regions - np.median(regions, axis=1, keepdims=True), np.float32(0))
        return excess

    def _through(self, pixels: Pixels) -> Pixels:
        """Encoded and decoded, tile by tile."""
        height, width = pixels.shape[:2]
        header = ImageHeader(width, height, "RGB", self.level, bytes.fromhex(self.model.bundle.id)[:8], _TILE)

        def payload(number: int) -> bytes:
            self.progress()
            return encode_tile_pixels(self.model, pixels, header, number)

        return np.asarray(RegionDecoder(self.model, header, payload).decode(Box(0, 0, width, height)), np.uint8)


def _regions(error_map: NDArray[np.floating], summary: Callable[..., np.floating]) -> list[float]:
    """One value for each region, row by row; regions of a map smaller than the grid overlap."""
    rows, columns = (_parts(size) for size in error_map.shape)
    return [float(summary(error_map[row, column])) for row in rows for column in columns]


def _parts(size: int) -> list[slice]:
    starts = [part * size // _GRID for part in range(_GRID)]
    return [slice(start, max(start + 1, (part + 1) * size // _GRID)) for part, start in enumerate(starts)]


def _squared_error(pixels: Pixels, decoded: Pixels) -> tuple[float, Floats]:
    """Mean squared error of pictures uint8 [height, width, 3], and that of at most 32 x 32 cells."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height, min(_CELLS, height) + 1).astype(int)
    columns = np.linspace(0, width, min(_CELLS, width) + 1).astype(int)
    sums = np.empty((len(rows) - 1, len(columns) - 1))
    for number, (start, end) in enumerate(zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True)):
        difference = pixels[start:end].astype(np.float32) - decoded[start:end]
        sums[number] = np.add.reduceat(np.square(difference).sum(axis=(0, 2), dtype=np.float64), columns[:-1])
    areas = 3.0 * np.outer(np.diff(rows), np.diff(columns))
    return float(sums.sum() / areas.sum()), sums / areas
