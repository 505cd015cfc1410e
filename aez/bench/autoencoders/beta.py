"""`aez bench beta`: what the price of the divergence does to errors, divergences, active units and the manifold."""

from __future__ import annotations

from collections.abc import Sequence

from aez.bench.autoencoders.figures import curves_png, reconstruction
from aez.bench.autoencoders.learning import BUDGET, Budget, parted, sweeping
from aez.bench.autoencoders.report import Point, SweepReport
from aez.bench.machine import describe_detection
from aez.codec.report.autoencoder_page import AutoencoderLook
from aez.codec.report.item_tiles import ItemTiles, sheet_png
from aez.codec.vectors.items import Items
from aez.export.autoencoders.networks.variational import LIKELIHOODS

__all__ = ["BETAS", "run"]

BETAS = (0.5, 1.0, 2.0, 4.0, 10.0)


def run(
    items: Items,
    data: str,
    *,
    test: Items | None = None,
    betas: Sequence[float] = BETAS,
    latent: int | None = None,
    likelihood: str | None = None,
    budget: Budget = BUDGET,
) -> SweepReport:
    """A beta-variational network for each beta, with the same seed; `likelihood` is gaussian or bernoulli.

    Raises AezError subclasses.
    """
    learned, measured = parted(items, test, budget.seed)
    betas = sorted(set(betas))
    points, manifolds = [], {}
    asked = {"latent": latent, "likelihood": likelihood}
    options = {name: value for name, value in asked.items() if value is not None}
    with sweeping(budget, len(betas)) as sweep:
        for beta in betas:
            label = f"beta {beta:g}"
            trained = sweep.train(learned, label, "beta", {**options, "beta": beta})
            model = trained.model
            look = AutoencoderLook(model, measured, model.values(measured))
            pictures = model.kind == "pictures"
            figures = reconstruction(model.unit(look.values), model.unit(look.made), pictures)
            assert look.divergences is not None
            figures |= {"kl": float(look.divergences.sum()), "active_units": look.active, "seconds": trained.seconds}
            points.append(Point(label, {"beta": beta}, figures))
            tiles = ItemTiles(model, look.values)
            manifolds[f"manifold-{beta:g}.png"] = sheet_png(tiles.of(model.decode(look.manifold()[0])), 13, gap=1)
            sweep.advance(label)
    return SweepReport(
        kind="beta",
        data=data,
        items=len(learned),
        tested=len(measured),
        family="beta",
        points=tuple(points),
        facts={"latent": model.dimensions, "likelihood": likelihood or LIKELIHOODS[0]},
        notes=_notes(points, model.dimensions),
        environment=describe_detection(),
        pictures=manifolds,
    )


def plot(report: SweepReport) -> bytes:
    """Errors, divergences and active units over beta, as a PNG."""
    panels = [
        ("mean squared error", [("mse", "reconstruction")]),
        ("KL divergence, nats", [("kl", "of the code")]),
        ("active units", [("active_units", "of the code")]),
    ]
    return curves_png(report.points, "beta", panels)


def _notes(points: Sequence[Point], latent: int) -> tuple[str, ...]:
    collapsed = [point.label for point in points if (point.figures["active_units"] or 0) <= latent // 4]
    return tuple(f"{label}: the posterior collapses, hardly any number is active." for label in collapsed)
