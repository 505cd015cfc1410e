"""`aez monitor options`: every option that there is, for people and for documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aez.cli import main
from aez.daemon.config.listing import BEGIN, END


def test_it_lists_a_kind_with_defaults_and_meaning() -> None:
    found = CliRunner().invoke(main, ["monitor", "options", "json_lines"], catch_exceptions=False).stdout
    assert found.startswith('[[sinks]], kind = "json_lines"\n  path  (path; required)\n')
    assert "  rotate_bytes  (whole, 0 to 1099511627776; default 104857600)\n" in found


def test_it_writes_between_the_marks_of_a_document_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    path.write_text(f"before\n{BEGIN}old\n{END}after\n")
    for _ in range(2):
        CliRunner().invoke(main, ["monitor", "options", "stdin", "--into", str(path)], catch_exceptions=False)
        assert path.read_text() == (
            f'before\n{BEGIN}\n#### `[[sources]], kind = "stdin"`\n\n'
            "| option | value | default | meaning |\n| --- | --- | --- | --- |\n"
            f'| `format` | `json`, `csv`, `line` | `"json"` | what lines are |\n\n{END}after\n'
        )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pigeon"], 2, "there are no options of 'pigeon'"),
        (["--into", "none.md"], 5, "none.md cannot be read: No such file or directory"),
        (["--into", "plain.md"], 2, "the document has no lines <!-- keys: begin --> and <!-- keys: end -->"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "plain.md").write_text("a document\n")
    arguments = [str(tmp_path / one) if one.endswith(".md") else one for one in arguments]
    found = CliRunner().invoke(main, ["monitor", "options", *arguments])
    assert (found.exit_code, found.stderr.count("\n")) == (code, 1)
    assert said in found.stderr
