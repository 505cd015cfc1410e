"""Secrets stay where they are: whatever the monitor says, writes or answers, none of them stands in it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aez.daemon.config.reader import load
from tests.kit.brokers import free_port
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

SECRETS = {
    "PAGE": "page-hush-1",
    "PUSH": "push-hush-2",
    "MQTT": "mqtt-hush-3",
    "NATS": "nats-hush-4",
    "HMAC": "hmac-hush-5",
    "BEARER": "bearer-hush-6",
    "ALERT": "alert-hush-7",
    "OUT": "out-hush-8",
}
CONFIG = """\
[service]
log_level = "debug"
drain_seconds = 1
[web]
port = {page}
token_env = "PAGE"
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "http"
port = {push}
token_env = "PUSH"
[[sources]]
kind = "mqtt"
port = {none}
topics = ["t"]
client_id = "m"
username = "aez"
password_env = "MQTT"
[[sources]]
kind = "nats"
servers = ["nats://127.0.0.1:{none}"]
subject = "t"
token_env = "NATS"
[[sinks]]
kind = "webhook"
url = "http://127.0.0.1:{none}/{path}"
secret_env = "HMAC"
token_env = "BEARER"
[[sinks]]
kind = "alertmanager"
url = "http://127.0.0.1:{none}"
username = "aez"
password_env = "ALERT"
[[sinks]]
kind = "mqtt"
host = "127.0.0.1"
port = {none}
username = "aez"
password_env = "OUT"
"""
#: Addresses of webhooks often are secrets themselves.
PATH = "hook-hush-9"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    ports = {"page": free_port(), "push": free_port(), "none": free_port()}
    (tmp_path / "monitor.toml").write_text(CONFIG.format(**ports, path=PATH))
    return tmp_path


def aez(folder: Path, *arguments: str, **environment: str) -> str:
    """All that a command says."""
    command = [sys.executable, "-m", "aez", "monitor", *arguments]
    told = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **SECRETS, **environment},
    )
    return told.stdout + told.stderr


def ask(port: int, path: str, token: str, body: bytes | None = None) -> str:
    """All that an answer says, whatever its code."""
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    try:
        with OPENER.open(request, timeout=30) as answer:
            return f"{answer.status}\n{answer.headers}\n{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code}\n{error.headers}\n{error.read().decode()}"


@pytest.mark.slow
def test_no_secret_appears_anywhere(folder: Path) -> None:
    config = load(folder / "monitor.toml", SECRETS)
    page, push = config.web.port, config.sources[0].options.port
    said = [repr(config), aez(folder, "check", "monitor.toml", "--json")]
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "aez", "monitor", "run", "monitor.toml"]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **SECRETS})
    try:

        def up() -> bool:
            try:
                return "source nats" in ask(page, "/readyz", "")
            except (OSError, http.client.HTTPException):
                return False

        until(up, 40)
        paths = ("/", "/metrics", "/readyz", "/api/streams", "/api/events", "/api/none")
        said += [ask(page, path, SECRETS["PAGE"]) for path in paths]
        said += [ask(page, "/api/streams", token) for token in ("wrong", f"{SECRETS['PAGE']}x")]
        said.append(ask(push, "/push", SECRETS["PUSH"], b'{"stream": "a", "bus_current": "x"}'))
        said.append(ask(push, "/push", "wrong", b"{}"))
        assert said[-1].startswith("401")
        said.append(ask(page, "/api/reload", SECRETS["PAGE"], b""))
        assert "reloaded" in said[-1]
        said += [aez(folder, "check", "monitor.toml", "--deep"), aez(folder, "top", "monitor.toml", "--once", "--json")]
        said.append(aez(folder, "top", "monitor.toml", "--once", PAGE="wrong-hush"))
        assert "it wants another token" in said[-1]
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    finally:
        process.kill()
        process.wait(10)
    files = [path for path in folder.iterdir() if path.name not in ("monitor.toml", "satellite.aezm")]
    assert {"log", "monitor.db", "dead-letters.jsonl"} <= {path.name for path in files}
    said += [path.read_bytes().decode("latin-1") for path in files if path.is_file()]
    for text in said[1:]:
        assert "hush" not in text
    assert not [secret for secret in SECRETS.values() if secret in said[0]]


def test_the_version_of_a_configuration_knows_nothing_of_its_secrets(folder: Path) -> None:
    versions = {load(folder / "monitor.toml", dict.fromkeys(SECRETS, text)).version for text in ("a", "b")}
    assert len(versions) == 1


def test_no_secret_stands_in_addresses(folder: Path) -> None:
    text = (folder / "monitor.toml").read_text().replace("nats://127", "nats://aez:url-hush@127")
    (folder / "monitor.toml").write_text(text)
    told = aez(folder, "check", "monitor.toml")
    assert "an address in servers holds a user; give username and password" in told
    assert "hush" not in told
