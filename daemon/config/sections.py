"""The tables of a configuration that are the process's own, and what every model, source and sink begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aez.daemon.common.options import Bounds, Options, about, secret
from aez.daemon.common.shared_options import ServerTls

__all__ = ["RULE_KEYS", "Entry", "Model", "Scores", "Service", "State", "Web"]

#: Keys of a model that change its rule for events.
RULE_KEYS = ("open_after", "close_after", "merge_within", "min_length")


@dataclass(frozen=True, kw_only=True)
class Service(Options):
    """`[service]`."""

    log: Literal["console", "json"] = field(default="console", metadata=about("how logs are written", live=True))
    log_level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata=about("what is logged", live=True)
    )
    queue: int = field(
        default=4096,
        metadata=about("chunks, of up to about `limits.chunk_bytes`, that wait at most", low=1, high=65536),
    )
    batch_seconds: float = field(
        default=0.005,
        metadata=about(
            "rows wait so long for others to be scored with", low=0, high=10, was={"batch_ms": "in seconds"}, live=True
        ),
    )
    commit_seconds: float = field(
        default=0.2,
        metadata=about(
            "under load the state is written so often", low=0, high=60, was={"commit_ms": "in seconds"}, live=True
        ),
    )
    drain_seconds: float = field(
        default=20.0, metadata=about("SIGTERM waits so long for what is under way", low=0, high=3600, live=True)
    )
    device: Literal["auto", "cpu", "cuda"] = field(default="auto", metadata=about("where models run", live=True))
    threads: int | None = field(
        default=None, metadata=about("threads that score; all cores by default", low=1, high=1024)
    )
    dead_letters: str = field(
        default="dead-letters.jsonl",
        metadata=about("the file of messages that could not be used", path=True, live=True),
    )
    dead_letters_bytes: int = field(
        default=2**24,
        metadata=about(
            "what that file and the one before it take at most",
            low=0,
            high=2**40,
            was={"dead_letters_mb": "in bytes"},
            live=True,
        ),
    )
    traces: str | None = field(
        default=None, metadata=about("the OTLP/HTTP collector that traces go to, such as http://localhost:4318")
    )
    traces_ratio: float = field(
        default=0.1, metadata=about("share of batches without events that are traced", low=0, high=1)
    )


@dataclass(frozen=True, kw_only=True)
class State(Options):
    """`[state]`."""

    path: str = field(default="monitor.db", metadata=about("the SQLite file of state and events", path=True))
    retention_days: float = field(
        default=90.0, metadata=about("closed events are kept so long", low=0.001, high=36_500, live=True)
    )
    retention_events: int = field(
        default=100_000, metadata=about("closed events at most", low=1, high=1_000_000_000, live=True)
    )
    pictures: int = field(
        default=500,
        metadata=about("pictures of events' worst frames that are kept; 0 for none", low=0, high=1_000_000),
    )
    curves: int = field(
        default=5000,
        metadata=about("curves of events that are kept, about 5 kB each", low=0, high=10_000_000, live=True),
    )
    forget_days: float = field(
        default=30.0, metadata=about("streams without a sample for so long are forgotten", low=0.001, high=36_500)
    )
    outbox: int = field(
        default=100_000,
        metadata=about("steps of events that are kept for sinks that are down", low=1, high=1_000_000_000),
    )
    synchronous: Literal["full", "normal"] = field(
        default="full", metadata=about("normal lets a power cut take back seconds")
    )


@dataclass(frozen=True, kw_only=True)
class Web(ServerTls):
    """`[web]`."""

    enabled: bool = field(default=True, metadata=about("whether there is a page, /metrics and the rest"))
    host: str = field(default="127.0.0.1", metadata=about("the address to listen at; 0.0.0.0 for all"))
    port: int = field(default=9464, metadata=about("the port; 0 takes a free one", low=0, high=65_535, listens=True))
    token: str | None = field(
        default=None, repr=False, metadata=secret("the token that the page, /api and /metrics ask for")
    )
    connections: int = field(
        default=100, metadata=about("open connections; further ones are closed", low=1, high=65_536)
    )
    external_url: str | None = field(
        default=None, metadata=about("of the page as people reach it, for links in what sinks send")
    )


@dataclass(frozen=True, kw_only=True)
class Scores(Options):
    """`[scores]`."""

    path: str | None = field(
        default=None, metadata=about("the folder of the files; no scores are written without", path=True)
    )
    format: Literal["parquet", "jsonl"] = field(default="parquet", metadata=about("what is written"))
    streams: Sequence[str] = field(default=("*",), metadata=about("patterns of the streams whose scores are written"))
    models: Sequence[str] = field(default=(), metadata=about("models whose scores are written; all by default"))
    every: int = field(
        default=1, metadata=about("rows whose number is a multiple of it are written", low=1, high=1_000_000_000)
    )
    channel_scores: bool = field(default=False, metadata=about("whether each channel's score is written, too"))
    values: bool = field(default=False, metadata=about("whether the rows' values are written, too"))
    rotate_rows: int = field(default=1_000_000, metadata=about("rows that make a file full", low=1, high=100_000_000))
    rotate_seconds: float = field(
        default=3600.0, metadata=about("the age that makes a file full", low=1, high=31_536_000)
    )
    max_files: int = field(default=1000, metadata=about("full files at most; the oldest go", low=1, high=10_000_000))
    retention_days: float = field(default=30.0, metadata=about("full files are kept so long", low=0.001, high=36_500))


@dataclass(frozen=True, kw_only=True)
class Model(Options):
    """`[[models]]`."""

    name: str | None = field(default=None, metadata=about("by default that of the file"))
    path: str = field(metadata=about("an .aezm file, or the name of an installed model"))
    streams: Sequence[str] = field(default=("*",), metadata=about("patterns of the streams that it scores"))
    columns: Mapping[str, str] = field(
        default_factory=dict, metadata=about("channel = column, where their names differ")
    )
    period_seconds: float | None = field(
        default=None,
        metadata=about("time between rows; the model's by default, 0 for no clock", low=0, high=1e6, was="period"),
    )
    lateness_seconds: float | None = field(
        default=None,
        metadata=about(
            "a sample may come so late; by default rows wait for the channels that are due",
            low=0,
            high=86_400,
            was="lateness",
        ),
    )
    jump_seconds: float = field(
        default=300.0,
        metadata=about(
            "a sample so far ahead of its stream, and 30 periods, is put aside until others follow; 0 for never",
            low=0,
            high=1e7,
        ),
    )
    silent_seconds: float | None = field(
        default=None,
        metadata=about(
            "a stream without a sample for so long counts as silent", low=1e-3, high=1e7, was="silent_after"
        ),
    )
    missing: Mapping[str, Bounds] = field(
        default_factory=dict,
        metadata=about(
            "how long a channel may be without a value; true for as long as in training, false for ever, or by channel"
        ),
    )
    stuck: Mapping[str, Bounds] = field(
        default_factory=dict,
        metadata=about(
            "how long a channel may stand still; true for as long as in training, false for ever, or by channel"
        ),
    )
    hold: Mapping[str, Bounds] = field(
        default_factory=dict,
        metadata=about(
            "how long a channel's last value stands where none comes, for what is sent on change only, or by channel"
        ),
    )
    no_reading: Sequence[float] = field(
        default=(), metadata=about("values that mean that there is no reading, beside those that are known")
    )
    warm_up: int = field(
        default=0, metadata=about("scored rows of a stream before its first event may open", low=0, high=10_000_000)
    )
    limits: Mapping[str, float] = field(
        default_factory=dict,
        metadata=about("pattern = limit of its streams, in thresholds of the model", low=1e-6, high=1e9),
    )
    adopt: Literal["by_hand", "when_changed"] = field(
        default="by_hand",
        metadata=about(
            "who takes the new level of a stream that moved for good: people, or the monitor",
            was={"adapt": "and takes the new level of a stream that moved for good: by_hand or when_changed"},
        ),
    )
    adopt_most: float = field(
        default=1.0,
        metadata=about("a channel's level is taken up to so many times the range that training saw", low=0, high=1e6),
    )
    threshold: float | None = field(
        default=None, metadata=about("of an image codec: dB PSNR, below it a frame is abnormal", low=1, high=99)
    )
    quality: float | None = field(
        default=None, metadata=about("of an image codec: what frames are coded with; 50 by default", low=1, high=100)
    )
    retrain_days: float | None = field(
        default=None,
        metadata=about("a candidate is trained so often from what [scores] keeps", low=0.01, high=36_500),
    )
    update_every: int = field(
        default=60, metadata=about("rows between two updates of an open event, at least", low=1, high=10_000_000)
    )
    update_growth: float = field(
        default=2.0, metadata=about("each pause between two updates is so many times the one before", low=1, high=100)
    )
    reopen_seconds: float | None = field(
        default=None,
        metadata=about(
            "an event that begins so soon behind the last one goes on with it; 60, or 60 periods, by default",
            low=0,
            high=1e7,
        ),
    )
    repeats_per_day: int = field(
        default=3,
        metadata=about(
            "events of one cause that a stream begins within a day; one more goes on with the last; 0 for any number",
            low=0,
            high=1_000_000,
        ),
    )
    changed_seconds: float = field(
        default=21_600.0,
        metadata=about(
            "an event that stays at one level for so long is a lasting change; 0 for never", low=0, high=1e9
        ),
    )
    open_after: int | None = field(
        default=None, metadata=about("rows above the threshold that open an event", low=1, high=1_000_000)
    )
    close_after: int | None = field(default=None, metadata=about("rows below it that close one", low=1, high=1_000_000))
    merge_within: int | None = field(
        default=None, metadata=about("join events that are at most so many rows apart", low=0, high=1_000_000)
    )
    min_length: int | None = field(default=None, metadata=about("drop events of fewer rows", low=1, high=1_000_000))


@dataclass(frozen=True, kw_only=True)
class Entry(Options):
    """What every source and sink has beside the options of its kind."""

    kind: str = field(metadata=about("what it is"))
    name: str | None = field(default=None, metadata=about("by default that of its kind"))
