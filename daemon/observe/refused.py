"""Streams of which messages are refused: how many by reason, and which lose more of them than chance would have it.

The bounds are those of samples that come and are not scored, see `aez.daemon.rows.losses`: a quarter of what came
lately, or so many in a row. The log names a stream once for each reason. Of streams that lose nothing nothing is known
here, and of no more than `_STREAMS` of the others; what is beyond is counted by source and reason alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aez.daemon.common.records import Chunk, Malformed, Samples, few

__all__ = ["RefusedStreams", "tell_sender"]

_log = logging.getLogger("aez.daemon.pipeline")
_STREAMS = 1000
#: Messages that are judged together, and the share of refused ones that is no chance, in so many windows in a row.
_WINDOW, _SHARE, _WINDOWS = 32, 0.25, 2
#: Refused ones in a row, within seconds, or at once.
_ROW, _ROW_SECONDS, _ROW_AT_ONCE = 8, 10.0, 256
#: What the configuration itself leaves out, by patterns of its own.
_BY_CHOICE = "unknown_stream"


@dataclass
class _Stream:
    """What is known of one stream. counts: refused messages by reason. losing: the reason, or nothing."""

    source: str
    counts: Counter[str] = field(default_factory=Counter)
    detail: str = ""
    losing: str = ""
    since: int = 0
    told: set[str] = field(default_factory=set)
    window: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    windows: int = 0
    row: int = 0
    row_begun: float = 0.0

    def take(self, good: int, bad: Counter[str], now: float) -> str:
        """Note messages that came at once; returns a reason that is to be told, or nothing."""
        if good:
            self.row = 0
        elif bad:
            self.row_begun = self.row_begun if self.row else now
            self.row += bad.total()
        self.seen += good + bad.total()
        self.counts += bad
        self.window += bad
        in_a_row = self.row >= _ROW_AT_ONCE or (self.row >= _ROW and now - self.row_begun >= _ROW_SECONDS)
        if self.seen < _WINDOW and not in_a_row:
            return ""
        many = self.window.total() >= _SHARE * self.seen
        self.windows = self.windows + max(1, self.seen // _WINDOW) if many else 0
        loses = in_a_row or self.windows >= _WINDOWS
        if loses and not self.losing:
            self.since = time.time_ns()
        if loses:
            self.losing = self.window.most_common(1)[0][0] if self.window else self.losing
        elif not many:
            self.losing = ""
        self.seen, self.window = 0, Counter()
        fresh = self.losing if loses and self.losing not in self.told else ""
        self.told.add(self.losing)
        return fresh


class RefusedStreams:
    """The streams of which messages were refused. `take` and `tell` are one thread's; any may ask the rest."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._others: Counter[tuple[str, str]] = Counter()
        self._fresh: list[tuple[str, str]] = []
        self._shown: set[str] = set()
        self._turn = threading.Lock()

    def take(self, source: str, samples: Sequence[Samples], malformed: Sequence[Malformed]) -> None:
        """Note what came of a source at once: rows, and messages that were refused."""
        if not (malformed or self._streams):
            return
        bad: dict[str, Counter[str]] = {}
        with self._turn:
            for letter in malformed:
                stream = self._stream(source, letter)
                if stream is None:
                    self._others[source, letter.reason] += letter.count
                else:
                    stream.detail = letter.detail if letter.data or not stream.detail else stream.detail
                    bad.setdefault(letter.stream, Counter())[letter.reason] += letter.count
            good = self._good(samples)
            now = time.monotonic()
            for name in {**bad, **good}:
                reason = self._streams[name].take(good.get(name, 0), bad.get(name, Counter()), now)
                if reason:
                    self._fresh.append((name, reason))

    def _stream(self, source: str, letter: Malformed) -> _Stream | None:
        """The stream of a letter, None where it is of none that can be kept."""
        found = self._streams.get(letter.stream)
        if found is None and letter.stream and len(self._streams) < _STREAMS:
            found = self._streams[letter.stream] = _Stream(source)
        return found

    def _good(self, samples: Sequence[Samples]) -> dict[str, int]:
        """Rows of the streams that are known here."""
        found: Counter[str] = Counter()
        for one in samples:
            places = [place for place, name in enumerate(one.streams) if name in self._streams]
            if places:
                counts = np.bincount(one.stream, minlength=len(one.streams))
                found.update({one.streams[place]: int(counts[place]) for place in places})
        return found

    def tell(self) -> None:
        """Name in the log those that lose messages since the last call, each once for each reason."""
        with self._turn:
            fresh, self._fresh = self._fresh, []
            by_cause: dict[tuple[str, str], list[str]] = {}
            for name, reason in fresh:
                by_cause.setdefault((self._streams[name].source, reason), []).append(name)
            said = [(cause, names, self._streams[names[0]].detail) for cause, names in by_cause.items()]
        for (source, reason), names, detail in said:
            if reason == _BY_CHOICE:
                _log.info("source %s: its streams leaves out %s", source, few(names))
            else:
                text = "source %s: messages of %s cannot be used (%s: %s); aez monitor tap --malformed shows them"
                _log.warning(text, source, few(names), reason, detail)

    def beside(self, counts: Mapping[str, float]) -> dict[str, float]:
        """An engine's counts, with how many streams lose messages just now: `losing.<reason>`."""
        with self._turn:
            found = Counter(one.losing for one in self._streams.values() if one.losing and one.losing != _BY_CHOICE)
            self._shown |= found.keys()  # 0 of those that are over
            more = {f"losing.{reason}": found[reason] for reason in self._shown}
        return {**counts, **{name: counts.get(name, 0) + count for name, count in more.items()}}

    def losing(self) -> list[Mapping[str, Any]]:
        """Streams that lose messages just now: stream, source, and what `entry` says."""
        with self._turn:
            names = [name for name, one in self._streams.items() if one.losing and one.losing != _BY_CHOICE]
            return [{"stream": name, "source": self._streams[name].source, **self._entry(name)} for name in names]

    def entry(self, stream: str) -> dict[str, Any]:
        """Of one stream, as in /api/streams: lost (refused messages by reason), losing, losing_since, advice."""
        with self._turn:
            return self._entry(stream)

    def _entry(self, stream: str) -> dict[str, Any]:
        found = self._streams.get(stream)
        if found is None:
            return {"lost": {}, "losing": None, "losing_since": None, "advice": None}
        loses = bool(found.losing) and found.losing != _BY_CHOICE
        said = f"its messages cannot be used: {found.detail}; aez monitor tap --malformed shows them"
        return {
            "lost": dict(found.counts),
            "losing": found.losing if loses else None,
            "losing_since": found.since if loses else None,
            "advice": said if loses else None,
        }

    def counts(self) -> tuple[dict[str, dict[str, int]], dict[tuple[str, str], int]]:
        """Refused messages by stream and reason, and by source and reason where no stream is known."""
        with self._turn:
            return {name: dict(one.counts) for name, one in self._streams.items()}, dict(self._others)


def tell_sender(chunk: Chunk, samples: Sequence[Samples], malformed: Sequence[Malformed]) -> None:
    """Let whoever sent a chunk know that nothing of it can be used."""
    if chunk.refused is None or any(map(len, samples)):
        return
    first, count = malformed[0], sum(letter.count for letter in malformed)
    more = f"; the same or the like of {count - 1} more" if count > 1 else ""
    chunk.refused(f"nothing of it can be used: {first.reason}: {first.detail}{more}")
