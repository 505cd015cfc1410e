"""`aez monitor simulate`: telemetry of satellites that do not exist, to try a monitor with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.errors import InvalidArgument, OutputError
from aez.commands import options
from aez.commands.monitor.config import needs_monitor

if TYPE_CHECKING:
    from aez.daemon.simulate.satellites import Simulation
    from aez.daemon.simulate.year import Year

FORMATS = ("json", "csv", "line")


@click.command()
@click.option("--rows", type=click.IntRange(1), help="So many rows of each stream; without end by default.")
@click.option(
    "--year",
    is_flag=True,
    help="A year of machines with drift, maintenance, dead sensors, wrong clocks and units, and anomalies.",
)
@click.option("--rhythm", is_flag=True, help="Of a year: the machines work by day, and less on weekends.")
@click.option("--streams", type=click.IntRange(1, 100_000), help="Satellites.  [default: 1, of a year 4]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@click.option("--period", type=options.Finite(1e-6), help="Seconds between rows.  [default: 1, of a year 60]")
@click.option("--faults", type=click.IntRange(0), default=0, metavar="ROWS", help="A fault every so many rows.")
@click.option("--first-fault", type=click.IntRange(0), default=600, show_default=True, metavar="ROW")
@click.option("--fault-length", type=click.IntRange(1), default=40, show_default=True, metavar="ROWS")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="ROWS", help="Begin behind so many rows.")
@click.option("--rate", type=options.Finite(0, min_open=True), help="Rows a second; as fast as it goes by default.")
@click.option("--now", is_flag=True, help="Let the times begin now and not with 2026, or a year with 2025.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default that of the file's name, or json.")
@click.option("--labels", metavar="OUT.jsonl", help="Write what was put in, and when.")
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="OUT",
    help="A file, - for standard output, http://HOST:PORT/write, or mqtt://HOST:PORT/TOPIC with {stream}.",
)
@click.option("--append", is_flag=True, help="Add to the file.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that exists.")
def simulate(
    rows: int | None,
    year: bool,
    rhythm: bool,
    streams: int | None,
    seed: int,
    period: float | None,
    faults: int,
    first_fault: int,
    fault_length: int,
    skip: int,
    rate: float | None,
    now: bool,
    kind: str | None,
    labels: str | None,
    output: str,
    append: bool,
    force: bool,
) -> None:
    """Make telemetry of satellites that do not exist: eight channels, with faults on a schedule.

    The same options give the same rows. Without --faults all is normal, for training. With --year the first eight weeks
    are normal, and what follows is what a monitor meets in a year; --rows and --skip choose a part of it.
    """
    with needs_monitor():
        from aez.daemon.simulate import satellites
        from aez.daemon.simulate import year as years
        from aez.daemon.simulate.output import kind_of, open_output, send

        start = time.time_ns() if now else years.START if year else satellites.START
        if rhythm and not year:
            raise InvalidArgument("--rhythm belongs to --year; give both")
        if year:
            if faults:
                raise InvalidArgument("--year has faults of its own; leave out --faults")
            made: Simulation | Year = years.Year(streams or 4, seed, period or 60.0, start, rhythm=rhythm)
        else:
            made = satellites.Simulation(
                streams=streams or 1,
                seed=seed,
                period=period or 1.0,
                start=start,
                every=faults,
                first=first_fault,
                length=fault_length,
            )
        last = None if rows is None else skip + rows
        if labels is not None:
            _check_labels(labels, output, made, last, append or force)
        with open_output(output, kind or kind_of(output), append=append, force=force) as target:
            if labels is not None:
                _write_labels(labels, made, last)
            sent = send(made, target, rows=rows, skip=skip, rate=rate)
    if output != "-":
        messages.summary(f"wrote {sent:,} rows to {output}")


def _check_labels(path: str, output: str, simulation: Simulation | Year, rows: int | None, force: bool) -> None:
    """Raise where labels cannot be written, before anything is."""
    from aez.daemon.simulate.satellites import Simulation

    if rows is None and isinstance(simulation, Simulation):
        raise InvalidArgument("--labels needs --rows: without end there is no last fault")
    if Path(path).resolve() == Path(output).resolve():
        raise InvalidArgument(f"--labels and --output are both {path}; give them files of their own")
    if Path(path).is_file() and not force:
        raise OutputError(f"{path} exists; give --force to replace it")


def _write_labels(path: str, simulation: Simulation | Year, rows: int | None) -> None:
    """A line for each fault before that row."""
    from aez.codec.common.files import write_whole
    from aez.daemon.simulate.labels import label_lines

    write_whole(path, label_lines(simulation, rows).encode(), force=True)


COMMANDS = (simulate,)
