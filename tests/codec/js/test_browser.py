"""The decoder in JavaScript in a real browser: the same symbols and pixels as aez, tile by tile from a stream."""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aez.codec.bundle.bundle import Bundle
from aez.codec.image.decoding import decode_picture, describe
from tests.codec.golden.test_vectors import FOLDER, REFUSED, VECTORS, model_of
from tests.codec.js.test_decoder import phases_of
from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.javascript import DECODER
from tests.kit.tiny_pictures import lively

_DECODE = """
globalThis.decoded = null;
(async () => {
  const { decode } = await import("/aez.js");
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const found = [];
  for (const { file, model } of JOBS) {
    const phases = {};
    const onPhase = (tile, sum) => (phases[tile] ??= []).push(sum.toString(16).padStart(8, "0"));
    try {
      let drawn = 0;
      const onTile = ({ width, height }) => { drawn += width * height; };
      const options = { model: model && (await bytes(model)), onPhase, onTile };
      const picture = await decode(await fetch(file), options);
      const data = [...picture.rgba()];
      found.push({ width: picture.width, height: picture.height, drawn, data, phases });
    } catch (error) {
      found.push({ error: error.name, code: error.code, says: error.message });
    }
  }
  globalThis.decoded = JSON.stringify(found);
})();
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in DECODER.parent.glob("*.js"):
        shutil.copy(file, tmp_path)
    shutil.copytree(FOLDER, tmp_path / "golden")
    (tmp_path / "index.html").write_text("<!doctype html><title>pictures</title>")
    return tmp_path


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    """Where the folder is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def decoded(page: Browser, address: str, jobs: list[dict[str, str | None]]) -> list[dict[str, Any]]:
    page.open(f"{address}/index.html")
    page.run(_DECODE.replace("JOBS", json.dumps(jobs)))
    found: list[dict[str, Any]] = json.loads(page.until("return decoded", "no picture came"))
    return found


def test_golden_files_are_shown_as_aez_shows_them(browser: Browser, address: str, folder: Path) -> None:  # noqa: F811
    jobs: list[dict[str, str | None]] = []
    for entry in VECTORS:
        place = None
        if entry["model"] is not None:
            model = FOLDER / entry["model"]
            place = f"/{model.name}"
            (folder / model.name).write_bytes(Bundle.open(model).decoding_half())
        jobs.append({"file": f"/golden/{entry['file']}", "model": place})
    for entry, found in zip(VECTORS, decoded(browser, address, jobs), strict=True):
        assert "error" not in found, f"{entry['file']}: {found.get('says')}"
        data = (FOLDER / entry["file"]).read_bytes()
        picture = decode_picture(data, model=model_of(entry), device="cpu", threads=1)
        assert found["phases"] == phases_of(entry), entry["file"]
        header = entry["header"]
        size = (header["width"], header["height"])
        turned = size[::-1] if header["orientation"] > 4 else size
        assert (found["width"], found["height"]) == turned, entry["file"]
        assert found["drawn"] == turned[0] * turned[1], entry["file"]
        expected = shown(picture.image_of_8_bits, header["orientation"])
        difference = max(abs(one - other) for one, other in zip(found["data"], expected, strict=True))
        assert difference <= max(entry["largest_difference"], 1 if header["bits"] > 8 else 0), entry["file"]


def shown(image: Image.Image, orientation: int) -> list[int]:
    """Red, green, blue and alpha, turned as they are shown."""
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    rgba = image.convert("RGBA")
    turned = rgba.transpose(Image.Transpose(turns[orientation])) if orientation in turns else rgba
    return list(turned.tobytes())


def test_refused_files_end_in_their_errors(browser: Browser, address: str) -> None:  # noqa: F811
    listed = [entry for entry in REFUSED if entry["file"].endswith(".aez")]
    jobs: list[dict[str, str | None]] = [
        {"file": f"/golden/refused/{entry['file']}", "model": "/golden/golden.aezm"} for entry in listed
    ]
    for entry, found in zip(listed, decoded(browser, address, jobs), strict=True):
        assert (found.get("error"), found.get("code")) == (entry["error"], entry["code"]), entry["file"]


_WORKERS = """
globalThis.found = null;
(async () => {
  const { decode, AezError } = await import("/aez.js");
  const { Pool } = await import("/worker.js");
  const { encode } = await import("/encode.js");
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const [encoder, model] = [await bytes("/encoder.aezm"), await bytes("/decoder.aezm")];
  const [width, height] = [1100, 1000];
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([i % 256, (i / width) % 256, (i / 7) % 256, 255], 4 * i);
  const file = await encode(image, { model: encoder, quality: 50, tile: 512 });
  const pool = new Pool({ size: 2, idle: 50 });
  let [drawn, begun] = [0, 0];
  const onTile = ({ width, height }) => {
    drawn += width * height;
    begun = Math.max(begun, pool.members.length);
  };
  const picture = await pool.decode(file, { model, onTile });
  const expected = await decode(file, { model });
  const [one, other] = [picture.rgba(), expected.rgba()];
  const failed = await pool.decode(file.slice(0, -9), { model }).catch((error) => error);
  while (pool.members.length) await new Promise((resolve) => setTimeout(resolve, 20));
  globalThis.found = JSON.stringify({
    begun, drawn, size: file.length, without: pool.without,
    same: one.length === other.length && one.every((byte, at) => byte === other[at]),
    error: failed instanceof AezError && failed.name + failed.code,
  });
})().catch((error) => { globalThis.found = JSON.stringify({ thrown: String(error.stack) }); });
"""


def test_a_page_encodes_and_workers_decode(browser: Browser, address: str, folder: Path) -> None:  # noqa: F811
    """In two workers, which end when they have nothing to do; where a policy forbids them, without."""
    (folder / "encoder.aezm").write_bytes(lively().encoding_half())
    (folder / "decoder.aezm").write_bytes(lively().decoding_half())
    policy = "<meta http-equiv=Content-Security-Policy content=\"worker-src 'none'\">"
    (folder / "strict.html").write_text(f"<!doctype html>{policy}<title>pictures</title>")
    for page, workers in (("index.html", 2), ("strict.html", 0)):
        browser.open(f"{address}/{page}")
        browser.run(_WORKERS)
        found = json.loads(browser.until("return found", "nothing came"))
        assert found["same"], found
        assert found["error"] == "TruncatedFile3"
        assert (found["begun"], found["without"]) == (workers, not workers)
        assert found["drawn"] == 1100 * 1000


_SERVICE = """
import { decode } from "/aez.js";
import "/rest.js";
addEventListener("message", async ({ data, source }) => {
  const picture = await decode(await fetch(data)).catch((error) => ({ width: String(error) }));
  source.postMessage(picture.width);
});
"""
_ASK = """
globalThis.found = null;
navigator.serviceWorker.addEventListener("message", ({ data }) => { globalThis.found = data; });
navigator.serviceWorker.register("/service.js", { type: "module" });
navigator.serviceWorker.ready.then(({ active }) => active.postMessage("/golden/exact_rgb.aez"));
"""


def test_a_service_worker_decodes_what_needs_the_rest(browser: Browser, address: str, folder: Path) -> None:  # noqa: F811
    """Where `import()` is forbidden, it is imported before."""
    (folder / "service.js").write_text(_SERVICE)
    browser.open(f"{address}/index.html")
    browser.run(_ASK)
    assert browser.until("return found", "nothing came") == describe((FOLDER / "exact_rgb.aez").read_bytes())["width"]
