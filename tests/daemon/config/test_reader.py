"""The configuration: what it takes, and that what is wrong is named with file, line and key."""

from __future__ import annotations

import math
import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.daemon.config.listing import Listing, listings
from aez.daemon.config.own_files import own_files, pattern_warnings
from aez.daemon.config.reader import ConfigError, Configuration, Secret, load
from aez.daemon.config.toml_lines import key_lines, written
from tests.kit.certificates import Authority
from tests.kit.places import SAMPLES

SAMPLE = SAMPLES / "monitor.toml"
LEAST = """\
[[models]]
path = "pump.aezm"

[[sources]]
kind = "stdin"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pump.aezm").write_bytes(b"a model")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "monitor.toml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environment)
    assert caught.value.exit_code == 2
    return [str(fault).removeprefix(str(folder / "monitor.toml")) for fault in caught.value.faults]


def test_the_least_configuration_has_all_defaults(folder: Path) -> None:
    found = load(write(folder, LEAST))
    assert (found.models[0].name, found.models[0].options.streams) == ("pump", ("*",))
    assert found.sources[0].name == "stdin"
    assert found.web.host == "127.0.0.1"
    assert found.web.token is None
    assert found.resolve(found.state.path) == folder / "monitor.db"


def test_the_sample_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "satellite.aezm").write_bytes(b"a model")
    found = load(write(tmp_path, SAMPLE.read_text()))
    assert [one.kind for one in found.sources] == ["file"]
    assert found.sources[0].options.paths == (str(tmp_path / "data.jsonl"),)


def test_what_the_sample_leaves_out_can_be_put_in(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("[service]")) :]
    text = "\n".join(line.removeprefix("# ") for line in body)
    (tmp_path / "satellite.aezm").write_bytes(b"a model")
    signed = Authority(tmp_path).sign("monitor")
    signed.certificate.rename(tmp_path / "monitor.crt")
    names = ("AEZ_TOKEN", "AEZ_PUSH_TOKEN", "MQTT_PASSWORD", "WEBHOOK_SECRET", "AEZ_DATABASE_PASSWORD")
    found = load(write(tmp_path, text), dict.fromkeys(names, "x"))
    assert [one.kind for one in found.sources] == ["file", "http", "mqtt", "frames"]
    assert [one.kind for one in found.sinks] == ["console", "json_lines", "webhook", "alertmanager", "postgres"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[service]\nlgo = 1\n", ":7: service.lgo: there is no such key; did you mean log?"),
        ("[service]\nqueue = 'x'\n", ":7: service.queue: it is a whole number, not 'x'"),
        ("[service]\nqueue = true\n", ":7: service.queue: it is a whole number, not true"),
        ("[service]\nqueue = 0\n", ":7: service.queue: it is 1 to 65536, not 0"),
        ("[service]\nlog = 'xml'\n", ":7: service.log: it is one of console, json, not 'xml'"),
        ("[service]\nbatch_seconds = nan\n", ":7: service.batch_seconds: it is a number, not nan"),
        ("[servce]\n", ":6: servce: there is no such key; did you mean service?"),
        ("[sinks]\nkind = 'console'\n", ":6: sinks: write it as [[sinks]], with two brackets, once for each"),
        ("[[sinks]]\n", ":6: sinks[0].kind: it is missing; choose one of console,"),
        ("[[sinks]]\nkind = 'pigeon'\n", ":7: sinks[0].kind: 'pigeon' is no kind of sink; choose one of console,"),
        ("[[sinks]]\nkind = 'webhook'\n", ":6: sinks[0].url: it is missing"),
        (
            "[[sinks]]\nkind = 'webhook'\nurl = 'http://x'\nsecret = 'hush'\n",
            ":9: sinks[0].secret: there is no such key; a secret does not stand in this file, write secret_env or",
        ),
        ("[[sources]]\nkind = 'stdin'\n", ":6: sources[1]: 'stdin' is already the name of the one in line 4"),
        ("[[models]]\npath = 'pmp.aezm'\n", ":7: models[1].path: there is no file"),
        ("[[models]]\npath = 'nobody'\n", ":7: models[1].path: there is no model 'nobody'"),
        ("[[models]]\nname = 'x'\n", ":6: models[1].path: it is missing"),
        ("[state]\npath = 'a\\u0000b'\n".replace("'", '"'), ":7: state.path: it holds a null character"),
        ("[web]\ntls_key = 'a\\u0000b'\n".replace("'", '"'), ":7: web.tls_key: it holds a null character"),
        ("[web]\ntoken_file = 'a\\u0000b'\n".replace("'", '"'), ":7: web.token_file: it holds a null character"),
        ("[web]\ntoken_file = '~nobody-at-all/x'\n", ":7: web.token_file: "),
    ],
)
def test_faults_name_line_and_key(folder: Path, text: str, expected: str) -> None:
    (found,) = faults(folder, LEAST + text)
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("table", "line", "key", "said"),
    [
        ('streams = "a"\nreason = "x"\nuntil = "soon"', 4, "mute[0].until", "is no time"),
        ('streams = "a"\nreason = "x"', 1, "mute[0].until", "it is missing"),
        ('streams = "a"\nuntil = "2100-01-01"', 1, "mute[0].reason", "it is missing"),
        (
            'streams = "a"\nreason = "x"\ntimezone = "Mars/Sea"\nuntil = "2100-01-01"',
            4,
            "mute[0].timezone",
            "no time zone",
        ),
        (
            'streams = "a"\nreason = "x"\ntil = "2100-01-01"',
            4,
            "mute[0].til",
            "there is no such key; did you mean until?",
        ),
    ],
)
def test_mutes_that_cannot_be_are_named_with_line_and_key(
    folder: Path, table: str, line: int, key: str, said: str
) -> None:
    (folder / "monitor.toml").write_text(f"[[mute]]\n{table}\n{LEAST}")
    with pytest.raises(ConfigError) as found:
        load(folder / "monitor.toml")
    fault = found.value.faults[0]
    assert (fault.line, fault.key) == (line, key)
    assert said in fault.text


def test_a_configuration_knows_its_windows_and_those_that_are_past(folder: Path) -> None:
    window = '[[mute]]\nstreams = ["a", "b"]\nreason = "x"\nuntil = {}\n'
    text = "".join(window.format(one) for one in ("2020-01-01T00:00:00Z", '"2100-01-01"'))
    (folder / "monitor.toml").write_text(text + LEAST)
    found = load(folder / "monitor.toml")
    assert [one.window.patterns for one in found.mutes] == [("a", "b")] * 2
    assert [str(one) for one in found.past_mutes(1_700_000_000 * 10**9)] == [
        f"{folder / 'monitor.toml'}:4: mute[0].until: it is past, so that it mutes nothing; take it out"
    ]


def test_what_adapt_was_is_named(folder: Path) -> None:
    (folder / "monitor.toml").write_text(LEAST.replace("[[models]]", "[[models]]\nadapt = true"))
    with pytest.raises(ConfigError, match="it is called adopt now, and takes the new level"):
        load(folder / "monitor.toml")


def test_all_faults_are_told_at_once_in_the_order_of_lines(folder: Path) -> None:
    found = faults(folder, "[service]\nqueue = -1\n[web]\nport = 70000\nx = 1\n")
    assert [fault.split(": ")[1] for fault in found] == ["models", "sources", "service.queue", "web.port", "web.x"]


def test_somebodys_home_that_there_is_not_is_a_name_like_any_other(folder: Path) -> None:
    found = load(write(folder, LEAST + "[state]\npath = '~nobody-at-all/x.db'\n"))
    assert found.resolve(found.state.path) == folder / "~nobody-at-all" / "x.db"


def test_two_sources_on_one_port_are_refused(folder: Path) -> None:
    http = "[[sources]]\nname = '{}'\nkind = 'http'\nport = {}\n"
    (found,) = faults(folder, LEAST + http.format("a", 8086) + http.format("b", 8086))
    assert found == ":13: sources[2].port: port 8086 is already that of source a in line 9"
    (found,) = faults(folder, LEAST + http.format("a", 9464))
    assert found == ":9: sources[1].port: port 9464 is already that of the web page"
    (found,) = faults(folder, LEAST + http.format("a", 8000) + "[web]\nport = 8000\n")
    assert found == ":9: sources[1].port: port 8000 is already that of the web page in line 11"
    load(write(folder, LEAST + http.format("a", 8000) + "[web]\nport = 8000\nenabled = false\n"))
    twice = http.format("a", 8086) + http.format("b", 8086)
    found = faults(folder, LEAST + "[[sources]]\nkind = 'pigeon'\n" + twice)[1]
    assert found == ":15: sources[3].port: port 8086 is already that of source a in line 11"
    load(write(folder, LEAST + http.format("a", 0) + http.format("b", 0)))


def test_what_is_no_toml_is_named_with_its_line(folder: Path) -> None:
    (found,) = faults(folder, "[service]\nqueue = \n")
    assert found.startswith(":2: this is not TOML: ")
    (folder / "monitor.toml").write_bytes(b"[service]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"monitor.toml:2: it is not UTF-8 text"):
        load(folder / "monitor.toml")
    for text in (f"a = {'[' * 5000}", f"a = {'{a=' * 2000}", f"[service]\nqueue = {'9' * 5000}\n"):
        (found,) = faults(folder, text)
        assert found.startswith(":1: ")
    with pytest.raises(ConfigError, match=r"none.toml:1: it cannot be read: No such file"):
        load(folder / "none.toml")


def test_secrets_come_from_environment_or_files_and_do_not_show(folder: Path) -> None:
    (folder / "key").write_text("  from a file\n")
    text = LEAST + "[web]\ntoken_env = 'PAGE'\n[[sinks]]\nkind='webhook'\nurl='http://x'\nsecret_file='key'\n"
    found = load(write(folder, text), {"PAGE": "from outside"})
    assert (found.web.token, found.sinks[0].options.secret) == ("from outside", "from a file")
    assert isinstance(found.web.token, Secret)
    assert "from outside" not in repr(found)
    assert "from a file" not in repr(found)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("token_env = 'NONE'", "web.token_env: the environment has no NONE"),
        ("token_file = 'none'", "none cannot be read: No such file"),
        ("token_file = 'empty'", "empty is empty"),
        ("token_env = 'A'\ntoken_file = 'b'", "web.token_file: give it or token_env, not both"),
    ],
)
def test_secrets_that_cannot_be_had_are_named(folder: Path, keys: str, expected: str) -> None:
    (folder / "empty").write_text("\n")
    (found,) = faults(folder, LEAST + f"[web]\n{keys}\n", A="x")
    assert expected in found


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_secret_file_that_may_not_be_read_is_named(folder: Path) -> None:
    (folder / "key").write_text("x")
    (folder / "key").chmod(stat.S_IWUSR)
    (found,) = faults(folder, LEAST + "[web]\ntoken_file = 'key'\n")
    assert "Permission denied" in found


def test_the_version_changes_with_the_content_alone(folder: Path) -> None:
    first = load(write(folder, LEAST)).version
    assert load(write(folder, LEAST)).version == first
    assert load(write(folder, LEAST + "# a comment\n")).version != first


def test_a_lonely_source_equals_itself_whatever_its_line(folder: Path) -> None:
    first: Configuration = load(write(folder, LEAST))
    assert load(write(folder, "\n\n" + LEAST)).sources == first.sources


@pytest.mark.parametrize("table", list(listings()), ids=lambda table: table.name)
def test_defaults_are_values_that_could_have_been_given(table: Listing) -> None:
    for name, option in table.options.items():
        if option.default not in (None, (), {}):
            assert not option.wrong(option.default), name


KEYS = st.text("abcz_-.\"' ", min_size=1, max_size=5)
LEAVES = st.one_of(st.integers(-5, 5), st.booleans(), st.text("a#]}\"'\\\n,= ", max_size=6))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if "\n" in value and "'''" not in value and not value.endswith("'") and "\r" not in value:
            return f"'''\n{value}'''"
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, list):
        return "[\n " + ",\n ".join(map(toml, value)) + "]"
    assert isinstance(value, dict)
    return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_every_key_is_found_on_its_line(tables: list[dict[str, object]]) -> None:
    text, expected = "# top\n", {}
    for index, table in enumerate(tables):
        text += "[[t]] # a table\n"
        expected["t", index] = text.count("\n")
        for key, value in table.items():
            expected["t", index, key] = text.count("\n") + 1
            text += f"{toml(key)} = {toml(value)} # \"it's\n"
    tomllib.loads(text)
    found = key_lines(text)
    assert {place: found[place] for place in expected} == expected


def test_places_are_written_as_people_write_them() -> None:
    assert written(("sources", 1, "port")) == "sources[1].port"
    assert written(("a b", 0)) == '"a b"[0]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[transform]]\nscale = 2\n", ":6: transform[0].columns: it is missing"),
        ("[[transform]]\ncolumns = ['a']\nscale = 0\n", ":8: transform[0].scale: it is a number other than 0"),
        ("[[transform]]\ncolumns = ['a']\nunits = 'K'\n", ":8: transform[0].units: there is no such key; did you mean"),
        ("[[transform]]\ncolumns = 'a'\nsource = 'x'\n", ":8: transform[0].source: there is no source 'x'"),
        ("[[transform]]\ncolumns = 'a'\n[[transform]]\ncolumns = 'a'\n", ":9: transform[1].columns: the transform in"),
        (
            "[[transform]]\ncolumns = 'a'\nrename = 'x'\n[[transform]]\ncolumns = 'b'\nrename = 'x'\n",
            ":11: transform[1]",
        ),
        ("[transform]\ncolumns = 'a'\n", ": transform: write it as [[transform]]"),
        (
            "[[sources]]\nkind = 'http'\nrename = {a = 'b'}\n",
            "rename: it has a table of its own now: write [[transform]]",
        ),
        ("[[sources]]\nkind = 'http'\ncolumns = ['b']\n[[transform]]\ncolumns = 'a'\nsource = 'http'\n", "takes none"),
        ("[[models]]\npath = 'm.aezm'\nstuck = 'ten'\n", "stuck: it is true, false, a number of rows, a time"),
        ("[[models]]\npath = 'm.aezm'\nmissing = {a = -1}\n", "missing: it is true, false"),
        ("[[models]]\npath = 'm.aezm'\nno_reading = ['x']\n", "no_reading: it is a number or a list of numbers"),
    ],
)
def test_faults_of_signals_and_transforms_name_line_and_key(folder: Path, text: str, expected: str) -> None:
    (folder / "m.aezm").write_bytes(b"a model")
    found = faults(folder, LEAST + text)
    assert any(expected in one for one in found), found


def test_transforms_go_to_their_sources_and_bounds_are_told_apart(folder: Path) -> None:
    text = """
[[models]]
name = "n"
path = "m.aezm"
stuck = {valve = false, "bus_*" = "2 min", heat = 40, rest = true}
missing = false
no_reading = [-999, 0]
[[sources]]
kind = "http"
[[transform]]
columns = ["a", "b"]
scale = 2
[[transform]]
columns = "c"
source = "http"
rename = "d"
"""
    (folder / "m.aezm").write_bytes(b"a model")
    found = load(write(folder, LEAST + text))
    options = found.models[-1].options
    assert options.stuck == {"valve": math.inf, "bus_*": 120.0, "heat": 40, "rest": None}
    assert isinstance(options.stuck["heat"], int)
    assert options.missing == {"*": math.inf}
    assert options.no_reading == (-999.0, 0.0)
    assert [[each.columns for each in one.parse.transforms] for one in found.sources] == [
        [("a", "b")],
        [("a", "b"), ("c",)],
    ]


FILES = LEAST.replace('kind = "stdin"', 'kind = "file"\npaths = ["data.jsonl"]')


def test_what_the_monitor_writes_is_written_once_and_never_its_input(folder: Path) -> None:
    sink = '[[sinks]]\nkind = "json_lines"\npath = "data.jsonl"\n'
    (found,) = faults(folder, FILES + sink)
    assert found.startswith(f":6: sources[0].paths: {folder}/data.jsonl is that of sinks[0].path in line 9, ")
    assert found.endswith("and what the monitor writes is never its input")
    for key, table in (("path", "state"), ("dead_letters", "service")):
        (found,) = faults(folder, f'[{table}]\n{key} = "data.jsonl"\n{FILES}')
        assert found.startswith(f":8: sources[0].paths: {folder}/data.jsonl is that of {table}.{key} in line 2")
    (folder / "link.jsonl").symlink_to(folder / "data.jsonl")
    (found,) = faults(folder, FILES.replace("data.jsonl", "link.jsonl") + sink)
    assert "link.jsonl is that of sinks[0].path" in found
    (found,) = faults(folder, FILES + '[state]\npath = "x.db"\n[service]\ndead_letters = "./x.db"\n')
    assert found.startswith(f":8: state.path: {folder}/x.db is already that of service.dead_letters in line 10")
    two = sink.replace("data", "events") + sink.replace("data", "events").replace("kind", 'name = "b"\nkind')
    (found,) = faults(folder, FILES + two)
    assert found.startswith(f":13: sinks[1].path: {folder}/events.jsonl is already that of sinks[0].path in line 9")


def test_patterns_that_cover_files_of_the_monitor_are_told_and_can_be_used(folder: Path) -> None:
    found = load(write(folder, FILES.replace("data.jsonl", "*.jsonl")))
    (warning,) = pattern_warnings(found)
    assert warning.startswith(f"{folder}/monitor.toml:4: sources[0].paths: ")
    assert "covers dead-letters.jsonl (service.dead_letters), which the monitor writes itself and leaves out" in warning
    own = own_files(found)
    assert own.what(str(folder / "monitor.db-wal")) == own.what(str(folder / "monitor.db")) == "state.path"
    assert own.what(str(folder / "monitor.toml")) == "the configuration"
    assert not own.what(str(folder / "data.jsonl"))
    assert not pattern_warnings(load(write(folder, FILES)))


def test_two_sessions_of_one_client_are_refused(folder: Path) -> None:
    mqtt = '[[sources]]\nname = "{}"\nkind = "mqtt"\ntopics = ["a"]\nclient_id = "m"\nhost = "{}"\n'
    (found,) = faults(folder, LEAST + mqtt.format("a", "x") + mqtt.format("b", "x"))
    assert found == ":16: sources[2].client_id: 'm' is already the session of sources[1].client_id in line 10"
    load(write(folder, LEAST + mqtt.format("a", "x") + mqtt.format("b", "y")))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('kind = "webhook"\nurl = "ftp://x"', ":8: sinks[0].url: the url of a sink begins with http://"),
        ('kind = "webhook"\nurl = "http://a b/"', ":8: sinks[0].url: "),
        ('kind = "webhook"\nurl = "http://x"\nsecret_env = "BAD"', ":9: sinks[0].secret_env: the secret of a webhook"),
        ('kind = "webhook"\nurl = "http://x"\nheaders = { Host = "y" }', ":9: sinks[0].headers: the header Host"),
        ('kind = "alertmanager"\nurl = "http://x"\nlabels = { "a-b" = "y" }', ":9: sinks[0].labels: 'a-b' is no label"),
        (
            'kind = "alertmanager"\nurl = "http://x"\ntoken_env = "BAD"\nusername = "me"\npassword_env = "BAD"',
            ":9: sinks[0].token_env: a sink takes a token or a username, not both",
        ),
        (
            'kind = "alertmanager"\nurl = "http://x"\nusername = "me"',
            ":9: sinks[0].username: a sink needs username",
        ),
        ('kind = "mqtt"\ntopic = "a/+"', ":8: sinks[0].topic: an MQTT sink cannot publish"),
        ('kind = "mqtt"\nhost = "a:1883"', ":8: sinks[0].host: 'a:1883' is no name of a host"),
        ('kind = "nats"\nsubject = "a..b"', ":8: sinks[0].subject: a NATS sink cannot publish"),
        ('kind = "nats"\nservers = ["nats://a", "http://b"]', ":8: sinks[0].servers: an address in servers looks like"),
        ('kind = "nats"\nusername = "me"', ":8: sinks[0].username: NATS needs username and password together"),
        ('kind = "postgres"\nurl = "postgresql://u:p@h/d"', ":8: sinks[0].url: the url of a PostgreSQL database holds"),
        ('kind = "postgres"\nurl = "postgresql://u@h/d"\nschema = "A"', ":9: sinks[0].schema: a schema's name has"),
        ('kind = "chat"\nurl = "http://x"', ":8: sinks[0].url: there is no such key; a secret does not stand in this"),
        ('kind = "chat"\nurl_env = "URL"\nbody = "{text"', ":9: sinks[0].body: "),
        ('kind = "email"\nhost = "x"\nsender = "a@b"\nrecipients = ["c"]', ":10: sinks[0].recipients: 'c' is no"),
    ],
)
def test_what_is_wrong_with_a_sink_is_told_at_its_key(folder: Path, table: str, said: str) -> None:
    environment = {"BAD": "whsec_s3cr3t!", "URL": "https://x/s3cr3t"}
    found = faults(folder, f"{LEAST}[[sinks]]\n{table}\n", **environment)
    assert found[0].startswith(said)
    assert "s3cr3t" not in str(found)


def test_filters_that_cannot_be_are_told_at_their_key(folder: Path) -> None:
    source = 'kind = "mqtt"\ntopics = ["a/b", "sat/#/x"]\nclient_id = "a"'
    assert faults(folder, LEAST.replace('kind = "stdin"', source)) == [
        ":6: sources[0].topics: 'sat/#/x' is no topic filter: # stands alone, as the last level"
    ]
