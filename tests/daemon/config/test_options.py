"""Options: each is declared once, is read by something, has one name for one thing, and is known without libraries."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import Kind, Options, options_of
from aez.daemon.common.shared_options import MqttBroker
from aez.daemon.config.kinds import SINKS, SOURCES, Kinds
from aez.daemon.config.listing import chosen, into_document, listings
from aez.daemon.config.reader import SECTIONS, ConfigError, load
from aez.daemon.config.sections import RULE_KEYS, Model, Scores, State
from aez.daemon.engine.watched import Watched
from aez.daemon.parse.options import Options as ParseOptions
from aez.daemon.scores.files import Rotation
from aez.daemon.scores.log import Selection
from aez.daemon.sinks.mqtt import MqttSink, MqttSinkOptions
from aez.daemon.sources.mqtt import Mqtt, MqttOptions
from aez.daemon.state.event_store import Retention
from tests.kit.certificates import Authority
from tests.kit.places import ROOT

EVERY_KIND = [(kinds, kind) for kinds in (SOURCES, SINKS) for kind in kinds]
KIND_NAMES = [f"{kinds.what}-{kind}" for kinds, kind in EVERY_KIND]
#: What a constructor is given that no configuration names.
GIVEN = {"name", "options", "limits", "descriptor", "stream", "listens"}
REQUIRED: dict[str, Any] = {
    "paths": ["x"],
    "path": "x",
    "url": "https://host",
    "topics": ["t"],
    "client_id": "m",
    "subject": "s",
    "host": "127.0.0.1",
    "sender": "a@example.org",
    "recipients": ["b@example.org"],
}
LOGIN = {"username": "me", "password": "x"}
LEAST = """\
[[models]]
path = "pump.aezm"

[[sources]]
kind = "stdin"
"""


def faults(folder: Path, text: str) -> list[str]:
    (folder / "pump.aezm").write_bytes(b"a model")
    path = folder / "monitor.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.exit_code == 2
    return [str(fault).removeprefix(str(path)) for fault in caught.value.faults]


def recorded(options: Options) -> tuple[Options, set[str]]:
    """The same options, which note by name what is read of them."""
    read: set[str] = set()
    kind = type(options)
    names = set(options_of(kind))

    class Recorded(kind):  # type: ignore[valid-type, misc]
        def __getattribute__(self, name: str) -> Any:
            if name in names:
                read.add(name)
            return super().__getattribute__(name)

    made = object.__new__(Recorded)
    made.__dict__.update(vars(options))
    return made, read


@pytest.mark.parametrize(("kinds", "kind"), EVERY_KIND, ids=KIND_NAMES)
def test_every_option_of_a_kind_is_read_when_one_is_made(kinds: Kinds, kind: str, tmp_path: Path) -> None:
    made = Authority(tmp_path)
    signed = made.sign("ours")
    files = {"tls_ca": str(made.file), "tls_certificate": str(signed.certificate), "tls_key": str(signed.key)}
    known = options_of(kinds.options(kind))
    given = {name: value for name, value in (REQUIRED | LOGIN | files).items() if name in known and name != "url"}
    if "url" in known:
        given["url"] = "postgresql://me@host/x" if kind == "postgres" else "https://host"
    options, read = recorded(kinds.options(kind).of(**given))
    kinds.load(kind)(*(("source",) if kinds is SOURCES else ()), options)
    assert read == set(known)


def test_every_option_of_a_section_is_read_somewhere() -> None:
    read = set(attributes())
    for name, section in {**SECTIONS, "model": Model, "parse": ParseOptions}.items():
        owners = {name, f"_{name}", "options"}
        found = {attribute for owner, attribute in read if owner in owners}
        unread = set(options_of(section)) - found - ({*RULE_KEYS, "name"} if section is Model else set())
        assert not unread, f"nothing reads {', '.join(sorted(unread))} of {name}"


def attributes() -> Iterator[tuple[str, str]]:
    """(Last name before it, name) of every attribute that the monitor reads."""
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                yield (getattr(owner, "attr", None) or getattr(owner, "id", "")), node.attr


@pytest.mark.parametrize(("kinds", "kind"), EVERY_KIND, ids=KIND_NAMES)
def test_no_constructor_has_an_option_that_none_declares(kinds: Kinds, kind: str) -> None:
    parameters = inspect.signature(kinds.load(kind)).parameters
    assert set(parameters) <= GIVEN
    assert parameters["options"].default is inspect.Parameter.empty


def test_a_default_that_stands_with_the_work_as_well_is_the_same() -> None:
    watched = {name: one.default for name, one in inspect.signature(Watched).parameters.items()}
    for name, option in options_of(Model).items():
        plain = {"silent_seconds": "silent_after"}.get(name, name.removesuffix("_seconds"))
        if plain in watched and plain not in ("name", "columns", "limits"):
            assert watched[plain] == option.default, name
    scores, state = Scores(), State()
    assert Rotation() == Rotation(scores.rotate_rows, scores.rotate_seconds, scores.max_files, scores.retention_days)
    assert Selection() == Selection(scores.streams, scores.models, scores.every, scores.channel_scores, scores.values)
    assert (Retention().days, Retention().events) == (state.retention_days, state.retention_events)


def test_options_of_one_name_have_one_type() -> None:
    seen: dict[str, set[str]] = {}
    for table in listings():
        for name, option in table.options.items():
            assert option.kind in get_args(Kind)
            if table.name.startswith(("sources.", "sinks.")):
                seen.setdefault(name, set()).add(option.kind)
    assert {name: kinds for name, kinds in seen.items() if len(kinds) > 1} == {}


def test_names_tell_units_and_no_former_name_is_in_use() -> None:
    for table in listings():
        former = {name for option in table.options.values() for name in option.about.was}
        assert not former & {key for option in table.options.values() for key in option.keys}
        for name in table.options:
            assert not re.search(r"(_ms|_mb|_sec|_s|_kb|timeout|_minutes|_hours)$", name), f"{table.name}.{name}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[service]\nbatch_ms = 5\n", ":7: service.batch_ms: it is called batch_seconds now, in seconds"),
        (
            "[service]\ndead_letters_mb = 5\n",
            ":7: service.dead_letters_mb: it is called dead_letters_bytes now, in bytes",
        ),
        (
            "[[sinks]]\nkind = 'webhook'\nurl = 'http://x'\nca_file = 'x'\n",
            ":9: sinks[0].ca_file: it is called tls_ca now",
        ),
        (
            "[[sinks]]\nkind = 'webhook'\nurl = 'http://x'\ntimeout = 5\n",
            ":9: sinks[0].timeout: it is called timeout_seconds now",
        ),
        (
            "[[sinks]]\nkind = 'nats'\nurl = 'nats://x'\n",
            ":8: sinks[0].url: it is called servers now, a server or a list of them",
        ),
        (
            "[[sinks]]\nkind = 'nats'\ncreate_stream = 'x'\n",
            ":8: sinks[0].create_stream: it is called create_jetstream now",
        ),
        (
            "[[sinks]]\nkind = 'json_lines'\npath = 'x'\nmax_bytes = 5\n",
            ":9: sinks[0].max_bytes: it is called rotate_bytes now",
        ),
        ("[[sinks]]\nkind = 'json_lines'\npath = 'x'\ncount = 5\n", ":9: sinks[0].count: it is called max_files now"),
        (
            "[[sources]]\nkind = 'file'\npaths = 'x'\nmax_files = 5\n",
            ":9: sources[1].max_files: it is called open_files now",
        ),
        (
            "[[models]]\nname = 'a'\npath = 'pump.aezm'\nsilent_after = 5\n",
            ":9: models[1].silent_after: it is called silent_seconds now",
        ),
        (
            "[[sources]]\nkind = 'stdin'\nname = 'b'\nstrem = 'x'\n",
            ":9: sources[1].strem: there is no such key; did you mean stream?",
        ),
        (
            "[[sources]]\nkind = 'stdin'\nname = 'b'\ncomplete = true\n",
            ":6: source b: option complete needs columns, which name what a message must have",
        ),
        (
            "[[sinks]]\nkind = 'mqtt'\nname = 'b'\nport = 0\n",
            ":9: sinks[0].port: it is 1 to 65535, not 0",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_way_out(tmp_path: Path, text: str, expected: str) -> None:
    (found,) = faults(tmp_path, LEAST + text)
    assert found == expected


@pytest.mark.parametrize("given", [{"tls": True}, {"tls_ca": True}])
def test_mqtt_with_tls_and_no_port_uses_8883(tmp_path: Path, given: dict[str, Any]) -> None:
    if "tls_ca" in given:
        given = {"tls_ca": str(Authority(tmp_path).file)}
    options: list[MqttBroker] = [MqttOptions.of(topics=["t"], client_id="m", **given), MqttSinkOptions.of(**given)]
    assert {one.address for one in options} == {("127.0.0.1", 8883)}
    assert {type(one).of(**{**vars(one), "port": 1}).address for one in options} == {("127.0.0.1", 1)}
    assert "8883" in repr(MqttSink(MqttSinkOptions.of(**given)))
    assert Mqtt("a", MqttOptions(topics=["t"], client_id="m"))._address == ("127.0.0.1", 1883)


BLOCKED = ("aiohttp", "nats", "paho", "psycopg", "pyarrow")


def without_libraries(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script where nothing is installed but what `aez` itself needs."""
    block = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
    command = [sys.executable, "-c", block + script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_options_are_known_without_the_libraries_that_a_kind_needs_to_run(tmp_path: Path) -> None:
    done = without_libraries(tmp_path, "from aez.daemon.config.listing import listings; print(len(list(listings())))")
    assert (done.returncode, done.stdout.strip()) == (0, str(len(list(listings())))), done.stderr


@pytest.mark.parametrize(
    ("entry", "missing", "extra"),
    [
        ("[[sources]]\nkind = 'http'\n", "aiohttp", "monitor"),
        ("[[sources]]\nkind = 'mqtt'\ntopics = 't'\nclient_id = 'm'\n", "paho", "monitor"),
        ("[[sources]]\nkind = 'nats'\nsubject = 's'\n", "nats", "monitor"),
        ("[[sinks]]\nkind = 'mqtt'\n", "paho", "monitor"),
        ("[[sinks]]\nkind = 'nats'\n", "nats", "monitor"),
        ("[[sinks]]\nkind = 'postgres'\nurl = 'postgresql://x/y'\n", "psycopg", "postgres"),
    ],
)
def test_a_missing_library_is_named_with_line_and_extra(tmp_path: Path, entry: str, missing: str, extra: str) -> None:
    (tmp_path / "pump.aezm").write_bytes(b"a model")
    (tmp_path / "monitor.toml").write_text(LEAST + entry)
    script = f"""
from aez.daemon.config.reader import load
from aez.daemon.build import parts
for name in {BLOCKED!r}:
    if name != {missing!r}:
        sys.modules.pop(name)
config = load("monitor.toml")
try:
    [parts.source(config, one) for one in config.sources]
    parts.sinks(config)
except Exception as error:
    print(error)
"""
    done = without_libraries(tmp_path, script)
    kind = entry.partition("kind = '")[2].partition("'")[0]
    what = "source" if "sources" in entry else "sink"
    said = f"monitor.toml:6: {what} {kind}: this needs {missing}, which is not installed: pip install 'aez[{extra}]'"
    assert done.stdout.strip() == said, done.stderr


def test_an_option_checks_what_it_is_given() -> None:
    with pytest.raises(InvalidArgument, match="depth: it is 1 to 1000, not 0"):
        Limits(depth=0)
    with pytest.raises(InvalidArgument, match=r"topics: it is a list here, not 't'"):
        MqttOptions(topics="t", client_id="m")
    with pytest.raises(InvalidArgument, match=r"there is no option 'topic'; did you mean topics\?"):
        MqttOptions.of(topic="t")
    with pytest.raises(InvalidArgument, match="client_id: it is missing"):
        MqttOptions.of(topics=["t"])
    with pytest.raises(InvalidArgument, match=r"password: it is a text in quotes$"):
        MqttSinkOptions.of(username="me", password=5)


def test_tables_are_chosen_by_name_or_kind() -> None:
    assert [one.name for one in chosen("mqtt")] == ["sources.mqtt", "sinks.mqtt"]
    assert [one.name for one in chosen("web")] == ["web"]
    with pytest.raises(InvalidArgument, match="no options of 'modls'; did you mean models"):
        chosen("modls")
    with pytest.raises(InvalidArgument, match="no lines"):
        into_document("a document", "tables")
