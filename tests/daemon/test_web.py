"""The monitor over HTTP: probes, figures, the token, what is refused."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.metrics import Metrics
from aez.daemon.web import Web

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Pretend:
    """A monitor of which tests say what it answers."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.problems: list[str] = []
        self.ill: list[str] = []
        self.asked: list[Any] = []
        self.bad: AezError | None = None

    def health(self) -> Sequence[str]:
        return self.ill

    def readiness(self) -> Sequence[str]:
        return self.problems

    def streams(self) -> Sequence[Mapping[str, Any]]:
        return [{"stream": "<b>sat</b>"}]

    def events(self, *, stream: str | None, limit: int, open_only: bool) -> Sequence[Mapping[str, Any]]:
        self.asked.append((stream, limit, open_only))
        if stream == "defect":
            raise RuntimeError("hush-hush")
        return [{"id": "a"}]

    def acknowledge(self, event_id: str, by: str, comment: str) -> bool:
        self.asked.append((event_id, by, comment))
        return event_id == "a"

    def reload(self) -> str:
        if self.bad is not None:
            raise self.bad
        return "models"

    def refresh(self) -> None:
        self.metrics.queue.set(7)


@pytest.fixture
def view() -> Pretend:
    return Pretend()


@pytest.fixture
def web(view: Pretend) -> Iterator[Web]:
    server = Web(view)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def locked(view: Pretend) -> Iterator[Web]:
    server = Web(view, token="sesame")
    server.start()
    yield server
    server.stop()


def ask(web: Web, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{web.port}{path}", data=data, headers=names)
    try:
        with OPENER.open(request, timeout=10) as answer:
            code, body, found = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            code, body, found = error.code, error.read(), error.headers
    return code, json.loads(body) if found["Content-Type"].startswith("application/json") else body.decode(), found


def test_probes_tell_what_is_wrong(web: Web, view: Pretend) -> None:
    assert ask(web, "/healthz")[:2] == (200, {"ok": True, "problems": []})
    view.problems = ["source a: no broker"]
    assert ask(web, "/readyz")[:2] == (503, {"ok": False, "problems": ["source a: no broker"]})
    assert ask(web, "/healthz")[0] == 200
    view.ill = ["the worker has ended"]
    assert ask(web, "/healthz")[0] == 503


def test_metrics_are_prometheus_text_with_gauges_of_now(web: Web, view: Pretend) -> None:
    view.metrics.samples.labels('a "b"\n').inc(3)
    code, text, headers = ask(web, "/metrics")
    assert code == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["aez_queue_chunks", ()] == 7
    assert found["aez_samples_total", (("source", 'a "b"\n'),)] == 3
    assert found["aez_resident_memory_bytes", ()] > 1e7


def test_streams_and_events_are_json_and_names_stay_text(web: Web, view: Pretend) -> None:
    code, body, headers = ask(web, "/api/streams")
    assert (code, body) == (200, {"streams": [{"stream": "<b>sat</b>"}]})
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(web, "/api/events?limit=5&open=true&stream=x%20y")[:2] == (200, {"events": [{"id": "a"}]})
    assert view.asked == [("x y", 5, True)]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1e3", "%D9%A3", "9" * 50])
def test_a_limit_out_of_range_is_refused_in_a_sentence(web: Web, limit: str) -> None:
    code, body, _ = ask(web, f"/api/events?limit={limit}")
    assert code == 400
    assert body["error"].startswith("limit is a whole number from 1 to 1000, not ")


def test_a_defect_shows_no_inside(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    code, body, _ = ask(web, "/api/events?stream=defect")
    assert (code, body) == (500, {"error": "this failed; the log says why"})
    assert "hush-hush" in caplog.text


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/static/x", "/api/events/a"])
def test_other_paths_are_not_there(web: Web, path: str) -> None:
    assert ask(web, path)[0] in (404, 405)


def test_acknowledging_takes_who_and_why(web: Web, view: Pretend) -> None:
    body = json.dumps({"by": "ann", "comment": "seen"}).encode()
    assert ask(web, "/api/events/a/acknowledge", body)[:2] == (200, {"acknowledged": "a"})
    assert view.asked == [("a", "ann", "seen")]
    assert ask(web, "/api/events/b/acknowledge", b"")[0] == 404
    assert ask(web, "/api/events/a/acknowledge", b"{")[0] == 400
    assert ask(web, "/api/events/a/acknowledge", b"[1]")[0] == 400
    assert ask(web, "/api/events/a/acknowledge", b"x" * (1 << 20))[0] == 413


def test_another_page_in_the_browser_cannot_change_anything(web: Web, view: Pretend) -> None:
    assert ask(web, "/api/events/a/acknowledge", b"", Origin="http://evil.example")[0] == 403
    assert view.asked == []
    assert ask(web, "/api/events/a/acknowledge", b"", Origin=f"http://127.0.0.1:{web.port}")[0] == 200


def test_reload_answers_whether_it_worked(web: Web, view: Pretend) -> None:
    assert ask(web, "/api/reload", b"")[:2] == (200, {"reloaded": True, "changes": "models"})
    view.bad = InvalidArgument("monitor.toml:3: web.prot: there is no such key")
    code, body, _ = ask(web, "/api/reload", b"")
    assert (code, body["reloaded"]) == (422, False)
    assert "monitor.toml:3" in body["error"]
    assert ask(web, "/api/reload")[0] == 405


def test_a_token_guards_all_but_the_probes(locked: Web) -> None:
    for path in ("/", "/metrics", "/api/streams", "/api/events", "/none"):
        code, body, headers = ask(locked, path)
        assert code == 401, path
        assert headers["WWW-Authenticate"] == "Bearer"
        assert "sesame" not in json.dumps(body)
    assert ask(locked, "/api/reload", b"")[0] == 401
    assert ask(locked, "/metrics", Authorization="Bearer wrong")[0] == 401
    assert ask(locked, "/metrics", Authorization="Bearer \u00e9")[0] == 401
    assert ask(locked, "/metrics", Authorization="Bearer sesame")[0] == 200
    assert ask(locked, "/healthz")[0] == 200
    assert ask(locked, "/readyz")[0] == 200


def test_a_port_in_use_is_said_before_anything_runs(view: Pretend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArgument, match=rf"web.port {port} of 127.0.0.1 cannot be used: .*in use"):
            Web(view, port=port).start()


def test_an_open_page_without_a_token_is_warned_about(view: Pretend, caplog: pytest.LogCaptureFixture) -> None:
    server = Web(view, "0.0.0.0")
    server.start()
    server.stop()
    assert "without a token" in caplog.text
