"""The page that `aez view` serves, in a real browser: opened, moved, compared, saved; what is wrong stands there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aez.codec.container.image_header import ImageHeader
from aez.codec.image.decoding import decode_picture
from aez.commands.codec.view_server import ViewServer
from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.golden_refused import SIGNATURE, framed
from tests.kit.page_server import GOLDEN
from tests.kit.waiting import until


@contextmanager
def viewed(page: Browser, *paths: Path) -> Iterator[str]:
    """The page with these files, once it has said what came of the first one."""
    with ViewServer(paths) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            page.open(server.address)
            settled(page)
            yield server.address
        finally:
            page.open("about:blank")
            server.shutdown()
            thread.join()


def settled(page: Browser) -> None:
    page.until(
        "return !document.getElementById('problem').hidden || (document.getElementById('work').hidden &&"
        " document.getElementById('status').textContent.endsWith('is open'))",
        "nothing came of it",
    )


def painted(page: Browser) -> int:
    """How many pixels of the stage are not empty."""
    found: int = page.run(
        "const c = document.getElementById('stage');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n"
    )
    return found


def press(page: Browser, key: str) -> None:
    page.run("document.getElementById('stage').focus()")
    page.find("#stage").send_keys(key)


def choose(page: Browser, what: str) -> None:
    page.run(f"const s = document.getElementById('against'); s.value = {what!r}; s.dispatchEvent(new Event('change'))")


def test_a_file_is_opened_looked_at_and_saved(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    place = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", place)
    with viewed(browser, GOLDEN / "learned_tiles.aez", GOLDEN / "turned.aez"):
        assert browser.text("#problem") == ""
        assert "61x83 pixels" in browser.text("#header")
        assert browser.text("#chunks").splitlines()[1].split()[:2] == ["tile", "2"]
        assert painted(browser) == 61 * 83
        assert "learned_tiles.aez" in (browser.find("#stage").accessible_name or "")
        press(browser, "+")
        browser.until("return document.getElementById('zoom').textContent === '150 %'", "no zoom")
        press(browser, "h")
        browser.until("return !document.getElementById('legend').hidden", "no heat map")
        press(browser, "0")
        browser.until("return document.getElementById('zoom').textContent === '100 %'", "no fit")
        press(browser, "1")
        for _ in range(12):
            press(browser, "\ue014")  # the arrow to the right: the picture goes to the left, its middle at most
        browser.until("return document.getElementById('work').hidden", "tiles are missing")
        assert painted(browser) == 61 * 83
        choose(browser, "image/jpeg")
        browser.until("return document.getElementById('compared').textContent.startsWith('JPEG at')", "no JPEG")
        browser.click("#save")
        saved = tmp_path / "learned_tiles.png"
        until(saved.exists, 60)
        model = GOLDEN / "golden.aezm"
        expected = decode_picture((GOLDEN / "learned_tiles.aez").read_bytes(), model=model, device="cpu", threads=1)
        found = np.asarray(Image.open(saved).convert("RGB"), np.int32)
        assert np.abs(found - expected.pixels).max() <= 1
        choose(browser, "image/avif")
        browser.until(
            "return !document.getElementById('problem').hidden ||"
            " document.getElementById('compared').textContent.startsWith('AVIF at')",
            "neither AVIF nor a word about it",
        )
        browser.run("const f = document.getElementById('files'); f.value = '1'; f.dispatchEvent(new Event('change'))")
        browser.until("return document.getElementById('header').innerText.includes('20x33 pixels')", "no second file")
        settled(browser)
        assert painted(browser) == 20 * 33


def test_only_tiles_that_are_seen_are_decoded(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    from aez.codec.image.api import encode_picture

    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 4, (2048, 2048, 3), np.uint8)
    path = tmp_path / "wide.aez"
    path.write_bytes(encode_picture(Image.fromarray(pixels), lossless=True, tile=128).data)
    with viewed(browser, path):
        browser.run(
            "globalThis.made = 0; const own = createImageBitmap;"
            "globalThis.createImageBitmap = (...all) => { made++; return own(...all); };"
        )
        press(browser, "1")
        browser.until("return made > 0 && document.getElementById('work').hidden", "tiles are missing")
        seen = browser.run("return made")
        assert 0 < seen < 150  # of 256
        press(browser, "\ue014")
        browser.until(f"return made > {seen} && document.getElementById('work').hidden", "no tiles came")
        assert browser.run("return made") - seen < 40


def _truncated(data: bytes) -> bytes:
    return data[:-40]


def _damaged(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


def _huge(_: bytes) -> bytes:
    return SIGNATURE + framed("H", ImageHeader(2_000_000_000, 2_000_000_000, "RGB", 0, bytes(8), 2048).pack())


@pytest.mark.parametrize(("make", "code"), [(_truncated, 3), (_damaged, 3), (_huge, 3)])
def test_what_is_wrong_with_a_file_stands_on_the_page(
    browser: Browser,  # noqa: F811
    tmp_path: Path,
    make: Any,
    code: int,
) -> None:
    path = tmp_path / "bad.aez"
    path.write_bytes(make((GOLDEN / "exact_rgb.aez").read_bytes()))
    with viewed(browser, path, GOLDEN / "exact_grey.aez"):
        words = browser.text("#problem")
        assert words.endswith(f"(code {code}).")
        assert words.count(". ") == 0
        browser.run("const f = document.getElementById('files'); f.value = '1'; f.dispatchEvent(new Event('change'))")
        browser.until("return document.getElementById('header').innerText.includes('56x40')", "no second file")
        settled(browser)
        assert browser.run("return document.getElementById('problem').hidden")  # everything else goes on
        assert painted(browser) == 56 * 40


def test_a_model_that_is_nowhere_is_named(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "alone.aez"
    path.write_bytes((GOLDEN / "learned_grey.aez").read_bytes())
    with viewed(browser, path):
        browser.until("return !document.getElementById('problem').hidden", "nothing was said")
        assert browser.text("#problem").endswith("(code 4).")
        assert "add05d793ae7a288" in browser.text("#problem")


def test_the_page_is_kept_for_when_there_is_no_network(browser: Browser) -> None:  # noqa: F811
    with viewed(browser, GOLDEN / "exact_grey.aez") as address:
        plain = address.removesuffix("?served")
        browser.open(plain)
        browser.until(
            "return navigator.serviceWorker.getRegistration().then((found) => Boolean(found?.active))",
            "no service worker",
        )
        manifest = browser.run("return fetch('manifest.webmanifest').then((answer) => answer.json())")
        assert manifest["display"] == "standalone"
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        browser.driver.execute_cdp_cmd("Network.enable", {})
        browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        try:
            browser.open(plain)
            assert browser.text("h1") == "aez"
            assert browser.run("return document.styleSheets.length") == 1
        finally:
            online = {**offline, "offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
            browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", online)
            browser.run("return navigator.serviceWorker.getRegistration().then((found) => found.unregister())")
