"""All options that there are, as tables: for people at a terminal, and for documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aez.codec.errors import InvalidArgument
from aez.daemon.common.options import Option, nearest, options_of
from aez.daemon.config.kinds import SINKS, SOURCES
from aez.daemon.config.reader import SECTIONS
from aez.daemon.config.sections import Entry, Model
from aez.daemon.mutes.options import MuteOptions
from aez.daemon.parse.options import Options as ParseOptions
from aez.daemon.transform.table import Transform

__all__ = ["BEGIN", "END", "Listing", "chosen", "into_document", "listings", "markdown", "text"]

#: Between these lines a document has the tables.
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
_TRANSFORM = "What becomes of columns on the way in. Of several that fit a column the first holds."


@dataclass(frozen=True)
class Listing:
    """One table of options. name: by which one asks for it. title: as a configuration has it. note: what else holds."""

    name: str
    title: str
    options: Mapping[str, Option]
    note: str = ""


def listings() -> Iterator[Listing]:
    """All tables, in the order of a configuration."""
    for name, section in SECTIONS.items():
        yield Listing(name, f"[{name}]", options_of(section))
    yield Listing("mute", "[[mute]]", options_of(MuteOptions))
    yield Listing("models", "[[models]]", options_of(Model))
    yield Listing("transform", "[[transform]]", options_of(Transform), _TRANSFORM)
    for table, kinds in (("sources", SOURCES), ("sinks", SINKS)):
        common = dict(options_of(Entry))
        note = f"Of every {kinds.what}. Its `kind` is one of {', '.join(f'`{kind}`' for kind in kinds)}."
        if kinds is SOURCES:
            common |= options_of(ParseOptions)
            note += "\nAll but the first two say how messages are read."
        yield Listing(table, f"[[{table}]]", common, note)
        for kind in kinds:
            applies = SOURCES.load(kind).parsing if kinds is SOURCES else None
            said = "" if applies is None else "Of how messages are read it has only " + _list(applies) + "."
            yield Listing(f"{table}.{kind}", f'[[{table}]], kind = "{kind}"', options_of(kinds.options(kind)), said)


def chosen(name: str | None) -> list[Listing]:
    """All tables, or those of a name: `web`, `sinks`, `sinks.mqtt`, or a kind alone. Raises InvalidArgument."""
    every = list(listings())
    if name is None:
        return every
    found = [one for one in every if name in (one.name, *one.name.split("."))]
    if not found:
        known = [one.name for one in every]
        raise InvalidArgument(f"there are no options of {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    return found


def text(tables: list[Listing]) -> str:
    """Lines for a terminal: an option, its default, its values, its meaning."""
    lines = []
    for one in tables:
        lines += [one.title, *([f"  {one.note.replace('`', '')}"] if one.note else [])]
        for option in one.options.values():
            default = _default(option)
            said = "required" if option.required else f"default {default}" if default else "no default"
            lines += [f"  {', '.join(option.keys)}  ({option.values}; {said})", f"      {_meaning(option, plain=True)}"]
        lines.append("")
    return "\n".join(lines)


def markdown(tables: list[Listing]) -> str:
    """The tables in Markdown."""
    parts = []
    for one in tables:
        parts.append(f"{'####' if 'kind' in one.title else '###'} `{one.title}`")
        if one.note:
            parts.append(one.note)
        rows = [
            f"| {_list(option.keys)} | {_values(option)} | {_shown_default(option)} | {_meaning(option)} |"
            for option in one.options.values()
        ]
        parts.append("\n".join(["| option | value | default | meaning |", "| --- | --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def into_document(document: str, tables: str) -> str:
    """The document with these tables between its marks. Raises InvalidArgument where it has none."""
    before, begun, rest = document.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise InvalidArgument(f"the document has no lines {BEGIN.strip()} and {END.strip()} to write between")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _values(option: Option) -> str:
    if option.about.secret:
        return "text"
    return _list(option.choices) if option.choices else option.values


def _default(option: Option) -> str:
    return "" if option.default in (None, (), {}) else json.dumps(option.default)


def _shown_default(option: Option) -> str:
    if option.required:
        return "required"
    default = _default(option)
    return f"`{default}`" if default else ""


def _meaning(option: Option, *, plain: bool = False) -> str:
    said = option.about.help
    if option.about.secret:
        said += "; the environment's variable, or the file, that holds it"
    return said.replace("`", "") if plain else said.replace("|", "\\|")
