"""The live page in a real Chromium: what it shows as data arrives, what people say there, and what cannot harm it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from aez.daemon.simulate.satellites import CHANNELS, Simulation
from aez.daemon.state.store import Store
from tests.kit.brokers import free_port
from tests.kit.browser import Browser, browser, window  # noqa: F401 - fixtures
from tests.kit.satellite_model import save_satellite_model

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TOKEN = "sesame-and-more"
EVIL = "<img src=x onerror=alert(1)>/\"'&\\ ../%2e"
CONFIG = """\
[web]
port = {port}
{more}
[[models]]
path = "satellite.aezm"
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""


class Process:
    """`aez monitor run` in a folder, and the file that it follows."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder, self.port = folder, free_port()
        self.data = folder / "data.jsonl"
        self.data.touch()
        save_satellite_model(folder / "satellite.aezm")
        (folder / "monitor.toml").write_text(CONFIG.format(port=self.port, more=more))
        self.address = f"http://127.0.0.1:{self.port}/"
        self.values = np.concatenate([block.values for block in Simulation(seed=1).blocks(2000)])
        self.at: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "aez", "monitor", "run", str(self.folder / "monitor.toml")]
        with (self.folder / "log").open("ab") as log:
            environment = {**os.environ, "PAGE_TOKEN": TOKEN}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        end = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            with OPENER.open(f"{self.address}readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def feed(self, stream: str, rows: int, fault: float = 0.0) -> None:
        """Add rows of a stream; `fault` is added to its bus voltage."""
        at = self.at.get(stream, 0)
        self.at[stream] = at + rows
        lines = []
        for row in range(at, at + rows):
            values = dict(zip(CHANNELS, self.values[row].tolist(), strict=True))
            values["bus_voltage"] += fault
            lines.append(json.dumps({"stream": stream, "time": 1.7e9 + row, **values}) + "\n")
        with self.data.open("a") as file:
            file.write("".join(lines))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One monitor for the tests that do not end it; each uses streams of its own."""
    made = Process(tmp_path_factory.mktemp("page"))
    made.start()
    yield made
    made.stop()


def open_stream(browser: Browser, monitor: Process, stream: str) -> None:  # noqa: F811
    browser.open(f"{monitor.address}#stream={urllib.request.quote(stream, safe='')}")
    browser.until("return document.querySelectorAll('#channels figure').length == 8", "the channels did not appear")


def event_text(stream: str) -> str:
    """JavaScript: the text of the first event of a stream, or nothing."""
    return (
        "const found = [...document.querySelectorAll('#events li')].find((one) => "
        f"one.querySelector('a').textContent === {json.dumps(stream)}); return found && found.innerText"
    )


@pytest.mark.slow
def test_an_empty_page_says_what_to_do(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    monitor = Process(tmp_path)
    monitor.start()
    try:
        browser.open(monitor.address)
        browser.until("return !document.getElementById('streams-empty').hidden", "nothing about streams")
        assert "telemetry (file)" in browser.text("#streams-empty")
        browser.until("return !document.getElementById('events-empty').hidden", "nothing about events")
        assert browser.text("#link") == "live"
        monitor.feed("sat-1", 20)
        browser.until("return document.querySelectorAll('#channels canvas').length == 8", "the stream was not shown")
        assert browser.text("#stream-title") == "sat-1"
        # It goes and comes back, as with a restart for another version.
        monitor.stop()
        browser.until("return !document.getElementById('lost').hidden", "nobody noticed that the connection was lost")
        assert "trying again" in browser.text("#lost")
        monitor.feed("sat-1", 5)
        monitor.feed("sat-1", 10, fault=9.0)
        monitor.start()
        browser.until("return document.getElementById('lost').hidden", "it did not connect again")
        assert "bus_voltage" in browser.until(event_text("sat-1"), "what happened meanwhile is not shown")
        monitor.feed("sat-1", 3, fault=9.0)
        browser.until("return document.getElementById('stream-about').innerText.includes('38 rows')", "no more rows")
    finally:
        monitor.stop()


def test_a_fault_is_seen_as_it_comes_and_people_say_what_it_was(browser: Browser, shared: Process) -> None:  # noqa: F811
    shared.feed("sat-a", 60)
    open_stream(browser, shared, "sat-a")
    browser.until("return document.getElementById('stream-about').innerText.includes('60 rows')", "rows are missing")
    assert browser.text("#stream-state").endswith("normal")
    painted = "return document.querySelector('#score canvas').toDataURL()"
    before = browser.run(painted)
    shared.feed("sat-a", 12, fault=9.0)
    text = browser.until(event_text("sat-a"), "the event did not appear")
    assert "open since" in text
    assert "bus_voltage" in text
    browser.until("return document.getElementById('stream-state').innerText.endsWith('event')", "its state is old")
    first = "return document.querySelector('#channels figure .name').innerText == 'bus_voltage'"
    browser.until(first, "the channel to blame does not come first")
    assert browser.run(painted) != before
    assert browser.run("return document.querySelector('#streams tr .state').className").endswith("state-event")

    browser.find("#who").send_keys("Ann")
    browser.click("#events li button")
    seen = browser.until(
        "const one = document.querySelector('#events .seen').innerText; return one", "not acknowledged"
    )
    assert "seen by Ann" in seen
    browser.click("#events li button.quiet")
    browser.find("#events form.say input").send_keys("a loose <b>cable</b>", Keys.ENTER)
    browser.until("return document.querySelectorAll('#events .said li').length == 1", "the comment did not appear")
    assert "a loose <b>cable</b>" in browser.text("#events .said")
    shared.feed("sat-a", 30)
    browser.until(
        f"{event_text('sat-a').replace('return', 'const text =')}; return text && !text.includes('open')", "open"
    )
    assert "comments (1)" in browser.text("#events li")

    browser.open("about:blank")
    open_stream(browser, shared, "sat-a")
    assert "seen by Ann" in browser.until(event_text("sat-a"), "the event is gone")
    assert browser.run("return document.getElementById('who').value") == "Ann"
    with Store(shared.folder / "monitor.db", check=False) as store:
        (event,) = store.events.list(stream="sat-a")
        found = store.events.get(event.id)
        assert found is not None
        assert (found.acknowledged_by, [one.text for one in found.comments]) == ("Ann", ["a loose <b>cable</b>"])
    assert browser.complaints() == []
    assert browser.hosts() == {f"127.0.0.1:{shared.port}"}


def test_what_a_stream_is_called_stays_text(browser: Browser, shared: Process) -> None:  # noqa: F811
    shared.feed(EVIL, 30)
    shared.feed(EVIL, 8, fault=9.0)
    open_stream(browser, shared, EVIL)
    browser.until(event_text(EVIL), "its event did not appear")
    assert browser.text("#stream-title") == EVIL
    names = "return [...document.querySelectorAll('#streams a')].map((one) => one.textContent)"
    browser.until(f"{names}.includes({json.dumps(EVIL)})", "it is not listed")
    assert browser.run("return document.images.length") == 0
    browser.find("#who").clear()
    browser.find("#who").send_keys("<i>Eve</i>")
    browser.run(
        "[...document.querySelectorAll('#events li')].find((one) => one.querySelector('a').textContent.includes('img'))"
        ".querySelector('button').click()"
    )
    browser.until("return document.getElementById('events').innerText.includes('<i>Eve</i>')", "not acknowledged")
    assert browser.run("return document.querySelectorAll('#events i').length") == 0
    # Its link leads to it, whatever it is called.
    browser.run("location.hash = ''")
    browser.run("[...document.querySelectorAll('#streams a')].find((one) => one.textContent.includes('img')).click()")
    browser.until(f"return document.getElementById('stream-title').textContent === {json.dumps(EVIL)}", "not chosen")
    assert browser.complaints() == []


def test_many_streams_are_searched_and_paged(browser: Browser, shared: Process) -> None:  # noqa: F811
    for number in range(120):
        shared.feed(f"many-{number:03d}", 1)
    browser.open(shared.address)
    browser.until("return !document.getElementById('pager').hidden", "no pages")
    rows = "return [...document.querySelectorAll('#streams a')].map((one) => one.textContent)"
    browser.find("#search").send_keys("MANY-")
    browser.until("return document.getElementById('pages').textContent.endsWith('of 120')", "the search found others")
    assert browser.run(rows) == [f"many-{number:03d}" for number in range(50)]
    browser.click("#next")
    browser.click("#next")
    browser.until("return document.querySelectorAll('#streams tr').length == 20", "no last page")
    assert browser.run(rows)[-1] == "many-119"
    browser.find("#search").send_keys("007")
    browser.until("return document.querySelectorAll('#streams tr').length == 1", "the search did not start anew")
    Select(browser.find("#state")).select_by_value("event")
    browser.until("return !document.getElementById('streams-empty').hidden", "an event that is none")
    assert "No stream fits" in browser.text("#streams-empty")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (390, False), (1280, True), (1280, False)])
def test_it_fits_and_can_be_read(browser: Browser, shared: Process, width: int, dark: bool) -> None:  # noqa: F811
    stream = f"sat-{width}-{dark}"
    shared.feed(stream, 40)
    shared.feed(stream, 8, fault=9.0)
    browser.shape(width, 844 if width == 390 else 800, dark=dark)
    open_stream(browser, shared, stream)
    browser.until(event_text(stream), "its event did not appear")
    assert browser.run("return document.documentElement.scrollWidth") == width
    right = "[...document.querySelectorAll('canvas')].map((one) => one.getBoundingClientRect().right)"
    assert browser.run(f"return Math.max(...{right})") <= width
    assert browser.run(CONTRAST) == []


#: Texts with less contrast to what is behind them than 4.5:1.
CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!colour.endsWith(", 0)") && colour !== "transparent") return colour;
  }
  return "rgb(255, 255, 255)";
};
const found = new Set();
for (const one of document.querySelectorAll("body *")) {
  const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!text || !one.checkVisibility() || one.disabled || one.closest("option, noscript")) continue;
  const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) found.add(`${one.tagName}.${one.className}: ${one.textContent}`);
}
return [...found];
"""


def test_the_keyboard_reaches_everything(browser: Browser, shared: Process) -> None:  # noqa: F811
    shared.feed("sat-key", 40)
    shared.feed("sat-key", 8, fault=9.0)
    open_stream(browser, shared, "sat-key")
    browser.until(event_text("sat-key"), "its event did not appear")
    browser.find("#search").send_keys("sat-key")
    wanted = {"state", "sat-key", "who", "Acknowledge", "Details"}
    reached: set[str] = set()
    for _ in range(120):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()  # whatever has the focus now
        reached.add(browser.run("const at = document.activeElement; return at.id || at.textContent || at.name"))
        if wanted <= reached:
            break
    assert wanted <= reached
    unnamed = (
        "return [...document.querySelectorAll('input, select, button')].filter((one) => "
        "!(one.labels && one.labels.length) && !one.ariaLabel && !one.textContent.trim()).length"
    )
    assert browser.run(unnamed) == 0


@pytest.mark.slow
def test_the_token_is_asked_for_once(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    monitor = Process(tmp_path, 'token_env = "PAGE_TOKEN"')
    monitor.start()
    try:
        monitor.feed("sat-1", 30)
        browser.open(f"{monitor.address}#stream=sat-1")
        browser.find("#token").send_keys("wrong", Keys.ENTER)
        browser.until("return document.getElementById('wrong').textContent", "the wrong token was taken")
        assert browser.text("#wrong") == "that is not the token"
        browser.find("#token").send_keys(TOKEN, Keys.ENTER)
        browser.until("return document.querySelectorAll('#channels canvas').length == 8", "the right one was not")
        assert browser.run("return document.cookie") == ""
        cookies: list[dict[str, Any]] = browser.driver.get_cookies()
        assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]
        assert TOKEN not in json.dumps(cookies)
        browser.complaints()  # those of the 401 before
        browser.driver.refresh()
        browser.until("return document.querySelectorAll('#channels canvas').length == 8", "it was asked for again")
        assert browser.complaints() == []
    finally:
        monitor.stop()
