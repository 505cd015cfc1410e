"""`aez bench images`: learn one class of pictures, tell the others from it, class by class."""

from __future__ import annotations

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from aez.bench.detect.images_report import ClassFigures, ImagesReport
from aez.bench.detect.peers import IsolationForest, Peer, PrincipalComponents, Random
from aez.bench.detect.picture_classes import PictureClasses, load_picture_classes
from aez.bench.detect.ranking import roc_auc
from aez.bench.detect.report import describe_machine
from aez.codec.detect.pictures import PictureDetector
from aez.codec.detect.thresholds import percentile
from aez.codec.errors import AezError, InvalidArgument
from aez.codec.image.files import Pixels, to_planes
from aez.export.images.pictures import pictures_of_array, split_pictures
from aez.export.images.train import DEFAULT_FAMILY, VALIDATION, PictureConfig, fit_pictures, make_bundle

Floats = npt.NDArray[np.float64]
QUICK_CLASSES, QUICK_TRAIN, QUICK_TEST = 3, 1000, 2000
#: Peers see pictures of at most so many pixels a side: PCA's covariance has (side^2 * colours)^2 entries.
PEER_SIDE = 32
PEERS: dict[str, Callable[[], Peer]] = {
    "PCA": PrincipalComponents,
    "isolation forest": IsolationForest,
    "random": Random,
}


class Contestant(Protocol):
    """Learns from pictures of one class and scores others."""

    @property
    def name(self) -> str:
        """As in the tables."""

    def judge(self, train: Pixels, test: Pixels) -> tuple[Floats, float, float]:
        """(scores of the test, 1 being the limit; seconds to learn; seconds to score); [n, height, width, colours]."""


@dataclass(frozen=True)
class Own:
    """Our detector with the same settings for every class, exported and run as users do."""

    config: PictureConfig
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"aez {self.config.family}"

    def judge(self, train: Pixels, test: Pixels) -> tuple[Floats, float, float]:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            changes = {"quiet": True, **self.changes}
            fitted = fit_pictures(pictures_of_array(train, self.config.size), self.config, Path(folder), changes)
        detector = PictureDetector(make_bundle(fitted, "bench", "one class"))
        learned = time.perf_counter()
        scores = []
        for begin in range(0, len(test), 256):
            rgb = [np.broadcast_to(one, (*one.shape[:2], 3)) for one in test[begin : begin + 256]]
            scores.append(detector.score_planes(np.stack([detector.prepare(one) for one in rgb])).score)
        return np.concatenate(scores).astype(np.float64), learned - start, time.perf_counter() - learned


@dataclass(frozen=True)
class Outsider:
    """A peer on the pictures' pixels, with the same held-out pictures for its limit as ours has."""

    name: str
    config: PictureConfig

    def judge(self, train: Pixels, test: Pixels) -> tuple[Floats, float, float]:
        start = time.perf_counter()
        parts = split_pictures(len(train), self.config.held_out, VALIDATION)
        fit, held_out = np.concatenate(parts[:2]), parts[2]
        rows = _pixels(train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the peers' libraries
            peer = PEERS[self.name]().fit(rows[fit])
            limit = max(percentile(peer.score(rows[held_out]), 100 - self.config.flagged), 1e-12)
            learned = time.perf_counter()
            scores = peer.score(_pixels(test)) / limit
        return scores, learned - start, time.perf_counter() - learned


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
    own = [Own(config, changes) for config in configs]
    others = [Outsider(name, PictureConfig()) for name in _chosen_peers(peers)]
    contestants: list[Contestant] = [*own, *others]
    classes = load_picture_classes(folder, size)
    shown = range(min(QUICK_CLASSES, len(classes.names)) if quick else len(classes.names))
    figures = []
    with tqdm(total=len(contestants) * len(shown), unit="run", disable=not progress) as bar:
        for number, train, test, abnormal in _cases(classes, shown, quick):
            for contestant in contestants:
                scores, fit_seconds, score_seconds = contestant.judge(train, test)
                figures.append(
                    ClassFigures(
                        detector=contestant.name,
                        normal=classes.names[number],
                        auroc=roc_auc(abnormal, scores),
                        flagged_normal=float(np.mean(scores[~abnormal] > 1)),
                        flagged_others=float(np.mean(scores[abnormal] > 1)),
                        train=len(train),
                        test=len(test),
                        fit_seconds=fit_seconds,
                        score_seconds=score_seconds,
                    )
                )
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
        environment=describe_machine(),
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


def _chosen_peers(names: Sequence[str] | None) -> list[str]:
    by_name = {name.lower(): name for name in PEERS}
    for name in names or ():
        if name.lower() not in by_name:
            raise InvalidArgument(f"peer {name!r} is unknown; use {', '.join(PEERS)}")
    if importlib.util.find_spec("sklearn") is None:
        raise AezError("this needs sklearn, which is not installed: pip install 'aez[bench,train]'")
    return list(PEERS) if names is None else [by_name[name.lower()] for name in names]


def _pixels(pictures: Pixels) -> Floats:
    """Levels 0..1 side by side [n, pixels], of pictures no larger than `PEER_SIDE`."""
    height, width, colours = pictures.shape[1:]
    shrink = max(height, width) / PEER_SIDE
    if shrink > 1:
        size = (max(1, round(height / shrink)), max(1, round(width / shrink)))
        rgb = np.broadcast_to(pictures, (*pictures.shape[:3], 3))
        pictures = np.stack([to_planes(one, *size, colours) for one in rgb])
    return pictures.reshape(len(pictures), -1) / 255.0
