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

from aez.codec.common.plain import JsonText, json_text
from aez.codec.detect.rhythm.seasons import Beside, stacked
from aez.daemon.alarms.curve import shortened

__all__ = ["Witness", "Worst"]

Float = NDArray[np.float32]
#: Channels that are explained, those most to blame at the worst row; and in one record, those with the largest shares.
_EXPLAINED, _TOLD = 16, 8
_BATCH = 32
_LARGEST = np.finfo(np.float32).max


class Reconstructing(Protocol):
    """What a witness needs of a model; `units` and `reconstruct` or `ranges` may lack."""

    @property
    def channels(self) -> Sequence[str]: ...


@dataclass(eq=False)
class Worst:
    """The worst row of an event so far.

    score: in limits. Until it is explained: window: float32 [rows, channels] as the model saw it; blame: its channel
    scores; shift: what was taken from the sensors' values before; scale: of its stream, where the model takes it.
    Behind that: places: of the channels; measured, expected: of these, None where missing.
    """

    score: float
    places: list[int] = field(default_factory=list)
    window: Float | None = None
    blame: Float | None = None
    shift: Float | None = None
    scale: Beside | None = None
    measured: list[float | None] = field(default_factory=list)
    expected: list[float | None] = field(default_factory=list)
    _written: JsonText | None = None

    def state(self) -> dict[str, Any]:
        """As plain data for JSON; only once it is explained."""
        names = ("score", "places", "measured", "expected")
        return {name: getattr(self, name) for name in names}

    def text(self) -> JsonText:
        """The same as JSON, which is written once."""
        if self._written is None:
            self._written = json_text(self.state())
        return self._written

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Worst:
        """What `state()` described. Raises KeyError, TypeError, ValueError."""
        found = cls(float(state["score"]), [int(one) for one in state["places"]])
        found.measured, found.expected = list(state["measured"]), list(state["expected"])
        if not len(found.places) == len(found.measured) == len(found.expected):
            raise ValueError("its lists differ in length")
        return found


class Witness:
    """Explains the worst rows of the events of one model, once somebody is to be told of them and not before."""

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

    @property
    def waiting(self) -> bool:
        """Whether something was asked for or noted since `settle`."""
        return bool(self._worst or self._records)

    def look(
        self, score: float, window: Float, blame: Float, shift: Float | None, scale: Beside | None = None
    ) -> Worst:
        """The worst row so far is the last one of a window [rows, channels]; blame: its channel scores.

        Nobody changes the shift or scale before it is explained; of the others copies are kept.
        """
        return Worst(score, [], window.copy(), blame.copy(), shift, scale)

    def ask(self, worst: Worst) -> None:
        """It is to be explained at the next `settle`."""
        if worst.window is not None:
            self._worst.append(worst)

    def note(self, worst: Worst, channels: list[dict[str, Any]]) -> None:
        """A record's channels are to be completed at the next `settle`."""
        self.ask(worst)
        self._records.append((worst, channels))

    def settle(self) -> None:
        """Explain what was asked for, and complete the records' channels."""
        asked = {id(one): one for one in self._worst if one.window is not None}
        waiting, self._worst = list(asked.values()), []
        for start in range(0, len(waiting), _BATCH):
            self._explain(waiting[start : start + _BATCH])
        records, self._records = self._records, []
        if source := self.source:
            for worst, channels in records:
                self._complete(worst, channels, source)

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
        blame = np.stack([one.blame for one in batch if one.blame is not None])
        height = np.clip(np.where(np.isnan(blame), np.float32(-1), blame), -_LARGEST, _LARGEST)
        order = np.argsort(-height, axis=1, kind="stable")[:, :_EXPLAINED]
        shifts = [np.float32(0) if one.shift is None else one.shift for one in batch]
        rows = [(window[-1] + shift, row + shift) for window, row, shift in zip(windows, expected, shifts, strict=True)]
        shown = shortened(np.array([row[places] for pair, places in zip(rows, order, strict=True) for row in pair]))
        for at, one in enumerate(batch):
            one.places, one.measured, one.expected = order[at].tolist(), shown[2 * at], shown[2 * at + 1]
            one.window = one.blame = None

    def _complete(self, worst: Worst, channels: list[dict[str, Any]], source: str) -> None:
        found = {self.channels[place]: at for at, place in enumerate(worst.places)}
        for entry in channels[:_TOLD]:
            at = found.get(entry["name"])
            if at is None:
                continue
            measured, expected, unit = worst.measured[at], worst.expected[at], self.units[worst.places[at]]
            entry |= {"measured": measured, "expected": expected, "expected_from": source}
            if measured is not None and expected is not None and measured != expected:
                entry["direction"] = "above" if measured > expected else "below"
            if unit:
                entry["unit"] = unit
