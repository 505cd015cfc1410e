"""An opened detector of pictures: a bundle's graph, run on pictures of any size.

Guarantees: the bundle's probe gave the score that it promises; a score of 1 is the threshold; batches have two fixed
shapes, so that memory does not grow with what is scored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.bundle.session import open_session
from aez.codec.detect.manifest_values import check_outputs, check_probe, positive, whole, wrong
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.image.files import PictureLike, Pixels, seen, to_planes

__all__ = ["GRAPH", "TASK", "PictureDetector", "PictureScores", "load_picture_detector"]

Float = NDArray[np.float32]
TASK = "picture-detector"
GRAPH = "picture_detector"
SIDE_MAX = 1024
_BATCHES = (1, 16)


@dataclass(frozen=True, eq=False)
class PictureScores:
    """Scores of n pictures; 1.0 is the threshold everywhere.

    score float32 [n]; error_map float32 [n, height, width], what is abnormal at a pixel; reconstruction float32
    [n, colours, height, width] in 0..255, what the model would have expected.
    """

    score: Float
    error_map: Float
    reconstruction: Float


class PictureDetector:
    """Runs the graph of a bundle that `aez train images` made. One object serves many threads.

    height, width, colours: what the model works at; other pictures are squeezed to it, and turned grey for 1 colour.
    threshold: the raw score that counts as 1. score_kind: what the score is made of.

    Raises ModelError for a bundle that is no detector of pictures, contradicts itself, or whose probe scores
    differently here; InvalidArgument as `open_session`.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int | None = None) -> None:
        if bundle.task != TASK:
            raise ModelError(f"model {bundle.name} is made for {bundle.task}, not for scoring pictures")
        self.bundle = bundle
        coding = bundle.coding
        self.height, self.width = whole(coding, "height", SIDE_MAX), whole(coding, "width", SIDE_MAX)
        self.colours = whole(coding, "colours", 3)
        if self.colours == 2:
            raise wrong("colours", 2, "1 or 3")
        self.threshold = positive(coding, "threshold")
        self.score_kind = str(coding.get("score", ""))
        self._session = open_session(bundle.graph(GRAPH), device, threads)
        check_outputs(bundle, self._session.outputs, {"score", "error_map", "reconstruction"})
        self._check_probe()

    @property
    def device(self) -> str:
        """Where the graph runs: `cpu` or `cuda`."""
        return self._session.device

    def score(self, pictures: Sequence[PictureLike] | Pixels) -> PictureScores:
        """Scores of Pillow pictures, or of arrays uint8 [H, W] or [H, W, 1..4], of any size.

        Raises UnsupportedInput for a picture without pixels, InvalidArgument for arrays of other shapes or types.
        """
        if isinstance(pictures, np.ndarray) and pictures.ndim < 3:
            raise InvalidArgument("several pictures are scored at once; give a list, with one picture in it perhaps")
        planes = [self.prepare(seen(picture)) for picture in pictures]
        return self.score_planes(np.stack(planes) if planes else np.empty((0, *self._shape), np.uint8))

    def prepare(self, pixels: Pixels) -> Pixels:
        """A picture [h, w, 3] as the graph takes it: uint8 [colours, height, width]."""
        return to_planes(pixels, self.height, self.width, self.colours)

    def score_planes(self, planes: ArrayLike) -> PictureScores:
        """Scores of pictures that have the model's size already: [n, colours, height, width] in 0..255.

        Raises InvalidArgument for another shape.
        """
        found = [self._run(batch, count) for batch, count in self._split(np.asarray(planes))]
        if not found:
            size = (0, self.height, self.width)
            return PictureScores(*(np.empty(shape, np.float32) for shape in (0, size, (0, *self._shape))))
        return PictureScores(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.colours, self.height, self.width

    def _split(self, planes: NDArray[np.generic]) -> Iterator[tuple[Float, int]]:
        """(batch of a fixed shape, pictures in it that are real)."""
        if planes.ndim != 4 or planes.shape[1:] != self._shape:
            raise InvalidArgument(
                f"pictures of model {self.bundle.name} have the shape [n, {', '.join(map(str, self._shape))}], "
                f"not {list(planes.shape)}"
            )
        start = 0
        while start < len(planes):
            size = _BATCHES[0] if len(planes) - start == 1 else _BATCHES[-1]
            count = min(size, len(planes) - start)
            batch = np.empty((size, *self._shape), np.float32)
            batch[:count] = planes[start : start + count]
            batch[count:] = batch[0]
            yield batch, count
            start += count

    def _run(self, batch: Float, count: int) -> tuple[Float, Float, Float]:
        found = self._session.run({"image": batch})
        shapes = {
            "score": (len(batch),),
            "error_map": (len(batch), self.height, self.width),
            "reconstruction": batch.shape,
        }
        for key, shape in shapes.items():
            if found[key].shape != shape:
                raise ModelError(f"model {self.bundle.name} gives {key} of the shape {found[key].shape}, not {shape}")
        score, error_map, reconstruction = (found[key][:count] for key in shapes)
        return score, error_map, reconstruction

    def _check_probe(self) -> None:
        pictures, expected = self.bundle.array("probe_image"), self.bundle.array("probe_score")
        if pictures.shape[1:] != self._shape or expected.shape != pictures.shape[:1]:
            raise ModelError(
                f"the probe of model {self.bundle.name} has the shape {pictures.shape}, not that of its pictures"
            )
        check_probe(self.bundle, self.score_planes(pictures).score, expected)


def load_picture_detector(
    source: str | os.PathLike[str] | bytes, device: str = "auto", threads: int | None = None
) -> PictureDetector:
    """The picture detector of a bundle: a path, a name or an id as `find_bundle` takes them, or the bundle's bytes.

    Raises ModelError where there is none, or one of another kind.
    """
    return PictureDetector(find_bundle(source), device, threads)
