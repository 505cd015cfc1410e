"""`aez train series`: from files of normal data to a detector."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.train import options as train_options
from aez.export.families.registry import NAMES, family_class

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle
    from aez.codec.series.core import Series

TRAINING_MODULES = (*train_options.TRAINING_MODULES, "pyarrow")
#: Which option belongs to which choice of the threshold.
LIMITS = {"alarms": "budget", "margin": "budget", "percentile": "percentile", "risk": "pot"}
METHODS = ("budget", "percentile", "pot")
#: Names of columns that tell about the rows instead of measuring something.
LABELS = {"label", "labels", "anomaly", "is_anomaly", "attack", "fault", "changepoint", "outlier", "target", "class"}
DAY = 86_400.0


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA...")
@train_options.output
@click.option("--family", type=click.Choice(NAMES), help="The network.  [default: pca; of rows gaussian]")
@click.option("--window", type=click.IntRange(1, 4096), help="Rows of a window; by default suggested from the data.")
@train_options.detector_run
@click.option(
    "--threshold",
    type=click.Choice(METHODS),
    help="How the threshold is chosen: a budget of alarms, a percentile of held-out scores, or peaks over threshold.  "
    "[default: budget]",
)
@click.option(
    "--alarms", type=options.Number(), metavar="N", help="Budget: false alarms a day (in 1440 rows without a clock), 1."
)
@click.option(
    "--margin", type=options.Number(), metavar="M", help="Budget: its limit is M times what held-out rows say, 1.5."
)
@click.option("--percentile", type=options.Number(), metavar="P", help="Percentile of the held-out scores, 99.9.")
@click.option(
    "--risk", type=options.Number(), metavar="R", help="Probability that a normal row exceeds the threshold, 1e-4."
)
@click.option(
    "--score",
    "kind",
    metavar="KIND",
    help="reconstruction, elbo, mahalanobis, or several joined by +.  [default: reconstruction+mahalanobis]",
)
@click.option(
    "--rule",
    type=click.Choice(("mean", "max", "largest")),
    default="mean",
    show_default=True,
    help="How the channels' errors become one: their mean, the largest, or the mean of the largest three (local faults "
    "among many channels).",
)
@click.option("--channels", metavar="A,B", help="Columns to learn, by default all that hold numbers.")
@click.option("--ignore", metavar="A,B", help="Columns to leave out, such as labels.")
@click.option(
    "--rows",
    is_flag=True,
    help="Rows are no series (payments, patients), and each is judged by itself; found by itself where rows have "
    "neither times nor an order.",
)
@options.streams
@click.option(
    "--per-stream-scale",
    is_flag=True,
    help="One model for many alike streams: each is scaled by a centre and width of its own, which the monitor learns "
    "of streams that were not in DATA.",
)
@click.option(
    "--kind",
    "given_kinds",
    multiple=True,
    metavar="COLUMN=KIND",
    help="What a channel is, instead of what is found: measured, state (on/off, a mode), counter or left-out; may be "
    "given again.",
)
@click.option(
    "--seasons",
    type=click.Choice(("auto", "none")),
    default="auto",
    show_default=True,
    help="Look for days and weeks in the time column, or a cycle of so many rows where there is none, and judge each "
    "row by what is usual at its time.",
)
@click.option(
    "--timezone",
    metavar="ZONE",
    help="The zone of the days and weeks, such as Europe/Berlin.  [default: the file's, or UTC]",
)
@click.option(
    "--holidays",
    metavar="DATES",
    help="Dates that are as Sundays, such as 2025-12-25,2026-01-01, or a file with one a line.",
)
@options.series_reading
@train_options.detector_result
def series(
    data: tuple[Path, ...],
    output: Path,
    family: str | None,
    window: int | None,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    threshold: str | None,
    alarms: float | None,
    margin: float | None,
    percentile: float | None,
    risk: float | None,
    kind: str | None,
    rule: str,
    channels: str | None,
    ignore: str | None,
    rows: bool,
    stream: str | None,
    per_stream_scale: bool,
    time_column: str | None,
    time_unit: str | None,
    array: str | None,
    resample: float | None,
    seed: int,
    device: str,
    name: str | None,
    force: bool,
    **found: Any,
) -> None:
    """Train a detector on normal data in DATA (CSV, JSON Lines, Parquet, NPZ, NPY).

    The latest 30 % of each file, and of each stream in it, sets the threshold. Checkpoint, figures and loss curve lie
    in MODEL.aezm.run; after Ctrl+C --resume goes on from there.
    """
    changes = train_options.detector_changes(output, minutes, steps, resume, force, seed=seed, device=device)
    limit = _limit(threshold, {"alarms": alarms, "margin": margin, "percentile": percentile, "risk": risk})
    with needs("aez[train]", TRAINING_MODULES):
        from aez.export.common.run_files import check_output
        from aez.export.series.graph import ScoreOptions
        from aez.export.series.train import DEFAULT_FAMILY, DetectorConfig, LimitOptions, main

        check_output(output)
        if family_class(family or DEFAULT_FAMILY).trained is False:
            _warn_of_idle({"--steps": steps, "--minutes": minutes, "--resume": resume}, family or DEFAULT_FAMILY)
        options_of_score = ScoreOptions(tuple(kind.split("+")) if kind else (), rule)  # type: ignore[arg-type]
        config = DetectorConfig(family, window, score=options_of_score, limit=LimitOptions(**limit))
        config = replace(config, per_stream_scale=per_stream_scale, rows=rows or None, **_found_options(**found))
        columns = {"channels": _names(channels) or None, "ignore": _names(ignore)}
        known = {"time_column": time_column, "time_unit": time_unit, "array": array, **columns}
        if rows and (stream is not None or resample is not None):
            raise InvalidArgument(f"--rows have no order, and {'--stream' if stream else '--resample'} asks for one")
        read = _read_all(data, resample, stream, rows, known)
        train_options.forget_run(output, force, resume)
        bundle = main(read, output, name=name, config=config, changes=changes, resume=resume)
    if bundle is None:
        sys.exit(train_options.EXIT_STOPPED)
    messages.summary(_done(bundle, output))


def _read_all(
    data: Sequence[Path], period: float | None, stream: str | None, rows: bool, known: dict[str, Any]
) -> list[Series]:
    """The rows of all files, or even stretches of them where they are too many. Raises as `read_series`."""
    from aez.export.series.data.sampling import few_enough

    read: list[Series] = []
    for path in data:
        # As one after the other: all files together may be larger than memory.
        read, sampled = few_enough([*read, *_read(path, period, stream, rows, **known)])
        for notice in sampled:
            messages.warning(notice)
    return read


def _found_options(given_kinds: tuple[str, ...], **season: str | None) -> dict[str, Any]:
    """Arguments of DetectorConfig about what is found where nobody says it. Raises InvalidArgument."""
    return {"kinds": _kinds(given_kinds), **_season_options(**season)}


def _season_options(seasons: str | None, timezone: str | None, holidays: str | None) -> dict[str, Any]:
    """Arguments of DetectorConfig. Raises InvalidArgument."""
    from aez.codec.detect.rhythm.calendar import days_of
    from aez.codec.series.zones import check_zone

    if seasons == "none" and (given := timezone or holidays):
        raise InvalidArgument(f"{given} belongs to seasons, and --seasons none looks for none; leave one of them out")
    if timezone is not None:
        check_zone(timezone)
    if holidays is None:
        dates: tuple[str, ...] = ()
    elif Path(holidays).is_file():
        lines = Path(holidays).read_text(encoding="utf-8").splitlines()
        dates = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    else:
        dates = _names(holidays)
    days_of(dates)
    return {"seasons": seasons, "timezone": timezone, "holidays": dates}


def _warn_of_idle(options: Mapping[str, object], family: str) -> None:
    """Say which of the options that were given do nothing for a family that is not trained."""
    if idle := [name for name, given in options.items() if given]:
        messages.warning(f"{' and '.join(idle)} change nothing: {family} is fitted in closed form")


def _limit(method: str | None, values: dict[str, float | None]) -> dict[str, Any]:
    """Arguments of LimitOptions; an option that is given decides on the method."""
    given = {name: value for name, value in values.items() if value is not None}
    methods = sorted({LIMITS[name] for name in given})
    if len(methods) > 1:
        raise InvalidArgument(f"give only one of {' and '.join('--' + name for name in given)}")
    if method is not None and methods and methods != [method]:
        raise InvalidArgument(f"--{next(iter(given))} belongs to --threshold {methods[0]}, not to {method}")
    return {"method": method or (methods or ["budget"])[0], **given}


def _kinds(texts: tuple[str, ...]) -> dict[str, str]:
    """Kinds of channels by name. Raises InvalidArgument."""
    pairs = [text.rpartition("=") for text in texts]
    for text, (name, _, kind) in zip(texts, pairs, strict=True):
        if not name or not kind:
            raise InvalidArgument(f"--kind takes COLUMN=KIND, such as pump=state, not {text!r}")
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def _read(path: Path, period: float | None, stream: str | None, rows: bool, **known: Any) -> list[Series]:
    """A file's rows in order of time, of each stream; says what they are like. Raises as `read_series`."""
    from aez.codec.series.core import in_order, resample, select_channels
    from aez.codec.series.sampled import read_sampled, stitched

    label = click.format_filename(path)
    read = read_sampled(path, stream, categories=True, **known)
    if (mixed := read.summary.mixed) is not None and not rows:
        if mixed in known["ignore"]:
            messages.warning(
                f"{label}: rows of several streams seem to be mixed, and windows would go from one into another; "
                f"column {mixed!r} looks like the stream's name: give --stream {mixed}"
            )
        else:
            messages.warning(
                f"{label}: its rows are those of several streams, which column {mixed!r} names; they are parted "
                f"as by --stream {mixed} (--ignore {mixed} takes them as one)"
            )
            read = read_sampled(path, mixed, categories=True, **known)
    about, found = read.summary, read.streams
    messages.summary(f"{label}:", *about.lines())
    if read.stretches.step > 1:
        messages.warning(
            f"{label}: {read.rows:,} rows of {len(about.channels)} channels are more than are learned from; one of "
            f"{read.stretches.step} stretches of {read.stretches.length:,} rows was taken, {read.kept:,} rows in all"
        )
    if labels := [name for name in found[0][0].words if name.casefold() in LABELS]:
        kept = [name for name in found[0][0].channels if name not in labels]
        found = [[select_channels(part, kept) for part in parts] for parts in found]
        messages.warning(f"{label}: {', '.join(labels)} looks like a label in words, and is left out")
    if rows:
        return [stitched([replace(part, time=None) for part in parts]) for parts in found]
    if about.start is not None:
        ordered = [[in_order(part) for part in parts] for parts in found]
        found = [[part for part, _ in parts] for parts in ordered]
        done = [about_part for parts in ordered for _, about_part in parts]
        moved, duplicates = (sum(getattr(one, what) for one in done) for what in ("moved", "duplicates"))
        if moved or duplicates:
            messages.warning(
                f"{label}: the clock goes backwards or repeats: {moved:,} rows were put in order of time, and "
                f"{duplicates:,} that share a time with another were left out"
            )
    if period is not None:
        found = [[resample(part, period) for part in parts] for parts in found]
    for name in found[0][0].channels:
        if name.casefold() in LABELS:
            messages.warning(f"{label}: channel {name!r} looks like a label; leave it out with --ignore {name}")
    return [stitched(parts) for parts in found]


def _rhythm(found: Mapping[str, Any]) -> str:
    kind, bins = found["seasons"][0]["kind"], found["seasons"][0]["bins"]
    return f"cycle of {bins} rows" if kind == "cycle" else f"rhythm of the {kind} in {found['timezone']}"


def _done(bundle: Bundle, output: Path) -> str:
    """One line: the model, its window and threshold, and what it would have raised on held-out data."""
    coding, held_out = bundle.coding, bundle.manifest["figures"]["held_out"]
    events, windows, period = held_out["events"], held_out["windows"], coding["period_seconds"]
    alarms = f"{events} false alarm{'' if events == 1 else 's'} in {windows:,} held-out rows"
    if coding.get("mode") == "rows":
        alarms = f"{100 * held_out['share_above_1']:.2g} % of {windows:,} held-out rows above it, each row by itself"
    elif period:
        alarms += f" ({events * DAY / (windows * period):.2g} a day)"
    found = coding.get("seasons")
    season = "" if found is None else f"{_rhythm(found)}, "
    return (
        f"wrote {output}: model {bundle.name} ({bundle.manifest['family']}), {len(coding['channels'])} channels, "
        f"{season}window {coding['window']}, threshold {coding['threshold']:.4g}, {alarms}"
    )
