"""What a monitor that runs tells pages and probes, and what they may ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from aez.daemon.engine.stream_table import StreamPages, StreamTable
from aez.daemon.frames.pictures import folder_beside, read_picture
from aez.daemon.mutes import stored
from aez.daemon.service import shadowing
from aez.daemon.service.running import Running
from aez.daemon.web.attention import attention, with_refused
from aez.daemon.web.live import Watch
from aez.daemon.web.live_client import history_data

__all__ = ["MonitorView"]

_STUCK_SECONDS = 30.0


class MonitorView:
    """Answers from copies and from the store, in other threads than the worker's. See `aez.daemon.web.server.View`.

    reload: takes the configuration anew and says what changed.
    """

    def __init__(self, running: Running, reload: Callable[[], str]) -> None:
        self._running, self.reload = running, reload
        self.live, self.metrics = running.live, running.metrics
        self._listing = StreamPages()

    def health(self) -> Sequence[str]:
        """What is wrong with the process itself."""
        worker = self._running.worker
        if worker.ended:
            return ["the worker has ended"]
        silent = time.monotonic() - worker.last_progress
        return [f"the worker made no progress for {silent:.0f} s"] if silent > _STUCK_SECONDS else []

    def readiness(self) -> Sequence[str]:
        """What is missing for the job."""
        found = [*self.health()]
        if not self._running.ready:
            found.append("it is starting or ending")
        if trouble := self._state_trouble():
            found.append(trouble)
        return found + [f"source {name}: {text}" for name, text in self._running.sources.statuses().items() if text]

    def _state_trouble(self) -> str:
        """Why nothing can be stored; empty where it can."""
        running = self._running
        if running.worker.stuck:
            return running.worker.stuck
        trouble = running.store.trouble()
        return f"the state is lost: {trouble}" if trouble else ""

    def refresh(self) -> None:
        """Bring gauges up to date."""
        running, metrics = self._running, self.metrics
        running.show_models()  # CUDA may have failed since
        metrics.queue.set(len(running.intake))
        metrics.queue_bytes.set(running.intake.size)
        metrics.lag.set(running.worker.lag)
        metrics.ready.set(not self.readiness())
        metrics.state_writable.set(not self._state_trouble())
        metrics.state_bytes.set(running.store.size)
        metrics.set_sources({name: not trouble for name, trouble in running.sources.statuses().items()})
        metrics.set_sinks(running.deliveries.statuses())
        for why, count in running.store.look(running.desk.held_now).items():
            metrics.held_events.labels(why).set(count)
        now = time.time_ns()
        metrics.mutes.set(running.store.look(lambda connection: running.desk.in_force(connection, now)))
        if running.traces is not None:
            metrics.set_counts({"errors.traces": running.traces.failures})

    def summary(self) -> Mapping[str, Any]:
        """How the whole stands: figures, sources, sinks, models, and what is wrong."""
        running = self._running
        troubles = running.sources.statuses()
        return {
            "rows": running.worker.rows,
            "refused": running.worker.refused,
            "open_events": running.store.events.count("open"),
            "lag": round(running.worker.lag, 2),
            "queue": len(running.intake),
            "sources": [
                {"name": one.name, "kind": one.kind, "trouble": troubles[one.name]}
                for one in running.config.sources
                if one.name in troubles
            ],
            "sinks": [
                {
                    "name": one.name,
                    "pending": one.pending,
                    "trouble": one.last_error,
                    "lag": round(one.lag),
                    "lost": one.dropped + one.rejected,
                }
                for one in running.deliveries.statuses()
            ],
            "models": [{"name": one.name, "id": one.id, "device": one.device} for one in running.models],
            "problems": list(self.readiness()),
            "held": running.store.look(running.desk.held_now),
            "losing": [*running.engine.losing, *_by_reason(running.worker.refusals.losing())],
            "stopped": list(running.engine.stopped),
        }

    def shadows(self) -> Sequence[Mapping[str, Any]]:
        """The candidates' comparisons, by model."""
        return self._running.shadows.compared()

    def start_shadow(self, model: str) -> None:
        """Begin with the candidate that was put in the folder beside the state."""
        shadowing.start(self._running, model)

    def promote_shadow(self, model: str) -> str:
        """Let the candidate take the place of its model; says what changed."""
        return shadowing.promote(self._running, self.reload, model)

    def drop_shadow(self, model: str) -> None:
        """Let go of a candidate."""
        shadowing.drop(self._running, model)

    def _tables(self) -> Sequence[StreamTable]:
        """How the streams stand, at most a second ago."""
        running = self._running
        found: Sequence[StreamTable] = self.live.fresh_tables() or running.worker.call(running.engine.tables, 5.0)
        return found

    def streams(
        self, *, search: str = "", state: str | None = None, offset: int = 0, limit: int = 1000
    ) -> Mapping[str, Any]:
        """A page of streams, by state and name."""
        found = self._listing.page(self._tables(), search=search, state=state, offset=offset, limit=limit)
        return found | {"streams": [self._beside_refused(one) for one in found["streams"]]}

    def _beside_refused(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        refused = self._running.worker.refusals.entry(entry["stream"])
        return with_refused(entry, refused) if refused["lost"] else entry

    def stream(self, name: str) -> Mapping[str, Any] | None:
        """One stream's entry."""
        found = self._listing.one(self._tables(), name)
        return None if found is None else self._beside_refused(found)

    def attention(self) -> Mapping[str, Any]:
        """Streams that are not wholly watched."""
        return attention(self._tables(), self._running.worker.refusals.losing())

    def watch(self, stream: str) -> Watch | None:
        """Begin to watch a stream; None where it is not known, or too many are watched."""

        def begin() -> Watch | None:
            recent = self._running.engine.recent(stream)
            return None if recent is None else self.live.watch(stream, recent)

        found: Watch | None = self.live.watched(stream) or self._running.worker.call(begin, 5.0)
        return found

    def rows(self, stream: str, count: int) -> Mapping[str, Any] | None:
        """The last rows of a stream with scores and reconstruction."""
        watch = self.watch(stream)
        entry = self.stream(stream)
        if watch is None or entry is None:
            return None
        try:
            model, rows = watch.rows()
        finally:
            self.live.unwatch(watch)
        return {**entry, **history_data(model, rows.part(slice(max(0, len(rows.row) - count), None)))}

    def events(
        self,
        *,
        stream: str | None,
        limit: int,
        open_only: bool,
        after: str | None = None,
        unseen_only: bool = False,
        incident: str | None = None,
        folded: bool = False,
    ) -> Sequence[Mapping[str, Any]]:
        """The latest events first. Raises InvalidArgument where `after` is no event's id."""
        state: Literal["open"] | None = "open" if open_only else None
        seen = False if unseen_only else None
        store = self._running.store.events
        found = store.list(
            stream=stream, limit=limit, state=state, after=after, acknowledged=seen, incident=incident, folded=folded
        )
        return [one.as_dict() for one in found]

    def acknowledge_all(self, events: Sequence[str], by: str, comment: str) -> list[str]:
        """Note that a person has seen several events; those that there are."""
        return [event for event in events if self.acknowledge(event, by, comment)]

    def curve(self, event_id: str) -> Mapping[str, Any] | None:
        """The rows of an event."""
        return self._running.store.curve(event_id)

    def adopt_stream(self, stream: str, undo: bool) -> Mapping[str, float]:
        """Take a stream's level, or give it up. Raises InvalidArgument."""
        found: dict[str, float] = {}

        def change() -> list[str]:
            found.update(self._running.engine.adopt(stream, undo))
            return []

        self._running.worker.change_streams(change)
        return found

    def mutes(self) -> Mapping[str, Any]:
        """Those that hold or will: by hand, and of the configuration."""
        now = time.time_ns()
        by_hand = self._running.store.look(lambda connection: stored.in_force(connection, now))
        windows = [one.as_dict() | {"until": one.until(now)} for one in self._running.desk.windows]
        return {"by_hand": [one.as_dict() for one in by_hand], "windows": windows}

    def mute(self, pattern: str, until: int, reason: str, by: str) -> Mapping[str, Any]:
        """Mute streams by hand. Raises InvalidArgument."""
        made = self._running.store.change(lambda connection: stored.add(connection, pattern, until, reason, by))
        return made.as_dict()

    def unmute(self, number: int) -> Mapping[str, Any]:
        """End a mute by hand. Raises InvalidArgument."""
        return self._running.store.change(lambda connection: stored.end(connection, number)).as_dict()

    def acknowledge(self, event_id: str, by: str, comment: str) -> bool:
        """Note that a person has seen an event."""
        if self._running.store.events.get(event_id) is None:
            return False
        self._running.store.events.acknowledge(event_id, by)
        if comment.strip():
            self._running.store.events.comment(event_id, by, comment)
        self.live.touched(event_id)
        return True

    def comment(self, event_id: str, by: str, text: str) -> bool:
        """Add a comment to an event."""
        if self._running.store.events.get(event_id) is None:
            return False
        self._running.store.events.comment(event_id, by, text)
        self.live.touched(event_id)
        return True

    def event(self, event_id: str) -> Mapping[str, Any] | None:
        """One event with its comments."""
        found = self._running.store.events.get(event_id)
        return None if found is None else found.as_dict()

    def forget_stream(self, stream: str) -> None:
        """Let go of a stream. Raises InvalidArgument where there is none of that name."""
        self._running.worker.change_streams(lambda: self._running.engine.forget_stream(stream))

    def reset_stream(self, stream: str) -> None:
        """Let a stream's clock begin anew. Raises InvalidArgument where there is none of that name."""
        self._running.worker.change_streams(lambda: self._running.engine.reset_stream(stream))

    def rename_stream(self, stream: str, to: str) -> None:
        """Call a stream otherwise. Raises InvalidArgument where that cannot be."""
        self._running.worker.change_streams(lambda: self._running.engine.rename_stream(stream, to))

    def picture(self, event_id: str) -> bytes | None:
        """The worst frame of an event as WebP."""
        found = self._running.store.events.get(event_id)
        if found is None or found.record.event.get("picture") != f"{found.id}.webp":
            return None
        return read_picture(folder_beside(self._running.begun.resolve(self._running.begun.state.path)), found.id)


def _by_reason(losing: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Streams that lose messages, as the engine tells of those that lose samples: reason, count, the first names."""
    found: dict[str, list[str]] = {}
    for one in losing:
        found.setdefault(one["losing"], []).append(one["stream"])
    return [{"reason": reason, "count": len(names), "streams": names[:3]} for reason, names in found.items()]
