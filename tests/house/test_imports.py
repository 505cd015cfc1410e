"""The rules of imports: `daemon -> codec`, `export -> codec`, `aez` -> all three lazily, and torch in export alone."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.places import ROOT

FOLDERS = {"aez": "aez", "aez.codec": "codec", "aez.daemon": "daemon", "aez.export": "export"}
FORBIDDEN = {
    "aez.codec": {"aez.daemon", "aez.export", "lightning_fabric", "onnx", "torch", "torchmetrics"},
    "aez.daemon": {"aez.export", "lightning_fabric", "onnx", "torch", "torchmetrics"},
    "aez.export": {"aez.daemon"},
}
#: What the base install brings, by import name.
BASE_INSTALL = {"PIL", "aez", "click", "constriction", "numpy", "onnxruntime", "platformdirs", "tqdm"}


@dataclass(frozen=True)
class Import:
    """One imported name: absolute and dotted; `lazy` when importing the module does not run it."""

    name: str
    lazy: bool
    where: str


def _imports(package: str) -> list[Import]:
    """All imports of a package's modules, relative ones resolved, `import_module("literal")` included."""
    folder = ROOT / FOLDERS[package]
    found = []
    for path in sorted(folder.rglob("*.py")):
        parent = ".".join([package, *path.relative_to(folder).parent.parts])
        for name, lazy, line in _walk(ast.parse(path.read_bytes(), str(path)), parent, lazy=False):
            found.append(Import(name, lazy, f"{path.relative_to(ROOT)}:{line}"))
    return found


def _walk(node: ast.AST, parent: str, lazy: bool) -> Iterator[tuple[str, bool, int]]:
    for child in ast.iter_child_nodes(node):
        for name in _names(child, parent):
            yield name, lazy, getattr(child, "lineno", 0)
        yield from _walk(child, parent, lazy or _runs_later(child))


def _runs_later(node: ast.AST) -> bool:
    """Whether the body is a function's or for type checkers alone."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def _names(node: ast.AST, parent: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            anchor = parent.split(".")[: parent.count(".") + 2 - level] if level else []
            base = ".".join([*anchor, *([module] if module else [])])
            return [f"{base}.{alias.name}" for alias in names]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"), args=[ast.Constant(value)]
        ):
            return [str(value)]
        case _:
            return []


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)


def test_imports_are_resolved() -> None:
    source = """
import a.b
from .c import d
from .. import e
def f():
    import_module("g")
if TYPE_CHECKING:
    import h
"""
    found = list(_walk(ast.parse(source), "aez.codec", lazy=False))
    assert found == [
        ("a.b", False, 2),
        ("aez.codec.c.d", False, 3),
        ("aez.e", False, 4),
        ("g", True, 6),
        ("h", True, 8),
    ]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_run_one_way(package: str) -> None:
    wrong = [
        f"{found.where} imports {found.name}"
        for found in _imports(package)
        if any(_is_within(found.name, other) for other in FORBIDDEN[package])
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["aez", "aez.codec"])
def test_base_install_is_enough_to_import(package: str) -> None:
    allowed = BASE_INSTALL | sys.stdlib_module_names
    wrong = [
        f"{found.where} imports {found.name}"
        for found in _imports(package)
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
