"""What must agree across the tables of a configuration: names, models, ports, certificates."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.options import nearest, options_of
from aez.daemon.common.own_files import OwnFiles
from aez.daemon.config.kinds import SOURCES
from aez.daemon.config.toml_lines import Path as Place
from aez.daemon.config.toml_lines import written
from aez.daemon.transform.columns import Transforms, shadowed
from aez.daemon.transform.table import Transform

__all__ = ["Checks", "Draft"]


@dataclass(frozen=True)
class Draft:
    """One model, source or sink that is being read: where it stands, and its values by option."""

    place: Place
    name: str
    kind: str
    values: dict[str, Any]


class Checks:
    """Looks at what was read; lines: of places. `fault` hears of what is wrong, by place."""

    def __init__(self, lines: Mapping[Place, int], fault: Callable[[Place, str], None]) -> None:
        self._lines, self._fault = lines, fault

    def names(self, table: str, entries: Sequence[tuple[Place, Mapping[str, Any]]]) -> None:
        """Names tell positions, cursors and streams apart, so each is used once."""
        seen: dict[str, Place] = {}
        for place, given in entries:
            path = given.get("path")
            usual = Path(path).stem if table == "models" and isinstance(path, str) else given.get("kind")
            name = given.get("name", usual)
            if not isinstance(name, str):
                continue
            if name in seen:
                first = self._lines.get(seen[name], 1)
                at = (*place, "name") if "name" in given else place
                self._fault(at, f"{name!r} is already the name of the one in line {first}; give them names")
            else:
                seen[name] = place

    def models_of_scores(self, wanted: Sequence[str], models: Sequence[Draft]) -> None:
        """Scores are written of models that there are."""
        known = [one.name for one in models]
        for name in wanted:
            if name not in known:
                self._fault(("scores", "models"), f"there is no model {name!r}; there is {', '.join(known)}")

    def transforms(self, transforms: Mapping[Place, Transform], sources: Sequence[Draft]) -> None:
        """Transforms are for columns of sources that there are, and each of them can be reached."""
        known = {one.name: one for one in sources}
        for place, one in transforms.items():
            for name in one.source:
                if name not in known:
                    self._fault((*place, "source"), f"there is no source {name!r}{nearest(name, known)}")
                elif "columns" not in known[name].values:
                    self._fault((*place, "source"), f"source {name} brings pictures, which have no columns")
                elif (taken := known[name].values["columns"]) and not any(map(one.fits, taken)):
                    self._fault((*place, "columns"), f"source {name} takes none of them, but {', '.join(taken)}")
        for place, earlier in shadowed(transforms):
            text = f"the transform in line {self._lines.get(earlier, 1)} takes all of them before; leave one of the two"
            self._fault((*place, "columns"), text)
        for draft in sources:
            mine = {place: one for place, one in transforms.items() if not one.source or draft.name in one.source}
            try:
                Transforms(mine.values()).check(draft.values.get("columns", ()))
            except InvalidArgument as error:
                place = next(reversed([place for place, one in mine.items() if one.rename]))
                self._fault((*place, "rename"), str(error).removeprefix("rename: "))

    def ports(self, web: Mapping[str, Any], sources: Sequence[Draft]) -> None:
        """Two listeners on one port are refused here, before one of them fails at the start."""
        taken: dict[int, str] = {}
        if web["enabled"] and web["port"]:
            taken[web["port"]] = f"the web page{self._in_line(('web', 'port'))}"
        for source in sources:
            for option in options_of(SOURCES.options(source.kind)).values():
                port = source.values[option.name]
                if not option.about.listens or not port:
                    continue
                place = (*source.place, option.name)
                if port in taken:
                    self._fault(place, f"port {port} is already that of {taken[port]}")
                taken.setdefault(port, f"source {source.name}{self._in_line(place)}")

    def own_files(
        self, sections: Mapping[str, Mapping[str, Any]], sources: Sequence[Draft], sinks: Sequence[Draft]
    ) -> None:
        """What the monitor writes is written once, and never its own input; patterns are seen to when they are read."""
        own: list[tuple[Place, str]] = [
            (("service", "dead_letters"), sections["service"]["dead_letters"]),
            (("state", "path"), sections["state"]["path"]),
            *(((*one.place, "path"), one.values["path"]) for one in sinks if one.values.get("path") is not None),
        ]
        taken: dict[str, str] = {}
        for place, path in own:
            real = os.path.realpath(path)
            if real in taken:
                self._fault(place, f"{path} is already {taken[real]}; give it a file of its own")
            taken.setdefault(real, f"that of {written(place)}{self._in_line(place)}")
        known = OwnFiles({path: f"that of {written(place)}{self._in_line(place)}" for place, path in own})
        for source in sources:
            for path in source.values.get("paths") or ():
                if not glob.has_magic(path) and (what := known.what(path)):
                    reason = f"{path} is {what}, and what the monitor writes is never its input"
                    self._fault((*source.place, "paths"), reason)

    def sessions(self, drafts: Sequence[Draft]) -> None:
        """A broker ends the session of a client once another with its name comes."""
        seen: dict[tuple[Any, ...], Place] = {}
        for one in drafts:
            if one.kind != "mqtt" or not one.values.get("client_id"):
                continue
            place = (*one.place, "client_id")
            key = one.values["host"], one.values["port"], one.values["client_id"]
            if key in seen:
                name = one.values["client_id"]
                self._fault(place, f"{name!r} is already the session of {written(seen[key])}{self._in_line(seen[key])}")
            seen.setdefault(key, place)

    def certificates(self, web: Mapping[str, Any], drafts: Sequence[Draft]) -> None:
        """Certificates exist, can be read, and have their key."""
        tables: list[tuple[Place, Mapping[str, Any]]] = [(("web",), web)]
        for place, values in tables + [(one.place, one.values) for one in drafts]:
            certificate, key = values.get("tls_certificate"), values.get("tls_key")
            if key and not certificate:
                self._fault((*place, "tls_key"), "a key needs its tls_certificate")
            if not certificate:
                continue
            from aez.daemon.common.tls import server_context  # most configurations have none

            try:
                server_context(certificate, key)
            except InvalidArgument as error:
                self._fault((*place, "tls_certificate"), str(error))

    def _in_line(self, place: Place) -> str:
        return f" in line {self._lines[place]}" if place in self._lines else ""
