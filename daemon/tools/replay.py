"""Recorded files through the whole monitor, with a state of its own that is thrown away."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from aez.codec.errors import InvalidArgument
from aez.daemon.config.reader import Configuration, SinkConfig, SourceConfig
from aez.daemon.files.followed import FileOptions
from aez.daemon.service.monitor import EXIT_FORCED, Monitor
from aez.daemon.sources.base import SourceOptions
from aez.daemon.sources.frames import FrameOptions

__all__ = ["replay"]

_SUFFIXES = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
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
    paths = [str(path.absolute()) for path in files]
    format = _format(files, entry.format)
    options: SourceOptions
    if format == "image":
        kind, options = "frames", FrameOptions(paths=paths, follow=False)
    else:
        kind, options = "file", FileOptions.of(format=format, paths=paths, follow=False)
    state = dataclasses.replace(config.state, path=str(folder / "monitor.db"), synchronous="normal")
    service = dataclasses.replace(config.service, dead_letters=str(folder / "dead-letters.jsonl"))
    changed = dataclasses.replace(
        config,
        sources=(SourceConfig(entry.name, kind, options, entry.parse),),
        sinks=tuple(sinks),
        scores=dataclasses.replace(config.scores, path=None),
        state=state,
        service=service,
    )
    monitor = Monitor(changed, once=True, speed=speed)
    code = monitor.run()
    if code == EXIT_FORCED:
        raise InvalidArgument("the replay was interrupted")
    return monitor.counts()


def _format(files: Sequence[Path], usual: str) -> str:
    """The one format that the files' names tell, or the usual one. Raises InvalidArgument for several."""
    formats: dict[str, Path] = {}
    for path in files:
        name = path.name.lower().removesuffix(".gz")
        formats.setdefault(_SUFFIXES.get(Path(name).suffix, usual), path)
    if len(formats) > 1:
        (first, one), (second, other) = list(formats.items())[:2]
        text = f"{one} is read as {first} and {other} as {second}; replay files of one format at a time"
        raise InvalidArgument(text)
    return next(iter(formats), usual)
