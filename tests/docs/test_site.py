"""`make site`: the documents become pages without a warning, and every link within them leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from aez.cli import main
from tests.house.test_faces import FACES, offered
from tests.kit.places import ROOT


@pytest.fixture(scope="module")
def links() -> ModuleType:
    found = importlib.util.spec_from_file_location("check_links", ROOT / "docs" / "check_links.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_site_has_every_document_command_and_name(tmp_path: Path, links: ModuleType) -> None:
    out = tmp_path / "site"
    made = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", tmp_path / "trees", "--conf-dir", "docs"]
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", *made, ".", out], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert list(links.broken(out)) == []
    documents = {path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in documents if not (out / page).is_file()} == set()
    commands = (out / "docs" / "commands.html").read_text(encoding="utf-8")
    assert {name for name in main.commands if f'id="aez-{name}"' not in commands} == set()
    names = set(re.findall(r'id="(aez[\w.]*)"', (out / "docs" / "api.html").read_text(encoding="utf-8")))
    for face in FACES:
        short = {name.rpartition(".")[2] for name in names}
        assert {name for name in offered(face) if name not in short} == set()
    assert "docs/index.html" in (out / "index.html").read_text(encoding="utf-8")


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, links: ModuleType) -> None:
    (tmp_path / "a.html").write_text('<p id="x"><a href="#x"></a><a href="#y"></a><a href="b.html#z"></a>')
    (tmp_path / "b.html").write_text('<a href="https://example.org/none"></a><img src="no.png"><a href="../c"></a>')
    found = [line.partition(")")[0] for line in links.broken(tmp_path)]
    assert found == ["a.html: (#y", "a.html: (b.html#z", "b.html: (no.png", "b.html: (../c"]
