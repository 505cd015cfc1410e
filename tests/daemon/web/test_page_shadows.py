"""Candidates on the live page: how they compare, and that they can be dropped there."""

from __future__ import annotations

import os
from pathlib import Path

from aez.daemon.shadow.folder import ShadowFolder
from tests.daemon.web.test_page import Process
from tests.kit.browser import Browser, browser, window  # noqa: F401 - fixtures
from tests.kit.satellite_model import save_satellite_model


def test_a_candidate_is_shown_beside_its_model_and_dropped(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    monitor = Process(tmp_path)
    save_satellite_model(tmp_path / "calmer.aezm", threshold=2.6, name="calmer")
    ShadowFolder(tmp_path / "monitor.db").put("satellite", tmp_path / "calmer.aezm")
    monitor.start()
    try:
        monitor.feed("sat-1", 60)
        monitor.feed("sat-1", 12, fault=9.0)
        monitor.feed("sat-1", 30)
        browser.open(monitor.address)
        shown = "return document.querySelector('#shadows')?.innerText.includes('99 rows')"
        browser.until(shown, "the comparison is not shown")
        text = browser.text("#models")
        assert "candidate" in text
        assert "rows above the limit" in text
        for width, height in ((1280, 900), (390, 844)):
            browser.shape(width, height)
            wide = browser.run("return document.documentElement.scrollWidth")
            assert wide <= width
            if folder := os.environ.get("AEZ_KEEP_SHOTS"):
                browser.run("document.getElementById('models').scrollIntoView()")
                browser.driver.save_screenshot(str(Path(folder) / f"shadows-{width}.png"))
        browser.run("window.confirm = () => true")
        browser.click("#shadows button.quiet")
        browser.until("return document.getElementById('models').hidden", "it was not dropped")
        assert browser.run("return document.querySelectorAll('#shadows article').length") == 0
        assert browser.complaints() == []
    finally:
        monitor.stop()
