"""A learned detector as plain values, so that a pickle holds no class of this package but `SeriesDetector` itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aez.codec.detect.events import EventRule
from aez.codec.detect.rhythm.values import read_seasons
from aez.codec.detect.scaling import Scale, StreamScales
from aez.codec.errors import ModelError
from aez.export.channels.kinds import Kinds
from aez.export.families.registry import build
from aez.export.series.bundle import Described, Learned, describe_seasons
from aez.export.series.data.signals import SignalFigures
from aez.export.series.graph import DetectorGraph, ScoreOptions
from aez.export.series.scaling import Scaling
from aez.export.series.seasons.graph import SeasonParts

#: Grows when older pickles can no longer be read.
FORMAT = 2
_NETWORK = "network."
#: Windows that a pickle keeps, to check a bundle on that is made from it, take this share of its weights at most.
_WINDOWS_SHARE = 0.25


def plain_values(learned: Learned) -> dict[str, Any]:
    """A learned detector in numbers, texts, and NumPy arrays; of its windows no more than a bundle needs."""
    graph = learned.graph
    weights = {name: tensor.cpu().numpy() for name, tensor in graph.state_dict().items()}
    room = _WINDOWS_SHARE * sum(array.nbytes for array in weights.values())
    return {
        "format": FORMAT,
        "family": graph.network.family,
        "window": graph.window,
        "score": asdict(graph.options),
        "scaling": asdict(graph.scaling),
        "kinds": asdict(graph.channel_kinds),
        "weights": weights,
        "described": asdict(learned.described),
        "windows": _few(learned.windows, int(room // max(1, learned.windows[0].nbytes))),
        "scales": learned.scales and _plain_scales(learned.scales),
        "seasons": learned.seasons and _plain_seasons(learned.seasons),
    }


def from_plain_values(values: Mapping[str, Any]) -> Learned:
    """What `plain_values` was given, without the windows it leaves out. Raises ModelError for another version's."""
    try:
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']}")
        return _learned(values)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"this pickle was made by another version of aez and cannot be read ({reason}); load it there, call "
            "save('detector.aezm'), and SeriesDetector.load('detector.aezm') here"
        ) from error


def _learned(values: Mapping[str, Any]) -> Learned:
    given = dict(values["described"])
    signals = given["signals"] and SignalFigures(**given["signals"])
    described = Described(**{**given, "rule": EventRule(**given["rule"]), "signals": signals})
    weights = {name: torch.from_numpy(np.array(array)) for name, array in values["weights"].items()}
    options = described.provenance["network"]["options"]
    with torch.random.fork_rng():
        network = build(values["family"], values["window"], len(values["scaling"]["centre"]), **options)
    network.load_state_dict(
        {name.removeprefix(_NETWORK): tensor for name, tensor in weights.items() if name.startswith(_NETWORK)}
    )
    scaling, kinds = Scaling(**values["scaling"]), Kinds(**values["kinds"])
    graph = DetectorGraph(network.eval(), scaling, ScoreOptions(**values["score"]), kinds)
    graph.load_state_dict(weights)
    seasons = _seasons(values.get("seasons"), len(described.channels))
    return Learned(graph, described, values["windows"], _scales(values["scales"]), seasons)


def _few(windows: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """About `most` windows, two or more, of which a bundle becomes the same: the middle and the first whole one."""
    middle, reach = len(windows) // 2, max(1, min(most, len(windows)) // 2)
    whole = ~np.isnan(windows).any((1, 2))
    first = int(np.argmax(whole)) if whole.any() else middle
    return windows[[first, *range(middle - reach + 1, middle), *range(middle, min(middle + reach, len(windows)))]]


def _plain_scales(scales: StreamScales) -> dict[str, Any]:
    known = {name: tuple(scale) for name, scale in scales.known.items()}
    return {"usual": tuple(scales.usual), "known": known, "rows": scales.rows}


def _plain_seasons(parts: SeasonParts) -> dict[str, Any]:
    centre, width = np.concatenate(parts.seasons.centre), parts.seasons.width
    return {
        "about": describe_seasons(parts),
        "centre": centre,
        "width": width,
        "tail": parts.tail,
        "factor": parts.factor,
    }


def _seasons(values: Mapping[str, Any] | None, channels: int) -> SeasonParts | None:
    if values is None:
        return None
    seasons = read_seasons(values["about"], values["centre"], values["width"], channels, "of the pickle")
    return SeasonParts(seasons, values["tail"], values["factor"])


def _scales(values: Mapping[str, Any] | None) -> StreamScales | None:
    if values is None:
        return None
    known = {name: Scale(*scale) for name, scale in values["known"].items()}
    return StreamScales(Scale(*values["usual"]), known, values["rows"])
