"""Which files of a configuration are the monitor's own, and which patterns of sources cover one of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aez.daemon.common.own_files import OwnFiles
from aez.daemon.config.reader import Configuration

__all__ = ["own_files", "pattern_warnings"]


def own_files(config: Configuration) -> OwnFiles:
    """All that a monitor with this configuration writes, and the configuration itself."""
    state = config.resolve(config.state.path)
    files = {
        str(config.path): "the configuration",
        str(state): "state.path",
        config.service.dead_letters: "service.dead_letters",
    }
    for sink in config.sinks:
        path = getattr(sink.options, "path", None)
        if path is not None:
            files[path] = f"the file of sink {sink.name}"
    folders = {str(state.with_suffix(".pictures")): "the pictures of events"}
    if config.scores.path is not None:
        folders[config.scores.path] = "scores.path"
    return OwnFiles(files, folders)


def pattern_warnings(config: Configuration) -> list[str]:
    """A sentence for each pattern of a source that covers files of the monitor's own as they are now, or will be."""
    own, warnings = own_files(config), []
    for number, source in enumerate(config.sources):
        paths: Sequence[str] = getattr(source.options, "paths", ())
        for pattern in filter(glob.has_magic, paths):
            found = sorted({f"{name} ({what})" for name, what in _covered(config, own, pattern)})
            if found:
                warnings.append(
                    f"{config.label}:{source.line}: sources[{number}].paths: {os.path.relpath(pattern)} covers "
                    f"{', '.join(found)}, which the monitor writes itself and leaves out"
                )
    return warnings


def _covered(config: Configuration, own: OwnFiles, pattern: str) -> Iterator[tuple[str, str]]:
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - the pattern is absolute
        if what := own.what(path):
            yield Path(path).name, what
    for path, what in _written(config).items():
        if Path(path).match(pattern):
            yield Path(path).name, what


def _written(config: Configuration) -> Mapping[str, str]:
    """Files that will be there, whether they are by now or not."""
    sinks: dict[str, Any] = {sink.name: getattr(sink.options, "path", None) for sink in config.sinks}
    return {
        config.service.dead_letters: "service.dead_letters",
        **{path: f"the file of sink {name}" for name, path in sinks.items() if path is not None},
    }
