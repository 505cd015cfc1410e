"""Lines of a text table that are neither names of columns nor rows: what programs write above and below the names."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["are_units", "is_preamble", "unnamed"]

#: `sep=;`, as Excel reads and writes it, and the line about the station that Campbell's loggers begin with.
_PREAMBLE = re.compile(r'\ufeff?\s*"?(sep=.?"?\s*$|(TOA5|TOACI1)"?,)', re.IGNORECASE)
_SIGNS = re.compile(r"[°%²³µΩ/\[(]")
_UNIT_WORDS = """
TS RN ts rn m mm cm km s ms us ns min h d kg g t N kN Nm J kJ MJ W kW MW VA kVA var kvar V mV kV A
mA kA Ah Wh kWh MWh Hz kHz MHz rpm RPM Pa hPa kPa MPa bar mbar psi C F K degC degF deg rad l L ml
ppm ppb pH dB dBm lx lm S uS mS T mT mol Deg pct percent bool count counts UTC Avg Smp Min Max Std
Tot
"""
_UNITS = frozenset(_UNIT_WORDS.split())


def is_preamble(line: str) -> bool:
    """Whether a line stands above the names of columns and is none of them."""
    return _PREAMBLE.match(line) is not None


def are_units(cells: Sequence[str]) -> bool:
    """Whether these are units of columns whose names stand above: half of those that say something, and no value."""
    said = [cell.strip() for cell in cells if cell.strip()]
    known = sum(any(word in _UNITS for word in cell.split()) or _SIGNS.search(cell) is not None for cell in said)
    return bool(said) and 2 * known >= len(said) and not any(cell[0].isdigit() or cell[0] in "+-." for cell in said)


def unnamed(names: Sequence[str]) -> list[str]:
    """Names of columns, where those without one are called by their places: c0, c1 and so on."""
    return [name or f"c{place}" for place, name in enumerate(names)]
