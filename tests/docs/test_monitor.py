"""`docs/monitor.md` names every key, metric, reason, alert and action that there is, and none that there is not.

`aez monitor options --into docs/monitor.md` writes the tables of options anew.
"""

from __future__ import annotations

import json
import re

from aez.daemon.common.options import options_of
from aez.daemon.config.listing import BEGIN, END, chosen, into_document, listings, markdown
from aez.daemon.config.sections import Service
from aez.daemon.observe.metrics import Metrics
from aez.daemon.parse.results import REASONS
from tests.kit.places import ROOT

PATH = ROOT / "docs" / "monitor.md"
DOCUMENT = PATH.read_text(encoding="utf-8")
#: Reasons that the engine and the worker give, beside those of parsers.
ENGINE_REASONS = ("late", "duplicate", "future", "no_model", "no_channel", "too_many_streams", "unforeseen")


def test_it_has_every_option_with_its_default_and_meaning() -> None:
    wanted = into_document(DOCUMENT, markdown(chosen(None)))
    stale = sorted(set(wanted.splitlines()) ^ set(DOCUMENT.splitlines()))
    assert wanted == DOCUMENT, f"write it anew: aez monitor options --into docs/monitor.md ({'; '.join(stale[:5])})"


def test_it_has_every_option_once() -> None:
    written = DOCUMENT.partition(BEGIN)[2].partition(END)[0]
    tables = dict(re.findall(r"^####? `(.+?)`\n(.*?)(?=^###|\Z)", written, re.MULTILINE | re.DOTALL))
    assert list(tables) == [one.title for one in listings()]
    for one in listings():
        named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", tables[one.title], re.MULTILINE)))
        assert named == [key for option in one.options.values() for key in option.keys]


def test_every_option_says_what_it_is() -> None:
    assert not [f"{one.name}.{name}" for one in listings() for name in one.options if not one.options[name].about.help]


def test_the_sample_configuration_shows_every_key_of_the_process_and_its_default() -> None:
    text = (ROOT / "samples" / "monitor.toml").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^(?:# )?(\w+) = (.*?)(?: +#.*)?$", text.partition("[state]")[0], re.MULTILINE))
    for name, option in options_of(Service).items():
        assert name in shown, f"samples/monitor.toml does not show {name}"
        if option.default is not None:
            assert json.loads(shown[name]) == option.default, f"samples/monitor.toml has another default of {name}"


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
