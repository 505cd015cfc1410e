"""Candidates from the outside: one is looked at and put in the monitor's folder, and the monitor is asked to begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.build import models
from aez.daemon.build import shadows as build
from aez.daemon.config.reader import Configuration, ModelConfig
from aez.daemon.shadow.candidate import fits
from aez.daemon.shadow.folder import ShadowFolder
from aez.daemon.tools.client import MonitorClient, NoMonitor, Refused

__all__ = ["ask", "compared", "entry_of", "put_candidate"]

_SECONDS = 180.0  # a promotion is a reload


def entry_of(config: Configuration, model: str) -> ModelConfig:
    """A model by its name. Raises InvalidArgument where there is none."""
    found = {one.name: one for one in config.models}
    if model not in found:
        raise InvalidArgument(f"{config.label}: there is no model {model!r}; there is {', '.join(found)}")
    return found[model]


def put_candidate(config: Configuration, model: str, candidate: Path) -> bool:
    """Make a bundle the candidate of a model; whether a monitor runs that has begun with it.

    Without one the next start begins with it. Raises AezError for a bundle that cannot stand in for the model, and
    where the monitor refuses it.
    """
    if not candidate.is_file():
        raise InvalidArgument(f"there is no file {candidate}")
    (loaded,) = models.models(config, only=entry_of(config, model))
    (watched,) = models.watched(config, [loaded])
    detector = build.opened(config, watched, candidate)
    if reason := fits(watched, detector):
        raise InvalidArgument(f"{candidate} cannot stand in for model {model}: {reason}")
    folder = ShadowFolder(config.resolve(config.state.path))
    folder.put(model, candidate)
    try:
        ask(config, model, "start")
    except NoMonitor:
        return False
    except Refused:
        folder.drop(model)
        raise
    return True


def ask(config: Configuration, model: str, action: str) -> dict[str, Any]:
    """Ask the monitor that runs to start, promote or drop a model's candidate. Raises NoMonitor, Refused."""
    try:
        client = MonitorClient(config, timeout=_SECONDS)
    except InvalidArgument as error:
        raise NoMonitor(str(error)) from error
    return client.post(f"/api/shadows/{quote(model, safe='')}/{action}")


def compared(config: Configuration) -> list[dict[str, Any]]:
    """The comparisons of the monitor that runs. Raises AezError."""
    found = MonitorClient(config).get_json("/api/shadows")["shadows"]
    if not isinstance(found, list):
        raise AezError("the monitor tells no comparisons; it is of another version")
    return found
