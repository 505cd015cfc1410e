"""Sources of which nothing can be used: the log names each once, as long as that lasts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from aez.daemon.common.records import Malformed

__all__ = ["UnusableSources"]

_log = logging.getLogger("aez.daemon.pipeline")

#: So many messages in a row that cannot be used are no chance.
_MESSAGES = 8


class UnusableSources:
    """How many messages in a row of each source could not be used."""

    def __init__(self) -> None:
        self._row: Counter[str] = Counter()

    def take(self, source: str, rows: int, malformed: Sequence[Malformed]) -> None:
        """Note what came of a source at once: rows, and messages that could not be used."""
        before = self._row[source]
        self._row[source] = 0 if rows else before + sum(letter.count for letter in malformed)
        if before < _MESSAGES <= self._row[source]:
            last = next((letter for letter in reversed(malformed) if letter.data), malformed[-1])
            text = "source %s: nothing of what it sends can be used (%s: %s); aez monitor tap --malformed shows it"
            _log.warning(text, source, last.reason, last.detail)
