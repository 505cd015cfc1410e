"""The monitor over HTTP: probes, figures, the token, what is refused."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.observe.metrics import Metrics
from aez.daemon.web.access import Gate, Wait
from aez.daemon.web.server import Web

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

    def streams(self, **wanted: Any) -> Mapping[str, Any]:
        self.asked.append(wanted)
        return {"streams": [{"stream": "<b>sat</b>"}], "total": 1}

    def rows(self, stream: str, count: int) -> Mapping[str, Any] | None:
        return {"stream": stream, "count": count} if stream == "a/b" else None

    def event(self, event_id: str) -> Mapping[str, Any] | None:
        return {"id": "a", "comments": []} if event_id == "a" else None

    def events(
        self,
        *,
        stream: str | None,
        limit: int,
        open_only: bool,
        after: str | None,
        unseen_only: bool = False,
        incident: str | None = None,
        folded: bool = False,
    ) -> Sequence[Mapping[str, Any]]:
        assert not unseen_only
        self.asked.append((stream, limit, open_only, after))
        if incident or folded:
            self.asked.append((incident, folded))
        if stream == "defect":
            raise RuntimeError("hush-hush")
        return [{"id": "a"}]

    def picture(self, event_id: str) -> bytes | None:
        return b"RIFF" if event_id == "a" else None

    def acknowledge(self, event_id: str, by: str, comment: str) -> bool:
        self.asked.append((event_id, by, comment))
        return event_id == "a"

    def comment(self, event_id: str, by: str, text: str) -> bool:
        if not text:
            raise InvalidArgument("a comment has 1 character or more")
        self.asked.append((event_id, by, text))
        return event_id == "a"

    def forget_stream(self, stream: str) -> None:
        self.asked.append(("forget", stream, ""))

    def reset_stream(self, stream: str) -> None:
        self.asked.append(("reset", stream, ""))

    def rename_stream(self, stream: str, to: str) -> None:
        if to == "taken":
            raise InvalidArgument("there is a stream 'taken' already")
        self.asked.append(("rename", stream, to))

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
    is_json = found.get("Content-Type", "").startswith("application/json")
    return code, json.loads(body) if is_json else body.decode(), found


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
    assert found["process_resident_memory_bytes", ()] > 1e7


def test_streams_and_events_are_json_and_names_stay_text(web: Web, view: Pretend) -> None:
    code, body, headers = ask(web, "/api/streams")
    assert (code, body["streams"]) == (200, [{"stream": "<b>sat</b>"}])
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(web, "/api/events?limit=5&open=true&stream=x%20y")[:2] == (200, {"events": [{"id": "a"}]})
    assert ask(web, "/api/events?after=b")[0] == 200
    assert view.asked[1:] == [("x y", 5, True, None), (None, 100, False, "b")]
    assert ask(web, "/api/events/a")[:2] == (200, {"id": "a", "comments": []})
    assert ask(web, "/api/events/b")[0] == 404


def test_streams_are_asked_for_by_page_and_rows_by_any_name(web: Web, view: Pretend) -> None:
    ask(web, "/api/streams?search=%3Cb%3E&state=event&offset=50&limit=25")
    ask(web, "/api/streams")
    assert view.asked == [
        {"search": "<b>", "state": "event", "offset": 50, "limit": 25},
        {"search": "", "state": None, "offset": 0, "limit": 1000},
    ]
    assert ask(web, "/api/streams?offset=-1")[0] == 400
    assert ask(web, "/api/rows?stream=a%2Fb&rows=5")[:2] == (200, {"stream": "a/b", "count": 5})
    assert ask(web, "/api/rows?stream=c")[0] == 404
    assert ask(web, "/api/rows")[0] == 400


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1e3", "%D9%A3", "9" * 50])
def test_a_limit_out_of_range_is_refused_in_a_sentence(web: Web, limit: str) -> None:
    code, body, _ = ask(web, f"/api/events?limit={limit}")
    assert code == 400
    assert body["error"].startswith("limit is a whole number from 1 to 1000, not ")


def test_a_defect_shows_no_inside(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    code, body, _ = ask(web, "/api/events?stream=defect")
    assert (code, body) == (500, {"error": "this failed; the log says why"})
    assert "hush-hush" in caplog.text


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/page/", "/page/x", "/page/..%2Fweb.py"])
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


def test_streams_are_changed_by_name(web: Web, view: Pretend) -> None:
    def post(what: str, body: object) -> tuple[int, Any]:
        return ask(web, f"/api/streams/{what}", json.dumps(body).encode())[:2]

    assert post("forget", {"stream": "a/b"}) == (200, {"forgotten": "a/b"})
    assert post("reset", {"stream": "<b>"}) == (200, {"reset": "<b>"})
    assert post("rename", {"stream": "a", "to": "b"}) == (200, {"renamed": "a"})
    assert view.asked == [("forget", "a/b", ""), ("reset", "<b>", ""), ("rename", "a", "b")]
    assert post("rename", {"stream": "a", "to": "taken"}) == (400, {"error": "there is a stream 'taken' already"})
    for body in ({}, {"stream": ""}, {"stream": 5}, {"stream": None}, []):
        assert post("forget", body)[0] == 400
    assert post("rename", {"stream": "a"})[0] == 400
    assert ask(web, "/api/streams/forget")[0] == 405
    elsewhere = {"Origin": "http://evil.example"}
    assert ask(web, "/api/streams/forget", b'{"stream": "a"}', **elsewhere)[0] == 403


def test_a_comment_needs_a_text(web: Web, view: Pretend) -> None:
    body = json.dumps({"by": "ann", "text": "a loose cable"}).encode()
    assert ask(web, "/api/events/a/comment", body)[:2] == (200, {"commented": "a"})
    assert view.asked == [("a", "ann", "a loose cable")]
    assert ask(web, "/api/events/b/comment", body)[0] == 404
    assert ask(web, "/api/events/a/comment", b"{}")[0] == 400


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


def login(web: Web, token: str) -> tuple[int, str]:
    """The answer's code, and the cookie as a browser would send it back."""
    code, _, headers = ask(web, "/api/login", json.dumps({"token": token}).encode())
    return code, headers.get("Set-Cookie", "")


def test_a_browser_gets_a_cookie_for_the_token(locked: Web) -> None:
    code, text, _ = ask(locked, "/")
    assert code == 401
    assert 'id="login"' in text
    assert ask(locked, "/page/login.js")[0] == 200
    assert login(locked, "sesam")[0] == 401
    code, cookie = login(locked, "sesame")
    assert code == 200
    assert "sesame" not in cookie
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    shown = cookie.partition(";")[0]
    assert ask(locked, "/api/events", Cookie=shown)[0] == 200
    assert 'id="login"' not in ask(locked, "/", Cookie=shown)[1]
    end = shown.partition("=")[2].partition(".")[0]
    for wrong in (shown[:-1], shown.replace(end, str(int(end) + 1)), f"{shown.partition('=')[0]}=x.\u00e9"):
        assert ask(locked, "/api/events", Cookie=wrong)[0] == 401, wrong


def test_who_guesses_tokens_has_to_wait(locked: Web) -> None:
    _, cookie = login(locked, "sesame")
    for number in range(10):
        assert login(locked, f"wrong {number}")[0] == 401
    code, body, headers = ask(locked, "/api/login", b'{"token": "wrong again"}')
    assert code == 429
    assert 1 <= int(headers["Retry-After"]) <= 60
    assert "too many wrong tokens" in body["error"]
    assert ask(locked, "/metrics", Authorization="Bearer guessed")[0] == 429
    assert ask(locked, "/metrics", Authorization="Bearer sesame")[0] == 200  # somebody else behind the same address
    assert login(locked, "sesame")[0] == 200
    assert ask(locked, "/metrics", Cookie=cookie.partition(";")[0])[0] == 200  # who is in stays in


def test_cookies_end_and_waiting_does() -> None:
    now = [1e9]
    gate = Gate("sesame", now=lambda: now[0], ticks=lambda: now[0])
    cookie = gate.cookie()
    assert gate.knows(cookie)
    assert Gate("sesame", now=lambda: now[0]).knows(cookie)  # also after a restart
    assert not Gate("another", now=lambda: now[0]).knows(cookie)
    for _ in range(10):
        assert not gate.shows("wrong", "10.0.0.1")
    with pytest.raises(Wait):
        gate.shows("wrong", "10.0.0.1")
    assert gate.shows("sesame", "10.0.0.1")
    assert not gate.shows("wrong", "10.0.0.2")
    now[0] += 61
    assert not gate.shows("wrong", "10.0.0.1")
    now[0] += 31 * 86_400
    assert not gate.knows(cookie)


def test_without_a_token_a_name_from_elsewhere_is_not_answered(web: Web, locked: Web) -> None:
    for path in ("/", "/api/events", "/metrics"):
        assert ask(web, path, Host="attacker.example:80")[0] == 403
        assert ask(web, path, Host=f"localhost:{web.port}")[0] == 200
        assert ask(web, path, Host="[::1]:9464")[0] == 200
    assert ask(locked, "/metrics", Host="monitor.example", Authorization="Bearer sesame")[0] == 200


def test_connections_are_limited(view: Pretend) -> None:
    server = Web(view, connections=2)
    server.start()
    try:
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(3)]
        held[2].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert held[2].recv(100) == b""
        held[0].close()
        until_ok = time.monotonic() + 20
        while True:
            try:
                assert ask(server, "/healthz")[0] == 200
                break
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < until_ok
    finally:
        for one in held:
            one.close()
        server.stop()


def test_files_of_the_page_are_not_sent_again_unchanged(web: Web) -> None:
    code, text, headers = ask(web, "/")
    assert code == 200
    assert "<script" in text
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert ask(web, "/", If_None_Match=headers["ETag"])[0] == 304
    assert ask(web, "/page/uPlot.iife.min.js")[2]["Content-Type"].startswith("text/javascript")


def test_a_port_in_use_is_said_before_anything_runs(view: Pretend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArgument, match=rf"web.port {port} of 127.0.0.1 cannot be used: .*in use"):
            Web(view, port=port).start()
    with pytest.raises(InvalidArgument, match=r"of a\.\.b cannot be used: 'a\.\.b' is no name of a host"):
        Web(view, "a..b", port).start()


def test_an_open_page_without_a_token_is_warned_about(view: Pretend, caplog: pytest.LogCaptureFixture) -> None:
    server = Web(view, "0.0.0.0")
    server.start()
    server.stop()
    assert "without a token" in caplog.text
