"""What the collection's own model is worth: measured on pictures that it never saw, and projected on all."""

from __future__ import annotations

import dataclasses
import importlib.util
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aez import messages
from aez.codec.bundle.library import find_bundle
from aez.codec.errors import InvalidArgument
from aez.commands.codec.estimate import estimate
from aez.commands.collection.sample import KEPT_OUT
from aez.commands.collection.state import Collection
from aez.files import Job

if TYPE_CHECKING:
    from aez.bench.pictures.rd_report import CurvePoint, RdReport
    from aez.codec.bundle.bundle import Bundle

#: The formats that the models are measured against.
PEERS = ("JPEG", "WebP", "AVIF 4:4:4")
#: Points of a peer's curve, and of a model's, as distances from the quality that is asked for.
_PEER_POINTS, _DISTANCES = 8, (-30.0, -15.0, 0.0, 15.0, 30.0)
#: Figures at equal values of which bytes are compared, as curves name them.
FIGURES = ("psnr", "ssimulacra2")
#: Where report, curves and contact sheet lie in the collection's folder, and their names.
MEASURED = "measured"
CURVES, SHEET = "curves.png", "contact-sheet.png"


@dataclass(frozen=True)
class _Model:
    """A model under test: what reports call it, and the mean quality that meets the target on pictures kept out."""

    label: str
    ref: str | Path
    bundle: Bundle
    quality: float


def measure(collection: Collection, target: Mapping[str, float], take: str) -> dict[str, Any]:
    """Figures of the model to take, as plain JSON values; report, curves and sheet are written beside the state.

    `take`: `trained` or the shipped one, `photo`, whatever they are worth, or `auto`: the trained one where it needs
    fewer bytes for what the loss is about. Raises InvalidArgument for a target that is out of reach, OutputError.
    """
    from aez.bench.pictures import rd
    from aez.bench.pictures.codecs import aez_codec, standard_peers
    from aez.bench.pictures.files import spread
    from aez.bench.pictures.rd_figures import curves_png, sheet_png
    from aez.bench.saving import save_all, texts

    folder = collection.work / KEPT_OUT
    trained = _model(f"aez {collection.name}", collection.model, folder, target)
    base = _model(f"aez {collection.base}", collection.base, folder, target)
    qualities = sorted({_clipped(q + d) for q in (trained.quality, base.quality) for d in _DISTANCES})
    eye = importlib.util.find_spec("ssimulacra2") is not None
    if not eye:
        messages.note("SSIMULACRA 2 is not measured without its package: pip install 'aez[bench]'")
    report = rd.run(
        folder,
        [aez_codec(one.ref, name=one.label) for one in (trained, base)],
        qualities,
        peers=[
            dataclasses.replace(peer, qualities=tuple(spread(peer.qualities, _PEER_POINTS)))
            for peer in standard_peers()
            if peer.name in PEERS
        ],
        progress=True,
        eye=eye,
    )
    for name, why in report.unavailable.items():
        messages.note(f"not measured: {name}: {why}")
    figure = "ssimulacra2" if eye and collection.settings["loss"] == "visual" else "psnr"
    ratio = _against(report, base.label, _point(report, trained))[figure]
    wins = ratio is not None and ratio > 1
    winner = trained if take == "trained" or (take == "auto" and wins) else base
    point = _point(report, winner)
    bpps = [float(f"{share * point.bpp:.2g}") for share in (0.5, 1)]
    drawn = {CURVES: curves_png(report), SHEET: sheet_png(report, bpps)}
    save_all(collection.work / MEASURED, texts(report, "report") | drawn)
    return {
        "model": winner.label,
        "id": winner.bundle.id,
        "is_trained": winner is trained,
        "trained_wins": wins,
        "figure": figure,
        "model_bytes": collection.model.stat().st_size if winner is trained else 0,
        "pictures": len(report.pictures),
        "quality": winner.quality,
        "bpp": point.bpp,
        "psnr": point.psnr,
        "ssimulacra2": point.ssimulacra2,
        "peers": {name: _against(report, name, point) for name in report.curves if name != winner.label},
    }


def _model(label: str, ref: str | Path, folder: Path, target: Mapping[str, float]) -> _Model:
    """A model and the quality at which it meets the target. Raises InvalidArgument where it does not."""
    from aez.codec.image.api import encode_picture
    from aez.codec.image.pillow import read_image

    bundle = find_bundle(ref)
    if "quality" in target:
        return _Model(label, ref, bundle, _clipped(target["quality"]))
    settings: dict[str, Any] = dict(target)
    try:
        found = [encode_picture(read_image(str(p)), model=bundle, **settings).quality for p in folder.glob("*.png")]
    except InvalidArgument as error:
        raise InvalidArgument(f"{label} does not reach the target on a picture of the sample: {error}") from error
    return _Model(label, ref, bundle, _clipped(statistics.fmean(found)))


def _clipped(quality: float) -> float:
    return round(min(max(quality, 1.0), 100.0), 2)


def _point(report: RdReport, model: _Model) -> CurvePoint:
    return next(point for point in report.curves[model.label] if point.quality == model.quality)


def _against(report: RdReport, name: str, point: CurvePoint) -> dict[str, float | None]:
    """Bytes of a codec over those at `point`, at equal values of each of FIGURES; None beyond its curve's ends."""
    from aez.bench.pictures.bd_rate import rate_at
    from aez.bench.pictures.rd_report import lossy_points

    ratios: dict[str, float | None] = {}
    for figure in FIGURES:
        wanted = getattr(point, figure)
        try:
            rate = None if wanted is None else rate_at(*lossy_points(report.curves[name], figure), wanted)
        except InvalidArgument:  # a curve of too few points
            rate = None
        ratios[figure] = None if rate is None else rate / point.bpp
    return ratios


def project(
    collection: Collection, jobs: Sequence[Job], settings: dict[str, Any], workers: int, measured: dict[str, Any]
) -> dict[str, Any]:
    """Bytes and seconds of all pictures, from those that were kept out of training.

    `peers` are bytes of the other formats at equal PSNR and SSIMULACRA 2. Raises InvalidArgument where none of the
    pictures that were kept out can be encoded.
    """
    kept_out = {str(collection.folder / place) for place in collection.kept_out}
    sample = [job for job in jobs if job.source in kept_out]
    found = estimate(jobs, settings, None, workers, sample)
    peers = {
        name: {figure: None if ratio is None else round(found["bytes_out"] * ratio) for figure, ratio in of.items()}
        for name, of in measured["peers"].items()
    }
    return {key: found[key] for key in ("files", "bytes_in", "bytes_out", "seconds")} | {"peers": peers}


def table(measured: Mapping[str, Any], projected: Mapping[str, Any]) -> list[str]:
    """Measurement and projection as lines of text."""
    from aez.bench.table_text import aligned

    whole = projected["bytes_in"]
    rows = [["", "bytes of all", "of the sources", "at equal PSNR", "at equal SSIMULACRA 2"]]
    out = projected["bytes_out"]
    rows.append([measured["model"], f"{out:,}", share(out, whole), "", ""])
    for name, of in projected["peers"].items():
        least = of[measured["figure"]]
        ratios = [saving(measured["peers"][name][figure]) for figure in FIGURES]
        rows.append([name, "-" if least is None else f"{least:,}", share(least, whole), *ratios])
    return aligned(rows)


def share(part: float | None, whole: float) -> str:
    """A part in per cent."""
    return "-" if part is None or not whole else f"{100 * part / whole:.1f} %"


def saving(ratio: float | None) -> str:
    """How many bytes the model takes more than another format, which takes `ratio` times its own."""
    return "-" if ratio is None else f"{100 * (1 / ratio - 1):+.1f} %"
