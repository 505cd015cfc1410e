"""What all commands' options have in common."""

from __future__ import annotations

from collections.abc import Iterator

import click

from aez.cli import main
from tests.kit.commands import run


def _all(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command below one, with the words that call it."""
    yield path, command
    for name, one in command.commands.items() if isinstance(command, click.Group) else ():
        yield from _all(one, (*path, name))


def test_no_option_takes_what_is_no_number_for_one() -> None:
    seen = 0
    for path, command in _all(main):
        for option in command.params:
            if not isinstance(option, click.Option) or not isinstance(option.type, click.types.FloatParamType):
                continue
            seen += 1
            for word in ("nan", "inf"):
                done = run(*path, option.opts[-1], *[word] * option.nargs)
                assert done.exit_code == 2, (path, option.opts, word)
                said = done.stderr.splitlines()
                assert len(said) == 1, said
                assert "invalid value for" in said[0], said
                assert "finite number" in said[0] or "not in the range" in said[0], said
    assert seen > 50


def test_a_number_without_bounds_is_listed_without_them() -> None:
    shown = run("encode", "--help").stdout
    assert "--psnr FLOAT" in shown
    assert "None" not in shown
