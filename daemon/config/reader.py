"""The monitor's configuration: one TOML file, checked as a whole before anything starts.

Guarantees of a configuration that loads: every key is known and of its type, what belongs together agrees, models
exist, secrets could be read. What is wrong is told with file, line and key, all of it at once.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.addresses import endpoint_fault
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import Options, Secret, options_of, resolved
from aez.daemon.config.checks import Checks, Draft
from aez.daemon.config.kinds import SINKS, SOURCES, Kinds, parse_options
from aez.daemon.config.sections import Entry, Model, Scores, Service, State, Web
from aez.daemon.config.toml_lines import Path as Place
from aez.daemon.config.toml_lines import key_lines, written
from aez.daemon.config.values import Values
from aez.daemon.incidents.options import Alarms
from aez.daemon.mutes.options import MuteOptions
from aez.daemon.mutes.window import MuteWindow
from aez.daemon.parse.options import Options as ParseOptions
from aez.daemon.transform.columns import of_source
from aez.daemon.transform.table import Transform

__all__ = [
    "ConfigError",
    "Configuration",
    "Fault",
    "ModelConfig",
    "MuteConfig",
    "Secret",
    "SinkConfig",
    "SourceConfig",
    "load",
]

_CONFIG_MAX = 1 << 20
#: The tables that stand once, and what each becomes.
SECTIONS: Mapping[str, type[Options]] = {
    "service": Service,
    "limits": Limits,
    "state": State,
    "web": Web,
    "scores": Scores,
    "alarms": Alarms,
}
#: The tables that stand as often as wanted.
LISTS = ("models", "sources", "sinks")
#: And the one whose entries have neither kind nor name.
TRANSFORM = "transform"
_MUTE = "mute"


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place: `key` as people write it, empty where the file as a whole is meant."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (f"{self.file}:{self.line}", self.key, self.text) if part)


class ConfigError(InvalidArgument):
    """The configuration cannot be used; `faults` says all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: (fault.line, fault.key))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{self.faults[0]}{more}")


@dataclass(frozen=True)
class SourceConfig:
    """One source: its name, its kind and that kind's options; `line` is where it stands.

    parse: how its messages are read, `aez.daemon.parse.options.Options`.
    """

    name: str
    kind: str
    options: Options
    parse: Any
    line: int = field(default=1, compare=False)

    @property
    def format(self) -> str:
        """What its messages are."""
        return str(getattr(self.options, "format"))  # noqa: B009 - every kind of source has it


@dataclass(frozen=True)
class SinkConfig:
    """One sink: its name, its kind and that kind's options; `line` is where it stands."""

    name: str
    kind: str
    options: Options
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class ModelConfig:
    """One kind of streams and what scores them; the options' path is a file's or a model's name."""

    name: str
    options: Model
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class MuteConfig:
    """A window in which streams are muted; `line` is where its end stands, or it."""

    window: MuteWindow
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Configuration:
    """A whole configuration; secrets are resolved.

    path: of the file; `label` as it was given. version: changes when the file's content does.
    """

    path: Path
    label: str
    version: str
    service: Service
    limits: Limits
    state: State
    web: Web
    scores: Scores
    models: tuple[ModelConfig, ...]
    sources: tuple[SourceConfig, ...]
    sinks: tuple[SinkConfig, ...]
    alarms: Alarms
    mutes: tuple[MuteConfig, ...]

    def past_mutes(self, now: int) -> list[Fault]:
        """Mutes that are over at a time, ns since 1970 UTC: they mute nothing any more."""
        return [
            Fault(self.label, one.line, f"mute[{number}].until", "it is past, so that it mutes nothing; take it out")
            for number, one in enumerate(self.mutes)
            if one.window.ends is not None and one.window.ends <= now
        ]

    def resolve(self, name: str) -> Path:
        """A path of the configuration: relative ones begin at the file's folder."""
        return resolved(self.path.parent, name)


def load(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Configuration:
    """Read and check a configuration file. Raises ConfigError (exit code 2) with everything that is wrong.

    `environment` stands for the process's own.
    """
    label = os.fspath(path)
    first = "" if Path(path).suffix.lower() in ("", ".toml") else "; the configuration comes first, a .toml file"
    try:
        with Path(path).open("rb") as file:
            data = file.read(_CONFIG_MAX + 1)
    except OSError as error:
        raise ConfigError([Fault(label, 1, "", f"it cannot be read: {error.strerror or error}")]) from error
    if len(data) > _CONFIG_MAX:
        raise ConfigError([Fault(label, 1, "", f"it has more than 1 MiB, so it is hardly a configuration{first}")])
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(label, line, "", f"it is not UTF-8 text{first}")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_fault(label, str(error), first)]) from error
    except ValueError as error:  # Python reads no whole number of more than 4,300 digits
        raise ConfigError([Fault(label, 1, "", "a whole number in it has too many digits")]) from error
    except RecursionError as error:
        raise ConfigError([Fault(label, 1, "", _TOO_DEEP)]) from error
    try:
        lines = key_lines(text)
    except RecursionError as error:
        raise ConfigError([Fault(label, 1, "", _TOO_DEEP)]) from error
    reader = _Reader(label, lines, os.environ if environment is None else environment, Path(path).parent)
    found = reader.read(document)
    if reader.faults:
        raise ConfigError(reader.faults)
    return Configuration(Path(path).absolute(), label, hashlib.sha256(data).hexdigest()[:12], **found)


_RENAME = "it has a table of its own now: write [[transform]] with source, columns and rename, once for each column"
_TOO_DEEP = "its arrays or tables are nested too deeply"


def _syntax_fault(label: str, message: str, first: str) -> Fault:
    line = message.partition("at line ")[2].partition(",")[0]
    reason = message.partition(" (at ")[0]
    said = f"this is not TOML: {reason[:1].lower()}{reason[1:]}{first}"
    return Fault(label, int(line) if line.isdigit() else 1, "", said)


class _Reader:
    """Turns a parsed document into the parts of a configuration, and notes what is wrong."""

    def __init__(self, label: str, lines: Mapping[Place, int], environment: Mapping[str, str], folder: Path) -> None:
        self.label, self.lines, self.folder = label, lines, folder
        self.faults: list[Fault] = []
        self._values = Values(folder, environment, self.fault)
        self._told: set[Place] = set()

    def fault(self, place: Place, text: str, key: str | None = None) -> None:
        at: Place = place
        while at and at not in self.lines:
            at = at[:-1]
        self.faults.append(Fault(self.label, self.lines.get(at, 1), written(place) if key is None else key, text))

    def read(self, document: dict[str, Any]) -> dict[str, Any]:
        """The parts by name; nothing where there are faults."""
        self._values.unknown((), document, (*SECTIONS, *LISTS, TRANSFORM, _MUTE))
        sections = {
            name: self._values.table((name,), document.get(name, {}), options_of(section))
            for name, section in SECTIONS.items()
        }
        models, sources, sinks = self._models(document), self._sources(document), self._sinks(document)
        self._transforms = self._read_transforms(document)
        mutes = self._mutes(document)
        for name in ("models", "sources"):
            if not document.get(name):
                self.fault((name,), f"there is none; add [[{name}]]")
        if sections["service"]["traces"] is not None and (fault := endpoint_fault(sections["service"]["traces"])):
            self.fault(("service", "traces"), fault)
        if document.get("scores") and sections["scores"]["path"] is None:
            self.fault(("scores", "path"), "it is missing; name the folder that the scores go to")
        checks = Checks(self.lines, self.fault)
        for table in LISTS:
            checks.names(table, self._tables(document, table))
        checks.models_of_scores(sections["scores"]["models"], models)
        checks.transforms(self._transforms, sources)
        checks.ports(sections["web"], sources)
        checks.certificates(sections["web"], sources + sinks)
        checks.own_files(sections, sources, sinks)
        checks.sessions(sources + sinks)
        if self.faults:
            return {}
        return {name: section(**sections[name]) for name, section in SECTIONS.items()} | {
            "models": tuple(ModelConfig(one.name, Model(**one.values), self._line(one)) for one in models),
            "sources": tuple(filter(None, map(self._source, sources))),
            "sinks": tuple(filter(None, map(self._sink, sinks))),
            "mutes": mutes,
        }

    def _mutes(self, document: dict[str, Any]) -> tuple[MuteConfig, ...]:
        found = []
        for place, given in self._tables(document, _MUTE):
            # TOML has times of its own; here they are texts like all others.
            texts = {name: one.isoformat() if hasattr(one, "isoformat") else one for name, one in given.items()}
            before = len(self.faults)
            values = self._values.table(place, texts, options_of(MuteOptions))
            if len(self.faults) > before:
                continue
            try:
                window = MuteOptions(**values).window()
            except InvalidArgument as error:
                key, _, text = str(error).partition(": ")
                self.fault((*place, key), text)
                continue
            found.append(MuteConfig(window, self.lines.get((*place, "until"), self.lines.get(place, 1))))
        return tuple(found)

    def _line(self, draft: Draft) -> int:
        return self.lines.get(draft.place, 1)

    def _source(self, draft: Draft) -> SourceConfig | None:
        try:
            options = _taken(SOURCES.options(draft.kind), draft.values)
            parse = replace(
                _taken(ParseOptions, draft.values), transforms=of_source(list(self._transforms.values()), draft.name)
            )
        except InvalidArgument as error:
            self._refused(draft, "source", str(error))
            return None
        return SourceConfig(draft.name, draft.kind, options, parse, self._line(draft))

    def _sink(self, draft: Draft) -> SinkConfig | None:
        try:
            options = _taken(SINKS.options(draft.kind), draft.values)
        except InvalidArgument as error:
            self._refused(draft, "sink", str(error))
            return None
        return SinkConfig(draft.name, draft.kind, options, self._line(draft))

    def _refused(self, draft: Draft, what: str, text: str) -> None:
        """Options that do not go together, at the key that the text begins with where it begins with one."""
        name, _, rest = text.partition(": ")
        keys = [key for key in (name, f"{name}_env", f"{name}_file") if (*draft.place, key) in self.lines]
        if rest and keys and name in draft.values:
            self.fault((*draft.place, keys[0]), rest)
        else:
            self.fault(draft.place, text, f"{what} {draft.name}")

    def _read_transforms(self, document: dict[str, Any]) -> dict[Place, Transform]:
        """The transforms by their places."""
        found = {}
        for place, given in self._tables(document, TRANSFORM):
            before = len(self.faults)
            values = self._values.table(place, given, options_of(Transform))
            if len(self.faults) > before:
                continue
            try:
                found[place] = Transform(**values)
            except InvalidArgument as error:
                key, _, text = str(error).partition(": ")
                self.fault((*place, key), text)
        return found

    def _models(self, document: dict[str, Any]) -> list[Draft]:
        drafts = []
        for place, given in self._tables(document, "models"):
            values = self._values.table(place, given, options_of(Model))
            path = values["path"]
            if path is None:
                continue
            self._check_model((*place, "path"), path)
            low, high = values["period_seconds"], values["silent_seconds"]
            if low is not None and high is not None and high <= low:
                self.fault((*place, "silent_seconds"), f"{high:g} s is not longer than the period of {low:g} s")
            if not all(values["streams"]):
                self.fault((*place, "streams"), "a pattern is empty; * stands for all streams")
            values["path"] = self._model_path(path)
            drafts.append(Draft(place, str(values["name"] or Path(path).stem), "model", values))
        return drafts

    def _sources(self, document: dict[str, Any]) -> list[Draft]:
        return self._drafts(document, "sources", SOURCES)

    def _sinks(self, document: dict[str, Any]) -> list[Draft]:
        return self._drafts(document, "sinks", SINKS)

    def _drafts(self, document: dict[str, Any], table: str, kinds: Kinds) -> list[Draft]:
        drafts = []
        for place, given in self._tables(document, table):
            kind = given.get("kind")
            if not isinstance(kind, str) or kind not in kinds:
                said = "it is missing" if kind is None else f"{kind!r} is no kind of {kinds.what}"
                self.fault((*place, "kind"), f"{said}; choose one of {', '.join(kinds)}")
                continue
            known = {**options_of(Entry), **options_of(kinds.options(kind))}
            if kinds is SOURCES:
                known |= parse_options(kind)
                if "rename" in given:
                    self.fault((*place, "rename"), _RENAME)
                    given = {key: value for key, value in given.items() if key != "rename"}
            values = self._values.table(place, given, known)
            drafts.append(Draft(place, str(values["name"] or kind), kind, values))
        return drafts

    def _tables(self, document: dict[str, Any], name: str) -> list[tuple[Place, dict[str, Any]]]:
        given = document.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            if (name,) not in self._told:
                self.fault((name,), f"write it as [[{name}]], with two brackets, once for each")
                self._told.add((name,))
            return []
        return [((name, index), one) for index, one in enumerate(given)]

    def _model_path(self, path: str) -> str:
        """Names of models stay as they are; a path begins at the configuration's folder."""
        if path.endswith(".aezm") or "/" in path:
            return str(resolved(self.folder, path))
        return path

    def _check_model(self, place: Place, path: str) -> None:
        where = self._model_path(path)
        if where == path and not Path(path).is_absolute():
            from aez.codec.bundle.library import (
                list_bundles,  # NumPy comes with it, and most configurations name a file
            )

            known = [listing.name for listing in list_bundles()]
            if path not in known:
                self.fault(place, f"there is no model {path!r}; for a file write its path with .aezm")
        elif not Path(where).is_file():
            self.fault(place, f"there is no file {where}")


def _taken(options: type[Any], values: Mapping[str, Any]) -> Any:
    """The options from the values of a table that holds more. Raises InvalidArgument for what does not go together."""
    return options(**{name: values[name] for name in options_of(options) if name in values})
