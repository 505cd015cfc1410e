"""Alarms on the live page: a link leads to an event with its rows, and its stream can be muted there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.daemon.web.test_page import OPENER, Process
from tests.kit.browser import Browser, browser, window  # noqa: F401 - fixtures


def test_a_link_shows_an_event_with_its_rows_and_mutes_its_stream(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    monitor = Process(tmp_path)
    monitor.start()
    try:
        monitor.feed("sat-1", 60)
        monitor.feed("sat-1", 12, fault=9.0)
        monitor.feed("sat-1", 30)
        browser.open(monitor.address)
        browser.until("return document.querySelectorAll('#events li.event').length == 1", "no event is listed")
        with OPENER.open(f"{monitor.address}api/events?limit=1", timeout=10) as answer:
            (event,) = json.loads(answer.read())["events"]
        browser.open(f"{monitor.address}#event={event['id']}")
        browser.until("return document.querySelectorAll('#events .curve canvas').length >= 2", "its rows are not drawn")
        text = browser.text("#events")
        assert "bus_voltage" in text
        assert "expected" in text
        for width, height in ((1280, 900), (390, 844)):
            browser.shape(width, height)
            assert browser.run("return document.documentElement.scrollWidth") <= width
            if folder := os.environ.get("AEZ_KEEP_SHOTS"):
                browser.run("document.querySelector('#events').scrollIntoView()")
                browser.driver.save_screenshot(str(Path(folder) / f"alarms-{width}.png"))
        browser.run("document.querySelector('#events form.mute input').value = 'service'")
        browser.click("#events form.mute button")
        browser.until("return document.querySelector('#events form.mute').innerText == 'Muted.'", "it was not muted")
        with OPENER.open(f"{monitor.address}api/mutes", timeout=10) as answer:
            (mute,) = json.loads(answer.read())["by_hand"]
        assert (mute["pattern"], mute["reason"]) == ("sat-1", "service")
        monitor.feed("sat-1", 100)
        monitor.feed("sat-1", 12, fault=9.0)
        monitor.feed("sat-1", 30)
        browser.until("return document.querySelectorAll('#events li.not-sent').length == 1", "it is not marked")
        assert "muted: service" in browser.text("#events")
        assert browser.complaints() == []
    finally:
        monitor.stop()
