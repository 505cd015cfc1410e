"""`aez score`: series or pictures through a detector, as scores, events, plots, a report."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.batch import run_each
from aez.codec.errors import AezError, InvalidArgument
from aez.commands import options
from aez.commands.detect.score_pictures import PictureOutputs, score_pictures
from aez.files import Job, check_target

if TYPE_CHECKING:
    from aez.codec.detect.detector import Detector
    from aez.codec.detect.score_series import ScoredSeries

#: As in aez.codec.detect.pictures, which brings more than a choice needs.
PICTURES = "picture-detector"
RULE_OPTIONS = ("open_after", "close_after", "merge_within", "min_length")


@dataclass(frozen=True)
class Outputs:
    """Files that were asked for."""

    scores: str | None
    events: str | None
    plot: str | None
    report: str | None

    @property
    def named(self) -> list[str]:
        return [name for name in (self.scores, self.events, self.plot, self.report) if name is not None]


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option(
    "-o", "--output", metavar="OUT", help="Write the score of every row, or of every picture: .csv, .parquet or .jsonl."
)
@click.option("--events", metavar="OUT", help="Write the events: .csv, .parquet, .jsonl or .json.")
@click.option(
    "--plot", metavar="OUT.png|DIR", help="Draw score, threshold, events and channels; of pictures, heat maps into DIR."
)
@click.option("--report", metavar="OUT.html", help="Write one page about it that can be sent to somebody.")
@options.streams
@options.series_reading
@click.option(
    "--open-after", type=click.IntRange(1), help="Rows above the threshold, one after the other, for an event."
)
@click.option("--close-after", type=click.IntRange(1), help="Rows below it, one after the other, that end one.")
@click.option("--merge-within", type=click.IntRange(0), help="Join events that are at most so many rows apart.")
@click.option("--min-length", type=click.IntRange(1), help="Drop events of fewer rows.")
@click.option(
    "--causal", is_flag=True, help="Score rows as the monitor does, without a look at the ones that come after them."
)
@options.device
@click.option("-f", "--force", is_flag=True, help="Replace files that exist.")
@options.as_json
def score(
    model: str,
    data: tuple[str, ...],
    output: str | None,
    events: str | None,
    plot: str | None,
    report: str | None,
    stream: str | None,
    time_column: str | None,
    time_unit: str | None,
    array: str | None,
    resample: float | None,
    causal: bool,
    device: str,
    force: bool,
    as_json: bool,
    **rule: int | None,
) -> None:
    """Score series (CSV, JSON Lines, Parquet, NPZ, NPY) or pictures with a detector and show what is abnormal.

    MODEL is a name or an .aezm file made by `aez train series` or `aez train images`. A score of 1 is its threshold.
    The score of a row is the mean over the windows that cover it, which looks ahead, or with --causal that of the
    window that ends there, as a monitor has it. Rules for events come with the model; options replace them. DATA may be
    folders of pictures. What is found does not change the exit code.
    """
    from aez.codec.bundle.library import find_bundle

    bundle = find_bundle(Path(model) if Path(model).is_file() else model)
    given = {name: value for name in RULE_OPTIONS if (value := rule[name]) is not None}
    if bundle.task == PICTURES:
        series_only = {"events": events, "time_column": time_column, "array": array, "resample": resample, **given}
        series_only |= {"time_unit": time_unit, "stream": stream, "causal": causal or None}
        if unfit := next((name for name, asked in series_only.items() if asked is not None), None):
            raise InvalidArgument(f"--{unfit.replace('_', '-')} is for series, and {bundle.name} scores pictures")
        sys.exit(score_pictures(bundle, data, PictureOutputs(output, plot, report, force), device, as_json))
    outputs = Outputs(output, events, plot, report)
    _check_outputs(outputs, data, force, several=len(data) > 1 or stream is not None)
    from aez.codec.detect.detector import Detector
    from aez.codec.detect.score_series import Reading

    detector = Detector(bundle, device)
    reading = Reading(time_column, time_unit, array=array, resample=resample, stream=stream)
    done: list[ScoredSeries] = []
    show = _show_json if as_json else _show_short if outputs.named else _show
    how = {"rule": replace(detector.event_rule, **given), "reading": reading, "causal": causal}
    code = _score_all(detector, data, how, outputs.scores, force, done, show)
    if done:
        _write(detector, done, outputs, force)
    sys.exit(code)


def _score_all(
    detector: Detector,
    data: tuple[str, ...],
    how: Mapping[str, Any],
    scores: str | None,
    force: bool,
    done: list[ScoredSeries],
    show: Callable[[Detector, ScoredSeries], None],
) -> int:
    """Score every file, `how` as `score_file` takes it, and append what was found to `done`; the exit code."""
    from aez.codec.detect.score_series import score_file, score_streams
    from aez.codec.report.score_files import open_scores

    class _NoScores(Exception):
        """Nothing was scored, so no file of scores shall appear."""

    code = 0
    with contextlib.suppress(_NoScores), contextlib.ExitStack() as stack:
        each = None if scores is None else stack.enter_context(open_scores(scores, detector.channels, force))

        def one(name: str) -> None:
            try:
                if how["reading"].stream is None:
                    found = [score_file(detector, name, **how, each=each)]
                else:
                    found = score_streams(detector, name, **how, each=each)
            except AezError as error:
                # Whoever lists failures names the file, too.
                error.args = (str(error).removeprefix(name).lstrip(":, "),)
                raise
            for scored in found:
                for notice in scored.notices:
                    messages.warning(f"{click.format_filename(scored.label)}: {notice}")
                done.append(scored)
                show(detector, scored)

        code = run_each(data, one)
        if not done:
            raise _NoScores
    return code


def _check_outputs(outputs: Outputs, data: tuple[str, ...], force: bool, several: bool) -> None:
    """Refuse before the work what could not be written after it."""
    from aez.codec.report.score_files import EVENT_SUFFIXES, SCORE_SUFFIXES, check_suffix

    for name, known in (
        (outputs.scores, SCORE_SUFFIXES),
        (outputs.events, EVENT_SUFFIXES),
        (outputs.plot, (".png",)),
        (outputs.report, (".html", ".htm")),
    ):
        if name is not None:
            check_suffix(name, known)
            for source in data:
                check_target(Job(source, name), force)
    if len(set(outputs.named)) < len(outputs.named):
        raise InvalidArgument("two results have the same file name; rename one")
    if outputs.plot is not None and several:
        raise InvalidArgument("--plot draws one series; name one file of one stream, or take --report for several")
    if outputs.plot is not None or outputs.report is not None:
        from aez.codec.common.extras import library

        library("matplotlib", "monitor")  # before the scoring, which may take minutes


def _write(detector: Detector, done: list[ScoredSeries], outputs: Outputs, force: bool) -> None:
    from aez.codec.common.files import write_whole
    from aez.codec.report.score_files import write_events

    if outputs.events is not None:
        write_events(outputs.events, done, force)
    if outputs.plot is not None:
        from aez.codec.report.series_plots import plot_png

        write_whole(outputs.plot, plot_png(done[0], detector.units), force)
    if outputs.report is not None:
        from importlib.metadata import version

        from aez.codec.report.series_page import report_html

        write_whole(outputs.report, report_html(detector, done, version("aez")).encode(), force)
    if outputs.named:
        messages.summary(f"wrote {', '.join(outputs.named)}")


def _show(detector: Detector, found: ScoredSeries) -> None:
    """Everything for a person: the data, the verdict, a table of the events."""
    from aez.codec.report.event_table import KINDS, event_lines

    lines = [f"{click.format_filename(found.label)}, scored with {detector.bundle.name}"]
    lines += [f"  {line}" for line in found.summary.lines()]
    lines.append(f"  scores    {KINDS[found.kind]}")
    lines.append(found.verdict)
    if found.events:
        lines += ["", *event_lines(found)]
    messages.result("\n".join(lines))


def _show_short(detector: Detector, found: ScoredSeries) -> None:  # noqa: ARG001 - the shape of the others
    messages.result(f"{click.format_filename(found.label)}: {found.verdict}")


def _show_json(detector: Detector, found: ScoredSeries) -> None:
    model = {"name": detector.bundle.name, "id": detector.bundle.id, "threshold": detector.threshold}
    messages.result(json.dumps({**found.as_dict(), "model": model}, ensure_ascii=False))
