"""Parameters of a `SeriesDetector` in the bundle that it saves, and out of one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from aez.codec.bundle.bundle import Bundle


def plain_parameters(parameters: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Parameters as values for JSON; for a random state there is the number that was drawn from it."""
    plain = {}
    for name, value in parameters.items():
        try:
            given = dict(value) if isinstance(value, Mapping) else value
            plain[name] = json.loads(json.dumps(given, default=_plain_number, allow_nan=False))
        except (TypeError, ValueError):
            if name == "random_state":
                plain[name] = seed
    return plain


def _plain_number(value: Any) -> Any:
    """A number of NumPy's as Python's. Raises TypeError for what is none."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError


def saved_parameters(bundle: Bundle, known: Collection[str]) -> dict[str, Any]:
    """The parameters a bundle was saved with that are `known`; for one that `aez train series` made, what it tells."""
    provenance = bundle.manifest["provenance"]
    network, limit = provenance.get("network", {}), provenance.get("threshold", {})
    told = {
        "family": bundle.manifest["family"],
        "window": network.get("window"),
        "options": network.get("options"),
        "period": bundle.coding.get("period_seconds"),
        "held_out": provenance.get("held_out"),
        "threshold": limit.get("method"),
        **{name: value for name, value in limit.items() if name != "method"},
        "per_stream_scale": "stream_scale" in bundle.coding,
    }
    saved = provenance.get("parameters", {key: value for key, value in told.items() if value is not None})
    return {name: value for name, value in saved.items() if name in known}
