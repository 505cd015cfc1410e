"""Which room may import which: the table, as data, and what holds the sources to it.

A room is a folder of `codec`, `daemon` or `export`, `aez/commands`, `aez/bench`, or a file that stands at the top of a
package. `docs/architecture.md` prints the table from here.
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.kit.places import ROOT

#: Package -> its folder. The links in aez/ show the other three there, too; what lies behind a link is read once.
FOLDERS = {"aez": "aez", "aez.codec": "codec", "aez.daemon": "daemon", "aez.export": "export"}

#: Room -> what it may import besides itself and `codec.errors`; `codec.*` is all of a package.
RULES: dict[str, str] = {
    "codec.common": "",
    "codec.container": "",
    "codec.entropy": "",
    "codec.bundle": "codec.common",
    "codec.exact": "codec.container",
    "codec.remote": "codec.common",
    "codec.series": "codec.common",
    "codec.pixels": "codec.container",
    "codec.image": "codec.bundle codec.common codec.container codec.entropy codec.exact codec.pixels",
    "codec.latent": "codec.bundle codec.common codec.entropy codec.image",
    "codec.vectors": "codec.bundle codec.common codec.entropy codec.image",
    "codec.detect": "codec.bundle codec.common codec.image codec.series",
    "codec.report": "codec.common codec.detect codec.latent codec.vectors",
    "export.common": "codec.bundle codec.common",
    "export.families": "export.common",
    "export.autoencoders": ("codec.bundle codec.entropy codec.vectors export.common export.families"),
    "export.distortions": "",
    "export.hyperprior": "codec.bundle codec.common codec.entropy codec.image export.common",
    "export.photo": ("codec.bundle codec.common codec.entropy export.common export.distortions export.hyperprior"),
    "export.latent": ("codec.bundle codec.entropy codec.latent export.common export.distortions export.hyperprior"),
    "export.channels": "codec.common codec.series",
    "export.series": (
        "codec.bundle codec.common codec.detect codec.series export.channels export.common export.families"
    ),
    "export.images": "codec.bundle codec.common codec.detect codec.image export.common export.families",
    "export.series_detector": "",
    "daemon.common": "",
    "daemon.config": (
        "codec.bundle daemon.common daemon.files daemon.incidents daemon.mutes daemon.parse daemon.sinks "
        "daemon.sources daemon.transform"
    ),
    "daemon.rows": "codec.common",
    "daemon.signals": "daemon.common daemon.rows",
    "daemon.alarms": "codec.common codec.detect daemon.common daemon.rows",
    "daemon.mutes": "codec.series daemon.common",
    "daemon.incidents": "daemon.common daemon.mutes daemon.state",
    "daemon.engine": "codec.common codec.detect daemon.alarms daemon.common daemon.rows daemon.signals",
    "daemon.frames": "codec.container codec.detect codec.entropy codec.image codec.report daemon.common",
    "daemon.transform": "daemon.common",
    "daemon.parse": "codec.common codec.image codec.series daemon.common daemon.frames daemon.transform",
    "daemon.sources": "codec.common daemon.common",
    "daemon.files": "codec.common daemon.common daemon.sources",
    "daemon.state": "codec.common daemon.common",
    "daemon.sinks": "codec.common daemon.common daemon.state",
    "daemon.scores": "codec.common daemon.common daemon.engine daemon.state",
    "daemon.shadow": "codec.detect daemon.alarms daemon.common daemon.engine daemon.rows daemon.signals",
    "daemon.observe": "codec.common daemon.common",
    "daemon.web": "daemon.common daemon.engine daemon.frames daemon.observe daemon.rows",
    "daemon.build": (
        "codec.bundle codec.common codec.detect codec.image daemon.alarms daemon.common daemon.config daemon.engine "
        "daemon.files daemon.frames daemon.incidents daemon.observe daemon.parse daemon.scores daemon.shadow "
        "daemon.signals daemon.sinks daemon.sources daemon.state"
    ),
    "daemon.delivery": "daemon.common daemon.observe daemon.sinks daemon.state",
    "daemon.pipeline": "daemon.common daemon.observe daemon.state",
    "daemon.service": (
        "daemon.build daemon.common daemon.config daemon.delivery daemon.engine daemon.frames daemon.incidents "
        "daemon.mutes daemon.observe daemon.pipeline daemon.scores daemon.shadow daemon.sinks daemon.sources "
        "daemon.state daemon.web"
    ),
    "daemon.tools": (
        "codec.common daemon.build daemon.common daemon.config daemon.files daemon.scores daemon.service "
        "daemon.shadow daemon.sources daemon.state"
    ),
    "daemon.simulate": "daemon.common",
    "aez.messages": "",
    "aez.inputs": "aez.messages",
    "aez.files": "aez.inputs codec.common",
    "aez.batch": "aez.files aez.inputs aez.messages codec.common",
    "aez.file_report": "aez.files aez.inputs",
    "aez.pillow": "codec.container codec.image codec.pixels codec.remote",
    "aez.bench": "aez.pillow codec.* daemon.* export.*",
    "aez.commands": "aez.batch aez.bench aez.file_report aez.files aez.inputs aez.messages codec.* daemon.* export.*",
    "aez.cli": "aez.commands aez.messages",
    "aez.__main__": "aez.cli daemon.common",
}

#: Libraries that only training needs.
TRAINING = {"lightning_fabric", "onnx", "torch", "torchmetrics"}
#: What the base install brings, by import name.
BASE_INSTALL = {"PIL", "aez", "click", "constriction", "jinja2", "numpy", "onnxruntime", "platformdirs", "tqdm"}

DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- the table: printed by tests/house/test_imports.py -->", "<!-- end of the table -->"


@dataclass(frozen=True)
class Import:
    """One imported name: absolute and dotted; `lazy` when importing the module does not run it."""

    name: str
    lazy: bool
    line: int


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file of every module in the sources; what they ship as text for others is none."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if (package, parts[0]) == ("aez", "examples"):
                continue
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All imports of a module, `import_module("literal")` included."""
    return tuple(_walk(ast.parse(modules()[module].read_bytes(), module), lazy=False))


def _walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _names(child):
            yield Import(name, lazy, getattr(child, "lineno", 0))
        yield from _walk(child, lazy or _runs_later(child))


def _runs_later(node: ast.AST) -> bool:
    """Whether the body is a function's or for type checkers alone."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def _names(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            return [f"{'.' * level}{module or ''}.{alias.name}" for alias in names]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"), args=[ast.Constant(value)]
        ):
            return [str(value)]
        case _:
            return []


def module_of(name: str) -> str | None:
    """The module that an imported name is, or comes from; None for other people's."""
    if name in modules():
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in modules() else None


def is_face(module: str) -> bool:
    """Whether a module is a package's `__init__`."""
    return modules()[module].name == "__init__.py"


def room_of(module: str) -> str:
    """`aez.codec.detect.events` -> `codec.detect`, `aez.daemon.service` -> `daemon.service`, `aez.cli` -> `aez.cli`."""
    parts = module.split(".")
    return ".".join(parts[1:3] if parts[1:2] and f"aez.{parts[1]}" in FOLDERS else parts[:2])


def arrows() -> dict[str, set[str]]:
    """Module -> the modules that it imports, at once or later. Faces are left out: they stand outside the rooms."""
    return {
        module: {found for name in imports(module) if (found := module_of(name.name)) and found != module}
        for module in modules()
        if not is_face(module)
    }


def registered(module: str) -> set[str]:
    """The modules that a registry names as packages name entry points, `module:Class`, and loads by name."""
    texts = re.findall(r'"(aez(?:\.\w+)+):\w+"', modules()[module].read_text())
    return {text for text in texts if text in modules()}


def may_import(room: str, other: str) -> bool:
    """Whether the table allows it."""
    return other in (room, "codec.errors") or any(
        other == one or (one.endswith(".*") and other.startswith(one[:-1])) for one in RULES.get(room, "").split()
    )


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of the graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def table() -> str:
    """The rules as the document prints them."""
    rows = ["| room | may import |", "| --- | --- |"]
    for room, others in RULES.items():
        package = room.partition(".")[0]
        words = [one.removeprefix(f"{package}.") if one != f"{package}.*" else one for one in others.split()]
        rows.append(f"| `{room}` | {', '.join(words) or '-'} |")
    return "\n".join(rows)


def _run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=1200)


def test_imports_are_found() -> None:
    source = """
import a.b
from aez.codec.c import d
from .. import e
def f():
    import_module("g")
if TYPE_CHECKING:
    import h
"""
    assert list(_walk(ast.parse(source), lazy=False)) == [
        Import("a.b", False, 2),
        Import("aez.codec.c.d", False, 3),
        Import("...e", False, 4),
        Import("g", True, 6),
        Import("h", True, 8),
    ]


def test_a_circle_is_found() -> None:
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_the_table_names_every_room_and_has_no_circle() -> None:
    rooms = {room_of(module) for module in modules() if not is_face(module)} - {"codec.errors"}
    assert set(RULES) == rooms
    named = {one for others in RULES.values() for one in others.split() if not one.endswith(".*")}
    assert named <= rooms
    graph = {room: {other for other in rooms if other != room and may_import(room, other)} for room in rooms}
    assert not circle(graph)


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_what_the_table_allows(room: str) -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT)} imports {other}: {room} may import {RULES[room] or 'nothing'}"
        for module, others in arrows().items()
        if room_of(module) == room
        for other in others | registered(module)
        if not may_import(room, room_of(other))
    ]
    assert not wrong


def test_the_table_allows_no_more_than_is_used() -> None:
    used = {
        room: {room_of(o) for m, others in arrows().items() if room_of(m) == room for o in others | registered(m)}
        for room in RULES
    }
    unused = [
        f"{room} -> {one}"
        for room, others in RULES.items()
        for one in others.split()
        if not any(other == one or (one.endswith(".*") and other.startswith(one[:-1])) for other in used[room])
    ]
    assert not unused


def test_files_import_each_other_in_no_circle() -> None:
    assert not circle(
        {module: {other for other in others if not is_face(other)} for module, others in arrows().items()}
    )


def test_nobody_inside_imports_a_face() -> None:
    """A group of commands is the one `__init__` that is more than a face: it collects those beside it."""
    wrong = [
        f"{modules()[module].relative_to(ROOT)} imports from {other}"
        for module, others in arrows().items()
        for other in others
        if is_face(other) and not other.startswith("aez.commands")
    ]
    assert not wrong


def test_imports_are_absolute_and_lead_somewhere() -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.name}"
        for module in modules()
        for found in imports(module)
        if found.name.startswith(".") or (found.name.split(".")[0] == "aez" and not _leads_somewhere(found.name))
    ]
    assert not wrong


def _leads_somewhere(name: str) -> bool:
    return (module := module_of(name)) is not None and (
        module == name or name.rpartition(".")[2] in _defined(module) or is_face(module)
    )


@cache
def _defined(module: str) -> frozenset[str]:
    """Names that a module defines or imports at its top, and so can give."""
    names = set()
    for node in ast.walk(ast.parse(modules()[module].read_bytes())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.alias(name=name, asname=asname):
                names.add(asname or name)
    return frozenset(names)


def test_only_export_knows_training() -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.name}"
        for module in modules()
        if not f"{module}.".startswith("aez.export.")
        for found in imports(module)
        if found.name.split(".")[0] in TRAINING
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["aez", "aez.codec"])
def test_base_install_is_enough_to_import(package: str) -> None:
    allowed = BASE_INSTALL | sys.stdlib_module_names
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.name}"
        for module in modules()
        if FOLDERS[package] == modules()[module].relative_to(ROOT).parts[0] and not module.startswith("aez.bench")
        for found in imports(module)
        if not found.lazy and found.name.partition(".")[0] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["aez.codec", "aez.daemon"])
def test_runtime_imports_no_torch(package: str, tmp_path: Path) -> None:
    script = f"""
import importlib, json, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""
    run = _run(script, tmp_path)
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stdout))
    assert package in loaded
    assert not loaded & {"torch", "matplotlib", "onnx", "aez.export"}


def test_help_answers_without_heavy_imports(tmp_path: Path) -> None:
    script = """
import json, sys
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="aez")
sys.argv = ["aez", "--help"]
try:
    command.load()()
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
    run = _run(script, tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Usage: ")
    loaded = set(json.loads(run.stderr.splitlines()[-1]))
    assert not loaded & {"PIL", "constriction", "matplotlib", "numpy", "onnxruntime", "torch"}


def test_the_document_prints_the_table() -> None:
    """`AEZ_WRITE_DOCS=1` writes it anew."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if os.environ.get("AEZ_WRITE_DOCS"):
        DOCUMENT.write_text(wanted)
    assert text == wanted or os.environ.get("AEZ_WRITE_DOCS")
