"""The faces, which are what programs import: their three lists of names agree, and documents name nothing else."""

import ast
import importlib
import re
from collections.abc import Iterator

import pytest

from tests.kit.places import ROOT

#: Face -> its file. `aez` defines its functions itself, the others fetch their names from the rooms behind them.
FACES = {
    "aez": "aez/__init__.py",
    "aez.codec": "codec/__init__.py",
    "aez.codec.bundle": "codec/bundle/__init__.py",
    "aez.codec.detect": "codec/detect/__init__.py",
    "aez.codec.image": "codec/image/__init__.py",
    "aez.codec.latent": "codec/latent/__init__.py",
    "aez.codec.series": "codec/series/__init__.py",
    "aez.codec.vectors": "codec/vectors/__init__.py",
    "aez.daemon": "daemon/__init__.py",
    "aez.export": "export/__init__.py",
}
LAZY = [face for face in FACES if face != "aez"]
#: Imported for what it does, not for a name.
FOR_ITS_EFFECT = {"aez.pillow"}
#: Dotted words in documents that are no names of Python's: a subject of NATS.
OTHER_WORDS = {"aez.events"}
#: It prints the table of rooms, which are not for programs.
ABOUT_ROOMS = "docs/architecture.md"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "samples/**/*.md", "codec/*.md")
    for path in ROOT.glob(pattern)
    if path != ROOT / ABOUT_ROOMS
)


def body(face: str) -> list[ast.stmt]:
    return ast.parse((ROOT / FACES[face]).read_text(encoding="utf-8"), face).body


def imported(statements: list[ast.stmt]) -> dict[str, str]:
    """Name -> module of the `from ... import ...` among the statements."""
    return {
        alias.asname or alias.name: str(node.module)
        for node in statements
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def for_checkers(face: str) -> dict[str, str]:
    """What stands under `if TYPE_CHECKING`."""
    (block,) = [
        node
        for node in body(face)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return imported(block.body)


def lazy_table(face: str) -> dict[str, str]:
    """Name -> module of the table that `lazily` gets."""
    (table,) = [
        ast.literal_eval(node.value.args[1])
        for node in body(face)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "lazily"
    ]
    names = [(name, module) for module, names in table.items() for name in names.split()]
    assert len(dict(names)) == len(names), "a name stands twice in the table"
    return dict(names)


def offered(face: str) -> list[str]:
    names: list[str] = importlib.import_module(face).__all__
    return names


@pytest.mark.parametrize("face", LAZY)
def test_the_lists_of_a_face_agree(face: str) -> None:
    errors = {name: module for name, module in imported(body(face)).items() if module == "aez.codec.errors"}
    assert for_checkers(face) == lazy_table(face)
    assert sorted({**lazy_table(face), **errors}) == sorted(offered(face))


def test_the_front_door_offers_its_functions_its_decoder_and_the_errors() -> None:
    errors = [name for name, module in imported(body("aez")).items() if module == "aez.codec.errors"]
    defined = {node.name for node in body("aez") if isinstance(node, ast.FunctionDef)}  # some are overloaded
    functions = [name for name in defined if not name.startswith("_")]
    lazy = lazy_table("aez")
    assert sorted([*errors, *functions, *lazy]) == sorted(offered("aez"))
    assert lazy.items() <= for_checkers("aez").items()


@pytest.mark.parametrize("face", FACES)
def test_every_name_of_a_face_can_be_fetched(face: str) -> None:
    module = importlib.import_module(face)
    for name in offered(face):
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize("face", FACES)
def test_a_face_offers_names_once_and_none_that_are_private(face: str) -> None:
    names = offered(face)
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize("face", FACES)
def test_no_name_of_a_face_is_that_of_a_file_beside_it(face: str) -> None:
    """Once the file is imported, the package's attribute is the module, and the name behind it is never found."""
    beside = {path.stem for path in (ROOT / FACES[face]).parent.iterdir()}
    assert not beside & set(offered(face))


def test_every_package_that_documents_may_name_is_a_face() -> None:
    """A folder of `codec` whose `__init__` has a lazy table is in the list above."""
    tables = {
        path.relative_to(ROOT).as_posix()
        for folder in ("codec", "daemon", "export")
        for path in (ROOT / folder).rglob("__init__.py")
        if "lazily(" in path.read_text(encoding="utf-8")
    }
    assert tables <= set(FACES.values())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_faces(document: str) -> None:
    wrong = [
        f"{document}:{line} names {module}.{name}"
        for line, module, name in named((ROOT / document).read_text(encoding="utf-8"))
        if not is_offered(module, name)
    ]
    assert not wrong


def is_offered(module: str, name: str) -> bool:
    if f"{module}.{name}" in FOR_ITS_EFFECT | OTHER_WORDS | set(FACES):
        return True
    return module in FACES and name in offered(module)


def named(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, module, name) of the imports and the dotted names in a document.

    Where a line says what became of a path, `old -> new`, only the new one counts.
    """
    for found in re.finditer(r"^ *from (aez[\w.]*) import (\([^)]*\)|.*)$", text, re.MULTILINE):
        line = text.count("\n", 0, found.start()) + 1
        for part in re.sub(r"#.*", "", found[2]).strip("() \n").split(","):
            if part.strip():
                yield line, found[1], part.split()[0]
    for line, content in enumerate(text.splitlines(), 1):
        if re.match(r" *from aez", content):
            continue
        for found in re.finditer(r"(?<![\w/.-])aez(?:\.[A-Za-z_]\w*)+(?![\w/-])", re.split("->|→", content)[-1]):
            module, _, name = found[0].rpartition(".")
            yield line, module, name


def test_names_are_found_in_documents() -> None:
    text = """
`aez.codec.image` and `aez.load("x")`; not photo.aez.part nor aez-monitor.service
from aez.codec.detect import (
    Detector,  # a comment, with a comma
    Event as Found,
)
    from aez.codec import Reader, Writer  # both
- `aez.codec.api` -> `aez.codec.image.encode_picture`
"""
    assert sorted(named(text)) == [
        (2, "aez", "load"),
        (2, "aez.codec", "image"),
        (3, "aez.codec.detect", "Detector"),
        (3, "aez.codec.detect", "Event"),
        (7, "aez.codec", "Reader"),
        (7, "aez.codec", "Writer"),
        (8, "aez.codec.image", "encode_picture"),
    ]
    assert is_offered("aez.codec", "image")
    assert is_offered("aez", "load")
    assert not is_offered("aez.codec", "api")
    assert not is_offered("aez.codec.image.api", "load")


def test_the_documents_are_there() -> None:
    assert {"README.md", "CHANGELOG.md", "docs/python.md", "codec/FORMAT.md"} <= set(DOCUMENTS)
