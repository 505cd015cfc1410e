"""The parts of Markdown that the sections of the document share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from aez.bench.machine import Environment

__all__ = ["NONE", "machine", "percent", "table"]

#: What stands where there is no figure.
NONE = "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table and an empty one; the first column to the left, the others to the right."""
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def percent(value: float | None) -> str:
    """A share in percent with its sign."""
    return NONE if value is None else f"{value:+.1f} %"


def machine(environment: Environment) -> str:
    """One sentence about where and when a report was measured."""
    cores = f"{environment.cores} core{'s' if environment.cores != 1 else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    return f"{environment.cpu}, {cores}, {environment.system}, {environment.date[:10]}; {versions}."
