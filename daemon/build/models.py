"""Models that a configuration names, opened, and as the engine watches them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aez.codec.bundle.library import find_bundle
from aez.codec.detect.detector import Detector
from aez.codec.detect.pictures import TASK as PICTURE_DETECTOR
from aez.codec.detect.pictures import PictureDetector
from aez.codec.errors import AezError, InvalidArgument
from aez.codec.image.model import TASK as IMAGE_CODEC
from aez.codec.image.model import ImageModel
from aez.daemon.alarms.habits import Habits
from aez.daemon.config.reader import ConfigError, Configuration, Fault, ModelConfig, SourceConfig
from aez.daemon.config.sections import RULE_KEYS, Model
from aez.daemon.engine.routing import Columns
from aez.daemon.engine.watched import SECOND, Watched
from aez.daemon.frames.models import CodecFrames, DetectorFrames, FrameModel
from aez.daemon.frames.pictures import FramePictures, folder_beside
from aez.daemon.signals.rules import LEARNED_ROWS, Figures, SignalRules
from aez.daemon.sources.http_push import HttpOptions

#: An event that reopens so soon goes on, where the configuration does not say: the longer one of the two.
_REOPEN_SECONDS, _REOPEN_PERIODS = 60.0, 60
#: Frames that teach a stream's limit, where neither threshold nor warm_up is given.
_LEARNED = 100


def refused(config: Configuration, line: int, what: str, error: Exception) -> ConfigError:
    """The error as one of the configuration's, at a line."""
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
    path = entry.options.path
    bundle = find_bundle(Path(path) if Path(path).is_absolute() else path)
    device, threads = config.service.device, config.service.threads
    options = entry.options
    for name in ("threshold", "quality"):
        if getattr(options, name) is not None and bundle.task != IMAGE_CODEC:
            raise InvalidArgument(f"{name} is for image codecs, and this is a {bundle.task}; set limits instead")
    watches_frames = bundle.task in (IMAGE_CODEC, PICTURE_DETECTOR)
    if not any(_may_bring(source, frames=watches_frames) for source in config.sources):
        takes, lacks = ("frames", "pictures") if watches_frames else ("telemetry", "anything but pictures")
        formats = ", ".join(f"{source.name} ({source.format})" for source in config.sources)
        raise InvalidArgument(f"this {bundle.task} scores {takes}, and no source brings {lacks}: {formats}")
    if not watches_frames:
        return Detector(bundle, device, 1)  # batches run side by side instead, see `engine`
    for name in ("columns", "period_seconds", "lateness_seconds", "missing", "stuck", "hold", "no_reading"):
        if getattr(options, name):
            raise InvalidArgument(f"{name} is for telemetry, and this model watches frames; take it out")
    made: FrameModel
    if bundle.task == PICTURE_DETECTOR:
        made = DetectorFrames(PictureDetector(bundle, device, threads))
    else:
        made = CodecFrames(ImageModel(bundle, device, threads), options.quality or 50.0, options.threshold)
    if config.state.pictures:
        folder = folder_beside(config.resolve(config.state.path))
        lowest = min([1.0, *options.limits.values()])
        made.pictures = FramePictures(folder, config.state.pictures, least=None if made.learns else lowest / 2)
    return made


def _may_bring(source: SourceConfig, *, frames: bool) -> bool:
    """Whether a source can bring frames, or else telemetry; what is pushed says by itself what it is."""
    return isinstance(source.options, HttpOptions) or (source.format == "image") == frames


def check_channels(config: Configuration, entry: ModelConfig) -> None:
    """Whether a model has the channels that its `columns` name, as far as its bundle says. Raises ConfigError."""
    if not entry.options.columns:
        return
    try:
        channels = find_bundle(entry.options.path).coding.get("channels")
        if isinstance(channels, list):
            Columns(tuple(channels), dict(entry.options.columns))
    except AezError as error:
        raise refused(config, entry.line, f"model {entry.name}", error) from error


def report_progress(loaded: Sequence[LoadedModel], progress: Callable[[], None]) -> None:
    """Let those that watch frames, which may be slow, call `progress` at each frame and while they measure one."""
    for one in loaded:
        if isinstance(one.detector, FrameModel):
            one.detector.progress = progress


def watched(config: Configuration, loaded: Sequence[LoadedModel]) -> list[Watched]:
    """The models as an engine takes them. Raises ConfigError for settings that do not fit a model."""
    return [_watched(config, one) for one in loaded]


def _habits(options: Model, period: float | None) -> Habits:
    """How often a model's events are told of."""
    seconds = options.reopen_seconds
    if seconds is None:
        every = period if options.period_seconds is None else options.period_seconds
        seconds = max(_REOPEN_SECONDS, _REOPEN_PERIODS * (every or 0.0))
    after = round(options.changed_seconds * SECOND) or None
    return Habits(round(seconds * SECOND), options.update_growth, after, options.repeats_per_day)


def _watched(config: Configuration, one: LoadedModel) -> Watched:
    entry, options = one.entry, one.entry.options
    changes = {name: value for name in RULE_KEYS if (value := getattr(options, name)) is not None}
    frames: dict[str, Any] = {}
    if isinstance(one.detector, FrameModel):
        frames["jump"] = 0.0  # the time of a picture is that of its arrival, or of its file
        if one.detector.learns:
            frames["learn"] = options.warm_up or _LEARNED
        if one.detector.pictures is not None:
            frames["illustrate"] = one.detector.pictures.illustrate
    try:
        made = Watched(
            entry.name,
            one.detector,
            options.streams,
            options.columns,
            period=options.period_seconds,
            lateness=options.lateness_seconds,
            **({"jump": options.jump_seconds} | frames),
            silent_after=options.silent_seconds,
            warm_up=options.warm_up,
            limits=options.limits,
            adopt=options.adopt,
            adopt_most=options.adopt_most,
            rule=replace(one.detector.event_rule, **changes),
            update_every=options.update_every,
            signals=signal_rules(one.detector, options),
            habits=_habits(options, one.detector.period),
        )
        Columns(one.detector.channels, dict(made.columns))
    except AezError as error:
        raise refused(config, entry.line, f"model {entry.name}", error) from error
    return made


def signal_rules(detector: Detector | FrameModel, options: Model) -> SignalRules | None:
    """When channels count as missing or stuck; None for frames. Raises InvalidArgument for what does not fit."""
    if isinstance(detector, FrameModel):
        return None
    period = detector.period if options.period_seconds is None else options.period_seconds
    stuck, missing = _in_rows("stuck", options.stuck, period), _in_rows("missing", options.missing, period)
    hold = _in_rows("hold", options.hold, period)
    if any(map(math.isnan, hold.values())):
        raise InvalidArgument(
            'hold is rows or a time such as "10 min", as long as a sensor is silent at most, not true'
        )
    hold = {pattern: 0.0 if math.isinf(rows) else rows for pattern, rows in hold.items()}
    figures = Figures(detector.rests, detector.absences, detector.ranges, detector.sentinels)
    learn = max(LEARNED_ROWS, options.warm_up)
    return SignalRules(detector.channels, figures, stuck, missing, options.no_reading, learn, options.warm_up, hold)


def _in_rows(name: str, bounds: Mapping[str, Any], period: float | None) -> dict[str, float]:
    """Bounds by pattern in rows: infinity for ever, NaN for as it is learned. Raises InvalidArgument."""
    rows: dict[str, float] = {}
    for pattern, bound in bounds.items():
        rows[pattern] = math.nan if bound is None else bound
        if isinstance(bound, float) and math.isfinite(bound):  # seconds
            if not period:
                raise InvalidArgument(f"{name} is given as a time, and the model's rows have no period; give rows")
            rows[pattern] = max(1, math.ceil(bound / period))
    return rows
