"""`aez monitor simulate`: telemetry of satellites that do not exist, to try a monitor with."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands.monitor.config import needs_monitor

if TYPE_CHECKING:
    from aez.daemon.tools.simulate import Simulation

FORMATS = ("json", "csv", "line")
NANOSECONDS = 1_000_000_000


@click.command()
@click.option("--rows", type=click.IntRange(1), help="So many rows of each stream; without end by default.")
@click.option("--streams", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Satellites.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@click.option("--period", type=click.FloatRange(1e-6), default=1.0, show_default=True, help="Seconds between rows.")
@click.option("--faults", type=click.IntRange(0), default=0, metavar="ROWS", help="A fault every so many rows.")
@click.option("--first-fault", type=click.IntRange(0), default=600, show_default=True, metavar="ROW")
@click.option("--fault-length", type=click.IntRange(1), default=40, show_default=True, metavar="ROWS")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="ROWS", help="Begin behind so many rows.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Rows a second; as fast as it goes by default.")
@click.option("--now", is_flag=True, help="Let the times begin now and not with 2026.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default that of the file's name, or json.")
@click.option("--labels", metavar="OUT.jsonl", help="Write when which fault was put in.")
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
    streams: int,
    seed: int,
    period: float,
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

    The same options give the same rows. Without --faults all is normal, for training.
    """
    with needs_monitor():
        from aez.daemon.tools.simulate import START, Simulation
        from aez.daemon.tools.simulate_out import kind_of, open_output, send

        simulation = Simulation(
            streams=streams,
            seed=seed,
            period=period,
            start=time.time_ns() if now else START,
            every=faults,
            first=first_fault,
            length=fault_length,
        )
        if labels is not None:
            if rows is None:
                raise InvalidArgument("--labels needs --rows: without end there is no last fault")
            _write_labels(labels, simulation, skip + rows)
        with open_output(output, kind or kind_of(output), append=append, force=force) as target:
            sent = send(simulation, target, rows=rows, skip=skip, rate=rate)
    if output != "-":
        messages.summary(f"wrote {sent:,} rows to {output}")


def _write_labels(path: str, simulation: Simulation, rows: int) -> None:
    """A line for each fault before that row."""
    from aez.codec.common.files import write_whole
    from aez.daemon.tools.simulate import faults_until

    lines = [
        json.dumps(
            {
                "stream": name,
                "fault": fault.kind,
                "start": fault.start,
                "end": fault.end,
                "start_time": simulation.start + int(fault.start * simulation.period * NANOSECONDS),
                "end_time": simulation.start + int(fault.end * simulation.period * NANOSECONDS),
            }
        )
        for name, fault in faults_until(simulation, rows)
    ]
    write_whole(path, "".join(f"{line}\n" for line in lines).encode(), force=True)


COMMANDS = (simulate,)
