"""Recorded files through the whole monitor, with a state of its own that is thrown away."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from aez.codec.errors import InvalidArgument
from aez.daemon.config.reader import Configuration, SinkConfig, SourceConfig
from aez.daemon.files.followed import FileOptions
from aez.daemon.service.monitor import Monitor
from aez.daemon.sources.base import SourceOptions
from aez.daemon.sources.frames import FrameOptions

__all__ = ["Replayed", "replay"]

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


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What came of a replay.

    rows: that came in. refused: messages that could not be used. unread: why not all of the files was read, or nothing.
    interrupted: whether a signal ended it before its end.
    """

    rows: int
    refused: int
    unread: str
    interrupted: bool


def replay(
    config: Configuration,
    files: Sequence[Path],
    source: str | None,
    folder: Path,
    *,
    speed: float | None = None,
    sinks: Sequence[SinkConfig] = (),
) -> Replayed:
    """Score files as the source of that name (by default the first) would; `folder` takes the state and events.

    speed: seconds of the data's own time in a second; None: as fast as it goes. sinks: get the steps of events.
    Raises InvalidArgument for no such source, and for files of several formats.
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
    monitor.run()
    counts = monitor.counts()
    unread = " ".join(monitor.running.sources.statuses().values())
    return Replayed(counts["rows"], counts["refused"], unread.rstrip("."), monitor.interrupted)


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
