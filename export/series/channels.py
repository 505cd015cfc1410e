"""Kinds of channels in the training of a detector: found, scaled as the network sees them, and heard by the voices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from aez.codec.common.words import listed
from aez.codec.series.core import Series, select_channels
from aez.export.channels.inputs import LearnedChannels, learned_rows
from aez.export.channels.kinds import Kinds, all_measured, find_kinds
from aez.export.channels.quiet import least_motion
from aez.export.channels.states import StateEffect, fit_effect
from aez.export.common.batches import spread
from aez.export.series.graph import DetectorGraph
from aez.export.series.scaling import ScaleLayer, Scaling, fit_scaling
from aez.export.series.streams import unit_scaling
from aez.export.series.windows import Rows, Split, Windows, suggest_window

__all__ = ["kinds_and_window", "make_inputs", "scale_learned", "still_notices", "teach_voices"]

#: Windows that say what states say of measurements, and numbers of them at most.
EFFECT_WINDOWS, _EFFECT_NUMBERS = 4_000, 20_000_000
#: Numbers of the rows at most that say how often combinations of states come.
_STATE_NUMBERS = 2**24


def kinds_and_window(
    series: Sequence[Series],
    rows: Sequence[Rows],
    channels: Sequence[str],
    given: Mapping[str, str],
    window: int | None,
    in_widths: bool,
) -> tuple[Kinds, int, list[str]]:
    """The channels' kinds, the length of windows, and what to say of the kinds.

    `given` are kinds by the channel's name, `window` None is to be suggested; all channels are measured where each
    stream comes `in_widths` of its own.
    """
    if in_widths:
        return all_measured(rows), window or suggest_window(max(rows, key=len)), []
    names = tuple(channels)
    exact = [(one if one.channels == names else select_channels(one, names)).values for one in series]
    kinds, found = find_kinds(rows, exact, channels, given, window != 1)
    suggested = window or suggest_window(learned_rows(max(rows, key=len), kinds))
    if suggested == 1 and window is None:
        kinds, found = find_kinds(rows, exact, channels, given, False)
    return kinds, suggested, found


def scale_learned(
    split: Split, kinds: Kinds, channels: Sequence[str], raw: Sequence[Rows] | None, soft: bool
) -> tuple[Kinds, Scaling]:
    """How what is learned of the rows that fit is scaled, and the kinds with the ranges of these rows.

    Where the measured channels come in widths already, `raw` are the rows as they came, and the kinds keep their
    ranges.
    """
    names = [channels[place] for place in kinds.learned]
    if raw is None:
        kinds = kinds.seen_in(split.fit.runs)
        return kinds, fit_scaling([learned_rows(run, kinds) for run in split.fit.runs], names, soft=soft)
    runs, first = [learned_rows(run, kinds) for run in split.fit.runs], len(kinds.places("measured"))
    scaling = unit_scaling(runs, [learned_rows(one, kinds) for one in raw])
    if first < len(names):
        own = asdict(fit_scaling([run[:, first:] for run in runs], names[first:]))
        both = {key: np.concatenate([one[:first], own[key]]) for key, one in asdict(scaling).items() if key != "soft"}
        scaling = Scaling(**both)
    return kinds, scaling


def still_notices(kinds: Kinds, scaling: Scaling, channels: Sequence[str]) -> list[str]:
    """A sentence that names the channels that never moved in the rows that fit, or none."""
    still = [channels[place] for place, flag in zip(kinds.learned, scaling.still, strict=True) if flag]
    still += [channels[place] for place in kinds.places("constant")]
    return [f"{listed(still)} never moved in the training rows; any movement will score high"] if still else []


@torch.no_grad()
def make_inputs(split: Split, scaling: Scaling, kinds: Kinds, window: int) -> tuple[LearnedChannels, StateEffect]:
    """What the network will see of windows, and what states say of that, from the windows that fit it."""
    rates = torch.from_numpy(scaling.centre[len(kinds.places("measured")) :].astype(np.float32))
    learned, effect = LearnedChannels(kinds, rates), StateEffect(kinds, window)
    if effect.flags:
        windows = spread(split.fit, min(EFFECT_WINDOWS, max(8, _EFFECT_NUMBERS // (window * len(kinds.names)))))
        fit_effect(effect, windows, ScaleLayer(scaling, window)(learned(windows))[0])
    return learned, effect


def teach_voices(graph: DetectorGraph, split: Split) -> None:
    """Let the graph's voices hear what the windows of a split are like."""
    kinds, scaling = graph.channel_kinds, graph.scaling
    runs = [learned_rows(run, kinds) for part in (split.fit, split.validation, split.held_out) for run in part.runs]
    graph.voices.quiet.set(least_motion(runs, graph.window, scaling.centre, scaling.scale))
    if kinds.places("state"):
        graph.voices.rare.learn(_some_rows(split.fit), _some_rows(split.held_out))


def _some_rows(windows: Windows) -> Tensor:
    """The rows [n, channels] of all runs, or a share of them that chance draws where they are many."""
    share = _STATE_NUMBERS / max(1, sum(run.size for run in windows.runs))
    draw = np.random.default_rng(0)
    runs = windows.runs if share >= 1 else [run[draw.random(len(run)) < share] for run in windows.runs]
    return torch.from_numpy(np.concatenate(runs))
