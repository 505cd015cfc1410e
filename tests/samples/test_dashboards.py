"""The dashboard and the alert rules, asked of a real Prometheus that reads a real monitor; names as promtool wants."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aez.daemon.common.records import CLOSING, SIGNAL_ENDS
from aez.daemon.incidents.desk import REASONS
from aez.daemon.observe.metrics import Metrics
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from tests.kit.brokers import free_port
from tests.kit.places import SAMPLES
from tests.kit.satellite_model import save_satellite_model

pytestmark = pytest.mark.slow

DASHBOARD = json.loads((SAMPLES / "grafana" / "aez-monitor.json").read_text(encoding="utf-8"))
PROMETHEUS = SAMPLES / "prometheus"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SIMULATION = Simulation(streams=2, seed=1, every=150, first=100, length=30)
MONITOR = """\
[web]
port = {port}
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""
SCRAPES = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: aez
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""
#: What a monitor without trouble has no series of.
EMPTY_IN_HEALTH = ("aez_errors_total", "aez_reloads_total")
#: Labels, and what their values come from: the configuration, fixed words, and the program itself.
LABELS = {
    "source": {"telemetry"},
    "sink": {"json_lines"},
    "model": {"satellite"},
    "reason": {"syntax", "late", "duplicate", "future", "no_channel", "gaps", "no_model", *REASONS},
    "action": {"open", "update", "changed", "reopen", *CLOSING, *SIGNAL_ENDS},
    "result": {"success", "failure"},
    "kind": {"channels", "senders", "machine"},
}
OTHER_LABELS = {"__name__", "job", "instance", "le", "id", "device", "version", "major", "minor", "patchlevel"}
HEALTHY = 'count_over_time(aez_ready{job="aez"}[1m]) >= 5 and increase(aez_commits_total[1m]) > 0'


def program(name: str, package: str) -> str:
    """The program's path; the test fails without it."""
    found = shutil.which(name)
    assert found is not None, f"{name} is missing; install the Debian package {package}"
    return found


@dataclass(frozen=True)
class Site:
    """A monitor and a Prometheus that reads it once a second."""

    monitor: str
    prometheus: str

    def ask(self, path: str, **query: str) -> Any:
        with OPENER.open(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        return found["data"]

    def query(self, expression: str) -> list[Any]:
        try:
            found: list[Any] = self.ask("query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            with error:
                pytest.fail(f"{expression}: {error.read().decode()}")
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    server = program("prometheus", "prometheus")
    save_satellite_model(folder / "satellite.aezm")
    monitor, prometheus = free_port(), free_port()
    (folder / "monitor.toml").write_text(MONITOR.format(port=monitor))
    (folder / "prometheus.yml").write_text(SCRAPES.format(rules=PROMETHEUS / "aez-alerts.yml", port=monitor))
    (folder / "data.jsonl").write_bytes(b"{ this is no JSON\n" + rows(0, 1000))
    commands = (
        [sys.executable, "-m", "aez", "monitor", "run", str(folder / "monitor.toml")],
        [
            server,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ],
    )
    found = Site(f"http://127.0.0.1:{monitor}", f"http://127.0.0.1:{prometheus}")
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) for command in commands]
        try:
            wait(found, folder, processes)
            yield found
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(30)


def rows(first: int, count: int) -> bytes:
    return b"".join(encode(block, "json") for block in SIMULATION.blocks(count, first))


def wait(site: Site, folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """Let rows come in until Prometheus has seen a healthy monitor for some scrapes and evaluated the rules."""
    end = time.monotonic() + 90
    at = 1000
    while True:
        assert time.monotonic() < end, (folder / "log").read_text(errors="replace")[-3000:]
        assert all(process.poll() is None for process in processes), (folder / "log").read_text(errors="replace")
        with (folder / "data.jsonl").open("ab") as data:
            data.write(rows(at, 20))
        at += 20
        with contextlib.suppress(OSError):  # Prometheus refuses connections, then answers 503, until it has started
            enough = site.ask("query", query=HEALTHY)["result"]
            rules = [rule for group in site.ask("rules")["groups"] for rule in group["rules"]]
            # What was pending while it started is over once a rule is evaluated anew.
            quiet = all(rule["state"] != "pending" for rule in rules)
            if enough and rules and quiet and all(rule["health"] != "unknown" for rule in rules):
                return
        time.sleep(0.2)


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """(Where, query) of the whole dashboard, as Grafana would fill them in."""
    filled = {"$job": "aez", "$instance": ".*", "$__rate_interval": "30s"}
    found = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    found += [(one["name"], one["expr"]) for one in DASHBOARD["annotations"]["list"]]
    for name, value in filled.items():
        found = [(where, expression.replace(name, value)) for where, expression in found]
    return found


def rules() -> list[dict[str, Any]]:
    """The alert rules, as promtool would read them: name and expression by the file's own layout."""
    text = (PROMETHEUS / "aez-alerts.yml").read_text(encoding="utf-8")
    return [{"name": part.split("\n", 1)[0].strip(), "text": part} for part in text.split("- alert:")[1:]]


def test_every_query_of_the_dashboard_has_an_answer(site: Site) -> None:
    empty = []
    for where, expression in queries():
        assert "$" not in expression.replace("$1", ""), f"{where}: a variable that is not known: {expression}"
        if not site.query(expression) and not any(name in expression for name in EMPTY_IN_HEALTH):
            empty.append((where, expression))
    shown_in_trouble = [pair for pair in empty if pair[0] == "Configuration loaded"]  # changes, and there was none
    assert [pair for pair in empty if pair not in shown_in_trouble] == []
    assert len(queries()) > 50


def test_the_dashboard_shows_every_figure() -> None:
    shown = " ".join(expression for _, expression in queries())
    assert [one.name for one in Metrics().registry.collect() if one.name not in shown and "aez_" in one.name] == []


def test_the_variables_of_the_dashboard_find_the_monitor(site: Site) -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for name, wanted in (("job", ["aez"]), ("instance", [site.monitor.removeprefix("http://")])):
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variables[name]["definition"]).groups()
        found = site.ask(f"label/{label}/values", **{"match[]": series.replace("$job", ".*")})
        assert found == wanted


def test_every_alert_can_be_evaluated_and_is_quiet_in_health(site: Site) -> None:
    found = [rule for group in site.ask("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(rules()) > 12
    known = set(site.ask("label/__name__/values"))
    for rule in found:
        assert rule["health"] == "ok", rule
        assert rule["state"] == "inactive", rule
        assert rule["annotations"].keys() >= {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        names = set(re.findall(r"\b(?:aez|process|up)(?:_\w+)?\b(?=[{\[ )]|$)", rule["query"])) - {"up"}
        assert names or "up{" in rule["query"]
        missing = {name for name in names if name not in known and name not in EMPTY_IN_HEALTH}
        assert not missing, f"{rule['name']} asks for {missing}, which no monitor has"


def test_labels_are_bounded_and_never_name_a_stream(site: Site) -> None:
    found = site.ask("series", **{"match[]": '{job="aez", __name__=~"aez_.*|process_.*"}'})
    assert len(found) > 100
    for series in found:
        for label, value in series.items():
            assert label in LABELS or label in OTHER_LABELS, series
            assert value in LABELS.get(label, {value}), series
            assert "sat-" not in value, series


def test_the_names_of_metrics_keep_to_the_conventions(site: Site) -> None:
    with OPENER.open(f"{site.monitor}/metrics", timeout=10) as answer:
        text = answer.read()
    promtool = program("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert b"_created" not in text


@pytest.mark.parametrize("arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "aez-alerts.test.yml")])
def test_promtool_accepts_the_samples_and_their_own_tests(arguments: tuple[str, ...]) -> None:
    promtool = program("promtool", "prometheus")
    done = subprocess.run(
        [promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_panels_have_places_and_the_chosen_data_source() -> None:
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert "$job" in target["expr"]
    titles = [panel["title"] for panel in everything if panel["type"] == "row"]
    assert len(titles) == len(set(titles)) >= 7
