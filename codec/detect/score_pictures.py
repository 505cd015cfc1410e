"""Files of pictures through a picture detector: a score and a verdict for each, and what it takes to draw them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.events import Severity, severity_of
from aez.codec.detect.pictures import PictureDetector
from aez.codec.image.files import Pixels, is_coloured, read_picture

__all__ = ["FIELDS", "ScoredPicture", "score_picture"]

#: Columns of a table of scores, in order: the keys of `ScoredPicture.as_dict`.
FIELDS = (
    *("file", "score", "verdict", "severity", "peak", "peak_x", "peak_y", "share_above"),
    *("width", "height", "notices"),
)
#: Another aspect than the model's, relatively.
_OTHER_ASPECT = 0.1


@dataclass(frozen=True, eq=False)
class ScoredPicture:
    """What scoring a picture found. Scores are in thresholds: above 1 is abnormal.

    source: the file's name; what is no text in it is replaced. pixels: the picture, uint8 [height, width, 3].
    error_map: float32 [rows, columns] of the model's size, laid over the whole picture. expected: what the model would
    have expected, uint8 [rows, columns, 3]. notices: what the reader of the score should know, one sentence each.
    """

    source: str
    score: float
    pixels: Pixels
    error_map: NDArray[np.float32]
    expected: Pixels
    notices: tuple[str, ...]

    @property
    def abnormal(self) -> bool:
        return self.score > 1

    @property
    def severity(self) -> Severity | None:
        """That of an event with this peak; None for a normal picture."""
        return severity_of(self.score) if self.abnormal else None

    @property
    def peak(self) -> float:
        """The highest value of the error map."""
        return float(self.error_map.max())

    @property
    def peak_at(self) -> tuple[int, int]:
        """(x, y) of the highest value, in pixels of the picture."""
        row, column = np.unravel_index(int(self.error_map.argmax()), self.error_map.shape)
        height, width = self.pixels.shape[:2]
        x = int((column + 0.5) * width / self.error_map.shape[1])
        return x, int((row + 0.5) * height / self.error_map.shape[0])

    @property
    def share_above(self) -> float:
        """The share of the picture where the error map exceeds 1."""
        return float(np.mean(self.error_map > 1))

    @property
    def verdict(self) -> str:
        """A few words: `normal`, or where it is abnormal."""
        if not self.abnormal:
            return "normal"
        if self.peak <= 1:
            return "abnormal as a whole"
        x, y = self.peak_at
        return f"abnormal around x {x}, y {y} ({100 * self.share_above:.2g} % of the picture)"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the keys of `FIELDS`."""
        x, y = self.peak_at
        height, width = self.pixels.shape[:2]
        found = (
            *(self.source, _number(self.score), "abnormal" if self.abnormal else "normal", self.severity),
            *(_number(self.peak), x, y, _number(self.share_above), width, height, list(self.notices)),
        )
        return dict(zip(FIELDS, found, strict=True))


def score_picture(detector: PictureDetector, path: str | os.PathLike[str]) -> ScoredPicture:
    """Score the picture in a file. Raises UnsupportedInput, which does not name it, where it cannot be read."""
    pixels = read_picture(path)
    planes = detector.prepare(pixels)
    found = detector.score_planes(planes[None])
    expected = np.rint(found.reconstruction[0]).astype(np.uint8).transpose(1, 2, 0)
    return ScoredPicture(
        source=os.fsencode(path).decode(errors="replace"),
        score=float(found.score[0]),
        pixels=pixels,
        error_map=found.error_map[0],
        expected=np.ascontiguousarray(np.broadcast_to(expected, (*expected.shape[:2], 3))),
        notices=tuple(_notices(detector, pixels)),
    )


def _notices(detector: PictureDetector, pixels: Pixels) -> list[str]:
    found = []
    height, width = pixels.shape[:2]
    aspect = width / height * detector.height / detector.width
    if abs(np.log(aspect)) > np.log(1 + _OTHER_ASPECT):
        found.append(
            f"it has {width} x {height} pixels and was squeezed to the {detector.width} x {detector.height} that the "
            "model works at; cut it to the aspect of the training pictures"
        )
    if detector.colours == 1 and is_coloured(pixels):
        found.append("it is in colour, and the model learned from grey pictures and sees its brightness alone")
    return found


def _number(value: float) -> float:
    return float(f"{value:.7g}")
