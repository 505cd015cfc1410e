"""Scores a series with an exported detector, row by row, and tells events, with onnxruntime and NumPy alone.

    python score.py detector.onnx < series.csv > scores.csv

Standard input is CSV with a line of column names; columns that are no channels (a time) are passed over, and empty
fields are readings that are missing. Standard output gets row and score, standard error the events.
"""

import base64
import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray[Any, np.dtype[Any]]
Loud = tuple[int, float, Array]  # row, score, what channels add to it


class Detector:
    """The graph: a window of rows to a score, in thresholds, and what each channel adds to it."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # inputs that may be left out are no reason to warn
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        about = self.session.get_modelmeta().custom_metadata_map
        self.window, self.channels = json.loads(about["window"]), json.loads(about["channels"])
        self.words, self.rule = json.loads(about.get("words", "{}")), json.loads(about["event_rule"])
        self._probe(about)

    def score(self, window: Array) -> tuple[float, Array]:
        """window float32 [window, channels] -> the score, and what channels add to it [channels]."""
        score, blame = self.session.run(["score", "channel_score"], {"window": window[None]})
        return float(score[0]), blame[0]

    def number(self, channel: str, text: str) -> float:
        """A field of CSV as the model takes it: a number, the place of a word, or NaN where there is none."""
        if channel in self.words:
            known = self.words[channel]
            return math.nan if not text else known.index(text) if text in known else len(known) - 1
        try:
            return float(text)
        except ValueError:
            return math.nan

    def _probe(self, about: Mapping[str, str]) -> None:
        """A runtime that computes something else would make the threshold worthless."""
        given = {}
        for taken in [*self.session.get_inputs(), *self.session.get_overridable_initializers()]:
            part = np.frombuffer(base64.b64decode(about[f"probe_{taken.name}"]), "<f4")
            given[taken.name] = part.reshape(-1, *taken.shape[1:])
        (found,) = self.session.run(["score"], given)
        np.testing.assert_allclose(found, json.loads(about["probe_score"]), rtol=1e-3)


class Events:
    """The rule that the threshold was chosen for.

    So many loud rows in a row open an event, so many quiet ones close it, and one that begins soon enough behind the
    last continues it.
    """

    def __init__(self, rule: Mapping[str, int], channels: Sequence[str]) -> None:
        self.rule, self.channels = rule, channels
        self.run: list[Loud] = []  # rows that are no event yet
        self.event: list[Loud] = []
        self.opened, self.resting, self.quiet = False, False, 0

    def take(self, row: int, score: float, blame: Array) -> None:
        if self.resting:
            self._release(row)
        if score > 1:
            self._loud((row, score, np.clip(np.nan_to_num(blame, nan=0.0), 0, 1e30)))
        elif not math.isnan(score):
            self.run = []
            if self.event and not self.resting:
                self.quiet += 1
                self.resting = self.quiet >= self.rule["close_after"]
        if self.resting:
            self._release(row + 1)

    def finish(self) -> None:
        self._close("" if self.resting else ", which goes on")

    def _loud(self, one: Loud) -> None:
        self.quiet = 0
        if self.event and not self.resting:
            self.event.append(one)
        else:
            self.run.append(one)
            if len(self.run) < self.rule["open_after"]:
                return
            self.event, self.run, self.resting = self.event + self.run, [], False
        if not self.opened and one[0] + 1 - self.event[0][0] >= self.rule["min_length"]:
            self.opened = True
            peak = max(score for _, score, _ in self.event)
            print(f"event opened: row {one[0]}, score {peak:.2f}, mostly {self._mostly()}", file=sys.stderr)

    def _release(self, following: int) -> None:
        if not self.run and following - (self.event[-1][0] + 1) > self.rule["merge_within"]:
            self._close("")

    def _close(self, how: str) -> None:
        if self.opened:
            peak = max(score for _, score, _ in self.event)
            rows = f"rows {self.event[0][0]} to {self.event[-1][0]}"
            print(f"event: {rows}, peak {peak:.4f}, mostly {self._mostly()}{how}", file=sys.stderr)
        self.event, self.opened, self.resting, self.quiet = [], False, False, 0

    def _mostly(self) -> str:
        return self.channels[int(np.sum([blame for _, _, blame in self.event], axis=0, dtype=np.float64).argmax())]


def main() -> None:
    """Score standard input."""
    detector = Detector(sys.argv[1])
    events = Events(detector.rule, detector.channels)
    rows = csv.reader(sys.stdin)
    header = next(rows)
    columns = [header.index(name) for name in detector.channels]
    window = np.zeros((0, len(columns)), np.float32)
    print("row,score")
    for row, fields in enumerate(rows):
        values = [detector.number(name, fields[at]) for name, at in zip(detector.channels, columns, strict=True)]
        window = np.concatenate([window, np.asarray([values], np.float32)])[-detector.window :]
        if len(window) == detector.window:
            score, blame = detector.score(window)
            print(f"{row},{score:.9g}")
            events.take(row, score, blame)
    events.finish()


if __name__ == "__main__":
    main()
