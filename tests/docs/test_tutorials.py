"""The tutorials do what they say: every command and every program in them runs, in their order, in one folder each.

A comment before a block, `<!-- in tests: --minutes 30 -> --steps 1 | ... -->`, makes it shorter here, and
`<!-- file: NAME -->` names the file that a page is written to.
"""

from __future__ import annotations

import dataclasses
import mimetypes
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aez.bench.remote.server import Answer, RangeServer, serving
from tests.kit.browser import Browser, browser, window  # noqa: F401 - fixtures
from tests.kit.made_once import MadeOnce
from tests.kit.places import ROOT, TINY
from tests.kit.tiny_pictures import photo

FOLDER = ROOT / "docs" / "tutorials"
TUTORIALS = sorted(path.stem for path in FOLDER.glob("*.md"))
BLOCK = re.compile(r"(?:<!-- (in tests|file): (.*?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 900

#: `aez` as installed, but that networks are traced for their graphs once in a run of the tests.
AEZ = """#!{python}
import sys
if sys.argv[1] in ("train", "collection"):
    from pathlib import Path
    from pytest import MonkeyPatch
    from tests.kit.made_once import MadeOnce
    from tests.kit.traced_once import trace_once
    trace_once(MonkeyPatch(), MadeOnce(Path("{common}")))
from aez.cli import main
main(prog_name="aez")
"""


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    file: str | None = None


def blocks(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        content, changes = found[4], found[2] if found[1] == "in tests" else ""
        for change in filter(None, changes.split(" | ")):
            old, new = change.split(" -> ")
            assert old in content, f"{old!r} is not in the block that it changes"
            content = content.replace(old, new)
        yield Block(found[3], content, found[2] if found[1] == "file" else None)


class _Site(RangeServer):
    """The files of a folder."""

    folder: Path

    def answer(self, path: str, wanted: str) -> Answer:
        file = self.folder / path
        if file.is_file():
            self.files[path] = file.read_bytes()
        answer = super().answer(path, wanted)
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return dataclasses.replace(answer, headers={**answer.headers, "Content-Type": kind})


@pytest.fixture
def place(tmp_path: Path, made_once: MadeOnce) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder as a reader has it, who is in a checkout, and the environment; `photo` is a network in miniature."""
    for name in ("samples", "codec"):
        (tmp_path / name).symlink_to(ROOT / name)
    programs, models = tmp_path / "programs", tmp_path / "models"
    programs.mkdir()
    models.mkdir()
    (programs / "aez").write_text(AEZ.format(python=sys.executable, common=made_once.common), encoding="utf-8")
    (programs / "aez").chmod(0o755)
    (models / "photo.aezm").write_bytes(Path(TINY).read_bytes())
    site = _Site({})
    site.folder = tmp_path
    with serving(site):
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        changed = {"PATH": path, "PYTHONPATH": str(ROOT), "AEZ_MODELS": str(models), "SERVER": site.address}
        yield tmp_path, {**os.environ, **changed}


def perform(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What a block prints."""
    if block.file is not None:
        (folder / block.file).write_text(block.text, encoding="utf-8")
        return ""
    command = {"bash": ["bash", "-euo", "pipefail"], "python": [sys.executable, "-W", "error::DeprecationWarning"]}
    ended = subprocess.run(
        [*command[block.language], "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{block.text}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


def run(name: str, folder: Path, environment: dict[str, str]) -> str:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return "".join(perform(block, folder, environment) for block in blocks(text) if "http.server" not in block.text)


Place = tuple[Path, dict[str, str]]


@pytest.mark.slow
def test_compress_an_archive(place: Place) -> None:
    folder, _ = place
    said = run("archive", *place)
    assert "bpp" in said
    assert len(list((folder / "all").glob("*.png"))) == 12
    assert {"collection.html", "manifest.csv"} <= {path.name for path in (folder / "smears.aez").iterdir()}
    assert (folder / "part.png").stat().st_size > 100


@pytest.mark.slow
def test_watch_a_machine(place: Place) -> None:
    folder, _ = place
    said = run("machine", *place)
    assert "sat-" in said
    assert "events" in (folder / "march.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_train_on_pictures(place: Place) -> None:
    folder, _ = place
    said = run("training", *place)
    assert "AVIF" in said
    assert (folder / "again.png").is_file()


@pytest.mark.slow
def test_look_into_a_latent(place: Place) -> None:
    folder, _ = place
    said = run("latent", *place)
    assert "(2, 8)" in said
    assert (folder / "digits.html").stat().st_size > 10_000


@pytest.mark.slow
def test_a_picture_on_a_page(place: Place, browser: Browser) -> None:  # noqa: F811
    from PIL import Image

    folder, environment = place
    Image.fromarray(photo(96, 160)).save(folder / "photo.png")
    run("page", *place)
    browser.open(f"{environment['SERVER']}/site/index.html")
    said = browser.until("return document.querySelector('p').textContent", "the picture did not come")
    assert said.startswith("160x96, ")
    drawn = "const c = document.querySelector('canvas'); return [...c.getContext('2d').getImageData(80, 48, 1, 1).data]"
    assert browser.run(drawn)[3] == 255


def test_every_tutorial_is_run_and_every_block_is_known() -> None:
    run_here = {"archive", "machine", "training", "latent", "page"}
    assert set(TUTORIALS) == run_here
    for name in TUTORIALS:
        found = list(blocks((FOLDER / f"{name}.md").read_text(encoding="utf-8")))
        assert len(found) >= 3
        assert {block.language for block in found if block.file is None} <= {"bash", "python"}
