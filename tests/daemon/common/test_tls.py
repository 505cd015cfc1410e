"""TLS from end to end: with the right certificate it works, with a wrong one or none nothing is sent."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls
from aez.daemon.common.records import EventRecord
from aez.daemon.config.reader import ConfigError, load
from aez.daemon.sinks.base import SinkError
from aez.daemon.sinks.mqtt import MqttSink, MqttSinkOptions
from aez.daemon.sinks.nats import NatsSink, NatsSinkOptions
from aez.daemon.sources.http_push import HttpOptions, HttpPush
from aez.daemon.sources.mqtt import Mqtt, MqttOptions
from aez.daemon.sources.nats import Nats, NatsOptions
from tests.kit.brokers import Broker, find_program, start_mosquitto, start_nats
from tests.kit.certificates import Authority, Signed
from tests.kit.source_harness import Intake, message, told
from tests.kit.waiting import until

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <ssl.SSLSocket", "ignore:Exception ignored in. <ssl.SSLSocket", "ignore:unclosed transport"
)
STEP = EventRecord("e1", 0, "open", "pump", "model", 1, {"id": "e1"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def signed(authority: Authority) -> Signed:
    return authority.sign("localhost")


@pytest.fixture(scope="module")
def strange(folder: Path) -> tuple[Authority, Signed]:
    """Another authority, which nobody here trusts, and what it signed."""
    other = Authority(folder, "stranger")
    return other, other.sign("strange")


# HTTP


@contextlib.contextmanager
def pushing(signed: Signed, **options: Any) -> Iterator[tuple[HttpPush, Intake]]:
    options = {"tls_certificate": str(signed.certificate), "tls_key": str(signed.key), "token": "sesame", **options}
    source, intake = HttpPush("push", *told(HttpOptions, port=0, **options)), Intake()
    source.start(lambda chunk: (intake.put(chunk), source.acknowledge(chunk.position))[0])
    try:
        yield source, intake
    finally:
        source.close()


def push(source: HttpPush, authority: Authority, token: str | None) -> int:
    context = ssl.create_default_context(cafile=str(authority.file))
    connection = http.client.HTTPSConnection("localhost", source.port, context=context, timeout=20)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with contextlib.closing(connection):
        connection.request("POST", "/push", message(1), headers)
        return connection.getresponse().status


def test_pushes_over_https_need_the_token(authority: Authority, signed: Signed) -> None:
    with pushing(signed) as (source, intake):
        assert [push(source, authority, token) for token in ("sesame", "wrong", None)] == [204, 401, 401]
        assert intake.numbers() == [1]


def test_the_push_port_of_tls_takes_nothing_in_the_clear(
    authority: Authority, signed: Signed, strange: tuple[Authority, Signed]
) -> None:
    with pushing(signed) as (source, intake):
        with socket.create_connection(("127.0.0.1", source.port), timeout=20) as plain:
            plain.sendall(
                b"POST /push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame\r\nContent-Length: 2\r\n\r\n{}"
            )
            with contextlib.suppress(ConnectionError):
                assert b"204" not in plain.recv(1000)
        with pytest.raises(ssl.SSLCertVerificationError):
            push(source, strange[0], "sesame")
        assert push(source, authority, "sesame") == 204
        assert len(intake.chunks) == 1


def test_a_renewed_certificate_is_shown_without_a_restart(
    authority: Authority, strange: tuple[Authority, Signed], tmp_path: Path
) -> None:
    own = Signed(tmp_path / "own.pem", tmp_path / "own.key")
    for old, new in ((strange[1].certificate, own.certificate), (strange[1].key, own.key)):
        shutil.copy(old, new)
    with pushing(own) as (source, _):
        assert push(source, strange[0], "sesame") == 204
        fresh = authority.sign("fresh")
        shutil.copy(fresh.certificate, own.certificate)
        shutil.copy(fresh.key, own.key)
        source.renew()
        assert push(source, authority, "sesame") == 204


def test_handshakes_that_never_end_count_as_connections(authority: Authority, signed: Signed) -> None:
    with pushing(signed, connections=3) as (source, _), contextlib.ExitStack() as stack:
        silent = [socket.create_connection(("127.0.0.1", source.port), timeout=20) for _ in range(3)]
        for one in silent:
            stack.enter_context(one)
        with pytest.raises((OSError, http.client.HTTPException)):
            push(source, authority, "sesame")


# MQTT


@pytest.fixture
def mqtt_broker(tmp_path: Path, signed: Signed) -> Iterator[Broker]:
    """With a password, and the certificate in `shown.pem`, which a test may change before a restart."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(
        [find_program("mosquitto_passwd"), "-b", str(passwords), "aez", "s3cr3t"], check=True, capture_output=True
    )
    show(tmp_path, signed)
    lines = [f"certfile {tmp_path}/shown.pem", f"keyfile {tmp_path}/shown.key", f"password_file {passwords}"]
    broker = start_mosquitto(tmp_path, *lines, "allow_anonymous false")
    yield broker
    broker.stop()


def show(folder: Path, signed: Signed) -> None:
    shutil.copy(signed.certificate, folder / "shown.pem")
    shutil.copy(signed.key, folder / "shown.key")
    (folder / "shown.key").chmod(0o644)  # the brokers run as users of their own


def mqtt_source(broker: Broker, ca: Path, password: str = "s3cr3t") -> Mqtt:
    login = {"username": "aez", "password": password}
    return Mqtt(
        "plant",
        MqttOptions.of(topics=["plant/#"], client_id="m", host="localhost", port=broker.port, tls_ca=str(ca), **login),
    )


def publish(broker: Broker, ca: Path, number: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.tls_set(str(ca))
    client.username_pw_set("aez", "s3cr3t")
    client.connect("localhost", broker.port)
    client.loop_start()
    client.publish("plant/a", message(number), qos=1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


def test_mqtt_over_tls_with_a_password(mqtt_broker: Broker, authority: Authority) -> None:
    source, intake = mqtt_source(mqtt_broker, authority.file), Intake()
    source.start(intake.put)
    until(lambda: not source.status())
    sink = MqttSink(
        MqttSinkOptions(
            host="localhost",
            port=mqtt_broker.port,
            topic="plant/{stream}",
            tls=True,
            tls_ca=str(authority.file),
            username="aez",
            password="s3cr3t",
        )
    )
    sink.deliver([STEP])
    until(lambda: len(intake.chunks) == 1)
    assert json.loads(intake.lines()[0])["id"] == "e1"
    sink.close()
    source.close()


def test_mqtt_of_a_stranger_is_told_and_tried_again(
    mqtt_broker: Broker, authority: Authority, signed: Signed, strange: tuple[Authority, Signed], tmp_path: Path
) -> None:
    show(tmp_path, strange[1])
    mqtt_broker.restart()
    source, intake = mqtt_source(mqtt_broker, authority.file), Intake()
    source.start(intake.put)
    until(lambda: "certificate is not trusted" in source.status())
    assert source.status().count(".") == 1
    sink = MqttSink(
        MqttSinkOptions(host="localhost", port=mqtt_broker.port, tls=True, tls_ca=str(authority.file), username="aez")
    )
    with pytest.raises(SinkError, match="certificate is not trusted"):
        sink.deliver([STEP])
    sink.close()
    show(tmp_path, signed)
    mqtt_broker.restart()
    until(lambda: not source.status())
    publish(mqtt_broker, authority.file, 7)
    until(lambda: intake.numbers() == [7])
    source.close()


def test_mqtt_tells_a_wrong_password_and_not_which(mqtt_broker: Broker, authority: Authority) -> None:
    source = mqtt_source(mqtt_broker, authority.file, "wr0ng")
    source.start(Intake().put)
    until(lambda: "refuses" in source.status())
    assert "wr0ng" not in source.status()
    source.close()


def test_tls_to_a_broker_without_tls_sends_nothing(tmp_path: Path, authority: Authority) -> None:
    with listening(b"") as (port, heard):
        plain = Broker([], port, tmp_path / "log")
        source = mqtt_source(plain, authority.file)
        source.start(Intake().put)
        until(lambda: heard != [])
        source.close()
    assert b"s3cr3t" not in b"".join(heard)


# NATS


@pytest.fixture
def nats_broker(tmp_path: Path, signed: Signed) -> Iterator[Broker]:
    show(tmp_path, signed)
    files = ["--tls", "--tlscert", f"{tmp_path}/shown.pem", "--tlskey", f"{tmp_path}/shown.key"]
    broker = start_nats(tmp_path, *files, "--auth", "s3cr3t")
    yield broker
    broker.stop()


def nats_source(port: int, ca: Path, token: str = "s3cr3t") -> Nats:
    servers = [f"nats://localhost:{port}"]
    return Nats("plant", NatsOptions(subject="plant.>", durable="m", servers=servers, tls_ca=str(ca), token=token))


def make_stream(broker: Broker, ca: Path) -> None:
    async def make() -> None:
        context = ssl.create_default_context(cafile=str(ca))
        client = await nats.connect(f"tls://localhost:{broker.port}", tls=context, token="s3cr3t")
        await client.jetstream().add_stream(name="plant", subjects=["plant.>"])
        await client.close()

    asyncio.run(make())


def test_nats_over_tls_with_a_token(nats_broker: Broker, authority: Authority) -> None:
    make_stream(nats_broker, authority.file)
    source, intake = nats_source(nats_broker.port, authority.file), Intake()
    source.start(intake.put)
    until(lambda: not source.status())
    url, ca = f"tls://localhost:{nats_broker.port}", str(authority.file)
    sink = NatsSink(NatsSinkOptions(servers=[url], tls_ca=ca, token="s3cr3t", subject="plant.{stream}"))
    sink.deliver([STEP])
    until(lambda: len(intake.chunks) == 1)
    assert json.loads(intake.lines()[0])["id"] == "e1"
    wrong = NatsSink(NatsSinkOptions(servers=[url], tls_ca=ca, token="wr0ng", subject="plant.{stream}"))
    with pytest.raises(SinkError) as caught:
        wrong.deliver([STEP])
    assert "wr0ng" not in str(caught.value)
    for one in (sink, wrong, source):
        one.close()


def test_nats_of_a_stranger_is_told_and_tried_again(
    nats_broker: Broker, authority: Authority, signed: Signed, strange: tuple[Authority, Signed], tmp_path: Path
) -> None:
    make_stream(nats_broker, authority.file)
    show(tmp_path, strange[1])
    nats_broker.restart()
    source, intake = nats_source(nats_broker.port, authority.file), Intake()
    source.start(intake.put)
    until(lambda: "certificate is not trusted" in source.status())
    show(tmp_path, signed)
    nats_broker.restart()
    until(lambda: not source.status())
    source.close()


@pytest.mark.parametrize("kind", ["source", "sink"])
def test_nats_never_goes_on_without_tls_where_it_is_asked_for(kind: str, authority: Authority) -> None:
    """As somebody between would have it, who takes TLS out of what the server says."""
    with listening(b'INFO {"server_id":"x","version":"2.9.0","max_payload":1048576}\r\n') as (port, heard):
        if kind == "source":
            source = nats_source(port, authority.file)
            source.start(Intake().put)
            until(lambda: "offers no TLS" in source.status())
            source.close()
        else:
            sink = NatsSink(
                NatsSinkOptions(servers=[f"nats://localhost:{port}"], tls_ca=str(authority.file), token="s3cr3t")
            )
            with pytest.raises(SinkError, match="offers no TLS"):
                sink.deliver([STEP])
            sink.close()
    assert b"".join(heard) == b""


@contextlib.contextmanager
def listening(greeting: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A port that greets whoever comes, in the clear, and what it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(0.5)
                        connection.sendall(greeting)
                        heard.append(connection.recv(65536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


# Files


def test_when_a_certificate_ends(authority: Authority) -> None:
    signed = authority.sign("short", days=3)
    left = tls.ends(str(signed.certificate)) - datetime.now(UTC)
    assert timedelta(days=2) < left <= timedelta(days=3)
    far = authority.sign("far", days=20_000)  # beyond 2050 the time is written in another form
    assert tls.ends(str(far.certificate)) > datetime(2070, 1, 1, tzinfo=UTC)


def test_files_of_no_use_are_named(signed: Signed, strange: tuple[Authority, Signed]) -> None:
    certificate, key = str(signed.certificate), str(signed.key)
    for pair, said in (
        ((certificate, str(strange[1].key)), "is not that of the certificate"),
        ((certificate, None), "does not hold a certificate and its key"),
        ((key, key), "are no certificate and key in PEM form"),
        (("/nowhere/x.pem", key), "/nowhere/x.pem cannot be read: No such file"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            tls.server_context(*pair)
    for call in (tls.ends, tls.client_context, tls.pinned_context):
        with pytest.raises(InvalidArgument, match="holds no certificate"):
            call(key)


def test_a_key_with_a_passphrase_is_refused_and_not_asked_about(signed: Signed, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = [find_program("openssl"), "ec", "-in", signed.key, "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(InvalidArgument, match="is encrypted; give one without a passphrase"):
        tls.server_context(str(signed.certificate), str(locked))


def test_the_configuration_names_line_and_key(
    signed: Signed, strange: tuple[Authority, Signed], tmp_path: Path
) -> None:
    (tmp_path / "pump.aezm").write_bytes(b"a model")
    text = f"""\
[web]
tls_key = "{signed.key}"
[[models]]
path = "pump.aezm"
[[sources]]
kind = "http"
tls_certificate = "{signed.certificate}"
tls_key = "{strange[1].key}"
"""
    (tmp_path / "monitor.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "monitor.toml")
    assert [(fault.line, fault.key) for fault in caught.value.faults] == [
        (2, "web.tls_key"),
        (7, "sources[0].tls_certificate"),
    ]


def test_a_certificate_damaged_in_one_byte_ends_or_is_refused_in_a_sentence(folder: Path, signed: Signed) -> None:
    der = ssl.PEM_cert_to_DER_cert(signed.certificate.read_text())
    draw = random.Random(7)
    refused = set()
    for number in range(5000):
        damaged = bytearray(der)
        # The first 256 bytes, which hold the times, get three of four.
        damaged[draw.randrange(len(der) if number % 4 == 0 else 256)] = draw.randrange(256)
        path = folder / "damaged.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(bytes(damaged)))
        try:
            assert isinstance(tls.ends(str(path)), datetime)
        except InvalidArgument as error:
            refused.add(str(error))
    assert refused == {f"{folder / 'damaged.pem'} holds no certificate in PEM form, or a damaged one"}
