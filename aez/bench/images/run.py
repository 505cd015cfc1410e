"""`aez bench images`: learn one class of pictures, tell the others from it, class by class."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.bench.detect.ranking import roc_auc
from aez.bench.images.classes import PictureClasses, load_picture_classes
from aez.bench.images.contestants import PEERS, OwnPictureDetector, PeerOnPictures, PictureContestant
from aez.bench.images.report import ClassFigures, ImagesReport
from aez.bench.machine import describe_detection
from aez.codec.common.progress import progress_bar
from aez.codec.errors import AezError, InvalidArgument
from aez.codec.image.files import Pixels
from aez.export.images.train import DEFAULT_FAMILY, PictureConfig

__all__ = ["run"]

QUICK_CLASSES, QUICK_TRAIN, QUICK_TEST = 3, 1000, 2000


def run(
    folder: str | Path,
    families: Sequence[str] = (DEFAULT_FAMILY,),
    peers: Sequence[str] | None = None,
    *,
    score: str | None = None,
    size: int = 64,
    steps: int | None = None,
    quick: bool = False,
    progress: bool = False,
) -> ImagesReport:
    """Measure detectors of pictures: each class in turn is normal, and the others are not.

    Args:
        folder: as `load_picture_classes` takes it.
        families: ours, each with the same settings for all classes.
        peers: names of those to set beside ours, upper and lower case alike; None takes all.
        score: kinds of the score joined by "+"; None: the default ones.
        size: side that pictures of folders are brought to.
        steps: of training; None: as the pictures need.
        quick: three classes, with at most 1000 pictures to learn from and 2000 to judge on.
        progress: a bar on standard error.

    Raises InvalidArgument for names that do not exist, UnsupportedInput for a folder of another kind, AezError where
    a library is missing.
    """
    kinds: dict[str, Any] = {} if score is None else {"score": tuple(score.split("+"))}
    configs = [PictureConfig(family, **kinds) for family in dict.fromkeys(families)]
    changes = {} if steps is None else {"steps": steps}
    own = [OwnPictureDetector(config, changes) for config in configs]
    others = [PeerOnPictures(name, PictureConfig()) for name in _chosen_peers(peers)]
    contestants: list[PictureContestant] = [*own, *others]
    classes = load_picture_classes(folder, size)
    shown = range(min(QUICK_CLASSES, len(classes.names)) if quick else len(classes.names))
    figures = []
    with progress_bar(total=len(contestants) * len(shown), unit="run", disable=not progress) as bar:
        for number, train, test, abnormal in _cases(classes, shown, quick):
            for contestant in contestants:
                figures.append(_figures(contestant, classes.names[number], train, test, abnormal))
                bar.update()
    return ImagesReport(
        folder=Path(folder).resolve().name,
        pictures=f"{classes.train.shape[2]} x {classes.train.shape[1]}",
        classes=tuple(classes.names[number] for number in shown),
        detectors=tuple(one.name for one in contestants),
        own=tuple(one.name for one in own),
        quick=quick,
        score="+".join(configs[0].score),
        figures=tuple(figures),
        skipped=classes.skipped,
        environment=describe_detection(),
    )


def _cases(
    classes: PictureClasses, shown: Sequence[int], quick: bool
) -> Iterator[tuple[int, Pixels, Pixels, npt.NDArray[np.bool_]]]:
    """(class, pictures of it to learn from, pictures to judge on, which of those are of another class)."""
    test, labels = classes.test, classes.test_labels
    if quick and len(test) > QUICK_TEST:
        kept = np.linspace(0, len(test) - 1, QUICK_TEST).astype(int)
        test, labels = test[kept], labels[kept]
    for number in shown:
        train = classes.train[classes.train_labels == number]
        yield number, train[:QUICK_TRAIN] if quick else train, test, labels != number


def _figures(
    contestant: PictureContestant, normal: str, train: Pixels, test: Pixels, abnormal: npt.NDArray[np.bool_]
) -> ClassFigures:
    scores, fit_seconds, score_seconds = contestant.judge(train, test)
    return ClassFigures(
        detector=contestant.name,
        normal=normal,
        auroc=roc_auc(abnormal, scores),
        flagged_normal=float(np.mean(scores[~abnormal] > 1)),
        flagged_others=float(np.mean(scores[abnormal] > 1)),
        train=len(train),
        test=len(test),
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
    )


def _chosen_peers(names: Sequence[str] | None) -> list[str]:
    by_name = {name.lower(): name for name in PEERS}
    for name in names or ():
        if name.lower() not in by_name:
            raise InvalidArgument(f"peer {name!r} is unknown; use {', '.join(PEERS)}")
    if importlib.util.find_spec("sklearn") is None:
        raise AezError("this needs sklearn, which is not installed: pip install 'aez[bench,train]'")
    return list(PEERS) if names is None else [by_name[name.lower()] for name in names]
