"""What was measured at an event's worst row, and what was expected there.

Expected is the network's reconstruction of that row, or the centre of the range that training saw where a model makes
none; each channel's entry says which. Windows are reconstructed in batches of one size, so that the numbers do not
depend on how rows were cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.seasons import Beside, stacked
from aez.daemon.alarms.curve import short

__all__ = ["Witness", "Worst"]

Float = NDArray[np.float32]
#: Channels that are explained, those most to blame at the worst row; and in one record, those with the largest shares.
_EXPLAINED, _TOLD = 16, 8
_BATCH = 32


class Reconstructing(Protocol):
    """What a witness needs of a model; `units` and `reconstruct` or `ranges` may lack."""

    @property
    def channels(self) -> Sequence[str]: ...


@dataclass(eq=False)
class Worst:
    """The worst row of an event so far.

    score: in limits. window: float32 [rows, channels] as the model saw it, until it is explained. shift: what was taken
    from the sensors' values before. scale: of its stream, where the model takes it. places: of the channels. measured,
    expected: of these, None where missing.
    """

    score: float
    places: list[int]
    window: Float | None = None
    shift: Float | None = None
    scale: Beside | None = None
    measured: list[float | None] = field(default_factory=list)
    expected: list[float | None] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """As plain data for JSON; only once it is explained."""
        names = ("score", "places", "measured", "expected")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Worst:
        """What `state()` described. Raises KeyError, TypeError, ValueError."""
        found = cls(float(state["score"]), [int(one) for one in state["places"]])
        found.measured, found.expected = list(state["measured"]), list(state["expected"])
        if not len(found.places) == len(found.measured) == len(found.expected):
            raise ValueError("its lists differ in length")
        return found


class Witness:
    """Explains the worst rows of the events of one model."""

    def __init__(self, model: Reconstructing) -> None:
        self.channels = tuple(model.channels)
        self.units: tuple[str, ...] = tuple(getattr(model, "units", ()) or ("",) * len(self.channels))
        self._reconstruct = getattr(model, "reconstruct", None)
        ranges = getattr(model, "ranges", None)
        self._centre = None if ranges is None else np.array([(low + high) / 2 for low, high in ranges], np.float32)
        self._worst: list[Worst] = []
        self._records: list[tuple[Worst, list[dict[str, Any]]]] = []

    @property
    def source(self) -> str:
        """Where what is expected comes from; "" for models, as those of frames, that expect no values."""
        if self._reconstruct is not None:
            return "reconstruction"
        return "" if self._centre is None else "centre of training"

    def look(
        self, score: float, window: Float, blame: Float, shift: Float | None, scale: Beside | None = None
    ) -> Worst:
        """The worst row so far is the last one of a window [rows, channels]; blame: its channel scores."""
        order = np.argsort(-np.nan_to_num(blame, nan=-1.0), kind="stable")[:_EXPLAINED]
        found = Worst(score, order.tolist(), window.copy(), shift, scale)
        self._worst.append(found)
        return found

    def note(self, worst: Worst, channels: list[dict[str, Any]]) -> None:
        """A record's channels are to be completed at the next `settle`."""
        self._records.append((worst, channels))

    def settle(self) -> None:
        """Explain what was looked at, and complete the records' channels."""
        waiting, self._worst = [one for one in self._worst if one.window is not None], []
        for start in range(0, len(waiting), _BATCH):
            self._explain(waiting[start : start + _BATCH])
        records, self._records = self._records, []
        if self.source:
            for worst, channels in records:
                self._complete(worst, channels)

    def _explain(self, batch: Sequence[Worst]) -> None:
        windows = [one.window for one in batch if one.window is not None]
        if self._reconstruct is not None:
            filled = np.stack(windows + [windows[-1]] * (_BATCH - len(windows)))
            scales = [one.scale for one in batch if one.scale is not None]
            scales += scales[-1:] * (_BATCH - len(scales))
            given = (stacked(scales),) if scales else ()
            expected = self._reconstruct(filled, *given)[: len(windows), -1]
        elif self._centre is not None:
            expected = np.broadcast_to(self._centre, (len(windows), len(self.channels)))
        else:
            expected = np.full((len(windows), len(self.channels)), np.nan, np.float32)
        for one, window, row in zip(batch, windows, expected, strict=True):
            shift = np.float32(0) if one.shift is None else one.shift
            measured, wanted = window[-1] + shift, row + shift
            one.measured = [short(float(measured[place])) for place in one.places]
            one.expected = [short(float(wanted[place])) for place in one.places]
            one.window = None

    def _complete(self, worst: Worst, channels: list[dict[str, Any]]) -> None:
        found = {
            self.channels[place]: (measured, expected, self.units[place])
            for place, measured, expected in zip(worst.places, worst.measured, worst.expected, strict=True)
        }
        for entry in channels[:_TOLD]:
            if entry["name"] not in found:
                continue
            measured, expected, unit = found[entry["name"]]
            entry |= {"measured": measured, "expected": expected, "expected_from": self.source}
            if measured is not None and expected is not None and measured != expected:
                entry["direction"] = "above" if measured > expected else "below"
            if unit:
                entry["unit"] = unit
