"""A real browser for tests: Debian's Chromium, headless, that reaches nothing but this machine.

Use: `from browser import browser` in a test module, with `# noqa: F401` where only the fixture's name is used.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait


def program(name: str, package: str) -> str:
    """The program; the test fails where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: apt-get install {package}")
    return found


class Browser:
    """One window. `seconds` is how long it waits for what has to come."""

    def __init__(self, driver: webdriver.Chrome, seconds: float = 60.0) -> None:
        self.driver, self.seconds = driver, seconds

    def shape(self, width: int, height: int, *, dark: bool = False, scale: float = 1.0) -> None:
        """As a screen of this size in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, address: str) -> None:
        self.driver.get(address)

    def run(self, script: str) -> Any:
        """What the JavaScript returns."""
        return self.driver.execute_script(script)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def click(self, css: str) -> None:
        """Click on it as it stands then; what arrives live may put another in its place at any moment."""
        for _ in range(20):
            with contextlib.suppress(StaleElementReferenceException):
                self.find(css).click()
                return
        pytest.fail(f"{css} did not hold still")

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        """The text of the first such element, read in one go; "" where there is none."""
        found: str = self.driver.execute_script(
            "const found = document.querySelector(arguments[0]); return found ? found.innerText : ''", css
        )
        return found

    def until(self, script: str, what: str) -> Any:
        """Wait until the JavaScript gives something, and return it; `what` is what did not come otherwise."""
        waiting = WebDriverWait(self.driver, self.seconds, poll_frequency=0.1)
        try:
            return waiting.until(lambda driver: driver.execute_script(script))
        except TimeoutException:
            pytest.fail(f"{what}; the page says: {self.text('body')}")

    def complaints(self) -> list[str]:
        """What the console has of errors and warnings since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def hosts(self) -> set[str]:
        """Host and port of every request since the last call."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = urlsplit(message["params"]["request"]["url"])
                if address.scheme not in ("data", "blob"):
                    found.add(address.netloc)
        return found


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """One Chromium for all tests of a module."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-proxy-server",
        "--ignore-certificate-errors",
        "--hide-scrollbars",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver", "chromium-driver")))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def browser(window: Browser) -> Browser:
    """The window, as one that was never used."""
    window.open("about:blank")
    window.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    window.shape(1280, 800)
    window.complaints()
    window.hosts()
    return window
