"""`aez bench monitor`: throughput, latency, scale, loss and endurance of the monitor."""

from __future__ import annotations

from pathlib import Path

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import AezError
from aez.commands import options
from aez.commands.bench import shared

_NAMES = ("throughput", "latency", "scale", "loss", "soak", "year", "peers")
_USUAL = tuple(name for name in _NAMES if name not in ("soak", "year"))
_MODULES = ("aiohttp", "matplotlib", "nats", "paho", "prometheus_client", "psutil", "pyarrow")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(_NAMES), metavar=f"[{'|'.join(_NAMES)}]...")
@click.option("--minutes", type=options.Finite(0.5, 10_000), default=30.0, show_default=True, help="Of the soak.")
@click.option(
    "--weeks", type=click.IntRange(9, 52), default=52, show_default=True, help="Of the year, of which eight train."
)
@click.option(
    "--rule",
    type=click.Choice(("mean", "max", "largest")),
    default="largest",
    show_default=True,
    help="Of the year, as `aez train series` has it.",
)
@click.option("--rhythm", is_flag=True, help="Of the year: days and weeks in its signals.")
@click.option("--kills", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Of each kind of source.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.aezm",
    help="What scores the rows of 20 features, in place of the shipped one.",
)
@click.option("--quick", is_flag=True, help="A tenth of everything, to try it.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write JSON, table and plots there."
)
@shared.as_json
def monitor(
    names: tuple[str, ...],
    minutes: float,
    weeks: int,
    rule: str,
    rhythm: bool,
    kills: int,
    seed: int,
    model: Path | None,
    quick: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure the monitor as a process of its own, under load; all but soak and year where nothing is named.

    Needs `pip install 'aez[bench,monitor]'`; loss also Mosquitto and nats-server, latency Mosquitto. As root, loss also
    mounts a small file system and fills it.
    """
    shared.import_first("aez[bench,monitor]", "psutil", *(["matplotlib"] if output is not None else []))
    with needs("aez[bench,monitor]", _MODULES):
        from aez.bench.monitor.figures import save_report
        from aez.bench.monitor.run import run

        report = run(
            names or _USUAL,
            minutes=minutes,
            weeks=weeks,
            rule=rule,
            rhythm=rhythm,
            kills=kills,
            seed=seed,
            model=model,
            quick=quick,
            say=messages.note,
        )
    shared.show(report, as_json)
    if output is not None:
        save_report(report, output)
        messages.summary(f"wrote the report and plots to {output}")
    if report.failures:
        raise AezError(f"not all could be measured: {'; '.join(report.failures)}")


COMMANDS = (monitor,)
