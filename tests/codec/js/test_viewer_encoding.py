"""The page that `aez view` serves makes `.aez` files of pictures: in a real browser, read back by aez in Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.image.decoding import decode_picture
from aez.codec.image.distortion import psnr
from aez.commands.codec.view_server import ViewServer
from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.javascript import PACKAGE
from tests.kit.tiny_pictures import lively
from tests.kit.waiting import until


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def saved(browser: Browser, tmp_path: Path) -> Iterator[Path]:  # noqa: F811
    """Where what the page saves comes to lie."""
    browser.seconds = 240  # a worker may have to share its core with much else
    place = {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", place)
    yield tmp_path / "saved"
    browser.open("about:blank")


@pytest.fixture
def served() -> Iterator[str]:
    """The page as `aez view` serves it without files."""
    with ViewServer([]) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


def hills(width: int = 160, height: int = 112) -> NDArray[np.uint8]:
    """Smooth colours with some texture: uint8, (height, width, 3)."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(x / (9 + 5 * c) + 2 * c) * np.cos(y / (14 - 3 * c)) for c in range(3)]
    return np.clip(np.stack(waves, 2) + rng.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)


def encoded(page: Browser) -> int:
    """The size of the file that the page has made, which is shown whole."""
    page.until(
        "return !document.getElementById('save-aez').disabled && document.getElementById('work').hidden ||"
        " !document.getElementById('problem').hidden",
        "nothing was encoded",
    )
    assert page.text("#problem") == ""
    return int(page.text("#encoded").partition(" bytes")[0].replace(",", ""))


def change(page: Browser, control: str, value: str) -> None:
    page.run(
        f"const c = document.getElementById({control!r}); c.value = {value!r};"
        " c.dispatchEvent(new Event('input')); c.dispatchEvent(new Event('change'))"
    )


def drop(page: Browser, path: Path) -> None:
    """As a person does it with a file from a folder."""
    page.run(
        "const i = Object.assign(document.createElement('input'), { type: 'file', id: 'dropped' });"
        " document.body.append(i)"
    )
    page.find("#dropped").send_keys(str(path))
    page.run(
        "const i = document.getElementById('dropped'); const dataTransfer = new DataTransfer();"
        " dataTransfer.items.add(i.files[0]); i.remove(); dispatchEvent(new DragEvent('drop', { dataTransfer }))"
    )


@pytest.mark.slow
def test_a_picture_is_encoded_as_aez_reads_it(browser: Browser, served: str, saved: Path, tmp_path: Path) -> None:  # noqa: F811
    picture = tmp_path / "hills.png"
    pixels = hills()
    Image.fromarray(pixels).save(picture)
    browser.open(served)
    assert not browser.find("#encode").is_displayed()
    drop(browser, picture)
    first = encoded(browser)
    assert browser.run("return document.getElementById('model').selectedOptions[0].text").startswith("photo-visual")
    fast = browser.run("return [...document.getElementById('model').options].find(o => o.text.includes('fast')).value")
    change(browser, "model", fast)
    size = encoded(browser)
    browser.click("#save-aez")
    file = saved / "hills.aez"
    until(file.exists, 60)
    data = file.read_bytes()
    assert len(data) == size != first
    assert browser.text("#encoded").startswith(f"{size:,} bytes, {8 * size / pixels.size * 3:.3f} bits a pixel")
    assert f"{size:,} bytes" in browser.text("#header")
    with file.open("rb") as stream:
        assert Reader(stream, ImageHeader).header.model_id.hex() == fast
    found = decode_picture(data, device="cpu", threads=1).pixels
    assert found.shape == pixels.shape
    assert psnr(pixels, found) > 28
    # Beside the file as it is decoded stands the original.
    assert browser.text("#left-name") == "hills.aez"
    assert browser.text("#right-name") == "hills.png"
    change(browser, "quality", "5")
    assert browser.run("return document.getElementById('save-aez').disabled")  # until it is what the slider says
    assert encoded(browser) < 0.6 * size
    assert browser.text("#chosen") == "5"
    for value in ("20", "40", "90"):  # of orders in a row the last one counts
        change(browser, "quality", value)
    assert encoded(browser) > size


@pytest.mark.usefixtures("saved")
def test_what_cannot_be_encoded_is_said_in_one_sentence(
    browser: Browser,  # noqa: F811
    served: str,
    tmp_path: Path,
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(hills(40, 30)).save(good)
    bad.write_bytes(good.read_bytes()[:60])
    browser.open(served)
    browser.find("#open").send_keys(str(bad))
    browser.until("return !document.getElementById('problem').hidden", "nothing was said")
    assert browser.text("#problem") == "This browser cannot show bad.png as a picture (code 5)."
    assert not browser.find("#encode").is_displayed()
    browser.find("#open").send_keys(str(good))  # everything else goes on
    browser.until("return document.getElementById('status').textContent === 'good.png is open'", "it is not opened")
    assert encoded(browser) > 0
    wide = tmp_path / "wide.png"
    Image.new("L", (2000, 1100), 90).save(wide)
    browser.find("#open").send_keys(str(wide))
    browser.until("return document.getElementById('encoded').textContent.includes('seconds')", "no time is told")
    assert "2.2 million pixels" in browser.text("#encoded")
    assert browser.find("#run").is_displayed()
    assert not browser.find("#save-aez").is_enabled()


def test_a_folder_without_models_takes_one_that_is_dropped(
    browser: Browser,  # noqa: F811
    saved: Path,
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("viewer", "dist"):
        (site / name).symlink_to(PACKAGE / name)
    for name, half in (("encoder", lively().encoding_half()), ("decoder", lively().decoding_half())):
        (tmp_path / f"{name}.aezm").write_bytes(half)
    picture = tmp_path / "small.webp"
    Image.fromarray(hills(64, 48)).save(picture, lossless=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        browser.open(f"http://127.0.0.1:{server.server_port}/viewer/index.html")
        drop(browser, picture)
        browser.until(
            "return document.getElementById('encoded').textContent.startsWith('No model')", "nothing was said"
        )
        drop(browser, tmp_path / "encoder.aezm")
        browser.until("return !document.getElementById('problem').hidden", "it shows what it cannot decode")
        assert f"{lively().id[:16]}" in browser.text("#problem")
        drop(browser, tmp_path / "decoder.aezm")
        browser.until(
            "return document.getElementById('status').textContent.includes('decodes here')", "it is not taken"
        )
        size = encoded(browser)
        browser.click("#save-aez")
        file = saved / "small.aez"
        until(file.exists, 60)
        assert len(file.read_bytes()) == size
        found = decode_picture(file.read_bytes(), model=lively().to_bytes(), device="cpu", threads=1)
        assert found.pixels.shape == (48, 64, 3)
        browser.run("return navigator.serviceWorker.getRegistration().then((found) => found?.unregister())")
    finally:
        browser.open("about:blank")
        server.shutdown()
        thread.join()
        server.server_close()
