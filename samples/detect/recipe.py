"""What the recipes share: their command line, tables as text, peers with a limit, files for figures and pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aez.bench.detect.peers import IsolationForest, PeerDetector, PrincipalComponents, Random

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

OUT = Path(__file__).parents[1] / "out"
#: Colours of the pictures: aez, and whatever stands beside it.
BLUE, GREY, RED = "#1f4e79", "#8a8f98", "#c4212f"
COLOURS = {
    "aez": BLUE,
    "PCA": "#d9822b",
    "isolation forest": "#2e7d32",
    "random": GREY,
    "PyOD AutoEncoder": "#6a3fa0",
    "mean of squares": "#00788a",
}
#: Share of the training rows, the latest, on which limits are set: that of `SeriesDetector`.
HELD_OUT = 0.3
#: What stands beside aez in every recipe.
PEERS: Mapping[str, Callable[[], PeerDetector]] = {
    "PCA": PrincipalComponents,
    "isolation forest": IsolationForest,
    "random": Random,
}


@dataclass(frozen=True)
class Options:
    """Where results go, and whether less data will do."""

    out: Path
    quick: bool


def read_options(description: str, arguments: Sequence[str] | None) -> Options:
    """The command line that all recipes have; the first line of `description` is shown by --help."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for picture and figures, by default {OUT}")
    parser.add_argument("--quick", action="store_true", help="less data, to see that it runs; figures mean little")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    return Options(given.out, given.quick)


def relative_scores(peer: PeerDetector, train: Floats, test: Floats, choose: Callable[[Floats], float]) -> Floats:
    """A peer's scores of the test [time], divided by a limit that it gets as aez gets its own.

    The peer learns from the first part of the training rows, `choose` sets the limit on its scores of the rest.
    """
    cut = len(train) - round(HELD_OUT * len(train))
    peer.fit(train[:cut])
    scores = peer.score(np.concatenate([train[cut:], test]))
    return scores[len(train) - cut :] / choose(scores[: len(train) - cut])


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as text, the first being the header; the first column is flush left, the others right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in texts
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def percent(share: float, digits: int = 1) -> str:
    """A share 0..1 as percent; a dash where it is not defined."""
    return "-" if np.isnan(share) else f"{100 * share:.{digits}f} %"


def plain_numbers(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as 0.1, 1 and 10 instead of powers."""
    axis.set_major_formatter(lambda value, _: f"{value:,g}")


def leave(options: Options, name: str, figure: Figure, figures: Mapping[str, Any]) -> None:
    """Write `name`.png and `name`.json (the figures of the tables, unrounded) and say where they are."""
    picture, numbers = options.out / f"{name}.png", options.out / f"{name}.json"
    figure.savefig(picture, dpi=110)
    numbers.write_text(json.dumps({"quick": options.quick, **figures}, indent=1) + "\n", encoding="utf-8")
    print(f"\npicture: {picture}\nfigures: {numbers}")


def write_csv(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """A table of columns of one length as CSV; NaN is an empty cell."""
    cells = [["" if _is_nan(value) else str(value) for value in column.tolist()] for column in columns.values()]
    lines = [",".join(columns), *(",".join(row) for row in zip(*cells, strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and np.isnan(value)
