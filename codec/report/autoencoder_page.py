"""One HTML file about an autoencoder at work on items: how it learned, what comes back, and what its code holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.codec.latent.drawing import animation_bytes, contact_sheet
from aez.codec.latent.paths import path
from aez.codec.report.code_plots import histograms_png, losses_png, points_png, variances_png
from aez.codec.report.item_tiles import ItemTiles, sheet_png
from aez.codec.report.pages import Figure, html_page
from aez.codec.vectors.drawing import interleaved
from aez.codec.vectors.items import Items
from aez.codec.vectors.model import Autoencoder, Codes
from aez.codec.vectors.principal import Principal

__all__ = ["AutoencoderLook", "autoencoder_page"]

Float = NDArray[np.float32]
#: Items shown beside what comes back, in rows of so many.
_SHOWN, _COLUMNS = 20, 10
#: Side of the manifold's grid, and how far into the tails of the distribution it reaches.
_GRID, _TAIL = 13, 0.03
_PAIRS, _STEPS, _FRAMES = 5, 10, 20
#: Units whose effect is shown, and deviations that they are moved by to either side.
_UNITS, _MOVED = 24, 2.0
#: Items that principal components are taken from.
_PRINCIPAL = 2000
#: A unit is active above this variance of its mean where the prior is N(0, 1) (Burda et al. 2016); else this share.
_ACTIVE = 0.01
#: The family that does not learn step by step.
_CLOSED = "pca"


@dataclass(frozen=True, eq=False)
class AutoencoderLook:
    """What is looked at: a model, items, their values [n, *shape] in its units, and the rows of its run's log."""

    model: Autoencoder
    items: Items
    values: NDArray[Any]
    log: Sequence[Mapping[str, float]] = ()

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise InvalidArgument("a look into an autoencoder needs two items or more")

    @cached_property
    def codes(self) -> Codes:
        return self.model.encode(self.values)

    @cached_property
    def made(self) -> Float:
        """What comes back of the items."""
        return self.model.decode(self.codes.mean)

    @cached_property
    def variances(self) -> Float:
        """Of each number of the code over the items."""
        found: Float = self.codes.mean.var(0)
        return found

    @cached_property
    def divergences(self) -> Float | None:
        """Of each number from N(0, 1), the mean over the items in nats; None without a variational encoder."""
        mean, log_variance = self.codes.mean, self.codes.log_variance
        if log_variance is None:
            return None
        terms: Float = (np.square(mean) + np.exp(log_variance) - 1 - log_variance).mean(0) / 2
        return terms

    @property
    def active_from(self) -> float:
        """The variance from which a number counts as active."""
        return _ACTIVE if self.model.has_prior else _ACTIVE * max(float(self.variances.max()), 1e-12)

    @cached_property
    def active(self) -> int:
        return int((self.variances > self.active_from).sum())

    @cached_property
    def code_axes(self) -> Principal:
        """Principal components of the codes."""
        return Principal.of(self.codes.mean[:: max(1, len(self.values) // _PRINCIPAL)], 3)

    @cached_property
    def item_axes(self) -> Principal:
        """Principal components of the items, in the units that errors are said in."""
        some = self.values[:: max(1, len(self.values) // _PRINCIPAL)]
        return Principal.of(self._flat(some), max(min(self.model.dimensions, 256), _UNITS))

    def error(self, made: Float) -> float:
        """Mean squared error, of pictures in 0..1, of vectors in their units."""
        return float(np.square(self._flat(made) - self._flat(self.values), dtype=np.float64).mean())

    @cached_property
    def principal_error(self) -> float | None:
        """The same of as many principal components as the code has numbers, None where there are too many."""
        if self.model.dimensions > min(256, *self._flat(self.values[:1]).shape[1:]):
            return None
        flat = self._flat(self.values)
        made = self.item_axes.restore(self.item_axes.project(flat, self.model.dimensions))
        return float(np.square(made - flat, dtype=np.float64).mean())

    def manifold(self) -> tuple[Float, str]:
        """(Codes [grid * grid, dimensions] of a plane, row by row, what plane it is)."""
        quantiles = [NormalDist().inv_cdf(_TAIL + (1 - 2 * _TAIL) * place / (_GRID - 1)) for place in range(_GRID)]
        down, across = np.meshgrid(-np.array(quantiles), np.array(quantiles), indexing="ij")
        places = np.stack([across.ravel(), down.ravel()], 1).astype(np.float32)
        if self.model.dimensions == 2 and self.model.has_prior:
            return places, "the code's two numbers, at even shares of the prior N(0, 1)"
        axes = self.code_axes
        used = min(2, len(axes.components))
        spread = axes.project(self.codes.mean, used).std(0)
        return (
            axes.restore((places[:, :used] * spread).astype(np.float32)),
            "the plane of the codes' first two principal components, at even shares of a normal distribution",
        )

    def pairs(self) -> list[tuple[int, int]]:
        """Items to go between: of two labels where there are labels."""
        rng = np.random.default_rng(0)
        drawn = [tuple(map(int, rng.choice(len(self.values), 2, replace=False))) for _ in range(200)]
        labels = self.items.labels
        other = [pair for pair in drawn if labels is None or labels[pair[0]] != labels[pair[1]]]
        return [(a, b) for a, b in (other or drawn)[:_PAIRS]]

    def unit_effects(self) -> tuple[list[int], Float]:
        """(The numbers that vary most, what moving each of them up changes in the decoded mean code)."""
        order = np.argsort(-self.variances)[:_UNITS]
        centre = self.codes.mean.mean(0)
        step = np.zeros((len(order), len(centre)), np.float32)
        step[np.arange(len(order)), order] = _MOVED * np.sqrt(self.variances[order])
        changed: Float = self.model.decode(centre + step) - self.model.decode(centre - step)
        return [int(number) for number in order], changed

    def _flat(self, values: NDArray[Any]) -> Float:
        return self.model.unit(values).reshape(len(values), -1)


def autoencoder_page(look: AutoencoderLook, axes: int = 2, version: str = "") -> str:
    """The page; `axes`, 2 or 3, are those of the points. Raises AezError where matplotlib is not installed."""
    if axes not in (2, 3):
        raise InvalidArgument(f"points with {axes} axes cannot be drawn; give 2 or 3")
    model, tiles = look.model, ItemTiles(look.model, look.values)
    return html_page(
        "autoencoder.html",
        title=f"{model.bundle.name}: {model.family} autoencoder, {model.dimensions:,} numbers an item",
        count=len(look.values),
        kind=model.kind,
        said=_verdict(look),
        closed=model.family == _CLOSED,
        losses=_losses(look),
        reconstructions=_reconstructions(look, tiles),
        points=_points(look, axes),
        manifold=_manifold(look, tiles),
        interpolations=_interpolations(look, tiles),
        features=_features(look, tiles),
        units=_units(look),
        histograms=_histograms(look),
        model_facts=list(_facts(model)),
        version=version,
    )


def _verdict(look: AutoencoderLook) -> str:
    error = look.error(look.made)
    said = f"Mean squared error {error:.4g}"
    if look.model.range is not None:
        said += f" (PSNR {-10 * math.log10(max(error, 1e-12)):.2f} dB)"
    if look.principal_error is not None:
        said += f"; of as many principal components of these items {look.principal_error:.4g}"
    if look.divergences is not None:
        said += f"; KL divergence {float(look.divergences.sum()):.2f} nats"
    return f"{said}; {look.active:,} of {look.model.dimensions:,} numbers of the code are active."


def _losses(look: AutoencoderLook) -> Figure | None:
    """None without a log, or without steps that one could have."""
    if not look.log or look.model.family == _CLOSED:
        return None
    return _plot(losses_png(look.log), "The run's log: the loss, and what it is made of, each on its own.")


def _reconstructions(look: AutoencoderLook, tiles: ItemTiles) -> Figure:
    some = np.unique(np.linspace(0, len(look.values) - 1, min(_SHOWN, len(look.values))).astype(int))
    if look.model.range is None:
        columns = ", ".join(look.model.columns[:12]) or f"{look.model.shape[0]} numbers"
        shown = tiles.of(look.values[some], look.made[some])
        text = f"Each item blue, what comes back orange, in deviations from the mean; from left to right: {columns}."
        return Figure(sheet_png(shown, _COLUMNS), text)
    rows = [tiles.of(look.values[some]), tiles.of(look.made[some])]
    return Figure(sheet_png(interleaved(rows, _COLUMNS), _COLUMNS), "Originals above, what comes back below.")


def _points(look: AutoencoderLook, axes: int) -> Figure:
    codes = look.codes.mean
    if codes.shape[1] <= axes:
        names = [f"number {number}" for number in range(codes.shape[1])]
        points, text = codes, "Each point is an item, at its code."
    else:
        shares = look.code_axes.shares[:axes]
        names = [f"component {number + 1} ({share:.0%})" for number, share in enumerate(shares)]
        points = look.code_axes.project(codes, axes)
        text = (
            f"Each point is an item, at its code on the first principal components of the codes, which hold "
            f"{float(shares.sum()):.0%} of their variance."
        )
    if points.shape[1] < 2:
        points, names = np.concatenate([points, np.zeros_like(points)], 1)[:, :2], [*names, ""]
    text += " Coloured by label." if look.items.labels is not None else " Give --label or --labels for colours."
    return _plot(points_png(points, look.items.labels, names), text)


def _manifold(look: AutoencoderLook, tiles: ItemTiles) -> Figure:
    codes, plane = look.manifold()
    text = f"Decoded points of {plane}. Clean shapes between the items' places say that the code is smooth there."
    return Figure(sheet_png(tiles.of(look.model.decode(codes)), _GRID, gap=1), text)


def _interpolations(look: AutoencoderLook, tiles: ItemTiles) -> list[Figure]:
    codes = look.codes.mean
    rows, frames = [], []
    for a, b in look.pairs():
        rows += tiles.of(look.model.decode(np.stack(list(path(codes[a], codes[b], _STEPS)))))
        frames.append(tiles.of(look.model.decode(np.stack(list(path(codes[a], codes[b], _FRAMES))))))
    moving = [np.asarray(contact_sheet(list(each), len(frames))) for each in zip(*frames, strict=True)]
    return [
        Figure(sheet_png(rows, _STEPS), "Each row goes evenly from the code of one item to that of another."),
        Figure(animation_bytes(moving, "WEBP", 12), "The same ways, moving.", "webp"),
    ]


def _features(look: AutoencoderLook, tiles: ItemTiles) -> list[Figure]:
    """The decoder's, and principal components beside them."""
    order, effects = look.unit_effects()
    principal = look.item_axes.components[: len(order)].reshape(-1, *look.model.shape)
    columns = 6
    numbers = ", ".join(map(str, order))
    changes = (
        f"What the decoder changes when a number of the mean code goes from two deviations below to two above: "
        f"red more, blue less. Numbers {numbers}, those that vary most."
    )
    return [
        Figure(sheet_png(tiles.signed(effects), columns), changes),
        Figure(sheet_png(tiles.signed(principal), columns), "Beside them the first principal components."),
    ]


def _units(look: AutoencoderLook) -> Figure:
    what = "the variance of its mean exceeds 0.01" if look.model.has_prior else "it has 1% of the largest variance"
    return _plot(
        variances_png(look.variances, look.divergences, look.active_from),
        f"{look.active:,} of {look.model.dimensions:,} numbers are active: of such a one {what}.",
    )


def _histograms(look: AutoencoderLook) -> Figure:
    prior = " Red: the prior, which all codes together should follow." if look.model.has_prior else ""
    png = histograms_png(look.codes.mean, look.variances, look.model.has_prior)
    return _plot(png, f"The means of the numbers that vary most.{prior}")


def _facts(model: Autoencoder) -> Iterator[tuple[str, str]]:
    manifest = model.bundle.manifest
    yield "name", model.bundle.name
    yield "id", model.bundle.id
    yield "family", model.family
    yield "items", f"{model.kind} of {'x'.join(map(str, model.shape))}"
    yield "code", f"{model.dimensions:,} numbers{', prior N(0, 1)' if model.has_prior else ''}"
    options = manifest["provenance"].get("network", {}).get("options", {})
    for name, value in options.items():
        yield str(name).replace("_", " "), str(value)
    if data := manifest["provenance"].get("data"):
        yield "learned from", str(data)


def _plot(png: bytes, text: str) -> Figure:
    """A figure with axes, as wide as its PNG states."""
    return Figure(png, text, width=int.from_bytes(png[16:20], "big"))
