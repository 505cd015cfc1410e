"""`docs/monitor.md` names every key, metric, reason, alert and action that there is, and none that there is not.

AEZ_WRITE_DOCS=1 in the environment writes the tables of keys anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from aez.daemon.config import schema
from aez.daemon.config.schema import Key, Table
from aez.daemon.observe.metrics import Metrics
from aez.daemon.parse.results import REASONS
from tests.kit.places import ROOT

PATH = ROOT / "docs" / "monitor.md"
DOCUMENT = PATH.read_text(encoding="utf-8")
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
SINGLE = ("service", "limits", "state", "web", "scores")
#: Reasons that the engine and the worker give, beside those of parsers.
ENGINE_REASONS = ("late", "duplicate", "future", "no_model", "no_channel", "too_many_streams", "unforeseen")


def tables() -> str:
    """All keys in Markdown."""
    parts = [f"### `[{name}]`\n\n{_table(getattr(schema, name.upper()))}" for name in SINGLE]
    parts.append(f"### `[[models]]`\n\n{_table(schema.MODEL)}")
    for title, kinds in (("sources", schema.SOURCES), ("sinks", schema.SINKS)):
        common = _common(kinds) | {"kind": Key("text", required=True, help="", choices=tuple(kinds))}
        parts.append(f"### `[[{title}]]`\n\nOf every kind, but for what a kind says otherwise:\n\n{_table(common)}")
        for kind, table in kinds.items():
            own = {name: key for name, key in table.items() if name != "kind" and key != common.get(name)}
            missing = [f"`{name}`" for name in common if name not in table]
            said = f"\n\nIt has no {', '.join(missing)}." if missing else ""
            said = said if own else "\n\nIt has no keys of its own."
            parts.append(f'`kind = "{kind}"`{said}' + (f"\n\n{_table(own)}" if own else ""))
    return "\n\n".join(parts) + "\n"


def _common(kinds: Any) -> dict[str, Key]:
    """The keys that most kinds have."""
    every = list(kinds.values())
    names = dict.fromkeys(name for table in every for name in table)
    return {
        name: next(table[name] for table in every if name in table)
        for name in names
        if sum(name in table for table in every) > len(every) / 2
    }


def _table(table: Table) -> str:
    rows = [f"| `{name}` | {_default(key)} | {_meaning(key)} |" for name, key in table.items()]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows])


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return "" if key.default in (None, [], {}) else f"`{json.dumps(key.default)}`"


def _meaning(key: Key) -> str:
    choices = ", ".join(f"`{choice}`" for choice in key.choices)
    return "; ".join(part for part in (key.help, choices) if part)


def test_it_has_every_key_with_its_default_and_meaning() -> None:
    before, rest = DOCUMENT.split(BEGIN)
    written, after = rest.split(END)
    wanted = f"\n{tables()}\n"
    if os.environ.get("AEZ_WRITE_DOCS"):
        PATH.write_text(before + BEGIN + wanted + END + after, encoding="utf-8")
    elif written != wanted:
        stale = sorted(set(wanted.splitlines()) ^ set(written.splitlines()))
        pytest.fail("the tables of keys are old; set AEZ_WRITE_DOCS=1 and run this again: " + "; ".join(stale[:5]))


def test_every_key_says_what_it_is() -> None:
    def keys() -> Iterator[tuple[str, Key]]:
        single = {name: getattr(schema, name.upper()) for name in SINGLE} | {"models": schema.MODEL}
        for name, table in {**single, **schema.SOURCES, **schema.SINKS}.items():
            yield from ((f"{name}.{key}", table[key]) for key in table)

    assert [name for name, key in keys() if not key.help and not name.endswith(".kind")] == []


def test_the_sample_configuration_shows_every_key_of_the_process_and_its_default() -> None:
    text = (ROOT / "samples" / "monitor.toml").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^(?:# )?(\w+) = (.*?)(?: +#.*)?$", text.partition("[state]")[0], re.MULTILINE))
    for name, key in schema.SERVICE.items():
        assert name in shown, f"samples/monitor.toml does not show {name}"
        if key.default is not None:
            assert json.loads(shown[name]) == key.default, f"samples/monitor.toml has another default of {name}"


def test_it_has_every_metric_and_no_other() -> None:
    section = _section("## Metrics")
    families = {f"{one.name}_total" if one.type == "counter" else one.name for one in Metrics().registry.collect()}
    ours = {name for name in families if name.startswith("aez_")}
    named = set(re.findall(r"`(aez_\w+)`", section))
    assert named == ours
    assert "process_resident_memory_bytes" in section


def test_it_has_every_reason_for_which_something_is_dropped() -> None:
    section = _section("### Messages that cannot be used")
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == {*REASONS, *ENGINE_REASONS}


def test_it_has_every_alert_and_no_other() -> None:
    rules = (ROOT / "samples" / "prometheus" / "aez-alerts.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"`(Aez\w+)`", DOCUMENT)) == set(re.findall(r"- alert: (\w+)", rules))


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", DOCUMENT):
        assert (PATH.parent / target).exists(), target


def _section(title: str) -> str:
    """From a heading to the next of its level or above."""
    level = len(title.split()[0])
    _, _, rest = DOCUMENT.partition(f"\n{title}\n")
    assert rest, f"there is no section {title!r}"
    found = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return rest[: found.start()] if found else rest
