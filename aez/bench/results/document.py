"""The document of results: Markdown made of the JSON reports in a folder, the same bytes for the same reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aez.bench.results.markdown import NONE, table
from aez.bench.results.quality import domains, latents, photographs, weak_spots
from aez.bench.results.reader import Reader
from aez.bench.results.running import soundness, speeds
from aez.codec.errors import InvalidArgument

__all__ = ["Document", "document", "is_made"]

_FIRST_LINE = "<!-- Made by `aez bench results`; change the reports, not this file. -->"

#: Facts of a model's provenance in the order of the table; others follow by name.
_FACTS = (
    "data",
    "distortion",
    "from",
    "steps",
    "hours",
    "device",
    "batch",
    "crop",
    "learning_rate",
    "seed",
    "licence",
)
_OMITTED_FACTS = frozenset({"data_names_sha256", "network", "versions"})


@dataclass(frozen=True)
class Document:
    """The text, and the names of the JSON files that it was made of and that it left out."""

    text: str
    used: list[str]
    unused: list[str]


def document(folder: str | Path, beside: str | Path) -> Document:
    """The document of a folder's reports; links are relative to the folder `beside`, where it will lie.

    Read are rd.json, domain-*.json, weak.json, latent*.json, and what `aez bench speed|tiles|exact|large|soak --json`
    print, in files whose names begin with that word. Plots are linked where they lie beside their report, and contact
    sheets whose names begin with sheet-.

    Raises InvalidArgument when there is no folder, no rd.json in it, or a report that cannot be understood.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InvalidArgument(f"{place} is not a folder; name the one that holds rd.json")
    names = sorted(path.name for path in place.glob("*.json"))
    if "rd.json" not in names:
        raise InvalidArgument(f"{place} has no rd.json; make it with: aez bench rd DIR -o {place}")
    reader = Reader(place, Path(beside), names)
    parts = [*_opening(), *photographs(reader), *domains(reader), *weak_spots(reader)]
    parts += [*latents(reader), *speeds(reader), *soundness(reader), *_sheets(reader), *_recipes(reader)]
    text = "\n".join([_FIRST_LINE, *parts]).rstrip("\n") + "\n"
    return Document(text, sorted(reader.used), [name for name in names if name not in reader.used])


def is_made(path: Path) -> bool:
    """Whether a file is one that `document` made."""
    try:
        with path.open("rb") as file:
            return file.readline().rstrip() == _FIRST_LINE.encode()
    except OSError:
        return False


def _opening() -> Iterator[str]:
    yield "# Results of the picture codec"
    yield ""
    yield "Every figure here was written by a command of `aez bench` into a JSON report, and every table was made of"
    yield "those reports by `aez bench results`. PSNR is over RGB with 8 bits. A BD-rate is the difference of bytes at"
    yield "equal quality, averaged over the range of quality that both codecs reach: **negative is fewer bytes**."
    yield ""


def _sheets(reader: Reader) -> Iterator[str]:
    yield "## Side by side at equal bytes"
    yield ""
    for path in sorted(reader.folder.glob("sheet-*.png")):
        yield from reader.picture(path.name, "Crops of the original and of each codec's file at equal bytes")
    yield "`aez bench sheet DIR -m MODEL -o OUT.png` draws such a sheet from the lossless pictures of any folder."
    yield ""


def _recipes(reader: Reader) -> Iterator[str]:
    bundles = list(reader.bundles.values())
    if not bundles:
        return
    yield "## How the models were made, and what it cost"
    yield ""
    made = [bundle["provenance"] for bundle in bundles]
    facts = [fact for fact in _FACTS if any(one.get(fact) is not None for one in made)]
    others = {key for one in made for key, value in one.items() if value is not None} - set(_FACTS) - _OMITTED_FACTS
    rows = [
        ["id", *(f"`{bundle['id'][:16]}`" for bundle in bundles)],
        ["bytes", *(f"{bundle['bytes']:,}" for bundle in bundles)],
        ["family", *(str(bundle["family"]) for bundle in bundles)],
    ]
    rows += [
        [fact.replace("_", " "), *(_fact(fact, one.get(fact)) for one in made)] for fact in (*facts, *sorted(others))
    ]
    versions = [", ".join(f"{k} {v}" for k, v in one.get("versions", {}).items()) or NONE for one in made]
    yield from table(["", *(f"**{bundle['name']}**" for bundle in bundles)], [*rows, ["versions", *versions]])
    if any(one.get("from") for one in made):
        yield "Steps and hours are those of the last run; *from* is the model that it went on from."
        yield ""


def _fact(name: str, value: Any) -> str:
    if value is None:
        return NONE
    if name == "from":
        return f"`{str(value)[:16]}`"
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and name == "steps" else str(value)
