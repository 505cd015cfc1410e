"""Reports as HTML: templates in one frame, each page one file that holds all it shows and loads nothing.

The templates escape every text that is put into them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["Figure", "html_page"]

#: Those of this package, which others extend.
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Figure:
    """A picture as bytes of a `kind` that browsers show, and what it shows in words.

    `width` in pixels is that of one with axes, which can be shrunk only so far.
    """

    data: bytes
    text: str
    kind: str = "png"
    width: int | None = None

    @property
    def url(self) -> str:
        """The picture itself as a URL."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode()}"


def html_page(template: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """The page that a template makes of values; it may lie in another folder than the frame that it extends.

    What UTF-8 cannot say of a file's name is shown as a question mark.
    """
    made = _environment(folder).get_template(template).render(values)
    return made.encode("utf-8", "replace").decode()


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["thousands"] = "{:,}".format
    return environment
