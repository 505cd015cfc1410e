"""The monitor's configuration: one TOML file, checked as a whole before anything starts.

Guarantees of a configuration that loads: every key is known and of its type, what belongs together agrees, models
exist, secrets could be read. What is wrong is told with file, line and key, all of it at once.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.endpoints import endpoint_fault
from aez.daemon.config.schema import LIMITS, MODEL, SCORES, SERVICE, SINKS, SOURCES, STATE, WEB, Table
from aez.daemon.config.toml_lines import Path as Place
from aez.daemon.config.toml_lines import key_lines, written

__all__ = ["ConfigError", "Configuration", "Fault", "ModelConfig", "Secret", "SinkConfig", "SourceConfig", "load"]

_CONFIG_MAX = 1 << 20
_SECRET_MAX = 64 << 10
#: What a secret is called; `token` comes from `token_env` or `token_file`.
SECRETS = ("token", "password", "secret")
#: Kinds of sources that open a port of their own.
LISTENERS = ("http",)
TOP = ("service", "limits", "state", "web", "scores", "models", "sources", "sinks")


class Secret(str):
    """Text that does not show itself in logs and tracebacks; `str(secret)` is still the text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)"


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
    """One source: its name, its kind and the options of that kind, secrets resolved; `line` is where it stands."""

    name: str
    kind: str
    options: Mapping[str, Any]
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class SinkConfig:
    """One sink: its name, its kind and the options of that kind, secrets resolved; `line` is where it stands."""

    name: str
    kind: str
    options: Mapping[str, Any]
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class ModelConfig:
    """One kind of streams and what scores them; `path` is a file or a model's name, `options` the keys of `MODEL`."""

    name: str
    path: str
    streams: tuple[str, ...]
    options: Mapping[str, Any]
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Configuration:
    """A whole configuration. Its tables have all keys.

    path: of the file; `label` as it was given. version: changes when the file's content does.
    """

    path: Path
    label: str
    version: str
    service: Mapping[str, Any]
    limits: Mapping[str, Any]
    state: Mapping[str, Any]
    web: Mapping[str, Any]
    scores: Mapping[str, Any]
    models: tuple[ModelConfig, ...]
    sources: tuple[SourceConfig, ...]
    sinks: tuple[SinkConfig, ...]

    def resolve(self, name: str) -> Path:
        """A path of the configuration: relative ones begin at the file's folder."""
        return (self.path.parent / Path(name).expanduser()).absolute()


def load(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Configuration:
    """Read and check a configuration file. Raises ConfigError (exit code 2) with everything that is wrong.

    `environment` stands for the process's own.
    """
    label = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(_CONFIG_MAX + 1)
    except OSError as error:
        raise ConfigError([Fault(label, 1, "", f"it cannot be read: {error.strerror or error}")]) from error
    if len(data) > _CONFIG_MAX:
        raise ConfigError([Fault(label, 1, "", "it has more than 1 MiB, so it is hardly a configuration")])
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(label, line, "", "it is not UTF-8 text")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_fault(label, str(error))]) from error
    reader = _Reader(label, key_lines(text), os.environ if environment is None else environment, Path(path).parent)
    found = reader.read(document)
    if reader.faults:
        raise ConfigError(reader.faults)
    return Configuration(Path(path).absolute(), label, hashlib.sha256(data).hexdigest()[:12], **found)


def _syntax_fault(label: str, message: str) -> Fault:
    line = message.partition("at line ")[2].partition(",")[0]
    reason = message.partition(" (at ")[0]
    return Fault(label, int(line) if line.isdigit() else 1, "", f"this is not TOML: {reason[:1].lower()}{reason[1:]}")


class _Reader:
    """Turns a parsed document into the parts of a configuration, and notes what is wrong."""

    def __init__(self, label: str, lines: Mapping[Place, int], environment: Mapping[str, str], folder: Path) -> None:
        self.label, self.lines, self.environment, self.folder = label, lines, environment, folder
        self.faults: list[Fault] = []
        self._told: set[Place] = set()

    def fault(self, place: Place, text: str) -> None:
        at: Place = place
        while at and at not in self.lines:
            at = at[:-1]
        self.faults.append(Fault(self.label, self.lines.get(at, 1), written(place), text))

    def read(self, document: dict[str, Any]) -> dict[str, Any]:
        self._unknown((), document, TOP)
        found: dict[str, Any] = {
            "service": self._table(("service",), document.get("service", {}), SERVICE),
            "limits": self._table(("limits",), document.get("limits", {}), LIMITS),
            "state": self._table(("state",), document.get("state", {}), STATE),
            "web": self._table(("web",), document.get("web", {}), WEB),
            "scores": self._table(("scores",), document.get("scores", {}), SCORES),
            "models": self._models(document),
            "sources": self._kinds(document, "sources", SOURCES, SourceConfig),
            "sinks": self._kinds(document, "sinks", SINKS, SinkConfig),
        }
        for name in ("models", "sources"):
            if not document.get(name):
                self.fault((name,), f"there is none; add [[{name}]]")
        if found["service"]["traces"] is not None and (fault := endpoint_fault(found["service"]["traces"])):
            self.fault(("service", "traces"), fault)
        self._names(document)
        self._scores(document, found)
        self._ports(found)
        self._certificates(found)
        return found

    def _models(self, document: dict[str, Any]) -> tuple[ModelConfig, ...]:
        models = []
        for place, given in self._tables(document, "models"):
            values = self._table(place, given, MODEL)
            path, streams = values.pop("path", None), values.pop("streams")
            if path is None:
                continue
            self._check_model((*place, "path"), path)
            low, high = values["period"], values["silent_after"]
            if low is not None and high is not None and high <= low:
                self.fault((*place, "silent_after"), f"{high:g} s is not longer than the period of {low:g} s")
            name = str(values.pop("name", None) or Path(path).stem)
            for pattern in streams:
                if not pattern:
                    self.fault((*place, "streams"), "a pattern is empty; * stands for all streams")
            models.append(ModelConfig(name, self._model_path(path), tuple(streams), values, self.lines.get(place, 1)))
        return tuple(models)

    def _scores(self, document: dict[str, Any], found: dict[str, Any]) -> None:
        if document.get("scores") and found["scores"]["path"] is None:
            self.fault(("scores", "path"), "it is missing; name the folder that the scores go to")
        known = [one.name for one in found["models"]]
        for name in found["scores"]["models"]:
            if name not in known:
                self.fault(("scores", "models"), f"there is no model {name!r}; there is {', '.join(known)}")

    def _model_path(self, path: str) -> str:
        """Names of models stay as they are; a path begins at the configuration's folder."""
        if path.endswith(".aezm") or "/" in path:
            return str((self.folder / Path(path).expanduser()).absolute())
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

    def _kinds(
        self, document: dict[str, Any], name: str, kinds: Mapping[str, Table], make: Callable[..., Any]
    ) -> tuple[Any, ...]:
        made = []
        for place, given in self._tables(document, name):
            kind = given.get("kind")
            if not isinstance(kind, str) or kind not in kinds:
                known = ", ".join(kinds)
                said = "it is missing" if kind is None else f"{kind!r} is no kind of {name.removesuffix('s')}"
                self.fault((*place, "kind"), f"{said}; choose one of {known}")
                continue
            values = self._table(place, given, kinds[kind])
            values.pop("kind")
            made.append(make(str(values.pop("name", None) or kind), kind, values, self.lines.get(place, 1)))
        return tuple(made)

    def _tables(self, document: dict[str, Any], name: str) -> list[tuple[Place, dict[str, Any]]]:
        given = document.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            if (name,) not in self._told:
                self.fault((name,), f"write it as [[{name}]], with two brackets, once for each")
                self._told.add((name,))
            return []
        return [((name, index), one) for index, one in enumerate(given)]

    def _table(self, place: Place, given: Any, schema: Table) -> dict[str, Any]:
        """All keys of a table, defaults filled in and secrets resolved; what is wrong keeps its default."""
        if not isinstance(given, dict):
            self.fault(place, f"it is a table; write [{written(place)}]")
            given = {}
        self._unknown(place, given, schema)
        values: dict[str, Any] = {}
        for name, key in schema.items():
            if name not in given:
                if key.required:
                    self.fault((*place, name), "it is missing")
                values[name] = key.default
                continue
            reason = key.wrong(given[name])
            if reason:
                self.fault((*place, name), reason)
            values[name] = key.default if reason else key.plain(given[name], self.folder)
        self._secrets(place, values)
        return values

    def _secrets(self, place: Place, values: dict[str, Any]) -> None:
        for name in SECRETS:
            if f"{name}_env" not in values:
                continue
            variable, file = values.pop(f"{name}_env"), values.pop(f"{name}_file")
            if variable is not None and file is not None:
                self.fault((*place, f"{name}_file"), f"give it or {name}_env, not both")
            values[name] = None
            if variable is not None:
                text = self.environment.get(variable)
                if not text:
                    self.fault((*place, f"{name}_env"), f"the environment has no {variable}")
                else:
                    values[name] = Secret(text)
            elif file is not None:
                values[name] = self._secret_file((*place, f"{name}_file"), file)

    def _secret_file(self, place: Place, name: str) -> Secret | None:
        path = self.folder / Path(name).expanduser()
        try:
            with path.open("rb") as file:
                text = file.read(_SECRET_MAX).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.fault(place, f"{path} cannot be read: {reason}")
            return None
        if not text:
            self.fault(place, f"{path} is empty")
            return None
        return Secret(text)

    def _unknown(self, place: Place, given: Mapping[str, Any], known: Any) -> None:
        for name in given:
            if name in known:
                continue
            hint = ""
            if name in SECRETS and f"{name}_env" in known:
                hint = f"; a secret does not stand in this file, write {name}_env or {name}_file"
            elif near := difflib.get_close_matches(name, known, n=1):
                hint = f"; did you mean {near[0]}?"
            self.fault((*place, name), f"there is no such key{hint}")

    def _names(self, document: dict[str, Any]) -> None:
        """Names tell positions, cursors and streams apart, so each is used once."""
        for table in ("models", "sources", "sinks"):
            seen: dict[str, int] = {}
            for place, given in self._tables(document, table):
                path = given.get("path")
                usual = Path(path).stem if table == "models" and isinstance(path, str) else given.get("kind")
                name = given.get("name", usual)
                if not isinstance(name, str):
                    continue
                if name in seen:
                    first = self.lines.get((table, seen[name]), 1)
                    at = (*place, "name") if "name" in given else place
                    self.fault(at, f"{name!r} is already the name of the one in line {first}; give them names")
                else:
                    seen[name] = place[1] if isinstance(place[1], int) else 0

    def _certificates(self, found: dict[str, Any]) -> None:
        """Certificates exist, can be read, and have their key."""
        tables: list[tuple[Place, Mapping[str, Any]]] = [(("web",), found["web"])]
        for name in ("sources", "sinks"):
            tables += [(self._place(name, one.line), one.options) for one in found[name]]
        for place, options in tables:
            certificate, key = options.get("tls_certificate"), options.get("tls_key")
            if key and not certificate:
                self.fault((*place, "tls_key"), "a key needs its tls_certificate")
            if not certificate:
                continue
            from aez.daemon.common.tls import server_context  # most configurations have none

            try:
                server_context(certificate, key)
            except InvalidArgument as error:
                self.fault((*place, "tls_certificate"), str(error))

    def _ports(self, found: dict[str, Any]) -> None:
        """Two listeners on one port are refused here, before one of them fails at the start."""
        taken: dict[int, str] = {}
        if found["web"]["enabled"] and found["web"]["port"]:
            taken[found["web"]["port"]] = f"the web page{self._in_line(('web', 'port'))}"
        for source in found["sources"]:
            port = source.options.get("port")
            if source.kind not in LISTENERS or not port:
                continue
            place = (*self._place("sources", source.line), "port")
            if port in taken:
                self.fault(place, f"port {port} is already that of {taken[port]}")
            taken.setdefault(port, f"source {source.name}{self._in_line(place)}")

    def _place(self, name: str, line: int) -> Place:
        """Of the table that begins in that line."""
        places = (place for place, at in self.lines.items() if at == line and len(place) == 2 and place[0] == name)
        return next(places, (name,))

    def _in_line(self, place: Place) -> str:
        return f" in line {self.lines[place]}" if place in self.lines else ""
