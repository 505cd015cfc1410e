"""Candidates of models, opened from the folder beside the state."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aez.codec.bundle.library import find_bundle
from aez.codec.detect.detector import Detector
from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.build.models import signal_rules
from aez.daemon.config.reader import Configuration
from aez.daemon.config.sections import RULE_KEYS
from aez.daemon.engine.watched import Watched
from aez.daemon.frames.models import FrameModel
from aez.daemon.shadow.candidate import Candidate
from aez.daemon.shadow.figures import Comparison
from aez.daemon.shadow.folder import ShadowFolder

__all__ = ["candidate", "candidates", "opened"]

_log = logging.getLogger(__name__)


def opened(config: Configuration, model: Watched, path: Path) -> Detector:
    """The bundle at a path as a model that could stand in for `model`. Raises AezError."""
    if isinstance(model.detector, FrameModel):
        raise InvalidArgument(f"model {model.name} watches frames, and candidates are for telemetry")
    detector = Detector(find_bundle(path), config.service.device, 1)
    if detector.bundle.id == model.detector.bundle.id:
        raise InvalidArgument(f"{path} is what model {model.name} is already")
    return detector


def candidate(config: Configuration, model: Watched, folder: ShadowFolder) -> Candidate:
    """The candidate of a model; its figures go on where they are of the same two. Raises AezError."""
    detector = opened(config, model, folder.bundle(model.name))
    (entry,) = (one for one in config.models if one.name == model.name)
    changes = {name: value for name in RULE_KEYS if (value := getattr(entry.options, name)) is not None}
    comparison = Comparison(time.time_ns())
    match folder.figures(model.name):
        case {"candidate": detector.bundle.id, "model": model.detector.bundle.id, "figures": dict(figures)}:
            with contextlib.suppress(InvalidArgument):  # of another version: they begin anew
                comparison = Comparison.from_state(figures)
    rule, signals = replace(detector.event_rule, **changes), signal_rules(detector, entry.options)
    return Candidate(model, detector, rule, comparison, signals)


def candidates(config: Configuration, models: Sequence[Watched], folder: ShadowFolder) -> dict[str, Candidate]:
    """Those that there are, by their models' names; the log says of one that cannot be used why."""
    found: dict[str, Candidate] = {}
    known = {one.name: one for one in models}
    for name in folder.names():
        try:
            if name not in known:
                raise InvalidArgument("there is no such model any more")
            found[name] = candidate(config, known[name], folder)
        except AezError as error:
            _log.warning("the candidate of model %s is not compared: %s", name, error)
    return found
