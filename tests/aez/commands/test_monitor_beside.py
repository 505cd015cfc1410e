"""Commands beside a monitor that runs: tap, top, check --deep and reload; and that it takes no notice of them."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS, Simulation
from tests.kit import commands
from tests.kit.brokers import Broker, free_port, mosquitto, nats_server  # noqa: F401
from tests.kit.certificates import Authority
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

run, aez = partial(commands.run, "monitor"), partial(commands.process, "monitor")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SIMULATION = Simulation(streams=2, seed=1, every=150, first=60, length=60)
HEAD = """\
[web]
port = {port}
{web}
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
"""
FILE = """\
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "data.jsonl").write_bytes(b"".join(encode(block, "json") for block in SIMULATION.blocks(100, 0)))
    return tmp_path


def configure(text: str, web: str = "") -> None:
    Path("monitor.toml").write_text(HEAD.format(port=free_port(), web=web) + text)


@contextmanager
def running() -> Iterator[Monitor]:
    monitor = Monitor(load("monitor.toml"))
    try:
        monitor.start()
        yield monitor
    finally:
        monitor.end()


class Tapping:
    """A tap that runs in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-u", "-m", "aez", "monitor", "tap", "monitor.toml", *arguments]
        with Path("tapped").open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Tapping:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)

    @property
    def lines(self) -> list[str]:
        """The whole lines so far."""
        assert self._process.poll() is None
        return Path("tapped").read_text().rpartition("\n")[0].splitlines()

    def interrupt(self) -> str:
        """What it says at the end."""
        self._process.send_signal(signal.SIGINT)
        errors = self._process.communicate(timeout=30)[1]
        assert self._process.returncode == 0, errors
        return errors


# tap


@pytest.mark.usefixtures("here")
def test_tap_shows_samples_as_the_monitor_reads_them_and_leaves_it_alone() -> None:
    configure(FILE)
    with running() as monitor:
        until(lambda: monitor.counts()["rows"] == 200 and monitor.worker.idle)
        before = monitor.store.positions()
        result = aez("tap", "monitor.toml", "--from-start", "--stream", "*-02", "--rows", "3")
        assert result.returncode == 0
        lines = result.stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [[f"2026-01-01T00:00:0{n}.000Z", "sat-02"] for n in range(3)]
        assert {cell.partition("=")[0] for cell in lines[0].split()[2:]} == set(CHANNELS)
        assert len({line.index(" wheel_speed=") for line in lines}) == 1  # columns stand below each other
        said = r"aez: 3 rows of 1 streams, 8 columns, [0-9]+ rows of others, such as sat-01; malformed: none\n"
        assert re.fullmatch(said, result.stderr)
        assert monitor.store.positions() == before
        assert monitor.counts()["rows"] == 200


@pytest.mark.usefixtures("here")
def test_tap_as_json_shows_values_and_what_is_malformed() -> None:
    configure(FILE)
    with Path("data.jsonl").open("ab") as file:
        file.write(b'{bad\n{"stream": "x\\u001b[31m", "time": 1700000000, "a": 1}\n')
    result = aez("tap", "monitor.toml", "--from-start", "--json", "--rows", "202")
    assert result.returncode == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    first = json.loads(Path("data.jsonl").read_bytes().partition(b"\n")[0])
    assert found[0]["values"] == {name: first[name] for name in CHANNELS}
    assert (found[0]["stream"], found[0]["source"]) == ("sat-01", "telemetry")
    letters = [one for one in found if "malformed" in one]
    assert {one["malformed"] for one in letters} == {"syntax", "bad_stream"}
    assert "200 rows of 2 streams" in result.stderr
    assert "1 syntax" in result.stderr
    result = aez("tap", "monitor.toml", "--from-start", "--malformed", "--rows", "2")
    assert all(line.startswith("malformed ") for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("here")
def test_tap_begins_at_the_end_and_ends_with_a_summary() -> None:
    configure(FILE)
    with Tapping() as tap:

        def shown() -> bool:  # again and again, as it may not have looked at the file yet
            with Path("data.jsonl").open("ab") as file:
                file.write(b'{"stream": "sat-07", "time": "2026-02-02T00:00:00Z", "wheel_speed": 1}\n')
            return tap.lines != []

        until(shown, 40)
        assert all(line.startswith("2026-02-02T00:00:00.000Z  sat-07  wheel_speed=1") for line in tap.lines)
        assert "rows of 1 streams, 1 columns; malformed: none" in tap.interrupt()


@pytest.mark.usefixtures("here")
def test_tap_of_mqtt_takes_no_message_and_no_session_away(mosquitto: Broker) -> None:  # noqa: F811
    source = (
        f'kind = "mqtt"\nport = {mosquitto.port}\ntopics = ["$share/g/sat/+"]\nclient_id = "m"\nstream = "{{topic[1]}}"'
    )
    configure(f"[[sources]]\n{source}\n")
    with running() as monitor:
        until(lambda: not monitor.view.readiness())
        with Tapping("--json") as tap:
            sent = publish_until(mosquitto, lambda: tap.lines != [])
            assert json.loads(tap.lines[0])["stream"] == "sat-01"
            assert "warning" not in tap.interrupt()
        until(lambda: monitor.counts()["rows"] == sent)
        assert not monitor.view.readiness()


def publish_until(broker: Broker, shown: Callable[[], bool]) -> int:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    sent = 0
    while not shown():
        client.publish("sat/sat-01", json.dumps({"wheel_speed": sent}), qos=1).wait_for_publish(20)
        sent += 1
        assert sent < 20_000
    client.disconnect()
    client.loop_stop()
    return sent


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_tap_of_nats_leaves_no_consumer_and_takes_nothing(nats_server: Broker, retention: str) -> None:  # noqa: F811
    url = f"nats://127.0.0.1:{nats_server.port}"

    async def make() -> None:
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="sats", subjects=["sat.>"], retention=retention)
        await client.close()

    async def feed(tap: Tapping) -> tuple[int, list[str | None]]:
        """Publish until the tap shows something; returns how many, and the durable consumers at the end."""
        client = await nats.connect(url)
        context = client.jetstream()
        sent = 0
        while not tap.lines:
            await context.publish("sat.01", json.dumps({"stream": "sat-01", "wheel_speed": sent}).encode())
            sent += 1
        consumers = [one.config.durable_name for one in await context.consumers_info("sats")]
        await client.close()
        return sent, [name for name in consumers if name]

    asyncio.run(make())
    source = f'kind = "nats"\nservers = ["{url}"]\nsubject = "sat.>"\ndurable = "monitor"\nstream = "stream"'
    configure(f"[[sources]]\n{source}\n")
    with running() as monitor:
        until(lambda: not monitor.view.readiness())
        with Tapping() as tap:
            sent, consumers = asyncio.run(asyncio.wait_for(feed(tap), 40))
            tap.interrupt()
        assert consumers == ["monitor"]
        until(lambda: monitor.counts()["rows"] == sent)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_tap_of_pushes_stores_nothing_and_says_so_to_senders() -> None:
    port = free_port()
    configure(f'[[sources]]\nkind = "http"\nport = {port}\nstream = "stream"\n')
    with Tapping("--json") as tap:

        def refused() -> bool:
            body = b'{"stream": "sat-01", "wheel_speed": 5}'
            try:
                OPENER.open(f"http://127.0.0.1:{port}/push", body, timeout=20).close()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code == 503 and error.headers["Retry-After"] == "1"
            except OSError:
                return False
            raise AssertionError("it said that this is stored")

        until(refused, 40)
        until(lambda: tap.lines != [])
        assert json.loads(tap.lines[0])["values"] == {"wheel_speed": 5.0}
        other = aez("tap", "monitor.toml", "--source", "http")
        assert other.returncode == 1
        assert f"source http: port {port} of 127.0.0.1 cannot be had" in other.stderr
        assert other.stderr.count("\n") == 1
        tap.interrupt()


@pytest.mark.usefixtures("here")
def test_tap_names_the_sources_there_are() -> None:
    configure(FILE)
    result = run("tap", "monitor.toml", "--source", "none")
    assert (result.exit_code, "has no source 'none'; it has telemetry" in result.stderr) == (2, True)


# top


@pytest.mark.usefixtures("here")
def test_top_lists_streams_the_worst_first() -> None:
    configure(FILE)
    with running() as monitor:
        until(lambda: monitor.counts()["rows"] == 200 and monitor.worker.idle)
        lines = run("top", "monitor.toml", "--once").stdout.splitlines()
        assert "2 streams" in lines[0]
        assert lines[1].split() == ["state", "stream", "model", "score/limit", "age", "rows", "event"]
        assert [line.split()[1] for line in lines[2:]] == sorted(
            ("sat-01", "sat-02"), key=lambda name: -ratio(lines, name)
        )
        by_name = run("top", "monitor.toml", "--once", "--sort", "stream").stdout.splitlines()[2:]
        assert [line.split()[1] for line in by_name] == ["sat-01", "sat-02"]
        data = json.loads(run("top", "monitor.toml", "--once", "--json").stdout)
        assert {one["stream"]: one["rows"] for one in data["streams"]} == {"sat-01": 100, "sat-02": 100}
        assert {one["state"] for one in data["streams"]} == {"event"}  # the fault that began at row 60 goes on
        assert data["rates"]["rows"] > 0
        assert data["gauges"]["memory_bytes"] > 1e7
        assert data["problems"] == []


def ratio(lines: list[str], name: str) -> float:
    return float(next(line for line in lines if f" {name} " in line).split()[3])


@pytest.mark.usefixtures("here")
def test_top_draws_a_table_for_a_terminal() -> None:
    from rich.console import Console

    from aez.commands.monitor.top import _table
    from aez.daemon.tools.overview import MonitorOverview

    entry: dict[str, Any] = {"model": "m", "rows": 10, "age": 3.0, "event": None, "state": "normal"}
    streams = [
        {**entry, "stream": "[red]\x1b[31mpump", "state": "event", "ratio": 4.2, "event": "abcdef0123456789"},
        {**entry, "stream": "fan", "ratio": 0.5},
        {**entry, "stream": "quiet", "state": "silent", "ratio": None, "age": None},
        {**entry, "stream": "beyond", "ratio": 0.1},
    ]
    seen = MonitorOverview(
        0, streams, {"rows": 1234.0, "scored": 1.0, "dropped": 0.0}, {"lag_seconds": 0.25}, ["no broker"]
    )
    output = io.StringIO()
    console = Console(file=output, width=100, height=20, force_terminal=True, color_system="truecolor")
    console.print(_table(seen, "http://h:1", "", 3))
    text = output.getvalue()
    assert "\x1b[31mpump" not in text
    assert "[red]?[31mpump" in text  # a name is text, whatever it looks like
    assert "1,234 rows/s" in text
    assert "no broker" in text
    assert "██████████" in text
    assert "█████░░░░░" in text
    assert "abcdef012345" in text
    assert "beyond" not in text
    assert "and 1 more streams" in text


@pytest.mark.usefixtures("here")
def test_top_says_in_80_columns_what_is_held_back_and_not_watched() -> None:
    from rich.console import Console

    from aez.commands.monitor.top import _table
    from aez.daemon.tools.overview import MonitorOverview

    seen = MonitorOverview(
        0,
        [],
        {"rows": 1.0, "scored": 1.0, "dropped": 0.0},
        {},
        [],
        losing=["sat-3 loses samples (late): " + "its samples come behind rows that were scored already; " * 3],
        unwatched=["2 streams are not scored, for no model's patterns fit: press-1, press-2"],
        held={"incident": 19_990, "capped": 3},
        mutes=["sat-4 muted until 2026-11-30 04:24Z: service"],
        sinks=["sink pager takes no events, 12 wait: it hangs"],
    )
    output = io.StringIO()
    Console(file=output, width=80, height=24, force_terminal=False).print(_table(seen, "http://h:1", "", 3, 80))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[:12] for line in lines if line.startswith(("sink", "2 str", "sat", "open"))] == [
        "sink pager t",
        "2 streams ar",
        "sat-3 loses ",
        "open events ",
        "sat-4 muted ",
    ]
    assert "19,990 told as one incident, 3 beyond their stream's share of the day" in " ".join(
        output.getvalue().split()
    )


@pytest.mark.usefixtures("here")
def test_top_tells_of_mutes_sinks_and_streams_without_a_model() -> None:
    sink = '[[sinks]]\nkind = "webhook"\nname = "pager"\nurl = "http://127.0.0.1:9/hook"'
    configure(
        FILE, f'{sink}\n[[mute]]\nstreams = ["sat-02"]\nreason = "service"\nbegins = "2020-01-01"\nuntil = "2999-01-01"'
    )
    with running() as monitor:
        stranger = json.dumps({"stream": "press", "time": 1e9, "x": 1.0}) + "\n"
        with Path("data.jsonl").open("a") as file:
            file.write(stranger)
        until(lambda: monitor.worker.idle and bool(monitor.running.engine.losing))
        until(lambda: any(one.last_error for one in monitor.running.deliveries.statuses()))
        data = json.loads(run("top", "monitor.toml", "--once", "--json").stdout)
        assert data["held"] == {"muted": 1}
        assert data["unwatched"] == ["1 stream is not scored, for no model's patterns fit: press"]
        assert "sat-02 muted until 2999-01-01 00:00Z: service" in data["mutes"]
        assert "sink pager takes no events" in data["sinks"][0]
        shown = run("top", "monitor.toml", "--once").stdout
        assert shown.index("sink pager") < shown.index("open events that were not sent: 1 muted")


@pytest.mark.usefixtures("here")
def test_top_and_reload_over_https_believe_the_configured_certificate_alone() -> None:
    signed = Authority(Path()).sign("page")
    stranger = Authority(Path(), "stranger").sign("other")
    Path("token").write_text("sesame")
    web = 'token_file = "token"\ntls_certificate = "{}"\ntls_key = "{}"'
    configure(FILE, web.format(signed.certificate, signed.key))
    with running() as monitor:
        port = monitor.config.web.port
        assert "2 streams" in run("top", "monitor.toml", "--once").stdout
        assert run("reload", "monitor.toml").stdout == "reloaded: nothing changed\n"
        by_name = run("top", "monitor.toml", "--once", "--url", f"https://localhost:{port}")
        assert "2 streams" in by_name.stdout
        text = Path("monitor.toml").read_text()
        Path("other.toml").write_text(
            text.replace(str(signed.certificate), str(stranger.certificate)).replace(str(signed.key), str(stranger.key))
        )
        result = run("top", "other.toml", "--once")
        assert result.exit_code == 1
        assert "its certificate is not trusted" in result.stderr
        Path("token").write_text("wrong")
        result = run("top", "monitor.toml", "--once")
        assert (result.exit_code, "it wants another token" in result.stderr) == (1, True)
        assert "wrong" not in result.stderr


@pytest.mark.usefixtures("here")
def test_top_without_a_monitor_is_a_sentence() -> None:
    configure(FILE)
    result = run("top", "monitor.toml", "--once")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "no monitor answers at http://127.0.0.1:" in result.stderr


# check --deep


@pytest.mark.usefixtures("here")
def test_deep_check_beside_the_monitor_knows_its_ports(mosquitto: Broker) -> None:  # noqa: F811
    port = free_port()
    http = f'[[sources]]\nkind = "http"\nport = {port}\nstream = "stream"\n'
    sink = f'[[sinks]]\nkind = "mqtt"\nport = {mosquitto.port}\nclient_id = "out"\n'
    broker = f'[[sources]]\nkind = "mqtt"\nport = {mosquitto.port}\ntopics = ["t"]\nclient_id = "m"\n'
    configure(FILE + http + broker + sink)
    page = load("monitor.toml").web.port
    free = run("check", "monitor.toml", "--deep").stdout.splitlines()
    assert f"web: port {page} is free" in free
    assert f"source http: port {port} is free" in free
    with running() as monitor:
        until(lambda: not monitor.view.readiness())
        taken = run("check", "monitor.toml", "--deep").stdout.splitlines()
        assert f"web: port {page} is that of the monitor that runs" in taken
        assert f"source http: port {port} is that of the monitor that runs" in taken
        assert "source mqtt: connected and subscribed" in taken
        assert not monitor.view.readiness()  # its own session was not ended
    result = run("check", "monitor.toml", "--deep")
    assert result.exit_code == 0


@pytest.mark.usefixtures("here")
def test_deep_check_names_a_port_of_somebody_else() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        configure(f'[[sources]]\nkind = "http"\nport = {port}\n')
        result = run("check", "monitor.toml", "--deep")
    assert result.exit_code == 2
    assert f"monitor.toml:7: source http: port {port} of 127.0.0.1 cannot be had: Address al" in result.stderr


@pytest.mark.usefixtures("here")
def test_check_warns_of_a_certificate_that_ends_soon() -> None:
    soon = Authority(Path()).sign("soon", days=5)
    configure(FILE, f'tls_certificate = "{soon.certificate}"\ntls_key = "{soon.key}"')
    result = run("check", "monitor.toml")
    assert result.exit_code == 0
    assert "aez: warning: web: the certificate " in result.stderr
    assert "renew it, then reload" in result.stderr
    (warning,) = json.loads(run("check", "monitor.toml", "--json").stdout)["warnings"]
    assert warning.startswith("web: the certificate")


@pytest.mark.usefixtures("here")
def test_streams_of_a_monitor_that_runs_are_forgotten_reset_and_renamed() -> None:
    configure(FILE)
    with running() as monitor:
        until(lambda: monitor.counts()["rows"] == 200 and monitor.worker.idle)
        names = sorted(one["stream"] for one in monitor.view.streams()["streams"])
        assert run("streams", "rename", "monitor.toml", names[0], "sat-x").stdout == f"{names[0]} goes on as sat-x\n"
        taken = run("streams", "rename", "monitor.toml", "sat-x", names[1])
        assert (taken.exit_code, "already" in taken.stderr) == (1, True)
        assert "begins anew" in run("streams", "reset", "monitor.toml", "sat-x").stdout
        assert [name for name, _ in monitor.store.states()] == [names[1], "sat-x"]
        assert run("streams", "forget", "monitor.toml", names[1]).stdout == f"forgot {names[1]}\n"
        unknown = run("streams", "forget", "monitor.toml", "nobody")
        assert "there is no stream 'nobody'" in unknown.stderr
        assert [one["stream"] for one in monitor.view.streams()["streams"]] == ["sat-x"]
        assert [name for name, _ in monitor.store.states()] == ["sat-x"]
    gone = run("streams", "forget", "monitor.toml", "sat-x")
    assert "does it run?" in gone.stderr


@pytest.mark.usefixtures("here")
def test_top_names_a_stream_that_loses_samples() -> None:
    configure(FILE)
    with running() as monitor, Path("data.jsonl").open("ab") as file:
        for _ in range(3):  # as where a file is written twice by mistake
            file.write(b"".join(encode(block, "json") for block in SIMULATION.blocks(200, 0)))
            file.flush()
        # Before all is read a stream may have good rows between bad ones, and lose nothing for a moment. The page's
        # tables are up to a second old, and the gauges are set behind the rest.
        until(lambda: monitor.counts() == {"rows": 1400, "refused": 0} and monitor.worker.idle)
        until(lambda: monitor.view.attention()["losing"]["reasons"] == {"late": 2})
        gauge = monitor.metrics.registry.get_sample_value
        until(lambda: gauge("aez_streams_losing_samples", {"reason": "late"}) == 2)
        shown = run("top", "monitor.toml", "--once").stdout
        assert "loses samples (late)" in shown
        assert "lateness_seconds" in shown
        until(lambda: [one["reason"] for one in monitor.view.summary()["losing"]] == ["late"])  # as of the last tick
