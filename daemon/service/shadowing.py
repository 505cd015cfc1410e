"""Candidates of a monitor that runs: they begin, take the place of their model, or go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.build import shadows as build
from aez.daemon.engine.watched import Watched
from aez.daemon.service.running import Running
from aez.daemon.shadow.folder import copied

__all__ = ["begin", "drop", "promote", "start"]

_one_at_a_time = threading.RLock()


def begin(running: Running) -> None:
    """Go on with the candidates that lie in the folder, as the models are now."""
    with _one_at_a_time:
        running.shadows.begin(build.candidates(running.config, running.engine.models, running.shadows.folder))


def start(running: Running, model: str) -> None:
    """Begin with the candidate that was put in the folder. Raises AezError, and then it is there no more."""
    with _one_at_a_time:
        shadows = running.shadows
        watched = _model(running, model)
        if not shadows.folder.bundle(model).is_file():
            raise InvalidArgument(f"model {model} has no candidate; give it one with aez monitor shadow start")
        try:
            made = build.candidate(running.config, watched, shadows.folder)
        except AezError:
            shadows.folder.drop(model)
            raise
        shadows.begin({**shadows.candidates(), model: made})


def drop(running: Running, model: str) -> None:
    """Let go of a model's candidate and its figures. Raises InvalidArgument where it has none."""
    with _one_at_a_time:
        shadows = running.shadows
        if model not in shadows.folder.names():
            raise InvalidArgument(f"model {model} has no candidate")
        shadows.begin({name: one for name, one in shadows.candidates().items() if name != model})
        shadows.folder.drop(model)


def promote(running: Running, reload: Callable[[], str], model: str) -> str:
    """Put the candidate's file in place of the model's and reload; says what changed.

    The file before stays beside it, as NAME.aezm.before. Raises AezError where that cannot be, and then the model's
    file is what it was.
    """
    with _one_at_a_time:
        folder = running.shadows.folder
        _model(running, model)
        if model not in running.shadows.candidates():
            raise InvalidArgument(f"model {model} has no candidate that is compared")
        target = _file(running, model)
        before = target.with_name(f"{target.name}.before")
        copied(target, before)
        copied(folder.bundle(model), target)
        try:
            changes = reload()
        except Exception:
            copied(before, target)
            raise
        drop(running, model)
        return changes


def _model(running: Running, name: str) -> Watched:
    found = {one.name: one for one in running.engine.models}
    if name not in found:
        raise InvalidArgument(f"there is no model {name!r}; there is {', '.join(found)}")
    return found[name]


def _file(running: Running, model: str) -> Path:
    """The file of a model that may be replaced. Raises InvalidArgument."""
    (entry,) = (one for one in running.config.models if one.name == model)
    path = Path(entry.options.path)
    for one in running.config.models:
        if one.name != model and Path(one.options.path) == path:
            raise InvalidArgument(f"model {model} shares {path} with model {one.name}; give it a file of its own")
    if not path.is_absolute():
        raise InvalidArgument(
            f"model {model} is an installed one ({path}), which is not replaced; name a file as its path"
        )
    return path
