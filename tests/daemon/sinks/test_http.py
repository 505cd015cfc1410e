"""The sinks that speak HTTP: webhook and Alertmanager."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import ssl
import threading
import time
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.sinks.alertmanager import AlertmanagerOptions, AlertmanagerSink
from aez.daemon.sinks.base import Rejected, SinkError
from aez.daemon.sinks.webhook import WebhookOptions, WebhookSink, sign, verify
from tests.kit.brokers import Broker, free_port
from tests.kit.event_steps import SECOND, START, step, steps
from tests.kit.sink_receivers import HttpServer


@pytest.fixture
def server() -> Iterator[HttpServer]:
    started = HttpServer()
    yield started
    started.stop()


def url(server: HttpServer, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}"


# Webhook


def test_a_signature_is_the_one_of_the_specification() -> None:
    # The example of standard-webhooks' own libraries.
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign(b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek", key, now=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert verify(b'{"test": 2432232314}', headers, secret, now=1614265335)


def test_a_post_is_signed_over_its_time_and_body(server: HttpServer) -> None:
    WebhookSink(
        WebhookOptions(url=url(server) + "/hook?a=1", secret="key", token="token", headers={"X-Site": "7"})
    ).deliver(steps(2))
    ((path, headers, body),) = server.posts
    assert path == "/hook?a=1"
    assert headers["Authorization"] == "Bearer token"
    assert headers["X-Site"] == "7"
    assert headers["Content-Type"] == "application/json"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"key", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + b64encode(digest).decode()
    assert [one["id"] for one in json.loads(body)["events"]] == ["e00000", "e00001"]


def test_a_receiver_refuses_what_was_changed_is_old_or_unsigned() -> None:
    body, now = b"{}", 1_700_000_000
    good = sign(body, "msg_1", b"key", now=now)
    assert verify(body, good, "key", now=now + 299)
    assert verify(body, {name.upper(): value for name, value in good.items()}, "key", now=now)
    assert verify(body, good | {"webhook-signature": f"v1,AAAA {good['webhook-signature']} v2,x"}, "key", now=now)
    assert not verify(b"{ }", good, "key", now=now)
    assert not verify(body, good, "other", now=now)
    assert not verify(body, good, "key", now=now + 301)
    assert not verify(body, good, "key", now=now - 301)
    assert not verify(body, good | {"webhook-timestamp": str(now + 1)}, "key", now=now)
    assert not verify(body, good | {"webhook-id": "msg_2"}, "key", now=now)
    assert not verify(body, good | {"webhook-timestamp": "soon"}, "key", now=now)
    assert not verify(body, good | {"webhook-signature": "v1,ü"}, "key", now=now)
    assert not verify(body, {}, "key", now=now)


def test_the_same_body_keeps_its_id_at_each_attempt(server: HttpServer) -> None:
    sink = WebhookSink(WebhookOptions(url=url(server), secret="key"))
    for records in (steps(2), steps(2), steps(3)):
        sink.deliver(records)
    first, again, other = (headers["webhook-id"] for _, headers, _ in server.posts)
    assert first == again != other


def test_bodies_hold_no_more_than_asked(server: HttpServer) -> None:
    WebhookSink(WebhookOptions(url=url(server), batch=4)).deliver(steps(10))
    assert [len(json.loads(body)["events"]) for _, _, body in server.posts] == [4, 4, 2]
    assert "webhook-signature" not in server.posts[0][1]


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 408, 429, 500, 502, 503])
def test_trouble_that_may_pass_is_to_be_tried_again(server: HttpServer, status: int) -> None:
    server.status = status
    with pytest.raises(SinkError, match=str(status)) as caught:
        WebhookSink(WebhookOptions(url=url(server))).deliver(steps(1))
    assert not isinstance(caught.value, Rejected)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_content_that_is_refused_is_not(server: HttpServer, status: int) -> None:
    server.status = status
    with pytest.raises(Rejected, match=str(status)):
        WebhookSink(WebhookOptions(url=url(server))).deliver(steps(1))


def test_a_receiver_that_does_not_answer_is_given_up_in_time(server: HttpServer) -> None:
    given_up = threading.Event()
    server.judge = lambda _: None if given_up.wait(60) else 500  # it answers only then
    with pytest.raises(SinkError, match=r"within 0\.2 s"):
        WebhookSink(WebhookOptions(url=url(server), timeout_seconds=0.2)).deliver(steps(1))
    given_up.set()


def test_nobody_there_is_an_error() -> None:
    sink = WebhookSink(WebhookOptions(url=f"http://127.0.0.1:{free_port()}/s3cr3t"))
    with pytest.raises(SinkError, match="refused"):
        sink.deliver(steps(1))
    with pytest.raises(SinkError, match="refused"):
        sink.check()


def test_what_speaks_no_http_is_an_error() -> None:
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(100_000)
            peer.sendall(b"220 mail here\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(SinkError, match="cannot be reached"):
        WebhookSink(WebhookOptions(url=f"http://127.0.0.1:{listener.getsockname()[1]}")).deliver(steps(1))
    thread.join()
    listener.close()


def test_tls_is_verified(certificate: tuple[Path, Path], server: HttpServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True, do_handshake_on_connect=False)
    with pytest.raises(SinkError, match="not trusted"):
        WebhookSink(WebhookOptions(url=url(server, "https"))).deliver(steps(1))
    with pytest.raises(SinkError, match="not trusted"):
        WebhookSink(WebhookOptions(url=url(server, "https"))).check()
    with pytest.raises(SinkError, match="not trusted"):  # its name is another
        WebhookSink(WebhookOptions(url=f"https://localhost:{server.port}", tls_ca=str(certificate[0]))).deliver(
            steps(1)
        )
    assert not server.posts
    WebhookSink(WebhookOptions(url=url(server, "https"), tls_ca=str(certificate[0]))).deliver(steps(1))
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://host"},
        {"url": "host:80"},
        {"url": "http://"},
        {"url": "http://[::1"},
        {"url": "http://host:port"},
        {"url": "http://host:99999"},
        {"url": "http://me:s3cr3t@host"},
        {"url": "http://host/s3cr3t\r\nX: y"},
        {"url": "http://host/s3cr3t ü"},
        {"token": "s3cr3t\r\nX: y"},
        {"secret": ""},
        {"secret": "whsec_s3cr3t!"},
        {"batch": 0},
        {"timeout_seconds": 0},
        {"tls_ca": "/nowhere/ca.pem", "url": "https://host"},
        {"headers": {"Webhook-Id": "s3cr3t"}},
        {"headers": {"Authorization": "s3cr3t"}},
        {"headers": {"X": "s3cr3t\r\n"}},
        {"headers": {"X\n": "s3cr3t"}},
    ],
)
def test_wrong_options_are_refused_without_telling_secrets(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        WebhookSink(WebhookOptions.of(**({"url": "http://host"} | options)))
    assert "s3cr3t" not in str(caught.value)


# Alertmanager


def alerts(server: HttpServer) -> list[dict[str, Any]]:
    assert all(path == "/api/v2/alerts" for path, _, _ in server.posts)
    return [alert for _, _, body in server.posts for alert in json.loads(body)]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_open_event_is_an_alert_with_its_identity_in_labels(server: HttpServer) -> None:
    sink = AlertmanagerSink(
        AlertmanagerOptions(
            url=url(server) + "/", labels={"site": "north"}, page_url="http://monitor/", resend_seconds=30
        )
    )
    sink.deliver([step()])
    (alert,) = alerts(server)
    assert alert["labels"] == {
        "alertname": "AezAnomaly",
        "stream": "pump",
        "event": "a",
        "severity": "serious",
        "site": "north",
    }
    assert seconds(alert["startsAt"]) == START / SECOND
    assert abs(seconds(alert["endsAt"]) - time.time() - 120) < 30
    assert alert["annotations"]["channels"] == "temperature 75%, pressure 25%"
    assert alert["generatorURL"] == alert["annotations"]["link"] == "http://monitor/#event=a"


def test_a_step_that_comes_again_is_the_same_alert(server: HttpServer) -> None:
    sink = AlertmanagerSink(AlertmanagerOptions(url=url(server)))
    sink.deliver([step()])
    sink.deliver([step()])
    first, again = alerts(server)
    assert (first["labels"], first["startsAt"]) == (again["labels"], again["startsAt"])


def test_a_closed_event_ends_its_alert_after_the_hold(server: HttpServer) -> None:
    sink = AlertmanagerSink(AlertmanagerOptions(url=url(server), hold_seconds=20))
    sink.deliver([step(severity="warning"), step("a", 1, "close", time=START + 60 * SECOND, severity="warning")])
    (alert,) = alerts(server)
    assert abs(seconds(alert["endsAt"]) - time.time() - 20) < 10
    assert alert["annotations"]["ended"] == "2023-11-14T22:14:20.000000Z"


def test_a_severity_that_rose_ends_the_lower_alert(server: HttpServer) -> None:
    AlertmanagerSink(AlertmanagerOptions(url=url(server))).deliver([step("a", 1, severity="critical")])
    ends = {alert["labels"]["severity"]: seconds(alert["endsAt"]) - time.time() for alert in alerts(server)}
    assert ends["warning"] <= 0
    assert ends["serious"] <= 0
    assert ends["critical"] > 60


def test_silence_is_an_alert_of_another_name(server: HttpServer) -> None:
    AlertmanagerSink(AlertmanagerOptions(url=url(server))).deliver([step("s", 0, "silent", severity=None)])
    (alert,) = alerts(server)
    assert (alert["labels"]["alertname"], alert["labels"]["severity"]) == ("AezSilence", "warning")


def test_open_events_are_renewed_as_the_same_alerts(server: HttpServer) -> None:
    sink = AlertmanagerSink(AlertmanagerOptions(url=url(server), resend_seconds=7))
    assert sink.refresh_seconds == 7
    sink.deliver([step()])
    sink.refresh([step()])
    first, renewed = alerts(server)
    assert first["labels"] == renewed["labels"]
    assert renewed["endsAt"] >= first["endsAt"]


def test_an_alert_never_ends_before_it_starts_though_the_clock_of_the_data_runs_ahead(server: HttpServer) -> None:
    future = time.time_ns() + 10**9 * 86_400
    for action in ("open", "close"):
        AlertmanagerSink(AlertmanagerOptions(url=url(server))).deliver(
            [step("a", 1, action, start_time=future, time=future)]
        )
    for alert in alerts(server):
        assert alert["startsAt"] < alert["endsAt"]


@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"severity": "x"}},
        {"labels": {"event": "x"}},
        {"labels": {"a-b": "x"}},
        {"labels": {"": "x"}},
        {"resend_seconds": 0},
        {"hold_seconds": -1},
        {"username": "me"},
        {"password": "s3cr3t"},
        {"username": "me", "password": "s3cr3t", "token": "s3cr3t"},
    ],
)
def test_wrong_options_of_alertmanager_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        AlertmanagerSink(AlertmanagerOptions.of(**({"url": "http://host"} | options)))
    assert "s3cr3t" not in str(caught.value)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The root of a running Alertmanager."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("Alertmanager is not installed")
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = free_port()
    command = [
        *(program, f"--config.file={configuration}", f"--storage.path={tmp_path / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    broker = Broker(command, port, tmp_path / "log")
    broker.start()
    yield f"http://127.0.0.1:{port}"
    broker.stop()


def active(root: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{root}/api/v2/alerts?active=true", timeout=10) as answer:
        return {one["labels"]["event"]: one["labels"]["severity"] for one in json.load(answer)}


def test_a_real_alertmanager_shows_what_is_open(alertmanager: str) -> None:
    sink = AlertmanagerSink(AlertmanagerOptions(url=alertmanager, hold_seconds=0, labels={"site": "n"}))
    sink.check()
    sink.deliver([step("a", severity="warning"), step("b"), step("odd", stream='\ud800 "ü\n<b>\0')])
    assert active(alertmanager) == {"a": "warning", "b": "serious", "odd": "serious"}
    sink.deliver([step("a", 1, severity="critical"), step("b", 1, "close")])
    time.sleep(0.1)
    assert active(alertmanager) == {"a": "critical", "odd": "serious"}
    sink.refresh([step("a", 1, severity="critical")])
    sink.deliver([step("b", 1, "close")])
    assert active(alertmanager) == {"a": "critical", "odd": "serious"}
