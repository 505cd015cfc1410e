"""What a reload is to change: a list of changes as data, out of the old configuration, the new one and what runs.

Nothing here opens or touches anything. `told` is what people are told of the changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aez.daemon.common.options import options_of
from aez.daemon.config.reader import Configuration, ModelConfig

__all__ = [
    "AwaitRestart",
    "Change",
    "ExchangeModels",
    "ExchangeSinks",
    "ExchangeSources",
    "RenewCertificates",
    "SetLogs",
    "Setup",
    "TakeKeys",
    "plan",
    "told",
]

#: Tables of the configuration whose keys are the process's own.
_TABLES = ("service", "limits", "state", "web", "scores", "alarms")


@dataclass(frozen=True)
class Setup:
    """A configuration, and the models that were opened for it, each as (entry, id of its bundle)."""

    config: Configuration
    models: tuple[tuple[ModelConfig, str], ...]


@dataclass(frozen=True)
class ExchangeModels:
    """Models, parsers and the worker's settings become those of the new configuration.

    This is always among the changes, for a model's file may hold another one now. others: whether one does.
    """

    others: bool


@dataclass(frozen=True)
class ExchangeSources:
    """Sources end and begin; one whose options changed does both."""

    leaving: tuple[str, ...]
    coming: tuple[str, ...]


@dataclass(frozen=True)
class ExchangeSinks:
    """All sinks end, and those of the new configuration begin."""


@dataclass(frozen=True)
class SetLogs:
    """Logs are written in another way."""

    kind: str
    level: str


@dataclass(frozen=True)
class RenewCertificates:
    """Certificates end, and are written anew under the same names: those of sources that stay, and of the page."""

    sources: tuple[str, ...]
    page: bool


@dataclass(frozen=True)
class TakeKeys:
    """Keys of the process's own tables that take their new values."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class AwaitRestart:
    """Keys that are other than at the start of the process, and stay as they were."""

    names: tuple[str, ...]


Change = ExchangeModels | ExchangeSources | ExchangeSinks | SetLogs | RenewCertificates | TakeKeys | AwaitRestart


def plan(old: Setup, new: Setup, begun: Configuration) -> list[Change]:
    """The changes from `old`, which runs, to `new`; `begun` is what the process was started with."""
    changes: list[Change] = [ExchangeModels(old.models != new.models)]
    before, after = ({one.name: one for one in setup.config.sources} for setup in (old, new))
    leaving = tuple(name for name, one in before.items() if after.get(name) != one)
    coming = tuple(name for name, one in after.items() if before.get(name) != one)
    if leaving or coming:
        changes.append(ExchangeSources(leaving, coming))
    if new.config.sinks != old.config.sinks:
        changes.append(ExchangeSinks())
    logs_before, logs = ((one.config.service.log, one.config.service.log_level) for one in (old, new))
    if logs != logs_before:
        changes.append(SetLogs(*logs))
    staying = tuple(name for name in before if name not in leaving)
    if staying or begun.web.tls_certificate:
        changes.append(RenewCertificates(staying, bool(begun.web.tls_certificate)))
    fixed = _fixed(begun, new.config)
    taken = tuple(name for name in _differing(old.config, new.config) if name not in fixed)
    if old.config.mutes != new.config.mutes:
        taken = (*taken, "mute")
    if taken:
        changes.append(TakeKeys(taken))
    if fixed:
        changes.append(AwaitRestart(fixed))
    return changes


def told(changes: Sequence[Change]) -> str:
    """What changed, in one line."""
    return "; ".join(said for one in changes if (said := _told(one))) or "nothing changed"


def _told(change: Change) -> str:
    match change:
        case ExchangeModels(others=True):
            return "models"
        case ExchangeSources(leaving, coming):
            return f"sources {', '.join(sorted({*leaving, *coming}))}"
        case ExchangeSinks():
            return "sinks"
        case TakeKeys(names):
            return ", ".join(names)
        case AwaitRestart(names):
            return f"{', '.join(names)} only with a restart"
        case _:
            return ""


def _differing(old: Configuration, new: Configuration) -> tuple[str, ...]:
    """Keys of the process's own tables that are not the same in both."""
    tables = [(name, vars(getattr(old, name)), vars(getattr(new, name))) for name in _TABLES]
    return tuple(f"{name}.{key}" for name, before, after in tables for key in after if before[key] != after[key])


def _fixed(begun: Configuration, new: Configuration) -> tuple[str, ...]:
    """Keys that stay as they were at the start of the process."""
    return tuple(name for name in _differing(begun, new) if not _is_live(new, name))


def _is_live(config: Configuration, name: str) -> bool:
    table, _, key = name.partition(".")
    return options_of(type(getattr(config, table)))[key].about.live
