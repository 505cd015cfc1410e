"""`aez score` with a model of `aez train images`: a verdict for each picture, heat maps, a report."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez import messages
from aez.batch import run_each
from aez.codec.errors import AezError, InvalidArgument, OutputError
from aez.files import Job, check_target

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle
    from aez.codec.detect.pictures import PictureDetector
    from aez.codec.detect.score_pictures import ScoredPicture
    from aez.codec.report.pictures_page import PictureReport

#: What heat maps are called, after the names of their pictures.
PLOT_SUFFIX = ".heat.png"


@dataclass(frozen=True)
class PictureOutputs:
    """Files that were asked for; `plots` is a folder."""

    scores: str | None
    plots: str | None
    report: str | None
    force: bool

    @property
    def named(self) -> list[str]:
        return [name for name in (self.scores, self.plots, self.report) if name is not None]


def score_pictures(bundle: Bundle, data: Sequence[str], outputs: PictureOutputs, device: str, as_json: bool) -> int:
    """Score pictures, and those in folders, one after the other; the exit code.

    Goes on after a picture that cannot be read. Raises AezError subclasses for what nothing can be done with.
    """
    from aez.codec.detect.pictures import PictureDetector

    detector = PictureDetector(bundle, device)
    names = _expand(data)
    _check_outputs(outputs, names)
    run = _Run(detector, outputs, as_json)
    with _bar(len(names)) as run.bar:
        code = run_each(names, run.one)
    if run.rows:
        run.write()
    return code


@dataclass
class _Run:
    """What one call of the command collects."""

    detector: PictureDetector
    outputs: PictureOutputs
    as_json: bool
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    bar: Any = None

    def __post_init__(self) -> None:
        self.report: PictureReport | None = None
        self.taken: set[str] = set()
        if self.outputs.report is not None:
            from aez.codec.report.pictures_page import PictureReport

            self.report = PictureReport(self.detector)
        if self.outputs.plots is not None:
            _make_folder(Path(self.outputs.plots))

    def one(self, name: str) -> None:
        from aez.codec.detect.score_pictures import score_picture

        try:
            scored = score_picture(self.detector, name)
            row = scored.as_dict()
            if self.outputs.plots is not None:
                row["plot"] = self._plot(scored, Path(self.outputs.plots))
        except AezError as error:
            self.failures.append((click.format_filename(name), str(error)))
            raise
        finally:
            self.bar.update()
        if self.report is not None:
            self.report.add(scored)
        self.rows.append(row)
        with self.bar.external_write_mode(file=sys.stderr):
            self._show(scored, row)

    def _plot(self, scored: ScoredPicture, folder: Path) -> str:
        """Draw the heat map into the folder; of equal names, later ones get a number."""
        from aez.codec.common.files import write_whole
        from aez.codec.report.picture_plots import panel_bytes

        stem = Path(scored.source).stem
        name, number = stem + PLOT_SUFFIX, 2
        while name in self.taken:
            name, number = f"{stem}-{number}{PLOT_SUFFIX}", number + 1
        self.taken.add(name)
        write_whole(folder / name, panel_bytes(scored), self.outputs.force)
        return str(folder / name)

    def _show(self, scored: ScoredPicture, row: dict[str, Any]) -> None:
        shown = click.format_filename(scored.source)
        for notice in scored.notices:
            messages.warning(f"{shown}: {notice}")
        if self.as_json:
            messages.result(json.dumps(row | {"model": self.detector.bundle.name}, ensure_ascii=False))
        else:
            messages.result(f"{scored.score:8.3f}  {shown}: {scored.verdict}")

    def write(self) -> None:
        from aez.codec.common.files import write_whole
        from aez.codec.report.picture_score_files import write_picture_scores

        abnormal = sum(row["verdict"] == "abnormal" for row in self.rows)
        count = len(self.rows)
        messages.summary(f"{abnormal:,} of {count:,} picture{'' if count == 1 else 's'} abnormal")
        if self.outputs.scores is not None:
            write_picture_scores(self.outputs.scores, self.rows, self.outputs.force)
        if self.report is not None and self.outputs.report is not None:
            from importlib.metadata import version

            page = self.report.html(self.failures, version("aez"))
            write_whole(self.outputs.report, page.encode(), self.outputs.force)
        if self.outputs.named:
            messages.summary(f"wrote {', '.join(self.outputs.named)}")


def _expand(data: Sequence[str]) -> list[str]:
    """The files, and all pictures in and below the folders."""
    from aez.codec.image.files import list_pictures

    found: list[str] = []
    for name in data:
        found += map(str, list_pictures(Path(name))) if Path(name).is_dir() else [name]
    return list(dict.fromkeys(found))


def _check_outputs(outputs: PictureOutputs, names: Sequence[str]) -> None:
    """Refuse before the work what could not be written after it."""
    from aez.codec.report.picture_score_files import PICTURE_SUFFIXES
    from aez.codec.report.score_files import check_suffix

    for name, known in ((outputs.scores, PICTURE_SUFFIXES), (outputs.report, (".html", ".htm"))):
        if name is not None:
            check_suffix(name, known)
            for source in names:
                check_target(Job(source, name), outputs.force)
    if outputs.plots is not None and Path(outputs.plots).is_file():
        raise InvalidArgument(f"--plot {outputs.plots} is a file, and heat maps of pictures need a folder")
    if outputs.scores is not None and outputs.scores.endswith(".parquet"):
        from aez.codec.common.extras import library

        library("pyarrow", "monitor")  # before the scoring, which may take minutes


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror or error}") from error


def _bar(count: int) -> contextlib.AbstractContextManager[Any]:
    from aez.codec.common.progress import progress_bar

    hidden = count < 2 or not sys.stderr.isatty()
    bar: Any = progress_bar(total=count, unit="picture", disable=hidden)
    return contextlib.closing(bar)
