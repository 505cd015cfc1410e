"""Pictures of events over HTTP and in the page, streams of frames in it, and lists of events that go on."""

from __future__ import annotations

import http.client
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from aez.codec.bundle.bundle import save_bundle
from aez.daemon.common.records import EventRecord
from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.state.store import Store
from tests.kit import hand_made_picture_model as gear
from tests.kit.brokers import free_port
from tests.kit.browser import Browser, browser, window  # noqa: F401 - fixtures
from tests.kit.frame_models import SECOND, START, write_frame

TOKEN = "sesame-and-more"
CONFIG = """\
[service]
device = "cpu"
threads = 1
[web]
port = {port}
token_file = "token"
[[models]]
path = "gear.aezm"
reopen_seconds = 0
[[sources]]
name = "camera"
kind = "frames"
paths = ["cameras/*/*.png"]
settle_seconds = 0.05
"""
OLD = 450  # events of another stream, all before the frames


class Site:
    """A monitor with a camera whose frames 8 and 9 of 20 are faulty, and with many events of before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        save_bundle(gear.bundle(), folder / "gear.aezm")
        self.port = free_port()
        (folder / "monitor.toml").write_text(CONFIG.replace("{port}", str(self.port)))
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        self.write(20, faulty=(8, 9))
        with Store(folder / "monitor.db") as store:
            store.commit(events=[old_event(number) for number in range(OLD)])
        self.monitor = Monitor(load(folder / "monitor.toml"))
        self.monitor.start()
        end = time.monotonic() + 60
        while self.monitor.counts()["rows"] < 20 or self.monitor.store.events.count("open"):
            assert time.monotonic() < end
            time.sleep(0.02)
        (self.event,) = [one.id for one in self.monitor.store.events.list(stream="north")]

    def write(self, count: int, faulty: tuple[int, ...] = (), first: int = 0) -> None:
        for number in range(count):
            pixels = np.full((gear.HEIGHT, gear.WIDTH, 3), 128, np.uint8)
            if number in faulty:
                pixels[5, 7] = 255  # row 3 column 3 of the regions
            write_frame(self.folder / "cameras" / "north" / f"{first + number:03d}.png", pixels, first + number)

    def ask(self, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The path as it is, which urllib might tidy."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        shown = {"Authorization": f"Bearer {TOKEN}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request("GET", path, headers=shown)
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found


def old_event(number: int) -> EventRecord:
    """Of a stream that is heard of no more, a minute long, the higher the later."""
    start = START - (OLD - number) * 100 * SECOND
    event = {"start_time": start, "end_time": start + 60 * SECOND, "peak": 1.5, "severity": "warning", "channels": []}
    return EventRecord(f"{number:032x}", 0, "close", "old", "gear", start + 60 * SECOND, event)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.monitor.end()


def test_a_picture_is_had_by_its_events_id(site: Site) -> None:
    code, headers, data = site.ask(f"/api/events/{site.event}/picture")
    assert (code, headers["Content-Type"], headers["X-Content-Type-Options"]) == (200, "image/webp", "nosniff")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert data == (site.folder / "monitor.pictures" / f"{site.event}.webp").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert max(image.size) <= 384
    assert site.ask(f"/api/events/{site.event}/picture", If_None_Match=headers["ETag"])[0] == 304
    assert site.ask(f"/api/events/{site.event}/picture", Authorization="Bearer wrong")[0] == 401


def test_nothing_but_pictures_of_events_is_read(site: Site) -> None:
    pictures = site.folder / "monitor.pictures"
    Image.new("RGB", (4, 4)).save(pictures / "secret.webp")
    Image.new("RGB", (4, 4)).save(site.folder / "secret.webp")
    Image.new("RGB", (4, 4)).save(pictures / f"{0:032x}.webp")  # of an event that has none
    up = "..%2fsecret", "%2e%2e%2fsecret", "../secret", "..", "..%5csecret", "%00", "secret%00", "%ff"
    for name in ("secret", f"{0:032x}", f"{site.event}.webp", f"x%2f{site.event}", site.event.upper(), *up):
        code, headers, body = site.ask(f"/api/events/{name}/picture")
        assert code == 404, name
        assert headers["Content-Type"].startswith("application/json")
        assert list(json.loads(body)) == ["error"]


def test_a_picture_that_went_or_is_far_too_large_is_not_there(site: Site) -> None:
    path = site.folder / "monitor.pictures" / f"{site.event}.webp"
    data = path.read_bytes()
    try:
        path.write_bytes(data + bytes(4 << 20))
        assert site.ask(f"/api/events/{site.event}/picture")[0] == 404
        path.unlink()
        assert site.ask(f"/api/events/{site.event}/picture")[0] == 404
    finally:
        path.write_bytes(data)


def test_a_list_of_events_goes_on_behind_its_last(site: Site) -> None:
    found: list[str] = []
    while True:
        after = f"&after={found[-1]}" if found else ""
        _, _, body = site.ask(f"/api/events?stream=old&limit=200{after}")
        page = [one["id"] for one in json.loads(body)["events"]]
        found += page
        if len(page) < 200:
            break
    assert found == [f"{number:032x}" for number in reversed(range(OLD))]
    code, _, body = site.ask("/api/events?after=nobody")
    assert code == 400
    assert "there is no event 'nobody'" in json.loads(body)["error"]


def test_the_page_shows_frames_their_regions_and_the_worst_of_them(browser: Browser, site: Site) -> None:  # noqa: F811
    browser.open(f"http://127.0.0.1:{site.port}/#stream=north")
    browser.find("#token").send_keys(TOKEN, Keys.ENTER)
    browser.until("return document.querySelectorAll('#events li').length == 200", "the events are not listed")
    browser.complaints()  # those of the 401 before
    site.write(3, faulty=(0, 1, 2), first=20)  # the history of rows begins with the first that the page sees
    browser.until("return document.querySelectorAll('#channels figure').length == 16", "the regions did not appear")
    browser.until("return document.getElementById('stream-about').innerText.includes('23 frames')", "no frames")
    first = "return document.querySelector('#channels figure .name').innerText"
    browser.until(f"{first} !== 'row 1 column 1'", "the region to blame does not come first")
    assert browser.run(first) == "row 3 column 3"
    assert "reconstruction" not in browser.text(".key")
    places = browser.run(
        "return [...document.querySelectorAll('#channels figure')].map((one) => {"
        "const box = one.getBoundingClientRect(); return [box.y, box.x, one.querySelector('.name').innerText] })"
    )
    assert [name for _, _, name in sorted(places)] == [f"row {1 + at // 4} column {1 + at % 4}" for at in range(16)]

    browser.until("return document.querySelectorAll('#events li.open').length == 1", "the event is not listed")
    assert browser.run("return document.images.length") == 0  # none is fetched before somebody looks
    browser.click("#events li.open button.quiet")
    loaded = "const one = document.querySelector('.worst img'); return one && one.complete && one.naturalWidth"
    assert browser.until(loaded, "the picture did not come") == 192
    image = browser.find(".worst img")
    assert re.search(r"north in the event of 2023-11-14T22:13:40", image.get_attribute("alt") or "")
    assert image.get_attribute("loading") == "lazy"
    browser.find(".worst").send_keys(Keys.ENTER)
    assert image.rect["width"] == 768
    browser.find("#events li form.say input").send_keys("a scratch", Keys.ENTER)
    browser.until(
        "return document.querySelector('#events li.open button.quiet').innerText == 'Picture, comments (1)'",
        "the comment did not appear",
    )
    browser.shape(390, 844)
    browser.until("return document.documentElement.scrollWidth == 390", "it does not fit a phone")
    browser.until("return document.querySelector('.worst img').getBoundingClientRect().right < 390", "the picture")
    browser.shape(1280, 800)

    for count in (400, OLD + 2):
        browser.run("document.getElementById('more-events').click()")
        browser.until(f"return document.querySelectorAll('#events > li').length == {count}", "no more events came")
    assert not browser.find("#more-events").is_displayed()
    assert browser.complaints() == []
