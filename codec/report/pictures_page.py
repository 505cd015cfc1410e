"""One HTML file about scored pictures that a person can send to a colleague, the worst first, with their heat maps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aez.codec.detect.pictures import PictureDetector
from aez.codec.detect.score_pictures import ScoredPicture
from aez.codec.errors import InvalidArgument
from aez.codec.report.pages import Figure, html_page
from aez.codec.report.picture_plots import panel_bytes
from aez.codec.report.series_plots import NORMAL_COLOUR, SEVERITY_COLOURS

__all__ = ["PictureReport"]

#: So many of the highest scores are shown as pictures, and so many in the table.
PICTURES_SHOWN, ROWS_SHOWN = 60, 1000


class PictureReport:
    """Takes scored pictures one after the other and keeps what a report shows: memory is bounded by its size."""

    def __init__(self, detector: PictureDetector) -> None:
        self._detector = detector
        self._shown: list[tuple[float, int, ScoredPicture, bytes]] = []
        self._rows: list[tuple[float, int, str, str, str]] = []
        self._count, self._abnormal = 0, 0
        self._notices: dict[str, int] = {}

    def add(self, scored: ScoredPicture) -> None:
        self._count += 1
        self._abnormal += scored.abnormal
        for notice in scored.notices:
            self._notices[notice] = self._notices.get(notice, 0) + 1
        self._rows.append((scored.score, -self._count, scored.source, scored.verdict, str(scored.severity or "normal")))
        if len(self._shown) < PICTURES_SHOWN or scored.score > self._shown[0][0]:
            entry = (scored.score, -self._count, scored, panel_bytes(scored, "JPEG", titled=False))
            add = heapq.heappush if len(self._shown) < PICTURES_SHOWN else heapq.heapreplace
            add(self._shown, entry)

    def html(self, failures: Iterable[tuple[str, str]] = (), version: str = "") -> str:
        """The page; `failures` are files without a score, and why. Raises InvalidArgument without a picture."""
        if not self._count:
            raise InvalidArgument("a report needs at least one scored picture")
        ranked = sorted(self._rows, reverse=True)
        score, _, source, verdict, severity = ranked[0]
        shown = sorted(self._shown, key=lambda entry: entry[:2], reverse=True)
        return html_page(
            "pictures.html",
            title=f"{self._abnormal:,} of {self._count:,} pictures abnormal",
            model=self._detector.bundle.name,
            said=f"The highest score is {score:.3g} times the threshold: {Path(source).name}, {verdict}.",
            colour=SEVERITY_COLOURS.get(severity, NORMAL_COLOUR),
            notices=self._notices,
            failed=list(failures),
            shown=[_shown(scored, jpeg) for _, _, scored, jpeg in shown],
            rows=[_row(*row) for row in ranked[:ROWS_SHOWN]],
            count=len(ranked),
            model_facts=list(self._model_facts()),
            version=version,
        )

    def _model_facts(self) -> Iterable[tuple[str, str]]:
        detector = self._detector
        yield "name", detector.bundle.name
        yield "id", detector.bundle.id
        yield "family", str(detector.bundle.manifest["family"])
        yield (
            "pictures",
            f"{detector.width} x {detector.height} pixels, {'grey' if detector.colours == 1 else 'colour'}",
        )
        yield (
            "threshold",
            f"{detector.threshold:.6g} ({detector.score_kind or 'score'}), which every score is divided by",
        )
        if data := detector.bundle.manifest["provenance"].get("data"):
            yield "trained on", str(data)


def _row(score: float, _: int, source: str, verdict: str, severity: str) -> dict[str, str]:
    colour = SEVERITY_COLOURS.get(severity, NORMAL_COLOUR)
    return {"score": f"{score:.3g}", "colour": colour, "source": source, "verdict": verdict}


def _shown(scored: ScoredPicture, jpeg: bytes) -> dict[str, Any]:
    row = _row(scored.score, 0, scored.source, scored.verdict, str(scored.severity or "normal"))
    about = f"{scored.source}: the picture, what was expected, and what differs"
    return row | {"name": Path(scored.source).name, "panel": Figure(jpeg, about, "jpeg")}
