"""The documentation as a site: `make site`. Pages lie as in the repository, so that their links lead to the same files.

The folders of `PAGES` are copied into it where they are: pages that are programs of their own.
"""

from __future__ import annotations

import re
import shutil
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Folders of pages that are programs, and what those load; they lie in the site as in the repository.
PAGES = ("codec/js/dist", "codec/js/pages", "codec/js/viewer")
#: A line of a docstring that says what a name means, and methods that are not described.
_FIELD = re.compile(r"[a-z]\w*(, [a-z]\w*)*: \S")
_ROUTING = re.compile(r"set_\w+_request|get_metadata_routing")
#: What `docs/api.rst` describes.
FACES = (
    "aez",
    "aez.codec",
    "aez.codec.image",
    "aez.codec.latent",
    "aez.codec.vectors",
    "aez.codec.detect",
    "aez.codec.series",
    "aez.codec.bundle",
    "aez.export",
    "aez.daemon",
)

project = "aez"
author = copyright = "the authors of aez"
version = release = metadata.version("aez")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "*.md",
    "codec/FORMAT.md",
    "codec/js/README.md",
    "samples/README.md",
    "tests/codec/golden/README.md",
]
exclude_patterns = [".*", "build", "**/node_modules", "docs/site"]
html_theme = "furo"
html_title = f"aez {release}"
html_copy_source = False

myst_heading_anchors = 6
myst_enable_extensions = ["colon_fence"]
suppress_warnings: list[str] = []

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
default_role = "code"  # what single backticks mean in docstrings
napoleon_numpy_docstring = False


def _finish(app: Any, error: Exception | None) -> None:
    """The front page at the top, and the pages that are there."""
    if error is not None:
        return
    out = Path(app.outdir)
    front = f"{root_doc}.html"
    (out / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>aez</title>'
        f'<meta http-equiv="refresh" content="0; url={front}"><a href="{front}">aez</a></html>\n',
        encoding="utf-8",
    )
    for folder in PAGES:
        shutil.copytree(ROOT / folder, out / folder, dirs_exist_ok=True)


def _escape(app: Any, context: Any, lines: list[str]) -> None:  # noqa: ARG001 - what sphinx-click hands over
    """Help is plain text: a star in it means a star."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def _plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001 - Sphinx's
    """Docstrings are plain text: stars and underscores mean themselves, and `name: what it is` lines are a list."""
    listed = False
    for number, line in enumerate(lines):
        listed = bool(line.strip()) and (listed or _FIELD.match(line) is not None)
        if listed and not line.startswith((".. ", ":")):
            line = f"- {line}" if _FIELD.match(line) else f"  {line.strip()}"
        if not line.lstrip().startswith(".. "):
            parts = re.split(r"(`[^`]*`)", line)  # every second one is code
            parts[::2] = [re.sub(r"(?<!\\)\*|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            line = "".join(parts)
        lines[number] = line


def _skip(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:  # noqa: ARG001
    """What scikit-learn gives each estimator for routing metadata is its own affair."""
    return True if _ROUTING.fullmatch(name) else None


def _fetch_names() -> None:
    """Faces import their names at first use, and autodoc describes those alone that are there."""
    for face in FACES:
        module = import_module(face)
        for name in module.__all__:
            setattr(module, name, getattr(module, name))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    _fetch_names()
    app.connect("autodoc-process-docstring", _plain, priority=600)  # behind napoleon
    app.connect("autodoc-skip-member", _skip)
    for part in ("description", "options", "arguments"):
        app.connect(f"sphinx-click-process-{part}", _escape)
    app.connect("build-finished", _finish)
