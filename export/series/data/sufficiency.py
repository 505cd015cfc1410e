"""What training data lack: columns without a value, windows to learn from, days to see a rare alarm in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aez.codec.common.words import format_duration, listed
from aez.codec.errors import UnsupportedInput
from aez.codec.series.core import Series, select_channels
from aez.export.series.windows import Rows, Split

__all__ = ["FEWEST_FOR_A_LIMIT", "margin_of", "rare_alarms", "refuse_constant", "too_few_windows", "without_empty"]

#: With fewer windows to learn and calibrate on, a limit says more about chance than about the data.
FEWEST_FOR_A_LIMIT = 100


def without_empty(series: Sequence[Series]) -> tuple[list[Series], list[str]]:
    """The series without channels that have no value in any of them, and a sentence that names these.

    Raises UnsupportedInput where no channel is left.
    """
    if not series:
        return [], []
    names = series[0].channels
    there = {name for one in series for name in _with_values(one)}
    empty = [name for name in names if name not in there]
    if not empty:
        return list(series), []
    kept = [name for name in names if name in there]
    if not kept:
        raise UnsupportedInput("no channel has a value in any row, and there is nothing to learn from")
    said = f"{listed(empty)} {'has' if len(empty) == 1 else 'have'} no value in any row and "
    said += f"{'is' if len(empty) == 1 else 'are'} left out of the model"
    return [select_channels(one, kept) for one in series], [said]


def _with_values(series: Series) -> list[str]:
    flags = np.asarray(np.isfinite(series.values).any(axis=0)).tolist()
    return [name for name, flag in zip(series.channels, flags, strict=True) if flag]


def too_few_windows(split: Split) -> str | None:
    """A sentence where there are fewer windows than `FEWEST_FOR_A_LIMIT`; None where they do."""
    count = len(split.fit) + len(split.validation) + len(split.held_out)
    if count >= FEWEST_FOR_A_LIMIT:
        return None
    what = "rows" if split.fit.window == 1 else f"windows of {split.fit.window} rows"
    return (
        f"{count} {what} to learn from are too few for a limit that means anything; give more rows, so that there "
        f"are {FEWEST_FOR_A_LIMIT} or more"
    )


def margin_of(alarms: float, days: float, margin: float) -> float:
    """The limit of a budget of `alarms` a day over the smallest that the held-out `days` allow.

    The margin, and once more for each halving of what the held-out days can tell, or one alarm a day where they are
    fewer than one.
    """
    told = alarms * days
    if not alarms or alarms >= 1 or told >= 1:
        return margin
    return float(margin ** (1 + math.log2(min(1.0, days) / told)))


def rare_alarms(alarms: float, days: float, margin: float) -> list[str]:
    """A sentence where a budget of `alarms` a day asks for what the held-out `days` are too short to show."""
    if not alarms or alarms * days >= 1:
        return []
    span, between = format_duration(days * 86_400), format_duration(86_400 / alarms)
    said = (
        f"one alarm in {between} cannot be seen in the {span} that were held out, so that the limit is "
        f"{margin_of(alarms, days, margin):.3g} times what lets none of them through; more rows make it surer"
    )
    return [said]


def refuse_constant(rows: Sequence[Rows], names: Sequence[str]) -> None:
    """Raise UnsupportedInput where no channel moves, within a series or from one to the next."""
    filled = [one for one in rows if len(one)]
    if not filled:
        return  # too short, which is said later
    lowest = np.fmin.reduce([np.fmin.reduce(one, axis=0) for one in filled])
    highest = np.fmax.reduce([np.fmax.reduce(one, axis=0) for one in filled])
    if np.array_equal(lowest, highest):  # a channel without any value is refused later, by its name
        raise UnsupportedInput(
            f"no channel of {listed(names)} ever moves, and there is nothing to learn from constant data"
        )
