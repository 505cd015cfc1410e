"""The picture that a training run leaves: loss, rate and quality against steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aez.codec.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_training(log: Sequence[Mapping[str, float]], path: Path, qualities: Sequence[int]) -> None:
    """Draw training loss and validation PSNR and bpp (one line per quality) from the rows of a metrics file.

    Raises OutputError when `path` cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    training = [row for row in log if "loss" in row]
    left.plot([row["step"] for row in training], [row["loss"] for row in training], lw=1, color="tab:blue")
    left.set(title="training loss", xlabel="step", yscale="log")
    _plot_validation(middle, log, "psnr", qualities)
    middle.set(title="validation PSNR (dB)", xlabel="step")
    _plot_validation(right, log, "bpp", qualities)
    right.set(title="validation rate (bits per pixel)", xlabel="step", yscale="log")
    for axes in (left, middle, right):
        _plain(axes)
        axes.margins(x=0.12)
    _save(figure, path)


def _plot_validation(axes: Axes, log: Sequence[Mapping[str, float]], figure: str, qualities: Sequence[int]) -> None:
    """One line per quality, labelled at its end."""
    for quality in qualities:
        key = f"{figure}@{quality}"
        points = [(row["step"], row[key]) for row in log if key in row]
        if not points:
            continue
        (line,) = axes.plot(*zip(*points, strict=True), marker=".", lw=1)
        axes.annotate(
            f"quality {quality}",
            points[-1],
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
            fontsize=9,
        )


def plot_losses(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw training and validation loss of a detector from the rows of a metrics file.

    Raises OutputError when `path` cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label in (("loss", "training"), ("validation", "validation")):
        points = [(row["step"], row[key]) for row in log if key in row]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", lw=1, label=label)
    axes.set(title="loss", xlabel="step")
    _plain(axes)
    axes.legend(frameon=False)
    _save(figure, path)


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise OutputError(f"the loss curve {path} cannot be written: {error.strerror or error}") from error
