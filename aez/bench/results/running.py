"""The sections on how the codec runs: speed, tiles, exactness, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aez.bench.machine import Environment
from aez.bench.results.markdown import machine, percent, table
from aez.bench.results.reader import Reader

__all__ = ["soundness", "speeds"]


def speeds(reader: Reader) -> Iterator[str]:
    """Times of speed*.json. Raises InvalidArgument."""
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
        machines.append(machine(Environment(**figures["machine"])))
        sizes = sorted({f"{max(p['width'], p['height'])}x{min(p['width'], p['height'])}" for p in pictures})
        yield f"**{figures.get('model', 'photo')}**"
        yield f"{len(pictures)} of {', '.join(sizes)}"
        for action in ("encode", "decode"):
            yield f"{times[action]:.1f}"
            yield f"{times[action] / times[f'avif_{action}']:.2f}"
        yield f"{figures['cold_decode_seconds']:.2f}"

    rows = [reader.rendered(name, row) for name in names]
    heads = ["", "pictures", "encode ms", "to AVIF's", "decode ms", "to AVIF's", "`aez decode` from the shell, s"]
    yield from table(heads, rows)
    yield from dict.fromkeys(machines)
    yield "Made with `aez bench speed PICTURE... -m MODEL --json`."
    yield ""


def soundness(reader: Reader) -> Iterator[str]:
    """Figures of tiles*.json, exact*.json, large*.json and soak*.json. Raises InvalidArgument."""
    rows: list[list[str]] = []
    for word, facts in _SOUNDNESS.items():
        for name in reader.matching(f"{word}*.json"):
            rows += [line.split("\t") for line in reader.rendered(name, facts)]
    if not rows:
        return
    yield "## Tiles, exactness, memory"
    yield ""
    yield from table(["", "model", "figure", "command"], rows)


def _tiles_facts(figures: dict[str, Any]) -> Iterator[str]:
    end = f"\t`aez bench tiles PICTURE... --tile {figures['tile']}`"
    model = f"\t{figures.get('model', 'photo')}\t"
    yield f"seams: error near borders of tiles against the same places without{model}{figures['seam_ratio']:.3f}{end}"
    yield f"bytes above those of one tile{model}{percent(100 * figures['tile_cost'])}{end}"
    yield f"file above the sum of -log2 p{model}{percent(100 * figures['overhead'])}{end}"
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
        f"\t{percent(100 * figures['growth'])} at most\t`aez bench soak`"
    )


_SOUNDNESS: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
    "tiles": _tiles_facts,
    "exact": _exact_facts,
    "large": _large_facts,
    "soak": _soak_facts,
}
