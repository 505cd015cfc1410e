"""What needs attention on the live page: streams not wholly watched, sinks, mutes, incidents; or all is well."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.web.test_page import CHANNELS, CONTRAST, OPENER, Process
from tests.kit.browser import Browser, browser, window  # noqa: F401 - fixtures
from tests.kit.commands import run
from tests.kit.waiting import until

ITEMS = "return [...document.querySelectorAll('#attention details')].map((one) => one.innerText)"
PAGER = '[[sinks]]\nkind = "webhook"\nname = "pager"\nurl = "http://127.0.0.1:9/hook"\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One for the tests that need none of their own."""
    made = Process(tmp_path_factory.mktemp("attention"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path, PAGER)
    made.start()
    yield made
    made.stop()


def asked(monitor: Process, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with OPENER.open(urllib.request.Request(f"{monitor.address}{path}", data), timeout=10) as answer:
        return json.loads(answer.read())


def fits(browser: Browser, name: str) -> None:  # noqa: F811
    """Nothing is wider than the screen, and all can be read; pictures are kept where that is asked for."""
    for width, height in ((1400, 900), (390, 844)):
        for dark in (False, True):
            browser.shape(width, height, dark=dark)
            # Charts take their new width a moment after the screen has it.
            browser.until(f"return document.documentElement.scrollWidth <= {width}", "it is wider than the screen")
            assert browser.run(CONTRAST) == []
            if folder := os.environ.get("AEZ_KEEP_SHOTS"):
                browser.driver.save_screenshot(str(Path(folder) / f"{name}-{width}-{dark}.png"))
    browser.shape(1280, 800)


def late(monitor: Process, stream: str) -> None:
    """Rows that are behind others, again and again."""
    monitor.feed(stream, 60)
    for _ in range(3):
        monitor.at[stream] = 0
        monitor.feed(stream, 40)


def test_it_says_that_all_is_well_and_what_is_watched(browser: Browser, monitor: Process) -> None:  # noqa: F811
    browser.open(monitor.address)
    well = "return document.getElementById('all-well-text').innerText"
    assert "no data came from telemetry" in browser.until(f"{well}", "it says nothing")
    monitor.feed("sat-1", 20)
    said = browser.until(f"{well}.startsWith('All is well: 1 stream') && {well[7:]}", "not well")
    assert said == ("All is well: 1 stream from 1 source is watched and every sample is scored; 1 sink takes events.")
    assert browser.run("return document.querySelectorAll('#attention details').length") == 0


def test_a_stream_that_loses_samples_is_named_with_what_to_do(browser: Browser, monitor: Process) -> None:  # noqa: F811
    late(monitor, "sat-late")
    monitor.feed("sat-1", 20)
    browser.open(monitor.address)
    browser.until("return document.querySelector('#attention .line')", "it is not named")
    assert browser.run("return document.getElementById('all-well').hidden")
    browser.click("#attention summary")
    text = browser.text("#attention")
    assert "1 stream is not wholly watched: samples come too late" in text
    assert "lateness_seconds" in text
    assert "samples not scored" in text
    since = asked(monitor, "api/attention")["losing"]["streams"][0]["losing_since"]
    assert abs(since / 1e9 - time.time()) < 600
    assert "since " in text
    fits(browser, "losing")
    assert browser.complaints() == []
    browser.run("window.confirm = () => true")
    browser.run("[...document.querySelectorAll('#attention button')].find((one) => one.innerText == 'Forget').click()")
    browser.until("return !document.querySelector('#attention details')", "it was not forgotten")
    assert [one["stream"] for one in asked(monitor, "api/streams")["streams"]] == ["sat-1"]


def test_sinks_that_take_nothing_come_first_and_mutes_end_there(browser: Browser, monitor: Process) -> None:  # noqa: F811
    asked(monitor, "api/mutes", {"pattern": "sat-2", "seconds": 3600, "reason": "<i>service</i>", "by": "Ann"})
    monitor.feed("sat-1", 60)
    monitor.feed("sat-2", 60)
    monitor.feed("sat-1", 12, fault=9.0)
    monitor.feed("sat-2", 12, fault=9.0)
    browser.open(monitor.address)
    browser.until("return document.querySelectorAll('#attention details').length == 3", "not all are named")
    browser.run("document.querySelectorAll('#attention details').forEach((one) => (one.open = true))")
    sink, held, mute = browser.run(ITEMS)
    assert "pager takes none" in sink
    assert "cannot be reached" in sink
    assert "1 open event was held back" in held
    assert "1 muted" in held
    assert "<i>service</i> (Ann)" in mute
    assert "until " in mute
    fits(browser, "sinks")
    browser.click("#attention .calm button")
    browser.until(
        f"{ITEMS}.every((text) => !text.includes('mute holds'))",
        "the mute did not end",
    )
    assert asked(monitor, "api/mutes")["by_hand"] == []
    assert browser.complaints() == []


def test_a_stream_of_which_messages_are_refused_is_named_with_the_reason(browser: Browser, monitor: Process) -> None:  # noqa: F811
    monitor.feed("sat-1", 60)
    with monitor.data.open("a") as file:
        file.write('{"stream": "<b>deaf</b>", "time": 1.7e9, "bus_voltage": 1e30}\n' * 300)
    browser.open(monitor.address)
    browser.until("return document.querySelector('#attention .line')", "it is not named")
    browser.click("#attention summary")
    text = browser.text("#attention")
    assert "1 stream is not wholly watched: messages that come for it cannot be used (too_large)" in text
    assert "<b>deaf</b>" in text
    assert "300 samples not scored" in text
    assert "'bus_voltage' is 1e+30" in text
    assert browser.run("return document.querySelectorAll('#attention button, #attention .line a').length") == 0
    fits(browser, "refused")
    assert browser.complaints() == []


def test_a_source_of_which_nothing_can_come_in_is_named_with_the_reason(browser: Browser, monitor: Process) -> None:  # noqa: F811
    monitor.feed("sat-1", 60)
    browser.open(monitor.address)
    browser.until("return document.getElementById('all-well-text').innerText.startsWith('All is well')", "not well")
    elsewhere = monitor.folder / "plant"
    text = (monitor.folder / "monitor.toml").read_text()
    (monitor.folder / "monitor.toml").write_text(text.replace("data.jsonl", "plant/*.jsonl"))
    assert "is not there" in asked(monitor, "api/reload", {})["changes"]
    browser.until("return document.querySelector('#attention .item.bad')", "it is not named")
    said = f"the folder {elsewhere} is not there."
    assert browser.text("#attention .item.bad summary").split("\n")[0].startswith("Nothing can come in from telemetry")
    assert said in browser.text("#attention .item.bad summary")
    assert browser.run("return document.getElementById('all-well').hidden")
    browser.click("#attention summary")
    assert "goes on by itself" in browser.text("#attention")
    assert browser.run("return document.getElementById('problems').hidden")
    fits(browser, "source")
    shown = run("monitor", "top", monitor.folder / "monitor.toml", "--once").stdout
    assert f"source telemetry: {said}" in shown
    elsewhere.mkdir()
    browser.until("return !document.getElementById('all-well').hidden", "it is not well again")
    (monitor.folder / "monitor.db").rename(monitor.folder / "away.db")
    browser.until("return !document.getElementById('problems').hidden", "the state is not missed")
    assert "the state is lost" in browser.text("#problems")
    assert browser.run("return document.getElementById('all-well').hidden")
    assert "the state is lost" in run("monitor", "top", monitor.folder / "monitor.toml", "--once").stdout
    (monitor.folder / "away.db").rename(monitor.folder / "monitor.db")


def test_an_incident_stands_for_its_streams_and_unfolds(browser: Browser, monitor: Process) -> None:  # noqa: F811
    names = [f"fleet-{number:02d}" for number in range(15)]
    for name in names:
        monitor.feed(name, 60)
    for name in names:
        monitor.feed(name, 12, fault=9.0)
    browser.open(monitor.address)
    browser.until("return document.querySelector('#events li.incident')", "no incident")
    members = {
        one["stream"] for one in asked(monitor, "api/events?limit=500")["events"] if one["event"].get("incident")
    }
    listed = browser.run(
        "return [...document.querySelectorAll('#events li.event > .what > a')].map((one) => one.innerText)"
    )
    assert members
    assert not members & set(listed)
    assert browser.run("return document.querySelector('#events li.event').className").startswith("event open")
    browser.run("document.querySelector('#events li.incident button.quiet').click()")
    shown = "return [...document.querySelectorAll('#events .members a')].map((one) => one.innerText)"
    browser.until(f"{shown}.length == {len(members)}", "it did not unfold")
    assert browser.run(shown) == sorted(members)
    fits(browser, "incident")
    assert browser.complaints() == []


def test_an_event_of_another_day_has_its_curve_in_the_viewers_time(browser: Browser, shared: Process) -> None:  # noqa: F811
    shared.feed("sat-1", 60)
    shared.feed("sat-1", 12, fault=9.0)
    shared.feed("sat-1", 30)
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    try:
        browser.open(shared.address)
        browser.until("return document.querySelectorAll('#events li.event').length == 1", "no event is listed")
        browser.click("#events li.event button.quiet")
        browser.until("return document.querySelectorAll('#events .curve canvas').length == 5", "its rows are not drawn")
        text = browser.text("#events .curve")
        assert "bus_voltage" in text
        assert " V, expected " in text
        assert "Asia/Tokyo" in text
        assert "11/15/2023, 07:14:" in text  # 74 s behind 2023-11-14T22:13:20Z
        fits(browser, "curve")
        wide = "[...document.querySelectorAll('#events canvas')].map((one) => one.getBoundingClientRect().right)"
        direction = "{blamed: {share: 0.5, measured: 9, expected: 7, direction: 'above'}}, ' V'"
        said = (
            f"const {{ said }} = await import('/page/curve.js'); return said({direction}).map((one) => one.textContent)"
        )
        assert browser.run(f"return (async () => {{ {said} }})()")[1] == "measured 9 V, expected 7 V, too high"
        browser.shape(390, 844)
        browser.until(f"return Math.max(...{wide}) <= 390", "a curve is wider than a phone")
        assert browser.complaints() == []
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


#: What the monitor says of channels that are missing or stuck.
STOPPED = {
    "losing": {"count": 0, "reasons": {}, "streams": []},
    "stopped": {
        "count": 2,
        "streams": [
            {
                "stream": "sat-1",
                "newest": 10**18,
                "missing": ["gyro_rate"],
                "stuck": ["bus_voltage"],
            },
            {"stream": "sat-2", "newest": None, "missing": [], "stuck": ["wheel_speed"]},
        ],
    },
}


def test_streams_of_which_clocks_are_apart_are_named_with_what_to_set(browser: Browser, shared: Process) -> None:  # noqa: F811
    values = dict(zip(CHANNELS, shared.values[0].tolist(), strict=True))
    wheel = {name: values.pop(name) for name in ("wheel_speed", "wheel_current")}
    with shared.data.open("a") as file:
        for row in range(40):
            for off, part in ((0, values), (7200, wheel)):
                file.write(json.dumps({"stream": "sat-apart", "time": 1.7e9 + row + off, **part}) + "\n")
    until(lambda: asked(shared, "api/attention")["clocks"]["count"])
    browser.open(shared.address)
    title = "1 stream comes with clocks that are apart"
    found = f"[...document.querySelectorAll('#attention details')].find((one) => one.innerText.startsWith('{title}'))"
    browser.until(f"return Boolean({found})", "it is not named")
    text = browser.run(f"const found = {found}; found.open = true; return found.innerText")
    assert "sat-apart" in text
    assert "Wheel_speed, wheel_current come with times about 2 h ahead of those of bus_voltage, " in text
    assert "Reset" in text
    fits(browser, "clocks")


def test_channels_that_are_missing_or_stuck_are_named(browser: Browser, shared: Process) -> None:  # noqa: F811
    script = (
        "const asked = window.fetch; window.fetch = (path, ...more) => String(path).startsWith('/api/attention') ? "
        f"Promise.resolve(new Response({json.dumps(json.dumps(STOPPED))})) : asked(path, ...more);"
    )
    found = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        browser.open(shared.address)
        browser.until("return document.querySelectorAll('#attention .line').length == 2", "they are not named")
        browser.click("#attention summary")
        text = browser.text("#attention")
        assert "2 streams have channels that are missing or stuck" in text
        assert "missing: gyro_rate; stuck: bus_voltage" in text
        assert "stuck: wheel_speed" in text
        fits(browser, "stopped")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", found)
