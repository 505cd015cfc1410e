"""What `aez bench images` compares: our picture detectors, and peers that see pictures as rows of pixels."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aez.bench.detect.peers import IsolationForest, PeerDetector, PrincipalComponents, Random
from aez.codec.detect.pictures import PictureDetector
from aez.codec.detect.thresholds import percentile
from aez.codec.image.files import Pixels, to_planes
from aez.export.images.pictures import pictures_of_array, split_pictures
from aez.export.images.train import VALIDATION, PictureConfig, fit_pictures, make_bundle

__all__ = ["PEERS", "OwnPictureDetector", "PeerOnPictures", "PictureContestant"]

Floats = npt.NDArray[np.float64]
#: Peers see pictures of at most so many pixels a side: PCA's covariance has (side^2 * colours)^2 entries.
PEER_SIDE = 32
PEERS: dict[str, Callable[[], PeerDetector]] = {
    "PCA": PrincipalComponents,
    "isolation forest": IsolationForest,
    "random": Random,
}


class PictureContestant(Protocol):
    """Learns from pictures of one class and scores others."""

    @property
    def name(self) -> str:
        """As in the tables."""

    def judge(self, train: Pixels, test: Pixels) -> tuple[Floats, float, float]:
        """(scores of the test, 1 being the limit; seconds to learn; seconds to score); [n, height, width, colours]."""


@dataclass(frozen=True)
class OwnPictureDetector:
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
class PeerOnPictures:
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


def _pixels(pictures: Pixels) -> Floats:
    """Levels 0..1 side by side [n, pixels], of pictures no larger than `PEER_SIDE`."""
    height, width, colours = pictures.shape[1:]
    shrink = max(height, width) / PEER_SIDE
    if shrink > 1:
        size = (max(1, round(height / shrink)), max(1, round(width / shrink)))
        rgb = np.broadcast_to(pictures, (*pictures.shape[:3], 3))
        pictures = np.stack([to_planes(one, *size, colours) for one in rgb])
    return pictures.reshape(len(pictures), -1) / 255.0
