"""`aez bench bottleneck`: how many numbers a code needs, beside PCA with as many, and the data's own dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.bench.autoencoders.dimension import maximum_likelihood, two_neighbours
from aez.bench.autoencoders.figures import curves_png, reconstruction
from aez.bench.autoencoders.learning import BUDGET, Budget, parted, sweeping
from aez.bench.autoencoders.report import Point, SweepReport
from aez.bench.machine import describe_detection
from aez.codec.errors import InvalidArgument
from aez.codec.vectors.items import Items
from aez.codec.vectors.principal import Principal

__all__ = ["SIZES", "elbow", "run"]

SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
FAMILIES = ("dense", "conv", "sparse", "contractive", "denoising", "variational")
#: Items that components and dimensions are taken from.
_PRINCIPAL, _NEIGHBOURS = 10_000, 5000


def run(
    items: Items,
    data: str,
    *,
    test: Items | None = None,
    sizes: Sequence[int] = SIZES,
    family: str = "dense",
    budget: Budget = BUDGET,
) -> SweepReport:
    """A network of the family for each size of the code; sizes as large as the items are left out.

    Raises AezError subclasses.
    """
    learned, measured = parted(items, test, budget.seed)
    numbers = int(np.prod(items.shape))
    sizes = sorted({size for size in sizes if size < numbers})
    if len(sizes) < 2:
        raise InvalidArgument(f"items of {numbers} numbers leave {len(sizes)} sizes of the code to compare; give 2")
    points: list[Point] = []
    principal: Principal | None = None
    with sweeping(budget, len(sizes)) as sweep:
        for size in sizes:
            label = f"{size} numbers"
            trained = sweep.train(learned, label, family, {"latent": size})
            model = trained.model
            pictures = model.kind == "pictures"
            values = model.values(measured)
            unit, made = model.unit(values), model.unit(model.decode(model.encode(values).mean))
            if principal is None:
                some = _spread(model.values(learned), _PRINCIPAL)
                principal = Principal.of(model.unit(some).reshape(len(some), -1), sizes[-1])
            flat = unit.reshape(len(unit), -1)
            restored = principal.restore(principal.project(flat, size)).reshape(unit.shape)
            beside = reconstruction(unit, restored, pictures)
            figures = reconstruction(unit, made, pictures)
            figures |= {f"pca_{name}": beside.get(name) for name in ("mse", "psnr", "explained")}
            points.append(Point(label, {"size": size}, figures | {"seconds": trained.seconds}))
            sweep.advance(label)
    some = _spread(learned.values, _NEIGHBOURS).astype(np.float32).reshape(-1, numbers)
    at = elbow(sizes, [point.figures["explained"] or 0.0 for point in points])
    facts = {"elbow": at, "two_neighbours": two_neighbours(some), "maximum_likelihood": maximum_likelihood(some)}
    return SweepReport(
        kind="bottleneck",
        data=data,
        items=len(learned),
        tested=len(measured),
        family=family,
        points=tuple(points),
        facts=facts,
        notes=_notes(facts),
        environment=describe_detection(),
    )


def elbow(sizes: Sequence[int], explained: Sequence[float]) -> int:
    """The size above which more numbers gain least: farthest above the chord over the logarithm (Satopaa et al. 2011).

    The curve is that of the explained variance.
    """
    x, y = np.log(np.asarray(sizes, float)), np.asarray(explained, float)
    x = (x - x[0]) / max(x[-1] - x[0], 1e-12)
    y = (y - y.min()) / max(float(y.max() - y.min()), 1e-12)
    return int(sizes[int(np.argmax(y - (y[0] + (y[-1] - y[0]) * x)))])


def plot(report: SweepReport) -> bytes:
    """PSNR, SSIM or errors, and explained variance over the size, beside PCA's, with the elbow, as a PNG."""
    panels: list[tuple[str, list[tuple[str, str]]]] = [
        ("explained variance", [("explained", report.family), ("pca_explained", "PCA")])
    ]
    if any(point.figures.get("psnr") is not None for point in report.points):
        panels = [("PSNR, dB", [("psnr", report.family), ("pca_psnr", "PCA")]), *panels]
        panels.insert(1, ("SSIM", [("ssim", report.family)]))
    else:
        panels.insert(0, ("mean squared error", [("mse", report.family), ("pca_mse", "PCA")]))
    return curves_png(report.points, "size", panels, marked=report.facts["elbow"])


def _notes(facts: dict[str, float | None]) -> tuple[str, ...]:
    said = [f"The elbow lies at {facts['elbow']} numbers: above it more numbers gain little."]
    found = {"two-neighbour": facts["two_neighbours"], "maximum-likelihood": facts["maximum_likelihood"]}
    known = [f"{value:.1f} by the {name} estimate" for name, value in found.items() if value is not None]
    if known:
        said.append(f"The data's own dimension is {' and '.join(known)}.")
    return tuple(said)


def _spread(values: NDArray[Any], most: int) -> NDArray[Any]:
    found: NDArray[Any] = values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))]
    return found
