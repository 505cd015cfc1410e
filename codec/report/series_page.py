"""One HTML file about scored series that a person can send to a colleague: it needs nothing beside it, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aez.codec.common.words import format_duration, listed
from aez.codec.detect.detector import Detector
from aez.codec.detect.events import Event
from aez.codec.detect.score_series import LEAST_SHARE, ScoredSeries
from aez.codec.errors import InvalidArgument
from aez.codec.report.event_table import KINDS, event_cells
from aez.codec.report.pages import Figure, html_page
from aez.codec.report.series_plots import NORMAL_COLOUR, SEVERITY_COLOURS, plot_png

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
    return html_page(
        "series.html",
        title=f"Anomalies in {names}",
        model=detector.bundle.name,
        series=[_shown(detector, one) for one in scored],
        model_facts=list(_model_facts(detector, scored[0])),
        version=version,
    )


def _shown(detector: Detector, one: ScoredSeries) -> dict[str, Any]:
    """What the page says of one series."""
    worst = max(one.events, key=lambda event: event.peak, default=None)
    highest = sorted(enumerate(one.events, 1), key=lambda pair: -pair[1].peak)[:EVENTS_SHOWN]
    about = f"Score of {one.stream or 'the series'} over time, scores by channel, and the channels themselves"
    return {
        "name": one.stream or one.source,
        "verdict": one.verdict,
        "colour": NORMAL_COLOUR if worst is None else SEVERITY_COLOURS[worst.severity],
        "notices": [notice[:1].upper() + notice[1:] for notice in one.notices],
        "events": [_event(number, event, one) for number, event in sorted(highest, key=lambda pair: pair[0])],
        "found": len(one.events),
        # A stream shorter than a window has nothing to draw.
        "plot": Figure(plot_png(one, detector.units), about) if one.scored else None,
        "facts": [("file", one.source), *_summary_facts(one)],
    }


def _event(number: int, event: Event, one: ScoredSeries) -> dict[str, Any]:
    *cells, severity = event_cells(event, one)
    return {
        "id": event.id,
        "number": number,
        "cells": cells,
        "severity": severity,
        "colour": SEVERITY_COLOURS[event.severity],
        "channels": [
            (name, f"{100 * share:.0f}")
            for rank, (name, share) in enumerate(event.channels[:_CHANNELS_SHOWN])
            if rank == 0 or share >= LEAST_SHARE
        ],
    }


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
