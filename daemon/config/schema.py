"""The keys that a configuration may have: their types, ranges and defaults, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "LIMITS",
    "MODEL",
    "PARSE_KEYS",
    "RULE_KEYS",
    "SCORES",
    "SERVICE",
    "SINKS",
    "SOURCES",
    "STATE",
    "WEB",
    "Key",
    "Table",
]


@dataclass(frozen=True)
class Key:
    """One key. `kind`: what its value is; `low` and `high` bound numbers, `choices` texts; `help`: for people."""

    kind: str
    default: Any = None
    help: str = ""
    required: bool = False
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def wrong(self, value: Any) -> str:
        """One clause about what is wrong with a value; empty where nothing is."""
        if not _IS[self.kind](value):
            return f"it is {_WORDS[self.kind]}, not {_shown(value)}"
        if self.choices and value not in self.choices:
            return f"it is one of {', '.join(self.choices)}, not {_shown(value)}"
        if self.kind in ("whole", "number") and not self.low <= value <= self.high:
            return f"it is {_range(self.low, self.high)}, not {value}"
        if self.kind in ("text", "path") and not value:
            return "it is empty"
        return ""

    def plain(self, value: Any, folder: Path) -> Any:
        """The value as the rest of the program takes it; paths begin at `folder`."""
        if self.kind in ("path", "paths"):
            given = [value] if isinstance(value, str) else value
            found = [str((folder / Path(one).expanduser()).absolute()) for one in given]
            return found[0] if self.kind == "path" else found
        if self.kind == "number":
            return float(value)
        if self.kind == "texts":
            return [value] if isinstance(value, str) else list(value)
        return value


Table = Mapping[str, Key]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_text, value)))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


_IS = {
    "text": _is_text,
    "whole": _is_whole,
    "number": _is_number,
    "flag": lambda value: isinstance(value, bool),
    "texts": _is_texts,
    "map": _is_map,
    "numbers": _is_numbers,
    "path": _is_text,
    "paths": _is_texts,
}
_WORDS = {
    "text": "a text in quotes",
    "whole": "a whole number",
    "number": "a number",
    "flag": "true or false",
    "texts": "a text or a list of texts",
    "map": "a table of texts",
    "numbers": "a table of numbers",
    "path": "a path in quotes",
    "paths": "a path or a list of paths",
}


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _range(low: float, high: float) -> str:
    if high == math.inf:
        return f"{low:g} or more"
    return f"{low:g} to {high:g}"


def _secret(name: str, purpose: str) -> dict[str, Key]:
    return {
        f"{name}_env": Key("text", help=f"the environment's variable that holds {purpose}"),
        f"{name}_file": Key("text", help=f"the file that holds {purpose}"),
    }


def _port(default: int, purpose: str) -> Key:
    return Key("whole", default, purpose, low=0, high=65_535)


SERVICE: Table = {
    "log": Key("text", "console", "how logs are written", choices=("console", "json")),
    "log_level": Key("text", "info", "what is logged", choices=("debug", "info", "warning", "error")),
    "queue": Key("whole", 4096, "chunks, of up to about 1 MiB, that wait at most", low=1, high=65536),
    "batch_ms": Key("number", 5.0, "rows wait so long for others to be scored with", low=0, high=10_000),
    "commit_ms": Key("number", 200.0, "under load the state is written so often", low=0, high=60_000),
    "drain_seconds": Key("number", 20.0, "SIGTERM waits so long for what is under way", low=0, high=3600),
    "device": Key("text", "auto", "where models run", choices=("auto", "cpu", "cuda")),
    "threads": Key("whole", None, "threads that score; all cores by default", low=1, high=1024),
    "dead_letters": Key("text", "dead-letters.jsonl", "the file of messages that could not be used"),
    "dead_letters_mb": Key("number", 16.0, "what that file and the one before it take at most", low=0, high=1e6),
    "traces": Key("text", None, "the OTLP/HTTP collector that traces go to, such as http://localhost:4318"),
    "traces_ratio": Key("number", 0.1, "share of batches without events that are traced", low=0, high=1),
}
LIMITS: Table = {
    "line_bytes": Key("whole", 2**20, "one message of a line format", low=16, high=2**30),
    "chunk_bytes": Key("whole", 2**20, "what a source gathers into one chunk", low=1024, high=2**26),
    "body_bytes": Key("whole", 2**24, "the body of one request, or one picture", low=1024, high=2**30),
    "depth": Key("whole", 16, "objects and lists within each other", low=1, high=1000),
    "columns": Key("whole", 1000, "values of one message", low=1, high=100_000),
    "name_bytes": Key("whole", 256, "a stream's or column's name", low=1, high=65536),
    "streams": Key("whole", 20_000, "streams at once; further ones are counted and dropped", low=1, high=10_000_000),
    "connections": Key("whole", 256, "open connections of one listener", low=1, high=65536),
    "pixels": Key("whole", 2**25, "of one image; one with more is not decoded", low=64, high=178_000_000),
    "magnitude": Key("number", 1e18, "a value beyond it is malformed", low=1, high=1e300),
    "malformed": Key("whole", 100, "messages of one reason and chunk that are kept one by one", low=1, high=100_000),
}
STATE: Table = {
    "path": Key("text", "monitor.db", "the SQLite file of state and events"),
    "retention_days": Key("number", 90.0, "closed events are kept so long", low=0.001, high=36_500),
    "retention_events": Key("whole", 100_000, "closed events at most", low=1, high=1_000_000_000),
    "pictures": Key("whole", 500, "pictures of events' worst frames that are kept; 0 for none", low=0, high=1_000_000),
    "forget_days": Key("number", 30.0, "streams without a sample for so long are forgotten", low=0.001, high=36_500),
    "outbox": Key("whole", 100_000, "steps of events that are kept for sinks that are down", low=1, high=1_000_000_000),
    "synchronous": Key("text", "full", "normal lets a power cut take back seconds", choices=("full", "normal")),
}
WEB: Table = {
    "enabled": Key("flag", True, "whether there is a page, /metrics and the rest"),
    "host": Key("text", "127.0.0.1", "the address to listen at; 0.0.0.0 for all"),
    "port": _port(9464, "the port; 0 takes a free one"),
    **_secret("token", "the token that the page, /api and /metrics ask for"),
    "tls_certificate": Key("path", help="certificate, for HTTPS"),
    "tls_key": Key("path", help="its key"),
    "connections": Key("whole", 100, "open connections; further ones are closed", low=1, high=65_536),
}
SCORES: Table = {
    "path": Key("path", None, "the folder of the files; no scores are written without"),
    "format": Key("text", "parquet", "what is written", choices=("parquet", "jsonl")),
    "streams": Key("texts", ["*"], "patterns of the streams whose scores are written"),
    "models": Key("texts", [], "models whose scores are written; all by default"),
    "every": Key("whole", 1, "rows whose number is a multiple of it are written", low=1, high=1_000_000_000),
    "channel_scores": Key("flag", False, "whether each channel's score is written, too"),
    "values": Key("flag", False, "whether the rows' values are written, too"),
    "rotate_rows": Key("whole", 1_000_000, "rows that make a file full", low=1, high=100_000_000),
    "rotate_seconds": Key("number", 3600.0, "seconds that make a file full", low=1, high=31_536_000),
    "max_files": Key("whole", 1000, "full files at most; the oldest go", low=1, high=10_000_000),
    "retention_days": Key("number", 30.0, "full files are kept so long", low=0.001, high=36_500),
}
MODEL: Table = {
    "name": Key("text", help="by default that of the file"),
    "path": Key("text", required=True, help="an .aezm file, or the name of an installed model"),
    "streams": Key("texts", ["*"], "patterns of the streams that it scores"),
    "columns": Key("map", {}, "channel = column, where their names differ"),
    "period": Key("number", None, "seconds between rows; the model's by default, 0 for no clock", low=0, high=1e6),
    "lateness": Key("number", 0.0, "seconds that a sample may come late", low=0, high=86_400),
    "silent_after": Key("number", None, "seconds without a sample until a stream counts as silent", low=1e-3, high=1e7),
    "warm_up": Key("whole", 0, "scored rows of a stream before its first event may open", low=0, high=10_000_000),
    "limits": Key("numbers", {}, "pattern = limit of its streams, in thresholds of the model"),
    "adapt": Key("flag", False, "let limits follow streams that drift, but not while an event is open"),
    "risk": Key("number", 1e-4, "probability that a normal row exceeds an adapted limit", low=1e-9, high=0.0199),
    "reach": Key("number", 2.0, "an adapted limit stays between the given one over and times this", low=1.01, high=1e3),
    "threshold": Key("number", None, "of an image codec: dB PSNR, below it a frame is abnormal", low=1, high=99),
    "quality": Key("number", None, "of an image codec: what frames are coded with; 50 by default", low=1, high=100),
    "update_every": Key("whole", 60, "rows between two updates of an open event, at least", low=1, high=10_000_000),
    "open_after": Key("whole", None, "rows above the threshold that open an event", low=1, high=1_000_000),
    "close_after": Key("whole", None, "rows below it that close one", low=1, high=1_000_000),
    "merge_within": Key("whole", None, "join events that are at most so many rows apart", low=0, high=1_000_000),
    "min_length": Key("whole", None, "drop events of fewer rows", low=1, high=1_000_000),
}
#: Keys of a model that change its rule for events.
RULE_KEYS = ("open_after", "close_after", "merge_within", "min_length")
_PARSE: dict[str, Key] = {
    "name": Key("text", help="by default that of its kind"),
    "kind": Key("text", required=True),
    "format": Key("text", "json", "what messages are", choices=("json", "csv", "line", "arrow")),
    "stream": Key("text", help="the column with the stream's name, or a template such as {site}/{machine}"),
    "time": Key("text", help="the column with the time"),
    "time_unit": Key("text", help="of times that are numbers", choices=("auto", "s", "ms", "us", "ns")),
    "streams": Key("texts", [], "patterns of streams to take; others are malformed"),
    "columns": Key("texts", [], "values to take; all that are numbers by default"),
    "complete": Key("flag", False, "refuse messages without one of the columns"),
    "rename": Key("map", {}, "new name by the name in the message"),
    "tags": Key("texts", [], "further columns to keep with the stream, as text"),
    "value": Key("text", help="what a JSON message that is a bare number is called"),
    "header": Key("texts", [], "names of the columns of CSV without a line of them"),
    "separator": Key("text", ",", "of CSV"),
    "measurement_prefix": Key("flag", False, "call line protocol's columns measurement.field"),
}
#: Messages of brokers and requests may be pictures, too.
_MESSAGES: dict[str, Key] = {
    **_PARSE,
    "format": Key("text", "json", "what messages are", choices=("json", "csv", "line", "arrow", "image")),
}
#: Keys of a source that say how its messages are read.
PARSE_KEYS = tuple(name for name in _PARSE if name not in ("name", "kind", "format"))
SOURCES: Mapping[str, Table] = {
    "stdin": _PARSE,
    "file": {
        **_PARSE,
        "paths": Key("paths", required=True, help="files, or patterns such as logs/*.jsonl"),
        "follow": Key("flag", True, "go on when files grow, rotate or appear"),
        "from_beginning": Key("flag", True, "whether the first start reads what is there already"),
        "max_files": Key("whole", 500, "files open at once", low=1, high=100_000),
    },
    "frames": {
        **{name: _PARSE[name] for name in ("name", "kind", "streams")},
        "format": Key("text", "image", "what files are", choices=("image",)),
        "stream": Key("text", help="a template such as {topic[0]}-{topic[1]} of the levels of the file's folder"),
        "paths": Key("paths", required=True, help="files, or patterns such as cameras/*/*.jpg"),
        "follow": Key("flag", True, "go on when files appear"),
        "from_beginning": Key("flag", True, "whether the first start reads what is there already"),
        "settle_seconds": Key("number", 1.0, "a file is whole when nothing changed for so long", low=0.05, high=3600),
    },
    "http": {
        **_MESSAGES,
        "host": Key("text", "127.0.0.1", "the address to listen at"),
        "port": _port(8086, "the port; 8086 is InfluxDB's"),
        **_secret("token", "the token that pushes need"),
        "tls_certificate": Key("path", help="certificate, for TLS"),
        "tls_key": Key("path", help="its key"),
    },
    "mqtt": {
        **_MESSAGES,
        "host": Key("text", "127.0.0.1", "the broker"),
        "port": _port(1883, "its port"),
        "topics": Key("texts", required=True, help="topics, with the wildcards + and #"),
        "client_id": Key("text", required=True, help="names the session at the broker; each monitor needs its own"),
        "username": Key("text", help="who to be"),
        **_secret("password", "the password"),
        "tls": Key("flag", False, "whether the connection is encrypted"),
        "tls_ca": Key("path", help="certificates to trust, in place of the system's"),
        "tls_certificate": Key("path", help="our certificate"),
        "tls_key": Key("path", help="its key"),
        "version": Key("text", "5", "of MQTT", choices=("5", "3.1.1")),
        "gather_seconds": Key("number", 0.005, "messages wait so long for others", low=0, high=60),
        "receive_maximum": Key("whole", 10_000, "messages under way at once", low=1, high=65_535),
        "session_seconds": Key("whole", 604_800, "the broker keeps messages for us so long", low=0, high=2**32 - 1),
    },
    "nats": {
        **_MESSAGES,
        "servers": Key("texts", ["nats://127.0.0.1:4222"], "the servers"),
        "subject": Key("text", required=True, help="the subject, with wildcards"),
        "jetstream": Key("text", help="the JetStream stream that holds it; found by the subject by default"),
        "durable": Key("text", "aez", "the consumer's name; each monitor needs its own"),
        "username": Key("text", help="who to be"),
        **_secret("password", "the password"),
        **_secret("token", "the token"),
        "tls_ca": Key("path", help="certificates to trust, in place of the system's"),
        "tls_certificate": Key("path", help="our certificate"),
        "tls_key": Key("path", help="its key"),
    },
}
_SINK: dict[str, Key] = {
    "name": Key("text", help="by default that of its kind"),
    "kind": Key("text", required=True),
}
_LOGIN: dict[str, Key] = {
    "username": Key("text", help="who to be"),
    **_secret("password", "the password"),
    "ca_file": Key("path", help="certificates to trust, in place of the system's"),
    "timeout": Key("number", 10.0, "seconds", low=0.1, high=600),
}
SINKS: Mapping[str, Table] = {
    "console": {**_SINK, "format": Key("text", "text", "what is printed", choices=("text", "json"))},
    "json_lines": {
        **_SINK,
        "path": Key("path", required=True, help="the file"),
        "max_bytes": Key("whole", 100 << 20, "the size at which it rotates; 0 for never", low=0, high=2**40),
        "count": Key("whole", 10, "rotated files that stay", low=0, high=10_000),
        "fsync": Key("flag", True, "whether lines outlive a power cut"),
    },
    "webhook": {
        **_SINK,
        "url": Key("text", required=True, help="where to POST"),
        **_secret("secret", "the key of the HMAC signature"),
        **_secret("token", "the bearer token"),
        "headers": Key("map", {}, "further headers"),
        "batch": Key("whole", 100, "steps of events in a request at most", low=1, high=10_000),
        "ca_file": _LOGIN["ca_file"],
        "timeout": _LOGIN["timeout"],
    },
    "alertmanager": {
        **_SINK,
        "url": Key("text", required=True, help="of Alertmanager, such as http://localhost:9093"),
        "labels": Key("map", {}, "further labels"),
        "page_url": Key("text", help="of this monitor's page, for the links in alerts"),
        "resend_seconds": Key("number", 60.0, "open alerts are sent again so often", low=1, high=86_400),
        "hold_seconds": Key("number", 60.0, "an alert stays so long after its event closed", low=0, high=86_400),
        **_secret("token", "the bearer token"),
        **_LOGIN,
    },
    "mqtt": {
        **_SINK,
        "host": Key("text", "127.0.0.1", "the broker"),
        "port": _port(1883, "its port"),
        "topic": Key("text", "aez/events/{stream}", "the topic"),
        "client_id": Key("text", help="names the session at the broker"),
        "tls": Key("flag", False, "whether the connection is encrypted"),
        "retain": Key("flag", False, "whether the broker keeps the last message"),
        **_LOGIN,
    },
    "nats": {
        **_SINK,
        "url": Key("text", "nats://localhost:4222", "the server"),
        "subject": Key("text", "aez.events.{stream}", "the subject"),
        "create_stream": Key("text", help="a JetStream stream to create for them"),
        **_secret("token", "the token"),
        **_LOGIN,
    },
    "postgres": {
        **_SINK,
        "url": Key("text", required=True, help="such as postgresql://aez@db.example.org:5432/monitoring"),
        **_secret("password", "the password"),
        "schema": Key("text", "aez", "the schema of the tables; it is created when missing"),
        "retention_days": Key("number", 90.0, "closed events are kept so long", low=0.001, high=36_500),
        "retention_events": Key("whole", 1_000_000, "closed events at most", low=1, high=1_000_000_000),
        "timeout": _LOGIN["timeout"],
    },
}
