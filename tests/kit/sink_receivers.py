"""The other sides of the sinks, real where there is a program for it: what they got, and how they break."""

from __future__ import annotations

import asyncio
import io
import json
import re
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aez.daemon.common.records import EventRecord
from aez.daemon.sinks.alertmanager import AlertmanagerOptions, AlertmanagerSink
from aez.daemon.sinks.base import Sink
from aez.daemon.sinks.chat import ChatOptions, ChatSink
from aez.daemon.sinks.console import ConsoleOptions, ConsoleSink
from aez.daemon.sinks.email import EmailOptions, EmailSink
from aez.daemon.sinks.json_lines import JsonLinesOptions, JsonLinesSink
from aez.daemon.sinks.mqtt import MqttSink, MqttSinkOptions
from aez.daemon.sinks.nats import NatsSink, NatsSinkOptions
from aez.daemon.sinks.postgres import PostgresOptions, PostgresSink
from aez.daemon.sinks.webhook import WebhookOptions, WebhookSink
from aez.daemon.sinks.wire import as_dict
from tests.kit.brokers import Broker, free_port, start_mosquitto, start_nats
from tests.kit.postgres_server import PASSWORD, running_postgres

Step = tuple[str, int]


class HttpServer:
    """Collects posts; answers with `status`, after `delay` seconds."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.delay = 200, 0.0
        #: Called with each body; what it returns, where it is no None, is answered in place of `status`.
        self.judge: Callable[[bytes], int | None] = lambda body: None  # noqa: ARG005
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:
                    return  # the sender was killed in the middle
                time.sleep(outer.delay)
                status = outer.judge(body) or outer.status
                if status < 300:
                    outer.posts.append((self.path, dict(self.headers), body))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that hangs up is part of the tests."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class Receiver(ABC):
    """One other side. `broken` and `mended` may be called again and again.

    whole: what comes is the record; else it is words, with at least id and sequence.
    """

    whole = True

    @abstractmethod
    def sink(self) -> Sink: ...

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """What came, in order, each as the sink wrote it, or with at least id and sequence."""

    @abstractmethod
    def broken(self) -> None: ...

    @abstractmethod
    def mended(self) -> None: ...

    def stop(self) -> None:  # noqa: B027 some have nothing to stop
        pass

    def steps(self, count: int = 0, seconds: float = 10.0) -> list[Step]:
        """The steps that came, after waiting for so many different ones: what was in doubt is sent again."""
        end = time.monotonic() + seconds
        while True:
            found = [(record["id"], int(record["sequence"])) for record in self.records()]
            if len(set(found)) >= count or time.monotonic() > end:
                return found
            time.sleep(0.01)


class ConsoleReceiver(Receiver):
    class _Stream(io.StringIO):
        broken = False

        def write(self, text: str) -> int:
            if self.broken:
                raise BrokenPipeError(32, "Broken pipe")
            return super().write(text)

    def __init__(self, folder: Path) -> None:
        del folder
        self.stream = self._Stream()

    def sink(self) -> Sink:
        return ConsoleSink(ConsoleOptions(format="json"), stream=self.stream)

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def broken(self) -> None:
        self.stream.broken = True

    def mended(self) -> None:
        self.stream.broken = False


class JsonLinesReceiver(Receiver):
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "out"
        self.aside = folder / "aside"
        self.folder.mkdir()

    def sink(self) -> Sink:
        return JsonLinesSink(JsonLinesOptions(path=str(self.folder / "events.jsonl")))

    def records(self) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def broken(self) -> None:
        self.folder.rename(self.aside)

    def mended(self) -> None:
        self.aside.rename(self.folder)


class HttpReceiver(Receiver):
    """An HTTP server, for a subclass to say what was posted."""

    def __init__(self, folder: Path) -> None:
        del folder
        self.server = HttpServer()

    def broken(self) -> None:
        self.server.status = 503

    def mended(self) -> None:
        self.server.status = 200

    def stop(self) -> None:
        self.server.stop()


class WebhookReceiver(HttpReceiver):
    secret = "s3cr3t-key"

    def sink(self) -> Sink:
        url = f"http://127.0.0.1:{self.server.port}/hook/s3cr3t-path?key=s3cr3t-query"
        return WebhookSink(
            WebhookOptions(
                url=url, secret=self.secret, token="s3cr3t-token", headers={"X-Key": "s3cr3t-header"}, timeout_seconds=5
            )
        )

    def records(self) -> list[dict[str, Any]]:
        return [record for _, _, body in list(self.server.posts) for record in json.loads(body)["events"]]


class AlertmanagerReceiver(HttpReceiver):
    def sink(self) -> Sink:
        url = f"http://127.0.0.1:{self.server.port}"
        return AlertmanagerSink(
            AlertmanagerOptions(url=url, username="me", password="s3cr3t-password", timeout_seconds=5)
        )

    def records(self) -> list[dict[str, Any]]:
        alerts = [alert for _, _, body in list(self.server.posts) for alert in json.loads(body)]
        return [{"id": one["labels"]["event"], "sequence": one["annotations"]["sequence"]} for one in alerts]


class ChatReceiver(HttpReceiver):
    whole = False

    def sink(self) -> Sink:
        url = f"http://127.0.0.1:{self.server.port}/hooks/s3cr3t-path"
        return ChatSink(
            ChatOptions(url=url, text="{id} {sequence} {action} {stream} {channels}", updates=True, timeout_seconds=5)
        )

    def records(self) -> list[dict[str, Any]]:
        lines = [line for _, _, body in list(self.server.posts) for line in json.loads(body)["text"].split("\n")]
        return [dict(zip(("id", "sequence"), line.split(), strict=False)) for line in lines]


class MailServer:
    """Takes e-mail on a free port. messages: what came. answer: what to say to a message in place of taking it."""

    def __init__(self, tls: ssl.SSLContext | None = None, hostname: str = "127.0.0.1") -> None:
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult, LoginPassword

        self.messages: list[EmailMessage] = []
        self.answer = ""
        outer = self

        class Handler:
            async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
                if outer.answer:
                    return outer.answer
                outer.messages.append(message_from_bytes(envelope.content, policy=default))  # type: ignore[arg-type]
                return "250 taken"

            async def handle_RCPT(  # noqa: N802
                self, _s: Any, _e: Any, envelope: Any, address: str, _options: Any
            ) -> str:
                if address.startswith("nobody"):
                    return "550 there is nobody of that name"
                envelope.rcpt_tos.append(address)
                return "250 ok"

        def authenticate(_server: Any, _session: Any, _envelope: Any, _way: str, data: Any) -> AuthResult:
            right = isinstance(data, LoginPassword) and data.password == b"s3cr3t-password"
            return AuthResult(success=right, handled=False)

        self.port = free_port()
        self._make = lambda: Controller(
            Handler(),
            hostname=hostname,
            port=self.port,
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=authenticate,
            auth_required=tls is not None,
            auth_require_tls=tls is not None,
        )
        self.start()

    def start(self) -> None:
        self._controller = self._make()
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()


class EmailReceiver(Receiver):
    whole = False

    def __init__(self, folder: Path) -> None:
        del folder
        self.server_of_mail = MailServer()

    def sink(self) -> Sink:
        return EmailSink(
            EmailOptions(
                host="127.0.0.1",
                port=self.server_of_mail.port,
                security="none",
                sender="Plant <plant@example.org>",
                recipients=["me@example.org", "you@example.org"],
                username="me",
                password="s3cr3t-password",
                updates=True,
                timeout_seconds=5,
            )
        )

    def records(self) -> list[dict[str, Any]]:
        text = "".join(message.get_content() for message in list(self.server_of_mail.messages))
        return [
            {"id": one[1], "sequence": one[2]} for one in re.finditer(r"^ +event (\S+), step (\d+)\r?$", text, re.M)
        ]

    def broken(self) -> None:
        self.server_of_mail.stop()

    def mended(self) -> None:
        self.server_of_mail.start()

    def stop(self) -> None:
        self.server_of_mail.stop()


class MqttReceiver(Receiver):
    """Mosquitto with a password, and a subscriber whose session the broker keeps."""

    def __init__(self, folder: Path) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        folder.mkdir(exist_ok=True)
        passwords = folder / "passwords"
        passwords.write_text("me:" + _mosquitto_hash("s3cr3t-password") + "\n")
        passwords.chmod(0o600)
        self.broker: Broker = start_mosquitto(folder, "allow_anonymous false", f"password_file {passwords}")
        self._came: list[dict[str, Any]] = []
        self._subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, "receiver", clean_session=False)
        self.client.username_pw_set("me", "s3cr3t-password")
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("aez/events/#", qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda *about: self._came.append(json.loads(about[-1].payload))
        self.client.connect("127.0.0.1", self.broker.port)
        self.client.loop_start()
        assert self._subscribed.wait(10)

    def sink(self) -> Sink:
        return MqttSink(
            MqttSinkOptions(
                host="127.0.0.1", port=self.broker.port, username="me", password="s3cr3t-password", timeout_seconds=5
            )
        )

    def records(self) -> list[dict[str, Any]]:
        return list(self._came)

    def broken(self) -> None:
        self._subscribed.clear()
        self.broker.stop()

    def mended(self) -> None:
        self.broker.start()
        assert self._subscribed.wait(10)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.broker.stop()


class NatsReceiver(Receiver):
    """nats-server with a token; the stream holds what came."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.broker: Broker = start_nats(folder, "--auth", "s3cr3t-token")

    def sink(self) -> Sink:
        url = f"nats://127.0.0.1:{self.broker.port}"
        return NatsSink(
            NatsSinkOptions(servers=[url], token="s3cr3t-token", create_jetstream="EVENTS", timeout_seconds=5)
        )

    def records(self) -> list[dict[str, Any]]:
        return asyncio.run(self._records())

    async def _records(self) -> list[dict[str, Any]]:
        import nats
        from nats.js.errors import NotFoundError

        client = await nats.connect(f"nats://127.0.0.1:{self.broker.port}", token="s3cr3t-token")
        try:
            jetstream = client.jetstream()
            try:
                state = (await jetstream.stream_info("EVENTS")).state
            except NotFoundError:
                return []
            found: list[dict[str, Any]] = []
            if not state.messages:
                return found
            for number in range(state.first_seq, state.last_seq + 1):
                message = await jetstream.get_msg("EVENTS", number)
                found.append(json.loads(message.data or b""))
            return found
        finally:
            await client.close()

    def broken(self) -> None:
        self.broker.stop()

    def mended(self) -> None:
        self.broker.start()

    def stop(self) -> None:
        self.broker.stop()


class PostgresReceiver(Receiver):
    """A real PostgreSQL; it is broken by stopping the server."""

    def __init__(self, folder: Path) -> None:
        del folder
        self.server = running_postgres()
        self.server.empty()

    def sink(self) -> Sink:
        return PostgresSink(PostgresOptions(url=self.server.url(), password=PASSWORD, timeout_seconds=5))

    def records(self) -> list[dict[str, Any]]:
        with self.server.connect() as connection:
            if connection.execute("SELECT to_regclass('aez.steps')").fetchone() == (None,):
                return []
            rows = connection.execute(
                "SELECT id, sequence, action, stream, model, time, event FROM aez.steps ORDER BY number"
            ).fetchall()
        return [as_dict(EventRecord(*row[:-1], json.loads(row[-1]))) for row in rows]

    def broken(self) -> None:
        self.server.stop()

    def mended(self) -> None:
        self.server.start()


RECEIVERS: dict[str, Callable[[Path], Receiver]] = {
    "console": ConsoleReceiver,
    "json_lines": JsonLinesReceiver,
    "webhook": WebhookReceiver,
    "email": EmailReceiver,
    "chat": ChatReceiver,
    "alertmanager": AlertmanagerReceiver,
    "mqtt": MqttReceiver,
    "nats": NatsReceiver,
    "postgres": PostgresReceiver,
}


def _mosquitto_hash(password: str) -> str:
    """A line's second half of mosquitto's password file: $7$ is PBKDF2 with SHA-512."""
    import base64
    import hashlib

    salt, rounds = b"123456789012", 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
