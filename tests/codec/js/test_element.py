"""`<aez-img>` in a real browser, under a strict policy: its box, its picture, its words, its events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from aez.codec.container.image_header import ImageHeader
from aez.codec.image.decoding import decode_picture, describe
from tests.codec.golden.test_vectors import FOLDER
from tests.codec.js.test_browser import shown
from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.golden_refused import SIGNATURE, framed
from tests.kit.page_server import POLICY, PageServer, Served, put_package, serving

_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>pictures</title><link rel="icon" href="data:,">'
    '<script type="module" src="/page.js"></script>'
)
_SCRIPT = """
import { models } from "/dist/element.js";
models("/models/{id}.aezm");
globalThis.told = [];
for (const kind of ["load", "error", "progress"]) {
  document.addEventListener(kind, ({ type, target, error, loaded, total }) => {
    const { code, name } = error ?? {};
    if (target.localName === "aez-img") told.push({ type, of: target.id, code, name, loaded, total });
  }, true);
}
globalThis.shifts = 0;
new PerformanceObserver((list) => { for (const { value } of list.getEntries()) shifts += value; })
  .observe({ type: "layout-shift", buffered: true });
globalThis.pixels = (id) => {
  const canvas = document.getElementById(id).shadowRoot.querySelector("canvas");
  return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
};
"""


@pytest.fixture
def server() -> Iterator[PageServer]:
    with serving() as served:
        put_package(served)
        served.put("/page.js", _SCRIPT)
        yield served


def opened(page: Browser, server: PageServer, body: str) -> None:
    server.put("/index.html", _PAGE + body, Content_Security_Policy=POLICY)
    page.open(f"{server.address}/index.html")


def image(of: str, src: str) -> str:
    return f'<aez-img id="{of}" src="{src}" alt="{of}"></aez-img>'


def told(page: Browser, what: str, of: str = "one") -> dict[str, Any]:
    """The first event of this kind of an element."""
    script = f"return told.find(({{ type, of }}) => type === {what!r} && of === {of!r})"
    found: dict[str, Any] = page.until(script, f"{what} of {of} did not come")
    return found


def size(page: Browser, of: str = "one") -> list[float]:
    found: list[float] = page.run(
        f"const box = document.getElementById({of!r}).getBoundingClientRect(); return [box.width, box.height]"
    )
    return found


def vector(name: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text())
    return next(entry for entry in entries if entry["file"] == name)


def test_a_picture_of_tiles_is_shown_in_a_box_of_its_size(browser: Browser, server: PageServer) -> None:  # noqa: F811
    header = vector("learned_tiles.aez")["header"]
    opened(browser, server, '<aez-img id="one" src="learned_tiles.aez" alt="tiles"></aez-img>')
    told(browser, "load")
    assert size(browser) == [header["width"], header["height"]]
    progress = browser.run("return told.filter(({ type }) => type === 'progress')")
    assert [step["loaded"] for step in progress] == [*range(1, progress[-1]["total"] + 1)]
    assert len(progress) > 1
    assert len(set(browser.run("return pixels('one')"))) > 8
    assert browser.complaints() == []
    assert "/dist/rest.js" not in dict(server.asked), "a learned picture needs the main file alone"


def test_a_turned_picture_stands_upright(browser: Browser, server: PageServer) -> None:  # noqa: F811
    """Its stored pixels lie on their side; the decoder itself is held to aez elsewhere."""
    opened(browser, server, '<aez-img id="one" src="turned.aez" alt="turned"></aez-img>')
    told(browser, "load")
    header = vector("turned.aez")["header"]
    assert size(browser) == [header["height"], header["width"]]
    picture = decode_picture(
        (FOLDER / "turned.aez").read_bytes(), model=FOLDER / "golden.aezm", device="cpu", threads=1
    )
    expected = shown(picture.image_of_8_bits, header["orientation"])
    found = browser.run("return pixels('one')")
    assert max(abs(one - other) for one, other in zip(found, expected, strict=True)) <= 1
    assert "/dist/rest.js" in dict(server.asked)


def test_the_box_is_there_with_the_first_bytes_and_tiles_as_they_come(browser: Browser, server: PageServer) -> None:  # noqa: F811
    data = (FOLDER / "exact_rgb.aez").read_bytes()
    tiles = [chunk for chunk in describe(data)["chunks"] if chunk["type"] == "T"]
    assert len(tiles) == 2
    cut = tiles[1]["offset"]
    head = Served(data[:78], later=data[78:])
    server.files["/head.aez"] = head
    half = Served(data[:cut], later=data[cut:])
    server.files["/half.aez"] = half
    opened(
        browser,
        server,
        '<aez-img id="one" src="head.aez"></aez-img><aez-img id="two" src="half.aez"></aez-img><p id="after">after</p>',
    )
    browser.until("return document.getElementById('one').naturalWidth", "no header came")
    assert size(browser) == [61, 83]
    assert browser.run("return document.getElementById('one').complete") is False
    head.rest.set()
    told(browser, "load")
    told(browser, "progress", "two")
    assert browser.run("return told.some(({ type, of }) => type === 'load' && of === 'two')") is False
    half.rest.set()
    told(browser, "load", "two")


def test_attributes_reserve_the_box_before_any_byte(browser: Browser, server: PageServer) -> None:  # noqa: F811
    data = (FOLDER / "exact_rgb.aez").read_bytes()
    server.files["/late.aez"] = late = Served(b"", later=data)
    server.put("/page.css", "#two { width: 50%; height: auto } body { margin: 0; width: 400px }")
    opened(
        browser,
        server,
        '<link rel="stylesheet" href="/page.css"><aez-img id="one" src="late.aez" width="122" height="166"></aez-img>'
        '<aez-img id="two" src="late.aez" width="61" height="83"></aez-img><p>after</p>',
    )
    browser.until("return Boolean(customElements.get('aez-img'))", "no element came")
    browser.until("return document.styleSheets.length", "no style came")
    before = [size(browser), size(browser, "two")]
    assert before[0] == [122, 166]
    assert before[1][0] == 200
    assert before[1][1] == pytest.approx(200 * 83 / 61, abs=0.1)
    browser.run("shifts = 0")  # the definition of the element itself came after the first paint
    late.rest.set()
    told(browser, "load", "two")
    assert [size(browser), size(browser, "two")] == before
    assert browser.run("return shifts") == 0


@pytest.mark.parametrize(
    ("make", "name", "code"),
    [
        (lambda data: data[: len(data) // 2], "TruncatedFile", 3),
        (lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], "CorruptFile", 3),
        (
            lambda _: b"<!doctype html><p>This is another kind of file, as servers answer when a page is missing.",
            "CorruptFile",
            3,
        ),
        (lambda _: None, "InvalidArgument", 2),
    ],
    ids=["truncated", "damaged", "another", "missing"],
)
def test_words_stand_where_no_picture_comes(
    browser: Browser,  # noqa: F811
    server: PageServer,
    make: Any,
    name: str,
    code: int,
) -> None:
    content = make((FOLDER / "learned_tiles.aez").read_bytes())
    if content is not None:
        server.put("/bad.aez", content)
    opened(
        browser,
        server,
        '<aez-img id="one" src="bad.aez" alt="a bridge"></aez-img><aez-img id="two" src="exact_rgb.aez"></aez-img>',
    )
    error = told(browser, "error")
    assert (error["name"], error["code"]) == (name, code)
    words = browser.run("return document.getElementById('one').shadowRoot.textContent")
    assert words == "a bridge"
    told(browser, "load", "two")  # others are shown all the same


def test_a_model_that_is_not_there_and_a_size_that_no_page_shows(browser: Browser, server: PageServer) -> None:  # noqa: F811
    header = ImageHeader(2_000_000, 2_000_000, "RGB", 1000, bytes(8), 2048)
    server.put("/huge.aez", SIGNATURE + framed("H", header.pack()))
    for path in [path for path in server.files if path.startswith("/models/")]:
        del server.files[path]
    pictures = image("one", "learned_grey.aez") + image("two", "huge.aez") + image("three", "http://%%/none.aez")
    opened(browser, server, pictures)
    assert told(browser, "error")["code"] == 4
    assert told(browser, "error", "two")["code"] == 5
    assert told(browser, "error", "three")["code"] == 2  # no address at all
    assert browser.run("return document.getElementById('three').src") == "http://%%/none.aez"


def test_many_pictures_begin_in_turns_and_workers_lie_where_the_page_says(browser: Browser, server: PageServer) -> None:  # noqa: F811
    opened(browser, server, "")
    # Requests of 3 ms each: what waits for its turn on the page gets it before all of forty have begun.
    found = browser.run("""
      const real = fetch;
      let begun = 0;
      globalThis.fetch = (...asked) => {
        begun++;
        for (const until = performance.now() + 3; performance.now() < until;);
        return real(...asked);
      };
      return import("/dist/element.js").then(async ({ workers }) => {
        workers({ workerUrl: "/elsewhere/thread.js" });
        for (let i = 0; i < 40; i++) {
          const image = document.createElement("aez-img");
          image.src = `exact_grey.aez?${i}`;
          image.id = i ? `i${i}` : "one";
          document.body.append(image);
        }
        await new Promise((resolve) => queueMicrotask(resolve));
        await new Promise((resolve) => setTimeout(resolve));
        return begun;
      });
    """)
    assert 0 < found < 40
    told(browser, "load", "i39")
    assert server.fetched("/exact_grey.aez") == 40
    assert [path for path, _ in server.asked].count("/elsewhere/thread.js") >= 1
    assert browser.run("return told.filter(({ type }) => type === 'error').length") == 0


def test_another_origin_that_does_not_allow_it_is_an_error(browser: Browser, server: PageServer) -> None:  # noqa: F811
    with serving() as other:
        other.put("/exact_rgb.aez", (FOLDER / "exact_rgb.aez").read_bytes())
        other.put("/open.aez", (FOLDER / "exact_rgb.aez").read_bytes(), Access_Control_Allow_Origin="*")
        body = image("one", f"{other.address}/exact_rgb.aez") + image("two", f"{other.address}/open.aez")
        server.put("/index.html", _PAGE + body)
        browser.open(f"{server.address}/index.html")
        error = told(browser, "error")
        assert (error["name"], error["code"]) == ("InvalidArgument", 2)
        told(browser, "load", "two")


def test_lazy_pictures_wait_until_they_are_near(browser: Browser, server: PageServer) -> None:  # noqa: F811
    far = '<br><svg width="9" height="5000"></svg><br><aez-img id="one" src="exact_rgb.aez" loading="lazy"></aez-img>'
    opened(browser, server, f'<aez-img id="two" src="exact_grey.aez"></aez-img>{far}')
    told(browser, "load", "two")
    assert server.fetched("/exact_rgb.aez") == 0
    browser.run("document.getElementById('one').scrollIntoView()")
    told(browser, "load")
    assert server.fetched("/exact_rgb.aez") == 1


def test_what_leaves_the_page_ends_and_gives_its_memory_back(browser: Browser, server: PageServer) -> None:  # noqa: F811
    data = (FOLDER / "exact_rgb.aez").read_bytes()
    server.files["/slow.aez"] = Served(data[:200], later=data[200:])
    opened(
        browser, server, '<aez-img id="one" src="slow.aez"></aez-img><aez-img id="two" src="exact_grey.aez"></aez-img>'
    )
    browser.until("return document.getElementById('one').naturalWidth", "no header came")
    browser.run(
        "globalThis.held = document.getElementById('one'); globalThis.canvas = held.shadowRoot.querySelector('canvas');"
        "held.remove();"
    )
    assert browser.run("return canvas.width") == 0
    told(browser, "load", "two")  # the one before it is out of the way
    browser.run("held.src = 'exact_one_bit.aez'; document.body.append(held)")
    told(browser, "load")
    browser.run("document.body.prepend(held)")  # one that is moved stays as it is
    assert server.fetched("/exact_one_bit.aez") == 1
    assert browser.run("return held.complete && pixels('one').some(Boolean)")


def test_assistive_technology_hears_the_words(browser: Browser, server: PageServer) -> None:  # noqa: F811
    opened(browser, server, '<aez-img id="one" src="exact_rgb.aez" alt="a bridge"></aez-img>')
    told(browser, "load")
    element = browser.find("#one")
    assert element.aria_role in ("img", "image")
    assert element.accessible_name == "a bridge"
