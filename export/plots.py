"""The picture that a training run leaves: loss, rate and quality against steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def plot_training(log: Sequence[Mapping[str, float]], path: Path, qualities: Sequence[int]) -> None:
    """Draw training loss and validation PSNR and bpp (one line per quality) from the rows of a metrics file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    training = [row for row in log if "loss" in row]
    validation = [row for row in log if f"psnr@{qualities[0]}" in row]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), constrained_layout=True)
    left.plot([row["step"] for row in training], [row["loss"] for row in training], lw=1, color="tab:blue")
    left.set(title="training loss", xlabel="step", yscale="log")
    for quality in qualities:
        steps = [row["step"] for row in validation]
        for axes, key in ((middle, "psnr"), (right, "bpp")):
            values = [row[f"{key}@{quality}"] for row in validation]
            (line,) = axes.plot(steps, values, marker=".", lw=1)
            if steps:
                label = f"quality {quality}"
                axes.annotate(label, (steps[-1], values[-1]), xytext=(6, 0), textcoords="offset points", va="center",
                              color=line.get_color(), fontsize=9)
    middle.set(title="validation PSNR (dB)", xlabel="step")
    right.set(title="validation rate (bits per pixel)", xlabel="step", yscale="log")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.12)
    figure.savefig(path, dpi=110)
    plt.close(figure)
