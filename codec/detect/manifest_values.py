"""Values of a detector's manifest, checked, and its probe: what every kind of opened detector shares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.errors import ModelError

__all__ = [
    "PROBE_TOLERANCE",
    "channel_kinds",
    "channel_words",
    "check_outputs",
    "check_probe",
    "positive",
    "signal_figures",
    "texts",
    "whole",
    "wrong",
]

#: Largest relative difference between the probe's score here and where the model was made.
PROBE_TOLERANCE = 1e-3


def wrong(name: str, value: object, wanted: str) -> ModelError:
    """The error for a value that is not what is wanted."""
    return ModelError(f"the model's manifest says {name} = {str(value)[:80]}, which is not {wanted}")


def whole(coding: dict[str, Any], name: str, most: int) -> int:
    """A whole number in 1..most. Raises ModelError."""
    value = coding.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise wrong(name, value, f"a whole number in 1..{most}")
    return value


def positive(coding: dict[str, Any], name: str) -> float:
    """A positive, finite number. Raises ModelError."""
    value = coding.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not (value > 0 and math.isfinite(value)):
        raise wrong(name, value, "a positive number")
    return float(value)


def texts(coding: dict[str, Any], name: str, count: int) -> tuple[str, ...]:
    """So many texts. Raises ModelError."""
    value = coding.get(name)
    if not isinstance(value, list) or len(value) != count or not all(isinstance(text, str) for text in value):
        raise wrong(name, value, f"a list of {count} texts")
    return tuple(value)


def channel_kinds(coding: dict[str, Any], channels: tuple[str, ...]) -> tuple[str, ...]:
    """What each channel is; all are measured where a bundle does not say. Raises ModelError."""
    return texts(coding, "kinds", len(channels)) if "kinds" in coding else ("measured",) * len(channels)


def channel_words(coding: dict[str, Any], channels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The words of channels that hold text, by name, the rarest last. Raises ModelError."""
    value = coding.get("words", {})
    if not isinstance(value, dict) or not set(value) <= set(channels):
        raise wrong("words", value, "an object of lists of words by channel")
    found = {name: texts(value, name, len(words) if isinstance(words, list) else 1) for name, words in value.items()}
    if not all(words and len(set(words)) == len(words) for words in found.values()):
        raise wrong("words", value, "an object of lists of different words by channel")
    return found


def signal_figures(
    coding: dict[str, Any], count: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, tuple[tuple[float, ...], ...] | None]:
    """What a detector's training showed of its signals, each of so many channels; None where it is not noted.

    Longest runs of equal values and of missing ones, in rows (infinity, null there, for a channel that hardly moved),
    and values that looked like "no reading". Raises ModelError.
    """
    runs: list[tuple[float, ...] | None] = []
    for name in ("longest_rest_rows", "longest_absence_rows"):
        value = coding.get(name)
        whole_or_none = isinstance(value, list) and all(
            one is None or (isinstance(one, int) and not isinstance(one, bool) and one >= 0) for one in value
        )
        if value is not None and (not whole_or_none or len(value) != count):
            raise wrong(name, value, f"a list of {count} whole numbers or null")
        runs.append(None if value is None else tuple(math.inf if one is None else float(one) for one in value))
    value = coding.get("sentinels")
    if value is None:
        return runs[0], runs[1], None
    try:
        found = tuple(tuple(map(float, one)) for one in value)
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not all(math.isfinite(one) for each in found for one in each):
        raise wrong("sentinels", value, f"{count} lists of numbers")
    return runs[0], runs[1], found


def check_outputs(bundle: Bundle, given: tuple[str, ...], expected: set[str]) -> None:
    """Raise ModelError where the bundle's graph does not give all that is expected."""
    if not expected <= set(given):
        raise ModelError(
            f"the graph of model {bundle.name} gives {', '.join(given)}, not {', '.join(sorted(expected))}"
        )


def check_probe(bundle: Bundle, found: NDArray[np.float32], expected: NDArray[Any]) -> None:
    """Raise ModelError where the probe's scores [n] differ from those where the model was made."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3)
    if not np.all(difference <= PROBE_TOLERANCE):
        raise ModelError(
            f"model {bundle.name} scores its probe {', '.join(f'{s:.5g}' for s in found)} here instead of "
            f"{', '.join(f'{s:.5g}' for s in expected)}; its threshold would mean nothing"
        )
