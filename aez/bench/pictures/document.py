"""The document of results: Markdown made of the JSON reports in a folder, the same bytes for the same reports."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from aez.bench.machine import Environment
from aez.bench.pictures.bd_rate import Pchip, bd_rate
from aez.bench.pictures.rd_report import CurvePoint, Report
from aez.bench.pictures.weak import KindResult, Level, WeakReport
from aez.codec.errors import InvalidArgument

__all__ = ["Document", "document", "is_made"]

_FIRST_LINE = "<!-- Made by `aez bench results`; change the reports, not this file. -->"
#: Bits per pixel of the tables of curves.
_BPPS = (0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_TIMED_AGAINST = "AVIF 4:4:4"
_NONE = "-"

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
    reader = _Reader(place, Path(beside), names)
    parts = [*_opening(), *_photographs(reader), *_domains(reader), *_weak(reader)]
    parts += [*_latents(reader), *_speed(reader), *_soundness(reader), *_sheets(reader), *_recipes(reader)]
    text = "\n".join([_FIRST_LINE, *parts]).rstrip("\n") + "\n"
    return Document(text, sorted(reader.used), [name for name in names if name not in reader.used])


def is_made(path: Path) -> bool:
    """Whether a file is one that `document` made."""
    try:
        with path.open("rb") as file:
            return file.readline().rstrip() == _FIRST_LINE.encode()
    except OSError:
        return False


class _Reader:
    """The reports of a folder, each read when a section asks for it."""

    def __init__(self, folder: Path, beside: Path, names: Sequence[str]) -> None:
        self.folder, self._beside, self._names = folder, beside, names
        self.used: set[str] = set()
        self.bundles: dict[str, dict[str, Any]] = {}  # id -> model, of all reports read so far

    def matching(self, pattern: str) -> list[str]:
        """The names of reports, sorted."""
        return [name for name in self._names if fnmatchcase(name, pattern)]

    def text(self, name: str) -> str:
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

    def report(self, name: str) -> Report:
        """A rate-distortion report; its models are remembered."""
        report: Report = self.parsed(name, Report.from_json)
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


def _opening() -> Iterator[str]:
    yield "# Results of the picture codec"
    yield ""
    yield "Every figure here was written by a command of `aez bench` into a JSON report, and every table was made of"
    yield "those reports by `aez bench results`. PSNR is over RGB with 8 bits. A BD-rate is the difference of bytes at"
    yield "equal quality, averaged over the range of quality that both codecs reach: **negative is fewer bytes**."
    yield ""


def _photographs(reader: _Reader) -> Iterator[str]:
    report = reader.report("rd.json")
    yield f"## Photographs: {len(report.pictures)} pictures of {report.folder}"
    yield ""
    yield from reader.picture("rd.png", "PSNR and MS-SSIM over bits per pixel for every codec")
    yield from _rate_tables(report)
    for quality, title in (("psnr", "PSNR in dB"), ("ms_ssim_db", "MS-SSIM in dB")):
        rows = list(_curve_rows(report, quality))
        if rows:
            yield f"{title} at the same bits per pixel, read off the mean curves:"
            yield ""
            yield from _table(["codec", *(f"{bpp:g}" for bpp in _BPPS)], rows)
    yield "Milliseconds from array to file and back, medians over all points of the curve, codecs one after another:"
    yield ""
    yield from _table(["codec", "encode", "decode", f"encode / {_TIMED_AGAINST}", "decode"], _time_rows(report))
    for verdict in report.monotonicity:
        rises = "both rise" if verdict.bpp and verdict.psnr else "NOT BOTH RISE"
        pictures = f"{verdict.pictures} of {verdict.of} pictures"
        yield f"- {verdict.codec}: with quality, bytes and PSNR {rises} on the mean curve, and on {pictures}."
    yield ""
    yield f"All points: [rd.txt]({reader.link('rd.txt')}), [rd.json]({reader.link('rd.json')})."
    yield f"{_machine(report.environment)} Made with `{_rd_command(report)} -o docs/results`."
    yield ""


def _rd_command(report: Report) -> str:
    models = " ".join(f"-m {name.removeprefix('aez ')}" for name in report.models)
    return f"aez bench rd DIR {models}{' --quick' if report.quick else ''}"


def _rate_tables(report: Report) -> Iterator[str]:
    peers = [name for name in report.curves if name not in report.models]
    for quality, title in (("psnr", "PSNR"), ("ms_ssim_db", "MS-SSIM")):
        if all(getattr(p, quality) is None for curve in report.curves.values() for p in curve):
            continue
        yield f"BD-rate by {title}, each row against the codec above the column:"
        yield ""
        rows = []
        for name in report.curves:
            cells = [_percent(_bd_rate(report, name, peer, quality)) if name != peer else "" for peer in peers]
            rows.append([f"**{name}**" if name in report.models else name, *cells])
        yield from _table(["", *peers], rows)


def _bd_rate(report: Report, codec: str, anchor: str, quality: str) -> float | None:
    try:
        return bd_rate(*_points(report.curves[anchor], quality), *_points(report.curves[codec], quality))
    except InvalidArgument:  # no shared range
        return None


def _points(curve: Sequence[CurvePoint], quality: str) -> tuple[list[float], list[float]]:
    pairs = [(p.bpp, getattr(p, quality)) for p in curve]
    finite = [(bpp, float(value)) for bpp, value in pairs if value is not None and math.isfinite(value)]
    return [bpp for bpp, _ in finite], [value for _, value in finite]


def _curve_rows(report: Report, quality: str) -> Iterator[list[str]]:
    for name, curve in report.curves.items():
        rates, values = _points(curve, quality)
        rising = sorted(set(rates))
        if len(rising) < 2 or len(rising) < len(rates):
            continue
        order = np.argsort(rates)
        line = Pchip.fit(np.log(np.asarray(rates)[order]), np.asarray(values)[order])
        cells = [f"{float(line(math.log(bpp))):.2f}" if rising[0] <= bpp <= rising[-1] else _NONE for bpp in _BPPS]
        yield [f"**{name}**" if name in report.models else name, *cells]


def _time_rows(report: Report) -> Iterator[list[str]]:
    times = {
        name: [
            statistics.median(getattr(m, figure) for m in report.measurements if m.codec == name)
            for figure in ("encode_ms", "decode_ms")
        ]
        for name in report.curves
    }
    base = times.get(_TIMED_AGAINST)
    for name, (encode, decode) in times.items():
        ratios = [f"{encode / base[0]:.2f}", f"{decode / base[1]:.2f}"] if base else [_NONE, _NONE]
        yield [f"**{name}**" if name in report.models else name, f"{encode:.1f}", f"{decode:.1f}", *ratios]


def _domains(reader: _Reader) -> Iterator[str]:
    names = reader.matching("domain-*.json")
    if not names:
        return
    yield "## Pictures of one kind, and models trained on that kind"
    yield ""
    yield "*Each in a file* is what people do with single pictures: what a format writes before the first pixel counts."
    yield "*All in one* puts the pictures of a size side by side into one, each continued by its edges to a multiple of"
    yield "16 pixels, so that it hardly counts. Grey pictures were given to every codec as grey, but to WebP, which has"
    yield "no grey."
    yield ""
    for name in names:
        report = reader.report(name)
        title = name.removeprefix("domain-").removesuffix(".json")
        yield f"### {title}: {len(report.pictures)} pictures"
        yield ""
        yield from reader.picture(f"domain-{title}.png", f"Curves over the pictures of {title}")
        forms = [("each in a file", report)] + ([("all in one", report.sheet)] if report.sheet is not None else [])
        peers = [peer for peer in report.curves if peer not in report.models]
        rows = [
            [f"**{model}**, {form}", *(_percent(_bd_rate(one, model, peer, "psnr")) for peer in peers)]
            for model in report.models
            for form, one in forms
        ]
        yield "BD-rate by PSNR against:"
        yield ""
        yield from _table(["", *peers], rows)
        yield from (f"{note}" for note in report.notes)
        options = f"{' --sheet' if report.sheet is not None else ''} --name domain-{title} -o docs/results"
        yield f"{_machine(report.environment)} Made with `{_rd_command(report)}{options}`."
        yield ""


def _weak(reader: _Reader) -> Iterator[str]:
    for name in reader.matching("weak.json"):
        report = reader.weak(name)
        yield "## Where it loses"
        yield ""
        yield "Bytes to reach a PSNR, and in brackets how many times as many as the best other format takes for at"
        yield "least that: JPEG, WebP, AVIF at equal PSNR, or PNG and lossless WebP. **Bold** is where it takes more."
        yield ""
        for model in report.models:
            levels = [f"{level.psnr:g} dB" for level in report.kinds[0].levels] if report.kinds else []
            rows = [
                [kind.name, *(_weak_cell(report, model, kind, level) for level in kind.levels)] for kind in report.kinds
            ]
            yield from _table(
                [
                    model,
                    *levels,
                ],
                rows,
            )
        yield from (f"- {kind.name}: {kind.about}." for kind in report.kinds if not kind.name.startswith("tiny"))
        yield "- tiny: crops of a made landscape."
        yield ""
        yield f"Every codec's bytes: [weak.txt]({reader.link('weak.txt')}). {_machine(report.environment)}"
        yield "Made with `aez bench weak [DIR] -o docs/results`."
        yield ""


def _weak_cell(report: WeakReport, model: str, kind: KindResult, level: Level) -> str:
    own, rival = level.bytes[model], kind.rival(model, level, report.models)
    if own is None:
        best = kind.best_psnr[model]
        reached = "" if best is None else f", at most {best:.1f} dB"
        return f"**not reached**{reached}"
    if rival is None:
        return f"{own:,}"
    text = f"{own:,} ({own / rival[1]:.2f} x {rival[0]})"
    return f"**{text}**" if own > rival[1] else text


def _latents(reader: _Reader) -> Iterator[str]:
    for name in reader.matching("latent*.json"):
        yield from reader.rendered(name, _latent_lines)


def _latent_lines(figures: dict[str, Any]) -> Iterator[str]:
    yield f"## The latent, unquantized: {len(figures['pictures'])} pictures of {figures['folder']}"
    yield ""
    rows = []
    for model in figures["models"]:
        means, network, times = model["reconstruction"], model["network"], model["times"]
        similarity = means["ms_ssim"]
        cells = [f"{means['psnr']:.2f}", f"{means['ssim']:.4f}", _NONE if similarity is None else f"{similarity:.4f}"]
        costs = (network.get(f"{half}_kmac_per_pixel") for half in ("encoder", "decoder"))
        cells += [_NONE if cost is None else f"{cost:.0f}" for cost in costs]
        cells += [_NONE if times is None else f"{times[key]:.0f}" for key in ("encode", "decode")]
        rows.append([f"**{model['name']}**", f"{model['channels']} at 1/{model['stride']}", *cells])
    heads = ["", "channels", "PSNR dB", "SSIM", "MS-SSIM", "encoder kMAC/pixel", "decoder", "encode ms", "decode"]
    yield from _table(heads, rows)
    sides = {model["times"]["side"] for model in figures["models"] if model["times"] is not None}
    for side in sorted(sides):
        yield f"Milliseconds for {side} x {side} pixels, warm."
    yield f"{_machine(Environment(**figures['environment']))} Made with `aez bench latent DIR -o docs/results`."
    yield ""


def _speed(reader: _Reader) -> Iterator[str]:
    names = reader.matching("speed*.json")
    if not names:
        return
    yield "## Speed"
    yield ""
    yield "Milliseconds in a warm process, medians, in turn with AVIF (speed 6, 4:4:4) at the nearest size."
    yield ""
    machines: list[str] = []

    def row(figures: dict[str, Any]) -> Iterator[str]:
        times, pictures = figures["milliseconds"], figures["pictures"]
        machines.append(_machine(Environment(**figures["machine"])))
        sizes = sorted({f"{max(p['width'], p['height'])}x{min(p['width'], p['height'])}" for p in pictures})
        yield f"**{figures.get('model', 'photo')}**"
        yield f"{len(pictures)} of {', '.join(sizes)}"
        for action in ("encode", "decode"):
            yield f"{times[action]:.1f}"
            yield f"{times[action] / times[f'avif_{action}']:.2f}"
        yield f"{figures['cold_decode_seconds']:.2f}"

    rows = [reader.rendered(name, row) for name in names]
    heads = ["", "pictures", "encode ms", "to AVIF's", "decode ms", "to AVIF's", "`aez decode` from the shell, s"]
    yield from _table(heads, rows)
    yield from dict.fromkeys(machines)
    yield "Made with `aez bench speed PICTURE... -m MODEL --json`."
    yield ""


def _soundness(reader: _Reader) -> Iterator[str]:
    rows: list[list[str]] = []
    for word, facts in _SOUNDNESS.items():
        for name in reader.matching(f"{word}*.json"):
            rows += [line.split("\t") for line in reader.rendered(name, facts)]
    if not rows:
        return
    yield "## Tiles, exactness, memory"
    yield ""
    yield from _table(["", "model", "figure", "command"], rows)


def _tiles_facts(figures: dict[str, Any]) -> Iterator[str]:
    end = f"\t`aez bench tiles PICTURE... --tile {figures['tile']}`"
    model = f"\t{figures.get('model', 'photo')}\t"
    yield f"seams: error near borders of tiles against the same places without{model}{figures['seam_ratio']:.3f}{end}"
    yield f"bytes above those of one tile{model}{_percent(100 * figures['tile_cost'])}{end}"
    yield f"file above the sum of -log2 p{model}{_percent(100 * figures['overhead'])}{end}"
    yield f"largest difference of a region{model}{figures['region_difference']} / 255{end}"


def _exact_facts(figures: dict[str, Any]) -> Iterator[str]:
    settings = "; ".join(figures["differences"])
    total = sum(figures["differences"].values())
    yield (
        f"symbols that differ ({settings})\t{figures.get('model', 'photo')}\t{total} of {figures['symbols']:,}"
        "\t`aez bench exact PICTURE...`"
    )


def _large_facts(figures: dict[str, Any]) -> Iterator[str]:
    side = figures["side"]
    memory = ", ".join(f"{figures[name]['peak_megabytes']:,.0f} MB" for name in ("encode", "decode"))
    yield (
        f"{side} x {side} pixels: most memory to encode, to decode\t{figures.get('model', 'photo')}\t{memory}"
        "\t`aez bench large`"
    )


def _soak_facts(figures: dict[str, Any]) -> Iterator[str]:
    yield (
        f"memory over {figures['pictures']:,} pictures, after warming up\t{figures.get('model', 'photo')}"
        f"\t{_percent(100 * figures['growth'])} at most\t`aez bench soak`"
    )


_SOUNDNESS: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
    "tiles": _tiles_facts,
    "exact": _exact_facts,
    "large": _large_facts,
    "soak": _soak_facts,
}


def _sheets(reader: _Reader) -> Iterator[str]:
    yield "## Side by side at equal bytes"
    yield ""
    for path in sorted(reader.folder.glob("sheet-*.png")):
        yield from reader.picture(path.name, "Crops of the original and of each codec's file at equal bytes")
    yield "`aez bench sheet DIR -m MODEL -o OUT.png` draws such a sheet from the lossless pictures of any folder."
    yield ""


def _recipes(reader: _Reader) -> Iterator[str]:
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
    versions = [", ".join(f"{k} {v}" for k, v in one.get("versions", {}).items()) or _NONE for one in made]
    yield from _table(["", *(f"**{bundle['name']}**" for bundle in bundles)], [*rows, ["versions", *versions]])
    if any(one.get("from") for one in made):
        yield "Steps and hours are those of the last run; *from* is the model that it went on from."
        yield ""


def _fact(name: str, value: Any) -> str:
    if value is None:
        return _NONE
    if name == "from":
        return f"`{str(value)[:16]}`"
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and name == "steps" else str(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:+.1f} %"


def _machine(environment: Environment) -> str:
    """One sentence about where and when a report was measured."""
    cores = f"{environment.cores} core{'s' if environment.cores != 1 else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    return f"{environment.cpu}, {cores}, {environment.system}, {environment.date[:10]}; {versions}."
