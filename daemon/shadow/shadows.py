"""All candidates of a monitor, and the one thread that scores with them.

Guarantees: they hold nothing up and raise no alarms. What waits takes at most `QUEUE_BYTES`; rows beyond that are left
out and counted in the candidate's figures. What fails in a candidate ends it, with a line in the log, and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

from aez.daemon.engine.rows import ScoredRows
from aez.daemon.shadow.candidate import Candidate
from aez.daemon.shadow.folder import ShadowFolder

__all__ = ["QUEUE_BYTES", "Shadows"]

_log = logging.getLogger(__name__)
QUEUE_BYTES = 64 << 20
_KEEP_SECONDS = 10.0
_IDLE_SECONDS = 0.5


class Shadows:
    """Takes what was scored (`take`) and lets the candidate of that model score it, too. Any thread may call it."""

    def __init__(self, folder: ShadowFolder, queue_bytes: int = QUEUE_BYTES) -> None:
        self.folder = folder
        self._room = queue_bytes
        self._candidates: dict[str, Candidate] = {}
        self._waiting: deque[tuple[Candidate, ScoredRows, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._using = threading.Lock()  # held while rows are scored, and while figures are read
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, candidates: dict[str, Candidate]) -> None:
        """Go on with these, by their models' names."""
        self._keep()
        with self._changed:
            self._candidates = dict(candidates)
            if candidates and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
                self._thread.start()

    def get(self, model: str) -> Candidate | None:
        """The candidate of a model."""
        return self._candidates.get(model)

    def candidates(self) -> dict[str, Candidate]:
        """All of them, a copy."""
        return dict(self._candidates)

    def take(self, scored: ScoredRows) -> None:
        """Rows that were scored; nothing of them may be changed afterwards."""
        candidate = self._candidates.get(scored.model)
        if candidate is None:
            return
        size = scored.rows.values.nbytes + 32 * len(scored.rows)
        with self._changed:
            if self._bytes and self._bytes + size > self._room:
                candidate.comparison.skipped += len(scored.rows)
                return
            self._waiting.append((candidate, scored, size))
            self._bytes += size
            self._changed.notify_all()

    def compared(self) -> list[dict[str, Any]]:
        """The figures of all comparisons, by model: `model`, `model_id`, `candidate_id`, `figures`."""
        with self._using:
            return [
                {
                    "model": name,
                    "model_id": one.watched.detector.bundle.id,
                    "candidate_id": one.detector.bundle.id,
                    "figures": one.comparison.as_dict(),
                }
                for name, one in sorted(self._candidates.items())
            ]

    def settle(self, seconds: float) -> bool:
        """Wait until nothing waits, for at most so long; whether that came."""
        end = time.monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, max(0.0, end - time.monotonic()))

    def close(self, seconds: float) -> None:
        """Score what waits for at most so long, and keep the figures."""
        if self._thread is not None:
            self.settle(seconds)
            self._closing.set()
            with self._changed:
                self._changed.notify_all()
            self._thread.join(2.0)
        self._keep()

    def _run(self) -> None:
        kept = time.monotonic()
        while not self._closing.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set(), _IDLE_SECONDS)
                found = self._waiting.popleft() if self._waiting else None
            if found is not None:
                candidate, scored, size = found
                self._score(candidate, scored)
                with self._changed:
                    self._bytes -= size
                    self._changed.notify_all()
            if time.monotonic() - kept > _KEEP_SECONDS:
                kept = time.monotonic()
                self._keep()

    def _score(self, candidate: Candidate, scored: ScoredRows) -> None:
        name = scored.model
        if self._candidates.get(name) is not candidate:
            return  # it was dropped meanwhile
        try:
            with self._using:
                candidate.take(scored)
        except Exception:  # noqa: BLE001 - a candidate may fail; what watches must not notice
            _log.exception("the candidate of model %s failed and is compared no more", name)
            with self._changed:
                self._candidates = {other: one for other, one in self._candidates.items() if one is not candidate}

    def _keep(self) -> None:
        for name, one in list(self._candidates.items()):
            try:
                with self._using:
                    figures = one.comparison.state()
                ids = {"candidate": one.detector.bundle.id, "model": one.watched.detector.bundle.id}
                self.folder.keep(name, {**ids, "figures": figures})
            except OSError as error:
                _log.warning("figures of the candidate of model %s cannot be kept: %s", name, error.strerror or error)
