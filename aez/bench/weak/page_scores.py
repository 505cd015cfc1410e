"""A page of text around a photograph: bytes of `aez` and of AVIF 4:4:4 at equal scores of SSIMULACRA 2."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aez.bench.pictures.codecs import PictureCodec, aez_codec, standard_peers
from aez.bench.pictures.files import load_picture
from aez.bench.table_text import aligned
from aez.bench.weak.page import make_page
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import ssimulacra2

__all__ = ["SCORES", "PageReport", "PageResult", "bytes_at", "measure_pages"]

SCORES = (70.0, 85.0)
#: Qualities whose scores lie around those.
_QUALITIES, _PEER_QUALITIES = (32.0, 40.0, 65.0, 70.0, 75.0), (40.0, 45.0, 60.0, 66.0, 72.0)
_PEER = "AVIF 4:4:4"
Point = tuple[float, int]


@dataclass(frozen=True)
class PageResult:
    """Of one page: codec -> [(score, bytes)], codec -> score -> bytes (None: not reached), seconds of an encode."""

    picture: str
    points: dict[str, list[Point]]
    bytes: dict[str, dict[str, int | None]]
    seconds: dict[str, float]


@dataclass(frozen=True)
class PageReport:
    """All pages; the last codec is the one that the others are compared with."""

    codecs: tuple[str, ...]
    scores: tuple[float, ...]
    pages: tuple[PageResult, ...]

    def to_json(self) -> str:
        """Everything as one JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        peer = self.codecs[-1]
        rows = [["page with", "SSIMULACRA 2", *self.codecs, f"times {peer}", "seconds"]]
        for page in self.pages:
            for score in self.scores:
                sizes = [page.bytes[codec][f"{score:g}"] for codec in self.codecs]
                times = [size / sizes[-1] for size in sizes[:-1] if size is not None and sizes[-1] is not None]
                rows.append(
                    [
                        page.picture,
                        f"{score:g}",
                        *("-" if size is None else f"{size:,}" for size in sizes),
                        " ".join(f"{one:.2f}" for one in times) or "-",
                        " ".join(f"{page.seconds[codec]:.1f}" for codec in self.codecs),
                    ]
                )
        return "\n".join(["Bytes at equal scores: 1240x1754, text around a photograph on 30 %", "", *aligned(rows)])


def bytes_at(points: Sequence[Point], score: float) -> int | None:
    """Bytes at a score, linear between the two points around it; None where there are none."""
    ordered = sorted(points)
    scores = [point[0] for point in ordered]
    if not scores or not scores[0] <= score <= scores[-1]:
        return None
    return round(float(np.interp(score, scores, [size for _, size in ordered])))


def measure_pages(
    pictures: Sequence[Path], models: Sequence[str | Path | PictureCodec], peer: PictureCodec | None = None
) -> PageReport:
    """Pages with each of the photographs in turn. Raises InvalidArgument, UnsupportedInput."""
    if not pictures:
        raise InvalidArgument("name a photograph, which the page is made around")
    tested = [model if isinstance(model, PictureCodec) else aez_codec(model, qualities=_QUALITIES) for model in models]
    if peer is None:
        found = next(one for one in standard_peers() if one.name == _PEER)
        peer = dataclasses.replace(found, qualities=_PEER_QUALITIES)
    if (missing := peer.missing()) is not None:
        raise InvalidArgument(f"{peer.name} needs {missing}")
    codecs = [*tested, peer]
    pages = tuple(_measure(path, codecs) for path in pictures)
    return PageReport(tuple(codec.name for codec in codecs), SCORES, pages)


def _measure(path: Path, codecs: Sequence[PictureCodec]) -> PageResult:
    page = make_page(load_picture(path))
    points: dict[str, list[Point]] = {}
    seconds: dict[str, float] = {}
    for codec in codecs:
        points[codec.name], spent = [], []
        for quality in codec.qualities:
            begun = time.perf_counter()
            data = codec.encode(page, quality)
            spent.append(time.perf_counter() - begun)
            score = ssimulacra2(page, codec.decode(data))
            assert score is not None
            points[codec.name].append((score, len(data)))
        seconds[codec.name] = round(min(spent), 3)
    sizes = {name: {f"{score:g}": bytes_at(found, score) for score in SCORES} for name, found in points.items()}
    return PageResult(path.stem, points, sizes, seconds)
