"""The pages for series and latents in a real browser: from files and a socket, and what they say of bad ones."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import json
import re
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains

from aez.codec.vectors.files import VectorFile
from aez.codec.vectors.model import load_autoencoder
from aez.commands.vectors.explore import explorer
from tests.codec.js.test_browser import _Quiet
from tests.codec.js.test_series import folder, trained  # noqa: F401
from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.commands import run
from tests.kit.javascript import PACKAGE
from tests.kit.made_once import MadeOnce
from tests.kit.rings import rings
from tests.kit.small_autoencoders import small_autoencoders

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of the pages, and the folder that is served."""
    root = tmp_path_factory.mktemp("site")
    for name in ("dist", "pages"):
        shutil.copytree(PACKAGE / name, root / name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}", root
    server.shutdown()
    server.server_close()


def drawn(page: Browser, css: str) -> int:
    """How many colours a canvas has."""
    found: int = page.run(
        f"const c = document.querySelector('{css}');"
        "const d = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer);"
        "return new Set(d).size"
    )
    return found


@pytest.mark.slow
def test_a_file_is_scored_to_its_end(
    browser: Browser,  # noqa: F811
    site: tuple[str, Path],
    trained: Callable[[str], Path],  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    address, root = site
    shutil.copy(trained("pca"), root / "pump.aezm")
    shutil.copy(folder / "test.csv", root / "test.csv")
    told = run("score", root / "pump.aezm", root / "test.csv", "--causal", "--events", tmp_path / "events.csv")
    assert told.exit_code == 0, told.stderr
    browser.open(f"{address}/pages/series/index.html?model=/pump.aezm&csv=/test.csv&speed=5000")
    says = browser.until(
        "const s = document.getElementById('says').textContent; return s.startsWith('All') && s", "no end came"
    )
    assert says.startswith("All 400 rows are scored")
    listed = [*csv.DictReader((tmp_path / "events.csv").read_text().splitlines())]
    lines = browser.run("return [...document.querySelectorAll('#events li')].map((one) => one.textContent)")
    rows = [tuple(map(int, re.findall(r"rows (\d+) to (\d+)", line)[0])) for line in lines]
    assert rows == [(int(row["start"]), int(row["end"]) - 1) for row in listed]
    assert drawn(browser, "#canvas") > 20
    (root / "bad.aezm").write_bytes((root / "pump.aezm").read_bytes()[:5000])
    browser.open(f"{address}/pages/series/index.html?model=/bad.aezm&csv=/test.csv")
    browser.until("return document.querySelector('#says.wrong')", "no refusal came")
    assert browser.text("#says") == "the bundle is no sound zip file"
    assert browser.hosts() == {address.removeprefix("http://")}
    assert browser.complaints() == []


@pytest.mark.slow
def test_rows_come_from_a_socket(
    browser: Browser,  # noqa: F811
    site: tuple[str, Path],
    trained: Callable[[str], Path],  # noqa: F811
    folder: Path,  # noqa: F811
) -> None:
    address, root = site
    shutil.copy(trained("pca"), root / "pump.aezm")
    rows = [*csv.DictReader((folder / "test.csv").read_text().splitlines())][:260]
    browser.open(f"{address}/pages/series/index.html?model=/pump.aezm")
    browser.until("return document.getElementById('says').textContent.startsWith('m: 3')", "no detector came")
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = threading.Thread(target=_send, args=(server, [json.dumps(row) for row in rows]))
        sender.start()
        where = f"ws://127.0.0.1:{server.getsockname()[1]}"
        browser.run(f"document.getElementById('address').value = '{where}'")
        browser.click("#socket button")
        browser.until("return document.getElementById('says').textContent.startsWith('The sender')", "no end came")
        sender.join()
    assert re.match(r"rows 20\d to 2\d\d: \w+, peak [\d.]+, flow", browser.text("#events li"))


def _send(server: socket.socket, texts: list[str]) -> None:
    """Accept a WebSocket and send texts, then close it."""
    connection, _ = server.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)
        assert key
        accepted = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
        )
        for text in texts:
            data = text.encode()
            length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
            connection.sendall(b"\x81" + length + data)
        connection.sendall(b"\x88\x02\x03\xe8")  # the end, as it should be
        while connection.recv(4096):
            pass


@pytest.fixture
def explored(made_once: MadeOnce, tmp_path: Path) -> Iterator[str]:
    """The address of what `aez explore` serves."""
    model = small_autoencoders(made_once)["dense"]
    vectors = load_autoencoder(model, "cpu", 1).encode(rings(60).astype(np.float32)).mean
    labels = tuple(str(number % 3) for number in range(60))
    VectorFile(labels, labels, vectors, {}).write(tmp_path / "vectors.npz")
    server = explorer(str(model), tmp_path / "vectors.npz")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.address
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_latent_is_explored(browser: Browser, explored: str) -> None:  # noqa: F811
    browser.open(explored)
    browser.until("return document.getElementById('time').textContent", "nothing was decoded")
    assert browser.text("#says") == "dense: pictures of 12 x 12 in 5 numbers, family dense; 60 points."
    assert browser.text("#legend").split() == ["0", "1", "2"]
    sizes = "const c = document.getElementById('picture'); return [c.width, c.height]"
    assert browser.run(sizes) == [12, 12]
    assert len(browser.all("#sliders input")) == 5
    picture = "return document.getElementById('picture').toDataURL()"
    before = browser.run(picture)
    browser.click("#from")
    browser.run(
        "const input = document.querySelector('#sliders input'); input.value = input.max;"
        "input.dispatchEvent(new Event('input'));"
    )
    browser.until(f"return document.getElementById('picture').toDataURL() !== '{before}'", "the picture stayed")
    after = browser.run(picture)
    browser.click("#to")
    browser.run(
        "const share = document.getElementById('share'); share.value = 0; share.dispatchEvent(new Event('input'));"
    )
    browser.until(f"return document.getElementById('picture').toDataURL() === '{before}'", "no way back")
    assert after != before
    # On the map the way between the two is dragged along: from the middle, where it begins, to its end and beyond.
    # All of it has to be in view: else its middle is that of the part that is.
    browser.run("document.getElementById('map').scrollIntoView({block: 'center'})")
    across = int(0.3 * browser.run("return document.getElementById('map').clientWidth"))
    drag = ActionChains(browser.driver).move_to_element(browser.find("#map")).click_and_hold()
    drag.move_by_offset(across // 2, 0).move_by_offset(across, 0).release().perform()
    browser.until(f"return document.getElementById('picture').toDataURL() === '{after}'", "no way there")
    assert browser.run("return document.getElementById('share').value") == "1"
    browser.until("return document.getElementById('strip').width > 9 * 12", "no strip came")
    browser.click("#save-way")
    said = browser.until(
        "const s = document.getElementById('says').textContent; return s.startsWith('Saved') && s", "no film came"
    )
    assert int(said.split()[-2]) > 1000
    assert browser.complaints() == []


def test_explore_refuses_what_does_not_fit(made_once: MadeOnce, tmp_path: Path) -> None:
    models = small_autoencoders(made_once)
    VectorFile(("a",), None, np.zeros((1, 7), np.float32), {}).write(tmp_path / "other.npz")
    refused = run("explore", models["dense"], tmp_path / "other.npz", "--no-browser")
    assert refused.exit_code == 2
    assert "codes of model dense have 5 numbers" in refused.stderr
    codec = run("explore", "photo-fast", "--no-browser")
    assert codec.exit_code == 4
