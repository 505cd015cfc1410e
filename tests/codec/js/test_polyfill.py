"""`<img>` and `<picture>` with `.aez` files in a real browser: each address fetched once, no broken picture between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.page_server import POLICY, PageServer, put_package, serving

_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>pictures</title><link rel="icon" href="data:,">'
    '<script type="module" src="/page.js"></script>'
)
_SCRIPT = """
import { models, start } from "/dist/polyfill.js";
models("/models/{id}.aezm");
globalThis.stop = start();
globalThis.told = [];
for (const kind of ["load", "error", "aez-error"]) {
  document.addEventListener(kind, ({ type, target, detail }) => {
    if (target.localName === "img") told.push([type, target.id, detail?.code ?? null]);
  }, true);
}
globalThis.shown = (id) => {
  const image = document.getElementById(id);
  return image?.complete && told.some(([kind, of]) => kind === "load" && of === id) && image.naturalWidth > 0 &&
    [image.naturalWidth, image.naturalHeight];
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


def shown(page: Browser, of: str) -> list[int]:
    found: list[int] = page.until(f"return shown({of!r})", f"{of} was not shown")
    return found


def test_pictures_of_one_address_are_fetched_once(browser: Browser, server: PageServer) -> None:  # noqa: F811
    one = "".join(f'<img id="i{number}" src="learned_tiles.aez" alt="">' for number in range(6))
    opened(browser, server, f'{one}<img id="turned" src="turned.aez?size=1#part" alt="">')
    for number in range(6):
        assert shown(browser, f"i{number}") == [61, 83]
    assert shown(browser, "turned") == [20, 33]
    # Those in the HTML the browser asked for itself, and has in its cache where all had come when the script ran.
    assert max(server.fetched(f"/{name}.aez") for name in ("learned_tiles", "turned")) <= 1
    assert browser.run("return told.filter(([kind]) => kind !== 'load')") == []
    browser.run("const i = new Image(); i.id = 'late'; i.src = 'learned_tiles.aez'; document.body.append(i)")
    assert shown(browser, "late") == [61, 83]
    assert server.fetched("/learned_tiles.aez") <= 1, "a script's picture the browser alone may ask for again"


def test_the_browser_chooses_among_candidates_and_only_that_one_is_fetched(
    browser: Browser,  # noqa: F811
    server: PageServer,
) -> None:
    opened(
        browser,
        server,
        '<img id="one" srcset="exact_grey.aez 1x, exact_one_bit.aez 2x" src="exact_16_bits.aez" alt="">'
        '<picture><source media="(max-width: 10px)" srcset="exact_shapes.aez" type="image/aez">'
        '<source srcset="alpha_rgba.aez 61w, exact_shapes.aez 320w" sizes="40px" type="image/aez">'
        '<img id="two" src="/none.png" alt=""></picture>',
    )
    assert shown(browser, "one") == [56, 40]
    shown(browser, "two")
    assert server.fetched("/alpha_rgba.aez") == 1
    for never in ("exact_one_bit", "exact_16_bits", "exact_shapes"):
        assert server.fetched(f"/{never}.aez") == 0, never


def test_a_file_that_cannot_be_shown_leaves_the_words(browser: Browser, server: PageServer) -> None:  # noqa: F811
    server.put("/bad.aez", (server.files["/exact_rgb.aez"].data)[:100])
    opened(
        browser,
        server,
        '<img id="one" src="bad.aez" alt="a bridge"><img src="http://%%/no.aez">'
        '<img id="two" src="exact_rgb.aez" alt="">',
    )
    assert shown(browser, "two") == [61, 83]
    told = browser.until("return told.find(([kind]) => kind === 'aez-error')", "no error came")
    assert told == ["aez-error", "one", 3]
    assert browser.run("return told.filter(([kind, of]) => kind === 'error' && of === 'one').length") == 1
    assert server.fetched("/bad.aez") <= 1


def test_what_leaves_the_page_is_given_back_and_stopping_leaves_what_is_shown(
    browser: Browser,  # noqa: F811
    server: PageServer,
) -> None:
    opened(browser, server, '<img id="one" src="exact_rgb.aez" alt=""><img id="two" src="exact_grey.aez" alt="">')
    shown(browser, "one")
    shown(browser, "two")
    browser.run("globalThis.held = document.getElementById('one'); globalThis.blob = held.src; held.remove()")
    gone = "const done = arguments[0]; fetch(blob).then(() => done(false), () => done(true))"
    assert browser.driver.execute_async_script(gone) is True
    browser.run("told.length = 0; document.body.append(held)")
    assert shown(browser, "one") == [61, 83]
    assert server.fetched("/exact_rgb.aez") in (1, 2)
    browser.run("stop(); const i = new Image(); i.id = 'late'; i.src = 'exact_one_bit.aez'; document.body.append(i)")
    browser.until("return document.getElementById('late').complete", "the browser did not try")
    assert server.fetched("/exact_one_bit.aez") == 0
    assert browser.run("return document.getElementById('two').naturalWidth") == 56
