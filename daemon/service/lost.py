"""What a run lost that has an end, said at its end: by stream and reason, however little it was or short it lasted.

While a monitor watches, a stream is named once it loses more than chance would have it, in seconds of the wall clock. A
file of months is read in some of them, and what a sender's clock did for minutes is over between two looks.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from aez.daemon.engine.engine import Engine
from aez.daemon.pipeline import Worker

__all__ = ["LostInRun"]

_log = logging.getLogger("aez.daemon.service")
#: Streams that are named; beyond that their number is told.
_NAMED = 20


class LostInRun:
    """Begins with what the engine's streams lost in runs before, which is not this run's."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._before = engine, engine.lost()

    def tell(self, worker: Worker) -> None:
        """Say in the log what was lost since; the worker rests."""
        found: dict[str, Counter[str]] = {}
        for stream, counts in self._engine.lost().items():
            found[stream] = Counter(counts) - Counter(self._before.get(stream, {}))
        refused, of_sources = worker.refusals.counts()
        for stream, more in refused.items():
            found[stream] = found.get(stream, Counter()) + Counter(more)
        losers = sorted((-counts.total(), stream) for stream, counts in found.items() if counts)
        for _, stream in losers[:_NAMED]:
            _log.warning("in this run samples of stream %s were not scored: %s", stream, _said(found[stream]))
        if rest := losers[_NAMED:]:
            sums: Counter[str] = sum((found[stream] for _, stream in rest), Counter())
            _log.warning("in this run samples of %d more streams were not scored: %s", len(rest), _said(sums))
        by_source: dict[str, Counter[str]] = {}
        for (source, reason), count in of_sources.items():
            by_source.setdefault(source, Counter())[reason] += count
        for source, counts in by_source.items():
            _log.warning("in this run messages of source %s could not be used: %s", source, _said(counts))


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items(), key=lambda one: -one[1]))
