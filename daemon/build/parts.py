"""From a configuration's entries to what does the work: models, engine, parsers, sources, sinks."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aez.codec.common.cores import available_cores
from aez.codec.errors import AezError
from aez.daemon.build.models import LoadedModel, refused, watched
from aez.daemon.build.opening import open_sink, open_source
from aez.daemon.common.records import SIGNAL_ENDS, TIME_COLUMNS
from aez.daemon.config.own_files import own_files
from aez.daemon.config.reader import Configuration, SinkConfig, SourceConfig
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.event_records import MODEL_CHANGED, STATE_LOST
from aez.daemon.files.followed import FileOptions
from aez.daemon.incidents.desk import AlarmDesk
from aez.daemon.observe.traces import Traces
from aez.daemon.parse.names import time_columns
from aez.daemon.scores.files import Rotation
from aez.daemon.scores.log import ScoreLog, Selection
from aez.daemon.sinks.alertmanager import AlertmanagerOptions
from aez.daemon.sinks.base import Sink
from aez.daemon.sources.base import Source
from aez.daemon.sources.frames import FrameOptions
from aez.daemon.state.store import Store

__all__ = ["close_lost", "desk", "engine", "score_log", "sinks", "source", "traces"]

_log = logging.getLogger("aez.daemon.service")
_DAY = 86_400.0


def source(config: Configuration, entry: SourceConfig, *, once: bool = False) -> Source:
    """A source that is not started yet; `once` lets files end. Raises ConfigError for options it does not take."""
    options = entry.options
    if once and isinstance(options, (FileOptions, FrameOptions)):
        options = dataclasses.replace(options, follow=False)
    try:
        made = open_source(entry.kind, entry.name, options, config.limits)
    except AezError as error:
        raise refused(config, entry.line, f"source {entry.name}", error) from error
    if entry.parse.header:
        made.without_header()
    made.read_csv(entry.parse.separator, time_columns(entry.parse.time) or TIME_COLUMNS)
    made.leave_out(own_files(config))
    return made


def sinks(config: Configuration) -> dict[str, Sink]:
    """The sinks by name; they connect to nothing yet. Raises ConfigError for options that one does not take."""
    return {entry.name: _sink(config, entry) for entry in config.sinks}


def _sink(config: Configuration, entry: SinkConfig) -> Sink:
    try:
        options = entry.options
        if isinstance(options, AlertmanagerOptions) and options.page_url is None:
            options = dataclasses.replace(options, page_url=config.web.external_url)
        return open_sink(entry.kind, options)
    except AezError as error:
        raise refused(config, entry.line, f"sink {entry.name}", error) from error


def desk(config: Configuration) -> AlarmDesk:
    """What decides which steps of events are sent."""
    return AlarmDesk(config.alarms, [one.window for one in config.mutes])


def traces(config: Configuration) -> Traces | None:
    """What sends traces to a collector, where one is named. Raises ConfigError where it cannot."""
    if config.service.traces is None:
        return None
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what matters is said by ours, once
    try:
        return Traces(config.service.traces, config.service.traces_ratio)
    except AezError as error:
        raise refused(config, 1, "service.traces", error) from error


def score_log(config: Configuration, counted: Callable[[str, int], None]) -> ScoreLog | None:
    """What writes all scores, where a folder is named for them; `counted` hears of rows written and dropped."""
    options = config.scores
    if options.path is None:
        return None
    selection = Selection(options.streams, options.models, options.every, options.channel_scores, options.values)
    rotation = Rotation(options.rotate_rows, options.rotate_seconds, options.max_files, options.retention_days)
    return ScoreLog(Path(options.path), options.format, selection, rotation, counted=counted)


def engine(config: Configuration, loaded: Sequence[LoadedModel], store: Store) -> Engine:
    """The engine, its streams as they were at the last commit. Raises ConfigError.

    A stream that was not heard for nearly `forget_days` gets another day, for the monitor itself may have been away.
    """
    made = Engine(watched(config, loaded), streams=config.limits.streams, workers=_workers(config, loaded))
    now, heard, longest = time.time_ns(), store.last_heard(), _DAY * config.state.forget_days
    longest -= min(_DAY, longest / 2)
    made.restore_all(
        ((stream, state.data, min(longest, (now - heard.get(stream, now)) / 1e9)) for stream, state in store.states()),
        away=True,
    )
    return made


def close_lost(made: Engine, store: Store) -> int:
    """Close events that the store holds open and of which no stream's state knows any more; returns how many.

    That is so where a state could not be read, as one of another version, or where the monitor was killed between two
    models: nothing would ever close them. Incidents are ended by the last of their events.
    """
    known, models = made.closing | made.open_events(), {one.name for one in made.models}
    records = []
    for record in store.events.open_records():
        if record.event.get("kind") == "incident" or record.id in known:
            continue
        event = {**record.event, "ongoing": False, "reason": STATE_LOST if record.model in models else MODEL_CHANGED}
        ends = SIGNAL_ENDS.get(record.action, "close")
        records.append(dataclasses.replace(record, sequence=record.sequence + 1, action=ends, event=event))
    if records:
        _log.warning("%d open events are closed: the states of their streams are lost", len(records))
        store.commit(events=records)
    return len(records)


def _workers(config: Configuration, loaded: Sequence[LoadedModel]) -> int:
    """Threads that score; one where a GPU does it."""
    if any(one.device != "cpu" for one in loaded):
        return 1
    return int(config.service.threads or available_cores())
