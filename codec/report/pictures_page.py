"""One HTML file about scored pictures that a person can send to a colleague, the worst first, with their heat maps.

Every text from files or models is escaped.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable
from html import escape
from pathlib import Path

from aez.codec.detect.pictures import PictureDetector
from aez.codec.detect.score_pictures import ScoredPicture
from aez.codec.errors import InvalidArgument
from aez.codec.report.html_page import facts_table, html_page
from aez.codec.report.picture_plots import panel_bytes
from aez.codec.report.series_plots import SEVERITY_COLOURS

__all__ = ["PictureReport"]

#: So many of the highest scores are shown as pictures, and so many in the table.
PICTURES_SHOWN, ROWS_SHOWN = 60, 1000
_NORMAL = "#2e7d4f"
_STYLE = """
.picture { margin: 1.6rem 0 0; } .picture h3 { font-size: 1rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
.picture img { width: auto; max-width: 100%; } .scores td { white-space: nowrap; }
.scores td.file { white-space: normal; overflow-wrap: anywhere; }
"""


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
        title = f"{self._abnormal:,} of {self._count:,} pictures abnormal"
        body = [f"<h1>{title}</h1>", f'<p class="sub">Scored with model {escape(self._detector.bundle.name)}</p>']
        ranked = sorted(self._rows, reverse=True)
        body.append(_verdict(ranked[0]))
        body += [_notice(text, count) for text, count in self._notices.items()]
        if failed := list(failures):
            body += ["<h2>Not scored</h2>", facts_table(failed)]
        body.append("<h2>Highest scores</h2>")
        body += [_figure(scored, jpeg) for _, _, scored, jpeg in sorted(self._shown, key=lambda e: e[:2], reverse=True)]
        body += ["<h2>All scores</h2>", _table(ranked)]
        body += ["<h2>Model</h2>", facts_table(self._model_facts())]
        made = f"Made by aez{f' {version}' if version else ''}."
        body.append(
            "<footer>A score of 1 is the model's threshold; higher is less usual. A picture is abnormal where colours "
            "lie over it, inside the outline, or as a whole, where its shapes are others than the normal ones'. "
            f"{escape(made)} This file holds everything it shows and loads nothing.</footer>"
        )
        return html_page(title, body, _STYLE)

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


def _verdict(worst: tuple[float, int, str, str, str]) -> str:
    score, _, source, verdict, severity = worst
    colour = SEVERITY_COLOURS.get(severity, _NORMAL)
    text = f"The highest score is {score:.3g} times the threshold: {Path(source).name}, {verdict}."
    return f'<p class="verdict" style="border-color: {colour}">{escape(text)}</p>'


def _notice(text: str, count: int) -> str:
    which = "One picture" if count == 1 else f"{count:,} pictures"
    return f'<p class="notice">{which}: {escape(text)}.</p>'


def _figure(scored: ScoredPicture, jpeg: bytes) -> str:
    name = escape(Path(scored.source).name)
    about = escape(f"{scored.source}: the picture, what was expected, and what differs")
    data = base64.b64encode(jpeg).decode()
    return (
        f'<div class="picture"><h3>{name} {_pill(scored.score, str(scored.severity or "normal"))} '
        f'{escape(scored.verdict)}</h3><img alt="{about}" src="data:image/jpeg;base64,{data}"></div>'
    )


def _pill(score: float, severity: str) -> str:
    return f'<span class="pill" style="background: {SEVERITY_COLOURS.get(severity, _NORMAL)}">{score:.3g}</span>'


def _table(ranked: list[tuple[float, int, str, str, str]]) -> str:
    rows = "".join(
        f'<tr><td>{_pill(score, severity)}</td><td class="file">{escape(source)}</td><td>{escape(verdict)}</td></tr>\n'
        for score, _, source, verdict, severity in ranked[:ROWS_SHOWN]
    )
    head = "<tr><th>Score</th><th>File</th><th>Verdict</th></tr>"
    more = f"<p>The {ROWS_SHOWN:,} highest of {len(ranked):,}.</p>" if len(ranked) > ROWS_SHOWN else ""
    return f'<div class="scroll"><table class="events scores">{head}\n{rows}</table></div>{more}'
