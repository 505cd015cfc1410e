"""What a reload is to change, as data: no monitor runs here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aez.daemon.config.reader import Configuration, load
from aez.daemon.service.plan import (
    AwaitRestart,
    Change,
    ExchangeModels,
    ExchangeSinks,
    ExchangeSources,
    RenewCertificates,
    SetLogs,
    Setup,
    TakeKeys,
    plan,
    told,
)

CONFIG = """\
[service]
batch_seconds = 0.005
[[models]]
path = "satellite.aezm"
[[sources]]
name = "a"
kind = "stdin"
[[sources]]
name = "b"
kind = "http"
port = 8086
[[sinks]]
kind = "console"
"""
Made = Callable[..., Configuration]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """The configuration with texts in it replaced."""
    for name in ("satellite.aezm", "other.aezm"):
        (tmp_path / name).touch()

    def make(*pairs: tuple[str, str]) -> Configuration:
        text = CONFIG
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "monitor.toml").write_text(text)
        return load(tmp_path / "monitor.toml")

    return make


def setup(config: Configuration, id: str = "1") -> Setup:
    return Setup(config, tuple((one, id) for one in config.models))


def test_nothing_new_exchanges_models_all_the_same_and_tells_nothing(made: Made) -> None:
    old = made()
    changes = plan(setup(old), setup(made()), old)
    assert changes == [ExchangeModels(others=False), RenewCertificates(("a", "b"), page=False)]
    assert told(changes) == "nothing changed"


@pytest.mark.parametrize(
    ("pair", "expected", "words"),
    [
        (("satellite.aezm", "other.aezm"), ExchangeModels(others=True), "models"),
        (('"stdin"', '"stdin"\nformat = "csv"'), ExchangeSources(("a",), ("a",)), "sources a"),
        (('name = "a"', 'name = "c"'), ExchangeSources(("a",), ("c",)), "sources a, c"),
        (
            ('[[sinks]]\nkind = "console"', '[[sources]]\nname = "c"\nkind = "http"\nport = 8087'),
            ExchangeSources((), ("c",)),
            "sources c; sinks",
        ),
        (('"console"', '"console"\nformat = "json"'), ExchangeSinks(), "sinks"),
        (
            ("batch_seconds = 0.005", "batch_seconds = 0.006\ncommit_seconds = 0.007"),
            TakeKeys(("service.batch_seconds", "service.commit_seconds")),
            None,
        ),
        (
            ("batch_seconds = 0.005", 'batch_seconds = 0.005\nlog_level = "error"'),
            SetLogs("console", "error"),
            "service.log_level",
        ),
        (("batch_seconds = 0.005", "batch_seconds = 0.005\nqueue = 9"), AwaitRestart(("service.queue",)), None),
    ],
)
def test_each_change_is_found_and_told(made: Made, pair: tuple[str, str], expected: Change, words: str | None) -> None:
    old = made()
    changes = plan(setup(old), setup(made(pair)), old)
    assert expected in changes
    if words is not None:
        assert told(changes) == words


def test_another_model_under_the_same_name_is_one(made: Made) -> None:
    old = made()
    assert ExchangeModels(others=True) in plan(setup(old, "1"), setup(made(), "2"), old)


def test_certificates_are_renewed_where_a_source_stays_and_for_the_page(made: Made) -> None:
    old = made()
    changes = plan(setup(old), setup(made(("8086", "8087"))), old)
    assert RenewCertificates(("a",), page=False) in changes
    begun = made()
    begun = replace(begun, web=replace(begun.web, tls_certificate="page.pem"))
    assert RenewCertificates(("a", "b"), page=True) in plan(setup(begun), setup(begun), begun)


def test_what_waits_for_a_restart_is_told_until_there_was_one(made: Made) -> None:
    begun = made()
    now = made(("batch_seconds = 0.005", "batch_seconds = 0.006\nqueue = 9"))
    first = plan(setup(begun), setup(now), begun)
    assert told(first) == "service.batch_seconds; service.queue only with a restart"
    assert told(plan(setup(now), setup(now), begun)) == "service.queue only with a restart"
    # Taken back in the file, it is as it is in the process.
    assert told(plan(setup(now), setup(begun), begun)) == "service.queue, service.batch_seconds"


def test_all_at_once_is_told_in_one_order(made: Made) -> None:
    old = made()
    new = made(
        ("satellite.aezm", "other.aezm"),
        ('name = "a"', 'name = "z"'),
        ('"console"', '"console"\nformat = "json"'),
        ("batch_seconds = 0.005", "batch_seconds = 0.006\nqueue = 9"),
    )
    said = "models; sources a, z; sinks; service.batch_seconds; service.queue only with a restart"
    assert told(plan(setup(old), setup(new), old)) == said
