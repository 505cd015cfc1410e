"""All measurements by name, one after another in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from aez.bench.machine import describe_environment
from aez.bench.monitor import latency, loss, peers, steady, throughput
from aez.bench.monitor.report import Measured, MonitorReport
from aez.bench.year import measure as year
from aez.codec.errors import AezError, InvalidArgument

__all__ = ["run"]


def run(
    names: Sequence[str],
    *,
    minutes: float = 30.0,
    kills: int = 50,
    seed: int = 0,
    model: Path | None = None,
    quick: bool = False,
    weeks: int = 52,
    rule: str = year.RULE,
    rhythm: bool = False,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,  # noqa: ARG005
) -> MonitorReport:
    """Measure what is named, in that order.

    minutes: of the soak. kills: of each kind of source. model: what scores the rows of 20 features. quick: a tenth of
    everything, of the year twelve weeks. weeks: of the year, of which eight train. rule: that it trains with. rhythm:
    days and weeks in its signals. folder: where the files of the runs lie; by default they are thrown away. say: gets
    progress.

    What cannot be measured stands in the report. Raises InvalidArgument for an unknown name or a model of other
    channels.
    """
    if model is not None:
        model = throughput.checked(model)
    part = 10 if quick else 1
    made: dict[str, Callable[[Path], Measured]] = {
        "throughput": lambda place: throughput.measure(place, rows=1_000_000 // part, seed=seed, model=model),
        "latency": lambda place: latency.measure(place, seconds=40 / part),
        "scale": lambda place: steady.scale(place, seconds=90 / part),
        "loss": lambda place: loss.measure(place, kill_count=max(2, kills // part), seed=seed, seconds=120 / part),
        "soak": lambda place: steady.soak(place, minutes=minutes / part),
        "year": lambda place: year.measure(place, weeks=12 if quick else weeks, seed=seed, rule=rule, rhythm=rhythm),
        "peers": lambda place: peers.measure(place, rows=1_000_000 // part, seed=seed, model=model),
    }
    for name in names:
        if name not in made:
            raise InvalidArgument(f"there is no measurement {name!r}; there are {', '.join(made)}")
    measured = []
    with tempfile.TemporaryDirectory(prefix="aez-bench-") as scratch:
        for name in dict.fromkeys(names):
            say(f"measuring {name}")
            place = (folder or Path(scratch)).absolute() / name
            place.mkdir(parents=True)
            try:
                measured.append(made[name](place))
            except AezError as error:  # the others took long, and shall be told
                measured.append(Measured(name, "", [], failures=[str(error)]))
    return MonitorReport(measured, describe_environment(), seed, quick)
