"""The documents lead somewhere: every relative link, every anchor; and README stays short enough to be read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
README_LINES = 200
#: A link or picture in Markdown; the target may stand in angle brackets and be followed by a title.
LINK = re.compile(r"\]\(\s*(?:<([^>]*)>|([^()\s]*(?:\([^()\s]*\)[^()\s]*)*))(?:\s+[\"'(].*?[\"')])?\s*\)", re.DOTALL)
REFERENCE = re.compile(
    r"^ {0,3}\[[^\]]+\]:[ \t]*<?([^\s>]+)>?(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'))?[ \t]*$", re.MULTILINE
)
HTML = re.compile(r"<[a-z][^>]*\s(?:href|src)=[\"']([^\"']+)[\"']", re.IGNORECASE)
FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(`+)(?!`)(?:(?!\n\n).)*?(?<!`)\1(?!`)", re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def tracked() -> list[str]:
    """Names of the tracked files, from the root."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    except OSError:
        pytest.skip("there is no git")
    if listed.returncode != 0:
        pytest.skip("this is no checkout")
    return [name for name in listed.stdout.split("\0") if name]


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The tracked files, and the folders that they lie in."""
    names = set(tracked())
    return names | {str(parent) for name in names for parent in PurePosixPath(name).parents}


@pytest.fixture(scope="module")
def documents(files: set[str]) -> dict[str, str]:
    """Each tracked document that is there, by its name."""
    names = sorted(name for name in files if name.endswith(".md") and (ROOT / name).is_file())
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}


def without_code(text: str) -> str:
    """The text with fenced blocks and code spans made empty."""
    return SPAN.sub("``", FENCED.sub("", text))


def links(text: str) -> Iterator[str]:
    """The targets of a document's links."""
    plain = without_code(text)
    for found in LINK.finditer(plain):
        yield found[1] or found[2] or ""
    for pattern in (REFERENCE, HTML):
        yield from (found[1] for found in pattern.finditer(plain))


def anchors(text: str) -> set[str]:
    """What a link into a document may name, made of its headings as GitHub does it, and ids in HTML."""
    found = set(re.findall(r"<[a-z][^>]*\s(?:id|name)=[\"']([^\"']+)[\"']", without_code(text), re.IGNORECASE))
    for heading in re.findall(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", FENCED.sub("", text), re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def broken(name: str, text: str, documents: dict[str, str], files: set[str]) -> Iterator[str]:
    """What is wrong with each link of a document that leads nowhere."""
    for link in links(text):
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = (unquote(part) for part in link.partition("#"))
        target = _resolved(PurePosixPath(name).parent, path) if path else name
        if target not in files or not (ROOT / target).exists():
            yield f"{name}: ({link}) leads to no tracked file"
        elif anchor and target not in documents:
            yield f"{name}: ({link}) names a place in what is no document"
        elif anchor and anchor not in anchors(documents[target]):
            yield f"{name}: ({link}) names no heading of {target}"


def _resolved(folder: PurePosixPath, path: str) -> str:
    """The target's name from the root; what leads out of it begins with two dots."""
    parts: list[str] = []
    for part in (folder / path).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def test_every_link_of_the_documents_leads_somewhere(documents: dict[str, str], files: set[str]) -> None:
    assert {"README.md", "CHANGELOG.md"} <= set(documents)
    assert [fault for name, text in documents.items() for fault in broken(name, text, documents, files)] == []


def test_readme_links_every_document_for_people(documents: dict[str, str]) -> None:
    linked = {_resolved(PurePosixPath(), link.partition("#")[0]) for link in links(documents["README.md"])}
    assert {name for name in documents if name.startswith("docs/") or "/" not in name} - {"README.md"} <= linked


def test_readme_is_a_landing_page(documents: dict[str, str]) -> None:
    assert len(documents["README.md"].splitlines()) <= README_LINES


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = "# A b, `c`\n\n[x](#a-b-c) [y](no.md) ![z](#other)\n\n```\n# other\n[w](no.md)\n```\n\n`[v](no.md)`\n"
    text += "[u]: <no%20way.md>\n"
    faults = list(broken("README.md", text, {"README.md": text}, {"README.md"}))
    assert [fault.split(" ", 1)[1].split(")")[0] for fault in faults] == ["(no.md", "(#other", "(no%20way.md"]


def test_anchors_are_those_of_github() -> None:
    text = "# One\n## The `[[models]]` of *it*\n### One\n#### Events: open, close\n## [x](y.md) z ##\n"
    assert anchors(text) == {"one", "the-models-of-it", "one-1", "events-open-close", "x-z"}
