"""Plots about an autoencoder, with matplotlib: its losses, its codes as points, their variances and histograms."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["histograms_png", "losses_png", "points_png", "variances_png"]

Float = NDArray[np.float32]
_INK, _LIMIT, _QUIET = "#1f4e79", "#c4212f", "#8a8f98"
#: Figures of a log, in the order of their panels; others of it follow by name.
_TITLES = {"loss": "loss", "mse": "reconstruction: mean squared error", "kl": "KL divergence, nats"}
_OTHER = ("step", "seconds", "norm", "rate", "active_units", "epoch")
#: Labels with a colour of their own; so many histograms, and numbers of a code in one plot.
_LABELS, _HISTOGRAMS, _NUMBERS = 20, 24, 256


def losses_png(log: Sequence[Mapping[str, float]]) -> bytes:
    """Each figure of a run's log in a panel of its own, training beside validation."""
    names, titles = shown_figures(log)
    figure, panels = _panels(len(names), 3, 4.2, 3.0)
    for panel, name in zip(panels, names, strict=False):
        held_out = "validation" if name == "loss" else f"validation_{name}"
        for key, label, colour in ((name, "training", _INK), (held_out, "held out", _LIMIT)):
            if points := [(row["step"], row[key]) for row in log if key in row and np.isfinite(row[key])]:
                panel.plot(*zip(*points, strict=True), marker=".", ms=4, lw=1.2, color=colour, label=label)
        panel.set_title(titles[name], fontsize=10, loc="left")
        panel.set_xlabel("step", fontsize=9)
        panel.legend(frameon=False, fontsize=8)
        panel.grid(alpha=0.3)
    return _png(figure)


def shown_figures(log: Sequence[Mapping[str, float]]) -> tuple[list[str], dict[str, str]]:
    """(Figures of a run's log in the order in which they are drawn, their titles).

    A loss that is one of the figures and nothing more is drawn once, under both names.
    """
    found = {key.removeprefix("validation_") for row in log for key in row if key not in _OTHER} - {"validation"}
    names = [name for name in _TITLES if name in found] + sorted(found - set(_TITLES))
    titles = {name: _TITLES.get(name, name.replace("_", " ")) for name in names}
    for name in names[1:] if "loss" in names else []:
        if all(row.get("loss") == row.get(name) for row in log):
            titles[name] = f"loss = {titles[name]}"
            return [one for one in names if one != "loss"], titles
    return names, titles


def points_png(points: Float, labels: Sequence[str] | None, names: Sequence[str]) -> bytes:
    """Points [n, 2 or 3], coloured by label: by number where all labels are numbers and there are many."""
    figure = _figure((8.6, 6.2))
    solid = points.shape[1] == 3
    panel: Any = figure.add_subplot(projection="3d" if solid else None)
    columns = tuple(points.T)
    style: dict[str, Any] = {"s": 9, "alpha": 0.75, "linewidths": 0}
    kinds = [] if labels is None else sorted(set(labels), key=_order)
    if labels is None or (len(kinds) > _LABELS and not all(_is_number(one) for one in kinds)):
        panel.scatter(*columns, color=_INK, **style)
    elif len(kinds) > _LABELS:
        shown = panel.scatter(*columns, c=[float(one) for one in labels], cmap="viridis", **style)
        figure.colorbar(shown, ax=panel, label="label")
    else:
        colours = library("matplotlib", "monitor").colormaps["tab10" if len(kinds) <= 10 else "tab20"]
        given = np.asarray(labels)
        for number, kind in enumerate(kinds):
            here = given == kind
            panel.scatter(*(one[here] for one in columns), color=colours(number), label=_plain(kind), **style)
        legend = panel.legend(frameon=False, fontsize=9, markerscale=2, bbox_to_anchor=(1.02, 1), loc="upper left")
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    for axis, name in zip("xyz", names, strict=False):
        getattr(panel, f"set_{axis}label")(name, fontsize=9)
    if not solid:
        _bare(panel)
    return _png(figure)


def variances_png(variances: Float, divergences: Float | None, limit: float) -> bytes:
    """Variance of each number of the code over the items, largest first, with the limit of an active one; and KL."""
    order = np.argsort(-variances)[:_NUMBERS]
    figure, panels = _panels(1 if divergences is None else 2, 2, 6.2, 3.2)
    place = np.arange(len(order))
    panels[0].bar(place, np.maximum(variances[order], 1e-12), color=_INK, width=0.85)
    panels[0].axhline(limit, color=_LIMIT, lw=1.2, ls="--", label=f"active above {limit:.3g}")
    panels[0].set_yscale("log")
    panels[0].set_ylim(
        max(min(float(variances[order].min()), limit) / 2, limit / 100, 1e-12),
        6 * max(float(variances[order].max()), limit),
    )
    panels[0].set_title("variance of each number's mean over the items", fontsize=10, loc="left")
    panels[0].legend(frameon=False, fontsize=8)
    if divergences is not None:
        panels[1].bar(place, divergences[order], color="#c2255c", width=0.85)
        panels[1].set_title("KL divergence of each number, nats", fontsize=10, loc="left")
    for panel in panels:
        panel.set_xlabel("numbers of the code, by their variance", fontsize=9)
        if len(order) <= 40:
            panel.set_xticks(place, [str(number) for number in order], fontsize=7)
    return _png(figure)


def histograms_png(codes: Float, variances: Float, prior: bool) -> bytes:
    """Histograms of the numbers that vary most; with the density of N(0, 1) where that is the prior."""
    order = np.argsort(-variances)[:_HISTOGRAMS]
    figure, panels = _panels(len(order), 6, 2.05, 1.6)
    normal = np.linspace(-4, 4, 200)
    for panel, number in zip(panels, order, strict=False):
        panel.hist(codes[:, number], bins=40, density=True, color=_INK)
        if prior:
            panel.plot(normal, np.exp(-np.square(normal) / 2) / np.sqrt(2 * np.pi), color=_LIMIT, lw=1)
        panel.set_title(str(number), fontsize=8, loc="left", pad=2)
        panel.set_yticks([])
    return _png(figure)


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = _figure((width * columns, height * rows))
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel in panels[:count]:
        _bare(panel)
    for panel in panels[count:]:
        panel.set_visible(False)
    return figure, panels[:count]


def _figure(size: tuple[float, float]) -> Figure:
    library("matplotlib", "monitor")
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _bare(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _order(label: str) -> tuple[int, float, str]:
    """Numbers by size, before texts."""
    return (0, float(label), label) if _is_number(label) else (1, 0.0, label)


def _is_number(label: str) -> bool:
    try:
        return bool(np.isfinite(float(label)))
    except ValueError:
        return False


def _plain(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign would begin a formula, an underscore hides a label."""
    return "".join(c if c.isprintable() else "\u00b7" for c in text[:40]).replace("$", r"\$").lstrip("_") or "none"
