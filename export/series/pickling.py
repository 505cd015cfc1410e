"""A fitted detector as plain values, so that a pickle holds no class of this package but `SeriesDetector` itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from aez.codec.detect.events import EventRule
from aez.codec.detect.scaling import Scale, StreamScales
from aez.codec.errors import ModelError
from aez.export.channels.kinds import Kinds
from aez.export.common.trainer import Result
from aez.export.families.registry import build
from aez.export.series.graph import DetectorGraph, ScoreOptions
from aez.export.series.scaling import Scaling
from aez.export.series.signals import SignalFigures
from aez.export.series.train import DetectorConfig, Fitted, LimitOptions
from aez.export.series.windows import Split, Windows

#: Grows when older pickles can no longer be read.
FORMAT = 1
_NETWORK = "network."


def plain_values(fitted: Fitted) -> dict[str, Any]:
    """A fitted detector in numbers, texts, and NumPy arrays; of its rows only those that were held out."""
    graph, result = fitted.graph, fitted.result
    return {
        "format": FORMAT,
        "config": asdict(fitted.config),
        "channels": tuple(fitted.channels),
        "period": fitted.period,
        "window": graph.window,
        "scaling": asdict(graph.scaling),
        "kinds": asdict(graph.channel_kinds),
        "weights": {name: tensor.cpu().numpy() for name, tensor in graph.state_dict().items()},
        "held_out": list(fitted.split.held_out.runs),
        "scores": fitted.scores,
        "result": result and {key: getattr(result, key) for key in ("steps", "seconds", "finished", "log")},
        "notices": list(fitted.notices),
        "signals": fitted.signals and asdict(fitted.signals),
        "scales": fitted.scales and _plain_scales(fitted.scales),
        "words": dict(fitted.words),
    }


def from_plain_values(values: Mapping[str, Any]) -> Fitted:
    """What `plain_values` was given, without the rows that it leaves out. Raises ModelError for another version's."""
    try:
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']}")
        return _fitted(values)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"this pickle was made by another version of aez and cannot be read ({reason}); load it there, call "
            "save('detector.aezm'), and SeriesDetector.load('detector.aezm') here"
        ) from error


def _fitted(values: Mapping[str, Any]) -> Fitted:
    given = dict(values["config"])
    parts = {"score": ScoreOptions(**given["score"]), "limit": LimitOptions(**given["limit"])}
    config = DetectorConfig(**{**given, **parts, "rule": EventRule(**given["rule"])})
    weights = {name: torch.from_numpy(np.array(array)) for name, array in values["weights"].items()}
    with torch.random.fork_rng():
        network = build(config.family, values["window"], len(values["scaling"]["centre"]), **config.options)
    network.load_state_dict(
        {name.removeprefix(_NETWORK): tensor for name, tensor in weights.items() if name.startswith(_NETWORK)}
    )
    kinds = Kinds(**values["kinds"]) if "kinds" in values else None  # older pickles have none, and no voices
    graph = DetectorGraph(network.eval(), Scaling(**values["scaling"]), config.score, kinds)
    graph.load_state_dict(weights if kinds else {**graph.state_dict(), **weights})
    none = Windows([], graph.window)
    split = Split(none, none, Windows(values["held_out"], graph.window))
    result = values["result"] and Result(network, **values["result"])
    return Fitted(
        graph,
        config,
        values["channels"],
        values["period"],
        split,
        values["scores"],
        result,
        values["notices"],
        _scales(values.get("scales")),
        values.get("signals") and SignalFigures(**values["signals"]),  # older pickles have none
        values.get("words", {}),
    )


def _plain_scales(scales: StreamScales) -> dict[str, Any]:
    known = {name: tuple(scale) for name, scale in scales.known.items()}
    return {"usual": tuple(scales.usual), "known": known, "rows": scales.rows}


def _scales(values: Mapping[str, Any] | None) -> StreamScales | None:
    if values is None:
        return None
    known = {name: Scale(*scale) for name, scale in values["known"].items()}
    return StreamScales(Scale(*values["usual"]), known, values["rows"])
