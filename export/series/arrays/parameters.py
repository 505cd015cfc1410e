"""Parameters of a `SeriesDetector` in the bundle that it saves, and out of one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, cast

import numpy as np

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.rhythm.calendar import days_of
from aez.codec.series.zones import check_zone
from aez.export.series.graph import Kind, Rule, ScoreOptions
from aez.export.series.train import DetectorConfig, LimitOptions


def training_config(given: Mapping[str, Any]) -> DetectorConfig:
    """How a detector with the parameters `given` is trained. Raises InvalidArgument."""
    kinds = tuple(given["score_kind"].split("+")) if given["score_kind"] else ()
    holidays = tuple(map(str, given["holidays"] if given["holidays"] is not None else ()))
    days_of(holidays)
    if given["timezone"] is not None:
        check_zone(given["timezone"])
    return DetectorConfig(
        family=given["family"],
        window=given["window"],
        options=dict(given["options"] or {}),
        score=ScoreOptions(cast(tuple[Kind, ...], kinds), cast(Rule, given["rule"]), tail=given["tail"]),
        limit=LimitOptions(given["threshold"], given["percentile"], given["risk"], given["alarms"], given["margin"]),
        held_out=given["held_out"],
        robust=given["robust"],
        per_stream_scale=given["per_stream_scale"],
        rows=given["rows"],
        kinds=dict(given["kinds"] or {}),
        timezone=given["timezone"],
        holidays=holidays,
    )


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
    """A number of NumPy's as Python's, a date as text. Raises TypeError for what is neither."""
    if isinstance(value, date | np.datetime64):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError


def saved_parameters(bundle: Bundle, known: Collection[str]) -> dict[str, Any]:
    """The parameters a bundle was saved with that are `known`; for one that `aez train series` made, what it tells."""
    provenance = bundle.manifest["provenance"]
    network, limit = provenance.get("network", {}), provenance.get("threshold", {})
    seasons = bundle.coding.get("seasons") or {}
    told = {
        "family": bundle.manifest["family"],
        "window": network.get("window"),
        "options": network.get("options"),
        "period": bundle.coding.get("period_seconds"),
        "held_out": provenance.get("held_out"),
        "threshold": limit.get("method"),
        **{name: value for name, value in limit.items() if name != "method"},
        "per_stream_scale": "stream_scale" in bundle.coding,
        "timezone": seasons.get("timezone"),
        "holidays": seasons.get("holidays") or None,
    }
    saved = provenance.get("parameters", {key: value for key, value in told.items() if value is not None})
    return {name: value for name, value in saved.items() if name in known}
