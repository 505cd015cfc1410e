"""The values of one table by its options: types and ranges, defaults, former names, secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from aez.daemon.common.options import Option, Secret, nearest, resolved
from aez.daemon.config.toml_lines import Path as Place
from aez.daemon.config.toml_lines import written

__all__ = ["Values"]

_SECRET_MAX = 64 << 10


class Values:
    """Reads tables of a configuration in `folder`; `fault` hears of what is wrong, by place."""

    def __init__(self, folder: Path, environment: Mapping[str, str], fault: Callable[[Place, str], None]) -> None:
        self._folder, self._environment, self._fault = folder, environment, fault

    def table(self, place: Place, given: Any, known: Mapping[str, Option]) -> dict[str, Any]:
        """The values of all options, defaults filled in and secrets resolved; what is wrong keeps its default."""
        if not isinstance(given, dict):
            self._fault(place, f"it is a table; write [{written(place)}]")
            given = {}
        self._keys(place, given, known)
        return {
            name: self._secret(place, given, option) if option.about.secret else self._value(place, given, option)
            for name, option in known.items()
        }

    def unknown(self, place: Place, given: Iterable[str], known: Iterable[str]) -> None:
        """Tell of keys that there are not."""
        known = list(known)
        for name in given:
            if name not in known:
                self._fault((*place, name), f"there is no such key{nearest(name, known)}")

    def _keys(self, place: Place, given: Mapping[str, Any], known: Mapping[str, Option]) -> None:
        keys = [key for option in known.values() for key in option.keys]
        former = {was: option for option in known.values() for was in option.about.was}
        for name in given:
            if name in keys:
                continue
            if name in known:
                text = f"there is no such key; a secret does not stand in this file, write {name}_env or {name}_file"
                self._fault((*place, name), text)
            elif name in former:
                more = former[name].about.was[name]
                text = f"it is called {former[name].name} now{f', {more}' if more else ''}"
                self._fault((*place, name), text)
            else:
                self.unknown(place, (name,), keys)

    def _value(self, place: Place, given: Mapping[str, Any], option: Option) -> Any:
        value = option.default
        if option.name in given:
            reason = option.wrong(given[option.name])
            if reason:
                self._fault((*place, option.name), reason)
            else:
                value = given[option.name]
        elif option.required and not option.about.was.keys() & given.keys():
            self._fault((*place, option.name), "it is missing")
        return None if value is None else option.plain(value, self._folder)

    def _secret(self, place: Place, given: Mapping[str, Any], option: Option) -> Secret | None:
        of_variable, of_file = option.keys
        found = {}
        for key in option.keys:
            if key in given:
                reason = option.wrong(given[key])
                if reason:
                    self._fault((*place, key), reason)
                else:
                    found[key] = given[key]
        if len(found) == 2:
            self._fault((*place, of_file), f"give it or {of_variable}, not both")
            return None
        if of_file in found:
            return self._fit((*place, of_file), option, self._secret_file((*place, of_file), found[of_file]))
        if of_variable in found:
            if text := self._environment.get(found[of_variable]):
                return self._fit((*place, of_variable), option, Secret(text))
            self._fault((*place, of_variable), f"the environment has no {found[of_variable]}")
        elif option.required and option.name not in given:
            self._fault((*place, of_variable), f"it is missing; give it or {of_file}")
        return None

    def _fit(self, place: Place, option: Option, value: Secret | None) -> Secret | None:
        """The secret where nothing is wrong with it, which is told without it."""
        if value is not None and (reason := option.unfit(value)):
            self._fault(place, reason)
            return None
        return value

    def _secret_file(self, place: Place, name: str) -> Secret | None:
        path = resolved(self._folder, name)
        try:
            with path.open("rb") as file:
                text = file.read(_SECRET_MAX).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self._fault(place, f"{path} cannot be read: {reason}")
            return None
        if not text:
            self._fault(place, f"{path} is empty")
            return None
        return Secret(text)
