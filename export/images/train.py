"""`aez train images`: from a folder of normal pictures to a bundle that scores others."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.common.words import listed
from aez.codec.detect.thresholds import percentile
from aez.codec.errors import InvalidArgument
from aez.export.common.batches import Batches
from aez.export.common.run_files import check_output, run_folder
from aez.export.common.trainer import Result, TrainOptions
from aez.export.families.base import Family, Figures, within
from aez.export.families.pictures.rows import rows_of
from aez.export.families.registry import PICTURES, build_for_pictures
from aez.export.families.training import FamilyLoss, best_validation, effort, is_finished, learn, short_run
from aez.export.images.bundle import CHECKED_PICTURES, pack_picture_detector
from aez.export.images.graph import Kind, PictureGraph, PictureScale, PictureScaling, fit_picture_scaling
from aez.export.images.pictures import (
    PictureSet,
    find_training_pictures,
    pictures_of_array,
    read_training_pictures,
    split_pictures,
    spoil,
)

logger = logging.getLogger(__name__)

DEFAULT_FAMILY = "conv"
VALIDATION, VALIDATION_PICTURES = 0.1, 500
#: Training pictures are named, so that somebody looks at them, when they score so many times what all but 5 % do.
STRANGE, _USUAL = 4.0, 0.95
_BATCH = 64
#: Pictures of more pixels are learned from in smaller batches.
_LARGE = 64 * 64


@dataclass(frozen=True)
class PictureConfig:
    """What to learn and how to judge.

    `size` is the longer side that pictures are brought to (None: suggested from them); `options` are the family's own;
    `score` are the kinds that a score is made of; `flagged` is the share of normal pictures, in percent, that may score
    above 1; `held_out` is the share of the pictures, drawn at random, that sets the limits. Raises InvalidArgument.
    """

    family: str = DEFAULT_FAMILY
    size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    score: tuple[Kind, ...] = ("edges", "spots")
    flagged: float = 1.0
    held_out: float = 0.3

    def __post_init__(self) -> None:
        if self.family not in PICTURES:
            raise InvalidArgument(f"family {self.family!r} is none for pictures; use one of {', '.join(PICTURES)}")
        within("flagged", self.flagged, 0, 50)
        within("held_out", self.held_out, 0.05, 0.9)


PictureConfig.__module__ = "aez.export"  # where pickles find it, wherever this file lies


@dataclass
class FittedPictures:
    """A calibrated detector, and what it was made from.

    `scores` are the held-out ones, 1 being the threshold; `result` None: nothing was trained; `notices` say what the
    user should know of the pictures, one sentence each.
    """

    graph: PictureGraph
    config: PictureConfig
    pictures: PictureSet
    held_out: NDArray[np.int64]
    scores: NDArray[np.float32]
    result: Result | None
    notices: list[str]


class PictureLoss(FamilyLoss):
    """A family's loss on pictures [batch, colours, height, width] in 0..255.

    Half of the pictures is spoilt, and the network has to give them whole.
    """

    def __init__(self, network: Family, scaling: PictureScaling) -> None:
        super().__init__(network)
        self.scale = PictureScale(scaling)

    def scaled(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        x = rows_of(self.scale(raw))
        return x, torch.ones_like(x)

    def forward(self, raw: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        x = self.scale(raw)
        target = rows_of(x)
        seen = rows_of(spoil(x, generator))
        return self.network.objective(seen, target, torch.ones_like(target), generator, progress)


def default_options(pictures: int, pixels: int = 0, **changes: Any) -> TrainOptions:
    """How to train on so many pictures of so many pixels; `changes` replace what is given."""
    usual = {"batch": 32 if pixels <= _LARGE else 16, "learning_rate": 2e-3, "patience": 5}
    return short_run(pictures, 6, (200, 800), usual, changes)


def fit_pictures(
    pictures: PictureSet,
    config: PictureConfig,
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> FittedPictures:
    """Learn from normal pictures, and calibrate on those held out.

    `changes` are those to `default_options`; the checkpoint lies in `folder`. Raises InvalidArgument.
    """
    parts = split_pictures(len(pictures), config.held_out, VALIDATION)
    fit, validation, held_out = (pictures.chosen(part) for part in parts)
    colours, height, width = pictures.planes.shape[1:]
    options = default_options(len(fit), height * width, **(changes or {}))
    scaling = fit_picture_scaling(fit.planes)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        model = PictureLoss(build_for_pictures(config.family, height, width, colours, config.options), scaling)
        network, result = learn(model, fit, validation, VALIDATION_PICTURES, options, folder, resume)
    graph = PictureGraph(network, colours, scaling, config.score).eval()
    learned = pictures.chosen(np.sort(np.concatenate(parts[:2])))
    graph.fit_normal(Batches(learned, _BATCH))
    q = 100 - config.flagged
    joint = graph.calibrate(Batches(held_out, _BATCH), q)
    graph.threshold.fill_(max(percentile(joint, q), 1e-6))
    fitted = FittedPictures(graph, config, pictures, parts[2], joint / float(graph.threshold), result, [])
    fitted.notices += _notices(fitted, learned)
    return fitted


@torch.no_grad()
def _notices(fitted: FittedPictures, learned: PictureSet) -> list[str]:
    """What the user should know: few held-out pictures, and training pictures that look unlike the others."""
    found = []
    count, flagged = len(fitted.scores), fitted.config.flagged
    if flagged and count < 100 / flagged:
        found.append(
            f"{count} held-out pictures are too few to tell what {flagged:g} % of normal ones exceed: the threshold is "
            "their highest score; give more pictures"
        )
    scores = np.concatenate([fitted.graph(batch)[0].numpy() for batch in Batches(learned, _BATCH)])
    names = [*learned.names, *(fitted.pictures.names[number] for number in fitted.held_out)]
    every = np.concatenate([scores, fitted.scores])
    usual = float(np.quantile(every, _USUAL))
    strange = [names[at] for at in np.argsort(-every) if every[at] > STRANGE * usual]
    if strange:
        found.append(
            f"{listed(strange)} in the training pictures look unlike the others (up to {every.max() / usual:.3g} times "
            "the usual score); look at them, and train without those that are not normal"
        )
    return found


def make_bundle(fitted: FittedPictures, name: str, data: str) -> Bundle:
    """The bundle of a fitted detector, in memory; `data` describes what it learned from. Raises ModelError."""
    config, result = fitted.config, fitted.result
    provenance = {
        "data": data,
        "network": {"family": config.family, "options": dict(config.options)},
        "held_out": config.held_out,
        "threshold": {"method": "percentile", "percentile": 100 - config.flagged},
        **effort(result),
    }
    figures: dict[str, Any] = {
        "held_out": {
            "pictures": len(fitted.scores),
            "median_score": round(float(np.median(fitted.scores)), 4),
            "highest_score": round(float(fitted.scores.max()), 4),
            "share_above_1": round(float(np.mean(fitted.scores > 1)), 6),
        },
        **best_validation(result),
    }
    shown = fitted.held_out[np.linspace(0, len(fitted.held_out) - 1, CHECKED_PICTURES).astype(int)]
    return pack_picture_detector(fitted.graph, name, fitted.pictures.planes[np.unique(shown)], provenance, figures)


def learn_pictures(
    pictures: NDArray[np.uint8] | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    config: PictureConfig | None = None,
    *,
    name: str = "pictures",
    **changes: Any,
) -> Bundle:
    """A picture detector from normal pictures, for `aez.codec.detect.pictures.PictureDetector`.

    Args:
        pictures: an array uint8 [n, height, width] or [n, height, width, 1 or 3], a folder, or several files.
        config: what to learn and how to judge.
        name: the model's name.
        changes: TrainOptions by name (steps, minutes, seed, device ...).

    `aez.codec.bundle.bundle.save_bundle` writes it to a file. What the user should know is logged as warnings. Raises
    AezError subclasses.
    """
    config = config or PictureConfig()
    if isinstance(pictures, np.ndarray):
        found = pictures_of_array(pictures, config.size)
    else:
        given = [pictures] if isinstance(pictures, str | os.PathLike) else list(pictures)
        found = read_training_pictures(find_training_pictures([Path(one) for one in given]), config.size)
        _warn(f"skipped {path}: {why}" for path, why in found.skipped)
    with TemporaryDirectory() as folder:
        fitted = fit_pictures(found, config, Path(folder), {"quiet": True, **changes})
    _warn(fitted.notices)
    return make_bundle(fitted, name, f"{len(found):,} pictures")


def main(
    sources: Sequence[Path],
    output: Path,
    *,
    name: str | None = None,
    config: PictureConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Bundle | None:
    """Learn from the pictures in folders and write the bundle `output`; None when a signal stopped the run early.

    Checkpoint, metrics and loss curve lie in `<output>.run/`; `resume` goes on from the checkpoint. `changes` are
    TrainOptions by name. What the user should know, such as files that cannot be read, is logged as warnings. Raises
    AezError subclasses.
    """
    config = config or PictureConfig()
    check_output(output)
    quiet = bool((changes or {}).get("quiet", False))
    pictures = read_training_pictures(find_training_pictures(sources), config.size, quiet)
    _warn(f"skipped {path}: {why}" for path, why in pictures.skipped)
    fitted = fit_pictures(pictures, config, run_folder(output), changes, resume)
    if not is_finished(fitted.result, output):
        return None
    _warn(fitted.notices)
    folders = listed([source.resolve().name for source in sources])
    bundle = make_bundle(fitted, name or output.stem, f"{len(pictures):,} pictures of {folders}")
    save_bundle(bundle, output)
    return bundle


def _warn(notices: Any) -> None:
    for notice in notices:
        logger.warning("aez: warning: %s", notice)
