"""`aez view`: it starts, serves what it should and nothing else, ends with Ctrl+C, and refuses what is no picture."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.errors import ModelError
from aez.commands.codec.view_server import ViewServer
from tests.kit.commands import run
from tests.kit.page_server import GOLDEN

FILES = [GOLDEN / "learned_tiles.aez", GOLDEN / "exact_rgb.aez"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where `aez view` serves; it ends with code 0."""
    command = [sys.executable, "-m", "aez", "view", "--no-browser", *map(str, FILES)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.splitlines()[-1] == "aez: ended"


def fetched(address: str, path: str, **headers: str) -> tuple[int, bytes, str]:
    request = urllib.request.Request(f"http://{urlsplit(address).netloc}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers["Content-Type"]


def test_it_serves_the_page_the_files_and_their_models(address: str) -> None:
    assert urlsplit(address).hostname == "127.0.0.1"
    for path, kind in (
        ("/viewer/index.html?served", "text/html"),
        ("/viewer/viewer.js", "text/javascript"),
        ("/viewer/manifest.webmanifest", "application/manifest+json"),
        ("/dist/aez.js", "text/javascript"),
        ("/", "text/html"),
    ):
        status, _, found = fetched(address, path)
        assert (status, found.partition(";")[0]) == (200, kind), path
    assert json.loads(fetched(address, "/files.json")[1]) == ["learned_tiles.aez", "exact_rgb.aez"]
    for number, path in enumerate(FILES):
        assert fetched(address, f"/files/{number}")[1] == path.read_bytes()
    golden = Bundle.open(GOLDEN / "golden.aezm")  # it lies beside the file
    assert fetched(address, f"/models/{golden.id[:16]}.aezm")[1] == golden.decoding_half()


def test_it_serves_what_encodes_of_each_model_of_pictures(address: str) -> None:
    listed = json.loads(fetched(address, "/models/encoders.json")[1])
    names = [model["name"] for model in listed]
    assert names[0] == "photo-visual"  # as `aez encode` begins
    assert {"photo", "photo-fast"} < set(names)
    fast = find_bundle("photo-fast")
    assert listed[names.index("photo-fast")]["id"] == fast.id[:16]
    assert fetched(address, f"/models/{fast.id[:16]}.encoder.aezm")[1] == fast.encoding_half()
    assert fetched(address, "/models/0123456789abcdef.encoder.aezm")[0] == 404


def test_it_serves_models_without_files() -> None:
    with ViewServer([]) as server:
        fast = find_bundle("photo-fast")
        assert server.model(fast.id[:16]) == fast.decoding_half()
        with pytest.raises(ModelError):
            server.model("0123456789abcdef", encodes=True)


@pytest.mark.parametrize(
    "path",
    ["/files/2", "/files/x", "/viewer/../../errors.py", "/models/0123456789abcdef.aezm", "/etc/passwd", "//etc/passwd"],
)
def test_it_serves_nothing_else(address: str, path: str) -> None:
    assert fetched(address, path)[0] == 404


def test_a_page_that_gives_this_machine_another_name_reads_nothing(address: str) -> None:
    assert fetched(address, "/files/0", Host="somewhere.example")[0] == 421


def test_a_wrong_file_ends_with_its_code(tmp_path: Path) -> None:
    assert run("view", "--no-browser", tmp_path / "none.aez").exit_code == 5
    picture = tmp_path / "picture.aez"
    picture.write_bytes((GOLDEN / "exact_rgb.png").read_bytes())
    refused = run("view", "--no-browser", picture)
    assert refused.exit_code == 3
    assert "this is no .aez file" in refused.stderr
    assert run("view", "--no-browser", tmp_path).exit_code == 5


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("view", "--no-browser", "--port", port, FILES[1])
    assert refused.exit_code == 2
    assert str(port) in refused.stderr
