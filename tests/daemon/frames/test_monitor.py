"""Streams of pictures through the whole monitor: what it finds and where, restarts, bad pictures, and each way in."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from paho.mqtt.publish import multiple
from PIL import Image

from aez.cli import main
from aez.codec.detect.pictures import PictureDetector
from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.state.store import Store
from tests.kit.brokers import Broker, free_port, mosquitto, nats_server  # noqa: F401
from tests.kit.frame_models import SCRATCHED, SECOND, START, save_washer_model, washer_model, washers, write_frame
from tests.kit.waiting import until

FRAMES = """
kind = "frames"
paths = ["cameras/*/*.png"]
settle_seconds = 0.05
"""
CONFIG = """\
[service]
drain_seconds = 10
device = "cpu"
threads = 1
[web]
enabled = false
[[models]]
path = "washer.aezm"
reopen_seconds = 0
limits = { "*" = 2.0 } # so few pictures make a threshold that some normal ones exceed
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
[[sources]]
name = "camera"
"""
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_washer_model(tmp_path / "washer.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG + FRAMES)
    return tmp_path


def series(faulty: tuple[int, ...], count: int, seed: int) -> list[Any]:
    good, bad = washers(count, seed), washers(count, seed + 100, scratch=True)
    return [bad[number] if number in faulty else good[number] for number in range(count)]


def write(folder: Path, stream: str, pictures: list[Any], first: int = 0) -> None:
    for number, pixels in enumerate(pictures, first):
        write_frame(folder / "cameras" / stream / f"{number:03d}.png", pixels, number)


def once(folder: Path) -> Monitor:
    monitor = Monitor(load(folder / "monitor.toml"), once=True)
    assert monitor.run() == 0
    return monitor


def events(folder: Path) -> list[dict[str, Any]]:
    with Store(folder / "monitor.db", check=False) as store:
        found = [one.as_dict() for one in store.events.list(limit=1000)]
    return sorted(({**one, "stored": 0} for one in found), key=lambda one: (one["start"], one["id"]))


def letters(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "dead-letters.jsonl").read_text().splitlines()]


@contextmanager
def watching(folder: Path) -> Iterator[Monitor]:
    monitor = Monitor(load(folder / "monitor.toml"))
    monitor.start()
    try:
        yield monitor
    finally:
        monitor.end()


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of so many pixels on a side, in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")
    )


def test_an_event_names_the_frame_the_place_and_a_picture_of_it(folder: Path) -> None:
    north, south = series((8, 9), 20, 1), series((), 10, 2)
    write(folder, "north", north)
    write(folder, "south", south, 5)
    monitor = once(folder)
    assert monitor.counts() == {"rows": 30, "refused": 0}
    (found,) = events(folder)
    event = found["event"]
    assert (found["stream"], found["model"], found["state"]) == ("north", "washer", "closed")
    assert (event["start"], event["end"], event["opened"]) == (8, 10, 8)
    assert event["start_time"] == START + 8 * SECOND
    assert event["end_time"] == START + 9 * SECOND
    assert event["channels"][0]["name"] in SCRATCHED
    scores = PictureDetector(washer_model(), "cpu", 1).score(north[8:10]).score
    assert event["peak"] == pytest.approx(scores.max() / 2, rel=1e-4)
    assert event["peak_row"] == 8 + int(scores.argmax())

    steps = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [step["action"] for step in steps] == ["open", "close"]
    pictures = folder / "monitor.pictures"
    assert [path.name for path in pictures.iterdir()] == [event["picture"]]
    assert pictures.stat().st_mode & 0o077 == 0
    with Image.open(pictures / event["picture"]) as image:
        colours = np.asarray(image.convert("RGB")).astype(int)
    rows, columns = np.nonzero(np.ptp(colours, axis=2) > 60)
    assert rows.mean() / colours.shape[0] == pytest.approx(21 / 32, abs=0.08)
    assert columns.mean() / colours.shape[1] == pytest.approx(22.5 / 32, abs=0.08)


@pytest.mark.slow
def test_killed_and_started_again_it_finds_what_one_run_finds(folder: Path) -> None:
    pictures = series((5, 6, 12, 13, 14, 30), 40, 3)
    write(folder, "a", pictures)
    write(folder, "b", pictures[::-1], 100)
    once(folder)
    expected = events(folder)
    assert len(expected) >= 5
    for name in ("monitor.db", "monitor.db-wal", "monitor.db-shm", "events.jsonl"):
        (folder / name).unlink(missing_ok=True)

    files = sorted((folder / "cameras").rglob("*.png"))
    for path in files:  # they come again, one by one, while the monitor is killed
        path.rename(folder / f"{path.parent.name}-{path.name}")
    # At 6 of stream a, and at 33 of b, an event is open.
    for batch in (range(7), range(7, 48), range(48, 73), range(73, 80)):
        command = [sys.executable, "-m", "aez", "monitor", "run", str(folder / "monitor.toml")]
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for number in batch:
                path = files[number]
                (folder / f"{path.parent.name}-{path.name}").rename(path)
            until(lambda last=files[batch[-1]]: position(folder) == str(last))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert events(folder) == expected


def position(folder: Path) -> str:
    if not (folder / "monitor.db").exists():
        return ""
    with Store(folder / "monitor.db", check=False) as store:
        return str(store.positions().get("camera", {}).get("path", ""))


def test_bad_pictures_are_counted_by_reason_and_harm_no_other(folder: Path) -> None:
    write(folder, "north", series((3,), 8, 1))
    north = folder / "cameras" / "north"
    whole = (north / "000.png").read_bytes()
    (north / "broken.png").write_bytes(b"no picture at all" * 1000)
    (north / "cut.png").write_bytes(whole[: len(whole) // 2])
    (north / "empty.png").write_bytes(b"")
    (north / "bomb.png").write_bytes(bomb(9000))
    (north / "larger.png").write_bytes(bomb(30_000))
    (north / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    (north / "long.png").write_bytes(whole + bytes(40_000))
    text = (folder / "monitor.toml").read_text()
    (folder / "monitor.toml").write_text(text + "[limits]\nbody_bytes = 30000\n")
    monitor = once(folder)
    assert monitor.counts() == {"rows": 8, "refused": 7}
    reasons = sorted(letter["reason"] for letter in letters(folder))
    assert reasons == [*["bad_image"] * 4, "too_long", "too_many_pixels", "too_many_pixels"]
    assert (folder / "dead-letters.jsonl").stat().st_size < 7 * 2500  # the first bytes of each, no more
    details = {letter["detail"] for letter in letters(folder) if letter["reason"] == "too_many_pixels"}
    assert details == {
        "a picture of 9000 x 9000 pixels; limits.pixels allows 33,554,432",
        "a picture of more pixels than Pillow opens; limits.pixels allows 33,554,432",
    }
    assert [one["stream"] for one in events(folder)] == ["north"]


def test_pictures_of_streams_without_a_model_of_pictures_are_told(folder: Path) -> None:
    text = (folder / "monitor.toml").read_text()
    (folder / "monitor.toml").write_text(text.replace('"washer.aezm"', '"washer.aezm"\nstreams = ["north"]'))
    write(folder, "north", series((), 2, 1))
    write(folder, "south", series((), 3, 1))
    assert once(folder).counts() == {"rows": 2, "refused": 3}
    assert {letter["reason"] for letter in letters(folder)} == {"no_model"}


@pytest.mark.usefixtures("mosquitto")
def test_pictures_come_over_mqtt(folder: Path, mosquitto: Broker) -> None:  # noqa: F811
    source = f'kind = "mqtt"\nport = {mosquitto.port}\ntopics = ["line/+/camera"]\nclient_id = "frames"\n'
    source += 'format = "image"\nstream = "{topic[1]}"\n'
    (folder / "monitor.toml").write_text(CONFIG + source)
    pictures = series((4, 5), 12, 1)
    with watching(folder) as monitor:
        until(lambda: not monitor.view.readiness())
        payloads = [*map(png, pictures[:6]), b"noise", *map(png, pictures[6:])]
        multiple([("line/east/camera", payload, 1, False) for payload in payloads], port=mosquitto.port)
        until(lambda: monitor.counts() == {"rows": 12, "refused": 1} and monitor.worker.idle)
    (found,) = events(folder)
    assert (found["stream"], found["event"]["start"], found["event"]["end"]) == ("east", 4, 6)
    assert found["event"]["channels"][0]["name"] in SCRATCHED


def test_pictures_come_over_nats(folder: Path, nats_server: Broker) -> None:  # noqa: F811
    import asyncio

    import nats

    async def publish(pictures: list[bytes]) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{nats_server.port}")
        stream = client.jetstream()
        await stream.add_stream(name="pictures", subjects=["camera.*"])
        for payload in pictures:
            await stream.publish("camera.west", payload)
        await client.close()

    asyncio.run(publish([png(pixels) for pixels in series((7,), 12, 1)]))
    source = f'kind = "nats"\nservers = ["nats://127.0.0.1:{nats_server.port}"]\nsubject = "camera.*"\n'
    (folder / "monitor.toml").write_text(CONFIG + source + 'format = "image"\n')
    with watching(folder) as monitor:
        until(lambda: monitor.counts() == {"rows": 12, "refused": 0} and monitor.worker.idle)
    (found,) = events(folder)
    assert (found["stream"], found["event"]["start"], found["event"]["end"]) == ("camera.west", 7, 8)


def test_pictures_come_over_http(folder: Path) -> None:
    port = free_port()
    (folder / "monitor.toml").write_text(CONFIG + f'kind = "http"\nport = {port}\n')

    def post(data: bytes, kind: str) -> int:
        address = f"http://127.0.0.1:{port}/push?stream=gate%2F1"
        with OPENER.open(urllib.request.Request(address, data, {"Content-Type": kind}), timeout=20) as answer:
            return int(answer.status)

    with watching(folder) as monitor:
        for pixels in series((2,), 6, 1):
            assert post(png(pixels), "image/png") == 204
        jpeg = io.BytesIO()
        Image.fromarray(series((), 1, 5)[0]).save(jpeg, "JPEG", quality=95)
        assert post(jpeg.getvalue(), "image/jpeg") == 204
        assert monitor.counts() == {"rows": 7, "refused": 0}
    (found,) = events(folder)
    assert (found["stream"], found["event"]["start"], found["event"]["end"]) == ("gate/1", 2, 3)


def test_a_half_written_picture_is_read_again_once_it_is_whole(folder: Path) -> None:
    picture = folder / "cameras" / "north" / "000.png"
    picture.parent.mkdir(parents=True)
    data = png(series((0,), 1, 1)[0])
    picture.write_bytes(data[:300])
    with watching(folder) as monitor:
        until(lambda: monitor.counts()["refused"] == 1)
        with picture.open("ab") as file:
            file.write(data[300:])
        until(lambda: monitor.counts()["rows"] == 1 and monitor.worker.idle)
    assert [one["stream"] for one in events(folder)] == ["north"]


def test_pictures_that_are_moved_in_late_are_scored_though_they_are_old(folder: Path) -> None:
    write(folder, "north", series((), 3, 1), 50)
    once(folder)
    write(folder, "north", series((1,), 3, 2), 10)
    assert once(folder).counts()["rows"] == 3
    (found,) = events(folder)
    assert found["event"]["start"] == 4
    assert START + 52 * SECOND < found["start"] < START + 53 * SECOND


def test_recorded_pictures_are_replayed(folder: Path) -> None:
    write(folder, "north", series((2, 3), 8, 1))
    files = sorted(map(str, (folder / "cameras").rglob("*.png")))
    command = [sys.executable, "-m", "aez", "monitor", "replay", "--json", str(folder / "monitor.toml"), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (found["stream"], found["event"]["start"], found["event"]["end"]) == ("north", 2, 4)
    assert not (folder / "monitor.db").exists()


def test_tap_shows_pictures_as_the_rows_that_they_become(folder: Path) -> None:
    write(folder, "north", series((1,), 2, 1))
    command = ["monitor", "tap", "--from-start", "--rows", "2", str(folder / "monitor.toml")]
    found = CliRunner().invoke(main, command, catch_exceptions=False)
    lines = found.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["north", "north"]
    scores = [float(line.partition("frame=")[2].split()[0]) for line in lines]
    assert scores[0] < 2 < scores[1]


def test_a_reload_keeps_streams_of_pictures_going(folder: Path) -> None:
    write(folder, "north", series((), 3, 1))
    with watching(folder) as monitor:
        until(lambda: monitor.counts()["rows"] == 3 and monitor.worker.idle)
        text = (folder / "monitor.toml").read_text()
        (folder / "monitor.toml").write_text(text.replace('"*" = 2.0', '"*" = 3.0'))
        assert monitor.reload() == "models"
        write(folder, "north", series((0,), 2, 2), 3)
        until(lambda: monitor.counts()["rows"] == 5 and monitor.worker.idle)
    (found,) = events(folder)
    assert found["event"]["start"] == 3
