"""What a benchmark of weak spots measured, as JSON and as a table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aez.bench.machine import Environment
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain
from aez.codec.errors import InvalidArgument

__all__ = ["LOSSLESS", "KindResult", "Level", "WeakReport"]

#: Format, and how Pillow writes it without loss.
LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {"optimize": True}),
    "lossless WebP": ("WEBP", {"lossless": True, "method": 6, "quality": 100}),
}


@dataclass(frozen=True)
class Level:
    """One PSNR that is asked for, in dB, and the bytes that each codec takes to reach it (None: it does not)."""

    psnr: float
    bytes: dict[str, int | None]


@dataclass(frozen=True)
class KindResult:
    """One kind of pictures.

    best_psnr: codec -> dB at its highest quality, the lowest over the pictures; None where all come back equal.
    """

    name: str
    about: str
    pictures: int
    pixels: int
    lossless: dict[str, int]
    best_psnr: dict[str, float | None]
    levels: tuple[Level, ...]

    def rival(self, codec: str, level: Level, models: Sequence[str]) -> tuple[str, int] | None:
        """The format other than a model that takes the fewest bytes for at least this PSNR, and how many."""
        others = {name: size for name, size in level.bytes.items() if size is not None and name not in (codec, *models)}
        return min((others | self.lossless).items(), key=lambda item: item[1], default=None)


@dataclass(frozen=True)
class WeakReport:
    """What was measured. It goes through JSON and back."""

    models: tuple[str, ...]
    peers: tuple[str, ...]
    kinds: tuple[KindResult, ...]
    unavailable: dict[str, str]  # codec -> what is missing
    quick: bool
    environment: Environment
    bundles: dict[str, dict[str, Any]]  # codec under test -> its model

    def losses(self, model: str) -> Iterator[tuple[KindResult, Level, str, float | None]]:
        """Every kind and PSNR where a model needs more bytes than another format: which, and how many times as many.

        The quotient is None where the model does not reach the PSNR.
        """
        for kind in self.kinds:
            for level in kind.levels:
                rival = kind.rival(model, level, self.models)
                own = level.bytes[model]
                if rival is not None and (own is None or own > rival[1]):
                    yield kind, level, rival[0], None if own is None else own / rival[1]

    def to_json(self) -> str:
        """Everything as one JSON object."""
        return json.dumps(plain(dataclasses.asdict(self)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> WeakReport:
        """The report that `to_json` wrote. Raises InvalidArgument when the text is none."""
        try:
            figures = json.loads(text)
            kinds = [
                KindResult(**{**kind, "levels": tuple(Level(**level) for level in kind["levels"])})
                for kind in figures["kinds"]
            ]
            return cls(
                **{
                    **figures,
                    "models": tuple(figures["models"]),
                    "peers": tuple(figures["peers"]),
                    "kinds": tuple(kinds),
                    "environment": Environment(**figures["environment"]),
                }
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(f"this is not the JSON of a report on weak spots: {error!r}") from error

    def table(self) -> str:
        """The report as text."""
        codecs = [*self.models, *self.peers]
        rows = [["bytes for", "dB", *codecs, *LOSSLESS]]
        for kind in self.kinds:
            for number, level in enumerate(kind.levels):
                sizes = [_size(level.bytes[codec]) for codec in codecs]
                exact = [_size(kind.lossless.get(name)) for name in LOSSLESS]
                rows.append(["" if number else kind.name, f"{level.psnr:g}", *sizes, *exact])
        lines = [
            f"Bytes at equal PSNR over {len(self.kinds)} kinds of pictures{' (quick)' if self.quick else ''}",
            *self.environment.lines(),
            "",
            *aligned(rows, gap="   "),
            "",
            "-: not reached at any quality",
            *(f"{kind.name}: {kind.about}" for kind in self.kinds),
        ]
        for model in self.models:
            losses = list(self.losses(model))
            count = sum(len(kind.levels) for kind in self.kinds)
            lines += ["", f"{model} takes more bytes than the best of the others in {len(losses)} of {count} cases:"]
            lines += [
                f"  {kind.name}, {level.psnr:g} dB: "
                + ("not reached" if times is None else f"{times:.2f} times as many as {rival}")
                for kind, level, rival, times in losses
            ]
        if self.unavailable:
            lines += ["", "Not measured:", *(f"  {name}: {reason}" for name, reason in self.unavailable.items())]
        return "\n".join(lines) + "\n"


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size:,}"
