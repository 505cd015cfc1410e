"""From a configuration's entries to what does the work: models, engine, parsers, sources, sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aez.codec.bundle import find_bundle
from aez.codec.detector import Detector
from aez.codec.errors import AezError, InvalidArgument
from aez.codec.model import TASK as IMAGE_CODEC
from aez.codec.model import ImageModel
from aez.codec.picture_detector import TASK as PICTURE_DETECTOR
from aez.codec.picture_detector import PictureDetector
from aez.codec.runtime import available_cores
from aez.daemon.config import ConfigError, Configuration, Fault, ModelConfig, SinkConfig, SourceConfig
from aez.daemon.config_schema import PARSE_KEYS, RULE_KEYS
from aez.daemon.engine import Engine, Watched
from aez.daemon.frame_pictures import FramePictures, folder_beside
from aez.daemon.frames import CodecFrames, DetectorFrames, FrameModel
from aez.daemon.limits import Limits
from aez.daemon.parse import Parser, parser
from aez.daemon.parse.options import Options
from aez.daemon.records import Chunk, Malformed, Samples
from aez.daemon.score_files import Rotation
from aez.daemon.score_log import ScoreLog, Selection
from aez.daemon.sinks import SINKS, Sink
from aez.daemon.sources import Source, open_source
from aez.daemon.store import Store
from aez.daemon.streams import Columns, Router
from aez.daemon.traces import Traces

__all__ = [
    "LoadedModel",
    "Parsers",
    "engine",
    "limits",
    "models",
    "parse_options",
    "score_log",
    "sinks",
    "source",
    "traces",
    "watched",
]

#: Frames that teach a stream's limit, where neither threshold nor warm_up is given.
_LEARNED = 100
_DAY = 86_400.0


def limits(config: Configuration) -> Limits:
    """The bounds that all parts keep to."""
    return Limits.from_mapping(config.limits)


def source(config: Configuration, entry: SourceConfig, *, once: bool = False) -> Source:
    """A source that is not started yet; `once` lets files end. Raises ConfigError for options it does not take."""
    options = {name: value for name, value in entry.options.items() if name not in PARSE_KEYS and value is not None}
    if "jetstream" in options:
        options["stream"] = options.pop("jetstream")  # as `stream` says how streams are named
    if once and "follow" in options:
        options["follow"] = False
    if entry.options.get("header") and entry.kind in ("stdin", "file"):
        options["header"] = False  # the configuration tells the columns, so the data do not
    bounds = limits(config)
    if entry.kind in ("stdin", "file"):
        options["line_bytes"] = bounds.line_bytes
    elif entry.kind == "frames":
        options["frame_bytes"] = bounds.body_bytes
    elif entry.kind == "http":
        options |= {"body_bytes": bounds.body_bytes, "connections": bounds.connections}
        options["pending_bytes"] = max(64 << 20, bounds.body_bytes)
    try:
        return open_source(entry.kind, entry.name, **options)
    except AezError as error:
        raise _refused(config, entry.line, f"source {entry.name}", error) from error


def parse_options(entry: SourceConfig) -> dict[str, Any]:
    """What the parser of a source's messages is told."""
    return {name: entry.options[name] for name in PARSE_KEYS if entry.options.get(name) is not None}


def sinks(config: Configuration) -> dict[str, Sink]:
    """The sinks by name; they connect to nothing yet. Raises ConfigError for options that one does not take."""
    return {entry.name: _sink(config, entry) for entry in config.sinks}


def _sink(config: Configuration, entry: SinkConfig) -> Sink:
    kind = SINKS[entry.kind]
    options = {name: value for name, value in entry.options.items() if value is not None}
    try:
        return kind(**options)
    except (AezError, TypeError) as error:
        raise _refused(config, entry.line, f"sink {entry.name}", error) from error


def _refused(config: Configuration, line: int, what: str, error: Exception) -> ConfigError:
    return ConfigError([Fault(config.label, line, what, str(error))])


@dataclass(frozen=True)
class LoadedModel:
    """A model that is open, and the configuration's entry that asked for it."""

    entry: ModelConfig
    detector: Detector | FrameModel

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def id(self) -> str:
        return self.detector.bundle.id

    @property
    def device(self) -> str:
        return self.detector.device

    @property
    def takes(self) -> str:
        """What it scores, in a word or two."""
        return "frames" if isinstance(self.detector, FrameModel) else f"{len(self.detector.channels)} channels"


def models(config: Configuration, *, only: ModelConfig | None = None) -> list[LoadedModel]:
    """Open all models, or `only` one. Raises ConfigError that names every one that cannot be used."""
    found, faults = [], []
    for entry in config.models if only is None else (only,):
        try:
            detector = _opened(config, entry)
        except AezError as error:
            faults.append(Fault(config.label, entry.line, f"model {entry.name}", str(error)))
            continue
        found.append(LoadedModel(entry, detector))
    if faults:
        raise ConfigError(faults)
    return found


def _opened(config: Configuration, entry: ModelConfig) -> Detector | FrameModel:
    """What the bundle of a model is made for. Raises AezError."""
    bundle = find_bundle(Path(entry.path) if Path(entry.path).is_absolute() else entry.path)
    device, threads = config.service["device"], config.service["threads"]
    options = entry.options
    for name in ("threshold", "quality"):
        if options[name] is not None and bundle.task != IMAGE_CODEC:
            raise InvalidArgument(f"{name} is for image codecs, and this is a {bundle.task}; set limits instead")
    if bundle.task not in (IMAGE_CODEC, PICTURE_DETECTOR):
        return Detector(bundle, device, 1)  # batches run side by side instead, see `engine`
    for name in ("columns", "period", "lateness"):
        if options[name]:
            raise InvalidArgument(f"{name} is for telemetry, and this model watches frames; take it out")
    made: FrameModel
    if bundle.task == PICTURE_DETECTOR:
        made = DetectorFrames(PictureDetector(bundle, device, threads))
    else:
        made = CodecFrames(ImageModel(bundle, device, threads), options["quality"] or 50.0, options["threshold"])
        if made.learns and options["adapt"]:
            raise InvalidArgument("adapt needs a threshold; without one each stream's limit is learned once")
    if config.state["pictures"]:
        folder = folder_beside(config.resolve(config.state["path"]))
        lowest = min([1.0, *options["limits"].values()]) / (options["reach"] if options["adapt"] else 1.0)
        made.pictures = FramePictures(folder, config.state["pictures"], least=None if made.learns else lowest / 2)
    return made


def watched(config: Configuration, loaded: Sequence[LoadedModel]) -> list[Watched]:
    """The models as an engine takes them. Raises ConfigError for settings that do not fit a model."""
    return [_watched(config, one) for one in loaded]


def _watched(config: Configuration, one: LoadedModel) -> Watched:
    entry, options = one.entry, dict(one.entry.options)
    changes = {name: value for name in RULE_KEYS if (value := options.pop(name)) is not None}
    for of_codecs in ("threshold", "quality"):
        del options[of_codecs]
    if isinstance(one.detector, FrameModel):
        if one.detector.learns:
            options["learn"] = options["warm_up"] or _LEARNED
        if one.detector.pictures is not None:
            options["illustrate"] = one.detector.pictures.illustrate
    try:
        made = Watched(
            entry.name,
            one.detector,
            entry.streams,
            rule=replace(one.detector.event_rule, **changes),
            **{name: value for name, value in options.items() if value is not None},
        )
        Columns(one.detector.channels, dict(made.columns))
    except AezError as error:
        raise _refused(config, entry.line, f"model {entry.name}", error) from error
    return made


def traces(config: Configuration) -> Traces | None:
    """What sends traces to a collector, where one is named. Raises ConfigError where it cannot."""
    if config.service["traces"] is None:
        return None
    try:
        return Traces(config.service["traces"], config.service["traces_ratio"])
    except AezError as error:
        raise _refused(config, 1, "service.traces", error) from error


def score_log(config: Configuration, counted: Callable[[str, int], None]) -> ScoreLog | None:
    """What writes all scores, where a folder is named for them; `counted` hears of rows written and dropped."""
    options = config.scores
    if options["path"] is None:
        return None
    selection = Selection(
        options["streams"], options["models"], options["every"], options["channel_scores"], options["values"]
    )
    rotation = Rotation(
        options["rotate_rows"], options["rotate_seconds"], options["max_files"], options["retention_days"]
    )
    return ScoreLog(Path(options["path"]), options["format"], selection, rotation, counted=counted)


def engine(config: Configuration, loaded: Sequence[LoadedModel], store: Store) -> Engine:
    """The engine, its streams as they were at the last commit. Raises ConfigError.

    A stream that was not heard for nearly `forget_days` gets another day, for the monitor itself may have been away.
    """
    made = Engine(watched(config, loaded), streams=config.limits["streams"], workers=_workers(config, loaded))
    now, heard, longest = time.time_ns(), store.last_heard(), _DAY * config.state["forget_days"]
    longest -= min(_DAY, longest / 2)
    made.restore_all(
        (stream, state.data, min(longest, (now - heard.get(stream, now)) / 1e9)) for stream, state in store.states()
    )
    return made


def _workers(config: Configuration, loaded: Sequence[LoadedModel]) -> int:
    """Threads that score; one where a GPU does it."""
    if any(one.device != "cpu" for one in loaded):
        return 1
    return int(config.service["threads"] or available_cores())


class Parsers:
    """Parses the chunks of all sources, each by its own options; the format is the chunk's.

    admit: whether a stream of that name may come in, asked once for each new one. models: those that watch frames
    measure them here; progress: is called before each frame. Raises ConfigError.
    """

    def __init__(
        self,
        config: Configuration,
        admit: Callable[[str], bool] | None = None,
        models: Sequence[LoadedModel] = (),
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._progress = progress
        self._limits, self._admit = limits(config), admit
        self._models, self._router = models, Router([one.entry.streams for one in models])
        self._entries = {entry.name: entry for entry in config.sources}
        self._made: dict[tuple[str, str], Parser] = {}
        for entry in config.sources:
            try:
                self._parser(entry.name, entry.options["format"])
            except AezError as error:
                raise _refused(config, entry.line, f"source {entry.name}", error) from error

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        """Samples and malformed messages of chunks of one source and format; none of a source that was taken out."""
        if chunks[0].source not in self._entries:
            return [], []
        return self._parser(chunks[0].source, chunks[0].format).parse_many(chunks)

    def _parser(self, source: str, kind: str) -> Parser:
        made = self._made.get((source, kind))
        if made is None:
            options = Options.from_mapping(parse_options(self._entries[source]))
            made = self._made[source, kind] = parser(kind, options, self._limits, self._admit, self._frames)
        return made

    def _frames(self, stream: str) -> FrameModel | None:
        """The model that watches a stream's frames: the first that takes the stream, if it is one of pictures."""
        self._progress()
        place = self._router.model(stream)
        model = None if place is None else self._models[place].detector
        if not isinstance(model, FrameModel):
            return None
        model.progress = self._progress
        return model
