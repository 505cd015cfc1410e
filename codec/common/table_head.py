"""Lines of a text table that are neither names of columns nor rows: what programs write above and below the names.

InfluxDB's annotated CSV is one table after another, each with lines of annotations above its names, which begin with a
column without a name and those of the result and the table; where nobody pivoted it, a row has the value of one field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["RESULT_NAMES", "are_units", "is_annotation", "is_long_result", "is_preamble", "unnamed"]

#: What the names of columns of InfluxDB's results begin with.
RESULT_NAMES = ("", "result", "table")
_ANNOTATION = re.compile(r'\ufeff?"?#(group|datatype|default|constant)"?\s*(,|$)')

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
    return _PREAMBLE.match(line) is not None or is_annotation(line) or not line.strip("\ufeff \t\r\n")


def is_annotation(line: str) -> bool:
    """Whether a line is one of InfluxDB's about the table that follows."""
    return "#" in line[:3] and _ANNOTATION.match(line) is not None


def is_long_result(names: Sequence[str]) -> bool:
    """Whether these are names of one of InfluxDB's results that has the value of one field a row."""
    return {"_time", "_value", "_field"} <= set(names)


def are_units(cells: Sequence[str]) -> bool:
    """Whether these are units of columns whose names stand above: half of those that say something, and no value."""
    said = [cell.strip() for cell in cells if cell.strip()]
    known = sum(any(word in _UNITS for word in cell.split()) or _SIGNS.search(cell) is not None for cell in said)
    return bool(said) and 2 * known >= len(said) and not any(cell[0].isdigit() or cell[0] in "+-." for cell in said)


def unnamed(names: Sequence[str]) -> list[str]:
    """Names of columns, where those without one are called by their places: c0, c1 and so on."""
    return [name or f"c{place}" for place, name in enumerate(names)]
