"""`aez monitor tap`: what comes in, as the monitor reads it, a line for each sample."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.codec.common.words import iso_time
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.monitor.config import config_argument, load_config, needs_monitor, plain

if TYPE_CHECKING:
    from aez.daemon.common.records import Malformed, Samples
    from aez.daemon.config.reader import Configuration, SourceConfig
    from aez.daemon.tools.tap import Tap

_SHOWN_COLUMNS = 40
_REMEMBERED = 100_000  # names that the summary tells apart
_WIDEST_STREAM = 40
_USUAL = 9  # characters of most values, with the sign of equality


@click.command()
@config_argument
@click.option("--source", metavar="NAME", help="This source alone; all of them by default.")
@click.option("--stream", metavar="PATTERN", help="Samples of these streams alone, such as 'sat-*'.")
@click.option("--rows", type=click.IntRange(1), help="End after so many lines.")
@click.option("--malformed", "malformed_only", is_flag=True, help="Show only what cannot be used, and why.")
@click.option("--from-start", is_flag=True, help="Begin with what files and JetStream hold already.")
@options.as_json
def tap(
    config: Path,
    source: str | None,
    stream: str | None,
    rows: int | None,
    malformed_only: bool,
    from_start: bool,
    as_json: bool,
) -> None:
    """Show what comes in, parsed as the monitor would, until Ctrl+C; a monitor that runs takes no notice.

    A source that takes pushes over HTTP can be looked at only while no monitor listens at its port; senders are told
    that nothing was stored.
    """
    found = load_config(config)
    entries = _chosen(found, source)
    seen = _Seen(stream, malformed_only, as_json)
    with needs_monitor():
        from aez.daemon.observe import logs
        from aez.daemon.tools.tap import Tap

        logs.set_up(found.service.log, "warning")
        if source is None:
            entries = _reachable(found, entries)
        try:
            with Tap(found, entries, from_start=from_start) as opened:
                for line in _lines(opened, seen):
                    messages.result(line)
                    if seen.shown == rows:
                        break
        except KeyboardInterrupt:
            pass
    messages.summary(seen.summary())


def _reachable(config: Configuration, entries: list[SourceConfig]) -> list[SourceConfig]:
    """Those whose port can be had; a warning for each other one. Raises PortTaken where there is but that one."""
    from aez.daemon.tools.tap import PortTaken, source_beside

    found = []
    for entry in entries:
        try:
            source_beside(config, entry)
        except PortTaken as error:
            if len(entries) == 1:
                raise
            messages.warning(str(error))
        else:
            found.append(entry)
    return found


def _lines(opened: Tap, seen: _Seen) -> Iterator[str]:
    for name, samples, malformed in opened.looks():
        yield from seen.lines(name, samples, malformed)


def _chosen(config: Configuration, name: str | None) -> list[SourceConfig]:
    entries = [one for one in config.sources if name in (None, one.name)]
    if not entries:
        known = ", ".join(one.name for one in config.sources)
        raise InvalidArgument(f"{config.label} has no source {name!r}; it has {known}")
    return entries


class _Seen:
    """Makes lines of what came, and counts it. shown: lines so far."""

    def __init__(self, stream: str | None, malformed_only: bool, as_json: bool) -> None:
        self.shown = 0
        self._pattern, self._malformed_only, self._as_json = stream, malformed_only, as_json
        self._rows = self._other_rows = 0
        self._other = ""
        self._streams: set[str] = set()
        self._columns: set[str] = set()
        self._reasons: Counter[str] = Counter()
        self._widths: dict[str, int] = {}
        self._stream_width = 0

    def lines(self, source: str, samples: list[Samples], malformed: list[Malformed]) -> Iterator[str]:
        """A line for each sample and malformed message that is wanted; all that came is counted as it is shown."""
        for batch in samples:
            wanted = [self._pattern is None or fnmatch.fnmatchcase(name, self._pattern) for name in batch.streams]
            _remember(self._columns, batch.columns)
            for row in range(len(batch)):
                if not wanted[batch.stream[row]]:
                    self._other_rows += 1
                    self._other = self._other or batch.streams[batch.stream[row]]
                    continue
                self._rows += 1
                _remember(self._streams, (batch.streams[batch.stream[row]],))
                if not self._malformed_only:
                    self.shown += 1
                    yield self._sample(source, batch, row)
        for letter in malformed:
            self._reasons[letter.reason] += letter.count
            self.shown += 1
            yield self._letter(source, letter)

    def summary(self) -> str:
        """One line: rows, streams, columns, and what could not be used by reason."""
        refused = ", ".join(f"{count:,} {reason}" for reason, count in self._reasons.most_common())
        said = f"{self._rows:,} rows of {len(self._streams):,} streams, {len(self._columns):,} columns"
        if self._other_rows:
            said += f", {self._other_rows:,} rows of others, such as {plain(self._other)}"
        return f"{said}; malformed: {refused or 'none'}"

    def _sample(self, source: str, batch: Samples, row: int) -> str:
        name = batch.streams[batch.stream[row]]
        time, values = int(batch.time[row]), batch.values[row].tolist()
        cells = zip(batch.columns, values, strict=True)
        if self._as_json:
            data: dict[str, Any] = {
                "source": source,
                "stream": name,
                "time": time,
                "time_utc": iso_time(time, decimals=3),
            }
            data["values"] = {column: None if value != value else value for column, value in cells}
            if tags := batch.tags.get(name):
                data["tags"] = dict(tags)
            return json.dumps(data)
        self._stream_width = min(_WIDEST_STREAM, max(self._stream_width, len(name)))
        shown = [self._cell(column, value) for column, value in cells if value == value][:_SHOWN_COLUMNS]
        missing = len(batch.columns) - len(shown)
        more = [f"({missing} more or missing)"] if missing else []
        return "  ".join([iso_time(time, decimals=3), plain(name).ljust(self._stream_width), *shown, *more]).rstrip()

    def _cell(self, column: str, value: float) -> str:
        text = f"{plain(column)}={value:.6g}"
        if len(self._widths) > _REMEMBERED:
            self._widths.clear()
        width = self._widths[column] = max(self._widths.get(column, len(column) + _USUAL), len(text))
        return text.ljust(width)

    def _letter(self, source: str, letter: Malformed) -> str:
        if self._as_json:
            return json.dumps(
                {
                    "source": source,
                    "malformed": letter.reason,
                    "detail": letter.detail,
                    "count": letter.count,
                    "data": letter.data.decode("utf-8", "backslashreplace"),
                }
            )
        data = plain(letter.data[:80].decode("utf-8", "replace").strip())
        more = f" ({letter.count:,} times)" if letter.count > 1 else ""
        return f"{'malformed':24}  {letter.reason}{more}: {plain(letter.detail)} {data}".rstrip()


def _remember(known: set[str], names: Any) -> None:
    if len(known) < _REMEMBERED:
        known.update(names)


COMMANDS = (tap,)
