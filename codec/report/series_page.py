"""One HTML file about scored series that a person can send to a colleague: it needs nothing beside it, and no script.

Every text from data or models is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from aez.codec.common.words import format_duration, listed
from aez.codec.detect.detector import Detector
from aez.codec.detect.events import Event
from aez.codec.detect.score_series import LEAST_SHARE, ScoredSeries
from aez.codec.errors import InvalidArgument
from aez.codec.report.event_table import KINDS, event_cells
from aez.codec.report.html_page import facts_table, html_page
from aez.codec.report.series_plots import SEVERITY_COLOURS, plot_png

__all__ = ["report_html"]

#: Of more events, the highest are listed.
EVENTS_SHOWN = 500
_CHANNELS_SHOWN = 4
_CHANNEL_NAMES = 40


def report_html(detector: Detector, scored: Sequence[ScoredSeries], version: str = "") -> str:
    """The report on one or several scored files, with their plots.

    Raises AezError where matplotlib is not installed, InvalidArgument without a file.
    """
    if not scored:
        raise InvalidArgument("a report needs at least one scored series")
    names = listed([one.stream or one.source for one in scored], 3)
    title = f"Anomalies in {names}"
    body = [f"<h1>{escape(title)}</h1>", f'<p class="sub">Scored with model {escape(detector.bundle.name)}</p>']
    for one in scored:
        if len(scored) > 1:
            body.append(f"<h1>{escape(one.stream or one.source)}</h1>")
        body += _section(detector, one)
    body += ["<h2>Model</h2>", facts_table(_model_facts(detector, scored[0]))]
    made = f"Made by aez{f' {version}' if version else ''}."
    body.append(
        f"<footer>A score of 1 is the model's threshold; higher is less usual. {escape(made)} "
        "This file holds everything it shows and loads nothing.</footer>"
    )
    return html_page(title, body)


def _section(detector: Detector, one: ScoredSeries) -> Iterable[str]:
    worst = max(one.events, key=lambda event: event.peak, default=None)
    colour = "#2e7d4f" if worst is None else SEVERITY_COLOURS[worst.severity]
    yield f'<p class="verdict" style="border-color: {colour}">{escape(one.verdict)}</p>'
    for notice in one.notices:
        yield f'<p class="notice">{escape(notice[:1].upper() + notice[1:])}.</p>'
    if one.events:
        yield "<h2>Events</h2>"
        yield _event_table(one)
    if one.scored:  # a stream shorter than a window has nothing to draw
        yield "<h2>Score, channels and threshold</h2>"
        png = base64.b64encode(plot_png(one, detector.units)).decode()
        about = f"Score of {one.stream or 'the series'} over time, scores by channel, and the channels themselves"
        yield f'<img alt="{escape(about)}" src="data:image/png;base64,{png}">'
    yield "<h2>Data</h2>"
    yield facts_table([("file", one.source), *_summary_facts(one)])


def _event_table(one: ScoredSeries) -> str:
    numbered = sorted(enumerate(one.events, 1), key=lambda pair: -pair[1].peak)[:EVENTS_SHOWN]
    rows = [_event_row(number, event, one) for number, event in sorted(numbered, key=lambda pair: pair[0])]
    heads = ("#", "Start", "End", "Duration", "Peak", "Severity", "Channels to blame")
    head = "".join(f"<th>{text}</th>" for text in heads)
    more = f"<p>The {len(rows)} highest of {len(one.events):,} events.</p>" if len(one.events) > len(rows) else ""
    return f'<div class="scroll"><table class="events"><tr>{head}</tr>\n{"".join(rows)}</table></div>{more}'


def _event_row(number: int, event: Event, one: ScoredSeries) -> str:
    start, end, lasts, peak, severity = event_cells(event, one)
    channels = "".join(
        f'<span class="channel">{escape(name)} {100 * share:.0f} %'
        f'<span class="bar" style="width: {100 * share:.0f}%"></span></span>'
        for rank, (name, share) in enumerate(event.channels[:_CHANNELS_SHOWN])
        if rank == 0 or share >= LEAST_SHARE
    )
    pill = f'<span class="pill" style="background: {SEVERITY_COLOURS[event.severity]}">{escape(severity)}</span>'
    plain = "".join(f"<td>{escape(cell)}</td>" for cell in (start, end, lasts, peak))
    return f'<tr title="event {escape(event.id)}"><td>{number}</td>{plain}<td>{pill}</td><td>{channels}</td></tr>\n'


def _summary_facts(one: ScoredSeries) -> Iterable[tuple[str, str]]:
    for line in one.summary.lines():
        label, _, text = line.partition(" ")
        # Labels have one word, but for the one of columns left out.
        if line.startswith("left out"):
            label, text = "left out", line.removeprefix("left out")
        yield label, text.strip()
    yield "scored", f"{one.scored:,} rows, {one.above:,} of them above the threshold"
    yield "scores", KINDS[one.kind]


def _model_facts(detector: Detector, one: ScoredSeries) -> Iterable[tuple[str, str]]:
    bundle = detector.bundle
    every = f" of {format_duration(detector.period)}" if detector.period else ""
    yield "name", bundle.name
    yield "id", bundle.id
    yield "family", str(bundle.manifest["family"])
    yield "window", f"{detector.window} rows{every}"
    yield "channels", f"{len(detector.channels)}: {listed(detector.channels, _CHANNEL_NAMES)}"
    yield "threshold", f"{detector.threshold:.6g} ({detector.score_kind or 'score'}), which every score is divided by"
    rule = one.rule
    opens = f"opens after {rule.open_after} rows above the threshold, closes after {rule.close_after} below it"
    joins = f"joins what is at most {rule.merge_within} rows apart, drops what is shorter than {rule.min_length}"
    yield "event rule", f"{opens}, {joins}"
    if data := bundle.manifest["provenance"].get("data"):
        yield "trained on", str(data)
