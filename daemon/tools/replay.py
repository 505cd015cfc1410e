"""Recorded files through the whole monitor, with a state of its own that is thrown away."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from aez.codec.errors import InvalidArgument
from aez.daemon.config.reader import Configuration, SinkConfig, SourceConfig
from aez.daemon.config.schema import SOURCES
from aez.daemon.service.monitor import EXIT_FORCED, Monitor

__all__ = ["replay"]

_SUFFIXES = {
    ".csv": "csv",
    ".lp": "line",
    ".line": "line",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".parquet": "arrow",
}


def replay(
    config: Configuration,
    files: Sequence[Path],
    source: str | None,
    folder: Path,
    *,
    speed: float | None = None,
    sinks: Sequence[SinkConfig] = (),
) -> dict[str, int]:
    """Score files as the source of that name (by default the first) would; `folder` takes the state and events.

    speed: seconds of the data's own time in a second; None: as fast as it goes. sinks: get the steps of events.
    Returns the numbers of `rows` and of `refused` messages. Raises InvalidArgument for no such source.
    """
    entry = next((one for one in config.sources if source in (None, one.name)), None)
    if entry is None:
        known = ", ".join(one.name for one in config.sources)
        raise InvalidArgument(f"{config.label} has no source {source!r}; it has {known}")
    options = dict(entry.options)
    options |= {"paths": [str(path.absolute()) for path in files], "follow": False, "from_beginning": True}
    if (found := {_SUFFIXES.get(path.suffix.lower()) for path in files}) and len(found) == 1 and None not in found:
        options["format"] = found.pop()
    state = {**config.state, "path": str(folder / "monitor.db"), "synchronous": "normal"}
    service = {**config.service, "dead_letters": str(folder / "dead-letters.jsonl")}
    kind = "frames" if options["format"] == "image" else "file"
    keep = {name for name in options if name in _KEYS[kind]}
    changed = dataclasses.replace(
        config,
        sources=(SourceConfig(entry.name, kind, MappingProxyType({name: options[name] for name in keep})),),
        sinks=tuple(sinks),
        scores={**config.scores, "path": None},
        state=state,
        service=service,
    )
    monitor = Monitor(changed, once=True, speed=speed)
    code = monitor.run()
    if code == EXIT_FORCED:
        raise InvalidArgument("the replay was interrupted")
    return monitor.counts()


_KEYS = {kind: frozenset(SOURCES[kind]) - {"name", "kind"} for kind in ("file", "frames")}
