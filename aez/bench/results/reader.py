"""The reports of a folder, as the sections of the document read them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from aez.bench.pictures.rd_report import RdReport
from aez.bench.weak.report import WeakReport
from aez.codec.errors import InvalidArgument

__all__ = ["Reader"]


class Reader:
    """The reports of a folder, each read when a section asks for it; links are relative to the folder `beside`.

    used: names of the reports read so far. bundles: their models by id.
    """

    def __init__(self, folder: Path, beside: Path, names: Sequence[str]) -> None:
        self.folder, self._beside, self._names = folder, beside, names
        self.used: set[str] = set()
        self.bundles: dict[str, dict[str, Any]] = {}

    def matching(self, pattern: str) -> list[str]:
        """The names of reports, sorted."""
        return [name for name in self._names if fnmatchcase(name, pattern)]

    def text(self, name: str) -> str:
        """A report as it lies there. Raises InvalidArgument."""
        try:
            text = (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{self.folder / name} cannot be read: {error}; make it anew") from error
        self.used.add(name)
        return text

    def parsed(self, name: str, parse: Callable[[str], Any]) -> Any:
        """What `parse` makes of a report's text. Raises InvalidArgument."""
        try:
            return parse(self.text(name))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument(f"{self.folder / name} is damaged or of another version: {error}") from error

    def rendered(self, name: str, render: Callable[[dict[str, Any]], Iterable[str]]) -> list[str]:
        """The lines that `render` makes of a report's figures. Raises InvalidArgument."""

        def lines(text: str) -> list[str]:
            figures = json.loads(text)
            if not isinstance(figures, dict):
                raise TypeError("it holds no JSON object")
            return list(render(figures))

        return list(self.parsed(name, lines))

    def report(self, name: str) -> RdReport:
        """A rate-distortion report; its models are remembered."""
        report: RdReport = self.parsed(name, RdReport.from_json)
        self._remember(report.bundles.values())
        return report

    def weak(self, name: str) -> WeakReport:
        """A report on weak spots; its models are remembered."""
        report: WeakReport = self.parsed(name, WeakReport.from_json)
        self._remember(report.bundles.values())
        return report

    def picture(self, name: str, about: str) -> list[str]:
        """A picture that lies in the folder, as Markdown; nothing where it does not."""
        return [f"![{about}]({self.link(name)})", ""] if (self.folder / name).is_file() else []

    def link(self, name: str) -> str:
        """The way from the document to a file of the folder."""
        return Path(os.path.relpath(self.folder / name, self._beside)).as_posix()

    def _remember(self, bundles: Iterable[dict[str, Any]]) -> None:
        for bundle in bundles:
            self.bundles.setdefault(str(bundle.get("id")), bundle)
